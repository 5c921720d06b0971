//! What is denied, in the values of the fields in [`vendors`](super::vendors). All lists are in lower case.
//!
//! A wrong "nothing found" hands out malware, so each question here errs on the other side: a sentence is a
//! denial only if every word of it is known and only one of them denies; for a finding, a denial ends with the
//! first word that it does not go with; for a word such as `clean`, it lasts to the end of the clause.

use super::words::{FINDINGS, is_finding, is_refusal, is_threat};

/// Values that say "nothing found"; those in [`PERMISSIONS`] do so, too.
const SENTINELS: &[&str] = &[
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

/// Words that say the content may pass, unless they are denied. Alone, each of them says "nothing found".
const PERMISSIONS: &[&str] = &[
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

/// More words whose denial refuses. They are too vague to say "nothing found".
const VAGUE_PERMISSIONS: &[&str] = &[
    "accepted", "access", "approved", "free", "good", "harmless", "safe", "trusted",
];

/// Words that deny what follows them.
const DENIALS: &[&str] = &["0", "never", "no", "none", "not", "nothing", "without"];

/// More words that deny a permission.
const MORE_DENIALS: &[&str] = &[
    "barely", "cannot", "failed", "hardly", "neither", "non", "nor", "unable",
];

/// Denials that cannot stand alone, so a comma does not end what they deny.
const OPEN_DENIALS: &[&str] = &["never", "non", "not", "without"];

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

/// Nouns that are no harm: that none was found says nothing about threats.
const THINGS: &[&str] = &[
    "code", "content", "file", "files", "item", "items", "object", "objects", "program",
    "programs", "scan", "scanner", "software",
];

/// With a word for a threat before it, each of them is a tool against that.
const TOOLS: &[&str] = &["program", "programs", "scan", "scanner", "software"];

/// Words for harm that are no threat by [`is_threat`].
const HARMS: &[&str] = &[
    "problem",
    "problems",
    "risk",
    "risks",
    "spyware",
    "suspicious",
    "worm",
    "worms",
];

/// Whether a value, which is in no list with commas, says that nothing was found: one of [`SENTINELS`] or
/// [`PERMISSIONS`], or a sentence such as `No infected files were found.` and not a word more.
pub(super) fn is_denial(value: &[u8]) -> bool {
    let value = value.strip_suffix(b".").unwrap_or(value);
    let is_sentinel = |sentinel: &&str| value.eq_ignore_ascii_case(sentinel.as_bytes());
    let mut sentinels = SENTINELS.iter().chain(PERMISSIONS);
    sentinels.any(is_sentinel) || is_sentence_of_denial(&lower(value))
}

fn lower(text: &[u8]) -> String {
    String::from_utf8_lossy(text).to_ascii_lowercase()
}

/// `No malware was found`, `Malware was not found`, `No virus`, `The file is clean`.
fn is_sentence_of_denial(text: &str) -> bool {
    let words: Vec<&str> = text.split_ascii_whitespace().collect();
    let lists = [DENIALS, DENIED, FINDINGS, BESIDE_DENIAL, &["clean"]];
    let is_known = |word: &&str| lists.iter().any(|list| list.contains(word));
    if !words.iter().all(is_known) || has_tool(&words) {
        return false;
    }
    let mut denials = (0..words.len()).filter(|&at| DENIALS.contains(&words[at]));
    match (denials.next(), denials.next()) {
        (None, _) => is_statement_of_clean(&words),
        (Some(at), None) => DeniedBy::new(&words, at).is_everything(),
        // One may deny the other.
        (Some(_), Some(_)) => false,
    }
}

/// `No virus scan found` is about a scan.
fn has_tool(words: &[&str]) -> bool {
    let is_tool = |pair: &[&str]| is_harm(pair[0]) && TOOLS.contains(&pair[1]);
    words.windows(2).any(is_tool)
}

/// A word for something harmful; not for what is done about it.
fn is_harm(word: &str) -> bool {
    (is_threat(word) || HARMS.contains(&word)) && !is_finding(word)
}

/// `The file is clean`, without a word of harm. `Clean the file` is an order.
fn is_statement_of_clean(words: &[&str]) -> bool {
    let Some(at) = words.iter().position(|word| *word == "clean") else {
        return false;
    };
    let is_said = words[at + 1..].iter().all(|word| THINGS.contains(word));
    is_said && !words.iter().any(|word| is_finding(word) || is_harm(word))
}

/// A sentence with one denial.
struct DeniedBy<'w> {
    words: &'w [&'w str],
    before: &'w [&'w str],
    denial: &'w str,
    denied: &'w [&'w str],
    after: &'w [&'w str],
}

