use super::input::Input;
use crate::proto::reader::ResponseReader;
use crate::proto::request::Method;
use crate::scan::evidence::Evidence;

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
    ("X-FSecure-Scan-Result", &["infected"]),
    ("X-FSecure-Infected-Filename", &["a.exe", "clean"]),
    (
        "X-Error-Code",
        &["max_nested_archives_exceeded", "encrypted", "virus_found"],
    ),
    (
        "X-Response-Info",
        &["blocked", "Virus found", "quarantined"],
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

/// Evidence of an infection: `data` chooses the status, a field that says that something was found, in
/// which part of the answer it stands, and what other lines, valid or not, stand around it.
///
/// - As soon as the line of the field has come, and one byte behind it that does not continue it, there
///   is evidence: whatever came before it in the answer and whatever comes behind it, be the answer
///   complete, broken off or invalid.
/// - What is said to be a virus is one, whatever else is said.
/// - A threat is never without words to show.
pub fn evidence(data: &[u8]) {
    let mut input = Input::new(data);
    let status = input.choose(&[
        "200", "204", "206", "201", "202", "403", "404", "500", "503", "299",
    ]);
    let place = input.choose(&[Place::Icap, Place::Http, Place::Trailer, Place::Interim]);
    let (name, values) = input.choose(FIELDS);
    let value = input.choose(values);
    let (before, behind) = (input.text(), input.text());
    let planted = format!("{}: {value}\r\n", spelled(name, input.byte()));
    let lines = [before, planted.as_bytes(), behind].concat();
    let (answer, lines_at) = place.answer(status, &lines, input.rest());

    let mut reader = ResponseReader::new(Method::Respmod, u64::MAX);
    let came = feed(&mut reader, &answer);
    let line_end = lines_at + before.len() + planted.len();
    let is_continued = matches!(answer.get(line_end), Some(b' ' | b'\t'));
    let found = evidence_of(reader);
    if came > line_end && !is_continued && stays_in_section(before) {
        assert!(found.is_some(), "lost in {}", answer.escape_ascii());
        let is_infected = matches!(found, Some(Evidence::Infected(_)));
        let is_softened = is_virus(name, value) && !is_infected;
        assert!(!is_softened, "softened in {}", answer.escape_ascii());
    }
    if let Some(Evidence::Infected(threats)) = found {
        assert!(threats.iter().count() > 0 && !threats.to_string().is_empty());
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Icap,
    Http,
    Trailer,
    Interim,
}

impl Place {
    /// An answer with `lines` in this part of it, and where they begin.
    fn answer(self, status: &str, lines: &[u8], rest: &[u8]) -> (Vec<u8>, usize) {
        let mut answer = Vec::new();
        let mut lines_at = 0;
        let mut plant = |answer: &mut Vec<u8>, place: Self| {
            if self == place {
                lines_at = answer.len();
                answer.extend_from_slice(lines);
            }
        };
        if self == Self::Interim {
            answer.extend_from_slice(b"ICAP/1.0 100 Continue\r\n");
            plant(&mut answer, Self::Interim);
            answer.extend_from_slice(b"\r\n");
        }
        answer.extend_from_slice(format!("ICAP/1.0 {status} x\r\n").as_bytes());
        let http_line = b"HTTP/1.1 200 OK\r\n";
        let http_fields = if self == Self::Http { lines.len() } else { 0 };
        let http_len = http_line.len() + http_fields + b"\r\n".len();
        if status != "204" {
            let list = format!("Encapsulated: res-hdr=0, res-body={http_len}\r\n");
            answer.extend_from_slice(list.as_bytes());
        }
        plant(&mut answer, Self::Icap);
        answer.extend_from_slice(b"\r\n");
        answer.extend_from_slice(http_line);
        plant(&mut answer, Self::Http);
        answer.extend_from_slice(b"\r\n1\r\nx\r\n0\r\n");
        plant(&mut answer, Self::Trailer);
        answer.extend_from_slice(b"\r\n");
        answer.extend_from_slice(rest);
        (answer, lines_at)
    }
}

/// Whether what comes behind these lines begins a line of the same section: neither in the middle of a
/// line nor behind a blank one.
fn stays_in_section(lines: &[u8]) -> bool {
    let is_blank = |line: &[u8]| line == b"\r\n";
    let mut lines = lines.split_inclusive(|&b| b == b'\n');
    lines.all(|line| line.ends_with(b"\n") && !is_blank(line))
}

/// Feeds byte by byte; returns how many were taken before the answer ended or was refused.
fn feed(reader: &mut ResponseReader, answer: &[u8]) -> usize {
    for (at, byte) in answer.chunks(1).enumerate() {
        if reader.has_ended() || feed_all(reader, byte).is_none() {
            return at;
        }
    }
    answer.len()
}

fn feed_all(reader: &mut ResponseReader, mut bytes: &[u8]) -> Option<()> {
    while !bytes.is_empty() && !reader.has_ended() {
        let (used, _) = reader.feed(bytes).ok()?;
        bytes = &bytes[used..];
    }
    Some(())
}

pub(super) fn evidence_of(reader: ResponseReader) -> Option<Evidence> {
    let remains = reader.into_remains();
    Evidence::of_parts(remains.response.as_ref(), &remains.fragment)
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
