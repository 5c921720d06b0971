use std::error::Error as _;
use std::time::Duration;

use super::*;
use crate::proto::text::displayable;

const SERVICE: &str = "icap://av.example/scan";

fn timeout() -> TimeoutError {
    TimeoutError {
        service: SERVICE.into(),
        phase: Phase::Read,
        limit: TimeLimit::ReadTimeout,
        after: Duration::from_secs(10),
        is_the_servers: true,
        silence: None,
        is_crowded: false,
        is_of_options: false,
        source: None,
        name: None,
    }
}

fn status(code: u16) -> StatusError {
    StatusError {
        service: SERVICE.into(),
        code,
        reason: String::new(),
        failure: None,
        has_room_later: false,
        asked: Asked::Scan,
        name: None,
    }
}

fn protocol(seen: &[u8]) -> ProtocolError {
    ProtocolError {
        service: SERVICE.into(),
        violation: Violation::BadStatusLine,
        seen: displayable(seen),
        is_after_pause: false,
        is_of_options: false,
        name: None,
    }
}

fn connect() -> ConnectError {
    ConnectError {
        service: SERVICE.into(),
        is_the_servers: true,
        source: io::ErrorKind::ConnectionRefused.into(),
        name: None,
    }
}

/// `clippy::result_large_err` warns from 128 bytes on.
#[test]
fn error_is_small_enough_to_be_returned() {
    assert!(size_of::<Error>() <= 96, "{}", size_of::<Error>());
}

#[test]
fn error_shows_its_cause_once() {
    let text = "cannot connect to icap://av.example/scan: connection refused";
    for error in [Error::from(connect()), Error::from(connect()).duplicate()] {
        assert_eq!(error.to_string(), text);
        assert!(error.source().is_none());
        let kind = error.io_error().map(io::Error::kind);
        assert_eq!(kind, Some(io::ErrorKind::ConnectionRefused));
    }
    let disk = || io::Error::other("disk full");
    let read = ContentError::read(5, disk());
    for (error, text) in [
        (
            Error::from(read),
            "cannot read the content after 5 bytes: disk full",
        ),
        (
            Error::from(OutputError::new(disk())),
            "cannot write the response body to the output: disk full",
        ),
    ] {
        assert_eq!(error.to_string(), text);
        assert_eq!(error.duplicate().to_string(), text);
        assert!(error.source().is_none());
        assert_eq!(error.io_error().unwrap().to_string(), "disk full");
    }
}

#[test]
fn error_has_the_name_of_its_content() {
    for error in [
        Error::from(connect()),
        timeout().into(),
        status(500).into(),
        protocol(b"").into(),
        ContentError::new(ContentFault::TooLong { declared: 5 }).into(),
        OutputError::new(io::Error::other("full")).into(),
        InputError::new(InvalidInput::Zero, "deadline").into(),
    ] {
        assert_eq!(error.name(), None);
        let mut named = error;
        named.set_name(Some("a.txt".to_owned()));
        assert_eq!(named.name(), Some("a.txt"));
        assert!(!named.to_string().contains("a.txt"));
        named.set_name(None);
        assert_eq!(named.name(), None);
    }
}

#[test]
fn timeout_names_server_phase_and_time() {
    let error = Error::from(timeout());
    let text =
        "timed out waiting for the response of icap://av.example/scan (read timeout of 10000 ms)";
    assert_eq!(error.to_string(), text);
    assert!(error.is_timeout() && error.is_unavailable() && error.is_retryable());
    assert!(error.io_error().is_none());
    let error = Error::from(TimeoutError {
        phase: Phase::Connect,
        limit: TimeLimit::ConnectTimeout,
        source: Some(io::Error::other("no response from the resolver")),
        ..timeout()
    });
    let text = "timed out connecting to icap://av.example/scan (connect timeout of 10000 ms): \
                no response from the resolver";
    assert_eq!(error.to_string(), text);
}

#[test]
fn failure_of_options_names_options() {
    let lost = DisconnectedError {
        service: SERVICE.into(),
        phase: Phase::Write,
        paused: None,
        is_the_servers: true,
        is_of_options: false,
        source: io::ErrorKind::ConnectionReset.into(),
        name: None,
    };
    for (error, text) in [
        (
            Error::from(timeout()),
            "timed out waiting for the response to OPTIONS of icap://av.example/scan \
             (read timeout of 10000 ms)",
        ),
        (
            Error::from(lost),
            "lost the connection while sending OPTIONS to icap://av.example/scan: connection reset",
        ),
        (
            Error::from(protocol(b"")),
            "icap://av.example/scan sent a response to OPTIONS that cannot be trusted: \
             it does not begin with an ICAP/1.0 status line",
        ),
        (
            Error::from(status(404)),
            "icap://av.example/scan responded to OPTIONS with 404; check the service's path",
        ),
        (
            Error::from(status(405)),
            "icap://av.example/scan responded to OPTIONS with 405; check the service's path, \
             or scan without OPTIONS: negotiate(false)",
        ),
        (
            Error::from(status(503)),
            "icap://av.example/scan responded to OPTIONS with 503",
        ),
        (
            Error::from(connect()),
            "cannot connect to icap://av.example/scan: connection refused",
        ),
    ] {
        assert_eq!(error.of_options().to_string(), text);
    }
}

#[test]
fn unasked_status_is_no_response() {
    let error = StatusError {
        asked: Asked::Nothing,
        ..status(503)
    };
    let text = "icap://av.example/scan refused the connection before anything was asked, with 503";
    assert_eq!(Error::from(error).of_options().to_string(), text);
}

#[test]
fn foreign_protocol_is_named() {
    for (seen, hint) in [
        (&b"\x15\x03\x01\x00"[..], "looks like TLS: use icaps://"),
        (b"\x16\x03\x03", "looks like TLS"),
        (b"\x15", "looks like TLS"),
        (b"HTTP/1.1 400 Bad Request", "an HTTP server"),
        (b"SSH-2.0-OpenSSH_9.2p1", "an SSH server"),
    ] {
        let text = protocol(seen).to_string();
        assert!(text.contains(hint), "{text}");
    }
    for seen in [&b"\x15\x04"[..], b"220 mail", b"ICAP/2.0"] {
        let text = protocol(seen).to_string();
        assert!(text.ends_with('"'), "{text}");
    }
}

#[test]
fn predicates_follow_the_status() {
    for (code, is_unavailable, is_retryable) in [
        (404, false, false),
        (408, false, true),
        (500, true, true),
        (501, true, false),
        (503, true, true),
        (558, true, false),
    ] {
        let error = Error::from(status(code));
        assert_eq!(error.is_unavailable(), is_unavailable, "{code}");
        assert_eq!(error.is_retryable(), is_retryable, "{code}");
        assert_eq!(error.status(), Some(code));
    }
    let text = "icap://av.example/scan responded with 404";
    assert_eq!(status(404).to_string(), text);
}

#[test]
fn error_kinds_have_a_word_each() {
    let words = ErrorKind::ALL.map(ErrorKind::as_str);
    let unique: std::collections::BTreeSet<_> = words.into_iter().collect();
    assert_eq!(unique.len(), ErrorKind::ALL.len());
    assert_eq!(ErrorKind::Status.to_string(), "status");
}
