//! The grammar of `X-Infection-Found` (draft-stecher-icap-subid-00).

use super::threat::{Resolution, Threat, ThreatKind};
use super::value::{
    DESCRIPTION, display_text, kind, listed_threats, lists_nothing_found, resolution, split_part,
};
use crate::proto::number::decimal;

/// One infection. A part that is there and cannot be read is `Some(None)`. The names are still a list.
#[derive(Default)]
struct Infection<'v> {
    kind: Option<Option<ThreatKind>>,
    resolution: Option<Option<Resolution>>,
    names: Option<&'v [u8]>,
    description: Option<&'v [u8]>,
}

/// The threats of `Type=0; Resolution=2; Threat=Eicar-Test-Signature;`, in any order and with any part missing. A
/// key that comes again begins the next threat, and so does a comma that joins two fields.
pub(super) fn infections(value: &[u8]) -> impl Iterator<Item = Threat> + '_ {
    split_fields(value)
        .flat_map(split_infections)
        .flat_map(Infection::threats)
}

/// The fields that a value was joined from. A comma separates two fields where it ends a part, or where nothing or
/// a key stands after it. Every other comma separates names.
fn split_fields(value: &[u8]) -> impl Iterator<Item = &[u8]> {
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

fn split_infections(value: &[u8]) -> Vec<Infection<'_>> {
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

/// Whether a value says that nothing was found. It is a denial, or it has only `Threat` parts with denials, or it
/// has all parts: a legible type, the resolution 0, and a word for no threat. An empty value says that something
/// is there.
fn names_nothing(value: &[u8]) -> bool {
    if lists_nothing_found(value) {
        return true;
    }
    let (mut has_type, mut has_resolution, mut has_word) = (false, false, true);
    let mut names = 0;
    for (key, value) in parts(value) {
        if key.eq_ignore_ascii_case(THREAT) && lists_nothing_found(value) {
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
    /// Sets a part. Returns false if it was set before.
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
        // Made once: it may be as long as the list of names.
        let description = self.description.and_then(display_text);
        listed_threats(self.names.unwrap_or_default()).map(move |threat| Threat {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::tests::{is_infected, threats};

    fn names(threats: impl Iterator<Item = Threat>) -> Vec<Option<String>> {
        threats.map(|threat| threat.name).collect()
    }

    #[test]
    fn comma_joins_fields_only_before_a_key_with_equals_sign() {
        for (value, expected) in [
            ("Threat=A, Threat=B", &["A", "B"][..]),
            ("Threat=A, THREAT = B", &["A", "B"]),
            ("Threat=A, Type O/B", &["A", "Type O/B"]),
            ("Threat=A, Worm=2", &["A", "Worm=2"]),
        ] {
            let expected = Vec::from_iter(expected.iter().map(|name| Some((*name).to_owned())));
            assert_eq!(names(infections(value.as_bytes())), expected, "{value}");
        }
    }

    #[test]
    fn type_resolution_and_description_are_read() {
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
                ..Threat::unnamed()
            };
            assert_eq!(Vec::from_iter(infections(value.as_bytes())), [expected]);
        }
    }

    #[test]
    fn infection_is_read_in_every_shape() {
        let full = Threat {
            name: Some("Eicar-Test-Signature".into()),
            kind: Some(ThreatKind::Virus),
            resolution: Some(Resolution::Blocked),
            ..Threat::unnamed()
        };
        for value in [
            "Type=0; Resolution=2; Threat=Eicar-Test-Signature;",
            "Type=0; Resolution=2; Threat=Eicar-Test-Signature",
            "threat=Eicar-Test-Signature;TYPE = 0;resolution=2",
        ] {
            let found = threats(&format!("x-infection-found: {value}\r\n"));
            assert_eq!(found, std::slice::from_ref(&full), "{value}");
        }
        assert_eq!(threats("X-Infection-Found:\r\n"), [Threat::unnamed()]);
        assert_eq!(
            threats("X-Infection-Found: gibberish\r\n"),
            [Threat::unnamed()]
        );
        assert_eq!(
            threats("X-Infection-Found: Type=9; Threat=a=b\r\n")[0].name(),
            Some("a=b")
        );
    }

    #[test]
    fn joined_infections_are_two_threats() {
        let joined = "X-Infection-Found: Type=0; Resolution=2; Threat=A;, Type=0; Resolution=1; Threat=B;\r\n";
        let found = threats(joined);
        assert_eq!((found[0].name(), found[1].name()), (Some("A"), Some("B")));
        assert_eq!(found[1].resolution(), Some(Resolution::Repaired));
    }

    #[test]
    fn joined_fields_say_the_same_as_apart() {
        let values = [
            "Type=2; Resolution=2;",
            "Type=2; Threat=Locked",
            "Threat=Eicar;",
            "Resolution=0; Threat=Eicar",
            "Type=0",
            "",
        ];
        let infected = |value: &str| is_infected(&format!("X-Infection-Found: {value}\r\n"));
        for (first, second) in values.iter().flat_map(|a| values.map(|b| (*a, b))) {
            let expected = infected(first) || infected(second);
            for comma in [", ", ",", " ,\t"] {
                let joined = [first, second].join(comma);
                assert_eq!(infected(&joined), expected, "{joined}");
            }
        }
    }
}
