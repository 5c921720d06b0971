//! `--wait`: waits until a service responds to OPTIONS.

use std::error::Error;
use std::fmt;
use std::io::{self, Write};
use std::thread;
use std::time::{Duration, Instant};

use icap_client::{Error as ScanError, ServiceOptions};

use crate::text::{chain, safe};

/// The pause between attempts.
const PAUSE: Duration = Duration::from_millis(200);

/// The service has not responded in time.
#[derive(Debug)]
struct TooLate {
    longest: Duration,
    error: ScanError,
}

/// Asks the service until it responds. The first failure is printed to standard error.
///
/// # Errors
///
/// If it does not respond in time, or at once if waiting does not help.
pub(crate) fn until_it_responds(
    service: &str,
    longest: Duration,
    ask: impl Fn() -> Result<ServiceOptions, ScanError>,
) -> Result<(), Box<dyn Error>> {
    let began = Instant::now();
    let mut is_told = false;
    loop {
        let error = match ask() {
            Ok(_) => return Ok(()),
            Err(error) if !may_pass(&error) => return Err(error.into()),
            Err(error) if began.elapsed() >= longest => {
                return Err(TooLate { longest, error }.into());
            }
            Err(error) => error,
        };
        log::info!("the service does not respond yet: {error}");
        if !is_told {
            is_told = true;
            // Without standard error it waits all the same.
            let cause = safe(&chain(&error));
            let _ = writeln!(io::stderr(), "waiting for {service}: {cause}");
        }
        thread::sleep(PAUSE.min(longest.saturating_sub(began.elapsed())));
    }
}

/// Whether the service may respond later. Missing credentials stay missing; a 404 may be a service that starts.
fn may_pass(error: &ScanError) -> bool {
    !matches!(error, ScanError::Input(_)) && !matches!(error.status(), Some(401 | 407))
}

impl fmt::Display for TooLate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.longest.as_millis() {
            time if time % 1000 == 0 => write!(f, "not ready within {} s", time / 1000),
            time => write!(f, "not ready within {time} ms"),
        }
    }
}

impl Error for TooLate {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.error)
    }
}
