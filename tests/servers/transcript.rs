//! Reads the files in `tests/data/servers`, in the format of tests/data/README.md.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use icap_client::{Error, NotScanned, Report, Threat, Verdict};

/// One exchange with a server, and its expected outcome.
#[derive(Clone)]
pub(crate) struct Transcript {
    pub(crate) name: String,
    pub(crate) content: Vec<u8>,
    /// The response to `OPTIONS`, if the scan begins with that.
    pub(crate) options: Option<Vec<u8>>,
    pub(crate) response: Vec<u8>,
    /// The response after the rest, if the first response was to a preview.
    pub(crate) then: Option<Vec<u8>>,
    pub(crate) outcome: Outcome,
    fields: Vec<(String, String)>,
}

/// The outcome of a scan, in the words of the transcripts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) status: Option<String>,
    pub(crate) verdict: String,
    pub(crate) threats: Vec<String>,
}

/// All transcripts, in the order of their names.
pub(crate) fn all() -> Vec<Transcript> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/servers");
    let files = fs::read_dir(folder)
        .unwrap()
        .map(|file| file.unwrap().path());
    let mut all: Vec<_> = files.map(|file| Transcript::read(&file)).collect();
    all.sort_by(|a, b| a.name.cmp(&b.name));
    all
}

impl Transcript {
    fn read(file: &Path) -> Self {
        let name = file.file_stem().unwrap().to_str().unwrap().to_owned();
        let text = fs::read_to_string(file).unwrap();
        let mut sections = text.split("\n\n");
        let fields = fields(sections.next().unwrap());
        let mut transcript = Self {
            content: b"hello".to_vec(),
            options: None,
            response: Vec::new(),
            then: None,
            outcome: Outcome::stated(&fields),
            name,
            fields,
        };
        for section in sections {
            let (title, lines) = section.split_once(":\n").expect(section);
            let bytes = unescape(lines);
            match title {
                "content" => transcript.content = bytes,
                "options" => transcript.options = Some(bytes),
                "response" => transcript.response = bytes,
                "then" => transcript.then = Some(bytes),
                _ => panic!("{}: {title}?", transcript.name),
            }
        }
        transcript
    }

    pub(crate) fn field(&self, name: &str) -> &str {
        let field = self.fields.iter().find(|(known, _)| known == name);
        &field
            .unwrap_or_else(|| panic!("{}: no {name}", self.name))
            .1
    }

    pub(crate) fn preview(&self) -> Option<usize> {
        let (_, size) = self.field("sent").split_once("Preview: ")?;
        Some(size.parse().unwrap())
    }

    pub(crate) fn allows_204(&self) -> bool {
        self.field("sent").contains("Allow: 204")
    }

    pub(crate) fn allows_206(&self) -> bool {
        self.field("sent").contains("Allow: 204, 206")
    }

    /// The responses, one for each piece that the client sends.
    pub(crate) fn responses(&self) -> Vec<Vec<u8>> {
        let responses = [
            self.options.clone(),
            Some(self.response.clone()),
            self.then.clone(),
        ];
        responses.into_iter().flatten().collect()
    }

    /// The last response, which decides the verdict.
    pub(crate) fn last(&mut self) -> &mut Vec<u8> {
        self.then.as_mut().unwrap_or(&mut self.response)
    }

    pub(crate) fn is_clean(&self) -> bool {
        self.outcome.verdict == "clean"
    }

    pub(crate) fn is_infected(&self) -> bool {
        self.outcome.verdict == "infected"
    }
}

/// `name: value`; a line that is indented goes on with the value before it.
fn fields(lines: &str) -> Vec<(String, String)> {
    let mut fields: Vec<(String, String)> = Vec::new();
    for line in lines.lines() {
        if let Some(more) = line.strip_prefix("  ") {
            let (_, value) = fields.last_mut().expect(line);
            value.push(' ');
            value.push_str(more);
        } else {
            let (name, value) = line.split_once(": ").expect(line);
            fields.push((name.to_owned(), value.to_owned()));
        }
    }
    fields
}

