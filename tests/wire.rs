//! Each form of request, byte for byte; see `tests/data/wire`.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::Duration;

use icap_client::testing::{
    CLEAN, CONTINUE, OPTIONS_RESPONSE, Script, Server, options_with_preview,
};
use icap_client::{
    Body, Client, Connect, Content, Method, Preview, Request, Scanner, ScannerBuilder, ServiceUri,
    Stream,
};

/// Connects to the server of the test, whatever host the URI names.
struct To(SocketAddr);

impl Connect for To {
    fn connect(&self, _: &ServiceUri, timeout: Duration) -> io::Result<Box<dyn Stream>> {
        Ok(Box::new(TcpStream::connect_timeout(&self.0, timeout)?))
    }
}

/// A server that offers previews, also to clients that send no OPTIONS.
fn healthy() -> Server {
    let server = Server::answering(|request| match request.preview() {
        _ if request.method() == "OPTIONS" => Script::new().send(OPTIONS_RESPONSE),
        Some(_) if !request.is_whole() => Script::new().send(CONTINUE).read_rest().send(CLEAN),
        _ => Script::new().send(CLEAN),
    });
    let server = server.unwrap();
    server.offering(options_with_preview(4096)).unwrap()
}

/// Compares the bytes that the server receives during `send`, on its only connection, with a file.
fn golden(name: &str, server: Server, send: impl FnOnce(To)) {
    send(To(server.address()));
    let mut conversations = server.finish();
    assert_eq!(conversations.len(), 1, "{name}");
    let sent = String::from_utf8(conversations.remove(0).received().to_vec()).unwrap();
    let own = concat!("icap-client/", env!("CARGO_PKG_VERSION"));
    let sent = sent.replace(own, "icap-client/VERSION");

    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/data/wire/{name}.txt"));
    if std::env::var_os("ICAP_WRITE_GOLDEN").is_some() {
        std::fs::write(&path, &sent).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(sent, expected, "{name}");
}

fn scan_at(
    uri: &str,
    to: To,
    set: impl FnOnce(ScannerBuilder) -> ScannerBuilder,
    content: Content<'_>,
) {
    let builder = Scanner::builder(uri).connector(to).negotiate(false);
    let scanner = set(builder).build().unwrap();
    assert!(scanner.scan(content).unwrap().verdict().is_clean());
}

/// Scans without OPTIONS, so that there is only one request.
fn scans(name: &str, set: impl FnOnce(ScannerBuilder) -> ScannerBuilder, content: Content<'_>) {
    golden(name, healthy(), |to| {
        scan_at("icap://av.example/scan", to, set, content);
    });
}

fn plain(builder: ScannerBuilder) -> ScannerBuilder {
    builder
}

#[test]
fn respmod_requests_match_their_files() {
    scans("respmod", plain, Content::bytes(b"hello"));
    scans("respmod_empty", plain, Content::bytes(b""));
    scans(
        "respmod_unknown_length",
        plain,
        Content::reader(&b"hello"[..]),
    );
    let described = Content::bytes(b"hello")
        .name("a.txt")
        .content_type("text/plain");
    scans("respmod_described", plain, described);
    scans(
        "respmod_user_agent",
        |b| b.header("User-Agent", "Mozilla/5.0"),
        Content::bytes(b"hello"),
    );
}

#[test]
fn options_match_their_file() {
    golden("options_then_respmod", healthy(), |to| {
        let builder = Scanner::builder("icap://av.example/scan").connector(to);
        let scanner = builder.build().unwrap();
        let _ = scanner.scan(Content::bytes(b"hello")).unwrap();
    });
}

#[test]
fn reqmod_requests_match_their_files() {
    let reqmod = |builder: ScannerBuilder| builder.method(Method::Reqmod);
    scans("reqmod", reqmod, Content::bytes(b"hello").name("a.txt"));
    scans(
        "reqmod_unknown_length",
        reqmod,
        Content::reader(&b"hello"[..]),
    );
    let head = b"PUT /up?token=1 HTTP/1.1\r\nHost: files.example\r\nCookie: c=1\r\n\
        Transfer-Encoding: chunked\r\nX-Own: 1\r\n\r\n";
    scans(
        "reqmod_own_head",
        reqmod,
        Content::bytes(b"hello").http_request(head),
    );
}

#[test]
fn previews_match_their_files() {
    for (name, size) in [
        ("preview_of_nothing", 0),
        ("preview_of_a_part", 4),
        ("preview_of_all", 5),
        ("preview_of_more", 1024),
    ] {
        let preview = |builder: ScannerBuilder| builder.preview(Preview::Limit(size));
        scans(name, preview, Content::bytes(b"hello"));
    }
    let preview = |builder: ScannerBuilder| builder.preview(Preview::Limit(4));
    scans("preview_of_an_empty_file", preview, Content::bytes(b""));
    let reqmod = |builder: ScannerBuilder| preview(builder).method(Method::Reqmod);
    scans("preview_reqmod", reqmod, Content::bytes(b"hello"));
}

#[test]
fn allow_206_matches_its_file() {
    scans("allow_206", |b| b.allow_206(true), Content::bytes(b"hello"));
}

#[test]
fn reqmod_and_user_fields_match_their_files() {
    let request = b"GET http://joe:pw@files.example/a.pdf?session=1 HTTP/1.1\r\n\
        Host: files.example\r\nCookie: c=1\r\nAuthorization: Basic x\r\nConnection: X-Hop\r\n\
        X-Hop: 1\r\nProxy-Authorization: Basic y\r\nAccept: */*\r\n\r\n";
    let response =
        b"HTTP/1.1 203 Changed\r\nSet-Cookie: c=2\r\nContent-Length: 7\r\nETag: \"e\"\r\n\
        Keep-Alive: 5\r\nContent-Type: application/pdf\r\n\r\n";
    let content = || {
        Content::bytes(b"hello")
            .http_request(request)
            .http_response(response)
            .client_ip("192.0.2.7".parse().unwrap())
            .server_ip("2001:db8::7".parse().unwrap())
            .user("joe")
            .groups(["staff", "LDAP://dir.example/cn=all"])
            .header("X-Ticket", "42")
    };
    scans("own_heads", plain, content());
    scans(
        "own_heads_with_sensitive",
        plain,
        content().include_sensitive(true),
    );
}

#[test]
fn own_heads_match_their_files() {
    let request = b"GET /proxy/http:/joe:pw@origin.example/a.pdf;jsessionid=1 HTTP/1.1\r\n\
        Host: files.example\r\nConnection: Host, X-Hop\r\nX-Hop: 1\r\n\
        X-Original-URL: /a.pdf?session=1\r\nX-Forwarded-Uri: /a.pdf\r\n\r\n";
    let response = b"HTTP/1.1 200 OK\r\nConnection: Content-Type, Content-Disposition\r\n\
        Content-Type: application/pdf\r\nContent-Disposition: attachment; filename=a.exe\r\n\
        Location: /a.pdf;jsessionid=1\r\n\r\n";
    let content = Content::bytes(b"hello");
    let content = content.http_request(request).http_response(response);
    scans("own_heads_nominated", plain, content);
}

#[test]
fn hosts_and_ports_match_their_files() {
    for (name, uri) in [
        ("host_ipv6", "icap://[2001:db8::1]/scan"),
        (
            "host_ipv6_zone_and_port",
            "icap://[fe80::1%eth0]:11344/scan",
        ),
        ("host_ipv4", "icap://192.0.2.1/scan"),
        ("port_not_the_default", "icap://av.example:11344/scan"),
        ("port_the_default", "icap://av.example:1344/scan"),
        ("uri_with_arguments", "icap://av.example/scan?mode=strict"),
        ("uri_without_a_path", "icap://av.example"),
    ] {
        golden(name, healthy(), |to| {
            scan_at(uri, to, plain, Content::bytes(b"hello"));
        });
    }
}

#[test]
fn file_names_match_their_files() {
    let long = "x".repeat(4096);
    let longer = "\u{1f600}".repeat(14_000) + ".exe";
    for (name, file) in [
        ("name_with_line_ends", "a.txt\r\nX-Infection: no\r\n\r\n"),
        ("name_with_spaces", " a b .txt"),
        ("name_with_percent", "100%.txt"),
        ("name_with_emoji", "\u{1f600}.txt"),
        ("name_with_path", "../../etc/passwd?a#b"),
        ("name_of_4_kib", &*long),
        ("name_that_is_cut", &*longer),
    ] {
        for method in [Method::Respmod, Method::Reqmod] {
            let golden = format!("{name}_{}", method.as_str().to_lowercase());
            let content = Content::bytes(b"hello").name(file);
            scans(&golden, |builder| builder.method(method), content);
        }
    }
}

#[test]
fn client_requests_match_their_files() {
    // A script also reads requests that no server offers.
    let take = |response| Server::scripted([Script::new().read_request().send(response).hold()]);
    let send = |name: &str, request: Request, body: Body<'_>| {
        let response = match request.method() {
            Method::Options => OPTIONS_RESPONSE,
            _ => CLEAN,
        };
        golden(name, take(response).unwrap(), |to| {
            let client = Client::builder("icap://av.example/scan")
                .connector(to)
                .build();
            client
                .unwrap()
                .send(&request, body, &mut io::sink())
                .unwrap();
        });
    };
    let get = b"GET http://h/ HTTP/1.1\r\nHost: h\r\n\r\n";
    let ok = b"HTTP/1.1 200 OK\r\n\r\n";
    let hello = || Body::from(&b"hello"[..]);
    send("client_options", Request::options(), Body::none());
    send(
        "client_reqmod_without_body",
        Request::reqmod().http_request(get).unwrap(),
        Body::none(),
    );
    send(
        "client_respmod_without_body",
        Request::respmod().http_response(ok).unwrap(),
        Body::none(),
    );
    send("client_respmod_without_heads", Request::respmod(), hello());
    let no_body = Body::none().trailer("X-Sum", "42").unwrap();
    send("client_trailers_of_no_body", Request::respmod(), no_body);
    let with_trailer = hello().trailer("X-Sum", "42").unwrap();
    send(
        "client_trailers",
        Request::respmod().allow_trailers(true),
        with_trailer,
    );
    let with_trailer = hello().trailer("X-Sum", "42").unwrap();
    send(
        "client_trailers_in_a_preview",
        Request::respmod().preview(5),
        with_trailer,
    );
}

#[test]
fn credentials_after_they_were_asked_for() {
    let asks = "ICAP/1.0 407 Who\r\nProxy-Authenticate: Basic realm=\"av\"\r\n\r\n";
    let has = |request: &icap_client::testing::Received| {
        request.headers().get("Proxy-Authorization").is_some()
    };
    let server = Server::answering(move |request| {
        Script::new().send(if has(request) { CLEAN } else { asks })
    })
    .unwrap();
    let builder = Scanner::builder("icap://av.example/scan").negotiate(false);
    let builder = builder
        .connector(To(server.address()))
        .credentials("joe", "hunter2");
    let scanner = builder.build().unwrap();
    assert!(
        scanner
            .scan(Content::bytes(b"hello"))
            .unwrap()
            .verdict()
            .is_clean()
    );
    drop(scanner);
    let sent = String::from_utf8(server.finish()[0].received().to_vec()).unwrap();
    let again = sent.rsplit_once("RESPMOD").unwrap().1;
    assert!(
        again.contains("\r\nProxy-Authorization: Basic am9lOmh1bnRlcjI=\r\n"),
        "{again}"
    );
}
