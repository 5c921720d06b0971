//! A server that is not there, says nothing, or says it slowly: an error in time that names the
//! phase.

use std::error::Error as _;
use std::net::TcpListener;
use std::time::{Duration, Instant};

use icap_client::testing::{CLEAN, Script, Server};
use icap_client::{Content, Error, Phase, Scanner, ScannerBuilder, TimeLimit, TimeoutError};

const SHORT: Duration = Duration::from_millis(150);
const LONG: Duration = Duration::from_secs(60);

fn unasked(server: &Server) -> ScannerBuilder {
    Scanner::builder(&server.uri()).negotiate(false)
}

/// Scans `size` bytes, expects a timeout, and returns it with the time it took.
fn timeout_of(builder: ScannerBuilder, size: u64) -> (Box<TimeoutError>, Duration) {
    let scanner = builder.build().unwrap();
    let began = Instant::now();
    let content = Content::reader(std::io::Read::take(std::io::repeat(7), size));
    match scanner.scan(content).map(|report| report.verdict().clone()) {
        Err(Error::Timeout(error)) => (error, began.elapsed()),
        other => panic!("no timeout but {other:?}"),
    }
}

#[test]
fn a_port_nobody_listens_on_is_named() {
    let port = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let scanner = Scanner::new(&format!("icap://127.0.0.1:{port}/scan")).unwrap();
    let error = scanner.scan(Content::bytes(b"hello")).unwrap_err();
    assert!(matches!(error, Error::Connect(_)), "{error:?}");
    assert!(error.is_unavailable() && error.is_retryable() && !error.is_timeout());
    let source = error.source().unwrap().to_string();
    assert!(source.contains(&format!("127.0.0.1:{port}")), "{source}");
}

#[test]
fn a_server_that_says_nothing_runs_into_the_read_timeout() {
    let server = Server::scripted([Script::new().read_to_end()]).unwrap();
    let (error, took) = timeout_of(unasked(&server).read_timeout(SHORT), 5);
    assert_eq!(
        (error.phase(), error.limit()),
        (Phase::Read, TimeLimit::ReadTimeout)
    );
    assert_eq!(error.after(), SHORT);
    assert!(took >= SHORT && took < LONG, "{took:?}");
    let said = error.to_string();
    assert!(
        said.contains("waiting for the answer of icap://127.0.0.1:"),
        "{said}"
    );
    assert!(said.contains("read timeout of 150 ms"), "{said}");
}

#[test]
fn the_read_timeout_is_ten_seconds_unless_told_otherwise() {
    let server = Server::scripted([Script::new().read_to_end()]).unwrap();
    let (error, took) = timeout_of(unasked(&server), 5);
    assert_eq!(
        (error.limit(), error.after()),
        (TimeLimit::ReadTimeout, Duration::from_millis(10_000))
    );
    assert!(
        took >= Duration::from_secs(10) && took < Duration::from_secs(20),
        "{took:?}"
    );
}

#[test]
fn a_server_that_reads_nothing_runs_into_the_write_timeout() {
    let server = Server::scripted([Script::new().hold()]).unwrap();
    let (error, took) = timeout_of(
        unasked(&server).write_timeout(SHORT).max_size(None),
        1 << 40,
    );
    assert_eq!(
        (error.phase(), error.limit()),
        (Phase::Write, TimeLimit::WriteTimeout)
    );
    assert!(took >= SHORT && took < LONG, "{took:?}");
}

#[test]
fn a_server_that_sends_a_byte_now_and_then_ends_at_the_deadline() {
    let pause = Duration::from_millis(20);
    let endless = format!("ICAP/1.0 204 No Content\r\nX: {}", "y".repeat(10_000));
    let server = Server::scripted([Script::new().read_request().dribble(endless, pause)]).unwrap();
    // Each byte comes well within the read timeout, so that alone would wait for all of them.
    let deadline = Duration::from_millis(300);
    let (error, took) = timeout_of(unasked(&server).deadline(deadline), 5);
    assert_eq!(
        (error.phase(), error.limit()),
        (Phase::Read, TimeLimit::Deadline)
    );
    assert_eq!(error.after(), deadline);
    assert!(took >= deadline && took < LONG, "{took:?}");
}

#[test]
fn a_server_that_takes_the_request_slowly_ends_at_the_deadline() {
    let slowly = |script: Script, _| script.read_bytes(1000).wait(Duration::from_millis(20));
    let script = (0..10_000).fold(Script::new(), slowly);
    let server = Server::scripted([script]).unwrap();
    let deadline = Duration::from_millis(300);
    let builder = unasked(&server).deadline(deadline).max_size(None);
    let (error, took) = timeout_of(builder, 1 << 40);
    assert_eq!(error.limit(), TimeLimit::Deadline);
    assert!(took >= deadline && took < LONG, "{took:?}");
}

#[test]
fn a_slow_reader_does_not_outlast_the_deadline_by_more_than_its_own_reads() {
    struct Trickles;
    impl std::io::Read for Trickles {
        fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
            std::thread::sleep(Duration::from_millis(20));
            buf[0] = 7;
            Ok(1)
        }
    }
    let server = Server::scripted([Script::new().read_to_end()]).unwrap();
    let deadline = Duration::from_millis(200);
    let scanner = unasked(&server).deadline(deadline).build().unwrap();
    let began = Instant::now();
    let error = scanner.scan(Content::reader(Trickles)).unwrap_err();
    assert!(
        matches!(&error, Error::Timeout(e) if e.limit() == TimeLimit::Deadline),
        "{error:?}"
    );
    assert!(
        began.elapsed() < Duration::from_secs(10),
        "{:?}",
        began.elapsed()
    );
}

#[test]
fn options_and_scan_share_one_deadline() {
    let server = Server::scripted([Script::new().read_to_end()]).unwrap();
    let builder = Scanner::builder(&server.uri()).deadline(SHORT);
    let (error, took) = timeout_of(builder, 5);
    assert_eq!(error.limit(), TimeLimit::Deadline);
    assert!(took < LONG, "{took:?}");
}

#[test]
fn an_answer_that_comes_slowly_but_in_time_is_an_answer() {
    let script = Script::new()
        .read_request()
        .dribble(CLEAN, Duration::from_millis(2));
    let server = Server::scripted([script]).unwrap();
    let scanner = unasked(&server).build().unwrap();
    assert!(
        scanner
            .scan(Content::bytes(b"hello"))
            .unwrap()
            .verdict()
            .is_clean()
    );
}

#[test]
fn a_timeout_of_zero_is_refused() {
    let zero = Duration::ZERO;
    for builder in [
        Scanner::builder("icap://av/s").connect_timeout(zero),
        Scanner::builder("icap://av/s").read_timeout(zero),
        Scanner::builder("icap://av/s").write_timeout(zero),
        Scanner::builder("icap://av/s").deadline(zero),
    ] {
        assert!(matches!(builder.build(), Err(Error::Input(_))));
    }
    let forever = Scanner::builder("icap://av/s")
        .read_timeout(Duration::MAX)
        .deadline(Duration::MAX);
    assert!(forever.build().is_ok());
}
