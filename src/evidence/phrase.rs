//! Words in a text that are not denied.

use super::words::{DENIABLE, DENIALS, is_threat};

/// Whether a text names a threat and does not say that there is none.
pub(super) fn names_threat(text: &[u8]) -> bool {
    has_undenied(text, is_threat)
}

/// Whether a text has such a word that is not denied: `FILE: No risk detected` denies, `Virus found, not
/// cleaned` does not. Two denials deny nothing.
///
/// A denial ends with the first word that is not [deniable](DENIABLE). What follows a finding, or any other
/// word, may be a name that anybody may have chosen.
pub(super) fn has_undenied(text: &[u8], is: impl Fn(&str) -> bool) -> bool {
    let ends_clause = |c: char| !c.is_ascii_alphanumeric() && !c.is_ascii_whitespace();
    lower(text).split(ends_clause).any(|clause| {
        let mut denials = 0;
        clause.split_ascii_whitespace().any(|word| {
            let is_undenied = denials != 1 && is(word);
            if DENIALS.contains(&word) {
                denials += 1;
            } else if !DENIABLE.contains(&word) {
                denials = 0;
            }
            is_undenied
        })
    })
}

pub(super) fn lower(text: &[u8]) -> String {
    String::from_utf8_lossy(text).to_ascii_lowercase()
}
