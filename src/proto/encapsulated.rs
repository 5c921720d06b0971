//! The `Encapsulated` field (RFC 3507 §4.4.1): which parts follow an ICAP head, and where they begin.
//!
//! This field decides how the rest of a message is read, so it is parsed strictly. Offsets are digits, begin at 0
//! and never decrease. The parts are those that the method allows, in their order.

use std::fmt;

use super::header::{append, trim};
use super::limits::MAX_HTTP_HEAD;
use super::method::Method;
use super::number::{decimal, encode_decimal};
use super::violation::{Limit, Violation};

/// The body that ends every list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BodyKind {
    Request,
    Response,
    Options,
    /// `null-body`: no body follows.
    Null,
}

impl BodyKind {
    const ALL: [Self; 4] = [Self::Null, Self::Response, Self::Request, Self::Options];

    fn name(self) -> &'static str {
        match self {
            Self::Request => "req-body",
            Self::Response => "res-body",
            Self::Options => "opt-body",
            Self::Null => "null-body",
        }
    }
}

/// A checked list: at most one head of each kind, then exactly one body.
///
/// It has the length of each part in place of its offset. A reader needs the lengths, and a list with decreasing
/// offsets cannot be expressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Encapsulated {
    /// Bytes of the HTTP request head, if there is one.
    pub(crate) request_head: Option<usize>,
    /// Bytes of the HTTP response head, if there is one.
    pub(crate) response_head: Option<usize>,
    pub(crate) body: BodyKind,
}

impl Encapsulated {
    pub(crate) const NOTHING: Self = Self {
        request_head: None,
        response_head: None,
        body: BodyKind::Null,
    };

    /// Whether the response to `method` may have these parts.
    pub(crate) fn fits(self, method: Method) -> bool {
        let Self {
            request_head,
            response_head,
            body,
        } = self;
        let fits = match (method, body) {
            (Method::Options, BodyKind::Options) => true,
            (Method::Options, _) => body == BodyKind::Null,
            // A response to REQMOD has a changed request, or an HTTP response in its place.
            (Method::Reqmod, BodyKind::Request) => response_head.is_none(),
            (Method::Reqmod, BodyKind::Null) => request_head.is_none() || response_head.is_none(),
            (_, BodyKind::Response | BodyKind::Null) => request_head.is_none(),
            (_, BodyKind::Request | BodyKind::Options) => false,
        };
        let no_heads = request_head.is_none() && response_head.is_none();
        fits && (method != Method::Options || no_heads)
    }

    /// Parses the list of any message.
    pub(crate) fn parse(value: &[u8]) -> Result<Self, Violation> {
        if value == b"null-body=0" {
            return Ok(Self::NOTHING);
        }
        let mut parts = Parts::default();
        for member in value.split(|&b| b == b',') {
            parts.add(member)?;
        }
        parts.finish()
    }

    /// Appends the value of the field.
    pub(crate) fn encode(self, out: &mut Vec<u8>) {
        if self.request_head.is_some() {
            append(out, &[b"req-hdr=0, "]);
        }
        if self.response_head.is_some() {
            append(out, &[b"res-hdr="]);
            encode_decimal(out, self.request_head.unwrap_or(0) as u64);
            append(out, &[b", "]);
        }
        append(out, &[self.body.name().as_bytes(), b"="]);
        encode_decimal(out, self.heads_len() as u64);
    }

    /// Bytes of all heads before the body.
    pub(crate) fn heads_len(self) -> usize {
        self.request_head.unwrap_or(0) + self.response_head.unwrap_or(0)
    }
}

/// Writes the value of the field.
impl fmt::Display for Encapsulated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut value = Vec::new();
        self.encode(&mut value);
        // It is ASCII.
        f.write_str(&String::from_utf8_lossy(&value))
    }
}

/// A list while it is parsed: the offset of each part.
#[derive(Default)]
struct Parts {
    /// The first part of a list, so its offset is 0.
    has_request_head: bool,
    response_head: Option<usize>,
    body: Option<(BodyKind, usize)>,
    last_offset: Option<usize>,
}

impl Parts {
    fn add(&mut self, member: &[u8]) -> Result<(), Violation> {
        let (name, offset) = split_member(member).ok_or(Violation::BadEncapsulated)?;
        let is_first = self.last_offset.is_none();
        match self.last_offset {
            None if offset != 0 => return Err(Violation::EncapsulatedGap),
            Some(last) if offset < last => return Err(Violation::BadEncapsulated),
            _ => self.last_offset = Some(offset),
        }
        let before_body = self.body.is_none();
        let is = |part: &str| name.eq_ignore_ascii_case(part.as_bytes());
        if is("req-hdr") && is_first {
            self.has_request_head = true;
        } else if is("res-hdr") && before_body && self.response_head.is_none() {
            self.response_head = Some(offset);
        } else {
            let kind = BodyKind::ALL.into_iter().find(|kind| is(kind.name()));
            let kind = kind
                .filter(|_| before_body)
                .ok_or(Violation::BadEncapsulated)?;
            self.body = Some((kind, offset));
        }
        Ok(())
    }

    fn finish(self) -> Result<Encapsulated, Violation> {
        let (body, body_at) = self.body.ok_or(Violation::BadEncapsulated)?;
        let request_end = self.response_head.unwrap_or(body_at);
        let request_head = self.has_request_head.then_some(request_end);
        let response_head = self.response_head.map(|at| body_at - at);
        for len in [request_head, response_head].into_iter().flatten() {
            match len {
                0 => return Err(Violation::EmptyHttpHead),
                1..=MAX_HTTP_HEAD => {}
                _ => return Err(Violation::LimitExceeded(Limit::HttpHead)),
            }
        }
        Ok(Encapsulated {
            request_head,
            response_head,
            body,
        })
    }
}

