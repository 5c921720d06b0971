//! The verdict table: what a response says about the content.

use super::verdict::{Blocked, Modified, NotScanned, Verdict};
use crate::error::Violation;
use crate::evidence::{CustomHeaders, Evidence, Findings, Hindrance, Received, ServiceFailure};
use crate::proto::header::{Field, Headers};
use crate::proto::number::decimal;
use crate::proto::response::Response;
use crate::proto::response_reader::Fragments;

/// What the verdict depends on besides the response: what was sent, and what the request allowed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sent {
    /// Every byte of the content was sent.
    pub(crate) is_complete: bool,
    /// The response responds to a preview.
    pub(crate) responds_to_preview: bool,
    /// A 204 to a preview counts for all of the content.
    pub(crate) trusts_preview: bool,
    /// The request allowed a 204.
    pub(crate) allowed_204: bool,
    /// The request allowed a 206.
    pub(crate) allowed_206: bool,
    /// The length of the content, or the bytes that were sent if it is not known.
    pub(crate) length: u64,
    /// The service offers 204. This is assumed without `OPTIONS`.
    pub(crate) offers_204: bool,
    /// The bytes that came back are the content, in a message of the kind that was sent.
    pub(crate) is_echoed: bool,
    /// The bytes that came back are the beginning of the content, and not all of it.
    pub(crate) is_beginning: bool,
    /// The response began before all of the content was written.
    pub(crate) is_early: bool,
    /// The state tags of the server say that it has no engine.
    pub(crate) lacks_engine: bool,
    /// Bytes followed the response.
    pub(crate) has_trailing: bool,
}

/// Why a response gives no verdict.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum NoVerdict {
    /// The status says nothing about the content. `failure` is the service's code for a failure of its own.
    Status {
        failure: Option<String>,
    },
    Violation(Violation),
}

/// Decides on a complete response.
///
/// Evidence comes first, on every status (rule R2). Without evidence two responses are clean (rule R1): a 204
/// that responds to all of the content, and the same content from a service that may not or cannot send a 204.
pub(crate) fn decide(
    response: &Response,
    sent: &Sent,
    custom: &CustomHeaders,
) -> Result<Verdict, NoVerdict> {
    let received = Received {
        response: Some(response),
        fragments: Fragments::none(),
        is_echo: is_echo(response, sent),
    };
    let Findings {
        evidence,
        hindered,
        failure,
    } = Findings::of(received, custom);
    if let Some(evidence) = evidence {
        return Ok(from_evidence(evidence));
    }
    if sent.has_trailing {
        return Err(NoVerdict::Violation(Violation::TrailingBytes));
    }
    let own_failure = failure.as_ref().filter(|failure| failure.is_own);
    let own_failure = own_failure.map(|failure| &*failure.code);
    let verdict = from_status(response, sent, own_failure)?;
    let verdict = unless_hindered(verdict, hindered);
    Ok(unless_failed(verdict, failure, response.status()))
}

pub(crate) fn from_evidence(evidence: Evidence) -> Verdict {
    match evidence {
        Evidence::Infected(threats) => Verdict::Infected(threats),
        Evidence::Hindered(hindrance, detail) => hindered(hindrance, detail),
        Evidence::Blocked {
            status,
            words,
            is_by_status,
        } => Verdict::Blocked(Blocked {
            status,
            reason: words,
            is_by_status,
        }),
    }
}

fn hindered(hindrance: Hindrance, detail: String) -> Verdict {
    Verdict::NotScanned(match hindrance {
        Hindrance::Limit => NotScanned::ServiceLimit { detail },
        Hindrance::Unscannable => NotScanned::Unscannable { detail },
    })
}

/// Words for a limit that another than the service may have written count only against a better verdict.
fn unless_hindered(verdict: Verdict, words: Option<(Hindrance, String)>) -> Verdict {
    match (words, &verdict) {
        (Some((hindrance, detail)), Verdict::Clean | Verdict::Modified(_)) => {
            hindered(hindrance, detail)
        }
        _ => verdict,
    }
}

/// A service that reports a failure has not scanned, whatever else it says. A code that another than the service
/// may have written replaces no other reason.
fn unless_failed(verdict: Verdict, failure: Option<ServiceFailure>, status: u16) -> Verdict {
    let Some(failure) = failure else {
        return verdict;
    };
    let is_replaced = match &verdict {
        Verdict::Clean | Verdict::Modified(_) | Verdict::NotScanned(NotScanned::Echoed) => true,
        Verdict::NotScanned(NotScanned::ServiceLimit { .. } | NotScanned::Unscannable { .. }) => {
            false
        }
        Verdict::NotScanned(_) => failure.is_own,
        Verdict::Infected(_) | Verdict::Blocked(_) => false,
    };
    if is_replaced {
        let detail = failure.code;
        return Verdict::NotScanned(NotScanned::ServiceError { status, detail });
    }
    verdict
}

