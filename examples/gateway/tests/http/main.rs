//! The gateway as programs see it, with the scripted ICAP server of `icap_client::testing`.

mod client;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, mpsc};

use client::{Gateway, Response};
use icap_client::testing::{self, Engine, Script, Server};

/// Content that is too large for a scan of at most 1,000 bytes.
const LARGE: [u8; 2000] = [b'x'; 2000];

/// A gateway that asks about files of more than 1,000 bytes.
fn asking(server: &Server) -> Gateway {
    Gateway::start(&server.uri(), &["--max-scan", "1000"])
}

const FAILING: u8 = 0;
const INFECTED: u8 = 1;
const CLEAN: u8 = 2;
const MODIFIED: u8 = 3;
const TRUNCATED: u8 = 4;

/// A server that fails, until a test changes its mode.
fn server_with_modes() -> (Server, Arc<AtomicU8>) {
    let mode = Arc::new(AtomicU8::new(FAILING));
    let now = Arc::clone(&mode);
    let server = Server::answering(move |request| {
        let response = match (request.method(), now.load(Ordering::SeqCst)) {
            ("OPTIONS", _) => testing::OPTIONS_RESPONSE.into(),
            (_, INFECTED) => testing::infected("Worm.A"),
            (_, CLEAN) => testing::CLEAN.into(),
            (_, MODIFIED) => other_content("HELLO"),
            (_, TRUNCATED) => other_content("M"),
            _ => "ICAP/1.0 500 Server error\r\n\r\n".into(),
        };
        Script::new().send(response)
    });
    (server.unwrap(), mode)
}

/// The service returns a content of its own, or the beginning of what it was sent.
fn other_content(content: &str) -> Vec<u8> {
    let chunk = format!("{:x}\r\n{content}\r\n0\r\n\r\n", content.len());
    format!("ICAP/1.0 200 OK\r\nEncapsulated: res-hdr=0, res-body=19\r\n\r\nHTTP/1.1 200 OK\r\n\r\n{chunk}").into()
}

fn hidden_field(page: &Response, name: &str) -> String {
    let text = page.text();
    let (_, rest) = text
        .split_once(&format!("name=\"{name}\" value=\""))
        .expect("a field");
    rest.split('"').next().expect("a value").to_owned()
}

fn form(csrf_token: &str, ticket: &str) -> String {
    format!("csrf_token={csrf_token}&ticket={ticket}")
}

#[test]
fn clean_file_is_delivered_as_an_attachment() {
    let server = Server::start().unwrap();
    let gateway = Gateway::start(&server.uri(), &[]);
    let jane = gateway.log_in("jane");
    let stored = jane.upload("../Übung \"1\".txt", b"hello");
    assert_eq!(stored.status, 201, "{}", stored.text());
    assert_eq!(stored.text(), "The file was checked and stored.");

    let file = jane.get(stored.field("location"));
    assert_eq!((file.status, file.body.as_slice()), (200, &b"hello"[..]));
    assert_eq!(file.field("content-type"), "application/octet-stream");
    assert_eq!(file.field("x-content-type-options"), "nosniff");
    assert_eq!(
        file.field("content-disposition"),
        "attachment; filename=\"_bung _1_.txt\"; filename*=UTF-8''%C3%9Cbung%20_1_.txt"
    );
    assert_eq!(file.field("cache-control"), "private, no-store");
    assert_eq!(gateway.files("drive"), 2, "content and name");
    assert_eq!((gateway.files("spool"), gateway.files("delivered")), (0, 1));
}

#[test]
fn infected_upload_leaves_nothing() {
    let server = Server::start().unwrap();
    let gateway = Gateway::start(&server.uri(), &[]);
    let refused = gateway
        .log_in("jane")
        .upload("eicar.com", &testing::eicar());
    assert_eq!(refused.status, 422);
    assert_eq!(
        refused.text(),
        "The file was not stored. The file \"eicar.com\" contains malware (Eicar-Test-Signature)."
    );
    assert_eq!((gateway.files("drive"), gateway.files("spool")), (0, 0));
}

