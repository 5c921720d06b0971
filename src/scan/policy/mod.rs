//! What happens with a file after its scan: deliver it, ask the person who wants it, or refuse it.
//!
//! A [`Verdict`](crate::Verdict) says what is known about content. A [`Policy`] decides what the program does. Its
//! rules are settings of the operator. Keep them on the server, so that a browser cannot change them.
//!
//! ```
//! # use icap_client::testing::{self, Server};
//! use icap_client::policy::Reason;
//! use icap_client::{Content, Decision, Policy, Scanner};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let server = Server::start()?;
//! # let (scanner, file) = (Scanner::new(&server.uri())?, testing::eicar());
//! // Files over the size limit are delivered here, and encrypted ones are refused.
//! let policy = Policy::default()
//!     .deliver(Reason::TooLarge)?
//!     .refuse(Reason::Unscannable);
//!
//! match policy.decide(&scanner.scan(Content::bytes(&file).name("invoice.pdf"))) {
//!     Decision::Deliver => println!("here it is"),
//!     Decision::Ask(notice) => println!("{notice} Download it anyway?"),
//!     Decision::Refuse(notice) => {
//!         eprintln!("refused: {}: {}", notice.code(), notice.detail()); // for the operator
//!         println!("{notice}"); // for the person
//! #       assert_eq!(notice.to_string(), "The file \"invoice.pdf\" contains malware (Eicar-Test-Signature).");
//!     }
//!     // Whatever later versions add is no reason to deliver.
//!     _ => println!("not delivered"),
//! }
//! # Ok(())
//! # }
//! ```

mod language;
mod notice;
mod reason;
#[cfg(test)]
mod tests;

use std::fmt;

pub use language::{English, German, Language};
pub use notice::Notice;
#[cfg(feature = "override")]
pub(in crate::scan) use notice::Objection;
pub use reason::{Reason, UnknownReason};

use crate::error::Error;
use crate::scan::report::Report;

/// Decides about each [`Reason`] on its own.
///
/// The defaults:
///
/// | reasons | default | because |
/// | --- | --- | --- |
/// | [`Infected`](Reason::Infected), [`Blocked`](Reason::Blocked) | refuse | The service objects to the content. |
/// | [`Modified`](Reason::Modified), [`ModifiedNoContent`](Reason::ModifiedNoContent), [`ModifiedPartly`](Reason::ModifiedPartly) | refuse | A service that changes content had a reason to, and it does not vouch for the original. |
/// | the reasons of [`NotScanned`](crate::NotScanned), `TooLarge` to `PreviewOnly` | ask | Nothing shows that the content was scanned. For most of these reasons, a scan of the same file ends in the same way. |
/// | [`ConnectError`](Reason::ConnectError), [`TimeoutError`](Reason::TimeoutError), [`DisconnectedError`](Reason::DisconnectedError), [`StatusError`](Reason::StatusError), [`ProtocolError`](Reason::ProtocolError), [`SuspendedError`](Reason::SuspendedError) | ask | The service could not scan, which does not show that the content is good or bad. An outage of the scanner need not stop all work. |
/// | [`ContentError`](Reason::ContentError), [`OutputError`](Reason::OutputError), [`InputError`](Reason::InputError) | refuse | The fault is in the content, its user or group, its HTTP head or the program. The sender of a file can cause some of these on purpose, so a question would be a way around the scanner. |
/// | [`CancelledError`](Reason::CancelledError) | refuse | Most programs cancel a scan because nobody waits for the file any more. A person who can cancel a scan must not get around the scanner by that. |
/// | [`IncompleteCopy`](Reason::IncompleteCopy) | refuse, always | A part of a file is not the file. |
///
/// The sender of a file can cause some of the reasons that ask, too: a file that takes long to scan ends in `TimeoutError`, one
/// that crashes the engine in `DisconnectedError`, one that is nested deeply in `ServiceLimit`, an encrypted one in
/// `Unscannable`, and a large one in `TooLarge`. The defaults ask all the same, because harmless files and
/// outages have these reasons too. Refuse these reasons where the sender is a stranger.
///
/// A reason that a later version adds refuses unless that version documents otherwise.
///
/// c-icap returns the beginning of a large infected file, unless the URI has `mode=simple`. That is
/// [`Truncated`](Reason::Truncated): refuse that reason unless you use `mode=simple`.
///
/// ```
/// use icap_client::Policy;
/// use icap_client::policy::{Action, Reason};
///
/// // Some deployments ask about infected files too, for example in a laboratory.
/// let policy = Policy::default().ask(Reason::Infected);
/// assert_eq!(policy.action(Reason::Infected), Action::Ask);
/// // No deployment delivers them unasked.
/// assert!(policy.deliver(Reason::Infected).is_err());
///
/// // Deliver only what is clean, and ask nobody.
/// let strict = Reason::ALL.into_iter().fold(Policy::default(), Policy::refuse);
/// assert_eq!(strict.action(Reason::NoEngine), Action::Refuse);
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Policy {
    /// In the order of [`Reason::ALL`].
    actions: [Action; Reason::ALL.len()],
}

