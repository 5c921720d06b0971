//! Content that the service could not scan, by the name or phrase that it gives in place of a threat's name.

use super::words::{
    BESIDE_PHRASE, LIMIT_NAMES, LIMIT_PHRASES, UNSCANNABLE_NAMES, UNSCANNABLE_PHRASES,
};

/// Why content was not, or not completely, scanned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hindrance {
    /// The content is over a limit of the service.
    Limit,
    /// The content cannot be opened: it is encrypted, damaged, or of a type that the service does not read.
    Unscannable,
}

impl Hindrance {
    /// What a name of ClamAV's heuristics says, if it is nothing but that name.
    pub(super) fn of_name(name: &str) -> Option<Self> {
        let name = without_found(name);
        let is_of_name = |byte: u8| byte.is_ascii_alphanumeric() || b".:()_-".contains(&byte);
        let begins_as = |prefix: &&str| {
            let begin = name.get(..prefix.len());
            begin.is_some_and(|begin| begin.eq_ignore_ascii_case(prefix))
        };
        if !name.bytes().all(is_of_name) {
            None
        } else if LIMIT_NAMES.iter().any(begins_as) {
            Some(Self::Limit)
        } else if UNSCANNABLE_NAMES.iter().any(begins_as) {
            Some(Self::Unscannable)
        } else {
            None
        }
    }

    /// What a phrase says that stands in place of a name, if the text has nothing but known words beside it.
    pub(super) fn of_phrase(text: &str) -> Option<Self> {
        let text = without_found(text).to_ascii_lowercase();
        let is_filler = |part: &str| {
            let mut words = part.split_whitespace();
            words.all(|word| BESIDE_PHRASE.contains(&word))
        };
        let is_all = |phrase: &&str| {
            let around = text.split_once(phrase);
            around.is_some_and(|(before, after)| is_filler(before) && is_filler(after))
        };
        if UNSCANNABLE_PHRASES.iter().any(is_all) {
            Some(Self::Unscannable)
        } else if LIMIT_PHRASES.iter().any(is_all) {
            Some(Self::Limit)
        } else {
            None
        }
    }
}

/// clamd puts this word after each name, and some servers leave it there.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::Evidence;
    use crate::evidence::tests::{evidence, threats};

    #[test]
    fn limit_or_locked_container_is_no_virus() {
        let limit = |what: &str| Some(Evidence::Hindered(Hindrance::Limit, what.into()));
        let unscannable =
            |what: &str| Some(Evidence::Hindered(Hindrance::Unscannable, what.into()));
        for (fields, expected) in [
            (
                "X-Infection-Found: Type=0; Resolution=2; Threat=Heuristics.Limits.Exceeded.MaxFileSize;\r\n",
                limit("Heuristics.Limits.Exceeded.MaxFileSize"),
            ),
            (
                "X-Virus-ID: heuristics.limits.exceeded\r\n",
                limit("heuristics.limits.exceeded"),
            ),
            (
                "X-Infection-Found: Type=2; Threat=Locked\r\nX-Virus-ID: Locked\r\n",
                unscannable("Locked"),
            ),
            (
                "X-Infection-Found: Type=2;\r\n",
                unscannable("container violation"),
            ),
            (
                "X-Virus-ID: Heuristics.Encrypted.Zip\r\n",
                unscannable("Heuristics.Encrypted.Zip"),
            ),
            (
                "X-Error-Code: password_protected\r\n",
                unscannable("password_protected"),
            ),
            (
                "X-Error-Code: max_archive_layers_exceeded\r\n",
                limit("max_archive_layers_exceeded"),
            ),
            ("X-Error-Code: Max_Size\r\n", limit("Max_Size")),
            ("X-Error-Code: time_Exceeded\r\n", limit("time_Exceeded")),
        ] {
            assert_eq!(evidence(fields), expected, "{fields}");
        }
    }

    #[test]
    fn phrase_for_a_hindrance_is_a_threat_only_if_called_one() {
        for (name, hindrance) in [
            ("Encrypted Archive", Hindrance::Unscannable),
            ("File is password protected", Hindrance::Unscannable),
            ("Scan error", Hindrance::Unscannable),
            ("Container size violation", Hindrance::Limit),
        ] {
            let policy = format!("X-Infection-Found: Type=1; Threat={name};\r\n");
            let expected = Some(Evidence::Hindered(hindrance, name.to_owned()));
            assert_eq!(evidence(&policy), expected, "{name}");
            let virus = policy.replace("Type=1", "Type=0");
            assert_eq!(threats(&virus)[0].name(), Some(name));
        }
        for name in [
            "W32.Crypt.Error",
            "Encrypted",
            "Password Stealer",
            "Ransom.Encrypted File",
            "Trojan.Scan Error Generic",
            "Eicar in password protected.zip",
            "Eicar Encrypted Archive",
            "Scan error: Eicar",
            "Heuristics.Encrypted.Zip; Eicar",
        ] {
            assert_eq!(
                threats(&format!("X-Virus-ID: {name}\r\n"))[0].name(),
                Some(name)
            );
        }
    }
}
