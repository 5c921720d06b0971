//! Requests that are refused or made harmless.

use icap_client::{Content, Request, Scanner};

use crate::requests::plain;
use crate::words::describe_error;

/// Tests by the ids of their cases.
pub(crate) const REFUSALS: &[(&str, fn())] = &[
    ("K01", file_name_cannot_add_a_line),
    ("K02", user_cannot_add_a_line),
    ("K03", path_cannot_add_a_line),
    ("K04", host_cannot_add_a_line),
    ("K05", header_name_must_be_a_token),
    ("K06", header_value_must_be_one_line),
    ("K07", framing_headers_are_refused),
];

fn file_name_cannot_add_a_line() {
    for name in [
        "a.txt\r\nX-Infection: no",
        "a\nb",
        "a\0b",
        "../../etc",
        "a b?c#d",
        "\u{2028}",
    ] {
        let (received, outcome) = plain(Content::bytes(b"hello").name(name));
        assert_eq!(outcome, "clean");
        assert!(!received.contains("\nX-Infection"), "{received}");
        let target = received
            .split("GET ")
            .nth(1)
            .unwrap()
            .split(" HTTP/1.1\r\n")
            .next()
            .unwrap();
        assert!(
            target
                .bytes()
                .all(|b| b.is_ascii_graphic() && !b"?#".contains(&b)),
            "{target}"
        );
        assert_eq!(target.matches('/').count(), 3, "{target}");
    }
}

fn user_cannot_add_a_line() {
    let (received, outcome) = plain(Content::bytes(b"hello").user("bob\r\nAllow: 204"));
    if outcome == "clean" {
        assert_eq!(received.matches("\r\nAllow").count(), 1, "{received}");
        assert!(!received.contains("bob"), "{received}");
    } else {
        assert_eq!((received.as_str(), outcome.as_str()), ("", "error: input"));
    }
}

fn refuses(uri: &str) {
    let error = Scanner::new(uri).expect_err(uri);
    assert_eq!(describe_error(&error), "error: input", "{uri:?}");
}

fn path_cannot_add_a_line() {
    for path in [
        "a\rb",
        "a\nb",
        "a\r\nb",
        "a b",
        "a\tb",
        "a\0b",
        "gr\u{fc}n",
        "a\u{2028}b",
        " ",
        "a\u{7f}",
    ] {
        refuses(&format!("icap://127.0.0.1/{path}"));
    }
}

fn host_cannot_add_a_line() {
    for host in [
        "a\r\nX: y",
        "a b",
        "a\nb",
        "a,b",
        "user@a@b",
        "",
        ":1344",
        "a:b:c",
        "[::1",
        "[a]",
        "h\u{f6}st",
        "a\\b",
    ] {
        refuses(&format!("icap://{host}/scan"));
    }
}

fn header_name_must_be_a_token() {
    for name in ["A:b", "A b", "", "A\r\nB", "A\0", "Gr\u{fc}n", "\tA"] {
        let error = Request::respmod().header(name, "x").expect_err(name);
        assert_eq!(describe_error(&error.into()), "error: input");
        let builder = Scanner::builder("icap://127.0.0.1/scan").header(name, "x");
        assert!(builder.build().is_err(), "{name:?}");
        let (received, outcome) = plain(Content::bytes(b"hello").header(name, "x"));
        assert_eq!(
            (received.as_str(), outcome.as_str()),
            ("", "error: input"),
            "{name:?}"
        );
    }
}

fn header_value_must_be_one_line() {
    for value in [
        "a\rb",
        "a\nb",
        "a\r\nAllow: 204",
        "a\0b",
        " a",
        "\ta",
        "\r\n a",
        "a ",
    ] {
        assert!(
            Request::respmod().header("X-A", value).is_err(),
            "{value:?}"
        );
        let builder = Scanner::builder("icap://127.0.0.1/scan").header("X-A", value);
        assert!(builder.build().is_err(), "{value:?}");
        let (received, outcome) = plain(Content::bytes(b"hello").header("X-A", value));
        assert_eq!(
            (received.as_str(), outcome.as_str()),
            ("", "error: input"),
            "{value:?}"
        );
        assert_eq!(
            plain(Content::bytes(b"hello").content_type(value)).1,
            "error: input",
            "{value:?}"
        );
    }
}

fn framing_headers_are_refused() {
    let names = "Encapsulated Preview Allow Host Connection Transfer-Encoding Upgrade";
    for name in names
        .split(' ')
        .flat_map(|name| [name.to_owned(), name.to_lowercase()])
    {
        assert!(Request::respmod().header(&name, "x").is_err(), "{name}");
        let builder = Scanner::builder("icap://127.0.0.1/scan").header(&name, "x");
        assert!(builder.build().is_err(), "{name}");
        assert_eq!(
            plain(Content::bytes(b"hello").header(&name, "x")).1,
            "error: input",
            "{name}"
        );
    }
}
