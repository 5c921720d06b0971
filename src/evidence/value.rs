//! Values of fields that name threats: lists, quotation marks and numbers.

use super::nothing_found::is_nothing_found;
use super::threat::{Resolution, Threat, ThreatKind};
use crate::proto::number::decimal;
use crate::proto::text::displayable;

/// Whether each member of a list says that nothing was found. An empty value does not: a field without a value says
/// that something is there.
pub(super) fn lists_nothing_found(value: &[u8]) -> bool {
    value
        .split(|&b| b == b',')
        .all(|part| is_nothing_found(unquote(part)))
}

/// The threats of a list of names. Trend Micro and Kaspersky separate them by commas, and no name of a virus has
/// one. If no member is a name, there is one unnamed threat.
pub(super) fn listed_threats(list: &[u8]) -> impl Iterator<Item = Threat> + '_ {
    let is_name = |name: &&[u8]| !name.is_empty() && !is_nothing_found(name);
    let names = list.split(|&b| b == b',').map(unquote);
    let mut names = names.filter(is_name).peekable();
    let unnamed = names.peek().is_none().then(Threat::unnamed);
    names.map(Threat::with_name).chain(unnamed)
}

impl Threat {
    fn with_name(name: &[u8]) -> Self {
        Self {
            name: display_text(name),
            ..Self::unnamed()
        }
    }

    /// A threat of which only the file is known. Every word but the dash may be the name of a file.
    pub(super) fn in_file(name: &[u8]) -> Self {
        Self {
            file: display_text(name),
            ..Self::unnamed()
        }
    }
}

/// `key=value`.
pub(super) fn split_part(part: &[u8]) -> (&[u8], &[u8]) {
    let equals = memchr::memchr(b'=', part).unwrap_or(part.len());
    let value = part.get(equals + 1..).unwrap_or_default();
    (part[..equals].trim_ascii(), value.trim_ascii())
}

/// What Symantec adds on demand, as one more part of an infection or one more line of a violation:
/// `ThreatDescription=NAME|NonViralThreat=CATEGORY`.
pub(super) const DESCRIPTION: &[u8] = b"ThreatDescription";

pub(super) fn kind(value: &[u8]) -> Option<ThreatKind> {
    match decimal(value)? {
        0 => Some(ThreatKind::Virus),
        1 => Some(ThreatKind::MailPolicyViolation),
        2 => Some(ThreatKind::ContainerViolation),
        _ => None,
    }
}

pub(super) fn resolution(value: &[u8]) -> Option<Resolution> {
    match decimal(value)? {
        0 => Some(Resolution::NotRepaired),
        1 => Some(Resolution::Repaired),
        2 => Some(Resolution::Blocked),
        _ => None,
    }
}

/// Removes white space and quotation marks from both ends. WithSecure quotes a whole list, so its first and its
/// last member have one mark each.
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

/// Text that is safe to show; `None` if it is empty or the dash that stands for "none".
pub(super) fn display_text(value: &[u8]) -> Option<String> {
    (!value.is_empty() && value != b"-").then(|| displayable(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn list_names_no_threat_between_two_commas() {
        for (list, expected) in [
            ("Eicar", &[Some("Eicar")][..]),
            ("A, B", &[Some("A"), Some("B")]),
            ("A,, none ,B,", &[Some("A"), Some("B")]),
            ("", &[None]),
            ("no threats", &[None]),
            (" , -", &[None]),
        ] {
            let names = listed_threats(list.as_bytes()).map(|threat| threat.name);
            let names = Vec::from_iter(names);
            let expected = Vec::from_iter(expected.iter().map(|name| name.map(str::to_owned)));
            assert_eq!(names, expected, "{list}");
        }
    }
}
