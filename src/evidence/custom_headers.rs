//! Header fields that the caller names, because the table of vendors does not have them.

use super::threat::Threat;
use super::value::{display_text, unquote};
use super::words::SENTINELS;
use crate::proto::header::{Field, is_token_byte};
use crate::proto::input_error::{InputError, InvalidInput};

/// The fields that report a threat, and those that refuse the content, by the caller's settings.
///
/// A field that is present counts, unless its value is one of [`SENTINELS`]. Its words are not read: the caller has said
/// what the field means.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct CustomHeaders {
    pub(crate) infections: Vec<String>,
    pub(crate) refusals: Vec<String>,
}

/// What a field says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum CustomFinding {
    Infection(Threat),
    /// The content was refused, with these words.
    Refusal(String),
}

/// Fields of ICAP and HTTP that a response can have whatever the service found. Every file with such a field would be
/// infected.
const PROTOCOL_FIELDS: &[&str] = &[
    "Age",
    "Allow",
    "Alt-Svc",
    "Authorization",
    "Cache-Control",
    "Connection",
    "Clear-Site-Data",
    "Cookie",
    "DNT",
    "Date",
    "Deprecation",
    "Digest",
    "ETag",
    "Early-Data",
    "Encapsulated",
    "Expect",
    "Expires",
    "Forwarded",
    "From",
    "Host",
    "ISTag",
    "Keep-Alive",
    "Last-Modified",
    "Link",
    "Location",
    "MIME-Version",
    "Max-Connections",
    "Max-Forwards",
    "Methods",
    "Opt-body-type",
    "Options-TTL",
    "Origin",
    "Permissions-Policy",
    "Pragma",
    "Preview",
    "Priority",
    "Range",
    "Referer",
    "Referrer-Policy",
    "Refresh",
    "Retry-After",
    "Server",
    "Service",
    "Service-ID",
    "Set-Cookie",
    "Strict-Transport-Security",
    "Status",
    "TE",
    "Timing-Allow-Origin",
    "Trailer",
    "Upgrade",
    "User-Agent",
    "Vary",
    "Via",
    "WWW-Authenticate",
    "Warning",
    "X-Authenticated-Groups",
    "X-Authenticated-User",
    "X-Client-IP",
    "X-Include",
    "X-Next-Services",
    "X-Server-IP",
    "X-Subscriber-ID",
];

/// Beginnings of more such names.
const PROTOCOL_PREFIXES: &[&str] = &[
    "Accept",
    "Access-Control-",
    "Content-",
    "Cross-Origin-",
    "If-",
    "Proxy-",
    "Sec-",
    "Transfer-",
];

impl CustomHeaders {
    /// Checks the names.
    pub(crate) fn check(&self) -> Result<(), InputError> {
        let mut names = self.infections.iter().chain(&self.refusals);
        names.try_for_each(|name| check(name))
    }

    /// Whether the caller has named no field.
    pub(super) fn is_empty(&self) -> bool {
        self.infections.is_empty() && self.refusals.is_empty()
    }

    /// Whether the caller has named this field.
    pub(super) fn has(&self, field: &Field<'_>) -> bool {
        let mut names = self.infections.iter().chain(&self.refusals);
        names.any(|name| field.is(name))
    }

    /// What a field says by its name and its value; nothing for most fields.
    pub(super) fn findings(&self, field: &Field<'_>) -> impl Iterator<Item = CustomFinding> {
        let is_listed = |names: &[String]| names.iter().any(|name| field.is(name));
        let (infects, refuses) = (is_listed(&self.infections), is_listed(&self.refusals));
        let counts = (infects || refuses) && !is_sentinel(unquote(&field.value()));
        let infection = (infects && counts).then(|| CustomFinding::Infection(threat(field)));
        let refusal = (refuses && counts).then(|| CustomFinding::Refusal(field.text()));
        infection.into_iter().chain(refusal)
    }
}

fn check(name: &str) -> Result<(), InputError> {
    if name.is_empty() || !name.bytes().all(is_token_byte) {
        return Err(InputError::new(InvalidInput::HeaderName, name));
    }
    let is_field = |field: &&str| field.eq_ignore_ascii_case(name);
    let begins = |prefix: &&str| {
        let beginning = name.get(..prefix.len());
        beginning.is_some_and(|beginning| beginning.eq_ignore_ascii_case(prefix))
    };
    if PROTOCOL_FIELDS.iter().any(is_field) || PROTOCOL_PREFIXES.iter().any(begins) {
        return Err(InputError::new(InvalidInput::ProtocolHeader, name));
    }
    Ok(())
}

fn is_sentinel(value: &[u8]) -> bool {
    let is_same = |sentinel: &&str| value.eq_ignore_ascii_case(sentinel.as_bytes());
    SENTINELS.iter().any(is_same)
}

