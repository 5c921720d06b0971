//! A server that is absent, silent or slow ends the scan in time, with an error that names the phase.

use std::error::Error as _;
use std::time::{Duration, Instant};

use icap_client::error::{Phase, TimeLimit, TimeoutError};
use icap_client::testing::{CLEAN, Script, Server};
use icap_client::{Content, Error, Scanner, ScannerBuilder};

mod support;

use support::refusing_address;

const SHORT: Duration = Duration::from_millis(150);
const LONG: Duration = Duration::from_secs(60);

fn unasked(server: &Server) -> ScannerBuilder {
    Scanner::builder(server.uri()).negotiate(false)
}

/// Scans `size` bytes, expects a timeout, and returns it with the time it took.
fn timeout_of(builder: ScannerBuilder, size: u64) -> (TimeoutError, Duration) {
    let scanner = builder.build().unwrap();
    let began = Instant::now();
    let content = Content::reader(std::io::Read::take(std::io::repeat(7), size));
    match scanner.scan(content).map(|report| report.verdict().clone()) {
        Err(Error::Timeout(error)) => (error, began.elapsed()),
        other => panic!("no timeout but {other:?}"),
    }
}

#[test]
fn refused_connection_names_the_port() {
    let port = refusing_address().port();
    let scanner = Scanner::new(format!("icap://127.0.0.1:{port}/scan")).unwrap();
    let error = scanner.scan(Content::bytes(b"hello")).unwrap_err();
    assert!(matches!(error, Error::Connect(_)), "{error:?}");
    assert!(error.is_unavailable() && error.is_retryable() && !error.is_timeout());
    let text = format!("cannot connect to icap://127.0.0.1:{port}/scan: connection refused");
    assert_eq!(error.to_string(), text);
    assert!(error.source().is_none());
}

#[test]
fn silent_server_meets_the_read_timeout() {
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
        said.contains("waiting for the response of icap://127.0.0.1:"),
        "{said}"
    );
    assert!(said.contains("read timeout of 150 ms"), "{said}");
}

#[test]
fn read_timeout_defaults_to_ten_seconds() {
    let server = Server::scripted([Script::new().read_to_end()]).unwrap();
    let (error, took) = timeout_of(unasked(&server), 5);
    assert_eq!(
        (error.limit(), error.after()),
        (TimeLimit::ReadTimeout, Duration::from_millis(10_000))
    );
    assert!(took >= Duration::from_secs(10) && took < LONG, "{took:?}");
}

