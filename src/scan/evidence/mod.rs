//! What servers say about infections, by the fields they say it in.
//!
//! Evidence counts on every status, in the ICAP head, in the encapsulated HTTP heads and in trailers:
//! vendors differ in where they put it. It only ever worsens a verdict. That a field is *there* is
//! enough, even if its value cannot be read; only values that are known to say "nothing found" are no
//! evidence. Block pages are never read: they are data.

mod fields;
mod threat;

use fields::{infection, named, says_nothing, told, unquote, violations};
pub(crate) use threat::Hindrance;
pub use threat::{Resolution, Threat, ThreatKind, Threats};

use crate::proto::header::{Field, legible_fields};
use crate::proto::response::Response;

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

/// What the fields of an answer say, the most telling ones in [`read_field`](Findings::read_field).
#[derive(Default)]
struct Findings {
    threats: Found,
    /// Out of fields that sum up in a word what others say in full.
    summaries: Found,
    hindered: Option<(Hindrance, String)>,
    refusal: Refusal,
}

/// Fields whose value names a threat.
const THREAT_NAMES: &[&str] = &["X-FSecure-Infection-Name"];

/// Fields that name a threat or what it belongs to: ESET writes "Trojaner" and means the category.
const THREAT_SUMMARIES: &[&str] = &["X-Virus-ID", "X-Virus-Name"];

/// Fields whose value names the file in which a threat is.
const THREAT_FILES: &[&str] = &["X-FSecure-Infected-Filename"];

/// Fields that say there is a threat and do not name it.
const THREAT_SIGNS: &[&str] = &["X-FSecure-Scan-Result"];

impl Findings {
    fn read_response(&mut self, response: &Response) {
        let http_response = response.http_headers().unwrap_or_default();
        let http_request = response.http_request_headers().unwrap_or_default();
        let trailers = response.trailers();
        for headers in [response.headers(), http_response, http_request, trailers] {
            self.read(headers.iter());
        }
        for headers in response.interim_headers() {
            self.read(headers.iter());
        }
    }

    fn read<'f>(&mut self, fields: impl Iterator<Item = Field<'f>>) {
        for field in fields {
            self.read_field(&field);
        }
    }

    fn read_field(&mut self, field: &Field<'_>) {
        let value = field.value();
        if field.is("X-Infection-Found") {
            self.threats.extend(infection(&value));
        } else if field.is("X-Violations-Found") {
            self.threats.extend(violations(field));
        } else if says_nothing(field) {
            // Every other field may say that there is nothing to be said.
        } else if is_one_of(field, THREAT_NAMES) {
            self.threats.extend(named(&value));
        } else if is_one_of(field, THREAT_SUMMARIES) {
            self.summaries.extend(named(&value));
        } else if is_one_of(field, THREAT_FILES) {
            let file = told(unquote(&value));
            self.threats.extend([Threat {
                file,
                ..Threat::default()
            }]);
        } else if is_one_of(field, THREAT_SIGNS) {
            self.threats.extend([Threat::default()]);
        } else if field.is("X-Error-Code") {
            let hindrance = || (error_code(unquote(&value)), field.text());
            self.hindered.get_or_insert_with(hindrance);
        } else {
            self.refusal.read(field, &value);
        }
    }

    /// One real threat outweighs what only hindered the scan, and that outweighs a bare refusal.
    fn worst(self) -> Option<Evidence> {
        let (real, hindered): (Vec<_>, Vec<_>) =
            distinct(self.threats.threats, self.summaries.threats)
                .into_iter()
                .partition(|threat| threat.hindrance().is_none());
        if !real.is_empty() {
            return Some(Evidence::Infected(Threats(named_ones(real))));
        }
        let named = hindered.into_iter().find_map(|threat| {
            let what = threat.name.clone();
            let what = what.unwrap_or_else(|| "container violation".to_owned());
            Some((threat.hindrance()?, what))
        });
        match named.or(self.hindered) {
            Some((hindrance, what)) => Some(Evidence::Hindered(hindrance, what)),
            None => self.refusal.words().map(Evidence::Blocked),
        }
    }
}

fn is_one_of(field: &Field<'_>, names: &[&str]) -> bool {
    names.iter().any(|name| field.is(name))
}

/// More threats than this help nobody, and comparing them would take a hostile server's time.
const MAX_THREATS: usize = 100;

/// Threats, up to a number.
#[derive(Default)]
struct Found {
    threats: Vec<Threat>,
    has_real: bool,
}

impl Found {
    fn extend(&mut self, threats: impl IntoIterator<Item = Threat>) {
        for threat in threats {
            self.add(threat);
        }
    }

