//! What words mean, in the values of the fields in [`vendors`](super::vendors). All lists are in lower case.
//!
//! `tests/data/phrases` has phrases that servers and people write, each with what is made of it.

use super::denial::{is_denial, says};
use super::threat::Hindrance;

/// How words read, in part, that say the content was refused.
const REFUSALS: &[&str] = &[
    "block",
    "denied",
    "disallow",
    "forbid",
    "prohibit",
    "quarantin",
    "refus",
    "reject",
    "unauthori",
];

/// How words read, in part, that are of threats.
const THREATS: &[&str] = &[
    "infect",
    "malicious",
    "malware",
    "threat",
    "trojan",
    "virus",
];

/// Words in a sentence that say the content was refused.
pub(super) const FINDINGS: &[&str] = &[
    "blocked",
    "denied",
    "detected",
    "found",
    "infected",
    "malicious",
    "quarantined",
    "rejected",
];

/// Those that say that what the sentence is about was found.
const FOUND: &[&str] = &["detected", "found", "infected"];

/// Whether words are about a threat, and do not say that there is none.
pub(super) fn tells_of_threat(text: &[u8]) -> bool {
    says(text, is_threat)
}

/// The word for the scanner itself is none for what it finds.
pub(super) fn is_threat(word: &str) -> bool {
    let is_other = word.starts_with("antivirus") || word.starts_with("uninfected");
    !is_other && has_one_of(word, THREATS)
}

pub(super) fn is_finding(word: &str) -> bool {
    FINDINGS.contains(&word)
}

pub(super) fn is_found(word: &str) -> bool {
    FOUND.contains(&word)
}

/// A word that refuses the content unless it is denied.
pub(super) fn is_refusal(word: &str) -> bool {
    is_finding(word) || is_threat(word) || has_one_of(word, REFUSALS)
}

fn has_one_of(word: &str, stems: &[&str]) -> bool {
    stems.iter().any(|stem| word.contains(stem))
}

/// What an `X-Error-Code` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Code {
    Nothing,
    /// There is a threat.
    Threat,
    /// The content is refused, by a policy.
    Refusal,
    /// Not everything was looked at.
    Hindrance(Hindrance),
    /// The service failed.
    Failure,
}

/// How codes read, in part, that are about the service and not about the content. Broadcom's are
/// `antivirus_load_failure`, `antivirus_license_expired`, `antivirus_engine_error`, `connection_failure`,
/// `internal_error`, `server_error`, `server_unavailable`, `insufficient_space`, `request_timeout` and
/// `scan_timeout`.
const FAILURES: &[&str] = &[
    "antivirus",
    "busy",
    "capacity",
    "connection",
    "disk_error",
    "engine",
    "exhausted",
    "internal",
    "licen",
    "memory",
    "offline",
    "overload",
    "quota",
    "resources",
    "scanner",
    "server",
    "service",
    "sessions",
    "space",
    "timed_out",
    "timeout",
    "unavailable",
];

/// How codes end that are about the service: `disk_full`, `scanner_down`.
const FAILURE_ENDS: &[&str] = &["_down", " down", "_full", " full", "diskfull"];

/// How codes read, in part, if what is exceeded is a limit for content.
const PARTS_OF_CONTENT: &[&str] = &[
    "archive",
    "attachment",
    "compress",
    "container",
    "content",
    "depth",
    "document",
    "extract",
    "file",
    "layer",
    "level",
    "length",
    "nest",
    "object",
    "ratio",
    "recurs",
    "size",
];

/// What becomes of the client's connections, as codes say it, without marks between the words.
const CONNECTION_FAILURES: &[&str] = &[
    "connectionrefused",
    "connectionrejected",
    "connectionwasrefused",
    "connectionwasrejected",
    "refusedconnection",
    "rejectedconnection",
];

/// What a code says, the worst first. One that is not known is about the content.
pub(super) fn error_code(code: &[u8]) -> Code {
    let text = String::from_utf8_lossy(code).to_ascii_lowercase();
    let ends_as_failure = || FAILURE_ENDS.iter().any(|end| text.ends_with(end));
    let is_failure = has_one_of(&text, FAILURES) || ends_as_failure();
    let is_limit = text.starts_with("max_") || text.contains("exceeded");
    let is_limit_of_content = is_limit && (!is_failure || has_one_of(&text, PARTS_OF_CONTENT));
    if is_denial(code) {
        Code::Nothing
    } else if tells_of_threat(code) {
        Code::Threat
    } else if is_refusal_code(&text) {
        Code::Refusal
    } else if is_limit_of_content {
        Code::Hindrance(Hindrance::Limit)
    } else if is_failure {
        Code::Failure
    } else {
        Code::Hindrance(Hindrance::Unscannable)
    }
}

/// `file_type_blocked`, `connection_blocked_by_policy`; but a connection that is refused or rejected, and not by
/// a policy, is a failure of the service.
fn is_refusal_code(text: &str) -> bool {
    let letters: String = text.chars().filter(char::is_ascii_alphanumeric).collect();
    let mut rest = letters.clone();
    for failure in CONNECTION_FAILURES {
        rest = rest.replace(failure, "");
    }
    has_one_of(&rest, REFUSALS) || has_one_of(&letters, REFUSALS) && rest.contains("policy")
}

