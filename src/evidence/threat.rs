//! A finding of a service, and whether it is a threat or only says that the content could not be scanned.

use std::collections::HashSet;
use std::fmt;

use super::hindrance::Hindrance;
use crate::proto::text::CUT;

/// One threat that a service found.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Threat {
    pub(crate) name: Option<String>,
    pub(crate) kind: Option<ThreatKind>,
    pub(crate) resolution: Option<Resolution>,
    pub(crate) file: Option<String>,
    pub(crate) problem: Option<String>,
    pub(crate) description: Option<String>,
}

impl Threat {
    /// A threat of which nothing is known.
    pub(super) const fn unnamed() -> Self {
        Self {
            name: None,
            kind: None,
            resolution: None,
            file: None,
            problem: None,
            description: None,
        }
    }

    /// A threat of which there are only words.
    pub(super) fn described_as(description: Option<String>) -> Self {
        Self {
            description,
            ..Self::unnamed()
        }
    }

    /// The service's name for it, safe to show; `None` if the service gives none.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// The kind of the threat; `None` if the service does not say.
    #[must_use]
    pub fn kind(&self) -> Option<ThreatKind> {
        self.kind
    }

    /// What the service did about it; `None` if it does not say.
    #[must_use]
    pub fn resolution(&self) -> Option<Resolution> {
        self.resolution
    }

    /// The file inside the content in which it was found, safe to show; `None` if the service does not say.
    #[must_use]
    pub fn file(&self) -> Option<&str> {
        self.file.as_deref()
    }

    /// The service's number for the problem, safe to show; `None` if it gives none.
    #[must_use]
    pub fn problem_id(&self) -> Option<&str> {
        self.problem.as_deref()
    }

    /// What else the service says about the threat, safe to show: a category, or a text that it sends in addition to the name.
    /// It can be in the service's own language.
    #[must_use]
    pub fn description(&self) -> Option<&str> {
        self.description.as_deref()
    }

    /// Why the content could not be scanned, if the finding says that and names no threat.
    pub(super) fn hindrance(&self) -> Option<Hindrance> {
        let name = self.name.as_deref().unwrap_or_default();
        match (Hindrance::of_name(name), self.kind) {
            (Some(hindrance), _) => Some(hindrance),
            (None, Some(ThreatKind::Virus)) => None,
            (None, Some(ThreatKind::ContainerViolation)) => {
                Hindrance::of_phrase(name).or(Some(Hindrance::Unscannable))
            }
            (None, _) => Hindrance::of_phrase(name),
        }
    }

    /// The words for the [hindrance](Self::hindrance).
    pub(super) fn words_for_hindrance(&self) -> String {
        let name = self.name.as_deref();
        name.unwrap_or("container violation").to_owned()
    }

    /// Whether both have the same name. Two names that were cut may differ after the cut.
    pub(super) fn is_named_as(&self, other: &Self) -> bool {
        let name = self.name.as_ref().filter(|name| !name.ends_with(CUT));
        name.is_some() && name == other.name.as_ref()
    }

    /// Whether both can be one finding: no property that both have differs.
    pub(super) fn is_compatible(&self, other: &Self) -> bool {
        fn agree<T: PartialEq>(a: Option<&T>, b: Option<&T>) -> bool {
            a.is_none() || b.is_none() || a == b
        }
        let names_agree = self.name.is_none() || other.name.is_none() || self.is_named_as(other);
        names_agree
            && agree(self.file.as_ref(), other.file.as_ref())
            && agree(self.problem.as_ref(), other.problem.as_ref())
    }

    /// Takes over the properties that only `other` has. Of two kinds the worse one counts.
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
    /// 2: a violation of the rules for containers: too many layers, for example, or encryption.
    ContainerViolation,
}

/// `Resolution` of `X-Infection-Found`, and the last line of a violation in `X-Violations-Found`
/// (draft-stecher-icap-subid-00).
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Resolution {
    /// 0: the file was not repaired.
    NotRepaired,
    /// 1: the file was repaired, and the cleaned copy came back.
    Repaired,
    /// 2: the file was blocked or deleted.
    Blocked,
}

/// The threats that a service found: at least one.
#[derive(Clone, PartialEq, Eq)]
pub struct Threats(Vec<Threat>);

impl Threats {
    /// `None` without a threat.
    pub(crate) fn new(threats: Vec<Threat>) -> Option<Self> {
        (!threats.is_empty()).then_some(Self(threats))
    }

    /// The names, each once, safe to show. Unnamed threats are left out.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let mut seen = HashSet::new();
        let names = self.0.iter().filter_map(Threat::name);
        names.filter(move |name| seen.insert(*name))
    }

    /// Each threat. There is at least one. A threat that was found in two files is there twice. If a service lists
    /// more than [`MAX_THREATS`](crate::limits::MAX_THREATS), some are left out.
    pub fn iter(&self) -> std::slice::Iter<'_, Threat> {
        self.0.iter()
    }
}

/// Each threat, as [`Threats::iter`] gives them.
impl<'t> IntoIterator for &'t Threats {
    type Item = &'t Threat;
    type IntoIter = std::slice::Iter<'t, Threat>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::tests::threats;

    #[test]
    fn hostile_name_is_safe_to_show() {
        let found = threats("X-Virus-ID: a\x1b[2J\u{202e}b\r\n");
        assert_eq!(found[0].name(), Some("a\\u{1b}[2J\\u{202e}b"));
        let debug = format!("{:?}", Threats(found));
        assert!(debug.contains("[2J") && !debug.contains('\x1b'), "{debug}");
    }
}
