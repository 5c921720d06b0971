use super::input::Input;
use super::said::{feed, said_by};
use super::worsening::{Place, Plan, assert_never_improves};
use crate::evidence::{Evidence, Findings};
use crate::proto::method::Method;
use crate::proto::response_reader::ResponseReader;

/// Fields that say that something was found or refused, and values that do.
const FIELDS: &[(&str, &[&str])] = &[
    (
        "X-Infection-Found",
        &[
            "Type=0; Resolution=2; Threat=Test;",
            "",
            "Threat=",
            "Type=9",
            "x",
            "=Test",
            ",",
            "Type=2;, Threat=Test",
        ],
    ),
    (
        "X-Violations-Found",
        &[
            "1",
            "",
            "0\r\n\tname",
            "x",
            "2\r\n\ta\r\n\tTest\r\n\t1\r\n\t2",
            "0\r\n\tThreatDescription=Test",
        ],
    ),
    ("X-Virus-ID", &["Test", "", "no threats!"]),
    ("X-Virus-Name", &["Test", ""]),
    ("X-FSecure-Infection-Name", &["\"Test\"", "\"\""]),
    ("X-FSecure-Scan-Result", &["infected", "not at all clean"]),
    ("X-FSecure-Infected-Filename", &["a.exe", "clean"]),
    (
        "X-Error-Code",
        &[
            "max_nested_archives_exceeded",
            "encrypted",
            "virus_found",
            "file_type_blocked",
            "antivirus_license_expired",
        ],
    ),
    (
        "X-Response-Info",
        &[
            "blocked",
            "Virus found",
            "quarantined",
            "not allowed",
            "not ... ok",
        ],
    ),
    ("X-Blocked-Reason", &["policy", ""]),
    ("X-Block-Reason", &["policy"]),
    ("X-MWG-Block-Reason", &["policy"]),
    ("X-WWBlockResult", &["80"]),
    ("X-Blocked", &["yes"]),
    ("X-Response-Desc", &["Virus found, not cleaned"]),
];

/// Those of [`FIELDS`] that tell of a virus.
const OF_VIRUSES: &[&str] = &[
    "X-Infection-Found",
    "X-Violations-Found",
    "X-Virus-ID",
    "X-Virus-Name",
    "X-FSecure-Infection-Name",
    "X-FSecure-Scan-Result",
    "X-FSecure-Infected-Filename",
];

/// What tells of a virus whatever else is said: it says so, or has no name of which something else could
/// be said.
fn is_virus(name: &str, value: &str) -> bool {
    let is_named = value.contains("Test") || value == "no threats!";
    let is_said = value.starts_with("Type=0") || value == "virus_found";
    is_said || (OF_VIRUSES.contains(&name) && !is_named)
}

/// Evidence: `data` chooses the status, a field that says that something was found, refused or not looked at,
/// in which part of the response it stands, and what other lines, valid or not, stand around it.
///
/// - As soon as the line of the field has come, and one byte after it that does not continue it, something
///   is said: whatever came before it in the response and whatever comes after it, be the response
///   complete, broken off or invalid. Unless it may be another's word for a limit, it is evidence.
/// - What is said to be a virus is one, whatever else is said.
/// - A threat is never without words to show.
/// - The verdict is not better than without the field, unless it stands in the service's own head.
pub fn evidence(data: &[u8]) {
    let mut input = Input::new(data);
    let status = input.choose(&[
        "200", "204", "206", "201", "202", "403", "404", "500", "503", "299",
    ]);
    let place = input.choose(&[Place::Icap, Place::Http, Place::Trailer, Place::Interim]);
    let (name, values) = input.choose(FIELDS);
    let value = input.choose(values);
    let (before, after) = (input.text(), input.text());
    let planted = format!("{}: {value}\r\n", spelled(name, input.byte()));
    let plan = Plan::new(&mut input, status, place);
    let lines = [before, planted.as_bytes(), after].concat();
    let (response, lines_at) = plan.response(&lines);

    let mut reader = ResponseReader::new(Method::Respmod, u64::MAX);
    let came = feed(&mut reader, &response);
    let line_end = lines_at + before.len() + planted.len();
    let is_continued = matches!(response.get(line_end), Some(b' ' | b'\t'));
    let said = said_by(reader);
    let is_in_section = !is_continued && stays_in_section(before);
    if came > line_end && is_in_section {
        let is_said =
            said.evidence.is_some() || place != Place::Icap && said != Findings::default();
        let is_failure = value == "antivirus_license_expired" && said.failure.is_some();
        assert!(is_said || is_failure, "lost in {}", response.escape_ascii());
        let is_infected = matches!(said.evidence, Some(Evidence::Infected(_)));
        let is_softened = is_virus(name, value) && !is_infected;
        assert!(!is_softened, "softened in {}", response.escape_ascii());
    }
    if let Some(Evidence::Infected(threats)) = said.evidence {
        assert!(threats.iter().count() > 0 && !threats.to_string().is_empty());
    }
    if place != Place::Icap && is_in_section {
        let without = [before, after].concat();
        assert_never_improves(&plan, &without, before.len(), planted.as_bytes());
    }
}

/// Whether what comes after these lines begins a line of the same section: neither in the middle of a
/// line nor after a blank one.
fn stays_in_section(lines: &[u8]) -> bool {
    let is_blank = |line: &[u8]| line == b"\r\n";
    let mut lines = lines.split_inclusive(|&b| b == b'\n');
    lines.all(|line| line.ends_with(b"\n") && !is_blank(line))
}

/// Names have no case.
fn spelled(name: &str, seed: u8) -> String {
    let turned = |(at, c): (usize, char)| {
        if (seed >> (at % 8)) & 1 == 1 {
            c.to_ascii_uppercase()
        } else {
            c
        }
    };
    name.chars().enumerate().map(turned).collect()
}
