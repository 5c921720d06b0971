//! The grammar of the fields that name threats (draft-stecher-icap-subid-00), and of what vendors made
//! of it. What a finding means for the verdict is not decided here.

use super::denial::is_denial;
use super::threat::{Resolution, Threat, ThreatKind};
use crate::proto::header::Field;
use crate::proto::number::decimal;
use crate::proto::text::displayable;

/// A value that says nothing was found, or a list of such. An empty one says that something is there.
pub(super) fn says_nothing(value: &[u8]) -> bool {
    value
        .split(|&b| b == b',')
        .all(|part| is_denial(unquote(part)))
}

/// The threats of a list of names. Trend Micro and Kaspersky separate them by commas, and no name of a
/// virus has one. Of an unnamed threat the list is empty, or says nothing.
pub(super) fn named(list: &[u8]) -> impl Iterator<Item = Threat> + '_ {
    let is_name = |name: &&[u8]| !name.is_empty() && !is_denial(name);
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

/// What one `X-Infection-Found` says. What cannot be read was said too; the names are still a list.
#[derive(Default)]
struct Infection<'v> {
    kind: Option<Option<ThreatKind>>,
    resolution: Option<Option<Resolution>>,
    names: Option<&'v [u8]>,
    description: Option<&'v [u8]>,
}

/// `Type=0; Resolution=2; Threat=Eicar-Test-Signature;` in any order and with any part missing. A key
/// that comes again begins the next threat, and so does a comma that joins two fields to one.
pub(super) fn infection(value: &[u8]) -> impl Iterator<Item = Threat> + '_ {
    joined(value)
        .flat_map(infections)
        .flat_map(Infection::threats)
}

/// What was joined: a comma separates it where it ends a part, or where nothing or a key stands after
/// it. Others separate names.
fn joined(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    let separates = |&at: &usize| {
        let before = value[..at].trim_ascii_end();
        let after = value[at + 1..].trim_ascii_start();
        let is_outermost = before.is_empty() || after.is_empty();
        is_outermost || before.ends_with(b";") || begins_with_key(after)
    };
    let commas = memchr::memchr_iter(b',', value).filter(separates);
    let mut start = 0;
    commas.chain([value.len()]).map(move |end| {
        let field = &value[start..end];
        start = end + 1;
        field
    })
}

fn begins_with_key(text: &[u8]) -> bool {
    KEYS.iter().any(|key| {
        let split = text.split_at_checked(key.len());
        split.is_some_and(|(begin, rest)| {
            begin.eq_ignore_ascii_case(key) && rest.trim_ascii_start().starts_with(b"=")
        })
    })
}

fn infections(value: &[u8]) -> Vec<Infection<'_>> {
    if names_nothing(value) {
        return Vec::new();
    }
    let mut infections = Vec::new();
    let mut last = Infection::default();
    for (key, value) in parts(value) {
        if !last.set(key, value) {
            infections.push(std::mem::take(&mut last));
            last.set(key, value);
        }
    }
    infections.push(last);
    infections
}

/// A denial, or nothing but `Threat` with denials, or all of the grammar with nothing in it: a legible type,
/// no resolution, and a word for no threat. An empty value says that something is there.
fn names_nothing(value: &[u8]) -> bool {
    if says_nothing(value) {
        return true;
    }
    let (mut has_type, mut has_resolution, mut has_word) = (false, false, true);
    let mut names = 0;
    for (key, value) in parts(value) {
        if key.eq_ignore_ascii_case(THREAT) && says_nothing(value) {
            names += 1;
            has_word &= value.iter().any(u8::is_ascii_alphabetic);
        } else if key.eq_ignore_ascii_case(TYPE) && kind(value).is_some() {
            has_type = true;
        } else if key.eq_ignore_ascii_case(RESOLUTION) && decimal(value) == Some(0) {
            has_resolution = true;
        } else {
            return false;
        }
    }
    let is_bare = !has_type && !has_resolution;
    names > 0 && (is_bare || has_type && has_resolution && has_word)
}

const TYPE: &[u8] = b"Type";
const RESOLUTION: &[u8] = b"Resolution";
const THREAT: &[u8] = b"Threat";
const KEYS: &[&[u8]] = &[TYPE, RESOLUTION, THREAT, DESCRIPTION];

impl<'v> Infection<'v> {
    /// Sets what a part says; false if something else was said before.
    fn set(&mut self, key: &[u8], value: &'v [u8]) -> bool {
        if key.eq_ignore_ascii_case(TYPE) {
            set(&mut self.kind, kind(value))
        } else if key.eq_ignore_ascii_case(RESOLUTION) {
            set(&mut self.resolution, resolution(value))
        } else if key.eq_ignore_ascii_case(THREAT) {
            set(&mut self.names, value)
        } else if key.eq_ignore_ascii_case(DESCRIPTION) {
            set(&mut self.description, value)
        } else {
            true
        }
    }

