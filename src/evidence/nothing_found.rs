//! Values and sentences that say "nothing found".
//!
//! A wrong "nothing found" hands out malware. So a sentence says it only if every word is in a list, exactly one
//! word denies, and no doubt is left.

use super::phrase::lower;
use super::words::{
    BESIDE_DENIAL, DENIABLE, DENIALS, FINDINGS, PERMISSIONS, SENTINELS, THINGS, TOOLS, is_finding,
    is_harm, is_threat,
};

/// Whether a value without commas says that nothing was found: it is one of [`SENTINELS`] or [`PERMISSIONS`], or
/// a sentence such as `No infected files were found.`
pub(super) fn is_nothing_found(value: &[u8]) -> bool {
    let value = value.strip_suffix(b".").unwrap_or(value);
    let is_sentinel = |sentinel: &&str| value.eq_ignore_ascii_case(sentinel.as_bytes());
    let mut sentinels = SENTINELS.iter().chain(PERMISSIONS);
    sentinels.any(is_sentinel) || is_sentence_of_denial(&lower(value))
}

/// Whether a text in lower case is a sentence such as `no malware was found`, `malware was not found`, `no
/// virus` or `the file is clean`, and has no word that is not in a list.
pub(super) fn is_sentence_of_denial(text: &str) -> bool {
    let words: Vec<&str> = text.split_ascii_whitespace().collect();
    let lists = [DENIALS, DENIABLE, FINDINGS, BESIDE_DENIAL, &["clean"]];
    let is_known = |word: &&str| lists.iter().any(|list| list.contains(word));
    if !words.iter().all(is_known) || has_tool(&words) {
        return false;
    }
    let mut denials = (0..words.len()).filter(|&at| DENIALS.contains(&words[at]));
    match (denials.next(), denials.next()) {
        (None, _) => is_statement_of_clean(&words),
        (Some(at), None) => Denial::new(&words, at).is_everything(),
        // One denial may deny the other.
        (Some(_), Some(_)) => false,
    }
}

/// `No virus scan found` is about a tool, and not about a virus.
fn has_tool(words: &[&str]) -> bool {
    let is_tool = |pair: &[&str]| is_harm(pair[0]) && TOOLS.contains(&pair[1]);
    words.windows(2).any(is_tool)
}

/// `The file is clean`, without a word for harm. `Clean the file` is an order.
fn is_statement_of_clean(words: &[&str]) -> bool {
    let Some(at) = words.iter().position(|word| *word == "clean") else {
        return false;
    };
    let has_only_things = words[at + 1..].iter().all(|word| THINGS.contains(word));
    has_only_things && !words.iter().any(|word| is_finding(word) || is_harm(word))
}

/// A sentence with one denial, in its parts.
struct Denial<'w> {
    words: &'w [&'w str],
    before: &'w [&'w str],
    denial: &'w str,
    denied: &'w [&'w str],
    after: &'w [&'w str],
}

impl<'w> Denial<'w> {
    fn new(words: &'w [&'w str], at: usize) -> Self {
        let rest = &words[at + 1..];
        let between = rest
            .iter()
            .take_while(|word| DENIABLE.contains(word))
            .count();
        let (denied, after) = rest.split_at(rest.len().min(between + 1));
        Self {
            words,
            before: &words[..at],
            denial: words[at],
            denied,
            after,
        }
    }

    /// Whether each finding is denied (where there is none, each threat), and no doubt is left.
    fn is_everything(&self) -> bool {
        let has_finding = |words: &[&str]| words.iter().any(|word| is_finding(word));
        let has_harm = |words: &[&str]| words.iter().any(|word| is_harm(word));
        let is_elsewhere =
            has_finding(self.before) || has_finding(self.after) || has_harm(self.after);
        if is_elsewhere || self.is_unclear() {
            return false;
        }
        if has_finding(self.denied) {
            return self.means_nothing_found();
        }
        // Some vendors call adware `not virus`.
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

    /// Whether the denied findings mean that nothing was found. `Malware was not blocked` and `File not found`
    /// mean something else.
    fn means_nothing_found(&self) -> bool {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::tests::{evidence, is_infected};

    #[test]
    fn sentence_in_doubt_is_not_nothing_found() {
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
            assert!(!is_nothing_found(value.as_bytes()), "{value}");
        }
    }

    #[test]
    fn nothing_found_is_no_evidence() {
        for fields in [
            "X-Virus-ID: no threats\r\n",
            "X-Virus-ID: NONE\r\n",
            "X-Virus-ID: No virus found in the file\r\n",
            "X-Virus-ID: no threats, no threats\r\n",
            "X-Infection-Found: none, none\r\n",
            "X-Error-Code: 0, 0\r\n",
            "X-Response-Info: passed\r\n",
            "X-Response-Info: Allowed\r\n",
            "X-FSecure-Scan-Result: clean\r\n",
            "X-Infection-Found: none\r\n",
            "X-Infection-Found: Threat=none;\r\n",
            "X-Blocked: false\r\n",
            "Server: X-Infection-Found\r\n",
            "",
        ] {
            assert_eq!(evidence(fields), None, "{fields}");
        }
    }

    #[test]
    fn field_that_is_present_is_evidence() {
        for fields in [
            "X-Virus-ID:\r\n",
            "X-Virus-Name: \"\"\r\n",
            "X-Virus-Name: none,\r\n",
            "X-Virus-Name: none, A\r\n",
            "X-FSecure-Scan-Result: suspected, maybe\r\n",
            "X-FSecure-Scan-Result: infected\r\n",
            "X-Infection-Found: Type=0; Threat=none\r\n",
            "X-Infection-Found: Resolution=2; Threat=-;\r\n",
            "X-Infection-Found: Type=virus; Threat=OK\r\n",
            "X-Infection-Found: Threat=Eicar; Threat=none\r\n",
            "X-Infection-Found: =Eicar\r\n",
            "X-Infection-Found: ;\r\n",
            "X-Infection-Found: ,\r\n",
            "X-Violations-Found: 0\r\n\tThreatDescription=Eicar\r\n",
            "X-FSecure-Infected-Filename: x\r\n",
        ] {
            assert!(is_infected(fields), "{fields}");
        }
        for name in ["\"clean\"", "no", "0", "none", "OK", "false", ""] {
            let fields = format!("X-FSecure-Infected-Filename: {name}\r\n");
            assert!(is_infected(&fields), "a file may be called {name}");
        }
        assert_eq!(evidence("X-FSecure-Infected-Filename: \"-\"\r\n"), None);
    }
}