#[test]
fn ranges_come_only_from_what_was_scanned_whole() {
    let server = Server::start().unwrap();
    let gateway = asking(&server);
    let jane = gateway.log_in("jane");
    let path = jane
        .upload("a.txt", b"0123456789")
        .field("location")
        .to_owned();

    let whole = jane.get(&path);
    assert_eq!(whole.field("accept-ranges"), "bytes");
    let scans = server.requests();
    let part = jane.get_with(&path, "Range: bytes=2-4\r\n");
    assert_eq!((part.status, part.body.as_slice()), (206, &b"234"[..]));
    assert_eq!(part.field("content-range"), "bytes 2-4/10");
    assert_eq!(part.field("x-content-type-options"), "nosniff");
    let none = jane.get_with(&path, "Range: bytes=10-\r\n");
    assert_eq!(
        (none.status, none.field("content-range")),
        (416, "bytes */10")
    );
    assert_eq!(server.requests(), scans, "one scan for all ranges");

    // The version that the client has is this one, or another.
    let tag = whole.field("etag");
    let same = jane.get_with(&path, &format!("Range: bytes=-1\r\nIf-Range: {tag}\r\n"));
    assert_eq!((same.status, same.body.as_slice()), (206, &b"9"[..]));
    let other = jane.get_with(&path, "Range: bytes=-1\r\nIf-Range: \"other\"\r\n");
    assert_eq!((other.status, other.body.len()), (200, 10));
}

#[test]
fn first_request_for_a_range_scans_the_whole_file() {
    let server = Server::start().unwrap();
    let gateway = Gateway::start(&server.uri(), &["--no-scan"]);
    let path = gateway
        .log_in("jane")
        .upload("eicar.com", &testing::eicar());
    let path = path.field("location").to_owned();

    let gateway = gateway.restart(&server.uri(), &[]);
    let refused = gateway
        .log_in("jane")
        .get_with(&path, "Range: bytes=0-9\r\n");
    assert_eq!(refused.status, 403);
    assert!(
        refused.text().contains("contains malware"),
        "{}",
        refused.text()
    );
}

#[test]
fn unchecked_file_is_delivered_after_the_question_only() {
    let server = Server::start().unwrap();
    let gateway = asking(&server);
    let jane = gateway.log_in("jane");
    let stored = jane.upload("film.mp4", &LARGE);
    assert_eq!(stored.status, 201);
    assert!(
        stored.text().contains("larger than 1000 bytes"),
        "{}",
        stored.text()
    );
    let path = stored.field("location");

    let question = jane.get_with(path, "Range: bytes=0-9\r\n");
    assert_eq!(question.status, 409);
    assert!(question.text().contains("Download it anyway"));
    assert_eq!(gateway.files("spool"), 1, "it waits under a temporary name");
    let ticket = hidden_field(&question, "ticket");
    let csrf_token = hidden_field(&question, "csrf_token");

    let file = jane.post_with(path, &form(&csrf_token, &ticket), "Range: bytes=0-9\r\n");
    assert_eq!((file.status, file.body.as_slice()), (200, &LARGE[..]));
    assert_eq!(file.field("accept-ranges"), "none");
    assert!(file.field("content-disposition").starts_with("attachment;"));
    assert_eq!((gateway.files("spool"), gateway.files("delivered")), (0, 1));
    // It is no more checked than before.
    assert!(jane.get(path).text().contains("Download it anyway"));
}

#[test]
fn file_is_fetched_once_for_question_and_override() {
    let server = Server::start().unwrap();
    let gateway = asking(&server);
    let jane = gateway.log_in("jane");
    let path = jane.upload("film.mp4", &LARGE).field("location").to_owned();
    let question = jane.get(&path);
    gateway.empty_the_drive();
    let form = form(
        &hidden_field(&question, "csrf_token"),
        &hidden_field(&question, "ticket"),
    );
    assert_eq!(jane.post(&path, &form).body, LARGE);
}