#[test]
fn server_that_reads_nothing_meets_the_write_timeout() {
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
fn dripping_server_meets_the_deadline() {
    let pause = Duration::from_millis(20);
    let endless = format!("ICAP/1.0 204 No Content\r\nX: {}", "y".repeat(10_000));
    let server = Server::scripted([Script::new().read_request().dribble(endless, pause)]).unwrap();
    // Each byte comes within the read timeout, so only the deadline ends the scan.
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
fn slowly_reading_server_meets_the_deadline() {
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
fn slow_reader_outlasts_the_deadline_by_one_read_only() {
    struct Trickles;
    impl std::io::Read for Trickles {
        fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
            // The slow caller.
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
    let builder = Scanner::builder(server.uri()).deadline(SHORT);
    let (error, took) = timeout_of(builder, 5);
    assert_eq!(error.limit(), TimeLimit::Deadline);
    assert!(took < LONG, "{took:?}");
}

#[test]
fn slow_response_within_the_timeout_counts() {
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
fn timeout_of_zero_is_refused() {
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

#[test]
fn response_timeout_lets_a_slow_engine_work() {
    let works = Script::new().read_request().wait(4 * SHORT).send(CLEAN);
    let server = Server::scripted([works]).unwrap();
    let builder = unasked(&server).read_timeout(SHORT);
    let scanner = builder.response_timeout(LONG).build().unwrap();
    let report = scanner.scan(Content::bytes(b"hello")).unwrap();
    assert!(report.verdict().is_clean());
}

#[test]
fn silence_after_the_content_names_its_settings() {
    let server = Server::scripted([Script::new().read_to_end()]).unwrap();
    let builder = unasked(&server).response_timeout(SHORT);
    let (error, took) = timeout_of(builder, 100_000);
    assert_eq!(
        (error.phase(), error.limit(), error.after()),
        (Phase::Read, TimeLimit::ResponseTimeout, SHORT)
    );
    assert!(took < LONG, "{took:?}");
    assert_eq!(error.content_sent(), Some(100_000));
    let silent = error.silent_for().unwrap();
    assert!(silent >= SHORT && silent <= took, "{silent:?}");
    let said = error.to_string();
    for part in [
        "100000 bytes of content were sent",
        &format!("silent for {} ms", silent.as_millis()),
        "response timeout of 150 ms",
        "response_timeout and Content::deadline",
    ] {
        assert!(said.contains(part), "{said}");
    }
}

#[test]
fn dripping_head_meets_the_response_timeout() {
    let endless = format!("ICAP/1.0 204 No Content\r\nX: {}", "y".repeat(10_000));
    let drips = Script::new().read_request().dribble(endless, SHORT / 10);
    let server = Server::scripted([drips]).unwrap();
    let (error, took) = timeout_of(unasked(&server).response_timeout(SHORT), 5);
    assert_eq!(error.limit(), TimeLimit::ResponseTimeout);
    assert!(took >= SHORT && took < LONG, "{took:?}");
}

#[test]
fn content_may_have_a_deadline_of_its_own() {
    let server = Server::scripted([Script::new().read_to_end()]).unwrap();
    for (of_all, own) in [(LONG, SHORT), (SHORT, 2 * SHORT)] {
        let scanner = unasked(&server).deadline(of_all).build().unwrap();
        let began = Instant::now();
        let content = Content::bytes(b"hello").deadline(own);
        match scanner.scan(content) {
            Err(Error::Timeout(error)) => {
                let ran_out = (error.limit(), error.after());
                assert_eq!(ran_out, (TimeLimit::Deadline, own));
                assert!(error.to_string().contains("Content::deadline"), "{error}");
            }
            other => panic!("{other:?}"),
        }
        let took = began.elapsed();
        assert!(took >= own && took < LONG, "{took:?}");
        let zero = Content::bytes(b"hello").deadline(Duration::ZERO);
        assert!(matches!(scanner.scan(zero), Err(Error::Input(_))));
    }
}

#[test]
fn options_exchange_is_bounded_by_the_read_timeout() {
    let drips = Script::new()
        .read_request()
        .dribble("ICAP/1.0 200 OK", SHORT / 3);
    let server = Server::scripted([drips]).unwrap();
    let builder = Scanner::builder(server.uri()).read_timeout(SHORT);
    let (error, took) = timeout_of(builder.response_timeout(LONG), 5);
    assert_eq!(
        (error.limit(), error.after()),
        (TimeLimit::ReadTimeout, SHORT)
    );
    assert!(took >= SHORT && took < LONG, "{took:?}");
    assert_eq!(error.content_sent(), None);
}

#[test]
fn body_below_the_minimum_rate_is_a_timeout() {
    let head = "HTTP/1.1 200 OK\r\n\r\n";
    let page = format!(
        "ICAP/1.0 200 OK\r\nEncapsulated: res-hdr=0, res-body={}\r\n\r\n{head}",
        head.len()
    );
    let drips = Script::new().read_request().send(page);
    let drips = drips.dribble(format!("ffff\r\n{}", "y".repeat(65_000)), SHORT / 10);
    let server = Server::scripted([drips]).unwrap();
    // Much longer than the pauses, so that no pause is a read timeout.
    let timeout = Duration::from_secs(1);
    let client = icap_client::Client::builder(server.uri()).read_timeout(timeout);
    let request = icap_client::Request::respmod();
    let began = Instant::now();
    let sent = client
        .build()
        .unwrap()
        .send(&request, &b"hello"[..], &mut std::io::sink());
    let Err(Error::Timeout(error)) = sent else {
        panic!("{sent:?}");
    };
    assert_eq!(
        (error.limit(), error.after()),
        (TimeLimit::MinimumRate, timeout)
    );
    assert!(error.to_string().contains("1 KiB/s"), "{error}");
    assert!(began.elapsed() < LONG);
}
