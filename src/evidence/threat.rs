//! What a service found, typed. Which of it is a threat and which only says that the content could not
//! be looked into is decided here; where it stands in a response is not known here.

use std::collections::HashSet;
use std::fmt;

use super::words::{heuristic, sentence};
use crate::proto::text::CUT;

/// One thing a service found.
#[non_exhaustive]
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Threat {
    pub(super) name: Option<String>,
    pub(super) kind: Option<ThreatKind>,
    pub(super) resolution: Option<Resolution>,
    pub(super) file: Option<String>,
    pub(super) problem: Option<String>,
    pub(super) description: Option<String>,
}

impl Threat {
    /// What the service calls it, safe to show; `None` if it was found and not named.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// What kind of threat it is, where the service says.
    #[must_use]
    pub fn kind(&self) -> Option<ThreatKind> {
        self.kind
    }

    /// What the service did about it, where it says.
    #[must_use]
    pub fn resolution(&self) -> Option<Resolution> {
        self.resolution
    }

    /// The file inside the content in which it was found, where the service says; safe to show.
    #[must_use]
    pub fn file(&self) -> Option<&str> {
        self.file.as_deref()
    }

    /// The service's number for the problem, where it gives one; safe to show.
    #[must_use]
    pub fn problem_id(&self) -> Option<&str> {
        self.problem.as_deref()
    }

    /// Other words of the service for it, safe to show: a category, perhaps in the service's own
    /// language, or what it says besides the name.
    #[must_use]
    pub fn description(&self) -> Option<&str> {
        self.description.as_deref()
    }

    /// A finding that the content could not be looked into, and no finding in it.
    pub(super) fn hindrance(&self) -> Option<Hindrance> {
        let name = self.name.as_deref().unwrap_or_default();
        match (heuristic(name), self.kind) {
            (Some(hindrance), _) => Some(hindrance),
            (None, Some(ThreatKind::Virus)) => None,
            (None, Some(ThreatKind::ContainerViolation)) => {
                sentence(name).or(Some(Hindrance::Unscannable))
            }
            (None, _) => sentence(name),
        }
    }

    /// Whether both have the same name. One that was cut may go on differently.
    pub(super) fn is_named_as(&self, other: &Self) -> bool {
        let name = self.name.as_ref().filter(|name| !name.ends_with(CUT));
        name.is_some() && name == other.name.as_ref()
    }

    /// Whether both can be one finding: nothing that both say differs.
    pub(super) fn may_be(&self, other: &Self) -> bool {
        fn agree<T: PartialEq>(a: Option<&T>, b: Option<&T>) -> bool {
            a.is_none() || b.is_none() || a == b
        }
        let names_agree = self.name.is_none() || other.name.is_none() || self.is_named_as(other);
        names_agree
            && agree(self.file.as_ref(), other.file.as_ref())
            && agree(self.problem.as_ref(), other.problem.as_ref())
    }

    /// Takes over what only `other` says. Of two kinds the worse one counts.
    pub(super) fn absorb(&mut self, other: Self) {
        self.name = self.name.take().or(other.name);
        self.kind = [self.kind, other.kind].into_iter().flatten().min();
        self.resolution = self.resolution.or(other.resolution);
        self.file = self.file.take().or(other.file);
        self.problem = self.problem.take().or(other.problem);
        self.description = self.description.take().or(other.description);
    }
}

/// `Type` of `X-Infection-Found` (draft-stecher-icap-subid-00), the worst first.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ThreatKind {
    /// 0: a virus.
    Virus,
    /// 1: a violation of a mail policy.
    MailPolicyViolation,
    /// 2: a violation of container rules, for example too many layers, or encryption.
    ContainerViolation,
}

/// `Resolution` of `X-Infection-Found`, and the last line of a violation.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Resolution {
    /// 0: the file was not repaired.
    NotRepaired,
    /// 1: the file was repaired; what came back is the cleaned copy.
    Repaired,
    /// 2: the file was blocked or deleted.
    Blocked,
}

/// Why content could not be looked into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hindrance {
    /// It goes over a limit of the service.
    Limit,
    /// It cannot be opened: encrypted, damaged, of a type that is not read.
    Unscannable,
}

/// What a service found.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Threats(pub(super) Vec<Threat>);

impl Threats {
    /// The names, each once, safe to show; a threat without a name is left out.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let mut seen = HashSet::new();
        let names = self.0.iter().filter_map(Threat::name);
        names.filter(move |name| seen.insert(*name))
    }

    /// Each threat. There is at least one; one that was found in two files is there twice. Where a
    /// service lists more than a hundred, some are left out.
    pub fn iter(&self) -> impl Iterator<Item = &Threat> {
        self.0.iter()
    }
}

/// The names, separated by commas; "unnamed threat" if there is none.
impl fmt::Display for Threats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut names = self.names();
        f.write_str(names.next().unwrap_or("unnamed threat"))?;
        names.try_for_each(|name| write!(f, ", {name}"))
    }
}

impl fmt::Debug for Threats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.0).finish()
    }
}