#[test]
fn copy_that_is_not_complete_is_not_delivered() {
    let server = Server::start().unwrap();
    let gateway = Gateway::start(&server.uri(), &[]);
    let path = gateway.log_in("jane").upload("film.mp4", &LARGE);
    let path = path.field("location").to_owned();
    let gateway = gateway.restart(&server.uri(), &["--max-upload", "1500"]);
    assert_eq!(gateway.log_in("jane").get(&path).status, 413);
    assert_eq!((gateway.files("spool"), gateway.files("delivered")), (0, 0));
}

#[test]
fn file_that_the_service_skips_leads_to_the_question() {
    let server = Server::with_engine(Engine::Echo).unwrap();
    let gateway = Gateway::start(&server.uri(), &[]);
    let jane = gateway.log_in("jane");
    let path = jane.upload("a.pdf", b"hello").field("location").to_owned();
    let question = jane.get(&path);
    assert!(
        question.text().contains("data-code=\"echoed\""),
        "{}",
        question.text()
    );
    assert_eq!(question.field("cache-control"), "private, no-store");
}

#[test]
fn blind_server_leads_to_the_question_with_a_canary() {
    let server = Server::with_engine(Engine::Blind).unwrap();
    let gateway = Gateway::start(&server.uri(), &["--canary-seconds", "300"]);
    let jane = gateway.log_in("jane");
    let stored = jane.upload("eicar.com", &testing::eicar());
    assert_eq!(stored.status, 201);
    let question = jane.get(stored.field("location"));
    assert!(
        question.text().contains("data-code=\"no_engine\""),
        "{}",
        question.text()
    );
    let status = gateway.operator_gets("/").text();
    assert!(status.contains("<td>blind: it missed"), "{status}");
}

#[test]
fn override_needs_the_csrf_token_of_the_session() {
    let server = Server::start().unwrap();
    let gateway = asking(&server);
    let (jane, joe) = (gateway.log_in("jane"), gateway.log_in("joe"));
    let path = jane.upload("film.mp4", &LARGE).field("location").to_owned();
    let question = jane.get(&path);
    let ticket = hidden_field(&question, "ticket");
    let of_joe = hidden_field(&joe.get(&path), "csrf_token");

    for token in ["", "x", &of_joe, &"0".repeat(32)] {
        let refused = jane.post(&path, &form(token, &ticket));
        assert_eq!(refused.status, 403, "{token}");
        assert!(
            refused.text().contains("does not come from a page"),
            "{token}"
        );
    }
    let refused = jane.post(&path, &format!("ticket={ticket}"));
    assert_eq!(refused.status, 403);
    assert_eq!(gateway.files("delivered"), 0);
}

#[test]
fn ticket_of_another_file_user_or_time_is_refused() {
    let server = Server::start().unwrap();
    let gateway = asking(&server);
    let (jane, joe) = (gateway.log_in("jane"), gateway.log_in("joe"));
    let path = jane.upload("film.mp4", &LARGE).field("location").to_owned();
    let other = jane
        .upload("film.mp4", &[b'y'; 2000])
        .field("location")
        .to_owned();
    let ticket = hidden_field(&jane.get(&path), "ticket");
    let csrf_token = hidden_field(&jane.get(&path), "csrf_token");
    let of_joe = hidden_field(&joe.get(&path), "csrf_token");
    let other_digit = if ticket.ends_with('0') { '1' } else { '0' };
    let edited = format!("{}{other_digit}", &ticket[..ticket.len() - 1]);

    for (session, path, token, ticket) in [
        (&jane, &other, &csrf_token, &ticket),
        (&joe, &path, &of_joe, &ticket),
        (&jane, &path, &csrf_token, &edited),
        (&jane, &path, &csrf_token, &String::new()),
    ] {
        let refused = session.post(path, &form(token, ticket));
        assert_eq!(refused.status, 403);
        assert!(
            refused.text().contains("not valid for this file"),
            "{}",
            refused.text()
        );
    }
    let gateway = gateway.restart(
        &server.uri(),
        &["--max-scan", "1000", "--ticket-seconds", "0"],
    );
    let jane = gateway.log_in("jane");
    let question = jane.get(&path);
    let form = form(
        &hidden_field(&question, "csrf_token"),
        &hidden_field(&question, "ticket"),
    );
    assert!(jane.post(&path, &form).text().contains("has expired"));
    assert_eq!(gateway.files("delivered"), 0);
}