impl<'w> DeniedBy<'w> {
    fn new(words: &'w [&'w str], at: usize) -> Self {
        let rest = &words[at + 1..];
        let between = rest.iter().take_while(|word| DENIED.contains(word)).count();
        let (denied, after) = rest.split_at(rest.len().min(between + 1));
        Self {
            words,
            before: &words[..at],
            denial: words[at],
            denied,
            after,
        }
    }

    /// Whether each finding is denied, and where there is none, each threat; and nothing is left unclear.
    fn is_everything(&self) -> bool {
        let has_finding = |words: &[&str]| words.iter().any(|word| is_finding(word));
        let has_harm = |words: &[&str]| words.iter().any(|word| is_harm(word));
        let is_elsewhere =
            has_finding(self.before) || has_finding(self.after) || has_harm(self.after);
        if is_elsewhere || self.is_unclear() {
            return false;
        }
        if has_finding(self.denied) {
            return self.is_nothing_found();
        }
        // `Not virus` is what some call adware.
        let is_not = matches!(self.denial, "not" | "never");
        !is_not && !has_harm(self.before) && self.denied.iter().any(|word| is_threat(word))
    }

    /// `Not clean`, `Not known malware`, `All viruses were not found`.
    fn is_unclear(&self) -> bool {
        let is_not = matches!(self.denial, "not" | "never");
        let is_of_some = self.before.contains(&"all") || self.denied.contains(&"all");
        let is_of_known = is_not && self.denied.first() == Some(&"known");
        self.words.contains(&"clean") || is_of_some || is_of_known
    }

    /// Whether the denied findings mean that there is nothing: not `Malware was not blocked`, and not `File
    /// not found`.
    fn is_nothing_found(&self) -> bool {
        let has_harm = |words: &[&str]| words.iter().any(|word| is_harm(word));
        let fitting = match (has_harm(self.before), has_harm(self.denied)) {
            (true, _) => &["detected", "found"][..],
            (false, true) => &["detected", "found", "infected", "malicious"],
            (false, false) => FINDINGS,
        };
        let findings = || self.denied.iter().filter(|word| is_finding(word));
        let is_of_harm = has_harm(self.words)
            || matches!(self.denial, "none" | "nothing")
            || findings().any(|word| !matches!(*word, "detected" | "found"));
        let is_of_thing = self.words.iter().any(|word| THINGS.contains(word));
        findings().all(|word| fitting.contains(word)) && (is_of_harm || !is_of_thing)
    }
}

/// Whether a text has a word of that sort which is not denied. `FILE: No risk detected` denies; `Virus
/// found, not cleaned` does not, and what follows a finding, or anything else, may be a name that
/// somebody chose. Two denials are none.
pub(super) fn says(text: &[u8], is: impl Fn(&str) -> bool) -> bool {
    let is_between = |c: char| !c.is_ascii_alphanumeric() && !c.is_ascii_whitespace();
    lower(text).split(is_between).any(|clause| {
        let mut denials = 0;
        clause.split_ascii_whitespace().any(|word| {
            let holds = denials != 1 && is(word);
            if DENIALS.contains(&word) {
                denials += 1;
            } else if !DENIED.contains(&word) {
                denials = 0;
            }
            holds
        })
    })
}

