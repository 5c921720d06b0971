//! The defaults of the settings that a scanner and a client share.

use std::time::Duration;

/// The default of `connect_timeout`, `read_timeout` and `write_timeout`: 10,000 ms.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_millis(10_000);

/// The default of `deadline`: 300 s.
pub const DEFAULT_DEADLINE: Duration = Duration::from_secs(300);

/// The default of `max_idle`: 32 connections, as many as a thread pool of a usual size can use.
pub const DEFAULT_MAX_IDLE: usize = 32;

/// The default of `idle_timeout`: 60 s. Servers and proxies usually close idle connections later.
pub const DEFAULT_IDLE_TIMEOUT: Duration = Duration::from_secs(60);

/// The default of [`suspend_after`](crate::ScannerBuilder::suspend_after): 10 failures in a row.
pub const DEFAULT_SUSPEND_AFTER: u32 = 10;

/// The default of the first interval of [`suspension`](crate::ScannerBuilder::suspension): 1 s, varied by up to 20 %.
pub const DEFAULT_FIRST_SUSPENSION: Duration = Duration::from_secs(1);

/// The default of the longest interval of [`suspension`](crate::ScannerBuilder::suspension): 8 s, varied by up to 20 %.
pub const DEFAULT_LONGEST_SUSPENSION: Duration = Duration::from_secs(8);

#[cfg(test)]
mod tests {
    use super::*;

    /// They are documented by value at their settings.
    #[test]
    fn defaults_have_their_documented_values() {
        let seconds = [
            DEFAULT_TIMEOUT,
            DEFAULT_DEADLINE,
            DEFAULT_IDLE_TIMEOUT,
            DEFAULT_FIRST_SUSPENSION,
            DEFAULT_LONGEST_SUSPENSION,
        ]
        .map(|time| time.as_secs());
        assert_eq!(seconds, [10, 300, 60, 1, 8]);
        assert_eq!((DEFAULT_MAX_IDLE, DEFAULT_SUSPEND_AFTER), (32, 10));
    }
}