#[test]
fn ticket_loses_to_a_newer_infected_verdict() {
    let (server, mode) = server_with_modes();
    let gateway = Gateway::start(&server.uri(), &[]);
    let jane = gateway.log_in("jane");
    let path = jane.upload("a.exe", b"MZ").field("location").to_owned();
    let question = jane.get(&path);
    assert!(
        question.text().contains("data-code=\"status_error\""),
        "{}",
        question.text()
    );
    let (token, ticket) = (
        hidden_field(&question, "csrf_token"),
        hidden_field(&question, "ticket"),
    );

    mode.store(INFECTED, Ordering::SeqCst);
    let refused = jane.post(&path, &form(&token, &ticket));
    assert_eq!(refused.status, 403);
    assert!(
        refused.text().contains("contains malware (Worm.A)"),
        "{}",
        refused.text()
    );
    assert_eq!((gateway.files("spool"), gateway.files("delivered")), (0, 0));
    assert_eq!(jane.get(&path).status, 403);
}

#[test]
fn infected_file_stays_refused_while_the_server_is_down() {
    let (server, mode) = server_with_modes();
    let gateway = Gateway::start(&server.uri(), &[]);
    let jane = gateway.log_in("jane");
    let path = jane.upload("a.exe", b"MZ").field("location").to_owned();
    let question = jane.get(&path);
    let form = form(
        &hidden_field(&question, "csrf_token"),
        &hidden_field(&question, "ticket"),
    );

    mode.store(INFECTED, Ordering::SeqCst);
    assert_eq!(jane.get(&path).status, 403);
    mode.store(FAILING, Ordering::SeqCst);
    for refused in [jane.get(&path), jane.post(&path, &form)] {
        assert_eq!(refused.status, 403);
        assert!(refused.text().contains("Worm.A"), "{}", refused.text());
    }
    assert_eq!((gateway.files("spool"), gateway.files("delivered")), (0, 0));

    // It was a false alarm, and the scanner knows that now.
    mode.store(CLEAN, Ordering::SeqCst);
    assert_eq!(jane.get(&path).body, b"MZ");
}

#[test]
fn server_that_is_down_leads_to_the_question() {
    // The port of a connection's other end: nothing listens there, and the system gives it to no server.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let icap = format!("icap://{}/avscan", client.local_addr().unwrap());
    let gateway = Gateway::start(&icap, &[]);
    let jane = gateway.log_in("jane");
    let stored = jane.upload("a.txt", b"hello");
    assert_eq!(stored.status, 201);
    let question = jane.get(stored.field("location"));
    assert!(
        question.text().contains("data-code=\"connect_error\""),
        "{}",
        question.text()
    );
    assert!(!question.text().contains("127.0.0.1"), "it names no server");
}

#[test]
fn request_without_a_session_gets_nothing() {
    let server = Server::start().unwrap();
    let gateway = Gateway::start(&server.uri(), &[]);
    let path = gateway.log_in("jane").upload("a.txt", b"hello");
    let path = path.field("location").to_owned();
    let nobody = gateway.nobody();
    assert_eq!(nobody.get(&path).status, 401);
    assert_eq!(nobody.post(&path, "").status, 401);
    assert_eq!(nobody.upload("b.txt", b"hello").status, 401);
    assert_eq!(gateway.files("drive"), 2);
    let guessed = gateway.with_cookie(&"0".repeat(32));
    assert_eq!(guessed.get(&path).status, 401);
}

