//! The cases with more than one response to one request. Each has its own test here.

use std::io::{self, Read};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;
use std::time::Duration;

use icap_client::testing::{CLEAN, OPTIONS_RESPONSE, Script, Server, infected};
use icap_client::{Content, Scanner, ScannerBuilder};

use crate::case::Case;
use crate::memory::{Conditions, Fault, Network, Step};
use crate::replay::replay;
use crate::words::describe;

/// Tests by the ids of their cases.
pub(crate) const ALONE: &[(&str, fn())] = &[
    ("F60", body_is_read_the_same_at_every_split),
    ("G16", rest_does_not_race_the_decision),
    ("I07", lost_request_on_a_reused_connection_is_sent_again),
    ("I15", stray_response_before_the_request_ends_is_discarded),
    ("I17", content_that_fails_gets_no_last_chunk),
    ("I19", interruptions_go_unnoticed),
    ("I20", writes_of_any_size_form_one_request),
    ("I21", write_to_a_closed_peer_is_an_error_without_signal),
    ("I22", second_address_is_tried),
    ("J05x", transfer_ignore_does_not_skip_the_scan),
    ("J08x", max_connections_of_0_does_not_deadlock),
    ("J17", dead_engine_with_options_is_not_clean),
    ("J18", changed_istag_invalidates_the_options),
];

const HELLO: &[u8] = b"hello";

pub(crate) fn send(bytes: impl AsRef<[u8]>) -> Step {
    Step::Send(bytes.as_ref().to_vec())
}

pub(crate) fn unasked(network: &Network) -> ScannerBuilder {
    let builder = Scanner::builder("icap://127.0.0.1/scan");
    builder.negotiate(false).connector(network.clone())
}

/// The steps of a server that responds to `times` requests with 204.
pub(crate) fn clean(times: usize) -> Vec<Step> {
    let exchange = || [Step::Request, send(CLEAN)];
    (0..times).flat_map(|_| exchange()).collect()
}

fn network(scripts: Vec<Vec<Step>>) -> Network {
    Network::new(scripts, Conditions::default())
}

fn scanned(scanner: &Scanner, content: Content<'_>) -> String {
    describe(&scanner.scan(content))
}

/// Content that can be read only once.
fn once(bytes: &[u8]) -> Content<'_> {
    Content::reader(bytes).len(bytes.len() as u64)
}

fn body_is_read_the_same_at_every_split() {
    let cases = [crate::GIVEN, crate::MORE].into_iter().flat_map(Case::all);
    let named = |case: &Case| ["F01", "F29x", "F40x"].contains(&case.id.as_str());
    let cases: Vec<_> = cases.filter(named).collect();
    assert_eq!(cases.len(), 3);
    for case in cases {
        let counts = replay(&case, case.play.as_ref().unwrap()).unwrap();
        assert_eq!(counts.splits, case.response_len() - 1, "{}", case.id);
    }
}

fn rest_does_not_race_the_decision() {
    let content = vec![b'x'; 1024 + 5];
    let network = network(vec![clean(1)]);
    let scanner = unasked(&network)
        .preview(icap_client::Preview::Limit(1024))
        .build()
        .unwrap();
    assert_eq!(
        scanned(&scanner, Content::bytes(&content)),
        "not scanned: PreviewOnly"
    );
    let received = network.received(0);
    assert!(
        received.ends_with(b"x\r\n0\r\n\r\n"),
        "{}",
        String::from_utf8_lossy(&received)
    );
    assert_eq!(
        received.iter().filter(|&&b| b == b'x').count() - 1024,
        names_with_x(&received)
    );
    // A second decision, after the 100: it may have crossed the rest.
    let both = format!("ICAP/1.0 100 Continue\r\n\r\n{CLEAN}");
    let network = self::network(vec![vec![Step::Request, send(both)], clean(1)]);
    let scanner = unasked(&network)
        .preview(icap_client::Preview::Limit(1024))
        .build()
        .unwrap();
    assert_eq!(
        scanned(&scanner, Content::bytes(&content)),
        "not scanned: EarlyResponse"
    );
}

/// The number of times that the letter is in the heads.
fn names_with_x(received: &[u8]) -> usize {
    let chunk = b"\r\n400\r\n";
    let heads = received
        .windows(chunk.len())
        .position(|window| window == chunk)
        .unwrap();
    received[..heads].iter().filter(|&&b| b == b'x').count()
}

