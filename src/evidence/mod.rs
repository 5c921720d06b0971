//! What servers say about content, by the fields and status lines they say it in.
//!
//! Evidence counts on every status, in the ICAP head, in the encapsulated HTTP heads and in trailers:
//! vendors differ in where they put it. It only ever worsens a verdict. That a field is *there* is
//! enough, even if its value cannot be read; only values that are known to say "nothing found" are no
//! evidence. Block pages are never read: they are data.

mod denial;
mod fields;
mod found;
mod refusal;
#[cfg(test)]
mod tests;
mod threat;
mod vendors;
mod words;

use fields::{in_file, infection, named, says_nothing, told, unquote, violations};
use found::{Found, named_ones};
use refusal::Refusal;
pub(crate) use threat::Hindrance;
pub use threat::{Resolution, Threat, ThreatKind, Threats};
use vendors::{Meaning, meaning};
use words::{Code, error_code, sentence};

use crate::proto::header::{Field, legible_fields};
use crate::proto::method::Method;
use crate::proto::response::Response;
use crate::proto::response_reader::Fragments;
use crate::proto::status_line::{StatusLine, legible_http, legible_icap};
use crate::proto::text::displayable;

/// Why content is not to be handed on, whatever else a response says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Evidence {
    Infected(Threats),
    /// Refused, with the status that refuses, 0 if no status line is legible, and the service's words.
    Blocked {
        status: u16,
        words: String,
        /// Only a status line refuses, and the words are its phrase.
        is_by_status: bool,
    },
    /// The service itself says that it did not look at everything, with its words.
    Hindered(Hindrance, String),
}

/// What a response says, complete or broken off.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Said {
    /// The worst of it.
    pub(crate) evidence: Option<Evidence>,
    /// Not everything was looked at, by words that need not be the service's own. They count only against
    /// a better verdict.
    pub(crate) hindered: Option<(Hindrance, String)>,
    /// The service failed.
    pub(crate) failure: Option<ServiceFailure>,
}

/// A failure of the service, which says nothing of the content.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ServiceFailure {
    /// The service's word for it.
    pub(crate) code: String,
    /// It stands in the service's own ICAP head.
    pub(crate) is_own: bool,
}

/// As much of a response as there is.
#[derive(Clone, Copy)]
pub(crate) struct Legible<'r> {
    pub(crate) response: Option<&'r Response>,
    pub(crate) fragments: &'r Fragments,
    /// It sends back, completely and unchanged, what was sent: its HTTP status is the sender's.
    pub(crate) is_echo: bool,
}

impl Said {
    /// Reads the fields and the status lines.
    ///
    /// Only the final ICAP head is certainly the service's own. What stands in encapsulated heads, in
    /// trailers and in interim responses may be another's, perhaps of somebody to be afraid of. It adds to
    /// what the service says and takes nothing from it.
    pub(crate) fn by(legible: Legible<'_>) -> Self {
        let mut own = Findings::default();
        legible.read_own(&mut own);
        let (mut infections, hindered) = own.take_threats();
        let mut others = Findings::of_others(&hindered);
        legible.read_others(&mut others);
        infections.extend(others.take_threats().0);
        let hindrance = first_hindrance(&hindered).or(own.hindered);
        let evidence = match infections[..] {
            [] => legible.refusal_or_hindrance(own.refusal, others.refusal, hindrance),
            _ => Some(Evidence::Infected(merged(infections))),
        };
        Self {
            evidence,
            hindered: others.hindered.or(own.description),
            failure: own.failure.or(others.failure),
        }
    }

    /// What is left of a response that broke off says.
    pub(crate) fn by_remains(response: Option<&Response>, fragments: &Fragments) -> Self {
        Self::by(Legible {
            response,
            fragments,
            is_echo: false,
        })
    }
}

impl<'r> Legible<'r> {
    fn read_own(&self, own: &mut Findings<'_>) {
        own.read(self.response.iter().flat_map(|r| r.headers().iter()));
        own.read(legible_fields(&self.fragments.icap_head));
    }

