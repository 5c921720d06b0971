//! What servers say about infections, by the fields they say it in.
//!
//! Evidence counts on every status, in the ICAP head, in the encapsulated HTTP head and in trailers:
//! vendors differ in where they put it. It only ever worsens a verdict. That a field is *there* is
//! enough, even if its value cannot be read; only values that are known to say "nothing found" are no
//! evidence.

use std::fmt;

use crate::proto::header::{Field, legible_fields};
use crate::proto::number::decimal;
use crate::proto::response::Response;
use crate::proto::text::displayable;

/// One thing a service found.
#[non_exhaustive]
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Threat {
    name: Option<String>,
    kind: Option<ThreatKind>,
    resolution: Option<Resolution>,
    file: Option<String>,
    problem: Option<String>,
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

    /// The file inside the content in which it was found, where the service says.
    #[must_use]
    pub fn file(&self) -> Option<&str> {
        self.file.as_deref()
    }

    /// The service's number for the problem, where it gives one.
    #[must_use]
    pub fn problem_id(&self) -> Option<&str> {
        self.problem.as_deref()
    }

    fn named(name: &[u8]) -> Self {
        Self {
            name: shown(name),
            ..Self::default()
        }
    }

    /// A finding that the content could not be looked into, and no finding in it.
    fn hindrance(&self) -> Option<Hindrance> {
        let name = self.name.as_deref().unwrap_or_default();
        let begins = |prefix: &str| {
            name.get(..prefix.len())
                .is_some_and(|start| start.eq_ignore_ascii_case(prefix))
        };
        if begins("Heuristics.Limits.Exceeded") {
            Some(Hindrance::Limit)
        } else if self.kind == Some(ThreatKind::ContainerViolation)
            || begins("Heuristics.Encrypted")
        {
            Some(Hindrance::Unscannable)
        } else {
            None
        }
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
pub struct Threats(Vec<Threat>);

impl Threats {
    /// The names, safe to show; a threat without a name is left out.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(Threat::name)
    }

    /// Each threat. There is at least one.
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

/// The worst thing an answer's fields say, if they say anything.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Evidence {
    Infected(Threats),
    /// Nothing was found because not everything was looked at; with the service's words.
    Hindered(Hindrance, String),
    /// Refused, with the service's words.
    Blocked(String),
}

impl Evidence {
    /// Reads all fields of an answer, also of the interim ones before it.
    pub(crate) fn of(response: &Response) -> Option<Self> {
        let mut found = Findings::default();
        found.read_response(response);
        found.worst()
    }

    /// Reads what is legible of an answer that broke off: the heads that were complete, and the one
    /// that was not.
    pub(crate) fn of_parts(response: Option<&Response>, fragment: &[u8]) -> Option<Self> {
        let mut found = Findings::default();
        if let Some(response) = response {
            found.read_response(response);
        }
        found.read(legible_fields(fragment));
        found.worst()
    }
}

/// Fields whose value names a threat.
const THREAT_NAMES: &[&str] = &["X-Virus-ID", "X-Virus-Name", "X-FSecure-Infection-Name"];

/// Fields that say there is a threat and do not name it.
const THREAT_SIGNS: &[&str] = &["X-FSecure-Scan-Result", "X-FSecure-Infected-Filename"];

/// Words in `X-Response-Info` that say the content was refused.
const REFUSALS: &[&str] = &["block", "denied", "infect", "malware", "reject", "virus"];

/// Fields whose value says why content was refused.
const BLOCK_REASONS: &[&str] = &[
    "X-Blocked-Reason",
    "X-Block-Reason",
    "X-MWG-Block-Reason",
    "X-WWBlockResult",
    "X-Blocked",
];

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

#[derive(Default)]
struct Findings {
    threats: Vec<Threat>,
    hindered: Option<(Hindrance, String)>,
    blocked: Option<String>,
}

impl Findings {
    fn read_response(&mut self, response: &Response) {
        let http = response.http_headers().unwrap_or_default();
        for headers in [response.headers(), http, response.trailers()] {
            self.read(headers.iter());
        }
        for headers in response.interim_headers() {
            self.read(headers.iter());
        }
    }

    fn read<'f>(&mut self, fields: impl Iterator<Item = Field<'f>>) {
        for field in fields {
            let is_one_of = |names: &[&str]| names.iter().any(|name| field.is(name));
            if field.is("X-Infection-Found") {
                self.threats.extend(infection(&field));
            } else if field.is("X-Violations-Found") {
                self.threats.extend(violations(&field));
            } else if is_one_of(THREAT_NAMES) && !says_nothing(&field) {
                self.threats.push(Threat::named(unquote(&field.value())));
            } else if is_one_of(THREAT_SIGNS) && !says_nothing(&field) {
                self.threats.push(Threat::default());
            } else if field.is("X-Error-Code") && !says_nothing(&field) {
                self.hindered
                    .get_or_insert((error_code(&field), field.text()));
            } else if is_block(&field) || (is_one_of(BLOCK_REASONS) && !says_nothing(&field)) {
                self.blocked.get_or_insert(field.text());
            }
        }
    }

    /// One real threat outweighs what only hindered the scan, and that outweighs a bare refusal.
    fn worst(self) -> Option<Evidence> {
        let threats = distinct(self.threats);
        let (mut real, hindered): (Vec<_>, Vec<_>) = threats
            .into_iter()
            .partition(|threat| threat.hindrance().is_none());
        if real.iter().any(|threat| threat.name.is_some()) {
            real.retain(|threat| threat.name.is_some());
        }
        if !real.is_empty() {
            return Some(Evidence::Infected(Threats(real)));
        }
        let named = hindered.into_iter().find_map(|threat| {
            let what = threat.name.clone();
            let what = what.unwrap_or_else(|| "container violation".to_owned());
            Some((threat.hindrance()?, what))
        });
        match named.or(self.hindered) {
            Some((hindrance, what)) => Some(Evidence::Hindered(hindrance, what)),
            None => self.blocked.map(Evidence::Blocked),
        }
    }
}