/// `name=digits`, with white space around the whole and nowhere else.
fn split_member(member: &[u8]) -> Option<(&[u8], usize)> {
    let member = trim(member);
    let equals = memchr::memchr(b'=', member)?;
    let offset = decimal(&member[equals + 1..])?;
    Some((&member[..equals], usize::try_from(offset).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every form of RFC 3507 §4.4.1, with the methods whose responses may have it.
    const FORMS: &[(&str, &[Method])] = &[
        (
            "null-body=0",
            &[Method::Options, Method::Reqmod, Method::Respmod],
        ),
        ("opt-body=0", &[Method::Options]),
        ("req-body=0", &[Method::Reqmod]),
        ("res-body=0", &[Method::Reqmod, Method::Respmod]),
        ("req-hdr=0, req-body=137", &[Method::Reqmod]),
        ("req-hdr=0, null-body=137", &[Method::Reqmod]),
        (
            "res-hdr=0, res-body=137",
            &[Method::Reqmod, Method::Respmod],
        ),
        (
            "res-hdr=0, null-body=137",
            &[Method::Reqmod, Method::Respmod],
        ),
        ("req-hdr=0, res-hdr=137, res-body=296", &[]),
        ("req-hdr=0, res-hdr=137, null-body=296", &[]),
        ("req-hdr=0, res-body=137", &[]),
    ];

    #[test]
    fn form_is_written_as_it_was_read() {
        for (text, _) in FORMS {
            let list = Encapsulated::parse(text.as_bytes()).expect(text);
            assert_eq!(list.to_string(), *text);
        }
    }

    #[test]
    fn response_has_only_the_parts_of_its_method() {
        for (text, methods) in FORMS {
            for method in [Method::Options, Method::Reqmod, Method::Respmod] {
                let fits = Encapsulated::parse(text.as_bytes()).unwrap().fits(method);
                assert_eq!(fits, methods.contains(&method), "{method:?} {text}");
            }
        }
    }

    #[test]
    fn white_space_and_case_of_names_are_ignored() {
        let list = Encapsulated::parse(b" Res-Hdr=0 ,\tRES-BODY=38 ").unwrap();
        assert_eq!(list.to_string(), "res-hdr=0, res-body=38");
    }

    #[test]
    fn malformed_list_is_refused() {
        for text in [
            "",
            ",",
            "res-hdr=0",
            "res-hdr=0, res-body=38,",
            "res-hdr=0,, res-body=38",
            "res-hdr=0 res-body=38",
            "res-hdr=0; res-body=38",
            "res-hdr=0, res-body= 38",
            "res-hdr=0, res-body =38",
            "res-hdr=0, res-body=",
            "res-hdr=0, res-body",
            "res-hdr=0, res-body=+38",
            "res-hdr=0, res-body=-38",
            "res-hdr=0, res-body=0x26",
            "res-hdr=0, res-body=38.0",
            "res-hdr=0, res-body=\"38\"",
            "res-hdr=0, res-body=18446744073709551616",
            "res-hdr=0, foo-body=38",
            "res-hdr=0, =38",
            "res-hdr=0, res-body=38, req-body=60",
            "res-hdr=0, res-body=38, null-body=38",
            "res-hdr=0, res-body=38, res-hdr=40",
            "res-hdr=0, res-hdr=10, res-body=38",
            "res-hdr=0, req-hdr=10, res-body=38",
            "req-hdr=0, res-hdr=50, res-body=38",
            "null-body=0, null-body=0",
            "null-body=0, opt-body=0",
            "req-hdr=0, null-body=38, req-body=38",
            "req-hdr=0, req-hdr=38, req-body=38",
            "res-hdr=0, null-body=38, res-body=38",
        ] {
            let error = Encapsulated::parse(text.as_bytes()).expect_err(text);
            assert_eq!(error, Violation::BadEncapsulated, "{text:?}");
        }
    }

    #[test]
    fn first_offset_is_zero_and_no_head_is_empty() {
        for (text, violation) in [
            ("res-hdr=10, res-body=48", Violation::EncapsulatedGap),
            ("res-body=38, null-body=0", Violation::EncapsulatedGap),
            ("null-body=1", Violation::EncapsulatedGap),
            ("res-hdr=0, res-body=0", Violation::EmptyHttpHead),
            ("res-hdr=0, null-body=0", Violation::EmptyHttpHead),
            ("req-hdr=0, res-hdr=0, res-body=9", Violation::EmptyHttpHead),
        ] {
            assert_eq!(
                Encapsulated::parse(text.as_bytes()),
                Err(violation),
                "{text}"
            );
        }
    }

    #[test]
    fn head_over_the_limit_is_refused_before_it_is_read() {
        for (len, accepted) in [
            (MAX_HTTP_HEAD - 1, true),
            (MAX_HTTP_HEAD, true),
            (MAX_HTTP_HEAD + 1, false),
            (usize::MAX, false),
        ] {
            let text = format!("res-hdr=0, res-body={len}");
            assert_eq!(
                Encapsulated::parse(text.as_bytes()).is_ok(),
                accepted,
                "{len}"
            );
        }
    }
}
