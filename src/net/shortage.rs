//! Errors because this machine has run out of something: file descriptors, memory, ports, threads. No server is to
//! blame for these (rule R10), but they look like a server that cannot be reached.

use std::error::Error;
use std::fmt;
use std::io;

/// The error codes of the system: too many open files (of this process, of all), no buffer space, no memory, no
/// address or port to connect from. `io::ErrorKind` has no names for most of them.
#[cfg(any(target_os = "linux", target_os = "android"))]
const CODES: [i32; 5] = [24, 23, 105, 12, 99];
#[cfg(all(unix, not(any(target_os = "linux", target_os = "android"))))]
const CODES: [i32; 5] = [24, 23, 55, 12, 49];
#[cfg(windows)]
const CODES: [i32; 5] = [10_024, 4, 10_055, 8, 10_049];
#[cfg(not(any(unix, windows)))]
const CODES: [i32; 0] = [];

/// A shortage that is known only from its text, because the code is lost.
#[derive(Debug)]
struct Shortage(String);

impl fmt::Display for Shortage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for Shortage {}

/// An error with this text that [`is_shortage`] recognises.
pub(super) fn shortage(kind: io::ErrorKind, what: impl fmt::Display) -> io::Error {
    io::Error::new(kind, Shortage(what.to_string()))
}

/// Whether the error or one of its causes is a shortage on this machine.
pub(crate) fn is_shortage(error: &io::Error) -> bool {
    if error
        .raw_os_error()
        .is_some_and(|code| CODES.contains(&code))
    {
        return true;
    }
    let mut cause = error.get_ref().map(|inner| inner as &(dyn Error + 'static));
    while let Some(error) = cause {
        let is_shortage = match error.downcast_ref::<io::Error>() {
            Some(error) => is_shortage(error),
            None => error.is::<Shortage>(),
        };
        if is_shortage {
            return true;
        }
        cause = error.source();
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shortage_is_recognised_by_its_code_when_wrapped() {
        for code in CODES {
            let raw = || io::Error::from_raw_os_error(code);
            assert!(is_shortage(&raw()), "{code}");
            assert!(is_shortage(&io::Error::other(raw())));
            let text = shortage(io::ErrorKind::NotFound, raw());
            assert_eq!(text.to_string(), raw().to_string());
            assert!(is_shortage(&text));
            assert!(is_shortage(&io::Error::other(text)));
        }
    }

    #[test]
    fn other_errors_are_not_a_shortage() {
        for kind in [
            io::ErrorKind::ConnectionRefused,
            io::ErrorKind::TimedOut,
            io::ErrorKind::WouldBlock,
        ] {
            assert!(!is_shortage(&kind.into()), "{kind}");
            assert!(!is_shortage(&io::Error::new(kind, "text")), "{kind}");
        }
        // EAGAIN: of a socket, this means that nothing is there yet.
        #[cfg(target_os = "linux")]
        assert!(!is_shortage(&io::Error::from_raw_os_error(11)));
    }
}