/// `\r`, `\n`, `\t`, `\\` and `\xHH`; the line ends of the file are no part of the bytes.
fn unescape(lines: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = lines.bytes().filter(|&byte| byte != b'\n');
    while let Some(byte) = rest.next() {
        if byte != b'\\' {
            bytes.push(byte);
            continue;
        }
        bytes.push(match rest.next() {
            Some(b'r') => b'\r',
            Some(b'n') => b'\n',
            Some(b't') => b'\t',
            Some(b'\\') => b'\\',
            Some(b'x') => {
                let digits = [rest.next().unwrap(), rest.next().unwrap()];
                u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap()
            }
            other => panic!("{other:?} after a backslash"),
        });
    }
    bytes
}

impl Outcome {
    fn stated(fields: &[(String, String)]) -> Self {
        let all = |wanted: &'static str| {
            let fields = fields.iter().filter(move |(name, _)| name == wanted);
            fields.map(|(_, value)| value.clone())
        };
        Self {
            status: all("status").next(),
            verdict: all("verdict").next().expect("a verdict"),
            threats: all("threat").collect(),
        }
    }

    pub(crate) fn of(result: &Result<Report, Error>) -> Self {
        let threats = match result.as_ref().map(Report::verdict) {
            Ok(Verdict::Infected(threats)) => threats.iter().map(threat).collect(),
            _ => Vec::new(),
        };
        let status = result.as_ref().ok().and_then(Report::status);
        Self {
            status: status.map(|status| status.to_string()),
            verdict: match result {
                Ok(report) => verdict(report.verdict()),
                Err(error) => failure(error),
            },
            threats,
        }
    }
}

fn verdict(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Clean => "clean".to_owned(),
        Verdict::Infected(_) => "infected".to_owned(),
        Verdict::Blocked(blocked) => format!("blocked {} {}", blocked.status(), blocked.reason()),
        Verdict::Modified(modified) => match (modified.body_len(), modified.original_from()) {
            (Some(len), None) => format!("modified {len}"),
            (Some(len), Some(from)) => format!("modified {len} from {from}"),
            _ => "modified, no body".to_owned(),
        },
        Verdict::NotScanned(why) => format!("not scanned: {}", hindrance(why)),
        other => panic!("a verdict that the transcripts do not know: {other}"),
    }
}

fn hindrance(why: &NotScanned) -> String {
    match why {
        NotScanned::ServiceLimit { detail } => format!("limit: {detail}"),
        NotScanned::Unscannable { detail } => format!("unscannable: {detail}"),
        NotScanned::Echoed => "echoed".to_owned(),
        NotScanned::ServiceError { status, .. } => format!("service error {status}"),
        NotScanned::Pending => "pending".to_owned(),
        NotScanned::PreviewOnly => "preview only".to_owned(),
        NotScanned::EarlyResponse => "early response".to_owned(),
        NotScanned::NoEngine => "no engine".to_owned(),
        NotScanned::Truncated => "truncated".to_owned(),
        other => panic!("a reason that the transcripts do not know: {other}"),
    }
}

fn failure(error: &Error) -> String {
    match error {
        Error::Protocol(error) => format!("error: protocol {:?}", error.violation()),
        Error::Disconnected(_) => "error: disconnected".to_owned(),
        error => match error.status() {
            Some(status) => format!("error: status {status}"),
            None => format!("error: {error}"),
        },
    }
}

fn threat(threat: &Threat) -> String {
    let mut line = threat.name().unwrap_or("(unnamed)").to_owned();
    let kind = threat.kind().map(|kind| format!("{kind:?}"));
    let resolution = threat
        .resolution()
        .map(|resolution| format!("{resolution:?}"));
    for (name, value) in [
        ("kind", kind.as_deref()),
        ("resolution", resolution.as_deref()),
        ("file", threat.file()),
        ("problem", threat.problem_id()),
        ("description", threat.description()),
    ] {
        if let Some(value) = value {
            write!(line, " | {name}={value}").unwrap();
        }
    }
    line
}
