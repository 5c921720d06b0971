//! The control of a canary: the same archive without EICAR shows whether the find was more than a rule for all archives.
#![cfg(feature = "testing")]
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod support;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use icap_client::testing::{
    CLEAN, ManualClock, OPTIONS_RESPONSE, Script, Server, echo, infected, options_with_preview,
};
use icap_client::{Preview, Scanner, Verdict};

use support::fake::{EVERY, Fake, MINUTE, NO_ENGINE, SECOND, Seen, seen, tagged, verdict};

const MILLISECOND: Duration = Duration::from_millis(1);

/// As `infected`, from a service that gives the threat no kind.
fn infected_without_kind() -> Vec<u8> {
    let response = String::from_utf8(infected("Rule")).unwrap();
    let field = "X-Infection-Found: Type=0; Resolution=2; Threat=Rule;";
    assert!(response.contains(field));
    response.replace(field, "X-Virus-ID: Rule").into_bytes()
}

fn refusal() -> Vec<u8> {
    b"ICAP/1.0 403 Forbidden\r\nISTag: \"icap-client-testing\"\r\n\r\n".to_vec()
}

/// Two servers after one address take turns, each with a state tag. The first objects to all archives, and scans nothing;
/// the second works, and responds to each control. `is_apart` is cleared when the first one is taken away.
fn two_servers(objection: Vec<u8>, is_apart: &Arc<AtomicBool>) -> Fake {
    let is_apart = Arc::clone(is_apart);
    Fake::with(move |_, request| {
        let tag = match seen(request) {
            Seen::Canary if is_apart.load(Ordering::SeqCst) => "1",
            _ => "2",
        };
        match seen(request) {
            Seen::Canary if tag == "1" => Script::new().send(tagged(&objection, tag)),
            Seen::Canary => Script::new().send(tagged(&infected("Eicar"), tag)),
            Seen::File | Seen::Control => Script::new().send(tagged(CLEAN.as_bytes(), tag)),
        }
    })
}

#[test]
fn control_under_another_tag_is_neither_proof_nor_miss() {
    let [canary, control, file] = [Seen::Canary, Seen::Control, Seen::File];
    for objection in [infected("Rule"), infected_without_kind(), refusal()] {
        let is_apart = Arc::new(AtomicBool::new(true));
        let fake = two_servers(objection, &is_apart);
        let (scanner, clock) = fake.scanner();
        let stands = || {
            let endpoint = scanner.stats().endpoints[0].clone();
            (endpoint.is_blind, endpoint.failures, endpoint.eicar_age)
        };
        for wait in [1, 2, 4, 8, 8] {
            for wait in [wait * SECOND - MILLISECOND, MILLISECOND] {
                let report = scanner.scan("hello").unwrap();
                assert_eq!(*report.verdict(), NO_ENGINE);
                assert!(report.advice().unwrap().contains("state tag"));
                assert_eq!(stands(), (false, 0, None));
                clock.advance(wait);
            }
            // Twice at once, and then as those of a blind server.
            assert_eq!(fake.seen(), [canary, control, canary, control]);
        }
        is_apart.store(false, Ordering::SeqCst);
        assert_eq!(verdict(&scanner), Verdict::Clean);
        assert_eq!(fake.seen(), [canary, control, file]);
        assert!(scanner.stats().suspended.is_empty());
    }
}

/// It is configured anew between the canary and the control.
#[test]
fn canary_is_repeated_if_its_control_has_another_tag() {
    let fake = Fake::with(|plan, request| {
        if seen(request) == Seen::Control {
            plan.tag = "2".to_owned();
        }
        match request.has_eicar() {
            true => Script::new().send(tagged(&infected("Eicar"), &plan.tag)),
            false => Script::new().send(tagged(CLEAN.as_bytes(), &plan.tag)),
        }
    });
    let (scanner, _clock) = fake.scanner();
    assert_eq!(verdict(&scanner), Verdict::Clean);
    let [canary, control, file] = [Seen::Canary, Seen::Control, Seen::File];
    assert_eq!(fake.seen(), [canary, control, canary, control, file]);
    assert_eq!(verdict(&scanner), Verdict::Clean);
    assert_eq!(fake.seen(), [file]);
}

#[test]
fn undecided_canary_leads_to_the_next_server() {
    let first = two_servers(infected("Rule"), &Arc::new(AtomicBool::new(true)));
    let second = Fake::start();
    let (builder, _clock) = first.builder();
    let scanner = builder.endpoint(second.server.uri()).build().unwrap();
    for _ in 0..2 {
        let report = scanner.scan("hello").unwrap();
        assert!(report.verdict().is_clean());
        assert_eq!(report.service(), second.server.uri());
    }
    assert!(!first.seen().contains(&Seen::File));
    assert_eq!(scanner.stats().endpoints[0].failures, 0);
}

