//! A TLS connector that tells when its streams have read all that is there.

use std::io::{self, Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use icap_client::tls::TlsConnector;
use icap_client::transport::Readiness;
use icap_client::{Connect, ServiceUri, Stream};

/// How often the end of what is there was reached in the middle of a record.
#[derive(Clone, Default)]
pub(crate) struct Partials(Arc<AtomicUsize>);

impl Partials {
    pub(crate) fn count(&self) -> usize {
        self.0.load(SeqCst)
    }
}

pub(crate) struct Watched {
    pub(crate) connector: TlsConnector,
    pub(crate) partials: Partials,
}

impl Connect for Watched {
    fn connect(&self, service: &ServiceUri, timeout: Duration) -> io::Result<Box<dyn Stream>> {
        Ok(Box::new(WatchedStream {
            stream: self.connector.connect(service, timeout)?,
            partials: self.partials.clone(),
        }))
    }
}

struct WatchedStream {
    stream: Box<dyn Stream>,
    partials: Partials,
}

impl WatchedStream {
    fn note_partial(&self) {
        self.partials.0.fetch_add(1, SeqCst);
    }
}

impl Read for WatchedStream {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let read = self.stream.read(buf);
        // A stall, which a part of a record is, too.
        if read.is_err() {
            self.note_partial();
        }
        read
    }
}

impl Write for WatchedStream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

impl Stream for WatchedStream {
    fn set_read_timeout(&mut self, timeout: Duration) -> io::Result<()> {
        self.stream.set_read_timeout(timeout)
    }

    fn set_write_timeout(&mut self, timeout: Duration) -> io::Result<()> {
        self.stream.set_write_timeout(timeout)
    }

    fn readiness(&mut self) -> io::Result<Readiness> {
        let readiness = self.stream.readiness();
        if matches!(readiness, Ok(Readiness::Partial)) {
            self.note_partial();
        }
        readiness
    }

    fn written_at_arrival(&self) -> Option<u64> {
        self.stream.written_at_arrival()
    }

    fn is_reusable(&self) -> bool {
        self.stream.is_reusable()
    }
}