    fn read_others(&self, others: &mut Findings<'_>) {
        if let Some(response) = self.response {
            let http_response = response.http_headers().unwrap_or_default();
            let http_request = response.http_request_headers().unwrap_or_default();
            for headers in [http_response, http_request, response.trailers()] {
                others.read(headers.iter());
            }
            for headers in response.interim_headers() {
                others.read(headers.iter());
            }
        }
        let Fragments {
            interim,
            icap_head: _,
            http_request,
            http_response,
            trailers,
        } = self.fragments;
        for lines in [interim, http_request, http_response, trailers] {
            others.read(legible_fields(lines));
        }
    }

    /// What hindered the scan explains why the service itself refuses, unless its words tell of a threat or
    /// name a policy. Another's words that refuse are worse.
    fn refusal_or_hindrance(
        &self,
        own: Refusal,
        others: Refusal,
        hindrance: Option<(Hindrance, String)>,
    ) -> Option<Evidence> {
        let line = self.refusing_line();
        let status = line.map_or(self.status(), |line| line.code);
        let blocked = |words, is_by_status| Evidence::Blocked {
            status,
            words,
            is_by_status,
        };
        if let Some((hindrance, what)) = hindrance {
            if let Some(found) = own.found() {
                return Some(Evidence::Infected(Threats(vec![unnamed(Some(found))])));
            }
            let words = own.unexplained_words().or(others.words());
            return Some(match words {
                Some(words) => blocked(words, false),
                None => Evidence::Hindered(hindrance, what),
            });
        }
        let reason = |line: StatusLine<'_>| match line.code {
            // Of a page in place of a request: it says that all is well.
            200..=299 => String::new(),
            _ => displayable(line.reason),
        };
        match own.words().or(others.words()) {
            Some(words) => Some(blocked(words, false)),
            None => line.map(|line| blocked(reason(line), true)),
        }
    }

    /// The status line that refuses: an ICAP 403, or, under any final ICAP status, an HTTP response that is
    /// a refusal.
    fn refusing_line(&self) -> Option<StatusLine<'r>> {
        let icap = self.icap_line();
        let is_upload = self.response.is_some_and(|r| r.method() == Method::Reqmod);
        let http = self.http_line().filter(|line| {
            // The same question for credentials, asked twice.
            let asks_who = line.code == 407 && icap.is_some_and(|icap| icap.code == 407);
            refuses(line.code, is_upload) && !asks_who && !self.is_echo
        });
        let has_bare_body = self.response.is_some_and(Response::replaces_request_bare);
        http.or(icap.filter(|line| line.code == 403 || has_bare_body))
    }

    /// The status to show for a refusal that stands in words.
    fn status(&self) -> u16 {
        let line = self.http_line().or(self.icap_line());
        line.map_or(0, |line| line.code)
    }

    fn http_line(&self) -> Option<StatusLine<'r>> {
        let whole = self.response.and_then(Response::http_response);
        legible_http(whole.unwrap_or(&self.fragments.http_response))
    }

    /// Of the final response.
    fn icap_line(&self) -> Option<StatusLine<'r>> {
        let head = self.response.map(Response::head);
        legible_icap(head.unwrap_or(&self.fragments.icap_head))
    }
}

/// Whether an HTTP response with this status refuses the content. An interim status, or one that has no
/// body, is no way to refuse something; 400, 401 and 5xx report that the service failed. A response to an
/// upload stands in its place, so the upload does not go on.
pub(crate) fn refuses(http_status: u16, is_upload: bool) -> bool {
    match http_status {
        400 | 401 | 500.. => false,
        100..=299 | 304 => is_upload,
        _ => true,
    }
}

/// What fields say, the most telling ones in [`read_field`](Findings::read_field).
#[derive(Default)]
struct Findings<'o> {
    threats: Found,
    /// Out of fields that sum up in a word what others say in full.
    summaries: Found,
    hindered: Option<(Hindrance, String)>,
    /// A sentence for people that says the same.
    description: Option<(Hindrance, String)>,
    failure: Option<ServiceFailure>,
    refusal: Refusal,
    /// What only hindered the service, as it says itself, if these may be another's words.
    own_hindered: Option<&'o [Threat]>,
}

impl<'o> Findings<'o> {
    /// Of words that may be another's.
    fn of_others(own_hindered: &'o [Threat]) -> Self {
        Self {
            own_hindered: Some(own_hindered),
            ..Self::default()
        }
    }