#[test]
fn undecided_canary_is_no_miss_while_a_proof_holds() {
    let is_apart = Arc::new(AtomicBool::new(false));
    let fake = two_servers(infected("Rule"), &is_apart);
    let (scanner, clock) = fake.scanner();
    assert_eq!(verdict(&scanner), Verdict::Clean);
    fake.seen();
    is_apart.store(true, Ordering::SeqCst);
    clock.advance(EVERY / 4 * 3);
    let [canary, control, file] = [Seen::Canary, Seen::Control, Seen::File];
    assert_eq!(verdict(&scanner), Verdict::Clean);
    assert_eq!(fake.seen(), [canary, control, canary, control, file]);
    assert_eq!(verdict(&scanner), Verdict::Clean);
    assert_eq!(fake.seen(), [file]);
    clock.advance(EVERY / 4);
    assert_eq!(verdict(&scanner), NO_ENGINE);
    assert_eq!(fake.seen(), [canary, control, canary, control]);
}

#[test]
fn threads_share_one_undecided_canary() {
    let fake = two_servers(infected("Rule"), &Arc::new(AtomicBool::new(true)));
    let (scanner, _clock) = fake.scanner();
    thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| assert_eq!(verdict(&scanner), NO_ENGINE));
        }
    });
    let [canary, control] = [Seen::Canary, Seen::Control];
    assert_eq!(fake.seen(), [canary, control, canary, control]);
}

/// As with a service that calls each violation a virus and has the rule "no archives", at a time when it is overloaded.
#[test]
fn control_that_was_not_scanned_is_no_proof() {
    let tag = "ISTag: \"icap-client-testing\"\r\n";
    let pending = format!("ICAP/1.0 202 Accepted\r\n{tag}\r\n").into_bytes();
    let failed = CLEAN.replace("\r\n\r\n", "\r\nX-Error-Code: 7; engine failed\r\n\r\n");
    let modified = echo("HTTP/1.1 200 OK\r\n\r\n", b"other content");
    for response in [pending, failed.into_bytes(), modified] {
        let fake = Fake::with(move |plan, request| match seen(request) {
            Seen::File => Script::new().send(CLEAN),
            Seen::Control if plan.finds => Script::new().send(&response),
            Seen::Canary | Seen::Control => Script::new().send(infected("Rule.Archive")),
        });
        let (scanner, clock) = fake.scanner();
        let [canary, control] = [Seen::Canary, Seen::Control];
        let is_blind = || scanner.stats().endpoints[0].is_blind;
        assert_eq!(verdict(&scanner), NO_ENGINE);
        assert_eq!(fake.seen(), [canary, control, canary, control]);
        assert!(!is_blind());
        // The next control is scanned.
        fake.set_finds(false);
        clock.advance(MINUTE);
        assert_eq!(verdict(&scanner), NO_ENGINE);
        assert_eq!(fake.seen(), [canary, control]);
        assert!(is_blind());
    }
}

/// Its database is loaded anew between the canary and the control.
#[test]
fn undecided_first_canary_is_repeated_after_a_second() {
    let failed = CLEAN.replace("\r\n\r\n", "\r\nX-Error-Code: 503\r\n\r\n");
    let fake = Fake::with(move |plan, request| match seen(request) {
        Seen::Canary => Script::new().send(infected("Eicar")),
        Seen::Control if !plan.finds => Script::new().send(&failed),
        Seen::Control | Seen::File => Script::new().send(CLEAN),
    });
    fake.set_finds(false);
    let (scanner, clock) = fake.scanner();
    assert_eq!(verdict(&scanner), NO_ENGINE);
    fake.set_finds(true);
    clock.advance(SECOND);
    assert_eq!(verdict(&scanner), Verdict::Clean);
}

/// Under the same state tag it offers something else, and calls every archive that comes in that form a virus.
#[test]
fn control_counts_only_for_the_form_in_which_it_was_sent() {
    let preview = options_with_preview(8);
    let reqmod = OPTIONS_RESPONSE.replace("RESPMOD, REQMOD", "REQMOD");
    for changed in [preview, reqmod] {
        let offer = Arc::new(Mutex::new(OPTIONS_RESPONSE.to_owned()));
        let own = Arc::clone(&offer);
        let server = Server::answering(move |request| {
            let is_old = request.method() == "RESPMOD" && request.preview().is_none();
            match seen(request) {
                _ if request.method() == "OPTIONS" => Script::new().send(&*own.lock().unwrap()),
                Seen::File => Script::new().send(CLEAN),
                Seen::Control if is_old => Script::new().send(CLEAN),
                Seen::Canary | Seen::Control => Script::new().send(infected("Rule.Archive")),
            }
        });
        let server = server.unwrap();
        let clock = ManualClock::new();
        let builder = Scanner::builder(server.uri()).canary(Duration::from_secs(1 << 20));
        let builder = builder.preview(Preview::Negotiated).clock(clock.clone());
        let scanner = builder.build().unwrap();
        assert_eq!(verdict(&scanner), Verdict::Clean);
        *offer.lock().unwrap() = changed;
        // The options are valid for an hour.
        clock.advance(Duration::from_secs(3600));
        assert_eq!(verdict(&scanner), NO_ENGINE);
        assert!(scanner.stats().endpoints[0].is_blind);
    }
}