/// Whether a text refuses the content: by a word for that, or by one for the opposite that is denied.
pub(super) fn refuses(text: &[u8]) -> bool {
    says(text, is_refusal) || denies_permission(text, Style::Words)
}

/// How a field is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    /// One word or a few for what was done: `No access` and `not none` refuse, too.
    Words,
    /// Sentences for people.
    Sentences,
}

impl Style {
    fn is_permission(self, word: &str) -> bool {
        let is_vague = || VAGUE_PERMISSIONS.contains(&word);
        PERMISSIONS.contains(&word) || word == "safe" || self == Self::Words && is_vague()
    }

    /// Alone it would have said "nothing found".
    fn is_nothing(self, word: &str) -> bool {
        self == Self::Words && (DENIALS.contains(&word) || SENTINELS.contains(&word))
    }
}

/// Whether a permission stands anywhere after a denial in the same clause, or after `un`, or a word for
/// "nothing" directly after a denial.
pub(super) fn denies_permission(text: &[u8], style: Style) -> bool {
    let text = lower(text).replace("n't", " not");
    let mut clause = Clause {
        style,
        words: Vec::new(),
    };
    text.split_ascii_whitespace()
        .any(|token| clause.is_refusal(token))
}

/// The words so far of a clause.
struct Clause<'t> {
    style: Style,
    words: Vec<&'t str>,
}

impl<'t> Clause<'t> {
    /// Takes the next token; whether it refuses with what stands before it.
    fn is_refusal(&mut self, token: &'t str) -> bool {
        if token.trim_end_matches('.') == "-" {
            let is_refusal = self.is_nothing_denied("-");
            self.end_if_denial();
            return is_refusal;
        }
        token
            .split_inclusive(ENDS)
            .any(|part| self.is_refusal_with(part))
    }

    fn is_refusal_with(&mut self, part: &'t str) -> bool {
        let is_between = |c: char| !c.is_ascii_alphanumeric();
        let word = part.trim_matches(is_between);
        let is_whole = PERMISSIONS.contains(&word) || SENTINELS.contains(&word);
        let words = word.split(|c| is_between(c) && !is_whole);
        if part.starts_with(is_between) {
            self.end_if_denial();
        }
        for word in words.filter(|word| !word.is_empty()) {
            if self.denies(word) {
                return true;
            }
            self.words.push(word);
        }
        let is_sentence_end = word.len() + 1 == part.len() && part.ends_with('.');
        if is_sentence_end || part.ends_with(ENDS) {
            self.end();
        } else if part.ends_with(is_between) {
            self.end_if_denial();
        }
        false
    }

    fn denies(&self, word: &str) -> bool {
        let is_permission = |word| self.style.is_permission(word);
        let is_denied = self.words.iter().any(is_denying);
        let is_opposite = word.strip_prefix("un").is_some_and(is_permission);
        is_opposite || is_denied && is_permission(word) || self.is_nothing_denied(word)
    }

    fn is_nothing_denied(&self, word: &str) -> bool {
        let mut before = self.words.iter().rev();
        let last = before.find(|word| !["all", "at"].contains(word));
        self.style.is_nothing(word) && last.is_some_and(is_denying)
    }

    /// A comma ends what is denied, but not in `not, however, clean`.
    fn end(&mut self) {
        if !self.words.iter().any(|word| OPEN_DENIALS.contains(word)) || self.is_denial() {
            self.words.clear();
        }
    }

    /// Other marks end it only after a whole sentence: `No virus found (clean)`.
    fn end_if_denial(&mut self) {
        if self.is_denial() {
            self.words.clear();
        }
    }

    fn is_denial(&self) -> bool {
        is_sentence_of_denial(&self.words.join(" "))
    }
}

/// What ends a clause.
const ENDS: [char; 3] = [',', ';', ':'];

