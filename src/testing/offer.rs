//! The requests that a server accepts: those that its response to `OPTIONS` offers.

use super::received::Received;
use super::responses::OPTIONS_RESPONSE;
use crate::proto::encapsulated::BodyKind;
use crate::proto::http_head;
use crate::proto::method::Method;
use crate::proto::options::ServiceOptions;
use crate::proto::response_reader::{Event, ResponseReader};

/// A response to `OPTIONS` and its meaning.
#[derive(Clone)]
pub(super) struct Offer {
    pub(super) response: Vec<u8>,
    options: ServiceOptions,
}

/// Why the server refuses a request. It closes the connection then.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// It cannot be read.
    Malformed,
    UnknownMethod,
    MethodNotOffered,
    OptionsWithBody,
    WithoutHeads,
    HeadsOfAnotherMethod,
    MalformedHttpHead,
    PreviewNotOffered,
    PreviewTooLarge,
    TrailersNotOffered,
}

impl Offer {
    /// The offer of `response`; `None` if that is no complete 200 to `OPTIONS`.
    pub(super) fn of(response: &[u8]) -> Option<Self> {
        let mut reader = ResponseReader::new(Method::Options, u64::MAX);
        let mut used = 0;
        while !reader.has_ended() {
            match reader.feed(response.get(used..)?).ok()? {
                (_, Event::NeedsMore) => return None,
                (len, _) => used += len,
            }
        }
        let parsed = reader.response().filter(|parsed| parsed.status() == 200)?;
        Some(Self {
            options: ServiceOptions::from_response(parsed),
            response: response.to_vec(),
        })
    }

    pub(super) fn allows_204(&self) -> bool {
        self.options.allows_204()
    }

    /// Checks what the ICAP head of a request announces.
    pub(super) fn check_head(&self, request: &Received) -> Result<(), Refusal> {
        let (list, has_heads) = (request.list, request.list.heads_len() > 0);
        match request.method() {
            "OPTIONS" if has_heads || list.body != BodyKind::Null => {
                return Err(Refusal::OptionsWithBody);
            }
            "OPTIONS" => return Ok(()),
            "RESPMOD" => self.check_method(Method::Respmod)?,
            "REQMOD" => self.check_method(Method::Reqmod)?,
            _ => return Err(Refusal::UnknownMethod),
        }
        if !has_heads {
            return Err(Refusal::WithoutHeads);
        }
        let fits = match request.method() {
            "REQMOD" => list.response_head.is_none() && list.body != BodyKind::Response,
            _ => list.body != BodyKind::Request,
        };
        if !fits || list.body == BodyKind::Options {
            return Err(Refusal::HeadsOfAnotherMethod);
        }
        self.check_preview(request.preview())
    }

    /// An offer without methods excludes none.
    fn check_method(&self, method: Method) -> Result<(), Refusal> {
        match self.options.methods() {
            [] => Ok(()),
            offered if offered.contains(&method) => Ok(()),
            _ => Err(Refusal::MethodNotOffered),
        }
    }

    fn check_preview(&self, announced: Option<usize>) -> Result<(), Refusal> {
        match (announced, self.options.preview()) {
            (None, _) => Ok(()),
            (Some(_), None) => Err(Refusal::PreviewNotOffered),
            (Some(len), Some(offered)) if len as u64 > offered => Err(Refusal::PreviewTooLarge),
            (Some(_), Some(_)) => Ok(()),
        }
    }

    pub(super) fn check_trailers(&self, trailers: &[u8]) -> Result<(), Refusal> {
        if trailers.is_empty() || self.options.allows_trailers() {
            return Ok(());
        }
        Err(Refusal::TrailersNotOffered)
    }
}

impl Default for Offer {
    #[allow(
        clippy::expect_used,
        reason = "a constant; every test server starts with it"
    )]
    fn default() -> Self {
        Self::of(OPTIONS_RESPONSE.as_bytes()).expect("a valid response to OPTIONS")
    }
}

/// Checks that the encapsulated heads are complete, and of the kinds that `Encapsulated` names.
pub(super) fn check_http_heads(request: &Received) -> Result<(), Refusal> {
    let split = request.list.request_head.unwrap_or(0);
    let (of_request, of_response) = request.http_heads.split_at(split);
    let checks = [
        (of_request, http_head::check_request as fn(&[u8]) -> _),
        (of_response, http_head::check_response),
    ];
    for (head, check) in checks {
        if !head.is_empty() && check(head).is_err() {
            return Err(Refusal::MalformedHttpHead);
        }
    }
    Ok(())
}

impl Refusal {
    /// As c-icap: 405 to a known method that is not offered, otherwise 400.
    pub(super) fn response(self) -> String {
        let status = match self {
            Self::MethodNotOffered => "405 Method Not Allowed",
            _ => "400 Bad Request",
        };
        let why = self.why();
        format!(
            "ICAP/1.0 {status}: {why}\r\nISTag: \"icap-client-testing\"\r\nConnection: close\r\n\
             Encapsulated: null-body=0\r\n\r\n"
        )
    }

    /// The reason phrase, which the author of a test sees in the text of the error.
    fn why(self) -> &'static str {
        match self {
            Self::Malformed => "malformed request",
            Self::UnknownMethod => "unknown method",
            Self::MethodNotOffered => "method not offered",
            Self::OptionsWithBody => "OPTIONS with a body",
            Self::WithoutHeads => "no encapsulated HTTP head",
            Self::HeadsOfAnotherMethod => "encapsulated parts of another method",
            Self::MalformedHttpHead => "malformed encapsulated HTTP head",
            Self::PreviewNotOffered => "preview not offered",
            Self::PreviewTooLarge => "preview larger than offered",
            Self::TrailersNotOffered => "trailers not offered",
        }
    }
}