    /// What is no threat must not crowd out the first that is one.
    fn add(&mut self, threat: Threat) {
        let is_real = threat.hindrance().is_none();
        if self.threats.len() < MAX_THREATS {
            self.threats.push(threat);
        } else if is_real && !self.has_real {
            self.threats.pop();
            self.threats.push(threat);
        }
        self.has_real |= is_real;
    }
}

/// Servers name one threat in several fields, and only some say of what type it is, or in which file.
fn distinct(threats: Vec<Threat>, summaries: Vec<Threat>) -> Vec<Threat> {
    let mut distinct = merged(threats);
    let is_known = |summary: &Threat| distinct.iter().any(|threat| threat.name == summary.name);
    let (known, mut others): (Vec<_>, Vec<_>) = merged(summaries).into_iter().partition(is_known);
    let is_named = |threat: &&mut Threat| threat.name.is_some() && threat.hindrance().is_none();
    let named = sole(distinct.iter_mut().filter(is_named));
    // One threat, and one word beside its name: that says what it is.
    let place = named.map(|threat| &mut threat.description);
    if let Some(place) = place.filter(|place| place.is_none() && others.len() == 1) {
        *place = others.pop().and_then(|word| word.name);
    }
    for summary in known.into_iter().chain(others) {
        insert(&mut distinct, summary);
    }
    share_kinds(&mut distinct);
    distinct
}

fn merged(threats: Vec<Threat>) -> Vec<Threat> {
    let mut merged = Vec::new();
    for threat in threats {
        insert(&mut merged, threat);
    }
    merged
}

/// Adds what a threat says to the one that it may be. Without a name, a threat is never taken for
/// something that only hindered the scan.
fn insert(distinct: &mut Vec<Threat>, threat: Threat) {
    let is_real = threat.hindrance().is_none();
    let same = |known: &&mut Threat| {
        let may_be = known.name.is_some() || known.hindrance().is_none() == is_real;
        known.name == threat.name && known.may_be(&threat) && may_be
    };
    match distinct.iter_mut().find(same) {
        Some(known) => known.absorb(threat),
        None => distinct.push(threat),
    }
}

/// One name is of one kind, the worst that is given, in however many files it was found.
fn share_kinds(threats: &mut [Threat]) {
    for at in 0..threats.len() {
        let named = |threat: &&Threat| threat.name.is_some() && threat.name == threats[at].name;
        let kinds = threats.iter().filter(named).filter_map(Threat::kind);
        threats[at].kind = kinds.min().or(threats[at].kind);
    }
}

/// A threat without a name is one of those with a name, if there are any.
fn named_ones(threats: Vec<Threat>) -> Vec<Threat> {
    let (mut named, unnamed): (Vec<_>, Vec<_>) = threats
        .into_iter()
        .partition(|threat| threat.name.is_some());
    if named.is_empty() {
        return unnamed;
    }
    if let [only] = named.as_mut_slice() {
        for threat in unnamed {
            if only.may_be(&threat) {
                only.absorb(threat);
            }
        }
    }
    named
}

/// The only item.
fn sole<T>(mut items: impl Iterator<Item = T>) -> Option<T> {
    let first = items.next();
    first.filter(|_| items.next().is_none())
}

/// What `X-Error-Code` says: of Broadcom's codes, these are limits.
fn error_code(code: &[u8]) -> Hindrance {
    let code = code.to_ascii_lowercase();
    let is_limit = code.starts_with(b"max_") || memchr::memmem::find(&code, b"exceeded").is_some();
    if is_limit {
        Hindrance::Limit
    } else {
        Hindrance::Unscannable
    }
}

/// A refusal, and the words for it.
#[derive(Default)]
struct Refusal {
    is_refused: bool,
    reason: Option<String>,
    description: Option<String>,
    info: Option<String>,
}

/// Fields whose value says why content was refused.
const BLOCK_REASONS: &[&str] = &[
    "X-Blocked-Reason",
    "X-Block-Reason",
    "X-MWG-Block-Reason",
    "X-Blocked",
];

/// Fields that say, by a number, that content was refused.
const BLOCK_RESULTS: &[&str] = &["X-Block-Result", "X-WWBlockResult"];

/// Fields with a sentence for people, which need not be about a refusal.
const DESCRIPTIONS: &[&str] = &["X-Response-Desc", "X-Response-Description"];

/// Words in `X-Response-Info` that say the content was refused.
const REFUSALS: &[&str] = &["block", "denied", "infect", "malware", "reject", "virus"];

/// Words in a sentence that say the content was refused, unless the same clause denies something.
const FINDINGS: &[&str] = &[
    "blocked",
    "denied",
    "detected",
    "found",
    "infected",
    "malicious",
    "rejected",
];

