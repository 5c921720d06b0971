//! What words mean, in the values of the fields in [`vendors`](super::vendors). All lists are in lower case.
//!
//! `tests/data/phrases` has phrases that servers and people write, each with what is made of it.

use super::threat::Hindrance;

/// Values that say "nothing found".
const SENTINELS: &[&str] = &[
    "no threats",
    "no threat",
    "none",
    "no",
    "n/a",
    "null",
    "clean",
    "passed",
    "allowed",
    "ok",
    "benign",
    "uninfected",
    "undetected",
    "virus-free",
    "-",
    "0",
    "false",
];

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
const FINDINGS: &[&str] = &[
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

/// Words that say the content may pass, unless they are denied.
const PERMISSIONS: &[&str] = &["allowed", "clean", "passed", "permitted"];

/// Words that deny what directly follows them.
const DENIALS: &[&str] = &["0", "never", "no", "none", "not", "nothing", "without"];

/// Words for what is denied, between the denial and the finding.
const DENIED: &[&str] = &[
    "any",
    "anything",
    "are",
    "been",
    "code",
    "content",
    "file",
    "files",
    "has",
    "have",
    "infected",
    "infection",
    "infections",
    "is",
    "item",
    "items",
    "known",
    "malicious",
    "malware",
    "malwares",
    "object",
    "objects",
    "or",
    "problem",
    "problems",
    "program",
    "programs",
    "risk",
    "risks",
    "software",
    "spyware",
    "suspicious",
    "threat",
    "threats",
    "trojan",
    "trojans",
    "virus",
    "viruses",
    "was",
    "were",
    "worm",
    "worms",
];

/// What else a denial may say. A word that is in no list may be the name of a threat.
const BESIDE_DENIAL: &[&str] = &["all", "at", "by", "in", "scan", "scanner", "the", "this"];

/// Whether a value, which is in no list with commas, says that nothing was found: one of [`SENTINELS`], or a
/// sentence such as `No infected files were found.` and not a word more.
pub(super) fn is_denial(value: &[u8]) -> bool {
    let value = value.strip_suffix(b".").unwrap_or(value);
    let is_sentinel = |sentinel: &&str| value.eq_ignore_ascii_case(sentinel.as_bytes());
    SENTINELS.iter().any(is_sentinel) || is_sentence_of_denial(value)
}

/// `No malware was found`, `Malware was not found`, `No virus`, `The file is clean`: each finding is denied, and
/// where there is none, each threat.
fn is_sentence_of_denial(value: &[u8]) -> bool {
    let text = String::from_utf8_lossy(value).to_ascii_lowercase();
    let lists = [DENIALS, DENIED, FINDINGS, BESIDE_DENIAL, &["clean"]];
    let is_known = |word: &str| lists.iter().any(|list| list.contains(&word));
    let has = |is: fn(&str) -> bool| text.split_ascii_whitespace().any(is);
    if !text.split_ascii_whitespace().all(is_known) || says(value, is_finding) {
        return false;
    }
    let is_clean = |word: &str| word == "clean";
    if has(is_finding) {
        return !any_word(value, |word, is_denied| is_denied && is_clean(word));
    }
    !tells_of_threat(value) && (has(is_threat) || says(value, is_clean))
}

/// Whether words are about a threat, and do not say that there is none.
pub(super) fn tells_of_threat(text: &[u8]) -> bool {
    says(text, is_threat)
}

/// The word for the scanner itself is none for what it finds.
fn is_threat(word: &str) -> bool {
    let is_other = word.starts_with("antivirus") || word.starts_with("uninfected");
    !is_other && has_one_of(word, THREATS)
}

pub(super) fn is_finding(word: &str) -> bool {
    FINDINGS.contains(&word)
}

pub(super) fn is_found(word: &str) -> bool {
    FOUND.contains(&word)
}

fn is_refusal(word: &str) -> bool {
    is_finding(word) || is_threat(word) || has_one_of(word, REFUSALS)
}

/// Whether a text refuses the content: by a word for that, or by one for the opposite that is denied.
pub(super) fn refuses(text: &[u8]) -> bool {
    let is_denied_permission =
        |word: &str, is_denied: bool| is_denied && PERMISSIONS.contains(&word);
    says(text, is_refusal) || any_word(text, is_denied_permission)
}

fn has_one_of(word: &str, stems: &[&str]) -> bool {
    stems.iter().any(|stem| word.contains(stem))
}

/// Whether a text has a word of that sort which is not denied. `FILE: No risk detected` denies; `Virus
/// found, not cleaned` does not, and what follows a finding, or anything else, may be a name that
/// somebody chose.
pub(super) fn says(text: &[u8], is: impl Fn(&str) -> bool) -> bool {
    any_word(text, |word, is_denied| !is_denied && is(word))
}

/// Whether `is` holds for a word, given whether that is denied.
fn any_word(text: &[u8], is: impl Fn(&str, bool) -> bool) -> bool {
    let is_between = |c: char| !c.is_ascii_alphanumeric() && !c.is_ascii_whitespace();
    let text = String::from_utf8_lossy(text).to_ascii_lowercase();
    text.split(is_between).any(|clause| {
        let mut is_denied = false;
        clause.split_ascii_whitespace().any(|word| {
            let holds = is(word, is_denied);
            is_denied = DENIALS.contains(&word) || is_denied && DENIED.contains(&word);
            holds
        })
    })
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
    "connection",
    "engine",
    "internal",
    "licen",
    "memory",
    "overload",
    "server",
    "service",
    "space",
    "timed_out",
    "timeout",
    "unavailable",
];

/// What a code says, the worst first. One that is not known is about the content.
pub(super) fn error_code(code: &[u8]) -> Code {
    let text = String::from_utf8_lossy(code).to_ascii_lowercase();
    let is_limit = text.starts_with("max_") || text.contains("exceeded");
    // A connection that is refused or rejected is the service's.
    let is_refusal = has_one_of(&text, REFUSALS) && !text.contains("connection");
    if is_denial(code) {
        Code::Nothing
    } else if tells_of_threat(code) {
        Code::Threat
    } else if is_refusal {
        Code::Refusal
    } else if is_limit {
        Code::Hindrance(Hindrance::Limit)
    } else if has_one_of(&text, FAILURES) {
        Code::Failure
    } else {
        Code::Hindrance(Hindrance::Unscannable)
    }
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
