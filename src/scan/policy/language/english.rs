//! English, the language of every notice that no other language has a sentence for.

use super::{Language, Reason};

/// English.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct English;

impl English {
    /// The template for a reason. Each has one, which a test holds.
    pub(in crate::scan::policy) fn sentence(reason: Reason) -> &'static str {
        let sentence = SENTENCES.iter().find(|(of, _)| *of == reason);
        sentence.map_or("The file{name} was not found to be clean.", |(_, text)| {
            text
        })
    }
}

impl Language for English {
    fn template(&self, reason: Reason) -> Option<&str> {
        Some(Self::sentence(reason))
    }
}

pub(super) const SENTENCES: [(Reason, &str); Reason::ALL.len()] = [
    (Reason::Infected, "The file{name} contains malware{threat}."),
    (Reason::Blocked, "The virus scanner refused the file{name}."),
    (
        Reason::Modified,
        "The virus scanner replaced the content of the file{name}, so the original may be harmful.",
    ),
    (
        Reason::ModifiedNoContent,
        "The virus scanner removed the content of the file{name}, so the original may be harmful.",
    ),
    (
        Reason::ModifiedPartly,
        "The virus scanner changed a part of the file{name}, so the original may be harmful.",
    ),
    (
        Reason::TooLarge,
        "The file{name} is larger than {limit} and was not checked for malware.",
    ),
    (
        Reason::ServiceLimit,
        "The file{name} exceeds a limit of the virus scanner and was not checked completely.",
    ),
    (
        Reason::Unscannable,
        "The virus scanner could not look into the file{name}. It may be encrypted or damaged.",
    ),
    (
        Reason::Echoed,
        "The virus scanner skipped the file{name} and did not check it.",
    ),
    (
        Reason::ServiceError,
        "The virus scanner failed and did not check the file{name}. Try again later.",
    ),
    (
        Reason::EarlyResponse,
        "The virus scanner responded before it had received all of the file{name}, so the file was not checked.",
    ),
    (
        Reason::NoEngine,
        "The virus scanner is not working, so the file{name} was not checked.",
    ),
    (
        Reason::Truncated,
        "The virus scanner returned only a part of the file{name}. Some scanners do this with infected files.",
    ),
    (
        Reason::Pending,
        "The virus scanner has not finished the check of the file{name}. Try again later.",
    ),
    (
        Reason::PreviewOnly,
        "The virus scanner checked only the beginning of the file{name}.",
    ),
    (
        Reason::ConnectError,
        "The virus scanner cannot be reached, so the file{name} was not checked. Try again later.",
    ),
    (
        Reason::TimeoutError,
        "The check of the file{name} for malware took too long and was stopped. Try again later.",
    ),
    (
        Reason::DisconnectedError,
        "The connection to the virus scanner broke, so the file{name} was not checked. Try again later.",
    ),
    (
        Reason::StatusError,
        "The virus scanner did not accept the request, so the file{name} was not checked.",
    ),
    (
        Reason::ProtocolError,
        "The virus scanner sent an invalid response, so the file{name} was not checked.",
    ),
    (
        Reason::ContentError,
        "The file{name} could not be read completely, so it was not checked.",
    ),
    (
        Reason::OutputError,
        "The file{name} could not be stored while it was checked for malware. Try again later.",
    ),
    (
        Reason::InputError,
        "The file{name} could not be sent to the virus scanner, so it was not checked.",
    ),
    (
        Reason::SuspendedError,
        "The virus scanner has failed repeatedly and pauses, so the file{name} was not checked. Try again in a moment.",
    ),
    (
        Reason::CancelledError,
        "The check of the file{name} for malware was cancelled. Request the file again to have it checked.",
    ),
    (
        Reason::IncompleteCopy,
        "Only a part of the file{name} could be fetched. Request the file again.",
    ),
];
