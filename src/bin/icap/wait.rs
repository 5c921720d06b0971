//! `--wait`: waits until a service responds to OPTIONS.

use std::error::Error;
use std::fmt;
use std::io::{self, Write};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant};

use icap_client::{Client, Error as ScanError, ServiceOptions};

use crate::text::{chain, safe};

/// The pause between attempts.
const PAUSE: Duration = Duration::from_millis(200);

/// The first attempt has this time also with a shorter `--wait`.
const FIRST_ATTEMPT: Duration = Duration::from_secs(1);

/// The result of one attempt, and the number of the service.
type Attempt = (usize, Result<ServiceOptions, ScanError>);

/// No service has responded in time.
#[derive(Debug)]
struct TooLate {
    longest: Duration,
    services: usize,
    /// Of the first service that has failed; `None` if the first attempts still run.
    error: Option<ScanError>,
}

/// Asks all services until one of them responds. The first failure of each is printed to standard error.
///
/// An attempt that has not ended in time is left alone: its thread ends with the program.
///
/// # Errors
///
/// If none responds in time, or at once if waiting helps with none of them.
pub(crate) fn until_one_responds(
    clients: &[Client],
    longest: Duration,
) -> Result<(), Box<dyn Error>> {
    let began = Instant::now();
    let (sender, attempts) = mpsc::channel();
    for (number, client) in clients.iter().cloned().enumerate() {
        let sender = sender.clone();
        thread::Builder::new().spawn(move || ask(number, &client, &sender))?;
    }
    drop(sender);
    let mut errors = Errors(clients.iter().map(|_| None).collect());
    loop {
        let end = match errors.first() {
            Some(_) => longest,
            None => longest.max(FIRST_ATTEMPT),
        };
        match attempts.recv_timeout(end.saturating_sub(began.elapsed())) {
            Ok((_, Ok(_))) => return Ok(()),
            Ok((number, Err(error))) => errors.add(number, &clients[number].uri().name(), error),
            // Each thread has ended, so waiting helps with none of them.
            Err(RecvTimeoutError::Disconnected) => {
                return Err(errors.take_first().map_or("no service".into(), Into::into));
            }
            Err(RecvTimeoutError::Timeout) => {
                let (services, error) = (clients.len(), errors.take_first());
                return Err(TooLate {
                    longest,
                    services,
                    error,
                }
                .into());
            }
        }
    }
}

/// Asks one service until it responds, or waiting does not help, or the receiver is gone.
fn ask(number: usize, client: &Client, sender: &Sender<Attempt>) {
    loop {
        let result = client.options();
        let goes_on = result.as_ref().is_err_and(may_pass);
        if sender.send((number, result)).is_err() || !goes_on {
            return;
        }
        thread::sleep(PAUSE);
    }
}

/// The last error of each service.
struct Errors(Vec<Option<ScanError>>);

impl Errors {
    fn first(&self) -> Option<&ScanError> {
        self.0.iter().flatten().next()
    }

    fn take_first(&mut self) -> Option<ScanError> {
        self.0.iter_mut().find_map(Option::take)
    }

    /// Prints the first error of a service for which waiting may help.
    fn add(&mut self, number: usize, service: &str, error: ScanError) {
        log::info!("the service does not respond yet: {error}");
        let before = self.0[number].replace(error);
        if let (None, Some(error)) = (before, self.0[number].as_ref().filter(|it| may_pass(it))) {
            // Without standard error it waits all the same.
            let cause = safe(&chain(error));
            let _ = writeln!(io::stderr(), "waiting for {service}: {cause}");
        }
    }
}

/// Whether the service may respond later. Missing credentials stay missing; a 404 may be a service that starts.
fn may_pass(error: &ScanError) -> bool {
    !matches!(error, ScanError::Input(_)) && !matches!(error.status(), Some(401 | 407))
}

impl fmt::Display for TooLate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.services {
            1 => f.write_str("not ready")?,
            services => write!(f, "none of {services} services is ready")?,
        }
        match self.longest.as_millis() {
            time if time % 1000 == 0 => write!(f, " within {} s", time / 1000)?,
            time => write!(f, " within {time} ms")?,
        }
        match self.error {
            Some(_) => Ok(()),
            None => f.write_str(": no response to OPTIONS yet"),
        }
    }
}

impl Error for TooLate {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.error.as_ref().map(|error| error as _)
    }
}