#[test]
fn upload_needs_the_csrf_token() {
    let server = Server::start().unwrap();
    let gateway = Gateway::start(&server.uri(), &[]);
    let mut jane = gateway.log_in("jane");
    jane.csrf_token = "0".repeat(32);
    assert_eq!(jane.upload("a.txt", b"hello").status, 403);
    assert_eq!((gateway.files("drive"), gateway.files("spool")), (0, 0));
}

#[test]
fn path_in_a_request_leads_nowhere() {
    let server = Server::start().unwrap();
    let gateway = Gateway::start(&server.uri(), &[]);
    let jane = gateway.log_in("jane");
    for path in [
        "/files/../../../../etc/passwd",
        "/files/..%2f..%2fetc%2fpasswd",
        "/files/%2e%2e",
        "/files/",
        "/files/0123456789abcdef0123456789abcdef.name",
        "/files/0123456789ABCDEF0123456789ABCDEF",
        "/files/0123456789abcdef0123456789abcdef",
        "//etc/passwd",
        "/drive/x",
    ] {
        assert_eq!(jane.get(path).status, 404, "{path}");
    }
}

#[test]
fn name_in_a_page_is_escaped() {
    let server = Server::start().unwrap();
    let gateway = asking(&server);
    let jane = gateway.log_in("<b>jane</b>");
    let stored = jane.upload("a&b' onload='x.txt", &LARGE);
    let list = jane.get("/");
    assert!(
        list.text().contains("&lt;b&gt;jane&lt;/b&gt;"),
        "{}",
        list.text()
    );
    assert!(!list.text().contains("<b>jane"));
    assert!(
        list.text().contains(">a&amp;b' onload='x.txt<"),
        "{}",
        list.text()
    );
    let question = jane.get(stored.field("location"));
    assert!(
        question.text().contains("a&amp;b' onload='x.txt"),
        "{}",
        question.text()
    );
    assert!(
        list.field("content-security-policy")
            .starts_with("default-src 'none';")
    );
}

#[test]
fn line_end_in_a_name_adds_no_header() {
    let server = Server::start().unwrap();
    let gateway = Gateway::start(&server.uri(), &[]);
    let jane = gateway.log_in("jane");
    let stored = jane.upload("a\r\nSet-Cookie: x=y\r\n\r\n<html>", b"hello");
    let file = jane.get(stored.field("location"));
    assert_eq!(file.field("set-cookie"), "");
    assert_eq!(file.body, b"hello");
    assert!(
        file.field("content-disposition")
            .contains("Set-Cookie_ x=y")
    );
}

#[test]
fn upload_over_the_limit_is_refused() {
    let server = Server::start().unwrap();
    let gateway = Gateway::start(&server.uri(), &["--max-upload", "1000"]);
    let jane = gateway.log_in("jane");
    assert_eq!(jane.upload("a.bin", &[0; 1000]).status, 201);
    assert_eq!(jane.upload("a.bin", &[0; 1001]).status, 413);
    // A length that was not announced.
    assert_eq!(
        jane.upload_in_chunks("a.bin", &[&[0; 600], &[0; 600]])
            .status,
        413
    );
    // More than is read and ignored: the connection is closed.
    assert_eq!(jane.upload("a.bin", &vec![0; 20 << 20]).status, 413);
    assert_eq!((gateway.files("drive"), gateway.files("spool")), (2, 0));
}

#[test]
fn drive_has_a_limit_of_files() {
    let server = Server::start().unwrap();
    let gateway = Gateway::start(&server.uri(), &["--max-files", "1"]);
    let jane = gateway.log_in("jane");
    assert_eq!(jane.upload("a.txt", b"a").status, 201);
    assert_eq!(jane.upload("b.txt", b"b").status, 507);
    assert_eq!((gateway.files("drive"), gateway.files("spool")), (2, 0));
}

