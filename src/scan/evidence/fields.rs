//! The grammar of the fields that name threats (draft-stecher-icap-subid-00), and of what vendors made
//! of it. What a finding means for the verdict is not decided here.

use super::threat::{Resolution, Threat, ThreatKind};
use crate::proto::header::Field;
use crate::proto::number::decimal;
use crate::proto::text::displayable;

/// Values that say "nothing found", without case.
const SENTINELS: &[&str] = &[
    "no threats",
    "no threat",
    "none",
    "no",
    "clean",
    "passed",
    "allowed",
    "ok",
    "-",
    "0",
    "false",
];

/// A value that says nothing was found. An empty one says that something is there.
pub(super) fn says_nothing(field: &Field<'_>) -> bool {
    is_sentinel(&field.value())
}

fn is_sentinel(value: &[u8]) -> bool {
    let value = unquote(value);
    SENTINELS
        .iter()
        .any(|sentinel| value.eq_ignore_ascii_case(sentinel.as_bytes()))
}

/// The threats of a list of names. Trend Micro and Kaspersky separate them by commas, and no name of a
/// virus has one. Of an unnamed threat the list is empty, or says nothing.
pub(super) fn named(list: &[u8]) -> impl Iterator<Item = Threat> + '_ {
    let is_name = |name: &&[u8]| !name.is_empty() && !is_sentinel(name);
    let names = list.split(|&b| b == b',').map(unquote);
    let mut names = names.filter(is_name).peekable();
    let unnamed = names.peek().is_none().then(Threat::default);
    names.map(with_name).chain(unnamed)
}

fn with_name(name: &[u8]) -> Threat {
    Threat {
        name: told(name),
        ..Threat::default()
    }
}

/// What one `X-Infection-Found` says; the names are still a list.
#[derive(Default)]
struct Infection<'v> {
    kind: Option<ThreatKind>,
    resolution: Option<Resolution>,
    names: Option<&'v [u8]>,
    description: Option<&'v [u8]>,
}

/// `Type=0; Resolution=2; Threat=Eicar-Test-Signature;` in any order and with any part missing. A key
/// that comes again begins the next threat.
pub(super) fn infection(value: &[u8]) -> impl Iterator<Item = Threat> + '_ {
    let mut infections = Vec::new();
    if !names_nothing(value) {
        infections.push(Infection::default());
    }
    for (key, value) in parts(value) {
        if infections
            .last_mut()
            .is_some_and(|last| !last.set(key, value))
        {
            let mut next = Infection::default();
            next.set(key, value);
            infections.push(next);
        }
    }
    infections.into_iter().flat_map(Infection::threats)
}

/// A sentinel, or nothing but keys with sentinels; an empty value says that something is there.
fn names_nothing(value: &[u8]) -> bool {
    let is_none = |(key, value): (&[u8], &[u8])| {
        key.is_empty() || key.eq_ignore_ascii_case(b"Threat") && is_sentinel(value)
    };
    is_sentinel(value) || !value.is_empty() && parts(value).all(is_none)
}

impl<'v> Infection<'v> {
    /// Sets what a part says; false if something else was said before.
    fn set(&mut self, key: &[u8], value: &'v [u8]) -> bool {
        let told = (!value.is_empty()).then_some(value);
        if key.eq_ignore_ascii_case(b"Type") {
            set(&mut self.kind, kind(value))
        } else if key.eq_ignore_ascii_case(b"Resolution") {
            set(&mut self.resolution, resolution(value))
        } else if key.eq_ignore_ascii_case(b"Threat") {
            set(&mut self.names, told)
        } else if key.eq_ignore_ascii_case(DESCRIPTION) {
            set(&mut self.description, told)
        } else {
            true
        }
    }

    fn threats(self) -> impl Iterator<Item = Threat> + 'v {
        named(self.names.unwrap_or_default()).map(move |threat| Threat {
            kind: self.kind,
            resolution: self.resolution,
            description: self.description.and_then(told),
            ..threat
        })
    }
}

fn set<T>(place: &mut Option<T>, value: Option<T>) -> bool {
    let is_free = place.is_none();
    if is_free {
        *place = value;
    }
    is_free
}

fn parts(value: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    value.split(|&b| b == b';').map(split_part)
}

/// `key=value`, also behind the comma that joins two fields.
fn split_part(part: &[u8]) -> (&[u8], &[u8]) {
    let equals = memchr::memchr(b'=', part).unwrap_or(part.len());
    let key = part[..equals].trim_ascii();
    let key = key.strip_prefix(b",").unwrap_or(key).trim_ascii();
    (key, part.get(equals + 1..).unwrap_or_default().trim_ascii())
}

/// What Symantec adds on demand: `ThreatDescription=NAME|NonViralThreat=CATEGORY`, as one more part of
/// an infection, and as one more line of a violation.
const DESCRIPTION: &[u8] = b"ThreatDescription";

/// A count, then four lines for each violation: file, threat, problem, resolution. A count that does
/// not fit its lines is evidence all the same (Clearswift says 1 and lists two); only a count of 0
/// without lines is none.
pub(super) fn violations(field: &Field<'_>) -> Vec<Threat> {
    let mut lines = field.lines();
    let count = lines.next().map(<[u8]>::trim_ascii).unwrap_or_default();
    let mut found: Vec<Threat> = Vec::new();
    let mut place = 0;
    for line in lines {
        let description = match split_part(line) {
            (key, value) if key.eq_ignore_ascii_case(DESCRIPTION) => Some(value),
            _ => None,
        };
        match (description, found.last_mut(), place % 4) {
            (Some(description), Some(last), _) => last.description = told(description),
            (Some(_), None, _) => {}
            (None, Some(last), 1..) => set_line(last, place % 4, line),
            (None, _, _) => found.push(Threat {
                file: told(line),
                ..Threat::default()
            }),
        }
        place += usize::from(description.is_none());
    }
    if found.is_empty() && decimal(count) != Some(0) {
        found.push(Threat::default());
    }
    found
}

/// Sets what line `place` of a violation says; line 0 began it.
fn set_line(violation: &mut Threat, place: usize, line: &[u8]) {
    match place {
        1 => violation.name = told(line),
        2 => violation.problem = told(line),
        _ => violation.resolution = resolution(line),
    }
}

fn kind(value: &[u8]) -> Option<ThreatKind> {
    match decimal(value)? {
        0 => Some(ThreatKind::Virus),
        1 => Some(ThreatKind::MailPolicyViolation),
        2 => Some(ThreatKind::ContainerViolation),
        _ => None,
    }
}

fn resolution(value: &[u8]) -> Option<Resolution> {
    match decimal(value)? {
        0 => Some(Resolution::NotRepaired),
        1 => Some(Resolution::Repaired),
        2 => Some(Resolution::Blocked),
        _ => None,
    }
}

/// Removes white space and quotation marks, in which WithSecure puts what it found, from both ends: the
/// ends of a list may have one each.
pub(super) fn unquote(mut value: &[u8]) -> &[u8] {
    let is_outside = |byte: u8| byte == b'"' || byte.is_ascii_whitespace();
    while let Some((_, rest)) = value.split_first().filter(|(first, _)| is_outside(**first)) {
        value = rest;
    }
    while let Some((_, rest)) = value.split_last().filter(|(last, _)| is_outside(**last)) {
        value = rest;
    }
    value
}

/// Text that is safe to show, unless it is empty or the dash that stands for "none".
pub(super) fn told(value: &[u8]) -> Option<String> {
    (!value.is_empty() && value != b"-").then(|| displayable(value))
}
