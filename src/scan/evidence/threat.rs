//! What a service found, typed. Which of it is a threat and which only says that the content could not
//! be looked into is decided here; where it stands in an answer is not known here.

use std::collections::HashSet;
use std::fmt;

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

/// How the names begin, in lower case, that ClamAV gives what it could not look into. c-icap passes
/// them on as viruses.
const HEURISTICS: &[(&str, Hindrance)] = &[
    ("heuristics.limits.exceeded", Hindrance::Limit),
    ("heuristics.encrypted", Hindrance::Unscannable),
];

/// What such a name says, if it is nothing but that name.
fn heuristic(name: &str) -> Option<Hindrance> {
    let is_named = |byte: u8| byte.is_ascii_alphanumeric() || b".:()_-".contains(&byte);
    let begins = |&&(prefix, _): &&(&str, Hindrance)| {
        let begin = name.get(..prefix.len());
        begin.is_some_and(|begin| begin.eq_ignore_ascii_case(prefix))
    };
    let (_, hindrance) = HEURISTICS.iter().find(begins)?;
    name.bytes().all(is_named).then_some(*hindrance)
}

/// What stands in place of a name, in lower case, where the content could not be looked into. It takes
/// a sentence, because names of viruses have words such as "crypt" and "error" in them too; and the
/// service must not have said that it means a virus.
const SENTENCES: &[(&str, Hindrance)] = &[
    ("encrypted archive", Hindrance::Unscannable),
    ("encrypted container", Hindrance::Unscannable),
    ("encrypted document", Hindrance::Unscannable),
    ("encrypted file", Hindrance::Unscannable),
    ("password protected", Hindrance::Unscannable),
    ("password-protected", Hindrance::Unscannable),
    ("check error", Hindrance::Unscannable),
    ("read error", Hindrance::Unscannable),
    ("scan error", Hindrance::Unscannable),
    ("container size violation", Hindrance::Limit),
    ("scan incomplete", Hindrance::Limit),
    ("scan timeout", Hindrance::Limit),
];

/// Words that may stand beside those. Any other may be of a threat, or of a file whose name somebody
/// chose.
const BESIDE: &[&str] = &[
    "archive",
    "container",
    "document",
    "file",
    "is",
    "the",
    "violation",
];

/// What such a sentence says, if nothing else is said.
fn sentence(name: &str) -> Option<Hindrance> {
    let name = name.to_ascii_lowercase();
    let is_beside = |text: &str| text.split_whitespace().all(|word| BESIDE.contains(&word));
    let says = |&&(sentence, _): &&(&str, Hindrance)| {
        let around = name.split_once(sentence);
        around.is_some_and(|(before, behind)| is_beside(before) && is_beside(behind))
    };
    let (_, hindrance) = SENTENCES.iter().find(says)?;
    Some(*hindrance)
}

/// What a service found.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Threats(pub(super) Vec<Threat>);

impl Threats {
    /// Those of `all`, behind those of these that have another name.
    pub(super) fn and_others(self, all: Self) -> Self {
        let is_missing =
            |own: &Threat| own.name.is_some() && all.0.iter().all(|other| own.name != other.name);
        let missing: Vec<_> = self.0.into_iter().filter(is_missing).collect();
        Self([missing, all.0].concat())
    }

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
