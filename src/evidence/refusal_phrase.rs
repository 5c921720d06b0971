//! Texts that refuse the content.
//!
//! A permission such as `clean` is denied to the end of its clause: in doubt the content is refused.

use super::nothing_found::is_sentence_of_denial;
use super::phrase::{has_undenied, lower};
use super::words::{
    DENIALS, MORE_DENIALS, OPEN_DENIALS, PERMISSIONS, SENTINELS, VAGUE_PERMISSIONS, is_refusal,
};

/// Whether a text refuses the content: by a word for a refusal, or by a permission that is denied.
pub(super) fn refuses(text: &[u8]) -> bool {
    has_undenied(text, is_refusal) || denies_permission(text, Style::Words)
}

/// What the value of a field is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    /// One word or a few for what was done. `No access` and `not none` refuse as well.
    Words,
    /// Sentences for people.
    Sentences,
}

impl Style {
    fn is_permission(self, word: &str) -> bool {
        let is_vague = || VAGUE_PERMISSIONS.contains(&word);
        PERMISSIONS.contains(&word) || word == "safe" || self == Self::Words && is_vague()
    }

    /// Whether the word alone would say "nothing found".
    fn is_nothing(self, word: &str) -> bool {
        self == Self::Words && (DENIALS.contains(&word) || SENTINELS.contains(&word))
    }
}

/// Whether a permission is denied: it stands anywhere after a denial in the same clause, or after `un`; or a
/// word for "nothing" stands directly after a denial.
pub(super) fn denies_permission(text: &[u8], style: Style) -> bool {
    let text = lower(text).replace("n't", " not");
    let mut clause = Clause {
        style,
        words: Vec::new(),
    };
    text.split_ascii_whitespace()
        .any(|token| clause.is_refusal(token))
}

/// The words of a clause up to the present one.
struct Clause<'t> {
    style: Style,
    words: Vec<&'t str>,
}

impl<'t> Clause<'t> {
    /// Takes the next token. Returns whether it refuses together with the words before it.
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

    /// A comma ends what is denied, except after an open denial: `not, however, clean`.
    fn end(&mut self) {
        if !self.words.iter().any(|word| OPEN_DENIALS.contains(word)) || self.is_denial() {
            self.words.clear();
        }
    }

    /// Other marks end what is denied only after a whole sentence: `No virus found (clean)`.
    fn end_if_denial(&mut self) {
        if self.is_denial() {
            self.words.clear();
        }
    }

    fn is_denial(&self) -> bool {
        is_sentence_of_denial(&self.words.join(" "))
    }
}

/// Marks that end a clause.
const ENDS: [char; 3] = [',', ';', ':'];

fn is_denying(word: &&str) -> bool {
    DENIALS.contains(word) || MORE_DENIALS.contains(word)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::Findings;
    use crate::evidence::tests::findings;

    fn is_nothing(field: &str, value: &str) -> bool {
        findings(&format!("{field}: {value}\r\n")) == Findings::default()
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
