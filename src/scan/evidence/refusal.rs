//! Refusals, and what the words for them tell. Words are for people: alone, a refusal whose words tell of
//! a threat is a refusal. They count for more where other fields say that nothing was looked at.

use super::{Evidence, Hindrance, Threats, is_one_of, unnamed};
use crate::proto::header::Field;

/// A refusal, and the words for it.
#[derive(Default)]
pub(super) struct Refusal {
    is_refused: bool,
    tells_of_threat: bool,
    /// The words that say that a threat was found.
    found: Option<String>,
    reason: Option<String>,
    description: Option<String>,
    info: Option<String>,
}

/// Fields whose value says why content was refused.
const BLOCK_REASONS: &[&str] = &[
    "X-Blocked-Reason",
    "X-Block-Reason",
    "X-MWG-Block-Reason",
    "X-Blocked",
];

/// Fields that say, by a number, that content was refused.
const BLOCK_RESULTS: &[&str] = &["X-Block-Result", "X-WWBlockResult"];

/// Fields with a sentence for people, which need not be about a refusal.
const DESCRIPTIONS: &[&str] = &["X-Response-Desc", "X-Response-Description"];

/// How words of `X-Response-Info` read, in part, that say the content was refused.
const REFUSALS: &[&str] = &["block", "denied", "quarantin", "reject"];

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

/// Words that deny what stands directly behind them.
const DENIALS: &[&str] = &["0", "never", "no", "none", "not", "nothing", "without"];

/// Words for what is denied, between the denial and the finding.
const DENIED: &[&str] = &[
    "content",
    "malicious",
    "malware",
    "object",
    "objects",
    "risk",
    "risks",
    "threat",
    "threats",
    "virus",
    "viruses",
];

impl Refusal {
    pub(super) fn read(&mut self, field: &Field<'_>, value: &[u8]) {
        let (place, refuses) = if is_one_of(field, BLOCK_REASONS) {
            (&mut self.reason, true)
        } else if is_one_of(field, DESCRIPTIONS) {
            (&mut self.description, says(value, is_finding))
        } else if is_one_of(field, BLOCK_RESULTS)
            || field.is("X-Response-Info") && says(value, is_refusal)
        {
            (&mut self.info, true)
        } else {
            return;
        };
        place.get_or_insert_with(|| field.text());
        self.is_refused |= refuses;
        if tells_of_threat(value) {
            self.tells_of_threat = true;
            if says(value, |word| FOUND.contains(&word)) {
                self.found.get_or_insert_with(|| field.text());
            }
        }
    }

    /// The most telling words, if there was a refusal.
    pub(super) fn words(self) -> Option<String> {
        let words = self.reason.or(self.description).or(self.info);
        self.is_refused.then(|| words.unwrap_or_default())
    }

    /// The worse one of this and what hindered the scan: a service that tells of a threat has looked.
    pub(super) fn or_hindrance(self, hindrance: Hindrance, what: String) -> Evidence {
        match (self.is_refused && self.tells_of_threat, self.found.clone()) {
            (false, _) => Evidence::Hindered(hindrance, what),
            (true, None) => Evidence::Blocked(self.words().unwrap_or_default()),
            (true, found) => Evidence::Infected(Threats(vec![unnamed(found)])),
        }
    }
}

/// Whether words are about a threat, and do not say that there is none.
pub(super) fn tells_of_threat(text: &[u8]) -> bool {
    says(text, is_threat)
}

/// The word for the scanner itself is none for what it finds.
fn is_threat(word: &str) -> bool {
    !word.starts_with("antivirus") && has_one_of(word, THREATS)
}

fn is_finding(word: &str) -> bool {
    FINDINGS.contains(&word)
}

fn is_refusal(word: &str) -> bool {
    is_finding(word) || is_threat(word) || has_one_of(word, REFUSALS)
}

fn has_one_of(word: &str, stems: &[&str]) -> bool {
    stems.iter().any(|stem| word.contains(stem))
}

/// Whether a text has a word of that sort which is not denied. `FILE: No risk detected` denies; `Virus
/// found, not cleaned` does not, and what stands behind a finding, or anywhere else, may be a name that
/// somebody chose.
fn says(text: &[u8], is: impl Fn(&str) -> bool) -> bool {
    let is_between = |c: char| !c.is_ascii_alphanumeric() && !c.is_ascii_whitespace();
    let text = String::from_utf8_lossy(text).to_ascii_lowercase();
    text.split(is_between).any(|clause| {
        let mut is_denied = false;
        clause.split_ascii_whitespace().any(|word| {
            let says = is(word) && !is_denied;
            is_denied = DENIALS.contains(&word) || is_denied && DENIED.contains(&word);
            says
        })
    })
}