    fn read<'f>(&mut self, fields: impl Iterator<Item = Field<'f>>) {
        for field in fields {
            if let Some(meaning) = meaning(&field) {
                self.read_field(&field, meaning);
            }
        }
    }

    fn read_field(&mut self, field: &Field<'_>, meaning: Meaning) {
        let value = field.value();
        match meaning {
            Meaning::Infections => infection(&value).for_each(|threat| self.add(threat)),
            Meaning::Violations => {
                let found = violations(field);
                found.into_iter().for_each(|threat| self.add(threat));
            }
            Meaning::ThreatFile if unquote(&value) == b"-" => {}
            Meaning::ThreatFile => self.add(in_file(unquote(&value))),
            // Every other field may say that there is nothing to be said.
            _ if says_nothing(&value) => {}
            Meaning::ThreatNames => named(&value).for_each(|threat| self.add(threat)),
            Meaning::ThreatSummary => named(&value).for_each(|threat| self.add_summary(threat)),
            Meaning::ThreatSign => self.add(Threat::default()),
            Meaning::ErrorCode => {
                let codes = value.split(|&b| b == b',').map(unquote);
                codes.for_each(|code| self.read_error_code(code));
            }
            Meaning::BlockReason | Meaning::BlockResult | Meaning::Description | Meaning::Info => {
                self.refusal.read(meaning, &value, field.text());
                let hindrance = sentence(&field.text()).map(|why| (why, field.text()));
                self.description = self.description.take().or(hindrance);
            }
        }
    }

    fn add(&mut self, threat: Threat) {
        match self.hindrance_of_others(&threat) {
            Some(hindrance) => self.hinder(hindrance, hindrance_name(&threat)),
            None => self.threats.extend([threat]),
        }
    }

    fn add_summary(&mut self, threat: Threat) {
        match self.hindrance_of_others(&threat) {
            Some(hindrance) => self.hinder(hindrance, hindrance_name(&threat)),
            None => self.summaries.extend([threat]),
        }
    }

    /// Whether a finding in others' words is none, by what itself says or the service: not by what another
    /// field of those says, so that no field takes anything from one beside it.
    fn hindrance_of_others(&self, threat: &Threat) -> Option<Hindrance> {
        let own_hindered = self.own_hindered?;
        threat.hindrance().or_else(|| {
            let named = |own: &&Threat| threat.kind().is_none() && own.is_named_as(threat);
            own_hindered.iter().find(named).and_then(Threat::hindrance)
        })
    }

    fn hinder(&mut self, hindrance: Hindrance, what: String) {
        self.hindered.get_or_insert((hindrance, what));
    }

    fn read_error_code(&mut self, code: &[u8]) {
        let word = || told(code).unwrap_or_default();
        match error_code(code) {
            Code::Nothing => {}
            Code::Threat => self.add(unnamed(told(code))),
            Code::Refusal => self.refusal.refuse(word()),
            Code::Hindrance(hindrance) => self.hinder(hindrance, word()),
            Code::Failure => {
                let is_own = self.own_hindered.is_none();
                let code = word();
                self.failure.get_or_insert(ServiceFailure { code, is_own });
            }
        }
    }

    /// Takes out the real threats, and what only hindered the scan. Within the words of one speaker, one
    /// field says of what kind it is that another names.
    fn take_threats(&mut self) -> (Vec<Threat>, Vec<Threat>) {
        let summaries = std::mem::take(&mut self.summaries);
        let all = std::mem::take(&mut self.threats).with_summaries(summaries);
        all.into_iter()
            .partition(|threat| threat.hindrance().is_none())
    }
}

/// Threats of all speakers, each once.
fn merged(infections: Vec<Threat>) -> Threats {
    let mut found = Found::default();
    found.extend(infections);
    Threats(named_ones(found.with_summaries(Found::default())))
}

fn first_hindrance(hindered: &[Threat]) -> Option<(Hindrance, String)> {
    let first = hindered.first()?;
    Some((first.hindrance()?, hindrance_name(first)))
}

fn hindrance_name(threat: &Threat) -> String {
    let name = threat.name.as_deref();
    name.unwrap_or("container violation").to_owned()
}

/// A threat of which there are only words.
fn unnamed(description: Option<String>) -> Threat {
    Threat {
        description,
        ..Threat::default()
    }
}