    fn threats(self) -> impl Iterator<Item = Threat> + 'v {
        // Made once: it may be as long as the list of names is.
        let description = self.description.and_then(told);
        named(self.names.unwrap_or_default()).map(move |threat| Threat {
            kind: self.kind.flatten(),
            resolution: self.resolution.flatten(),
            description: description.clone(),
            ..threat
        })
    }
}

fn set<T>(place: &mut Option<T>, value: T) -> bool {
    let is_free = place.is_none();
    if is_free {
        *place = Some(value);
    }
    is_free
}

/// The parts that are not blank.
fn parts(value: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    let parts = value.split(|&b| b == b';').map(<[u8]>::trim_ascii);
    parts.filter(|part| !part.is_empty()).map(split_part)
}

/// `key=value`.
fn split_part(part: &[u8]) -> (&[u8], &[u8]) {
    let equals = memchr::memchr(b'=', part).unwrap_or(part.len());
    let value = part.get(equals + 1..).unwrap_or_default();
    (part[..equals].trim_ascii(), value.trim_ascii())
}

/// What Symantec adds on demand: `ThreatDescription=NAME|NonViralThreat=CATEGORY`, as one more part of
/// an infection, and as one more line of a violation.
const DESCRIPTION: &[u8] = b"ThreatDescription";

/// A count, then four lines for each violation: file, threat, problem, resolution. If there are exactly four
/// lines for each, the place alone says what a line is: a file may be called anything. A count that does
/// not fit its lines is evidence all the same (Clearswift says 1 and lists two); only a count of 0
/// without lines is none.
pub(super) fn violations(field: &Field<'_>) -> Vec<Threat> {
    let mut lines = field.lines();
    let count = decimal(lines.next().map(<[u8]>::trim_ascii).unwrap_or_default());
    let lines: Vec<&[u8]> = lines.collect();
    let is_positional = count.and_then(|count| count.checked_mul(4)) == Some(lines.len() as u64);
    let mut found: Vec<Threat> = Vec::new();
    let mut place = 0;
    for line in lines {
        let (key, value) = split_part(line);
        let is_description = !is_positional && key.eq_ignore_ascii_case(DESCRIPTION);
        match (found.last_mut(), place % 4) {
            (Some(last), 0) if is_description => {
                last.description = told(value);
                continue;
            }
            (Some(last), 1..) => set_line(last, place % 4, line),
            _ => found.push(in_file(line)),
        }
        place += 1;
    }
    if found.is_empty() && count != Some(0) {
        found.push(Threat::default());
    }
    found
}

/// A threat of which only the file is known. Any word but the dash may be a file's name.
pub(super) fn in_file(name: &[u8]) -> Threat {
    Threat {
        file: told(name),
        ..Threat::default()
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn names(threats: impl Iterator<Item = Threat>) -> Vec<Option<String>> {
        threats.map(|threat| threat.name).collect()
    }

    #[test]
    fn a_list_names_one_threat_or_more_and_nothing_between_two_commas() {
        for (list, expected) in [
            ("Eicar", &[Some("Eicar")][..]),
            ("A, B", &[Some("A"), Some("B")]),
            ("A,, none ,B,", &[Some("A"), Some("B")]),
            ("", &[None]),
            ("no threats", &[None]),
            (" , -", &[None]),
        ] {
            let expected = Vec::from_iter(expected.iter().map(|name| name.map(str::to_owned)));
            assert_eq!(names(named(list.as_bytes())), expected, "{list}");
        }
    }

    #[test]
    fn a_comma_joins_two_fields_only_before_a_key_with_its_equals_sign() {
        for (value, expected) in [
            ("Threat=A, Threat=B", &["A", "B"][..]),
            ("Threat=A, THREAT = B", &["A", "B"]),
            ("Threat=A, Type O/B", &["A", "Type O/B"]),
            ("Threat=A, Worm=2", &["A", "Worm=2"]),
        ] {
            let expected = Vec::from_iter(expected.iter().map(|name| Some((*name).to_owned())));
            assert_eq!(names(infection(value.as_bytes())), expected, "{value}");
        }
    }

    #[test]
    fn a_type_a_resolution_and_a_description_are_read_as_they_are_written() {
        for (value, kind, how) in [
            (
                "Type=0; Resolution=0",
                Some(ThreatKind::Virus),
                Some(Resolution::NotRepaired),
            ),
            (
                "resolution=1;TYPE=1",
                Some(ThreatKind::MailPolicyViolation),
                Some(Resolution::Repaired),
            ),
            (
                "Type = 2 ; Resolution = 2",
                Some(ThreatKind::ContainerViolation),
                Some(Resolution::Blocked),
            ),
            ("Type=3; Resolution=3", None, None),
            ("Type=+0; Resolution=", None, None),
        ] {
            let value = format!("{value}; Threat=A; ThreatDescription=a word");
            let expected = Threat {
                name: Some("A".to_owned()),
                kind,
                resolution: how,
                description: Some("a word".to_owned()),
                ..Threat::default()
            };
            assert_eq!(Vec::from_iter(infection(value.as_bytes())), [expected]);
        }
    }
}
