//! Lines of heads without credentials, people and arguments of URIs.

use crate::text::safe;

/// Parts of the names of fields with a value that is not shown.
const SECRET: &[&str] = &[
    "auth",
    "cookie",
    "group",
    "key",
    "passw",
    "secret",
    "session",
    "subscriber",
    "token",
    "user",
];

/// The lines of a head as they may be shown: control bytes escaped, and what is secret as `[n bytes]`.
pub(crate) fn lines(head: &[u8]) -> Vec<String> {
    let head = String::from_utf8_lossy(head);
    let mut is_secret = false;
    let lines = head.lines().enumerate().map(|(number, line)| {
        let is_continued = line.starts_with([' ', '\t']);
        if number == 0 {
            return without_arguments(line);
        }
        if is_continued && is_secret {
            return bytes(line);
        }
        let Some((name, value)) = line.split_once(':') else {
            is_secret &= is_continued;
            return without_arguments(line);
        };
        is_secret = !is_continued && is_secret_name(name);
        if is_secret {
            format!("{}: {}", safe(name), bytes(value.trim()))
        } else {
            without_arguments(line)
        }
    });
    lines.filter(|line| !line.is_empty()).collect()
}

fn is_secret_name(name: &str) -> bool {
    let name = name.trim().to_ascii_lowercase();
    let has_secret_part = SECRET.iter().any(|part| name.contains(part));
    name.starts_with("proxy-") || (name != "user-agent" && has_secret_part)
}

fn bytes(value: &str) -> String {
    format!("[{} bytes]", value.len())
}

/// Hides what follows a `?` up to the next space, and user information before an `@`.
pub(crate) fn without_arguments(line: &str) -> String {
    let words = line.split(' ').map(|word| {
        let (path, arguments) = match word.split_once('?') {
            Some((path, arguments)) => (path, format!("?{}", bytes(arguments))),
            None => (word, String::new()),
        };
        let path = match (path.split_once("://"), path.rsplit_once('@')) {
            (Some((scheme, _)), Some((user, host))) => {
                let hidden = user.len() - user.len().min(scheme.len() + 3);
                format!("{scheme}://[{hidden} bytes]@{host}")
            }
            _ => path.to_owned(),
        };
        safe(&path) + &arguments
    });
    words.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_people_and_arguments_are_hidden() {
        let head = "RESPMOD icap://joe:pw@av/x?key=1 ICAP/1.0\r\nHost: av\r\nAuthorization: Basic xyz\r\n\
                    proxy-authorization : a\r\nCookie: a=b\r\n continued\r\nSet-Cookie: c\r\nX-Api-Key: k\r\n\
                    X-Auth-Token: t\r\nX-Authenticated-User: joe\r\nX-Authenticated-Groups: board\r\n\
                    User-Agent: icap\r\nReferer: http://x/y?secret z\r\nX-Odd: a\x1b[2J\r\n\r\n";
        let shown = lines(head.as_bytes());
        assert_eq!(
            shown,
            [
                "RESPMOD icap://[6 bytes]@av/x?[5 bytes] ICAP/1.0",
                "Host: av",
                "Authorization: [9 bytes]",
                "proxy-authorization : [1 bytes]",
                "Cookie: [3 bytes]",
                "[10 bytes]",
                "Set-Cookie: [1 bytes]",
                "X-Api-Key: [1 bytes]",
                "X-Auth-Token: [1 bytes]",
                "X-Authenticated-User: [3 bytes]",
                "X-Authenticated-Groups: [5 bytes]",
                "User-Agent: icap",
                "Referer: http://x/y?[6 bytes] z",
                "X-Odd: a\\u{1b}[2J",
            ]
        );
    }
}