fn is_denying(word: &&str) -> bool {
    DENIALS.contains(word) || MORE_DENIALS.contains(word)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::Said;
    use crate::evidence::tests::said;

    fn is_nothing(field: &str, value: &str) -> bool {
        said(&format!("{field}: {value}\r\n")) == Said::default()
    }

    /// Rule R1, for each word that says "nothing found" and each that denies.
    #[test]
    fn denied_permission_is_never_nothing_found() {
        let permissions = || SENTINELS.iter().chain(PERMISSIONS);
        let denials = || DENIALS.iter().chain(MORE_DENIALS);
        let fields = [
            "X-FSecure-Scan-Result",
            "X-Virus-ID",
            "X-Infection-Found",
            "X-Blocked-Reason",
            "X-Error-Code",
            "X-Response-Info",
        ];
        for field in fields {
            for permission in permissions() {
                assert!(is_nothing(field, permission), "{field}: {permission}");
                for denial in denials() {
                    for between in [" ", " at all ", " ... ", " at ", ", ... "] {
                        let is_open = OPEN_DENIALS.contains(denial);
                        if between.starts_with(',') && !(is_open && is_word(permission)) {
                            continue;
                        }
                        let value = format!("{denial}{between}{permission}");
                        for value in [&value, &value.to_uppercase(), &format!("It is {value}.")] {
                            assert!(!is_nothing(field, value), "{field}: {value}");
                        }
                    }
                }
            }
        }
    }

    fn is_word(permission: &str) -> bool {
        PERMISSIONS.contains(&permission)
    }

    #[test]
    fn denied_permission_in_a_description_is_a_refusal() {
        for permission in PERMISSIONS {
            for denial in DENIALS.iter().chain(MORE_DENIALS) {
                let value = format!("The file is {denial} in this case {permission}");
                assert!(!is_nothing("X-Response-Desc", &value), "{value}");
            }
        }
    }

    #[test]
    fn opposite_of_a_permission_refuses() {
        for word in PERMISSIONS.iter().chain(VAGUE_PERMISSIONS) {
            assert!(
                !is_nothing("X-Response-Info", &format!("un{word}")),
                "{word}"
            );
            assert!(
                !is_nothing("X-Response-Info", &format!("isn't {word}")),
                "{word}"
            );
            assert!(
                !is_nothing("X-Response-Info", &format!("Not-{word}")),
                "{word}"
            );
        }
    }

    #[test]
    fn permission_after_a_whole_denial_stays_one() {
        for value in [
            "No virus found, clean",
            "No virus found; clean",
            "No virus found - clean",
            "No virus found (0 infected files)",
            "Not infected. Passed.",
            "Virus-free",
        ] {
            assert!(is_nothing("X-Response-Info", value), "{value}");
        }
    }

    #[test]
    fn sentence_in_doubt_is_no_denial() {
        for value in [
            "not at all clean",
            "Not all files were clean.",
            "none in this is clean",
            "nothing in this file is clean",
            "not clean file is clean",
            "not not infected",
            "no not infected",
            "No file is not infected",
            "not without virus",
            "Malware was not blocked",
            "No malware was blocked",
            "Virus not quarantined",
            "spyware not rejected",
            "not detected virus",
            "Virus found in no file",
            "All viruses were not found",
            "no virus scan",
            "No virus scanner found",
            "The scanner was not found",
            "file not found",
            "not known malware",
            "not virus",
            "Clean the file",
            "suspicious file is clean",
            "No virus found in infected file",
        ] {
            assert!(!is_denial(value.as_bytes()), "{value}");
        }
    }

    #[test]
    fn description_of_nothing_is_no_refusal() {
        for value in [
            "No threats were found and no action was taken",
            "Access was logged, nothing else",
            "Clean, no problems",
        ] {
            assert!(is_nothing("X-Response-Desc", value), "{value}");
        }
    }
}
