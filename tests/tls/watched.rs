//! A TLS connector that counts how often its streams stall within a record.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use icap_client::tls::TlsConnector;
use icap_client::transport::Readiness;
use icap_client::{Connect, ServiceUri, Stream};

use super::support::stream::{Calls, wrapped};

/// The number of stalls within a record.
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
        let stream = self.connector.connect(service, timeout)?;
        Ok(wrapped(stream, self.partials.clone()))
    }
}

impl Calls for Partials {
    fn read(&mut self, stream: &mut dyn Stream, buf: &mut [u8]) -> io::Result<usize> {
        let read = stream.read(buf);
        // A stall; a part of a record is one too.
        if read.is_err() {
            self.0.fetch_add(1, SeqCst);
        }
        read
    }

    fn readiness(&mut self, stream: &mut dyn Stream) -> io::Result<Readiness> {
        let readiness = stream.readiness();
        if matches!(readiness, Ok(Readiness::Partial)) {
            self.0.fetch_add(1, SeqCst);
        }
        readiness
    }
}
