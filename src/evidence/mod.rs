//! What a response says about the content, by its fields and status lines. Pure: it knows only `proto`.
//!
//! Evidence counts on every status, in the ICAP head, in the encapsulated HTTP heads and in trailers, because
//! vendors differ in where they put it. It only ever worsens a verdict. A field that is present is enough, even
//! if its value cannot be read; only values that are known to say "nothing found" are no evidence. Block pages
//! are never read: they are data.
//!
//! [`vendors`] has the table of fields, [`words`] has all lists of words.

mod custom_headers;
mod error_code;
mod field_findings;
mod hindrance;
mod infection_found;
mod nothing_found;
mod phrase;
mod refusal_fields;
mod refusal_phrase;
#[cfg(test)]
mod tests;
mod threat;
mod threat_set;
mod value;
mod vendors;
mod violations_found;
mod words;

pub(crate) use custom_headers::CustomHeaders;
use field_findings::{FieldFindings, says_something};
pub(crate) use hindrance::Hindrance;
use refusal_fields::Refusal;
pub use threat::{Resolution, Threat, ThreatKind, Threats};
use threat_set::merged;

use crate::proto::header::{Field, legible_fields};
use crate::proto::method::Method;
use crate::proto::response::Response;
use crate::proto::response_reader::Fragments;
use crate::proto::status_line::{StatusLine, legible_http, legible_icap};
use crate::proto::text::displayable;

/// Why content must not be delivered, whatever else a response says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Evidence {
    Infected(Threats),
    Blocked {
        /// The status that refuses; 0 if no status line is legible.
        status: u16,
        /// The service's words.
        words: String,
        /// Only a status line refuses, and the words are its reason phrase.
        is_by_status: bool,
    },
    /// The service itself says, in these words, that it did not scan everything.
    Hindered(Hindrance, String),
}

/// What a response says, complete or broken off.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Findings {
    /// The worst of it.
    pub(crate) evidence: Option<Evidence>,
    /// Not everything was scanned, by words that may have another origin than the service. They count only
    /// against a better verdict.
    pub(crate) hindered: Option<(Hindrance, String)>,
    /// The service failed.
    pub(crate) failure: Option<ServiceFailure>,
}

/// A failure of the service. It says nothing about the content.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ServiceFailure {
    /// The service's code for it.
    pub(crate) code: String,
    /// The code stands in the service's own ICAP head.
    pub(crate) is_own: bool,
}

/// The parts of a response that were received.
#[derive(Clone, Copy)]
pub(crate) struct Received<'r> {
    /// The response, if it is complete.
    pub(crate) response: Option<&'r Response>,
    /// What is legible of a response that broke off.
    pub(crate) fragments: &'r Fragments,
    /// The response returns the content completely and unchanged, so its HTTP status is the sender's.
    pub(crate) is_echo: bool,
}

impl Findings {
    /// Reads the fields and the status lines.
    ///
    /// Only the final ICAP head is certainly the service's own. Encapsulated heads, trailers and interim responses
    /// may have another origin, perhaps a hostile one. They add to what the service says and take nothing from
    /// it.
    pub(crate) fn of(received: Received<'_>, custom: &CustomHeaders) -> Self {
        if received.says_nothing_in_fields(custom) {
            return Self {
                evidence: received.refusal_by_status(),
                ..Self::default()
            };
        }
        Self::of_fields(received, custom)
    }

    // Not inlined: most responses do not need it.
    #[inline(never)]
    fn of_fields(received: Received<'_>, custom: &CustomHeaders) -> Self {
        let mut own = FieldFindings::of_service(custom);
        own.read(received.own_fields());
        let (mut infections, hindered) = own.take_threats();
        let mut others = FieldFindings::of_others(custom, &hindered);
        others.read(received.other_fields());
        infections.extend(others.take_threats().0);
        let hindrance = hindered.iter().find_map(|finding| {
            let hindrance = finding.hindrance()?;
            Some((hindrance, finding.words_for_hindrance()))
        });
        let hindrance = hindrance.or(own.hindered);
        let evidence = match Threats::new(merged(infections)) {
            Some(threats) => Some(Evidence::Infected(threats)),
            None => received.refusal_or_hindrance(own.refusal, others.refusal, hindrance),
        };
        Self {
            evidence,
            hindered: others.hindered.or(own.description),
            failure: own.failure.or(others.failure),
        }
    }

    /// Reads what is left of a response that broke off.
    pub(crate) fn of_remains(
        response: Option<&Response>,
        fragments: &Fragments,
        custom: &CustomHeaders,
    ) -> Self {
        let received = Received {
            response,
            fragments,
            is_echo: false,
        };
        Self::of(received, custom)
    }
}