/// Decides by the status, without evidence.
fn from_status(
    response: &Response,
    sent: &Sent,
    own_failure: Option<&str>,
) -> Result<Verdict, NoVerdict> {
    let not_scanned = |why| Ok(Verdict::NotScanned(why));
    let violation = |violation| Err(NoVerdict::Violation(violation));
    match response.status() {
        204 if sent.lacks_engine => not_scanned(NotScanned::NoEngine),
        // Also where no 204 was allowed: another server may scan.
        204 if sent.is_early => not_scanned(NotScanned::EarlyResponse),
        204 if !sent.allowed_204 && !sent.responds_to_preview => match own_failure {
            Some(detail) => not_scanned(NotScanned::ServiceError {
                status: 204,
                detail: detail.to_owned(),
            }),
            None => violation(Violation::Unexpected204),
        },
        204 if sent.responds_to_preview && !sent.is_complete => Ok(if sent.trusts_preview {
            Verdict::Clean
        } else {
            Verdict::NotScanned(NotScanned::PreviewOnly)
        }),
        204 if !sent.is_complete => violation(Violation::IncompleteUpload),
        204 => Ok(Verdict::Clean),
        200 | 201 if !response.encapsulates_something() => violation(Violation::EmptyResponse),
        200 | 201 => Ok(from_http(response, sent)),
        202 => not_scanned(NotScanned::Pending),
        206 if !sent.allowed_206 => violation(Violation::Unexpected206),
        206 if response.use_original_body() > Some(sent.length) => {
            violation(Violation::BadUseOriginalBody)
        }
        206 => Ok(from_http(response, sent)),
        _ => Err(NoVerdict::Status {
            failure: own_failure.map(str::to_owned),
        }),
    }
}

/// Decides on a 200, 201 or 206 without evidence, by the encapsulated HTTP message.
// Not inlined: most responses are 204 and do not need this code, which would stand between theirs.
#[inline(never)]
fn from_http(response: &Response, sent: &Sent) -> Verdict {
    let is_echo = is_echo(response, sent);
    match response.http_status() {
        _ if is_echo && sent.lacks_engine => Verdict::NotScanned(NotScanned::NoEngine),
        _ if is_echo && sent.is_early => Verdict::NotScanned(NotScanned::EarlyResponse),
        // Without a status the message is a request (REQMOD).
        None | Some(200..=299) if is_echo && !sent.offers_204 => Verdict::Clean,
        // Also if the content was sent with the status of an error page.
        _ if is_echo => Verdict::NotScanned(NotScanned::Echoed),
        Some(status @ (400 | 401 | 500..)) => Verdict::NotScanned(NotScanned::ServiceError {
            status,
            detail: response.http_reason(),
        }),
        // A status that refuses is evidence, so it does not come here.
        _ if is_truncated(response, sent) => Verdict::NotScanned(NotScanned::Truncated),
        _ => Verdict::Modified(Modified {
            body_len: response.body_len(),
            original_from: response.use_original_body(),
        }),
    }
}

/// Whether the body is shorter than its own head says, or is only the beginning of the content. The part of the
/// original that a 206 adds is counted.
///
/// c-icap with its usual defaults sends the first 5 % of an infected file so, without an infection field.
fn is_truncated(response: &Response, sent: &Sent) -> bool {
    let Some(body_len) = response.body_len() else {
        return false;
    };
    let from = response.use_original_body();
    let appended = from.map_or(0, |from| sent.length.saturating_sub(from));
    let len = body_len.saturating_add(appended);
    let is_longer =
        |field: Field<'_>| decimal(&field.value()).is_some_and(|declared| declared > len);
    let is_shorter_than_declared = message_headers(response)
        .is_some_and(|headers| headers.get_all("Content-Length").any(is_longer));
    is_shorter_than_declared || sent.is_beginning && appended == 0
}

/// The fields of the encapsulated message.
fn message_headers(response: &Response) -> Option<Headers<'_>> {
    let request = || response.http_request_headers();
    response.http_headers().or_else(request)
}

/// Whether all of the content came back, under a head that declares this length or none. A 206 is no echo: a part
/// of its content is not in the response.
fn is_echo(response: &Response, sent: &Sent) -> bool {
    let lengths_agree = || {
        message_headers(response).is_some_and(|headers| {
            headers
                .get_all("Content-Length")
                .all(|field| decimal(&field.value()) == response.body_len())
        })
    };
    let is_whole = matches!(response.status(), 200 | 201) && response.body_len().is_some();
    sent.is_complete && sent.is_echoed && is_whole && lengths_agree()
}

#[cfg(test)]
mod tests;