#[test]
fn huge_head_is_refused() {
    let server = Server::start().unwrap();
    let gateway = Gateway::start(&server.uri(), &[]);
    let huge = format!(
        "GET / HTTP/1.1\r\nHost: localhost\r\nX: {}\r\n\r\n",
        "x".repeat(100_000)
    );
    assert_eq!(gateway.raw(huge.as_bytes()).status, 400);
    let many = format!(
        "GET / HTTP/1.1\r\nHost: localhost\r\n{}\r\n",
        "X: y\r\n".repeat(10_000)
    );
    assert_eq!(gateway.raw(many.as_bytes()).status, 400);
    let long = format!(
        "GET /{} HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "x".repeat(100_000)
    );
    assert_eq!(gateway.raw(long.as_bytes()).status, 400);
    let jane = gateway.log_in("jane");
    assert_eq!(
        jane.post("/login", &format!("user={}", "x".repeat(5000)))
            .status,
        413
    );
}

#[test]
fn broken_upload_is_not_stored() {
    let server = Server::start().unwrap();
    let gateway = Gateway::start(&server.uri(), &[]);
    let jane = gateway.log_in("jane");
    let mut stream = gateway.connect();
    let head = jane.upload_head("a.txt", "Content-Length: 100\r\n");
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(b"half of it").unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(Response::read(stream).status, 400);
    assert_eq!((gateway.files("drive"), gateway.files("spool")), (0, 0));
    assert_eq!(server.connections(), 0, "nothing was scanned");
}

#[test]
fn slow_client_holds_one_thread_only() {
    let server = Server::start().unwrap();
    let gateway = Gateway::start(&server.uri(), &["--threads", "3"]);
    let jane = gateway.log_in("jane");
    let head = jane.upload_head("slow.txt", "Content-Length: 10\r\nExpect: 100-continue\r\n");
    let mut slow: Vec<_> = (0..2).map(|_| gateway.connect()).collect();
    for stream in &mut slow {
        stream.write_all(head.as_bytes()).unwrap();
        client::read_continue(stream);
        stream.write_all(b"01234").unwrap();
    }
    assert_eq!(server.connections(), 0, "no scan has begun");
    // The third thread serves all others.
    for n in 0..5 {
        assert_eq!(
            jane.upload("fast.txt", format!("{n}").as_bytes()).status,
            201
        );
    }
    for mut stream in slow {
        stream.write_all(b"56789").unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        assert_eq!(Response::read(stream).status, 201);
    }
}

#[test]
fn connections_beyond_the_threads_wait() {
    let server = Server::start().unwrap();
    let gateway = Gateway::start(&server.uri(), &["--threads", "1"]);
    let jane = gateway.log_in("jane");
    let first = gateway.connect();
    let waiting = std::thread::scope(|scope| {
        let waiting = scope.spawn(|| jane.get("/"));
        drop(first);
        waiting.join().unwrap()
    });
    assert_eq!(waiting.status, 200);
}

#[test]
fn switched_off_scanner_is_shown_and_gives_no_ranges() {
    let server = Server::start().unwrap();
    let gateway = Gateway::start(&server.uri(), &["--no-scan"]);
    let jane = gateway.log_in("jane");
    let stored = jane.upload("a.txt", b"0123456789");
    assert_eq!(stored.text(), "The file was stored. It was not checked.");
    let file = jane.get_with(stored.field("location"), "Range: bytes=2-4\r\n");
    assert_eq!(
        (file.status, file.body.as_slice()),
        (200, &b"0123456789"[..])
    );
    assert_eq!(file.field("accept-ranges"), "none");
    for page in [jane.get("/"), gateway.operator_gets("/")] {
        assert!(page.text().contains("scanner is switched off"));
    }
    assert_eq!(gateway.operator_gets("/metrics").status, 503);
    assert_eq!(server.connections(), 0);
}

