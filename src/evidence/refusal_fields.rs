//! The fields that say in words that the content was refused.
//!
//! These words are for people. A refusal alone is a refusal, also if its words name a threat. They count for more
//! where other fields say that the content was not scanned.

use super::phrase::{has_undenied, names_threat};
use super::refusal_phrase::{Style, denies_permission, refuses};
use super::vendors::Meaning;
use super::words::{is_detection, is_finding};

/// Whether the content was refused, and the words for it.
#[derive(Default)]
pub(super) struct Refusal {
    is_refused: bool,
    names_threat: bool,
    /// The code that refuses.
    code: Option<String>,
    /// The first words that say that a threat was found.
    found: Option<String>,
    reason: Option<String>,
    description: Option<String>,
    info: Option<String>,
}

impl Refusal {
    /// Reads a field that can say that the content was refused. `text` is its value, safe to show.
    pub(super) fn read(&mut self, meaning: Meaning, value: &[u8], text: String) {
        let (place, is_refused) = match meaning {
            Meaning::BlockReason => (&mut self.reason, true),
            Meaning::Description => {
                let is_denied = denies_permission(value, Style::Sentences);
                (
                    &mut self.description,
                    is_denied || has_undenied(value, is_finding),
                )
            }
            Meaning::BlockResult => (&mut self.info, true),
            Meaning::Info if refuses(value) => (&mut self.info, true),
            _ => return,
        };
        if names_threat(value) {
            self.names_threat = true;
            if has_undenied(value, is_detection) {
                self.found.get_or_insert_with(|| text.clone());
            }
        }
        self.is_refused |= is_refused;
        place.get_or_insert(text);
    }

    /// A code of `X-Error-Code` refuses, or a field that the caller named.
    pub(super) fn refuse(&mut self, code: String) {
        self.is_refused = true;
        self.code.get_or_insert(code);
    }

    /// The most telling words, if there was a refusal.
    pub(super) fn words(self) -> Option<String> {
        let words = self.reason.or(self.description);
        let words = words.or(self.info).or(self.code);
        self.is_refused.then(|| words.unwrap_or_default())
    }

    /// The same, but only if the content was refused for another reason than that it could not be scanned: the words
    /// name a threat, so the service has scanned, or a code names a policy.
    pub(super) fn unexplained_words(self) -> Option<String> {
        if self.names_threat || self.code.is_some() {
            self.words()
        } else {
            None
        }
    }

    /// The words that say that it was refused because a threat was found.
    pub(super) fn found(&self) -> Option<String> {
        self.found.clone().filter(|_| self.is_refused)
    }
}

#[cfg(test)]
mod tests {
    use crate::evidence::tests::{evidence, findings, is_infected, threats};
    use crate::evidence::{Evidence, ServiceFailure};

    fn is_blocked(fields: &str) -> bool {
        matches!(evidence(fields), Some(Evidence::Blocked { .. }))
    }

    #[test]
    fn refusal_is_recognised_by_its_words() {
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
    fn words_for_a_threat_outweigh_a_hindrance() {
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
                let text = words.split_once(": ").map(|(_, text)| text);
                assert_eq!(found[0].description(), text);
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
    fn error_code_may_name_a_threat() {
        for code in ["virus_found", "malware_detected", "file_infected"] {
            let found = threats(&format!("X-Error-Code: {code}\r\n"));
            assert_eq!(found[0].description(), Some(code));
        }
        for code in ["file_type_blocked", "file_extension_blocked"] {
            let fields = format!("X-Error-Code: {code}\r\n");
            assert!(is_blocked(&fields), "{code}");
        }
        let locked = "X-Infection-Found: Type=2; Threat=Locked\r\n";
        assert!(is_blocked(&format!(
            "{locked}X-Error-Code: file_type_blocked\r\n"
        )));
        for code in ["antivirus_license_expired", "server_unavailable"] {
            let findings = findings(&format!("X-Error-Code: {code}\r\n"));
            let failure = ServiceFailure {
                code: code.to_owned(),
                is_own: true,
            };
            assert_eq!((findings.evidence, findings.failure), (None, Some(failure)));
        }
    }

    #[test]
    fn code_with_connection_may_refuse() {
        let is_failure = |code: &str| {
            findings(&format!("X-Error-Code: {code}\r\n"))
                .failure
                .is_some()
        };
        for code in ["connection_blocked_by_policy", "web_connection_denied"] {
            let fields = format!("X-Error-Code: {code}\r\n");
            assert!(is_blocked(&fields) && !is_failure(code), "{code}");
        }
        for code in [
            "connection_refused",
            "connection_rejected",
            "Connection refused",
        ] {
            assert!(is_failure(code), "{code}");
        }
    }

    #[test]
    fn limit_of_the_service_is_its_failure() {
        for (code, is_failure) in [
            ("license_exceeded", true),
            ("max_connections_exceeded", true),
            ("server_capacity_exceeded", true),
            ("quota_exceeded", true),
            ("disk_full", true),
            ("out_of_resources", true),
            ("scanner_down", true),
            ("max_archive_layers_exceeded", false),
            ("max_total_size_exceeded", false),
        ] {
            let findings = findings(&format!("X-Error-Code: {code}\r\n"));
            assert_eq!(findings.failure.is_some(), is_failure, "{code}");
            assert_eq!(findings.evidence.is_none(), is_failure, "{code}");
        }
    }

    #[test]
    fn most_telling_words_of_a_refusal_are_kept() {
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
            let expected = Some(Evidence::Blocked {
                status: 500,
                words: words.to_owned(),
                is_by_status: false,
            });
            assert_eq!(evidence(&fields), expected, "{fields}");
        }
        assert_eq!(evidence(description), None, "words for nothing");
    }

    #[test]
    fn description_refuses_only_if_it_names_a_finding() {
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