/// A connection that responds to one request, and ends before its response to the next.
fn stale(end: Step) -> Vec<Vec<Step>> {
    let ends = [clean(1), vec![Step::Request, end]].concat();
    vec![ends, clean(2)]
}

fn lost_request_on_a_reused_connection_is_sent_again() {
    for (end, content, expected) in [
        (Step::Close, Content::bytes(HELLO), "clean"),
        (Step::Reset, Content::bytes(HELLO), "clean"),
        // It fits the first buffer, which is kept.
        (Step::Close, once(HELLO), "clean"),
        (Step::Reset, once(HELLO), "clean"),
    ] {
        let network = network(stale(end));
        let scanner = unasked(&network).build().unwrap();
        assert_eq!(scanned(&scanner, Content::bytes(HELLO)), "clean");
        assert_eq!(scanned(&scanner, content), expected);
        assert_eq!(scanner.stats().retries, 1);
    }
    // Content that cannot be sent again is not sent on a connection that may end.
    let network = network(stale(Step::Close));
    let scanner = unasked(&network).build().unwrap();
    assert_eq!(scanned(&scanner, Content::bytes(HELLO)), "clean");
    assert_eq!(scanned(&scanner, once(&[b'x'; 70_000])), "clean");
    assert_eq!((scanner.stats().retries, network.connections()), (0, 2));
}

fn stray_response_before_the_request_ends_is_discarded() {
    for (content, expected) in [
        (Content::bytes(HELLO), "infected: B"),
        (once(HELLO), "infected: B"),
    ] {
        let strays = vec![Step::Request, send(CLEAN), Step::Received(500), send(CLEAN)];
        let network = network(vec![strays, vec![Step::Request, send(infected("B"))]]);
        let scanner = unasked(&network).build().unwrap();
        assert_eq!(scanned(&scanner, Content::bytes(HELLO)), "clean");
        let received = network.received(0).len();
        assert!(
            (250..500).contains(&received),
            "500 is to be in the second request: {received}"
        );
        assert_eq!(scanned(&scanner, content), expected);
    }
}

fn content_that_fails_gets_no_last_chunk() {
    struct Fails;
    impl Read for Fails {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("the disk is gone"))
        }
    }
    struct Panics;
    impl Read for Panics {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            panic!("on purpose")
        }
    }
    let begin = || io::repeat(b'x').take(200_000);
    let endings: [Box<dyn Read + Send>; 2] = [
        Box::new(begin().chain(Fails)),
        Box::new(begin().chain(Panics)),
    ];
    for content in endings {
        let network = network(vec![clean(2), clean(1), clean(1)]);
        let scanner = unasked(&network).build().unwrap();
        assert_eq!(scanned(&scanner, Content::bytes(HELLO)), "clean");
        let failed = catch_unwind(AssertUnwindSafe(|| {
            scanned(&scanner, Content::reader(content))
        }));
        assert!(failed.is_err() || failed.unwrap() == "error: content");
        // It cannot be sent again, so it goes over a new connection.
        let upload = network.received(1);
        assert!(upload.len() > 100_000, "{}", upload.len());
        assert!(!upload.windows(5).any(|window| window == b"0\r\n\r\n"));
        assert_eq!(scanned(&scanner, Content::bytes(HELLO)), "clean");
        // The new one replaced the first, and was closed.
        assert_eq!(network.connections(), 3);
    }
}

fn interruptions_go_unnoticed() {
    for each in 1..5 {
        // If `each` is 1, every call is interrupted, and none ever succeeds.
        let conditions = Conditions {
            reluctance: Some(each),
            ..Conditions::default()
        };
        let network = Network::new(vec![clean(2)], conditions);
        let builder = unasked(&network).read_timeout(Duration::from_millis(500));
        let scanner = builder
            .write_timeout(Duration::from_millis(500))
            .build()
            .unwrap();
        for _ in 0..2 {
            let expected = if each == 1 { "error: timeout" } else { "clean" };
            assert_eq!(scanned(&scanner, Content::bytes(HELLO)), expected);
        }
        assert_eq!(network.connections(), if each == 1 { 2 } else { 1 });
    }
}

