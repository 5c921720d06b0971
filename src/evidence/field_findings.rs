//! What the fields of one origin say. The service itself wrote its ICAP head; anybody may have written the other heads
//! and the trailers.

use super::ServiceFailure;
use super::custom_headers::{CustomFinding, CustomHeaders};
use super::error_code::ErrorCode;
use super::hindrance::Hindrance;
use super::infection_found::infections;
use super::refusal_fields::Refusal;
use super::threat::Threat;
use super::threat_set::ThreatSet;
use super::value::{display_text, listed_threats, lists_nothing_found, unquote};
use super::vendors::{Meaning, meaning};
use super::violations_found::violations;
use crate::proto::header::Field;
use crate::proto::limits::MAX_THREATS;

/// What the fields of one origin say.
pub(super) struct FieldFindings<'o> {
    custom: &'o CustomHeaders,
    /// Threats of the fields that the caller named. They are threats whatever their words.
    custom_threats: Vec<Threat>,
    threats: ThreatSet,
    /// Threats of fields that may only have a word for what other fields name in full.
    summaries: ThreatSet,
    pub(super) hindered: Option<(Hindrance, String)>,
    /// The same in a sentence for people.
    pub(super) description: Option<(Hindrance, String)>,
    pub(super) failure: Option<ServiceFailure>,
    pub(super) refusal: Refusal,
    /// The findings by which the service itself says that it did not scan. `None` for the fields of the service
    /// itself.
    own_hindered: Option<&'o [Threat]>,
}

/// Whether a field is read: it is in the table of vendors, or the caller has named it.
pub(super) fn says_something(field: &Field<'_>, custom: &CustomHeaders) -> bool {
    custom.has(field) || meaning(field).is_some()
}

impl<'o> FieldFindings<'o> {
    /// Of fields of the service itself.
    pub(super) fn of_service(custom: &'o CustomHeaders) -> Self {
        Self {
            custom,
            custom_threats: Vec::new(),
            threats: ThreatSet::default(),
            summaries: ThreatSet::default(),
            hindered: None,
            description: None,
            failure: None,
            refusal: Refusal::default(),
            own_hindered: None,
        }
    }

    /// Of fields that may have another origin than the service.
    pub(super) fn of_others(custom: &'o CustomHeaders, own_hindered: &'o [Threat]) -> Self {
        Self {
            own_hindered: Some(own_hindered),
            ..Self::of_service(custom)
        }
    }

    pub(super) fn read<'f>(&mut self, fields: impl Iterator<Item = Field<'f>>) {
        for field in fields {
            for finding in self.custom.findings(&field) {
                self.read_custom(finding);
            }
            if let Some(meaning) = meaning(&field) {
                self.read_field(&field, meaning);
            }
        }
    }

    fn read_custom(&mut self, finding: CustomFinding) {
        match finding {
            CustomFinding::Infection(threat) if self.custom_threats.len() < MAX_THREATS => {
                self.custom_threats.push(threat);
            }
            CustomFinding::Infection(_) => {}
            CustomFinding::Refusal(words) => self.refusal.refuse(words),
        }
    }

    fn read_field(&mut self, field: &Field<'_>, meaning: Meaning) {
        let value = field.value();
        match meaning {
            Meaning::Infections => infections(&value).for_each(|threat| self.add(threat)),
            Meaning::Violations => {
                let found = violations(field);
                found.into_iter().for_each(|threat| self.add(threat));
            }
            Meaning::ThreatFile if unquote(&value) == b"-" => {}
            Meaning::ThreatFile => self.add(Threat::in_file(unquote(&value))),
            // Every other field may say that nothing was found.
            _ if lists_nothing_found(&value) => {}
            Meaning::ThreatNames => listed_threats(&value).for_each(|threat| self.add(threat)),
            Meaning::ThreatSummary => {
                listed_threats(&value).for_each(|threat| self.add_summary(threat));
            }
            Meaning::ThreatSign => self.add(Threat::unnamed()),
            Meaning::ErrorCode => {
                let codes = value.split(|&b| b == b',').map(unquote);
                codes.for_each(|code| self.read_error_code(code));
            }
            Meaning::BlockReason | Meaning::BlockResult | Meaning::Description | Meaning::Info => {
                let text = field.text();
                self.refusal.read(meaning, &value, text.clone());
                let hindrance = Hindrance::of_phrase(&text).map(|why| (why, text));
                self.description = self.description.take().or(hindrance);
            }
        }
    }

    fn add(&mut self, threat: Threat) {
        match self.hindrance_of_others(&threat) {
            Some(hindrance) => self.hinder(hindrance, threat.words_for_hindrance()),
            None => self.threats.extend([threat]),
        }
    }

    fn add_summary(&mut self, threat: Threat) {
        match self.hindrance_of_others(&threat) {
            Some(hindrance) => self.hinder(hindrance, threat.words_for_hindrance()),
            None => self.summaries.extend([threat]),
        }
    }

    /// Why a finding in fields of another origin is no threat, by its own words or by those of the service. The
    /// words of another such field do not count, so that no field takes anything from the one beside it.
    fn hindrance_of_others(&self, threat: &Threat) -> Option<Hindrance> {
        let own_hindered = self.own_hindered?;
        threat.hindrance().or_else(|| {
            let named = |own: &&Threat| threat.kind().is_none() && own.is_named_as(threat);
            own_hindered.iter().find(named).and_then(Threat::hindrance)
        })
    }

    fn hinder(&mut self, hindrance: Hindrance, words: String) {
        self.hindered.get_or_insert((hindrance, words));
    }

    fn read_error_code(&mut self, code: &[u8]) {
        let text = || display_text(code).unwrap_or_default();
        match ErrorCode::of(code) {
            ErrorCode::NothingFound => {}
            ErrorCode::Threat => self.add(Threat::described_as(display_text(code))),
            ErrorCode::Refusal => self.refusal.refuse(text()),
            ErrorCode::Hindrance(hindrance) => self.hinder(hindrance, text()),
            ErrorCode::ServiceFailure => {
                let is_own = self.own_hindered.is_none();
                let code = text();
                self.failure.get_or_insert(ServiceFailure { code, is_own });
            }
        }
    }

    /// Takes out the threats, and the findings that only hindered the scan. One field may give the kind of a finding
    /// that another field of the same origin names.
    pub(super) fn take_threats(&mut self) -> (Vec<Threat>, Vec<Threat>) {
        let summaries = std::mem::take(&mut self.summaries);
        let all = std::mem::take(&mut self.threats).with_summaries(summaries);
        let is_threat = |threat: &Threat| threat.hindrance().is_none();
        let (mut threats, hindered): (Vec<_>, Vec<_>) = all.into_iter().partition(is_threat);
        threats.append(&mut self.custom_threats);
        (threats, hindered)
    }
}
