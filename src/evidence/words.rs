//! Every list of words, and which word is in which. All words are in lower case.
//!
//! `tests/data/phrases` has phrases that servers and people write, each with the reading that is expected.
//!
//! A stem counts wherever it stands in a word; every other entry is a whole word or a whole phrase.

// Words for threats and refusals

/// Stems of words for a threat.
pub(super) const THREAT_STEMS: &[&str] = &[
    "infect",
    "malicious",
    "malware",
    "threat",
    "trojan",
    "virus",
];

/// Stems of words for a refusal.
pub(super) const REFUSAL_STEMS: &[&str] = &[
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

/// Words for a result of a scan, or for what was done because of it.
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

/// The words of [`FINDINGS`] that say that something was found.
pub(super) const DETECTIONS: &[&str] = &["detected", "found", "infected"];

/// Words for something harmful that [`THREAT_STEMS`] do not have.
pub(super) const HARMS: &[&str] = &[
    "problem",
    "problems",
    "risk",
    "risks",
    "spyware",
    "suspicious",
    "worm",
    "worms",
];

// "Nothing found"

/// Values that say "nothing found". Those of [`PERMISSIONS`] do so as well.
pub(super) const SENTINELS: &[&str] = &[
    "no threats",
    "no threat",
    "none",
    "no",
    "n/a",
    "null",
    "-",
    "0",
    "false",
];

/// Words that say that the content may pass, unless they are denied. Alone, each says "nothing found".
pub(super) const PERMISSIONS: &[&str] = &[
    "allowed",
    "benign",
    "clean",
    "ok",
    "passed",
    "permitted",
    "undetected",
    "uninfected",
    "virus-free",
];

/// More words that refuse if they are denied. They are too vague to say "nothing found".
pub(super) const VAGUE_PERMISSIONS: &[&str] = &[
    "accepted", "access", "approved", "free", "good", "harmless", "safe", "trusted",
];

/// Words that deny what follows them.
pub(super) const DENIALS: &[&str] = &["0", "never", "no", "none", "not", "nothing", "without"];

/// More words that deny a permission.
pub(super) const MORE_DENIALS: &[&str] = &[
    "barely", "cannot", "failed", "hardly", "neither", "non", "nor", "unable",
];

/// Denials that cannot stand alone, so a comma does not end what they deny.
pub(super) const OPEN_DENIALS: &[&str] = &["never", "non", "not", "without"];

/// Words that may stand between a denial and what it denies.
pub(super) const DENIABLE: &[&str] = &[
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

/// More words that a sentence of denial may have. A word that is in no list may be the name of a threat.
pub(super) const BESIDE_DENIAL: &[&str] =
    &["all", "at", "by", "in", "scan", "scanner", "the", "this"];

/// Nouns that are no harm. That none of them was found says nothing about threats.
pub(super) const THINGS: &[&str] = &[
    "code", "content", "file", "files", "item", "items", "object", "objects", "program",
    "programs", "scan", "scanner", "software",
];

/// Words that, after a word for a threat, name a tool against it: `virus scanner`.
pub(super) const TOOLS: &[&str] = &["program", "programs", "scan", "scanner", "software"];

// Codes of `X-Error-Code`

/// Stems of codes about the service and not about the content. Broadcom's are `antivirus_load_failure`,
/// `antivirus_license_expired`, `antivirus_engine_error`, `connection_failure`, `internal_error`,
/// `server_error`, `server_unavailable`, `insufficient_space`, `request_timeout` and `scan_timeout`.
pub(super) const SERVICE_STEMS: &[&str] = &[
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

/// Endings of codes about the service: `disk_full`, `scanner_down`.
pub(super) const SERVICE_ENDINGS: &[&str] = &["_down", " down", "_full", " full", "diskfull"];

/// Stems of codes about a limit for content.
pub(super) const CONTENT_STEMS: &[&str] = &[
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

/// Codes about the service's own connections, without the marks between the words.
pub(super) const CONNECTION_FAILURES: &[&str] = &[
    "connectionrefused",
    "connectionrejected",
    "connectionwasrefused",
    "connectionwasrejected",
    "refusedconnection",
    "rejectedconnection",
];

// Content that could not be scanned

/// Beginnings of the names that ClamAV gives to content over a limit. c-icap forwards them as names of
/// viruses.
pub(super) const LIMIT_NAMES: &[&str] = &["heuristics.limits.exceeded"];

/// Beginnings of the names that ClamAV gives to content that it cannot open.
pub(super) const UNSCANNABLE_NAMES: &[&str] = &["heuristics.encrypted"];

/// Phrases in place of a name, for content that could not be opened. Single words are no proof: names of
/// viruses have `crypt` and `error` in them as well.
pub(super) const UNSCANNABLE_PHRASES: &[&str] = &[
    "check error",
    "corrupt archive",
    "corrupt file",
    "corrupted archive",
    "corrupted file",
    "damaged archive",
    "damaged file",
    "decode error",
    "decompression error",
    "encrypted archive",
    "encrypted container",
    "encrypted document",
    "encrypted file",
    "extraction error",
    "password protected",
    "password-protected",
    "read error",
    "scan aborted",
    "scan error",
    "scan failed",
    "scan failure",
    "scanning error",
    "scanning failed",
    "failed to scan",
    "unable to scan",
    "unable to open",
    "cannot scan",
    "cannot be scanned",
    "cannot open",
    "could not scan",
    "could not be scanned",
    "could not open",
    "not scanned",
    "unscannable",
    "unsupported archive",
    "unsupported format",
];

/// Phrases in place of a name, for content over a limit.
pub(super) const LIMIT_PHRASES: &[&str] = &[
    "container size violation",
    "exceeded",
    "scan incomplete",
    "scan timeout",
    "scan timed out",
    "too big",
    "too deep",
    "too large",
    "too many files",
];

/// Words that may stand beside those phrases. Any other may belong to the name of a threat, or of a file,
/// which anybody may have chosen.
pub(super) const BESIDE_PHRASE: &[&str] = &[
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

/// Whether a word names a threat. The words for the scanner itself (`antivirus`) do not.
pub(super) fn is_threat(word: &str) -> bool {
    let is_other = word.starts_with("antivirus") || word.starts_with("uninfected");
    !is_other && has_stem(word, THREAT_STEMS)
}

/// Whether a word names something harmful, and not the result of a scan.
pub(super) fn is_harm(word: &str) -> bool {
    (is_threat(word) || HARMS.contains(&word)) && !is_finding(word)
}

pub(super) fn is_finding(word: &str) -> bool {
    FINDINGS.contains(&word)
}

pub(super) fn is_detection(word: &str) -> bool {
    DETECTIONS.contains(&word)
}

/// Whether a word refuses the content unless it is denied.
pub(super) fn is_refusal(word: &str) -> bool {
    is_finding(word) || is_threat(word) || has_stem(word, REFUSAL_STEMS)
}

pub(super) fn has_stem(word: &str, stems: &[&str]) -> bool {
    stems.iter().any(|stem| word.contains(stem))
}