fn writes_of_any_size_form_one_request() {
    let content = vec![b'x'; 3000];
    let sent_whole = |conditions| {
        let network = Network::new(vec![clean(1)], conditions);
        let scanner = unasked(&network).build().unwrap();
        assert_eq!(scanned(&scanner, Content::bytes(&content)), "clean");
        network.received(0)
    };
    let whole = sent_whole(Conditions::default());
    for write_limit in [1, 2, 3, 7, 100] {
        for reluctance in [None, Some(2), Some(3)] {
            let conditions = Conditions {
                write_limit,
                reluctance,
                ..Conditions::default()
            };
            assert!(sent_whole(conditions) == whole);
        }
    }
    // A write that always takes nothing is an error at once, and no endless loop.
    let conditions = Conditions {
        write_limit: 0,
        ..Conditions::default()
    };
    let network = Network::new(vec![clean(1)], conditions);
    let scanner = unasked(&network)
        .read_timeout(Duration::from_secs(2))
        .build()
        .unwrap();
    assert_eq!(
        scanned(&scanner, Content::bytes(&content)),
        "error: disconnected"
    );
}

fn write_to_a_closed_peer_is_an_error_without_signal() {
    // `write_vectored` raises SIGPIPE, so the network panics if it is called.
    let content = vec![b'x'; 1_000_000];
    for fault in [Fault::Close, Fault::Reset] {
        let conditions = Conditions {
            up: Some((100_000, fault)),
            ..Conditions::default()
        };
        let network = Network::new(vec![clean(1)], conditions);
        let scanner = unasked(&network).build().unwrap();
        assert_eq!(
            scanned(&scanner, Content::bytes(&content)),
            "error: disconnected"
        );
    }
    let server = Server::scripted([Script::new().read_bytes(100_000).reset()]).unwrap();
    let scanner = Scanner::builder(server.uri())
        .negotiate(false)
        .build()
        .unwrap();
    let large = vec![b'x'; 50_000_000];
    assert_eq!(
        scanned(&scanner, Content::bytes(&large)),
        "error: disconnected"
    );
}

fn second_address_is_tried() {
    // `localhost` may be ::1 and 127.0.0.1, in this order. The server listens on the second.
    let server = Server::start().unwrap();
    let uri = format!("icap://localhost:{}/scan", server.address().port());
    let scanner = Scanner::builder(&uri)
        .connect_timeout(Duration::from_secs(5))
        .build()
        .unwrap();
    for _ in 0..2 {
        assert_eq!(scanned(&scanner, Content::bytes(HELLO)), "clean");
    }
    assert_eq!(server.connections(), 1);
}

fn asked_first(options: &str) -> Vec<Step> {
    vec![
        Step::Request,
        send(options),
        Step::Request,
        send(infected("Eicar")),
    ]
}

fn negotiating(network: &Network) -> Scanner {
    unasked(network).negotiate(true).build().unwrap()
}

fn transfer_ignore_does_not_skip_the_scan() {
    let options = OPTIONS_RESPONSE.replace("Options-TTL", "Transfer-Ignore: *\r\nOptions-TTL");
    let network = network(vec![asked_first(&options)]);
    let content = Content::bytes(HELLO).name("a.txt");
    assert_eq!(scanned(&negotiating(&network), content), "infected: Eicar");
}

fn max_connections_of_0_does_not_deadlock() {
    let options = OPTIONS_RESPONSE.replace("Max-Connections: 100", "Max-Connections: 0");
    let asked_first = [vec![Step::Request, send(&options)], clean(4)].concat();
    let network = network(vec![asked_first, clean(4)]);
    let scanner = negotiating(&network);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| assert_eq!(scanned(&scanner, Content::bytes(HELLO)), "clean"));
        }
    });
    assert_eq!(scanner.stats().clean, 4);
}

fn dead_engine_with_options_is_not_clean() {
    let dead = "ICAP/1.0 500 Server error\r\nISTag: \"icap-client-testing\"\r\n\r\n";
    let responses = vec![
        Step::Request,
        send(OPTIONS_RESPONSE),
        Step::Request,
        send(dead),
    ];
    let network = network(vec![responses]);
    let scanner = negotiating(&network);
    assert_eq!(
        scanned(&scanner, Content::bytes(HELLO)),
        "error: status 500"
    );
    assert_eq!(scanner.stats().options_sent, 1);
}

fn changed_istag_invalidates_the_options() {
    let other = CLEAN.replace("icap-client-testing", "another");
    let responses = [OPTIONS_RESPONSE, &other, OPTIONS_RESPONSE, CLEAN];
    let steps = responses
        .iter()
        .flat_map(|response| [Step::Request, send(response)]);
    let network = network(vec![steps.collect()]);
    let scanner = negotiating(&network);
    for options_sent in [1, 2] {
        assert_eq!(scanned(&scanner, Content::bytes(HELLO)), "clean");
        assert_eq!(scanner.stats().options_sent, options_sent);
    }
}
