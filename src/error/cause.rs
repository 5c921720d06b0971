//! The words of an `io::Error`, as an error of this crate repeats them.

use std::error::Error;
use std::io;

/// The text of an error with each of its causes once. What the operating system says begins in lower case
/// and has no code: `connection refused` in place of `Connection refused (os error 111)`.
pub(crate) fn words_of(error: &io::Error) -> String {
    if let Some(inner) = error.get_ref().and_then(|e| e.downcast_ref::<io::Error>()) {
        return words_of(inner);
    }
    let mut words = without_code(&error.to_string());
    if error.raw_os_error().is_some() {
        words = uncapitalised(&words);
    }
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = match error.downcast_ref::<io::Error>() {
            Some(error) => words_of(error),
            None => without_code(&error.to_string()),
        };
        if !words.contains(&more) {
            words = format!("{words}: {more}");
        }
        cause = error.source();
    }
    words
}

/// The same error once more. Only kind and text are kept.
pub(crate) fn duplicate(error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), words_of(error))
}

/// Removes each ` (os error 111)`, which `std` appends to what the operating system says.
fn without_code(text: &str) -> String {
    let mut parts = text.split(" (os error ");
    let mut words = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        match part.split_once(')') {
            Some((code, rest)) if code.parse::<i32>().is_ok() => words.push_str(rest),
            _ => words = format!("{words} (os error {part}"),
        }
    }
    words
}

/// `No route to host` begins in lower case; `DNS` does not.
fn uncapitalised(text: &str) -> String {
    let mut chars = text.chars();
    match (chars.next(), chars.next()) {
        (Some(first), Some(second)) if second.is_lowercase() => {
            let rest = &text[first.len_utf8()..];
            format!("{}{rest}", first.to_lowercase())
        }
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_os = "linux")]
    #[test]
    fn system_error_has_no_code_and_no_capital() {
        let raw = || io::Error::from_raw_os_error(111);
        assert_eq!(words_of(&raw()), "connection refused");
        assert_eq!(words_of(&io::Error::other(raw())), "connection refused");
        let text = format!("10.0.0.1:1: {}, 10.0.0.2:1: {}", raw(), raw());
        let words = "10.0.0.1:1: Connection refused, 10.0.0.2:1: Connection refused";
        assert_eq!(words_of(&io::Error::other(text)), words);
    }

    #[test]
    fn text_like_a_code_stays() {
        for text in ["a (os error b) c", "a (os error 1", "I/O (os errors)"] {
            assert_eq!(words_of(&io::Error::other(text)), text);
        }
        assert_eq!(uncapitalised("DNS failed"), "DNS failed");
        assert_eq!(uncapitalised(""), "");
    }

    #[derive(Debug, thiserror::Error)]
    #[error("{text}")]
    struct Caused {
        text: &'static str,
        source: Option<Box<Caused>>,
    }

    #[test]
    fn cause_is_named_once() {
        let chain = |texts: [&'static str; 3]| {
            let mut source = None;
            for text in texts.into_iter().rev() {
                source = Some(Box::new(Caused { text, source }));
            }
            words_of(&io::Error::other(source.unwrap()))
        };
        assert_eq!(chain(["a", "b", "c"]), "a: b: c");
        assert_eq!(chain(["a: b", "b", "c"]), "a: b: c");
    }
}