/// A threat that has the value as its name.
fn threat(field: &Field<'_>) -> Threat {
    Threat {
        name: display_text(unquote(&field.value())),
        ..Threat::unnamed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::{Evidence, Findings};
    use crate::proto::limits::MAX_THREATS;
    use crate::proto::response_reader::Fragments;

    fn headers() -> CustomHeaders {
        CustomHeaders {
            infections: vec!["X-Acme-Virus".to_owned()],
            refusals: vec!["X-Acme-Policy".to_owned()],
        }
    }

    fn head(fields: &str) -> Fragments {
        Fragments {
            icap_head: format!("ICAP/1.0 204 No\r\n{fields}").into_bytes(),
            ..Fragments::default()
        }
    }

    fn evidence(fragments: &Fragments) -> Option<Evidence> {
        Findings::of_remains(None, fragments, &headers()).evidence
    }

    fn names(fields: &str) -> Vec<String> {
        match evidence(&head(fields)) {
            Some(Evidence::Infected(threats)) => threats.names().map(str::to_owned).collect(),
            other => panic!("{fields}: {other:?}"),
        }
    }

    #[test]
    fn custom_infection_field_names_the_threat() {
        assert_eq!(names("x-acme-VIRUS: \"Eicar, A\"\r\n"), ["Eicar, A"]);
        assert_eq!(names("X-Acme-Virus: a\x1b[2J\r\n"), ["a\\u{1b}[2J"]);
        assert!(names("X-Acme-Virus:\r\n").is_empty());
        let both = "X-Acme-Virus: A\r\nX-Virus-ID: B\r\nX-Acme-Virus: A\r\n";
        assert_eq!(names(both), ["B", "A"]);
    }

    #[test]
    fn custom_field_is_evidence_in_every_part() {
        let line = b"X-Acme-Virus: Eicar\r\n".to_vec();
        let message = |start: &str| [start.as_bytes(), &line].concat();
        let interim = message("ICAP/1.0 100 Continue\r\n");
        for (part, fragments) in [
            ("ICAP head", head("X-Acme-Virus: Eicar\r\n")),
            (
                "interim",
                Fragments {
                    interim,
                    ..Fragments::default()
                },
            ),
            (
                "HTTP request",
                Fragments {
                    http_request: message("GET / HTTP/1.1\r\n"),
                    ..Fragments::default()
                },
            ),
            (
                "HTTP response",
                Fragments {
                    http_response: message("HTTP/1.1 200 OK\r\n"),
                    ..Fragments::default()
                },
            ),
            (
                "trailers",
                Fragments {
                    trailers: line.clone(),
                    ..Fragments::default()
                },
            ),
        ] {
            let found = evidence(&fragments);
            assert!(
                matches!(found, Some(Evidence::Infected(_))),
                "{part}: {found:?}"
            );
        }
    }

    #[test]
    fn custom_sentinel_is_no_evidence() {
        for value in ["none", "No Threats", "-", "0", "\"none\"", "false"] {
            for name in ["X-Acme-Virus", "X-Acme-Policy"] {
                assert_eq!(
                    evidence(&head(&format!("{name}: {value}\r\n"))),
                    None,
                    "{value}"
                );
            }
        }
    }

    #[test]
    fn custom_field_has_no_word_search() {
        for value in [
            "no virus was found",
            "Heuristics.Limits.Exceeded.MaxFileSize",
            "encrypted",
        ] {
            assert_eq!(names(&format!("X-Acme-Virus: {value}\r\n")), [value]);
        }
        let refused = evidence(&head("X-Acme-Policy: no virus was found\r\n"));
        assert!(
            matches!(refused, Some(Evidence::Blocked { .. })),
            "{refused:?}"
        );
    }

    #[test]
    fn custom_finding_outweighs_a_hindrance() {
        let locked = "X-Infection-Found: Type=2; Threat=Locked\r\n";
        assert_eq!(
            names(&format!("{locked}X-Acme-Virus: Locked\r\n")),
            ["Locked"]
        );
        let refused = evidence(&head(&format!("{locked}X-Acme-Policy: rule 7\r\n")));
        let Some(Evidence::Blocked { words, .. }) = refused else {
            panic!("{refused:?}")
        };
        assert_eq!(words, "rule 7");
    }

    #[test]
    fn flood_of_custom_fields_is_bounded() {
        let limit = "X-Acme-Virus: Heuristics.Limits.Exceeded";
        for name in [limit, "X-Acme-Virus: A"] {
            let fields: String = (0..3 * MAX_THREATS)
                .map(|n| format!("{name}{n}\r\n"))
                .collect();
            let found = names(&fields).len();
            assert!((1..=MAX_THREATS).contains(&found), "{found}");
        }
    }

    #[test]
    fn custom_name_must_be_a_token_of_no_protocol() {
        for (name, expected) in [
            ("X-Acme-Virus", None),
            ("Contents", None),
            ("", Some(InvalidInput::HeaderName)),
            ("X Virus", Some(InvalidInput::HeaderName)),
            ("X-Virus:", Some(InvalidInput::HeaderName)),
            ("X-V\u{e9}rus", Some(InvalidInput::HeaderName)),
            ("server", Some(InvalidInput::ProtocolHeader)),
            ("ISTAG", Some(InvalidInput::ProtocolHeader)),
            ("Content-Type", Some(InvalidInput::ProtocolHeader)),
            ("content-anything", Some(InvalidInput::ProtocolHeader)),
            ("Transfer-Encoding", Some(InvalidInput::ProtocolHeader)),
        ] {
            assert_eq!(
                check(name).err().map(|error| error.kind()),
                expected,
                "{name}"
            );
        }
    }
}
