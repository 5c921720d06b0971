//! Why content is not clean, as a short list with a stable code for each entry.

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, ErrorKind};
use crate::scan::report::Report;
use crate::scan::verdict::{Modified, NotScanned, Verdict};

/// Defines the reasons once, so that none lacks a code or is missing in the list.
macro_rules! reasons {
    ($($(#[$docs:meta])* $reason:ident => $code:literal,)+) => {
        /// Why content is not known to be clean.
        ///
        /// [`Infected`](Verdict::Infected) and [`Blocked`](Verdict::Blocked) have one reason each. So have the three
        /// forms of [`Modified`], every [`NotScanned`], every [`ErrorKind`], and a copy that is not complete.
        ///
        /// `Display` is the [`code`](Reason::code), and [`str::parse`] reads it, for settings in a file.
        ///
        /// ```
        /// use icap_client::policy::Reason;
        ///
        /// assert_eq!(Reason::TooLarge.code(), "too_large");
        /// assert_eq!("too_large".parse(), Ok(Reason::TooLarge));
        /// assert!("to_large".parse::<Reason>().is_err());
        /// ```
        #[non_exhaustive]
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Reason {
            $($(#[$docs])* $reason,)+
        }

        impl Reason {
            /// Every reason, in the order of the manual's page
            /// [`notices`](crate::manual::notices).
            pub const ALL: [Self; [$($code),+].len()] = [$(Self::$reason),+];

            /// The stable, machine-readable name: lower-case ASCII letters and `_`. It is unique, and a later
            /// version never changes it.
            #[must_use]
            pub fn code(self) -> &'static str {
                match self {
                    $(Self::$reason => $code,)+
                }
            }
        }
    };
}

reasons! {
    /// [`Verdict::Infected`].
    Infected => "infected",
    /// [`Verdict::Blocked`].
    Blocked => "blocked",
    /// [`Verdict::Modified`]: other content came back.
    Modified => "modified",
    /// [`Verdict::Modified`]: no content came back.
    ModifiedNoContent => "modified_no_content",
    /// [`Verdict::Modified`]: new content came back that refers to a part of the original (206).
    ModifiedPartly => "modified_partly",
    /// [`NotScanned::TooLarge`].
    TooLarge => "too_large",
    /// [`NotScanned::ServiceLimit`].
    ServiceLimit => "service_limit",
    /// [`NotScanned::Unscannable`].
    Unscannable => "unscannable",
    /// [`NotScanned::Echoed`].
    Echoed => "echoed",
    /// [`NotScanned::ServiceError`].
    ServiceError => "service_error",
    /// [`NotScanned::EarlyResponse`].
    EarlyResponse => "early_response",
    /// [`NotScanned::NoEngine`].
    NoEngine => "no_engine",
    /// [`NotScanned::Truncated`].
    Truncated => "truncated",
    /// [`NotScanned::Pending`].
    Pending => "pending",
    /// [`NotScanned::PreviewOnly`].
    PreviewOnly => "preview_only",
    /// [`Error::Connect`].
    ConnectError => "connect_error",
    /// [`Error::Timeout`].
    TimeoutError => "timeout_error",
    /// [`Error::Disconnected`].
    DisconnectedError => "disconnected_error",
    /// [`Error::Status`].
    StatusError => "status_error",
    /// [`Error::Protocol`].
    ProtocolError => "protocol_error",
    /// [`Error::Content`].
    ContentError => "content_error",
    /// [`Error::Output`].
    OutputError => "output_error",
    /// [`Error::Input`].
    InputError => "input_error",
    /// [`Error::Suspended`].
    SuspendedError => "suspended_error",
    /// [`Error::Cancelled`].
    CancelledError => "cancelled_error",
    /// [`Teed::incomplete`](crate::Teed::incomplete): there is only a part of the file. It comes from
    /// [`Teed::decide`](crate::Teed::decide), which refuses for it whatever the policy is.
    IncompleteCopy => "incomplete_copy",
}

impl Reason {
    /// Why the content of this scan is not known to be clean; `None` only for
    /// [`Verdict::Clean`].
    #[must_use]
    pub fn of(result: &Result<Report, Error>) -> Option<Self> {
        match result {
            Ok(report) => Self::of_verdict(report.verdict()),
            Err(error) => Some(Self::of_error(error.kind())),
        }
    }

    /// Whether the service objects to the content, which is then never delivered without a question.
    #[must_use]
    pub fn is_objection(self) -> bool {
        matches!(self, Self::Infected | Self::Blocked)
    }

    /// Whether a response of the service speaks against the content: an objection, or other content than was sent. A
    /// ticket that was issued without it is void.
    #[cfg(feature = "override")]
    pub(super) fn is_finding(self) -> bool {
        self.is_objection()
            || matches!(
                self,
                Self::Modified | Self::ModifiedNoContent | Self::ModifiedPartly | Self::Truncated
            )
    }

    // No wildcard in these matches: a new verdict or kind of error needs a reason before it compiles.
    fn of_verdict(verdict: &Verdict) -> Option<Self> {
        Some(match verdict {
            Verdict::Clean => return None,
            Verdict::Infected(_) => Self::Infected,
            Verdict::Blocked(_) => Self::Blocked,
            Verdict::Modified(modified) => Self::of_modified(modified),
            Verdict::NotScanned(why) => Self::of_not_scanned(why),
        })
    }

    fn of_modified(modified: &Modified) -> Self {
        match (modified.original_from(), modified.body_len()) {
            (Some(_), _) => Self::ModifiedPartly,
            (None, Some(_)) => Self::Modified,
            (None, None) => Self::ModifiedNoContent,
        }
    }

    fn of_not_scanned(why: &NotScanned) -> Self {
        match why {
            NotScanned::TooLarge { .. } => Self::TooLarge,
            NotScanned::ServiceLimit { .. } => Self::ServiceLimit,
            NotScanned::Unscannable { .. } => Self::Unscannable,
            NotScanned::Echoed => Self::Echoed,
            NotScanned::ServiceError { .. } => Self::ServiceError,
            NotScanned::EarlyResponse => Self::EarlyResponse,
            NotScanned::NoEngine => Self::NoEngine,
            NotScanned::Truncated => Self::Truncated,
            NotScanned::Pending => Self::Pending,
            NotScanned::PreviewOnly => Self::PreviewOnly,
        }
    }

    pub(super) fn of_error(kind: ErrorKind) -> Self {
        match kind {
            ErrorKind::Connect => Self::ConnectError,
            ErrorKind::Timeout => Self::TimeoutError,
            ErrorKind::Disconnected => Self::DisconnectedError,
            ErrorKind::Status => Self::StatusError,
            ErrorKind::Protocol => Self::ProtocolError,
            ErrorKind::Content => Self::ContentError,
            ErrorKind::Output => Self::OutputError,
            ErrorKind::Input => Self::InputError,
            ErrorKind::Suspended => Self::SuspendedError,
            ErrorKind::Cancelled => Self::CancelledError,
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.code())
    }
}

impl FromStr for Reason {
    type Err = UnknownReason;

    fn from_str(code: &str) -> Result<Self, UnknownReason> {
        let reason = Self::ALL.into_iter().find(|reason| reason.code() == code);
        reason.ok_or(UnknownReason)
    }
}

/// The error of `str::parse` for a text that is not the code of a [`Reason`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a reason code: see the page `notices` of the manual for the list")]
pub struct UnknownReason;
