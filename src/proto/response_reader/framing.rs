//! Where the parts of a response end, and whether they may be there (RFC 3507 §4.4.1).

use crate::proto::encapsulated::{BodyKind, Encapsulated};
use crate::proto::head::HeadFinder;
use crate::proto::header::Field;
use crate::proto::http_head;
use crate::proto::method::Method;
use crate::proto::response::{BadHead, Notes, StatusHead};
use crate::proto::status_line;
use crate::proto::violation::Violation;

/// Splits the heads of the HTTP request and the HTTP response, as far as they came.
pub(super) fn split_heads(heads: &[u8], list: Encapsulated) -> (&[u8], &[u8]) {
    heads.split_at(list.request_head.unwrap_or(0).min(heads.len()))
}

/// Parses the ICAP head at the beginning of `bytes`. Each field is checked and read in one pass.
pub(super) fn parse_icap_head(bytes: &[u8]) -> Result<(StatusHead, Framing), BadHead> {
    let (parse_line, bad_line) = (status_line::parse_icap, Violation::BadStatusLine);
    let mut framing = Framing::default();
    let head = StatusHead::parse(bytes, parse_line, bad_line, |field| {
        framing.read(field, bytes);
    })?;
    Ok((head, framing))
}

/// The fields of an ICAP head that frame a response, and what else this crate asks such a head for. They are found in one
/// pass.
#[derive(Default)]
pub(super) struct Framing {
    /// Any of them is folded.
    is_folded: bool,
    has_transfer_encoding: bool,
    /// A `Content-Length` announces bytes.
    announces_bytes: bool,
    /// The first `Encapsulated`.
    list: Option<Result<Encapsulated, Violation>>,
    has_second_list: bool,
    pub(super) notes: Notes,
}

impl Framing {
    /// Reads a field of the head that `bytes` begin with.
    pub(super) fn read(&mut self, field: Field<'_>, bytes: &[u8]) {
        if field.is("Encapsulated") {
            self.has_second_list = self.list.is_some();
            let list = || Encapsulated::parse(&field.value());
            self.list.get_or_insert_with(list);
        } else if field.is("Transfer-Encoding") {
            self.has_transfer_encoding = true;
        } else if field.is("Content-Length") {
            self.notes.has_content_length = true;
            self.announces_bytes |= !matches!(&*field.value(), b"" | b"0");
        } else if field.is("Connection") {
            self.notes.asks_to_close |= field.has_token("close");
        } else if field.is("ISTag") {
            return self.notes.read_tag(field, bytes);
        } else {
            self.notes.has_x_field |= field.has_x_name();
            return;
        }
        self.is_folded |= field.is_folded();
    }

    /// Checks all of it, for a response to this method with this status.
    pub(super) fn check(&self, method: Method, code: u16) -> Result<(), Violation> {
        self.fault(code).map_or(Ok(()), Err)?;
        fits(self.encapsulated(method, code)?, method, code)
    }

    /// A fault in these fields, other than in the list of `Encapsulated`.
    pub(super) fn fault(&self, code: u16) -> Option<Violation> {
        // Two readers may read a folded field in different ways.
        if self.is_folded {
            return Some(Violation::BadHeader);
        }
        if self.has_transfer_encoding {
            return Some(Violation::TransferEncoding);
        }
        // In other responses a Content-Length frames nothing. In a 204 it announces bytes after the end.
        (code == 204 && self.announces_bytes).then_some(Violation::TrailingBytes)
    }

    /// The parts that follow a head with this status. By RFC 3507 §4.4.1 and its errata, `Encapsulated` alone decides
    /// whether there is a body.
    pub(super) fn encapsulated(
        &self,
        method: Method,
        code: u16,
    ) -> Result<Encapsulated, Violation> {
        match self.list {
            Some(_) if self.has_second_list => Err(Violation::DuplicateEncapsulated),
            Some(list) => list,
            // A response to OPTIONS seldom has a body, and pyicap omits the field there.
            None if method != Method::Options && matches!(code, 200 | 201 | 206) => {
                Err(Violation::MissingEncapsulated)
            }
            None => Ok(Encapsulated::NOTHING),
        }
    }
}

/// Whether a response to this method with this status may have these parts.
pub(super) fn fits(list: Encapsulated, method: Method, code: u16) -> Result<(), Violation> {
    match code {
        _ if !list.fits(method) => Err(Violation::BadEncapsulated),
        204 if list != Encapsulated::NOTHING => Err(Violation::BodyOn204),
        100..=199 if list != Encapsulated::NOTHING => Err(Violation::BodyOn100),
        // Without a body, no chunk can have the offset.
        206 if list.body == BodyKind::Null => Err(Violation::BadEncapsulated),
        _ => Ok(()),
    }
}

pub(super) fn check_http_response(bytes: &[u8]) -> Result<StatusHead, Violation> {
    check_extent(bytes)?;
    let (parse_line, bad_line) = (status_line::parse_http, Violation::BadHttpStartLine);
    StatusHead::parse(bytes, parse_line, bad_line, |_| {}).map_err(|bad| match bad.violation {
        Violation::BadHeader => Violation::BadHttpHeader,
        other => other,
    })
}

pub(super) fn check_http_request(bytes: &[u8]) -> Result<Box<[u8]>, Violation> {
    check_extent(bytes)?;
    match http_head::check_request(bytes) {
        Ok(()) => Ok(bytes.into()),
        Err(_) => Err(Violation::BadHttpHeader),
    }
}

/// Checks that the first blank line is at the end (RFC 3507 §4.4.2). Otherwise a part of the head would be taken for
/// data, or data for a part of the head.
fn check_extent(bytes: &[u8]) -> Result<(), Violation> {
    match HeadFinder::default().find(bytes)? {
        Some(end) if end == bytes.len() => Ok(()),
        Some(_) if bytes.ends_with(b"\r\n\r\n") => Err(Violation::HttpHeadTrailing),
        _ => Err(Violation::HttpHeadNotTerminated),
    }
}
