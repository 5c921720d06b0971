//! Text that is safe for a terminal and for JSON.
//!
//! A stranger may have chosen the name of a file. It must not begin a new line, move the cursor or reverse the
//! order of characters.

use std::error::Error;
use std::fmt::Write as _;

use icap_client::protocol::is_displayable;

/// Escapes every character that is not plainly visible.
pub(crate) fn safe(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if is_displayable(c) {
            shown.push(c);
        } else {
            shown.extend(c.escape_default());
        }
    }
    shown
}

/// Escapes in JSON every character that a terminal would act upon. It stays the same JSON, because only strings
/// can have such characters.
pub(crate) fn safe_json(json: &str) -> String {
    let mut shown = String::with_capacity(json.len());
    for c in json.chars() {
        if is_displayable(c) {
            shown.push(c);
        } else {
            for unit in c.encode_utf16(&mut [0; 2]) {
                // Writing to a string cannot fail.
                let _ = write!(shown, "\\u{unit:04x}");
            }
        }
    }
    shown
}

/// What the library calls a setting, and what this program does.
const WORDS: &[(&str, &str)] = &[
    (
        "scan without OPTIONS: negotiate(false)",
        "use icap scan with --no-options",
    ),
    ("negotiate(false)", "--no-options"),
    ("`credentials`", "--user"),
    ("with `Content::reader`", "through standard input"),
    (
        "the scanner's response_timeout and deadline",
        "--response-timeout and --deadline",
    ),
    ("the scanner's max_size", "--max-size"),
    ("lower max_size", "lower --max-size"),
    ("leave the scanner's preview off", "leave --preview out"),
    (
        "set the scanner's idle_timeout to less than the server's, so that fewer connections are found closed",
        "none is needed: icap replaces a closed connection",
    ),
    ("the scanner does not", "icap does not"),
    ("the scanner keeps", "icap keeps"),
];

/// The hint for a service that asks for credentials, or refuses those that it got.
const CREDENTIALS: &str =
    "the service asks for a user and a password: set --user and ICAP_PASSWORD";

/// A text of the library with the names of this program.
pub(crate) fn of_program(text: &str) -> String {
    let names = WORDS.iter();
    names.fold(text.to_owned(), |text, (library, program)| {
        text.replace(library, program)
    })
}

/// An error with all its causes, on one line.
pub(crate) fn chain(error: &(dyn Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |error| (*error).source());
    let causes: Vec<_> = causes.map(ToString::to_string).collect();
    let text = of_program(&causes.join(": "));
    let of_library = error.downcast_ref::<icap_client::Error>();
    match of_library.and_then(icap_client::Error::status) {
        Some(407) => format!("{text} ({CREDENTIALS})"),
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invisible_characters_are_escaped() {
        assert_eq!(safe("Rechnung für März.pdf"), "Rechnung für März.pdf");
        assert_eq!(
            safe("a\nb: clean\x1b[2K\u{9b}"),
            "a\\nb: clean\\u{1b}[2K\\u{9b}"
        );
        assert_eq!(safe("exe.\u{202e}fdp"), "exe.\\u{202e}fdp");
    }

    #[test]
    fn escaped_json_is_the_same_json() {
        let text = "a\n\u{7f}\u{9b}\u{202e}\u{e0041}ü\"\\";
        let json = safe_json(&serde_json::Value::from(text).to_string());
        assert!(json.is_ascii() || !json.contains(['\u{7f}', '\u{9b}', '\u{202e}', '\u{e0041}']));
        assert_eq!(serde_json::from_str::<String>(&json).unwrap(), text);
    }

    #[test]
    fn chain_has_every_cause_once() {
        let cause = std::io::Error::other("no route");
        let error = std::io::Error::other(std::io::Error::other(cause));
        assert_eq!(chain(&error), "no route");
        let error = icap_client::Client::new("http://x").unwrap_err();
        assert_eq!(chain(&error), error.to_string());
    }
}
