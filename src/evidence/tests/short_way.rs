//! A head without evidence is judged in a short way. It must come to what reading all fields comes to.

use crate::evidence::{CustomHeaders, Findings, Received, vendors};
use crate::proto::method::Method;
use crate::proto::response_reader::{Remains, ResponseReader};

/// What is left of this response; of the part up to its fault, if it has one.
fn remains(method: Method, input: &[u8]) -> Remains {
    let mut reader = ResponseReader::new(method, 5);
    let mut used = 0;
    while used < input.len() {
        match reader.feed(&input[used..]) {
            Ok((len, _)) => used += len,
            Err(_) => break,
        }
    }
    reader.into_remains()
}

/// Responses with this status that have `field` in one place, or two.
fn responses_with(field: &str, code: u16) -> [String; 5] {
    let date = "Date: now\r\n";
    let icap = |fields: &str, list: &str| {
        format!("ICAP/1.0 {code} Odd\r\n{fields}Encapsulated: {list}\r\n\r\n")
    };
    let bare = |fields: &str| icap(fields, "null-body=0");
    let page = |code: u16, field: &str| {
        let http = format!("HTTP/1.1 {code} Odd\r\n{field}\r\n");
        let list = format!("res-hdr=0, null-body={}", http.len());
        icap(date, &list) + &http
    };
    [
        bare(field),
        format!("ICAP/1.0 100 Continue\r\n{field}\r\n{}", bare(date)),
        page(200, field),
        page(403, field),
        icap(date, "res-body=0") + "5\r\nhello\r\n0\r\n" + field + "\r\n",
    ]
}

/// Whether the short way was taken.
fn assert_short_way_agrees(remains: &Remains, custom: &CustomHeaders, is_echo: bool) -> bool {
    let received = Received {
        response: remains.response.as_ref(),
        fragments: &remains.fragments,
        is_echo,
    };
    let full = Findings::of_fields(received, custom);
    assert_eq!(Findings::of(received, custom), full, "{remains:?}");
    received.says_nothing_in_fields(custom)
}

#[test]
fn short_way_finds_what_all_fields_say() {
    let named = CustomHeaders {
        infections: vec!["Acme-Found".to_owned()],
        refusals: vec!["X-Acme-Refused".to_owned()],
    };
    let of_vendors = vendors::FIELDS.iter().map(|(name, ..)| *name);
    let names = of_vendors.chain(["Acme-Found", "X-Acme-Refused", "X-Other", "Server"]);
    let mut short = 0;
    for field in names.map(|name| format!("{name}: Eicar\r\n")) {
        let codes = [200, 202, 204, 302, 400, 403, 407, 500];
        for whole in codes.iter().flat_map(|code| responses_with(&field, *code)) {
            // The head of the first one, which ends before its blank line, is a fragment.
            for end in [whole.len(), whole.len() - 2] {
                for (method, is_echo) in [(Method::Respmod, true), (Method::Reqmod, false)] {
                    let remains = remains(method, &whole.as_bytes()[..end]);
                    for custom in [&named, &CustomHeaders::default()] {
                        let is_short = assert_short_way_agrees(&remains, custom, is_echo);
                        short += usize::from(is_short);
                    }
                }
            }
        }
    }
    // A head alone has a field of two names that are not read by either setting, or of two that only the caller reads.
    assert_eq!(short, 8 * 2 * (2 * 2 + 2));
}