#[test]
fn status_page_has_the_numbers() {
    let server = Server::start().unwrap();
    let gateway = Gateway::start(&server.uri(), &[]);
    let jane = gateway.log_in("jane");
    jane.upload("a.txt", b"hello");
    jane.upload("eicar.com", &testing::eicar());
    let status = gateway.operator_gets("/").text();
    for row in [
        "<th>scans</th><td>2</td>",
        "<th>clean</th><td>1</td>",
        "<th>infected</th><td>1</td>",
        "<th>scans in flight</th><td>0</td>",
        "<th>state</th><td>in use</td>",
        "<th>reports</th><td>2</td>",
        "<th>EICAR last found</th><td>never</td>",
    ] {
        assert!(status.contains(row), "{row} in {status}");
    }
}

#[test]
fn metrics_are_for_the_operator_alone() {
    let server = Server::start().unwrap();
    let gateway = Gateway::start(&server.uri(), &[]);
    let jane = gateway.log_in("jane");
    jane.upload("secret.txt", b"hello");
    let metrics = gateway.operator_gets("/metrics");
    assert!(
        metrics
            .field("content-type")
            .starts_with("application/openmetrics-text;")
    );
    assert!(
        metrics.text().contains("\nicap_scans_total 1\n"),
        "{}",
        metrics.text()
    );
    assert!(metrics.text().ends_with("# EOF\n"));
    assert!(!metrics.text().contains("secret"));
    assert_eq!(jane.get("/metrics").status, 404);
    assert_eq!(gateway.operator_gets("/files").status, 404);
}

#[test]
fn other_methods_are_refused() {
    let server = Server::start().unwrap();
    let gateway = Gateway::start(&server.uri(), &[]);
    for (method, path) in [
        ("POST", "/"),
        ("DELETE", "/files"),
        ("PUT", "/login"),
        ("HEAD", "/"),
    ] {
        let request =
            format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        assert_eq!(
            gateway.raw(request.as_bytes()).status,
            405,
            "{method} {path}"
        );
    }
}

/// A finding that is no threat, then an outage, stays a refusal.
#[test]
fn refused_content_stays_refused_in_an_outage() {
    for finding in [MODIFIED, TRUNCATED] {
        let (server, mode) = server_with_modes();
        let gateway = Gateway::start(&server.uri(), &[]);
        let jane = gateway.log_in("jane");
        let path = jane.upload("a.exe", b"MZ").field("location").to_owned();
        let question = jane.get(&path);
        let form = form(
            &hidden_field(&question, "csrf_token"),
            &hidden_field(&question, "ticket"),
        );
        mode.store(finding, Ordering::SeqCst);
        assert_eq!(jane.get(&path).status, 403);
        mode.store(FAILING, Ordering::SeqCst);
        assert_eq!(jane.get(&path).status, 403);
        assert_eq!(jane.post(&path, &form).status, 403);
    }
}

#[test]
fn finding_holds_for_the_same_bytes_everywhere() {
    let (server, mode) = server_with_modes();
    let gateway = Gateway::start(&server.uri(), &[]);
    let jane = gateway.log_in("jane");
    mode.store(CLEAN, Ordering::SeqCst);
    let clean = jane.upload("a.exe", b"MZ").field("location").to_owned();
    assert_eq!(jane.get(&clean).status, 200);
    mode.store(FAILING, Ordering::SeqCst);
    let asked = jane.upload("b.exe", b"MZ").field("location").to_owned();
    let question = jane.get(&asked);
    let form = form(
        &hidden_field(&question, "csrf_token"),
        &hidden_field(&question, "ticket"),
    );

    mode.store(INFECTED, Ordering::SeqCst);
    assert_eq!(jane.upload("c.exe", b"MZ").status, 422);
    mode.store(FAILING, Ordering::SeqCst);
    assert_eq!(jane.post(&asked, &form).status, 403);
    assert_eq!(jane.get(&clean).status, 403);
    assert_eq!(jane.upload("d.exe", b"MZ").status, 422);
}