#[cfg(test)]
mod tests {
    use super::super::tests::{evidence, is_infected, threats};
    use super::*;

    fn is_blocked(fields: &str) -> bool {
        matches!(evidence(fields), Some(Evidence::Blocked(_)))
    }

    #[test]
    fn a_refusal_is_recognised_by_its_words() {
        for (value, refuses) in [
            ("Blocked", true),
            ("\"blocked\"", true),
            ("Access denied", true),
            ("virus found", true),
            ("INFECTED", true),
            ("Threat detected", true),
            ("quarantined", true),
            ("Trojan", true),
            ("No access: blocked", true),
            ("No threats found", false),
            ("not infected", false),
            ("not found", false),
        ] {
            let fields = format!("X-Response-Info: {value}\r\n");
            assert_eq!(evidence(&fields).is_some(), refuses, "{value}");
            assert_eq!(is_blocked(&fields), refuses, "{value}");
        }
    }

    #[test]
    fn words_of_a_threat_outweigh_what_hindered_the_scan() {
        for hindrance in [
            "X-Error-Code: scan_incomplete\r\n",
            "X-Infection-Found: Type=2; Threat=Locked\r\n",
        ] {
            for words in [
                "X-Response-Info: infected with virus Eicar",
                "X-Blocked-Reason: Infected",
                "X-Response-Desc: Virus found, not cleaned",
            ] {
                assert!(is_blocked(&format!("{words}\r\n")), "{words}");
                assert!(is_infected(&format!("{words}\r\n{hindrance}")), "{words}");
                let found = threats(&format!("{hindrance}{words}\r\n"));
                let said = words.split_once(": ").map(|(_, said)| said);
                assert_eq!(found[0].description(), said);
            }
            assert!(is_blocked(&format!(
                "{hindrance}X-Blocked: malware policy\r\n"
            )));
            for words in [
                "X-Response-Info: blocked",
                "X-Response-Desc: No virus found, antivirus busy",
            ] {
                let evidence = evidence(&format!("{hindrance}{words}\r\n"));
                assert!(matches!(evidence, Some(Evidence::Hindered(..))), "{words}");
            }
        }
    }

    #[test]
    fn an_error_code_may_tell_of_a_threat() {
        for code in ["virus_found", "malware_detected", "file_infected"] {
            let found = threats(&format!("X-Error-Code: {code}\r\n"));
            assert_eq!(found[0].description(), Some(code));
        }
        for code in [
            "antivirus_license_expired",
            "file_type_blocked",
            "file_extension_blocked",
        ] {
            let evidence = evidence(&format!("X-Error-Code: {code}\r\n"));
            assert!(matches!(evidence, Some(Evidence::Hindered(..))), "{code}");
        }
    }

    #[test]
    fn the_most_telling_words_for_a_refusal_are_kept() {
        let info = "X-Response-Info: Blocked\r\n";
        let description = "X-Response-Description: Gel\u{f6}scht\r\n";
        let reason = "X-Blocked-Reason: Filetype mismatch\r\n";
        for (fields, words) in [
            (info.to_owned(), "Blocked"),
            (format!("{info}{description}"), "Gel\u{f6}scht"),
            (format!("{info}{description}{reason}"), "Filetype mismatch"),
            (format!("{reason}{info}"), "Filetype mismatch"),
            ("X-Block-Result: 80\r\n".to_owned(), "80"),
        ] {
            let expected = Some(Evidence::Blocked(words.to_owned()));
            assert_eq!(evidence(&fields), expected, "{fields}");
        }
        assert_eq!(evidence(description), None, "words for nothing");
    }

    #[test]
    fn a_description_is_a_refusal_only_if_it_tells_of_a_finding() {
        for (text, refuses) in [
            ("Trojan malicious object detected", true),
            ("URL: No risk rating from WRS; FILE: Detected by ATSE", true),
            ("Infected", true),
            ("Infected file could not be disinfected", true),
            ("Virus found, not cleaned", true),
            ("malicious object detected, 0 cured", true),
            ("not clean: virus found", true),
            ("No malicious content found", false),
            ("\"no\" infected", true),
            (
                "URL: No risk rating from WRS; FILE: No risk detected",
                false,
            ),
            ("0 viruses found", false),
            ("Nothing found", false),
            ("Undetected", false),
            ("Scanned", false),
        ] {
            let evidence = evidence(&format!("X-Response-Desc: {text}\r\n"));
            assert_eq!(evidence.is_some(), refuses, "{text}");
        }
    }
}