/// Servers name one threat in several fields, and only some say of what type it is. Where two types are
/// given, the worse one counts.
fn distinct(threats: Vec<Threat>) -> Vec<Threat> {
    let mut distinct: Vec<Threat> = Vec::new();
    for threat in threats {
        let same = |known: &&mut Threat| known.name.is_some() && known.name == threat.name;
        let Some(known) = distinct.iter_mut().find(same) else {
            distinct.push(threat);
            continue;
        };
        known.kind = [known.kind, threat.kind].into_iter().flatten().min();
        known.resolution = known.resolution.or(threat.resolution);
        known.file = known.file.take().or(threat.file);
        known.problem = known.problem.take().or(threat.problem);
    }
    distinct
}

/// `Type=0; Resolution=2; Threat=Eicar-Test-Signature;` in any order and with any part missing. A key
/// that comes again begins the next threat.
fn infection(field: &Field<'_>) -> Vec<Threat> {
    let value = field.value();
    let parts = value.split(|&b| b == b';').map(split_part);
    let names_nothing = |(key, value): (&[u8], &[u8])| {
        key.is_empty() || key.eq_ignore_ascii_case(b"Threat") && is_sentinel(value)
    };
    let is_empty = value.is_empty();
    if !is_empty && (says_nothing(field) || parts.clone().all(names_nothing)) {
        return Vec::new();
    }
    let mut threats = vec![Threat::default()];
    for (key, value) in parts {
        if !set_part(threats.last_mut(), key, value) {
            threats.push(Threat::default());
            set_part(threats.last_mut(), key, value);
        }
    }
    threats
}

/// Sets what a part says; false if something else was said before.
fn set_part(threat: Option<&mut Threat>, key: &[u8], value: &[u8]) -> bool {
    let Some(threat) = threat else { return false };
    if key.eq_ignore_ascii_case(b"Type") {
        set(&mut threat.kind, kind(value))
    } else if key.eq_ignore_ascii_case(b"Resolution") {
        set(&mut threat.resolution, resolution(value))
    } else if key.eq_ignore_ascii_case(b"Threat") {
        set(&mut threat.name, shown(value))
    } else {
        true
    }
}