/// Words in a clause that may deny the others.
const DENIALS: &[&str] = &[
    "0", "clean", "never", "no", "none", "not", "nothing", "without",
];

impl Refusal {
    fn read(&mut self, field: &Field<'_>, value: &[u8]) {
        let keep = |place: &mut Option<String>| {
            place.get_or_insert_with(|| field.text());
        };
        if is_one_of(field, BLOCK_REASONS) {
            self.is_refused = true;
            keep(&mut self.reason);
        } else if is_one_of(field, DESCRIPTIONS) {
            self.is_refused |= value.split(|&b| b == b';').any(clause_refuses);
            keep(&mut self.description);
        } else if is_one_of(field, BLOCK_RESULTS) || info_refuses(field, value) {
            self.is_refused = true;
            keep(&mut self.info);
        }
    }

    /// The most telling words, if there was a refusal.
    fn words(self) -> Option<String> {
        let words = self.reason.or(self.description).or(self.info);
        self.is_refused.then(|| words.unwrap_or_default())
    }
}

/// `X-Response-Info: blocked`, whatever the status says.
fn info_refuses(field: &Field<'_>, value: &[u8]) -> bool {
    let value = value.to_ascii_lowercase();
    let says = |word: &&str| memchr::memmem::find(&value, word.as_bytes()).is_some();
    field.is("X-Response-Info") && REFUSALS.iter().any(says)
}

