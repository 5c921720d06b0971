//! The canary: content is clean only if the server has proven that it scans.
//!
//! No single 204 shows whether the server has looked at the content. So from time to time a scan sends EICAR first, in an
//! archive that the server cannot know, with the last byte held back. [`Proofs`](crate::client::proof::Proofs) keep the
//! results and decide which scan does so; `run.rs` sends it.

use std::time::Duration;

use super::Shared;
use super::sample::{MIN_ARCHIVE, Sample};
use super::verdict::Verdict;
use crate::client::Client;
use crate::client::proof::{Form, Terms, Trial, Wanted};
use crate::evidence::{Threat, ThreatKind};
use crate::proto::options::ServiceOptions;

/// Bytes of the archive after those of the preview, unless the size limit is lower. EICAR is among them: a service that
/// decides on the preview has not scanned it.
const SIZE: u64 = 1024;

/// The proof that a scanner wants of its servers.
#[derive(Clone, Copy)]
pub(super) struct Canary<'s> {
    pub(super) shared: &'s Shared,
    /// How old a proof may be.
    pub(super) every: Duration,
}

/// For the log, if the service objects also to the archive without EICAR.
const REFUSES_ALL: &str = ", and objected to the same archive without EICAR, which proves nothing: let it \
    accept ZIP archives that have no virus (a canary has no user, groups or address: if the service asks for them, set \
    them for all requests with `header`)";

/// The state tag of a response, if it had one.
pub(super) type Tag = Option<Vec<u8>>;

/// What a server made of a canary.
pub(super) enum Sighting {
    Found(Verdict, Tag),
    Missed(Verdict),
    /// It was refused, and nothing was called a virus. A service may refuse archives by a rule, and scan nothing.
    Refused(Verdict, Tag),
    /// The response to the same archive without EICAR shows nothing: it has another state tag, so it may come from
    /// another server or have other rules, or the archive was not scanned.
    Undecided,
}

impl<'s> Canary<'s> {
    /// `None` if the scanner wants no proof.
    pub(super) fn of(shared: &'s Shared) -> Option<Self> {
        shared.canary.map(|every| Self { shared, every })
    }

    /// The proofs that count for scans by a service with these options.
    pub(super) fn terms(self, options: Option<&ServiceOptions>) -> Terms {
        let rules = &self.shared.rules;
        let form = Form {
            method: rules.method_for(options),
            preview: rules.preview.size_if_any(options),
        };
        Terms {
            every: self.every,
            form,
        }
    }

    /// The canary for a service with these options.
    pub(super) fn sample(self, options: Option<&ServiceOptions>) -> Sample {
        let sample = Sample::archive(self.size(options));
        sample.with_any_preview().held_back()
    }

    /// The same without EICAR. It must not be refused.
    pub(super) fn control(self, options: Option<&ServiceOptions>) -> Sample {
        Sample::harmless(self.size(options)).with_any_preview()
    }

    fn size(self, options: Option<&ServiceOptions>) -> u64 {
        let preview = self.shared.rules.preview.size_if_any(options);
        let size = preview.unwrap_or_default() as u64 + SIZE;
        let max_size = self.shared.max_size.unwrap_or(size);
        max_size.clamp(MIN_ARCHIVE, size)
    }
}

impl Sighting {
    pub(super) fn of(verdict: Verdict, tag: Tag) -> Self {
        match &verdict {
            Verdict::Infected(threats) if threats.iter().any(is_virus) => Self::Found(verdict, tag),
            Verdict::Infected(_) | Verdict::Blocked(_) => Self::Refused(verdict, tag),
            _ => Self::Missed(verdict),
        }
    }

    /// Whether the same archive without EICAR is to be sent: after each refusal, and after a find once for a state tag
    /// and form. A rule of the service may call every archive a virus.
    pub(super) fn needs_control(&self, client: &Client, form: Form) -> bool {
        match self {
            Self::Found(_, tag) => !client.proofs().is_controlled(tag.as_deref(), form),
            Self::Refused(..) => true,
            Self::Missed(_) | Self::Undecided => false,
        }
    }

    /// After the same archive without EICAR had this verdict.
    pub(super) fn after_control(self, control: &Verdict, control_tag: &Tag) -> Self {
        match self {
            Self::Found(_, tag) | Self::Refused(_, tag) if *control_tag != tag => Self::Undecided,
            Self::Found(verdict, _) if may_be_virus(control) => Self::Missed(verdict),
            Self::Found(..) if !control.is_clean() && !control.is_objection() => Self::Undecided,
            Self::Refused(verdict, tag) if control.is_clean() => Self::Found(verdict, tag),
            Self::Refused(verdict, _) => Self::Missed(verdict),
            other => other,
        }
    }

    /// Notes the result. Returns whether the scan has the proof that it wants.
    pub(super) fn conclude(self, trial: Trial<'_>, wanted: Wanted<'_>, terms: Terms) -> bool {
        let name = trial.client().name();
        match self {
            Self::Found(_, tag) => {
                log::debug!("{name}: found EICAR in a canary");
                let fits = wanted.fits(tag.as_deref());
                trial.found(tag) && fits
            }
            Self::Undecided => {
                log::debug!(
                    "{name}: objected to a canary, and the same archive without EICAR shows nothing"
                );
                trial.undecided(wanted, terms)
            }
            Self::Missed(verdict) | Self::Refused(verdict, _) => {
                if let Some(wait) = trial.missed() {
                    let wait = wait.as_millis();
                    let hint = match verdict.is_objection() {
                        true => REFUSES_ALL,
                        false => "",
                    };
                    log::warn!(
                        "{name}: does not scan: it called EICAR \"{verdict}\"{hint}; no content is sent to it; the next \
                         canary follows in {wait} ms"
                    );
                }
                false
            }
        }
    }
}

/// Whether the service says that it is a virus. A threat of no kind may be a rule for all archives.
fn is_virus(threat: &Threat) -> bool {
    threat.kind() == Some(ThreatKind::Virus)
}

/// Whether the service may have meant that content without a virus has one.
fn may_be_virus(control: &Verdict) -> bool {
    match control {
        Verdict::Infected(threats) => threats.iter().any(|it| it.kind().is_none() || is_virus(it)),
        _ => false,
    }
}