#[test]
fn older_scan_does_not_outweigh_a_finding() {
    let scans = Arc::new(AtomicU8::new(0));
    let (begun, go_on) = (mpsc::channel(), mpsc::channel::<()>());
    let (begin, gate) = (begun.0, Mutex::new(go_on.1));
    let server = Server::answering(move |request| {
        if request.method() == "OPTIONS" {
            return Script::new().send(testing::OPTIONS_RESPONSE);
        }
        match scans.fetch_add(1, Ordering::SeqCst) {
            0 => Script::new().send(testing::CLEAN),
            1 => {
                begin.send(()).unwrap();
                gate.lock().unwrap().recv().unwrap();
                Script::new().send(testing::CLEAN)
            }
            2 => Script::new().send(testing::infected("Worm.A")),
            _ => Script::new().send("ICAP/1.0 500 Server error\r\n\r\n"),
        }
    });
    let server = server.unwrap();
    let gateway = Gateway::start(&server.uri(), &[]);
    let jane = gateway.log_in("jane");
    let path = jane.upload("a.exe", b"MZ").field("location").to_owned();
    std::thread::scope(|scope| {
        let older = scope.spawn(|| jane.get(&path).status);
        begun.1.recv().unwrap();
        assert_eq!(jane.upload("b.exe", b"MZ").status, 422);
        go_on.0.send(()).unwrap();
        assert_eq!(older.join().unwrap(), 403);
    });
    assert_eq!(jane.get(&path).status, 403, "no clean copy was kept");
}

#[test]
fn request_for_a_name_of_another_site_is_refused() {
    let server = Server::start().unwrap();
    let gateway = Gateway::start(&server.uri(), &["--host", "files.example"]);
    for (host, status) in [
        ("localhost", 200),
        ("LOCALHOST:80", 200),
        ("127.0.0.1:8080", 200),
        ("[::1]:8080", 200),
        ("files.example", 200),
        ("evil.example", 421),
        ("localhost.evil.example", 421),
        ("127.0.0.1.evil.example", 421),
    ] {
        let request = format!("GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        assert_eq!(gateway.raw(request.as_bytes()).status, status, "{host}");
        let of_operator = gateway.operator_raw(request.as_bytes()).status;
        assert_eq!(of_operator, status, "{host}");
    }
}

#[test]
fn form_that_another_site_sends_is_refused() {
    let server = Server::start().unwrap();
    let gateway = Gateway::start(&server.uri(), &[]);
    for (site, status) in [
        ("same-origin", 303),
        ("none", 303),
        ("same-site", 403),
        ("cross-site", 403),
    ] {
        let field = format!("Sec-Fetch-Site: {site}\r\n");
        let nobody = gateway.nobody();
        let response = nobody.post_with("/login", "user=mallory", &field);
        assert_eq!(response.status, status, "{site}");
        assert_eq!(response.field("set-cookie").is_empty(), status == 403);
        // A link from another site may lead here.
        assert_eq!(nobody.get_with("/", &field).status, 200);
    }
}

/// The web server of the example panics in the thread of such a connection.
#[test]
fn gateway_serves_after_a_request_without_a_path() {
    let server = Server::start().unwrap();
    let gateway = Gateway::start(&server.uri(), &["--threads", "1"]);
    for line in ["GET a HTTP/1.1", "CONNECT a:1 HTTP/1.1"] {
        let mut stream = gateway.connect();
        let request = format!("{line}\r\nHost: localhost\r\n\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        let mut response = Vec::new();
        let _ = stream.read_to_end(&mut response);
        assert!(!response.starts_with(b"HTTP/1.1 2"));
    }
    assert_eq!(gateway.nobody().get("/login").status, 200);
}