/// `FILE: Detected by ATSE`, and not `URL: No risk detected`.
fn clause_refuses(clause: &[u8]) -> bool {
    let clause = clause.to_ascii_lowercase();
    let has_one_of = |words: &[&str]| {
        let mut said = clause.split(|byte| !byte.is_ascii_alphanumeric());
        said.any(|said| words.iter().any(|word| said == word.as_bytes()))
    };
    has_one_of(FINDINGS) && !has_one_of(DENIALS)
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

    #[test]
    fn several_names_in_one_field_are_several_threats() {
        let found = threats(
            "X-Infection-Found: Type=0; Resolution=2; Threat=A,B ,;\r\nX-Virus-ID: B, A\r\n",
        );
        let names: Vec<_> = found.iter().map(Threat::name).collect();
        assert_eq!(names, [Some("A"), Some("B")]);
        assert!(found.iter().all(|t| t.kind() == Some(ThreatKind::Virus)));
        // What only hinders must not hide what is behind it.
        let hidden = threats("X-Virus-ID: Heuristics.Limits.Exceeded.MaxFileSize, Eicar\r\n");
        assert_eq!(Threats(hidden).to_string(), "Eicar");
        let quoted = threats("X-FSecure-Infection-Name: \"A\", \"B\"\r\n");
        assert_eq!(Threats(quoted).to_string(), "A, B");
    }

    #[test]
    fn a_word_beside_a_name_describes_it_and_two_are_threats_of_their_own() {
        let eset = "X-Virus-ID: Trojaner\r\nX-Infection-Found: Type=0; Threat=VBA/Agent;\r\n";
        let found = threats(eset);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].name(), Some("VBA/Agent"));
        assert_eq!(found[0].description(), Some("Trojaner"));
        assert_eq!(threats(&eset.repeat(2)), found, "said twice");
        let two = threats(&format!("{eset}X-Virus-Name: Other\r\n"));
        assert_eq!(Threats(two).to_string(), "VBA/Agent, Trojaner, Other");
        // A word beside what was only not looked into is a threat.
        let found = threats("X-Infection-Found: Type=2; Threat=Locked;\r\nX-Virus-ID: Eicar\r\n");
        assert_eq!(Threats(found).to_string(), "Eicar");
    }

    #[test]
    fn a_line_that_describes_a_violation_does_not_shift_the_next_one() {
        let found = threats(
            "X-Violations-Found: 2\r\n\ta\r\n\tA\r\n\t1\r\n\t2\r\n\tThreatDescription = A|NonViralThreat=Adware\r\n\
             \tb\r\n\tB\r\n\t2\r\n\t0\r\n\tthreatdescription=\r\n",
        );
        let said = |t: &Threat| (t.file.clone(), t.name.clone(), t.description.clone());
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(found.len(), 2);
        assert_eq!(
            said(&found[0]),
            (some("a"), some("A"), some("A|NonViralThreat=Adware"))
        );
        assert_eq!(said(&found[1]), (some("b"), some("B"), None));
    }

    #[test]
    fn one_threat_in_two_files_is_there_twice_and_named_once() {
        let found = threats(
            "X-Virus-ID: A\r\nX-Infection-Found: Type=0; Resolution=1; Threat=A;\r\n\
             X-Violations-Found: 1\r\n\tone\r\n\tA\r\n\t-\r\n\t0\r\n\ttwo\r\n\tA\r\n\t-\r\n\t0\r\n",
        );
        let said = |t: &Threat| (t.file.clone(), t.kind, t.problem.clone());
        let virus = Some(ThreatKind::Virus);
        assert_eq!(found.len(), 2);
        assert_eq!(said(&found[0]), (Some("one".to_owned()), virus, None));
        assert_eq!(said(&found[1]), (Some("two".to_owned()), virus, None));
        assert_eq!(Threats(found).to_string(), "A");
    }

    #[test]
    fn the_fields_of_one_vendor_make_one_threat() {
        let found = threats(
            "X-FSecure-Scan-Result: infected\r\nX-FSecure-Infection-Name: \"W97M/A\"\r\n\
             X-FSecure-Infected-Filename: \"virus.doc\"\r\n",
        );
        let expected = Threat {
            name: Some("W97M/A".into()),
            file: Some("virus.doc".into()),
            ..Threat::default()
        };
        assert_eq!(found, [expected]);
    }

    #[test]
    fn an_unnamed_sign_is_not_taken_for_what_only_hindered() {
        for sign in ["X-FSecure-Scan-Result: infected\r\n", "X-Virus-ID:\r\n"] {
            let locked = "X-Infection-Found: Type=2; Resolution=2;\r\n";
            for fields in [format!("{locked}{sign}"), format!("{sign}{locked}")] {
                assert_eq!(threats(&fields).len(), 1, "{fields}");
            }
        }
    }

    #[test]
    fn a_sentence_about_what_could_not_be_checked_is_no_virus_unless_it_is_said_to_be_one() {
        for (name, hindrance) in [
            ("Encrypted Archive", Hindrance::Unscannable),
            ("File is password protected", Hindrance::Unscannable),
            ("Scan error", Hindrance::Unscannable),
            ("Container size violation", Hindrance::Limit),
        ] {
            let policy = format!("X-Infection-Found: Type=1; Threat={name};\r\n");
            let expected = Some(Evidence::Hindered(hindrance, name.to_owned()));
            assert_eq!(evidence(&policy), expected, "{name}");
            let virus = policy.replace("Type=1", "Type=0");
            assert_eq!(threats(&virus)[0].name(), Some(name));
        }
        for name in ["W32.Crypt.Error", "Encrypted", "Password Stealer"] {
            assert_eq!(
                threats(&format!("X-Virus-ID: {name}\r\n"))[0].name(),
                Some(name)
            );
        }
    }

    #[test]
    fn the_most_telling_words_for_a_refusal_are_kept() {
        let info = "X-Response-Info: Blocked\r\n";
        let description = "X-Response-Description: Gel\u{f6}scht\r\n";
        let reason = "X-Blocked-Reason: Filetype mismatch\r\n";
        for (fields, words) in [
            (info.to_owned(), "Blocked"),
            (format!("{info}{description}"), "Gel\u{f6}scht"),
            (format!("{info}{description}{reason}"), "Filetype mismatch"),
            (format!("{reason}{info}"), "Filetype mismatch"),
            ("X-Block-Result: 80\r\n".to_owned(), "80"),
        ] {
            let expected = Some(Evidence::Blocked(words.to_owned()));
            assert_eq!(evidence(&fields), expected, "{fields}");
        }
        assert_eq!(evidence(description), None, "words for nothing");
    }

    #[test]
    fn a_description_is_a_refusal_only_if_it_tells_of_a_finding() {
        for (text, refuses) in [
            ("Trojan malicious object detected", true),
            ("URL: No risk rating from WRS; FILE: Detected by ATSE", true),
            ("Infected", true),
            (
                "URL: No risk rating from WRS; FILE: No risk detected",
                false,
            ),
            ("0 viruses found", false),
            ("Nothing found", false),
            ("Undetected", false),
            ("Scanned", false),
        ] {
            let evidence = evidence(&format!("X-Response-Desc: {text}\r\n"));
            assert_eq!(evidence.is_some(), refuses, "{text}");
        }
    }

    #[test]
    fn a_flood_of_findings_is_bounded_and_does_not_hide_the_worst() {
        let limits: Vec<_> = (0..1000)
            .map(|n| format!("Heuristics.Limits.Exceeded.{n}"))
            .collect();
        let found = threats(&format!("X-Virus-ID: {}, Eicar\r\n", limits.join(",")));
        assert_eq!(Threats(found).to_string(), "Eicar");
        let names: Vec<_> = (1..20_000).map(|n| n.to_string()).collect();
        let found = threats(&format!("X-Virus-Name: {}\r\n", names.join(",")));
        assert_eq!(found.len(), MAX_THREATS);
    }
}
