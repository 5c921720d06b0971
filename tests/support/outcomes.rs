//! Scans with every outcome.

use icap_client::testing::{CLEAN, Script, Server, infected};
use icap_client::{Content, Scanner};

/// Contents, and the outcome that [`server`] gives the scan of each.
pub(crate) const CONTENTS: [(&str, &str); 6] = [
    ("a", "clean"),
    ("bb", "infected"),
    ("ccc", "blocked"),
    ("dddd", "modified"),
    ("eeeee", "not_scanned"),
    ("ffffff", "error"),
];

/// A server that calls `at` with the length of the content, and then responds as [`CONTENTS`] says.
pub(crate) fn server(at: impl Fn(usize) + Send + Sync + 'static) -> Server {
    let http = "HTTP/1.1 200 OK\r\n\r\n";
    let len = http.len();
    let modified = format!(
        "ICAP/1.0 200 OK\r\nEncapsulated: res-hdr=0, res-body={len}\r\n\r\n{http}5\r\nother\r\n0\r\n\r\n"
    );
    let server = Server::answering(move |received| {
        let len = received.body().len();
        at(len);
        match len {
            1 => Script::new().send(CLEAN),
            2 => Script::new().send(infected("Eicar")),
            3 => Script::new().send("ICAP/1.0 403 Forbidden\r\n\r\n"),
            4 => Script::new().send(&modified),
            5 => Script::new().send("ICAP/1.0 202 Accepted\r\n\r\n"),
            _ => Script::new().send("ICAP/1.0 499 No\r\n\r\n"),
        }
    });
    server.unwrap()
}

/// Scans each of [`CONTENTS`] once.
pub(crate) fn scan_all(scanner: &Scanner) {
    for (content, outcome) in CONTENTS {
        let result = scanner.scan(Content::from(content).name("invoice.pdf").user("joe"));
        assert_eq!(result.is_err(), outcome == "error", "{outcome}: {result:?}");
    }
}