/// How the names begin that ClamAV gives what it could not look into. c-icap passes them on as viruses.
const HEURISTICS: &[(&str, Hindrance)] = &[
    ("heuristics.limits.exceeded", Hindrance::Limit),
    ("heuristics.encrypted", Hindrance::Unscannable),
];

/// What such a name says, if it is nothing but that name.
pub(super) fn heuristic(name: &str) -> Option<Hindrance> {
    let name = without_found(name);
    let is_named = |byte: u8| byte.is_ascii_alphanumeric() || b".:()_-".contains(&byte);
    let begins = |&&(prefix, _): &&(&str, Hindrance)| {
        let begin = name.get(..prefix.len());
        begin.is_some_and(|begin| begin.eq_ignore_ascii_case(prefix))
    };
    let (_, hindrance) = HEURISTICS.iter().find(begins)?;
    name.bytes().all(is_named).then_some(*hindrance)
}

/// clamd ends what it found with this word, and some servers leave it there.
fn without_found(name: &str) -> &str {
    let (rest, end) = name
        .len()
        .checked_sub(" found".len())
        .and_then(|at| name.split_at_checked(at))
        .unwrap_or((name, ""));
    if end.eq_ignore_ascii_case(" found") {
        rest
    } else {
        name
    }
}

/// What stands in place of a name where the content could not be looked into. It takes a sentence, because
/// names of viruses have words such as "crypt" and "error" in them too; and the service must not have said
/// that it means a virus.
const SENTENCES: &[(&str, Hindrance)] = &[
    ("check error", Hindrance::Unscannable),
    ("corrupt archive", Hindrance::Unscannable),
    ("corrupt file", Hindrance::Unscannable),
    ("corrupted archive", Hindrance::Unscannable),
    ("corrupted file", Hindrance::Unscannable),
    ("damaged archive", Hindrance::Unscannable),
    ("damaged file", Hindrance::Unscannable),
    ("decode error", Hindrance::Unscannable),
    ("decompression error", Hindrance::Unscannable),
    ("encrypted archive", Hindrance::Unscannable),
    ("encrypted container", Hindrance::Unscannable),
    ("encrypted document", Hindrance::Unscannable),
    ("encrypted file", Hindrance::Unscannable),
    ("extraction error", Hindrance::Unscannable),
    ("password protected", Hindrance::Unscannable),
    ("password-protected", Hindrance::Unscannable),
    ("read error", Hindrance::Unscannable),
    ("scan aborted", Hindrance::Unscannable),
    ("scan error", Hindrance::Unscannable),
    ("scan failed", Hindrance::Unscannable),
    ("scan failure", Hindrance::Unscannable),
    ("scanning error", Hindrance::Unscannable),
    ("scanning failed", Hindrance::Unscannable),
    ("failed to scan", Hindrance::Unscannable),
    ("unable to scan", Hindrance::Unscannable),
    ("unable to open", Hindrance::Unscannable),
    ("cannot scan", Hindrance::Unscannable),
    ("cannot be scanned", Hindrance::Unscannable),
    ("cannot open", Hindrance::Unscannable),
    ("could not scan", Hindrance::Unscannable),
    ("could not be scanned", Hindrance::Unscannable),
    ("could not open", Hindrance::Unscannable),
    ("not scanned", Hindrance::Unscannable),
    ("unscannable", Hindrance::Unscannable),
    ("unsupported archive", Hindrance::Unscannable),
    ("unsupported format", Hindrance::Unscannable),
    ("container size violation", Hindrance::Limit),
    ("exceeded", Hindrance::Limit),
    ("scan incomplete", Hindrance::Limit),
    ("scan timeout", Hindrance::Limit),
    ("scan timed out", Hindrance::Limit),
    ("too big", Hindrance::Limit),
    ("too deep", Hindrance::Limit),
    ("too large", Hindrance::Limit),
    ("too many files", Hindrance::Limit),
];

/// Words that may stand beside those. Any other may be of a threat, or of a file whose name somebody
/// chose.
const BESIDE: &[&str] = &[
    "archive",
    "compression",
    "container",
    "content",
    "count",
    "decompression",
    "depth",
    "document",
    "extraction",
    "file",
    "files",
    "is",
    "layer",
    "layers",
    "level",
    "levels",
    "limit",
    "limits",
    "max",
    "maximum",
    "nesting",
    "number",
    "of",
    "ratio",
    "recursion",
    "scan",
    "size",
    "the",
    "time",
    "total",
    "violation",
    "was",
];

/// What such a sentence says, if nothing else is said.
pub(super) fn sentence(name: &str) -> Option<Hindrance> {
    let name = without_found(name).to_ascii_lowercase();
    let is_beside = |text: &str| text.split_whitespace().all(|word| BESIDE.contains(&word));
    let says = |&&(sentence, _): &&(&str, Hindrance)| {
        let around = name.split_once(sentence);
        around.is_some_and(|(before, after)| is_beside(before) && is_beside(after))
    };
    let (_, hindrance) = SENTENCES.iter().find(says)?;
    Some(*hindrance)
}
