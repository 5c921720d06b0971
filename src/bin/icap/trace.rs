//! Shows the heads of requests and responses, in the log (`-v`, `-vv`) and in a file (`--trace`).

use std::fmt;
use std::fs::OpenOptions;
use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use icap_client::tls::TlsConnector;
use icap_client::transport::{Readiness, TcpConnector};
use icap_client::{Connect, ServiceUri, Stream};

use crate::heads::{Heads, Part};
use crate::mask;

/// The target of the log lines.
pub(crate) const TARGET: &str = "icap::trace";

/// The file of `--trace`, or standard error.
pub(crate) type Output = Box<dyn Write + Send>;

/// Makes connections, and shows what goes over them. Clones share the output and the numbers of connections.
#[derive(Clone)]
pub(crate) struct Tracer {
    tls: TlsConnector,
    trace: Arc<Trace>,
}

impl Tracer {
    pub(crate) fn new(tls: TlsConnector, output: Option<Output>) -> Self {
        let trace = Trace {
            output: output.map(Mutex::new),
            began: Instant::now(),
            connections: AtomicU64::new(0),
        };
        Self {
            tls,
            trace: Arc::new(trace),
        }
    }
}

impl fmt::Debug for Tracer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tracer").finish_non_exhaustive()
    }
}

impl Connect for Tracer {
    fn connect(&self, service: &ServiceUri, timeout: Duration) -> io::Result<Box<dyn Stream>> {
        let number = self.trace.connections.fetch_add(1, Relaxed) + 1;
        let began = Instant::now();
        let say = |what: &str| self.trace.event(number, what);
        say(&format!("looks up {} and connects", service.host()));
        let stream = if service.is_tls() {
            self.tls.connect(service, timeout)
        } else {
            TcpConnector.connect(service, timeout)
        };
        match &stream {
            Ok(_) => say(&format!("connected in {} ms", began.elapsed().as_millis())),
            Err(error) => say(&format!(
                "not connected: {}",
                crate::text::safe(&error.to_string())
            )),
        }
        Ok(Box::new(Traced {
            stream: stream?,
            number,
            trace: Arc::clone(&self.trace),
            sent: Heads::default(),
            received: Heads::default(),
        }))
    }
}

/// Where the lines go.
struct Trace {
    output: Option<Mutex<Output>>,
    began: Instant,
    connections: AtomicU64,
}

impl Trace {
    fn event(&self, number: u64, what: &str) {
        log::debug!(target: TARGET, "connection {number}: {what}");
        self.write(number, '*', what);
    }

    fn part(&self, number: u64, direction: char, part: &Part) {
        let head = match part {
            Part::Icap(head) | Part::Http(head) => mask::lines(head),
            Part::Body(bytes) => {
                return self.event(
                    number,
                    &format!("{direction} body or preview of {bytes} bytes"),
                );
            }
            Part::Unknown => {
                return self.event(
                    number,
                    &format!("{direction} bytes that are no ICAP; not shown"),
                );
            }
        };
        for (line, text) in head.iter().enumerate() {
            // The first line of an ICAP head tells what happens.
            if line == 0 && matches!(part, Part::Icap(_)) {
                log::debug!(target: TARGET, "connection {number}: {direction} {text}");
            } else {
                log::trace!(target: TARGET, "connection {number}: {direction} {text}");
            }
            self.write(number, direction, text);
        }
    }

    fn write(&self, number: u64, direction: char, text: &str) {
        let Some(output) = &self.output else {
            return;
        };
        let mut output = output.lock().unwrap_or_else(PoisonError::into_inner);
        let seconds = self.began.elapsed().as_secs_f64();
        if let Err(error) = writeln!(output, "{seconds:.3} {number} {direction} {text}") {
            log::warn!(target: TARGET, "cannot write the trace: {error}");
        }
    }
}

/// A connection that shows its heads.
struct Traced {
    stream: Box<dyn Stream>,
    number: u64,
    trace: Arc<Trace>,
    sent: Heads,
    received: Heads,
}

impl Read for Traced {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let len = self.stream.read(buffer)?;
        let (trace, number) = (&self.trace, self.number);
        let bytes = buffer.get(..len).unwrap_or_default();
        self.received
            .feed(bytes, &mut |part| trace.part(number, '<', &part));
        Ok(len)
    }
}

impl Write for Traced {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let len = self.stream.write(bytes)?;
        let (trace, number) = (&self.trace, self.number);
        let written = bytes.get(..len).unwrap_or_default();
        self.sent
            .feed(written, &mut |part| trace.part(number, '>', &part));
        Ok(len)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

impl Stream for Traced {
    fn set_read_timeout(&mut self, timeout: Duration) -> io::Result<()> {
        self.stream.set_read_timeout(timeout)
    }

    fn set_write_timeout(&mut self, timeout: Duration) -> io::Result<()> {
        self.stream.set_write_timeout(timeout)
    }

    fn readiness(&mut self) -> io::Result<Readiness> {
        self.stream.readiness()
    }

    fn written_at_arrival(&self) -> Option<u64> {
        self.stream.written_at_arrival()
    }

    fn is_reusable(&self) -> bool {
        self.stream.is_reusable()
    }
}

impl Drop for Traced {
    fn drop(&mut self) {
        self.trace.event(self.number, "closed");
    }
}

pub(crate) fn is_standard_error(path: &Path) -> bool {
    path.as_os_str() == "-"
}

/// Creates the file of `--trace`: only this user can read it, and it is never an existing file or a link to one.
pub(crate) fn create(path: &Path) -> Result<Output, String> {
    if is_standard_error(path) {
        return Ok(Box::new(io::stderr()));
    }
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o600);
    }
    match options.open(path) {
        Ok(file) => Ok(Box::new(file)),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(format!(
            "cannot create {}: it exists, and --trace does not overwrite",
            path.display()
        )),
        Err(error) => Err(format!("cannot create {}: {error}", path.display())),
    }
}
