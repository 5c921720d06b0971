//! What one probe found.

use std::fmt;
use std::time::Duration;

/// Defines an enum whose variants have a stable code each.
macro_rules! coded {
    ($(#[$about:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $code:literal,)* }) => {
        $(#[$about])*
        #[non_exhaustive]
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name {
            $($(#[$doc])* $variant,)*
        }

        impl $name {
            /// The code, in lower case with hyphens. It does not change between versions.
            #[must_use]
            pub fn code(self) -> &'static str {
                match self {
                    $(Self::$variant => $code,)*
                }
            }

            #[cfg(test)]
            const ALL: &'static [Self] = &[$(Self::$variant,)*];
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.code())
            }
        }
    };
}

coded! {
    /// A probe of a [self-test](crate::Scanner::self_test): what was tried.
    Probe {
        /// The request for the service's options.
        Options = "options",
        /// 1 KiB of random bytes, in which nothing is to be found.
        Clean = "clean",
        /// A second scan on the connection of the first one.
        KeepAlive = "keep-alive",
        /// The EICAR test file itself.
        Eicar = "eicar",
        /// An archive with EICAR, of which the last byte is sent 300 ms after the others.
        HeldBack = "held-back",
        /// EICAR in an archive after random bytes, so that the server cannot know its hash.
        NeverSeen = "never-seen",
        /// A PDF of under 200 bytes, with EICAR as an embedded file.
        SmallPdf = "small-pdf",
        /// The same with 16 KiB of other content.
        Pdf = "pdf",
        /// A GIF of one pixel with a ZIP appended that has EICAR.
        SmallImage = "small-image",
        /// The same with 16 KiB of other content.
        Image = "image",
        /// A document of an office program (`.docx`) with EICAR as an embedded object.
        SmallOffice = "small-office",
        /// The same with 16 KiB of other content.
        Office = "office",
        /// An archive with EICAR after the end of a preview.
        Preview = "preview",
        /// Archives of growing size, up to the size limit, with EICAR at the end.
        Depth = "depth",
        /// The time that random content of growing size takes.
        Latency = "latency",
        /// A scan on a connection that was idle during the other probes.
        Idle = "idle",
    }
}

coded! {
    /// How a probe ended.
    Outcome {
        /// As it should. For [`Depth`](Probe::Depth): EICAR was found at each size that was tried,
        /// up to the size limit.
        Passed = "passed",
        /// EICAR was found, or the content was refused.
        Found = "found",
        /// The scanner would have delivered EICAR as clean. For [`Depth`](Probe::Depth): from some size on.
        Missed = "missed",
        /// The server has no engine, or it responded before it had the content. It scans nothing.
        Blind = "blind",
        /// EICAR was not called clean, but it was not found either: files like this are never clean.
        NotScanned = "not-scanned",
        /// Something was found where there is nothing.
        FalseAlarm = "false-alarm",
        /// Content of the size limit (100 MiB without a limit) would take longer than the response timeout or the deadline.
        TooSlow = "too-slow",
        /// It works, and something can be better: the [advice](Finding::advice) says what.
        Improvable = "improvable",
        /// There was no verdict, but an error.
        Failed = "failed",
        /// It was not tried, because it would show nothing: EICAR itself is not found, or there is no connection.
        Unknown = "unknown",
        /// The service does not offer it, or the scanner does not use it.
        NotApplicable = "not-applicable",
    }
}

impl Outcome {
    /// Whether a service with this outcome is as it should be.
    #[must_use]
    pub fn is_good(self) -> bool {
        matches!(
            self,
            Self::Passed | Self::Found | Self::Improvable | Self::NotApplicable
        )
    }
}

/// The result of one probe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    pub(super) probe: Probe,
    pub(super) outcome: Outcome,
    pub(super) detail: String,
    pub(super) advice: Option<&'static str>,
    pub(super) elapsed: Duration,
}

impl Finding {
    /// What was tried.
    #[must_use]
    pub fn probe(&self) -> Probe {
        self.probe
    }

    /// How it ended.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        self.outcome
    }

    /// What the service responded, in one clause that is safe to show.
    #[must_use]
    pub fn detail(&self) -> &str {
        &self.detail
    }

    /// What to change, and where, if that is known.
    #[must_use]
    pub fn advice(&self) -> Option<&str> {
        self.advice
    }

    /// How long the probe took.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.elapsed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The page has a line for each, which begins with its code.
    #[test]
    fn manual_has_every_code_once() {
        let page = include_str!("../../manual/self_test.md");
        let probes = Probe::ALL.iter().map(|probe| probe.code());
        let outcomes = Outcome::ALL.iter().map(|outcome| outcome.code());
        for code in probes.chain(outcomes) {
            let row = format!("| `{code}` |");
            let count = page.lines().filter(|line| line.starts_with(&row)).count();
            assert_eq!(count, 1, "{code}");
        }
    }
}