/// What a [`Policy`] does for a [`Reason`].
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// Deliver the content without a question.
    Deliver,
    /// Ask the person.
    Ask,
    /// Refuse the content.
    Refuse,
}

impl Policy {
    /// If a scan ends with this reason, the person is asked.
    #[must_use]
    pub fn ask(self, reason: Reason) -> Self {
        self.with(reason, Action::Ask)
    }

    /// If a scan ends with this reason, the content is refused.
    #[must_use]
    pub fn refuse(self, reason: Reason) -> Self {
        self.with(reason, Action::Refuse)
    }

    /// If a scan ends with this reason, the content is delivered, although it is not known to be clean.
    ///
    /// # Errors
    ///
    /// If the service objects to the content: [`Reason::Infected`] and [`Reason::Blocked`].
    /// [`Reason::IncompleteCopy`] is no error, and has no effect: [`Teed::decide`](crate::Teed::decide) refuses always.
    pub fn deliver(self, reason: Reason) -> Result<Self, NeverDelivered> {
        if reason.is_objection() {
            return Err(NeverDelivered { reason });
        }
        Ok(self.with(reason, Action::Deliver))
    }

    /// What is done for this reason.
    #[must_use]
    pub fn action(&self, reason: Reason) -> Action {
        self.actions[reason as usize]
    }

    /// What to do with the content of this scan.
    ///
    /// [`Clean`](crate::Verdict::Clean) content is delivered. So is content that is not clean if the policy delivers
    /// for that reason; [`Notice::of`] says why such content is not clean.
    pub fn decide(&self, result: &Result<Report, Error>) -> Decision {
        let Some(notice) = Notice::of(result) else {
            return Decision::Deliver;
        };
        match self.action(notice.reason()) {
            Action::Deliver => Decision::Deliver,
            Action::Ask => Decision::Ask(notice),
            Action::Refuse => Decision::Refuse(notice),
        }
    }

    fn with(mut self, reason: Reason, action: Action) -> Self {
        self.actions[reason as usize] = action;
        self
    }
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            actions: Reason::ALL.map(default_action),
        }
    }
}

/// What is not listed refuses, also a reason that is added later.
fn default_action(reason: Reason) -> Action {
    match reason {
        Reason::TooLarge
        | Reason::ServiceLimit
        | Reason::Unscannable
        | Reason::Echoed
        | Reason::ServiceError
        | Reason::EarlyResponse
        | Reason::NoEngine
        | Reason::Truncated
        | Reason::Pending
        | Reason::PreviewOnly
        | Reason::ConnectError
        | Reason::TimeoutError
        | Reason::DisconnectedError
        | Reason::StatusError
        | Reason::ProtocolError
        | Reason::SuspendedError => Action::Ask,
        _ => Action::Refuse,
    }
}

/// Each code with its action.
impl fmt::Debug for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rules = Reason::ALL.map(|reason| (reason.code(), self.action(reason)));
        f.debug_map().entries(rules).finish()
    }
}

/// What to do with content, from [`Policy::decide`].
#[non_exhaustive]
#[must_use = "content that is not to be delivered must not be handed on"]
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// Deliver the content.
    Deliver,
    /// Tell the person why the content is not known to be clean, and deliver it only if they then ask for it. With
    /// the feature `override`, a ticket (module `override_ticket`) proves that your program has asked the person.
    Ask(Notice),
    /// Refuse the content, and tell the person why.
    Refuse(Notice),
}

impl Decision {
    /// Whether the content is delivered without a question.
    #[must_use]
    pub fn is_deliver(&self) -> bool {
        matches!(self, Self::Deliver)
    }

    /// What to show and to log: the notice of `Ask` or `Refuse`. `None` for `Deliver`.
    #[must_use]
    pub fn notice(&self) -> Option<&Notice> {
        match self {
            Self::Deliver => None,
            Self::Ask(notice) | Self::Refuse(notice) => Some(notice),
        }
    }
}

/// A policy cannot deliver content that the service objects to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("content is never delivered unasked if it is {reason}: use `ask` or `refuse`")]
pub struct NeverDelivered {
    reason: Reason,
}

impl NeverDelivered {
    /// The reason for which the policy was to deliver.
    #[must_use]
    pub fn reason(&self) -> Reason {
        self.reason
    }
}