impl<'r> Received<'r> {
    /// Whether it is a head alone, without a field that is read. So are most responses to clean content.
    fn says_nothing_in_fields(&self, custom: &CustomHeaders) -> bool {
        let head = self.response.filter(|response| response.is_lone_head());
        let speaks = |field: Field<'_>| says_something(&field, custom);
        self.fragments.is_empty()
            && head.is_some_and(|response| {
                custom.is_empty() && !response.has_x_field()
                    || !response.headers().iter().any(speaks)
            })
    }

    /// The fields of the service itself.
    fn own_fields(&self) -> impl Iterator<Item = Field<'r>> {
        let whole = self.response.map(Response::headers).unwrap_or_default();
        let lines = legible_fields(&self.fragments.icap_head);
        whole.iter().chain(lines)
    }

    /// The fields that may have another origin.
    fn other_fields(&self) -> impl Iterator<Item = Field<'r>> {
        let response = self.response.into_iter();
        let http = response.clone().filter_map(Response::http_headers);
        let request = response.clone().filter_map(Response::http_request_headers);
        let trailers_of_whole = response.clone().map(Response::trailers);
        let whole = http.chain(request).chain(trailers_of_whole);
        let whole = whole.chain(response.flat_map(Response::interim_headers));
        let Fragments {
            interim,
            icap_head: _,
            http_request,
            http_response,
            trailers,
        } = self.fragments;
        let lines = [interim, http_request, http_response, trailers];
        let lines = lines.into_iter().filter(|lines| !lines.is_empty());
        let lines = lines.flat_map(|lines| legible_fields(lines));
        whole.flat_map(|headers| headers.iter()).chain(lines)
    }

    /// The service may have refused the content only because of the hindrance, unless its words name a threat or a
    /// policy. Words of another origin that refuse are worse than a hindrance.
    fn refusal_or_hindrance(
        &self,
        own: Refusal,
        others: Refusal,
        hindrance: Option<(Hindrance, String)>,
    ) -> Option<Evidence> {
        let blocked = |words| Evidence::Blocked {
            status: self.status(),
            words,
            is_by_status: false,
        };
        if let Some((hindrance, words)) = hindrance {
            if let Some(found) = own.found() {
                let threat = Threat::described_as(Some(found));
                return Threats::new(vec![threat]).map(Evidence::Infected);
            }
            let refusal = own.unexplained_words().or(others.words());
            return Some(match refusal {
                Some(refusal) => blocked(refusal),
                None => Evidence::Hindered(hindrance, words),
            });
        }
        let words = own.words().or(others.words());
        words.map(blocked).or_else(|| self.refusal_by_status())
    }

    fn refusal_by_status(&self) -> Option<Evidence> {
        let StatusLine { code, reason } = self.refusing_line()?;
        let words = match code {
            // The phrase of a page in place of a request is `OK`, and explains nothing.
            200..=299 => String::new(),
            _ => displayable(reason.trim_ascii()),
        };
        Some(Evidence::Blocked {
            status: code,
            words,
            is_by_status: true,
        })
    }

    /// The status line that refuses: an ICAP 403, or, under any final ICAP status, an HTTP response that is a
    /// refusal.
    fn refusing_line(&self) -> Option<StatusLine<'r>> {
        let icap = self.icap_line();
        let is_upload = self.response.is_some_and(|r| r.method() == Method::Reqmod);
        let http = self.http_line().filter(|line| {
            // The page of an ICAP 407 repeats its question for credentials.
            let asks_for_credentials =
                line.code == 407 && icap.is_some_and(|icap| icap.code == 407);
            refuses(line.code, is_upload) && !asks_for_credentials && !self.is_echo
        });
        let has_bare_body = self.response.is_some_and(Response::replaces_request_bare);
        http.or(icap.filter(|line| line.code == 403 || has_bare_body))
    }

    /// The status to show with words that refuse.
    fn status(&self) -> u16 {
        let line = self.refusing_line().or(self.http_line());
        let line = line.or(self.icap_line());
        line.map_or(0, |line| line.code)
    }

    fn http_line(&self) -> Option<StatusLine<'r>> {
        let whole = self.response.and_then(Response::http_line);
        whole.or_else(|| legible_http(&self.fragments.http_response))
    }

    /// Of the final response.
    fn icap_line(&self) -> Option<StatusLine<'r>> {
        let whole = self.response.map(Response::line);
        whole.or_else(|| legible_icap(&self.fragments.icap_head))
    }
}

/// Whether an HTTP response with this status refuses the content. An interim status, or one without a body, cannot
/// refuse anything; 400, 401 and 5xx report that the service failed. A response to an upload takes the place of
/// the request, so the upload does not go on.
pub(crate) fn refuses(http_status: u16, is_upload: bool) -> bool {
    match http_status {
        400 | 401 | 500.. => false,
        100..=299 | 304 => is_upload,
        _ => true,
    }
}
