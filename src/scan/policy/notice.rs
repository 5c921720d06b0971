//! What a person and an operator are told about content that is not known to be clean.

use std::fmt;

use super::language::{self, English, Language};
use super::reason::Reason;
use crate::client::tee::IncompleteCopy;
use crate::error::Error;
use crate::evidence::Threats;
use crate::proto::text::is_displayable;
use crate::scan::report::Report;
use crate::scan::verdict::{Bytes, NotScanned, Verdict};

/// Characters of a file's name or of the threats that are shown.
const MAX_SHOWN: usize = 200;

/// Characters of the detail.
const MAX_DETAIL: usize = 2000;

/// Why content is not known to be clean: a [code](Notice::code) for programs, a sentence for the person who
/// wants the content, and a [detail](Notice::detail) for the log.
///
/// `Display` is the sentence in English; [`text`](Notice::text) has other languages. The sentence states what
/// happened and does not say whether the content is delivered, because that is the [`Policy`](super::Policy)'s
/// decision.
///
/// The sentence is plain text without control characters, line ends and invisible characters. It is not HTML: the
/// file's name in it can contain `<`, `&` and quotes. Escape it for HTML where you put it into a
/// page.
///
/// ```
/// # use icap_client::testing::Server;
/// use icap_client::policy::German;
/// use icap_client::{Content, Decision, Policy, Scanner};
///
/// # let server = Server::start()?;
/// # let uri = server.uri();
/// let scanner = Scanner::builder(uri).max_size(10 * 1024).build()?;
/// let result = scanner.scan(Content::bytes(&[0; 20_000]).name("film.mp4"));
/// let Decision::Ask(notice) = Policy::default().decide(&result) else { unreachable!() };
/// assert_eq!(notice.code(), "too_large");
/// assert_eq!(
///     notice.to_string(),
///     "The file \"film.mp4\" is larger than 10 KiB and was not checked for malware."
/// );
/// assert_eq!(
///     notice.text(&German),
///     "Die Datei „film.mp4“ ist größer als 10 KiB und wurde nicht auf Schadsoftware geprüft."
/// );
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    reason: Reason,
    name: Option<String>,
    threat: Option<String>,
    limit: Option<u64>,
    detail: String,
}

impl Notice {
    /// The notice about this scan; `None` only if the verdict is [`Clean`](Verdict::Clean).
    #[must_use]
    pub fn of(result: &Result<Report, Error>) -> Option<Self> {
        let reason = Reason::of(result)?;
        Some(match result {
            Ok(report) => Self::of_report(reason, report),
            Err(error) => Self::of_error(reason, error),
        })
    }

    fn of_report(reason: Reason, report: &Report) -> Self {
        let verdict = report.verdict();
        let advice = report.advice().map(|advice| format!(" ({advice})"));
        let advice = advice.unwrap_or_default();
        let detail = format!("{}: {verdict}{advice}", report.service());
        Self {
            reason,
            name: report.name().map(shown),
            threat: match verdict {
                Verdict::Infected(threats) => named(threats),
                _ => None,
            },
            limit: match verdict {
                Verdict::NotScanned(NotScanned::TooLarge { limit }) => Some(*limit),
                _ => None,
            },
            detail: excerpt(&detail, MAX_DETAIL),
        }
    }

    fn of_error(reason: Reason, error: &Error) -> Self {
        Self {
            reason,
            name: error.name().map(shown),
            threat: None,
            limit: None,
            detail: excerpt(&error.to_string(), MAX_DETAIL),
        }
    }

    /// The notice about a copy that is not complete.
    pub(in crate::scan) fn of_incomplete_copy(why: &IncompleteCopy, name: Option<&str>) -> Self {
        Self {
            reason: Reason::IncompleteCopy,
            name: name.map(shown),
            threat: None,
            limit: None,
            detail: excerpt(&why.to_string(), MAX_DETAIL),
        }
    }

    /// The stable, machine-readable code, for example `too_large`. The page
    /// [`notices`](crate::manual::notices) of the manual lists all of them.
    #[must_use]
    pub fn code(&self) -> &'static str {
        self.reason.code()
    }

    /// The reason, to match on.
    #[must_use]
    pub fn reason(&self) -> Reason {
        self.reason
    }

    /// The name of the file, if it is known, safe to show: control characters and invisible ones are escaped, and
    /// of a name of more than 200 characters the beginning and the end are shown.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// The names of the threats that were found, if they have names, separated by commas; safe to show, and of
    /// at most 200 characters.
    #[must_use]
    pub fn threat(&self) -> Option<&str> {
        self.threat.as_deref()
    }

    /// What the operator needs: the service, what happened, in which phase, and the innermost cause. It is one
    /// line for the log. The person does not see it: it names servers of the operator.
    #[must_use]
    pub fn detail(&self) -> &str {
        &self.detail
    }

    /// What the service found, which a ticket is bound to.
    #[cfg(feature = "override")]
    pub(in crate::scan) fn objection(&self) -> Option<Objection<'_>> {
        let objection = Objection {
            code: self.code(),
            threat: self.threat(),
        };
        self.reason.is_finding().then_some(objection)
    }

    /// The sentence in another language, or in words of your own.
    #[must_use]
    pub fn text(&self, language: &dyn Language) -> String {
        match language.template(self.reason) {
            Some(template) => self.fill(template, language),
            None => self.fill(English::sentence(self.reason), &English),
        }
    }

    fn fill(&self, template: &str, language: &dyn Language) -> String {
        language::fill(template, |placeholder| {
            let value = match placeholder {
                "name" => self.name().map(|name| language.name(name)),
                "threat" => self.threat().map(|threat| language.threat(threat)),
                "limit" => self.limit.map(|limit| Bytes(limit).to_string()),
                _ => return None,
            };
            Some(value.unwrap_or_default())
        })
    }
}

/// The sentence in English.
impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text(&English))
    }
}

/// What a service found in content: infected, and by what, blocked, modified, or truncated.
#[cfg(feature = "override")]
#[derive(Clone, Copy)]
pub(in crate::scan) struct Objection<'n> {
    pub(in crate::scan) code: &'static str,
    pub(in crate::scan) threat: Option<&'n str>,
}

fn shown(text: &str) -> String {
    excerpt(text, MAX_SHOWN)
}

fn named(threats: &Threats) -> Option<String> {
    threats.names().next()?;
    Some(shown(&threats.to_string()))
}

/// At most `max` characters of a text, safe to show. Of a longer text the beginning and the last quarter are
/// kept, because a name ends in its extension and an error in its innermost cause.
fn excerpt(text: &str, max: usize) -> String {
    let count = text.chars().count();
    if count <= max {
        return escaped(text.chars());
    }
    let tail = max / 4;
    let head = escaped(text.chars().take(max - 1 - tail));
    head + "…" + &escaped(text.chars().skip(count - tail))
}

fn escaped(chars: impl Iterator<Item = char>) -> String {
    let mut shown = String::new();
    for c in chars {
        if is_displayable(c) {
            shown.push(c);
        } else {
            shown.extend(c.escape_default());
        }
    }
    shown
}