fn set<T>(place: &mut Option<T>, value: Option<T>) -> bool {
    let is_free = place.is_none();
    if is_free {
        *place = value;
    }
    is_free
}

/// `key=value`, also behind the comma that joins two fields.
fn split_part(part: &[u8]) -> (&[u8], &[u8]) {
    let equals = memchr::memchr(b'=', part).unwrap_or(part.len());
    let key = part[..equals].trim_ascii();
    let key = key.strip_prefix(b",").unwrap_or(key).trim_ascii();
    (key, part.get(equals + 1..).unwrap_or_default().trim_ascii())
}

fn kind(value: &[u8]) -> Option<ThreatKind> {
    match decimal(value)? {
        0 => Some(ThreatKind::Virus),
        1 => Some(ThreatKind::MailPolicyViolation),
        2 => Some(ThreatKind::ContainerViolation),
        _ => None,
    }
}

/// A count, then four lines for each violation: file, threat, problem, resolution. A count that does
/// not fit its lines is evidence all the same; only a count of 0 is none.
fn violations(field: &Field<'_>) -> Vec<Threat> {
    let mut lines = field.lines();
    let count = lines.next().map(<[u8]>::trim_ascii).unwrap_or_default();
    let lines: Vec<&[u8]> = lines.collect();
    if decimal(count) == Some(0) && lines.is_empty() {
        return Vec::new();
    }
    let violation = |lines: &[&[u8]]| {
        let line = |at: usize| lines.get(at).copied().unwrap_or_default();
        Threat {
            name: shown(line(1)).filter(|name| name != "-"),
            kind: None,
            resolution: resolution(line(3)),
            file: shown(line(0)).filter(|file| file != "-"),
            problem: shown(line(2)),
        }
    };
    let found: Vec<Threat> = lines.chunks(4).map(violation).collect();
    if found.is_empty() {
        vec![Threat::default()]
    } else {
        found
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

/// `X-Response-Info: blocked`, whatever the status says.
fn is_block(field: &Field<'_>) -> bool {
    let value = field.value().to_ascii_lowercase();
    let says = |word: &&str| memchr::memmem::find(&value, word.as_bytes()).is_some();
    field.is("X-Response-Info") && REFUSALS.iter().any(says)
}

fn error_code(field: &Field<'_>) -> Hindrance {
    if field.value().starts_with(b"max_") {
        Hindrance::Limit
    } else {
        Hindrance::Unscannable
    }
}

/// A value that says nothing was found. An empty one says that something is there.
fn says_nothing(field: &Field<'_>) -> bool {
    is_sentinel(&field.value())
}

fn is_sentinel(value: &[u8]) -> bool {
    let value = unquote(value).trim_ascii();
    SENTINELS
        .iter()
        .any(|sentinel| value.eq_ignore_ascii_case(sentinel.as_bytes()))
}

fn unquote(value: &[u8]) -> &[u8] {
    match value {
        [b'"', inner @ .., b'"'] => inner,
        value => value,
    }
}

fn shown(value: &[u8]) -> Option<String> {
    (!value.is_empty()).then(|| displayable(value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::header::Headers;

    fn evidence(fields: &str) -> Option<Evidence> {
        let headers = Headers::parse(fields.as_bytes()).expect(fields);
        let mut found = Findings::default();
        found.read(headers.iter());
        found.worst()
    }

    fn threats(fields: &str) -> Vec<Threat> {
        match evidence(fields) {
            Some(Evidence::Infected(threats)) => threats.0,
            other => panic!("{fields}: {other:?}"),
        }
    }

    #[test]
    fn an_infection_header_is_read_whatever_its_shape() {
        let full = Threat {
            name: Some("Eicar-Test-Signature".into()),
            kind: Some(ThreatKind::Virus),
            resolution: Some(Resolution::Blocked),
            ..Threat::default()
        };
        for value in [
            "Type=0; Resolution=2; Threat=Eicar-Test-Signature;",
            "Type=0; Resolution=2; Threat=Eicar-Test-Signature",
            "threat=Eicar-Test-Signature;TYPE = 0;resolution=2",
        ] {
            let found = threats(&format!("x-infection-found: {value}\r\n"));
            assert_eq!(found, std::slice::from_ref(&full), "{value}");
        }
        assert_eq!(threats("X-Infection-Found:\r\n"), [Threat::default()]);
        assert_eq!(
            threats("X-Infection-Found: gibberish\r\n"),
            [Threat::default()]
        );
        assert_eq!(
            threats("X-Infection-Found: Type=9; Threat=a=b\r\n")[0].name(),
            Some("a=b")
        );
    }

    #[test]
    fn violations_are_read_by_four_folded_lines() {
        let found = threats(
            "X-Violations-Found: 2\r\n\tC:\\x: y.doc\r\n\tRel.Test\r\n\t41129\r\n\t2\r\n\t-\r\n\tOther\r\n\t0\r\n\t0\r\n",
        );
        assert_eq!(found.len(), 2);
        assert_eq!(found[0].file(), Some("C:\\x: y.doc"));
        assert_eq!(found[0].name(), Some("Rel.Test"));
        assert_eq!(found[0].problem_id(), Some("41129"));
        assert_eq!(found[0].resolution(), Some(Resolution::Blocked));
        assert_eq!((found[1].name(), found[1].file()), (Some("Other"), None));
        assert_eq!(threats("X-Violations-Found: 1\r\n"), [Threat::default()]);
        assert_eq!(threats("X-Violations-Found: lots\r\n"), [Threat::default()]);
        assert_eq!(evidence("X-Violations-Found: 0\r\n"), None);
    }

    #[test]
    fn one_threat_in_several_fields_is_one_threat() {
        let found = threats(
            "X-Infection-Found: Type=0; Resolution=2; Threat=Eicar;\r\nX-Virus-ID: Eicar\r\n\
             X-Violations-Found: 1\r\n\tx.zip\r\n\tEicar\r\n\t7\r\n\t2\r\n",
        );
        assert_eq!(found.len(), 1);
        assert_eq!(
            (found[0].file(), found[0].problem_id()),
            (Some("x.zip"), Some("7"))
        );
        let two = threats("X-Virus-ID: A\r\nX-Virus-ID: B\r\n");
        assert_eq!(Threats(two).to_string(), "A, B");
        let unnamed = threats("X-Infection-Found: Type=0\r\nX-Virus-Name: \"A\"\r\n");
        assert_eq!(Threats(unnamed).to_string(), "A");
        assert_eq!(
            Threats(vec![Threat::default()]).to_string(),
            "unnamed threat"
        );
    }

    #[test]
    fn what_says_nothing_was_found_is_no_evidence() {
        for fields in [
            "X-Virus-ID: no threats\r\n",
            "X-Virus-ID: NONE\r\n",
            "X-Response-Info: passed\r\n",
            "X-Response-Info: Allowed\r\n",
            "X-FSecure-Scan-Result: clean\r\n",
            "X-Infection-Found: none\r\n",
            "X-Infection-Found: Threat=none;\r\n",
            "X-Blocked: false\r\n",
            "Server: X-Infection-Found\r\n",
            "",
        ] {
            assert_eq!(evidence(fields), None, "{fields}");
        }
    }

    #[test]
    fn presence_alone_is_enough() {
        for fields in [
            "X-Virus-ID:\r\n",
            "X-Virus-Name: \"\"\r\n",
            "X-FSecure-Scan-Result: suspected, maybe\r\n",
            "X-FSecure-Scan-Result: infected\r\n",
            "X-Infection-Found: Type=0; Threat=none\r\n",
            "X-Infection-Found: Resolution=2; Threat=-;\r\n",
            "X-Infection-Found: Type=virus; Threat=OK\r\n",
            "X-Infection-Found: Threat=Eicar; Threat=none\r\n",
            "X-FSecure-Infected-Filename: x\r\n",
        ] {
            assert!(
                matches!(evidence(fields), Some(Evidence::Infected(_))),
                "{fields}"
            );
        }
    }

    #[test]
    fn a_limit_or_a_locked_container_is_no_virus() {
        let limit = |what: &str| Some(Evidence::Hindered(Hindrance::Limit, what.into()));
        let unscannable =
            |what: &str| Some(Evidence::Hindered(Hindrance::Unscannable, what.into()));
        for (fields, expected) in [
            (
                "X-Infection-Found: Type=0; Resolution=2; Threat=Heuristics.Limits.Exceeded.MaxFileSize;\r\n",
                limit("Heuristics.Limits.Exceeded.MaxFileSize"),
            ),
            (
                "X-Virus-ID: heuristics.limits.exceeded\r\n",
                limit("heuristics.limits.exceeded"),
            ),
            (
                "X-Infection-Found: Type=2; Threat=Locked\r\nX-Virus-ID: Locked\r\n",
                unscannable("Locked"),
            ),
            (
                "X-Infection-Found: Type=2;\r\n",
                unscannable("container violation"),
            ),
            (
                "X-Virus-ID: Heuristics.Encrypted.Zip\r\n",
                unscannable("Heuristics.Encrypted.Zip"),
            ),
            (
                "X-Error-Code: password_protected\r\n",
                unscannable("password_protected"),
            ),
            (
                "X-Error-Code: max_archive_layers_exceeded\r\n",
                limit("max_archive_layers_exceeded"),
            ),
        ] {
            assert_eq!(evidence(fields), expected, "{fields}");
        }
    }

    #[test]
    fn the_worst_counts() {
        let both = "X-Infection-Found: Type=2; Threat=Locked\r\nX-Virus-ID: Eicar\r\n\
                    X-Error-Code: decode_error\r\nX-Response-Info: blocked\r\n";
        assert_eq!(threats(both)[0].name(), Some("Eicar"));
        let hindered = "X-Response-Info: blocked\r\nX-Error-Code: decode_error\r\n";
        assert!(matches!(evidence(hindered), Some(Evidence::Hindered(..))));
        let blocked = "X-Response-Info: Blocked by policy\r\n";
        assert_eq!(
            evidence(blocked),
            Some(Evidence::Blocked("Blocked by policy".into()))
        );
    }

    #[test]
    fn contradictions_are_read_as_the_worst_in_any_order() {
        for fields in [
            [
                "X-Infection-Found: Type=2; Threat=A\r\n",
                "X-Infection-Found: Type=0; Threat=A\r\n",
            ],
            [
                "X-Virus-ID: Eicar\r\n",
                "X-Infection-Found: Type=2; Resolution=0;\r\n",
            ],
            [
                "X-Infection-Found: Type=2; Threat=Locked\r\n",
                "X-FSecure-Scan-Result: infected\r\n",
            ],
            [
                "X-Infection-Found: Type=0; Threat=Eicar; Type=2;\r\n",
                "X-Error-Code: x\r\n",
            ],
            [
                "X-Virus-ID: Heuristics.Limits.Exceeded\r\n",
                "X-Virus-ID: Eicar\r\n",
            ],
        ] {
            let [first, second] = fields;
            for fields in [format!("{first}{second}"), format!("{second}{first}")] {
                assert!(
                    matches!(evidence(&fields), Some(Evidence::Infected(_))),
                    "{fields}"
                );
            }
        }
    }

    #[test]
    fn two_threats_in_one_field_are_two() {
        let joined = "X-Infection-Found: Type=0; Resolution=2; Threat=A;, Type=0; Resolution=1; Threat=B;\r\n";
        let found = threats(joined);
        assert_eq!((found[0].name(), found[1].name()), (Some("A"), Some("B")));
        assert_eq!(found[1].resolution(), Some(Resolution::Repaired));
    }

    #[test]
    fn a_refusal_is_recognised_by_its_words() {
        for value in [
            "Blocked",
            "\"blocked\"",
            "Access denied",
            "virus found",
            "INFECTED",
        ] {
            let evidence = evidence(&format!("X-Response-Info: {value}\r\n"));
            assert!(matches!(evidence, Some(Evidence::Blocked(_))), "{value}");
        }
    }

    #[test]
    fn a_hostile_name_is_safe_to_show() {
        let found = threats("X-Virus-ID: a\x1b[2J\u{202e}b\r\n");
        assert_eq!(found[0].name(), Some("a\\u{1b}[2J\\u{202e}b"));
    }
}
