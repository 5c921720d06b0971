//! Content is clean only if the server has found a canary in time, under the state tag of the response.
#![cfg(feature = "testing")]
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod support;

use std::collections::HashMap;
use std::io::{self, Read};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use icap_client::testing::{
    CLEAN, CONTINUE, Engine, Gate, ManualClock, OPTIONS_RESPONSE, Received, Script, Server, eicar,
    infected, options_with_preview,
};
use icap_client::transport::Clock;
use icap_client::{
    Cache, Cancel, Connect, Content, Error, Method, NotScanned, Preview, Scanner, ScannerBuilder,
    ServiceUri, Stream, Verdict, VerdictCache,
};

use support::fake::{EVERY, Fake, MINUTE, NO_ENGINE, SECOND, Seen, seen, tagged, verdict};

#[test]
fn canary_is_off_by_default_and_zero_is_refused() {
    let fake = Fake::start();
    fake.set_finds(false);
    assert_eq!(
        verdict(&Scanner::new(fake.server.uri()).unwrap()),
        Verdict::Clean
    );
    assert_eq!(fake.seen(), [Seen::File]);
    let builder = Scanner::builder(fake.server.uri());
    let error = builder.canary(Duration::ZERO).build().unwrap_err();
    assert!(error.to_string().contains("canary"), "{error}");
}

#[test]
fn first_scan_sends_a_canary_first() {
    let fake = Fake::start();
    let (scanner, clock) = fake.scanner();
    assert_eq!(scanner.stats().endpoints[0].eicar_age, None);
    for _ in 0..3 {
        assert_eq!(verdict(&scanner), Verdict::Clean);
    }
    assert_eq!(
        fake.seen(),
        [
            Seen::Canary,
            Seen::Control,
            Seen::File,
            Seen::File,
            Seen::File
        ]
    );
    clock.advance(5 * SECOND);
    let stats = scanner.stats();
    let endpoint = &stats.endpoints[0];
    assert_eq!((endpoint.canaries, endpoint.is_blind), (1, false));
    assert_eq!(endpoint.eicar_age, Some(5 * SECOND));
    assert_eq!((stats.scans, stats.infected), (3, 0));
}

#[test]
fn canary_is_due_when_a_quarter_of_its_time_is_left() {
    let fake = Fake::start();
    let (scanner, clock) = fake.scanner();
    let due = EVERY / 4 * 3;
    assert_eq!(verdict(&scanner), Verdict::Clean);
    clock.advance(due - SECOND);
    assert_eq!(verdict(&scanner), Verdict::Clean);
    let [canary, control, file] = [Seen::Canary, Seen::Control, Seen::File];
    assert_eq!(fake.seen(), [canary, control, file, file]);
    clock.advance(SECOND);
    assert_eq!(verdict(&scanner), Verdict::Clean);
    assert_eq!(fake.seen(), [Seen::Canary, Seen::File]);
    clock.advance(EVERY);
    assert_eq!(verdict(&scanner), Verdict::Clean);
    assert_eq!(fake.seen(), [Seen::Canary, Seen::File]);
}

#[test]
fn blind_server_gets_no_file_and_canaries_at_intervals() {
    let fake = Fake::start();
    fake.set_finds(false);
    let (scanner, clock) = fake.scanner();
    for _ in 0..3 {
        assert_eq!(verdict(&scanner), NO_ENGINE);
    }
    assert_eq!(fake.seen(), [Seen::Canary]);
    assert!(scanner.stats().endpoints[0].is_blind);
    // A blind server is no failing one, and what was not sent to it is no report of it.
    assert_eq!(scanner.stats().endpoints[0].reports, 0);
    assert!(scanner.stats().suspended.is_empty());
    for wait in [1, 2, 4, 8, 8] {
        clock.advance(wait * SECOND - Duration::from_millis(1));
        assert_eq!(verdict(&scanner), NO_ENGINE);
        assert_eq!(fake.seen(), [], "{wait} s");
        clock.advance(Duration::from_millis(1));
        assert_eq!(verdict(&scanner), NO_ENGINE);
        assert_eq!(fake.seen(), [Seen::Canary], "{wait} s");
    }
    fake.set_finds(true);
    clock.advance(8 * SECOND);
    assert_eq!(verdict(&scanner), Verdict::Clean);
    assert_eq!(fake.seen(), [Seen::Canary, Seen::Control, Seen::File]);
    assert!(!scanner.stats().endpoints[0].is_blind);
}

#[test]
fn next_server_takes_over_from_a_blind_one_and_gives_back() {
    let (first, second) = (Fake::start(), Fake::start());
    let (builder, clock) = first.builder();
    let scanner = builder.endpoint(second.server.uri()).build().unwrap();
    let scans_with = |fake: &Fake| {
        let report = scanner.scan("hello").unwrap();
        assert!(report.verdict().is_clean());
        assert_eq!(report.service(), fake.server.uri());
    };
    scans_with(&first);
    first.set_finds(false);
    clock.advance(EVERY);
    first.seen();
    scans_with(&second);
    scans_with(&second);
    assert_eq!(first.seen(), [Seen::Canary]);
    let [canary, control, file] = [Seen::Canary, Seen::Control, Seen::File];
    assert_eq!(second.seen(), [canary, control, file, file]);
    first.set_finds(true);
    clock.advance(SECOND);
    scans_with(&first);
    assert_eq!(first.seen(), [canary, control, file]);
}

#[test]
fn new_state_tag_needs_a_canary_at_most_one_a_minute() {
    let fake = Fake::start();
    let (scanner, clock) = fake.scanner();
    assert_eq!(verdict(&scanner), Verdict::Clean);
    fake.set_tag("2");
    assert_eq!(verdict(&scanner), Verdict::Clean);
    assert_eq!(verdict(&scanner), Verdict::Clean);
    let [canary, control, file] = [Seen::Canary, Seen::Control, Seen::File];
    assert_eq!(
        fake.seen(),
        [canary, control, file, file, canary, control, file]
    );
    // The proof under the first tag still holds.
    fake.set_tag("1");
    assert_eq!(verdict(&scanner), Verdict::Clean);
    assert_eq!(fake.seen(), [file]);
    fake.set_tag("3");
    clock.advance(MINUTE - SECOND);
    assert_eq!(verdict(&scanner), NO_ENGINE);
    assert_eq!(fake.seen(), [file]);
    clock.advance(SECOND);
    assert_eq!(verdict(&scanner), Verdict::Clean);
    assert_eq!(fake.seen(), [file, canary, control]);
}

#[test]
fn tag_that_changes_each_time_is_never_proven() {
    let fake = Fake::with(|plan, request| {
        plan.tag.push('x');
        match request.has_eicar() {
            true => Script::new().send(tagged(&infected("Eicar"), &plan.tag)),
            false => Script::new().send(tagged(CLEAN.as_bytes(), &plan.tag)),
        }
    });
    let (scanner, clock) = fake.scanner();
    for _ in 0..5 {
        let report = scanner.scan("hello").unwrap();
        assert_eq!(*report.verdict(), NO_ENGINE);
        assert!(report.advice().unwrap().contains("state tag"));
        clock.advance(SECOND);
    }
    let canaries = fake
        .seen()
        .iter()
        .filter(|seen| **seen == Seen::Canary)
        .count();
    // Two each time: before the first scan, one second later, and two seconds after that.
    assert_eq!(canaries, 6);
}

#[test]
fn evidence_counts_without_a_proof() {
    let fake = Fake::start();
    let (scanner, _clock) = fake.scanner();
    assert_eq!(verdict(&scanner), Verdict::Clean);
    for tag in ["2", "3", "4"] {
        fake.set_tag(tag);
        let report = scanner.scan(eicar()).unwrap();
        assert!(report.verdict().is_infected(), "{report:?}");
    }
    assert_eq!(fake.seen().len(), 3 + 3);
}

#[test]
fn response_without_a_tag_needs_a_proof_without_one() {
    let fake = Fake::with(|plan, request| {
        let response = match request.has_eicar() {
            true => infected("Eicar"),
            false => CLEAN.as_bytes().to_vec(),
        };
        let text = String::from_utf8(response).unwrap();
        // The second file comes under a tag.
        match plan.seen.len() {
            4 => Script::new().send(text),
            _ => Script::new().send(text.replace("ISTag: \"icap-client-testing\"\r\n", "")),
        }
    });
    let (scanner, _clock) = fake.scanner();
    assert_eq!(verdict(&scanner), Verdict::Clean);
    assert_eq!(verdict(&scanner), NO_ENGINE);
    assert_eq!(verdict(&scanner), Verdict::Clean);
}

#[test]
fn proof_that_ends_during_the_scan_is_renewed() {
    let clock = ManualClock::new();
    let own = clock.clone();
    let fake = Fake::with(move |plan, request| match request.has_eicar() {
        true => Script::new().send(infected("Eicar")),
        false => {
            if plan.seen.len() == 3 {
                own.advance(EVERY);
            }
            Script::new().send(CLEAN)
        }
    });
    let builder = Scanner::builder(fake.server.uri()).canary(EVERY);
    let scanner = builder.clock(clock).build().unwrap();
    assert_eq!(verdict(&scanner), Verdict::Clean);
    let [canary, control, file] = [Seen::Canary, Seen::Control, Seen::File];
    assert_eq!(fake.seen(), [canary, control, file, canary]);
}

#[test]
fn canary_that_breaks_off_is_an_error_and_no_blindness() {
    let fake = Fake::with(|plan, request| match request.has_eicar() {
        true if plan.finds => Script::new().send(infected("Eicar")),
        true => Script::new().close(),
        false => Script::new().send(CLEAN),
    });
    fake.set_finds(false);
    let (scanner, _clock) = fake.scanner();
    let error = scanner.scan("hello").unwrap_err();
    assert!(matches!(error, Error::Disconnected(_)), "{error:?}");
    assert!(!fake.seen().contains(&Seen::File));
    let endpoint = scanner.stats().endpoints[0].clone();
    assert_eq!((endpoint.is_blind, endpoint.failures), (false, 1));
    // At once, without an interval.
    fake.set_finds(true);
    assert_eq!(verdict(&scanner), Verdict::Clean);
}

/// As after any broken response with evidence, see rule R2.
#[test]
fn evidence_in_a_broken_response_to_a_canary_counts() {
    let cut = |response: Vec<u8>, end: &[u8]| {
        let at = response.windows(end.len()).position(|part| part == end);
        response[..at.unwrap()].to_vec()
    };
    let body = cut(infected("Eicar"), b"blocked");
    let head = cut(infected("Eicar"), b"Encapsulated");
    // Without a whole head its state tag is not known.
    for (response, is_found) in [(body, true), (head, false)] {
        let fake = Fake::with(move |_, request| match request.has_eicar() {
            true => Script::new().send(&response).close(),
            false => Script::new().send(CLEAN),
        });
        let result = fake.scanner().0.scan("hello");
        match is_found {
            true => assert!(result.unwrap().verdict().is_clean()),
            false => assert!(matches!(
                result,
                Err(Error::Disconnected(_) | Error::Protocol(_))
            )),
        }
    }
}

/// While c-icap is reconfigured, connections break. The next canary must not have to wait for a minute then.
#[test]
fn failed_canary_under_a_new_tag_is_repeated_at_once() {
    let fake = Fake::with(|plan, request| match request.has_eicar() {
        true if plan.finds => Script::new().send(tagged(&infected("Eicar"), &plan.tag)),
        true => Script::new().close(),
        false => Script::new().send(tagged(CLEAN.as_bytes(), &plan.tag)),
    });
    let (scanner, _clock) = fake.scanner();
    assert_eq!(verdict(&scanner), Verdict::Clean);
    fake.set_tag("2");
    fake.set_finds(false);
    assert!(scanner.scan("hello").is_err());
    fake.set_finds(true);
    assert_eq!(verdict(&scanner), Verdict::Clean);
}

#[test]
fn cancelled_canary_is_nobodys_fault() {
    let gate = Gate::new();
    let own = gate.clone();
    let fake = Fake::with(move |_, request| match request.has_eicar() {
        true => Script::new().wait_for(&own).send(infected("Eicar")),
        false => Script::new().send(CLEAN),
    });
    let (scanner, _clock) = fake.scanner();
    let cancel = Cancel::new();
    thread::scope(|scope| {
        let content = Content::from("hello").cancel(&cancel);
        let cancelled = scope.spawn(|| scanner.scan(content));
        while fake.plan.lock().unwrap().seen.is_empty() {
            thread::yield_now();
        }
        // This one waits for the canary, and sends the next.
        let waiting = scope.spawn(|| verdict(&scanner));
        while scanner.stats().scans_in_flight < 2 {
            thread::yield_now();
        }
        cancel.cancel();
        assert!(cancelled.join().unwrap().unwrap_err().is_cancelled());
        gate.open();
        assert_eq!(waiting.join().unwrap(), Verdict::Clean);
    });
    let endpoint = scanner.stats().endpoints[0].clone();
    assert_eq!((endpoint.is_blind, endpoint.failures), (false, 0));
}

#[test]
fn failed_canary_leads_to_the_next_server() {
    let broken = Fake::with(|_, _| Script::new().close());
    let healthy = Fake::start();
    let (builder, _clock) = broken.builder();
    let scanner = builder.endpoint(healthy.server.uri()).build().unwrap();
    let report = scanner.scan("hello").unwrap();
    assert!(report.verdict().is_clean());
    assert_eq!(report.service(), healthy.server.uri());
    assert!(!broken.seen().contains(&Seen::File));
}

#[test]
fn early_response_makes_the_canary_due_at_once() {
    let server = Server::start().unwrap();
    let builder = Scanner::builder(server.uri()).canary(EVERY);
    let scanner = builder.clock(ManualClock::new()).build().unwrap();
    assert_eq!(verdict(&scanner), Verdict::Clean);
    let canaries = || scanner.stats().endpoints[0].canaries;
    server.set_engine(Engine::Early);
    let large = vec![b' '; 50_000_000];
    let early = scanner.scan(Content::bytes(&large)).unwrap();
    assert_eq!(
        *early.verdict(),
        Verdict::NotScanned(NotScanned::EarlyResponse)
    );
    assert_eq!(canaries(), 1);
    assert_eq!(verdict(&scanner), NO_ENGINE);
    assert_eq!(canaries(), 2);
    assert!(scanner.stats().endpoints[0].is_blind);
}

#[test]
fn early_responses_cost_at_most_one_canary_a_minute() {
    // It sends back large files while they come, and scans the others.
    let server = Server::start().unwrap();
    let clock = ManualClock::new();
    let builder = Scanner::builder(server.uri()).canary(EVERY);
    let scanner = builder.clock(clock.clone()).build().unwrap();
    let large = vec![b' '; 50_000_000];
    for _ in 0..3 {
        server.set_engine(Engine::Early);
        let early = scanner.scan(Content::bytes(&large));
        assert!(!early.unwrap().verdict().is_clean());
        server.set_engine(Engine::Working);
        clock.advance(SECOND);
        assert_eq!(verdict(&scanner), Verdict::Clean);
    }
    // The first scan found the server blind; then one for the first early response after that.
    let canaries = scanner.stats().endpoints[0].canaries;
    assert!(canaries <= 3, "{canaries}");
}

#[test]
fn canary_has_the_method_and_the_preview_of_scans() {
    let methods = Arc::new(Mutex::new(Vec::new()));
    let own = Arc::clone(&methods);
    let fake = Fake::with(move |plan, request| {
        let preview = request.preview();
        own.lock()
            .unwrap()
            .push((request.method().to_owned(), preview));
        let rest = Script::new().send(CONTINUE).read_rest();
        match plan.seen.len() {
            1 => rest.send(infected("Eicar")),
            // The same without EICAR.
            2 => rest.send(CLEAN),
            _ => Script::new().send(CLEAN),
        }
    });
    let (builder, _clock) = fake.builder();
    let builder = builder.method(Method::Reqmod).preview(Preview::Limit(8));
    assert_eq!(verdict(&builder.build().unwrap()), Verdict::Clean);
    let expected = ("REQMOD".to_owned(), Some(8));
    assert_eq!(*methods.lock().unwrap(), vec![expected; 3]);
}

#[test]
fn service_that_trusts_previews_misses_the_canary() {
    let fake = Fake::start();
    let (builder, _clock) = fake.builder();
    let builder = builder.preview(Preview::Limit(8)).trust_preview(true);
    assert_eq!(verdict(&builder.build().unwrap()), NO_ENGINE);
}

#[test]
fn refusal_by_a_rule_is_no_proof() {
    let page = "ICAP/1.0 403 Forbidden\r\nISTag: \"1\"\r\n\r\n";
    // It refuses all archives, and scans nothing.
    let fake = Fake::with(move |_, request| match seen(request) {
        Seen::File => Script::new().send(tagged(CLEAN.as_bytes(), "1")),
        Seen::Canary | Seen::Control => Script::new().send(page),
    });
    assert_eq!(verdict(&fake.scanner().0), NO_ENGINE);
    assert_eq!(fake.seen(), [Seen::Canary, Seen::Control]);
    // It refuses what it finds, and does not say that it is infected.
    let fake = Fake::with(move |_, request| match seen(request) {
        Seen::Canary => Script::new().send(page),
        Seen::File | Seen::Control => Script::new().send(tagged(CLEAN.as_bytes(), "1")),
    });
    assert_eq!(verdict(&fake.scanner().0), Verdict::Clean);
    assert_eq!(fake.seen(), [Seen::Canary, Seen::Control, Seen::File]);
}

#[test]
fn threat_of_no_kind_is_no_proof_if_all_archives_have_it() {
    let named = |tag: &str| {
        let response = String::from_utf8(tagged(&infected("Rule"), tag)).unwrap();
        let field = "X-Infection-Found: Type=0; Resolution=2; Threat=Rule;";
        assert!(response.contains(field));
        response.replace(field, "X-Virus-ID: Rule")
    };
    for names_all in [true, false] {
        let fake = Fake::with(move |_, request| match seen(request) {
            Seen::Canary => Script::new().send(named("1")),
            Seen::Control if names_all => Script::new().send(named("1")),
            // Another server after the same address has another tag.
            _ => Script::new().send(tagged(CLEAN.as_bytes(), "2")),
        });
        let (scanner, _clock) = fake.scanner();
        let is_blind = || scanner.stats().endpoints[0].is_blind;
        let _ = verdict(&scanner);
        assert_eq!(is_blind(), names_all);
        assert!(fake.seen().starts_with(&[Seen::Canary, Seen::Control]));
    }
}

/// It offers something else, and does not scan that. Its state tag is the same.
#[test]
fn proof_does_not_hold_for_another_method_or_preview() {
    let preview = options_with_preview(8);
    let reqmod = OPTIONS_RESPONSE.replace("RESPMOD, REQMOD", "REQMOD");
    for changed in [preview, reqmod] {
        let offer = Arc::new(Mutex::new(OPTIONS_RESPONSE.to_owned()));
        let own = Arc::clone(&offer);
        let server = Server::answering(move |request| match request.method() {
            "OPTIONS" => Script::new().send(&*own.lock().unwrap()),
            "RESPMOD" if request.has_eicar() => Script::new().send(infected("Eicar")),
            _ => Script::new().send(CLEAN),
        });
        let server = server.unwrap();
        let clock = ManualClock::new();
        let builder = Scanner::builder(server.uri()).canary(Duration::from_secs(1 << 20));
        let builder = builder.preview(Preview::Negotiated).trust_preview(true);
        let scanner = builder.clock(clock.clone()).build().unwrap();
        let verdict = || {
            let report = scanner.scan("more than the preview").unwrap();
            report.verdict().clone()
        };
        assert_eq!(verdict(), Verdict::Clean);
        *offer.lock().unwrap() = changed;
        assert_eq!(verdict(), Verdict::Clean);
        // The options are valid for an hour.
        clock.advance(Duration::from_secs(3600));
        assert_eq!(verdict(), NO_ENGINE);
    }
}

/// As the rule "no archives" would be, by a service that calls each violation a virus.
#[test]
fn virus_in_all_archives_is_no_proof() {
    let fake = Fake::with(|_, request| match seen(request) {
        Seen::File => Script::new().send(CLEAN),
        Seen::Canary | Seen::Control => Script::new().send(infected("Rule.Archive")),
    });
    let (scanner, clock) = fake.scanner();
    let [canary, control] = [Seen::Canary, Seen::Control];
    for _ in 0..2 {
        assert_eq!(verdict(&scanner), NO_ENGINE);
        assert_eq!(fake.seen(), [canary, control]);
        assert!(scanner.stats().endpoints[0].is_blind);
        clock.advance(MINUTE);
    }
}

/// Such a service tells EICAR from what its rules refuse.
#[test]
fn virus_in_archives_that_a_rule_refuses_is_a_proof() {
    let virus = String::from_utf8(infected("Rule")).unwrap();
    let other_kind = virus.replace("Type=0", "Type=1");
    assert_ne!(virus, other_kind);
    let refusal = "ICAP/1.0 403 Forbidden\r\nISTag: \"icap-client-testing\"\r\n\r\n".to_owned();
    for response in [other_kind, refusal] {
        let fake = Fake::with(move |_, request| match seen(request) {
            Seen::Canary => Script::new().send(infected("Eicar")),
            Seen::Control => Script::new().send(&response),
            Seen::File => Script::new().send(CLEAN),
        });
        let (scanner, _clock) = fake.scanner();
        assert_eq!(verdict(&scanner), Verdict::Clean);
    }
}

#[test]
fn control_is_sent_once_for_a_state_tag() {
    let fake = Fake::start();
    let (scanner, clock) = fake.scanner();
    let [canary, control, file] = [Seen::Canary, Seen::Control, Seen::File];
    let seen_at_next = |tag: &str| {
        fake.set_tag(tag);
        clock.advance(EVERY);
        assert_eq!(verdict(&scanner), Verdict::Clean);
        fake.seen()
    };
    assert_eq!(seen_at_next("1"), [canary, control, file]);
    for _ in 0..10 {
        assert_eq!(seen_at_next("1"), [canary, file]);
    }
    assert_eq!(seen_at_next("2"), [canary, control, file]);
    assert_eq!(seen_at_next("1"), [canary, file]);
    assert_eq!(seen_at_next("2"), [canary, file]);
    // The same server may have other rules after it was blind.
    fake.set_finds(false);
    clock.advance(EVERY);
    assert_eq!(verdict(&scanner), NO_ENGINE);
    fake.set_finds(true);
    fake.seen();
    assert_eq!(seen_at_next("2"), [canary, control, file]);
}

#[test]
fn rule_for_archives_under_a_new_tag_ends_the_proof() {
    let fake = Fake::with(|plan, request| {
        let has_rule = plan.tag == "2" && seen(request) != Seen::File;
        match request.has_eicar() || has_rule {
            true => Script::new().send(tagged(&infected("Eicar"), &plan.tag)),
            false => Script::new().send(tagged(CLEAN.as_bytes(), &plan.tag)),
        }
    });
    let (scanner, _clock) = fake.scanner();
    assert_eq!(verdict(&scanner), Verdict::Clean);
    fake.set_tag("2");
    assert_eq!(verdict(&scanner), NO_ENGINE);
    assert!(scanner.stats().endpoints[0].is_blind);
}

/// The server's log must not blame a person for the canary.
#[test]
fn canary_has_the_user_of_the_scanner_and_not_of_content() {
    let user = |request: &Received| {
        let values = request.headers().get("X-Authenticated-User");
        values.map(|value| String::from_utf8_lossy(&value.value()).into_owned())
    };
    let fake =
        Fake::with(
            move |_, request| match (user(request).as_deref(), request.has_eicar()) {
                (None, _) => Script::new().send("ICAP/1.0 403 Forbidden\r\nISTag: \"1\"\r\n\r\n"),
                (Some("all"), true) => Script::new().send(infected("Eicar")),
                (Some(other), true) => unreachable!("{other}"),
                (Some(_), false) => Script::new().send(CLEAN),
            },
        );
    let scan = |builder: ScannerBuilder, user: Option<&str>| {
        let content = Content::from("hello");
        let content = match user {
            Some(user) => content.user(user),
            None => content,
        };
        let report = builder.build().unwrap().scan(content).unwrap();
        report.verdict().clone()
    };
    assert_eq!(scan(fake.builder().0, Some("joe")), NO_ENGINE);
    let builder = fake.builder().0.header("X-Authenticated-User", "all");
    assert_eq!(scan(builder, None), Verdict::Clean);
}

#[test]
fn missed_canary_drops_what_the_cache_has() {
    let fake = Fake::start();
    let (builder, clock) = fake.builder();
    let scanner = builder.cache(Cache::new()).build().unwrap();
    let scan = |id: &str| {
        let report = scanner.scan(Content::from("hello").id(id)).unwrap();
        (report.verdict().clone(), report.is_cached())
    };
    assert_eq!(scan("one"), (Verdict::Clean, false));
    assert_eq!(scan("one"), (Verdict::Clean, true));
    clock.advance(EVERY);
    fake.set_finds(false);
    assert_eq!(scan("two"), (NO_ENGINE, false));
    // Of a blind server not even an old verdict is given again.
    assert_eq!(scan("one"), (NO_ENGINE, false));
    fake.set_finds(true);
    clock.advance(SECOND);
    assert_eq!(scan("one"), (Verdict::Clean, false));
    assert_eq!(scan("one"), (Verdict::Clean, true));
}

/// Content that is read only after `before` has run.
struct After<F>(Option<F>, &'static [u8]);

impl<F: FnOnce()> Read for After<F> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if let Some(before) = self.0.take() {
            before();
        }
        self.1.read(buf)
    }
}

#[test]
fn missed_canary_drops_older_scans_too() {
    let fake = Fake::start();
    let (builder, clock) = fake.builder();
    let scanner = builder.cache(Cache::new()).build().unwrap();
    let scan = |content: Content<'_>| {
        let report = scanner.scan(content).unwrap();
        (report.verdict().clone(), report.is_cached())
    };
    // While the content is uploaded, another scan proves that the server scans. So the scan is clean, but it is not
    // known whether the engine was there until its response.
    let after = After(
        Some(|| {
            clock.advance(EVERY);
            assert_eq!(scan("other".into()), (Verdict::Clean, false));
            clock.advance(SECOND);
        }),
        b"hello",
    );
    let slow = Content::reader(after).len(5).id("slow");
    assert_eq!(scan(slow), (Verdict::Clean, false));
    let again = || Content::reader(&b"hello"[..]).len(5).id("slow");
    assert_eq!(scan(again()), (Verdict::Clean, true));
    clock.advance(EVERY);
    fake.set_finds(false);
    assert_eq!(scan("other".into()), (NO_ENGINE, false));
    fake.set_finds(true);
    clock.advance(SECOND);
    assert_eq!(scan("other".into()), (Verdict::Clean, false));
    assert_eq!(scan(again()), (Verdict::Clean, false));
}

#[test]
fn verdict_of_the_cache_needs_a_proof_that_holds() {
    let fake = Fake::start();
    let (builder, clock) = fake.builder();
    let scanner = builder.cache(Cache::new()).build().unwrap();
    let scan = || {
        let report = scanner.scan(Content::from("hello").id("id")).unwrap();
        (report.verdict().clone(), report.is_cached())
    };
    assert_eq!(scan(), (Verdict::Clean, false));
    // The server goes blind, and nothing else is scanned: the look-up sends the canary.
    for finds in [true, false] {
        fake.set_finds(finds);
        clock.advance(EVERY);
        fake.seen();
        let expected = match finds {
            true => (Verdict::Clean, true),
            false => (NO_ENGINE, false),
        };
        assert_eq!(scan(), expected);
        assert_eq!(fake.seen(), [Seen::Canary]);
    }
}

#[test]
fn infected_verdict_of_the_cache_needs_no_proof() {
    let fake = Fake::start();
    let (builder, clock) = fake.builder();
    let scanner = builder.cache(Cache::new()).build().unwrap();
    let virus = eicar();
    let scan = || scanner.scan(Content::bytes(&virus).id("id")).unwrap();
    assert!(scan().verdict().is_infected());
    clock.advance(EVERY);
    fake.seen();
    let report = scan();
    assert!(report.is_cached() && report.verdict().is_infected());
    assert_eq!(fake.seen(), []);
}

#[test]
fn verdict_of_a_scanner_without_canary_is_not_taken() {
    #[derive(Default)]
    struct Store(Mutex<HashMap<Vec<u8>, Vec<u8>>>);
    impl VerdictCache for Store {
        fn get(&self, key: &[u8]) -> io::Result<Option<Vec<u8>>> {
            Ok(self.0.lock().unwrap().get(key).cloned())
        }
        fn put(&self, key: &[u8], entry: &[u8], _: Duration) -> io::Result<()> {
            let mut entries = self.0.lock().unwrap();
            entries.insert(key.to_vec(), entry.to_vec());
            Ok(())
        }
    }
    let fake = Fake::start();
    let store = Arc::new(Store::default());
    let is_hit = |canary: Option<Duration>| {
        let cache = Cache::shared(Arc::clone(&store), [7; 32]);
        let scanner = fake.builder().0.canary(canary).cache(cache);
        let content = Content::from("hello").id("id");
        scanner.build().unwrap().scan(content).unwrap().is_cached()
    };
    assert_eq!([None, None].map(is_hit), [false, true]);
    assert_eq!([Some(EVERY), Some(EVERY)].map(is_hit), [false, true]);
}

/// A reader that can be read only once is copied whole, and no file goes to the blind server.
#[test]
fn copy_is_complete_although_the_server_is_blind() {
    let fake = Fake::start();
    fake.set_finds(false);
    let (scanner, _clock) = fake.scanner();
    let content = vec![b'x'; 1_000_000];
    for content in [Content::bytes(&content), Content::reader(&content[..])] {
        let mut copy = Vec::new();
        let teed = scanner.scan_tee(content, &mut copy).unwrap();
        assert_eq!(*teed.outcome.unwrap().verdict(), NO_ENGINE);
        assert_eq!(copy.len(), 1_000_000);
    }
    fake.set_finds(true);
    assert_eq!(fake.seen(), [Seen::Canary]);
}

#[test]
fn threads_share_one_canary() {
    let fake = Fake::start();
    let (scanner, _clock) = fake.scanner();
    thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| assert_eq!(verdict(&scanner), Verdict::Clean));
        }
    });
    let seen = fake.seen();
    assert_eq!(seen.iter().filter(|seen| **seen == Seen::Canary).count(), 1);
    assert_eq!(seen[0], Seen::Canary);
    // The same after a change of the tag: all of them wait for one canary.
    fake.set_tag("2");
    thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| assert_eq!(verdict(&scanner), Verdict::Clean));
        }
    });
    assert_eq!(scanner.stats().endpoints[0].canaries, 2);
}

#[test]
fn others_go_on_while_the_last_proof_holds() {
    let gate = Gate::new();
    let own = gate.clone();
    let fake = Fake::with(move |plan, request| match request.has_eicar() {
        true if plan.seen.len() > 1 => Script::new().wait_for(&own).send(infected("Eicar")),
        true => Script::new().send(infected("Eicar")),
        false => Script::new().send(CLEAN),
    });
    let (scanner, clock) = fake.scanner();
    assert_eq!(verdict(&scanner), Verdict::Clean);
    clock.advance(EVERY / 4 * 3);
    thread::scope(|scope| {
        let runner = scope.spawn(|| verdict(&scanner));
        while scanner.stats().endpoints[0].canaries < 2 {
            thread::yield_now();
        }
        assert_eq!(verdict(&scanner), Verdict::Clean);
        // The proof ends, so the next scan waits, and no longer than its deadline.
        clock.advance(EVERY);
        let hasty = Content::from("hello").deadline(Duration::from_millis(50));
        let error = scanner.scan(hasty).unwrap_err();
        assert!(error.is_timeout(), "{error:?}");
        gate.open();
        assert_eq!(verdict(&scanner), Verdict::Clean);
        assert_eq!(runner.join().unwrap(), Verdict::Clean);
    });
    assert_eq!(scanner.stats().endpoints[0].failures, 0);
}

#[test]
fn failed_canary_is_no_error_while_a_proof_holds() {
    let fake = Fake::with(|plan, request| match request.has_eicar() {
        true if plan.finds => Script::new().send(infected("Eicar")),
        true => Script::new().close(),
        false => Script::new().send(CLEAN),
    });
    let (scanner, clock) = fake.scanner();
    assert_eq!(verdict(&scanner), Verdict::Clean);
    fake.set_finds(false);
    clock.advance(EVERY / 4 * 3);
    for _ in 0..3 {
        fake.seen();
        assert_eq!(verdict(&scanner), Verdict::Clean);
        // On a used connection the canary is sent once more on a new one.
        assert!(fake.seen().starts_with(&[Seen::Canary]));
    }
    clock.advance(EVERY / 4);
    fake.seen();
    assert!(scanner.scan("hello").is_err());
    assert!(!fake.seen().contains(&Seen::File));
}

#[test]
fn slow_canary_leaves_time_while_a_proof_holds() {
    let gate = Gate::new();
    let own = gate.clone();
    let fake = Fake::with(move |plan, request| match request.has_eicar() {
        true if plan.finds => Script::new().send(infected("Eicar")),
        true => Script::new().wait_for(&own).close(),
        false => Script::new().send(CLEAN),
    });
    let (scanner, clock) = fake.scanner();
    assert_eq!(verdict(&scanner), Verdict::Clean);
    fake.set_finds(false);
    clock.advance(EVERY / 4 * 3);
    let content = Content::from("hello").deadline(4 * SECOND);
    assert!(scanner.scan(content).unwrap().verdict().is_clean());
    gate.open();
    let endpoint = scanner.stats().endpoints[0].clone();
    assert_eq!((endpoint.canaries, endpoint.failures), (2, 0));
}

/// Otherwise the scan would wait for its timeout a second time, and only the second one would count.
#[test]
fn hanging_canary_counts_and_leads_to_the_next_server() {
    let first = Fake::with(|plan, request| match request.has_eicar() {
        true if plan.finds => Script::new().send(infected("Eicar")),
        true => Script::new().hold(),
        false => Script::new().send(CLEAN),
    });
    let second = Fake::start();
    let (builder, clock) = first.builder();
    let builder = builder.response_timeout(2 * SECOND).suspend_after(1);
    let scanner = builder.endpoint(second.server.uri()).build().unwrap();
    assert_eq!(verdict(&scanner), Verdict::Clean);
    first.set_finds(false);
    clock.advance(EVERY / 4 * 3);
    first.seen();
    let report = scanner.scan("hello").unwrap();
    assert!(report.verdict().is_clean());
    assert_eq!(report.service(), second.server.uri());
    assert_eq!(first.seen(), [Seen::Canary]);
    let stats = scanner.stats();
    assert_eq!(stats.suspended[0].service, first.server.uri());
    assert_eq!(stats.endpoints[0].failures, 1);
    assert!(!stats.endpoints[0].is_blind);
}

/// Each scan brings the content through, and waits for the timeout of a canary after it.
#[test]
fn hanging_canaries_after_a_new_tag_suspend_the_server() {
    let fake = Fake::with(|plan, request| match request.has_eicar() {
        true if plan.finds => Script::new().send(tagged(&infected("Eicar"), &plan.tag)),
        true => Script::new().hold(),
        false => Script::new().send(tagged(CLEAN.as_bytes(), &plan.tag)),
    });
    let (builder, clock) = fake.builder();
    let builder = builder.response_timeout(2 * SECOND).suspend_after(2);
    let scanner = builder.build().unwrap();
    assert_eq!(verdict(&scanner), Verdict::Clean);
    fake.set_tag("2");
    fake.set_finds(false);
    fake.seen();
    for failures in [1, 2] {
        assert!(scanner.scan("hello").unwrap_err().is_timeout());
        assert_eq!(fake.seen(), [Seen::File, Seen::Canary]);
        let stats = scanner.stats();
        assert_eq!(stats.endpoints[0].failures, failures);
        assert_eq!(stats.suspended.len(), usize::from(failures == 2));
    }
    // The trial ends the outage only with the canary.
    fake.set_finds(true);
    clock.advance(2 * SECOND);
    assert_eq!(verdict(&scanner), Verdict::Clean);
    assert_eq!(fake.seen(), [Seen::File, Seen::Canary, Seen::Control]);
    assert!(scanner.stats().suspended.is_empty());
}

/// Otherwise the response to the content would close the circuit, and the next scans would all wait.
#[test]
fn trial_fails_with_its_canary_after_a_new_tag() {
    let fake = Fake::with(|plan, request| match request.has_eicar() {
        true if plan.finds => Script::new().send(tagged(&infected("Eicar"), &plan.tag)),
        true => Script::new().close(),
        false => Script::new().send(tagged(CLEAN.as_bytes(), &plan.tag)),
    });
    let (builder, clock) = fake.builder();
    let scanner = builder.suspend_after(1).build().unwrap();
    assert_eq!(verdict(&scanner), Verdict::Clean);
    fake.set_tag("2");
    fake.set_finds(false);
    assert!(scanner.scan("hello").is_err());
    for failures in [2, 3] {
        clock.advance(10 * SECOND);
        assert!(scanner.scan("hello").is_err());
        let stats = scanner.stats();
        assert_eq!(stats.endpoints[0].failures, failures);
        assert_eq!(stats.suspended.len(), 1, "{failures}");
    }
}

/// Fails once with this number of the system.
struct Fails(Arc<Mutex<Option<i32>>>);

impl Connect for Fails {
    fn connect(&self, service: &ServiceUri, timeout: Duration) -> io::Result<Box<dyn Stream>> {
        match self.0.lock().unwrap().take() {
            Some(number) => Err(io::Error::from_raw_os_error(number)),
            None => icap_client::transport::TcpConnector.connect(service, timeout),
        }
    }
}

#[test]
#[cfg_attr(not(target_os = "linux"), ignore = "the numbers are those of Linux")]
fn canary_without_a_connection_counts_by_its_cause() {
    const REFUSED: i32 = 111;
    const TOO_MANY_FILES: i32 = 24;
    for (number, failures) in [(REFUSED, 1), (TOO_MANY_FILES, 0)] {
        let (fake, next) = (Fake::start(), Arc::new(Mutex::new(None)));
        let (builder, clock) = fake.builder();
        let builder = builder.connector(Fails(Arc::clone(&next))).max_idle(0);
        let scanner = builder.build().unwrap();
        assert_eq!(verdict(&scanner), Verdict::Clean);
        clock.advance(EVERY / 4 * 3);
        fake.seen();
        *next.lock().unwrap() = Some(number);
        // A shortage on this machine does not speak against the server, so the proof is enough.
        let is_clean = scanner
            .scan("hello")
            .is_ok_and(|it| it.verdict().is_clean());
        assert_eq!(is_clean, failures == 0);
        assert_eq!(scanner.stats().endpoints[0].failures, failures);
        assert_eq!(fake.seen().len(), usize::from(is_clean));
    }
}

/// The server scanned, and only this machine had no connection for the canary.
#[test]
#[cfg_attr(not(target_os = "linux"), ignore = "the numbers are those of Linux")]
fn trial_succeeds_though_its_canary_fails_here() {
    const REFUSED: i32 = 111;
    const TOO_MANY_FILES: i32 = 24;
    let next = Arc::new(Mutex::new(None));
    let own = Arc::clone(&next);
    let fake = Fake::with(move |plan, request| {
        if plan.tag == "2" && seen(request) == Seen::File {
            *own.lock().unwrap() = Some(TOO_MANY_FILES);
        }
        match request.has_eicar() {
            true => Script::new().send(tagged(&infected("Eicar"), &plan.tag)),
            false => Script::new().send(tagged(CLEAN.as_bytes(), &plan.tag)),
        }
    });
    let (builder, clock) = fake.builder();
    let builder = builder.connector(Fails(Arc::clone(&next))).max_idle(0);
    let scanner = builder.negotiate(false).suspend_after(1).build().unwrap();
    assert_eq!(verdict(&scanner), Verdict::Clean);
    *next.lock().unwrap() = Some(REFUSED);
    assert!(scanner.scan("hello").is_err());
    assert_eq!(scanner.stats().suspended.len(), 1);
    fake.set_tag("2");
    clock.advance(2 * SECOND);
    assert!(scanner.scan("hello").is_err());
    let stats = scanner.stats();
    assert_eq!(stats.endpoints[0].failures, 1);
    assert!(stats.suspended.is_empty());
}

/// The scans that waited for it have had the response to their content.
#[test]
fn hanging_canary_after_content_counts_once() {
    let fake = Fake::with(|plan, request| match request.has_eicar() {
        true if plan.finds => Script::new().send(tagged(&infected("Eicar"), &plan.tag)),
        true => Script::new().hold(),
        false => Script::new().send(tagged(CLEAN.as_bytes(), &plan.tag)),
    });
    let (builder, _clock) = fake.builder();
    let builder = builder.response_timeout(2 * SECOND).suspend_after(1000);
    let scanner = builder.build().unwrap();
    assert_eq!(verdict(&scanner), Verdict::Clean);
    fake.set_tag("2");
    fake.set_finds(false);
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| assert!(scanner.scan("hello").unwrap_err().is_timeout()));
        }
    });
    let endpoint = scanner.stats().endpoints[0].clone();
    assert_eq!(endpoint.failures, endpoint.canaries - 1, "{endpoint:?}");
}

/// Finds EICAR, and responds to the file "slow" when the gate opens.
fn slow_fake(gate: &Gate) -> Fake {
    let gate = gate.clone();
    Fake::with(move |plan, request| match request.has_eicar() {
        true if plan.finds => Script::new().send(infected("Eicar")),
        false if request.body() == b"slow" => Script::new().wait_for(&gate).send(CLEAN),
        _ => Script::new().send(CLEAN),
    })
}

/// The scan of the file may fall into the time in which the server was blind.
#[test]
fn canary_missed_during_a_scan_counts_against_it() {
    for finds_again in [false, true] {
        let gate = Gate::new();
        let fake = slow_fake(&gate);
        let (scanner, clock) = fake.scanner();
        assert_eq!(verdict(&scanner), Verdict::Clean);
        thread::scope(|scope| {
            let slow = scope.spawn(|| scanner.scan("slow").unwrap().verdict().clone());
            while fake.plan.lock().unwrap().seen.len() < 4 {
                thread::yield_now();
            }
            fake.set_finds(false);
            clock.advance(EVERY);
            assert_eq!(verdict(&scanner), NO_ENGINE);
            fake.set_finds(true);
            // The next canary is due, and is found.
            clock.advance(SECOND);
            if finds_again {
                assert_eq!(verdict(&scanner), Verdict::Clean);
            }
            gate.open();
            assert_eq!(slow.join().unwrap(), NO_ENGINE, "{finds_again}");
        });
        assert_eq!(verdict(&scanner), Verdict::Clean);
    }
}

/// Its server may have looked at the canary before it went blind.
#[test]
fn canary_that_overlaps_a_missed_one_is_no_proof() {
    let gate = Gate::new();
    let own = gate.clone();
    let fake = Fake::with(
        move |plan, request| match (request.has_eicar(), plan.seen.len()) {
            (true, 2) => Script::new().wait_for(&own).send(infected("Eicar")),
            (true, _) if plan.finds => Script::new().send(infected("Eicar")),
            _ => Script::new().send(CLEAN),
        },
    );
    fake.set_finds(false);
    let (scanner, clock) = fake.scanner();
    assert_eq!(verdict(&scanner), NO_ENGINE);
    clock.advance(SECOND);
    thread::scope(|scope| {
        let slow = scope.spawn(|| verdict(&scanner));
        while fake.plan.lock().unwrap().seen.len() < 2 {
            thread::yield_now();
        }
        clock.advance(SECOND);
        assert_eq!(verdict(&scanner), NO_ENGINE);
        gate.open();
        assert_eq!(slow.join().unwrap(), NO_ENGINE);
    });
    // No file was sent to the blind server.
    let [canary, control] = [Seen::Canary, Seen::Control];
    assert_eq!(fake.seen(), [canary, canary, canary, control]);
    assert!(scanner.stats().endpoints[0].is_blind);
    fake.set_finds(true);
    clock.advance(2 * SECOND);
    assert_eq!(verdict(&scanner), Verdict::Clean);
}

#[test]
fn waiting_scans_share_the_failure_of_a_canary() {
    let gate = Gate::new();
    let own = gate.clone();
    let fake = Fake::with(move |_, request| match request.has_eicar() {
        true => Script::new().wait_for(&own).close(),
        false => Script::new().send(CLEAN),
    });
    let (builder, _clock) = fake.builder();
    let scanner = builder.suspend_after(1000).build().unwrap();
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| assert!(scanner.scan("hello").is_err()));
        }
        while scanner.stats().scans_in_flight < 8 {
            thread::yield_now();
        }
        gate.open();
    });
    assert!(!fake.seen().contains(&Seen::File));
    // One caller counts it.
    let endpoint = scanner.stats().endpoints[0].clone();
    assert!(endpoint.failures <= endpoint.canaries, "{endpoint:?}");
    assert!(!endpoint.is_blind);
}

#[test]
fn panic_during_a_canary_frees_the_others() {
    struct Panics(std::sync::atomic::AtomicBool);
    impl icap_client::Connect for Panics {
        fn connect(
            &self,
            service: &icap_client::ServiceUri,
            timeout: Duration,
        ) -> std::io::Result<Box<dyn icap_client::Stream>> {
            assert!(
                !self.0.swap(false, std::sync::atomic::Ordering::SeqCst),
                "once"
            );
            icap_client::transport::TcpConnector.connect(service, timeout)
        }
    }
    let fake = Fake::start();
    let (builder, _clock) = fake.builder();
    let panics = Panics(std::sync::atomic::AtomicBool::new(true));
    let scanner = builder.negotiate(false).connector(panics).build().unwrap();
    let own = scanner.clone();
    assert!(
        thread::spawn(move || own.scan("hello").is_ok())
            .join()
            .is_err()
    );
    assert_eq!(verdict(&scanner), Verdict::Clean);
}

#[test]
fn self_test_needs_no_canary() {
    let server = Server::start().unwrap().offering(OPTIONS_RESPONSE).unwrap();
    let builder = Scanner::builder(server.uri())
        .canary(EVERY)
        .max_size(1 << 20);
    let scanner = builder
        .response_timeout(Duration::from_secs(3600))
        .deadline(None);
    let scanner = scanner.build().unwrap();
    assert!(scanner.self_test().unwrap().passed());
    assert_eq!(scanner.stats().endpoints[0].canaries, 0);
}

/// A service that decides on the preview must not have seen EICAR in it.
#[test]
fn canary_is_longer_than_the_preview() {
    for preview in [1024, 4096, 65536] {
        let sizes = Arc::new(Mutex::new(Vec::new()));
        let own = Arc::clone(&sizes);
        let server = Server::answering(move |request| {
            if request.method() == "OPTIONS" {
                return Script::new().send(options_with_preview(preview));
            }
            let mut sizes = own.lock().unwrap();
            sizes.push((request.body().len(), request.has_eicar()));
            let rest = Script::new().send(CONTINUE).read_rest();
            match sizes.len() {
                1 => rest.send(infected("Eicar")),
                // The same without EICAR.
                2 => rest.send(CLEAN),
                _ => Script::new().send(CLEAN),
            }
        });
        let server = server.unwrap();
        let builder = Scanner::builder(server.uri()).canary(EVERY);
        let scanner = builder.preview(Preview::Limit(1 << 20)).build().unwrap();
        assert_eq!(verdict(&scanner), Verdict::Clean);
        assert_eq!(sizes.lock().unwrap()[..2], [(preview, false); 2]);
    }
}

/// A server that decides on previews, and finds EICAR in what is sent without one. `lists` is in its options.
fn hasty_server(lists: &str) -> Server {
    let offer = format!("Preview: 8\r\n{lists}\r\nEncapsulated:");
    let options = OPTIONS_RESPONSE.replace("Encapsulated:", &offer);
    let server = Server::answering(move |request| match request.method() {
        "OPTIONS" => Script::new().send(&options),
        _ if request.has_eicar() => Script::new().send(infected("Eicar")),
        _ => Script::new().send(CLEAN),
    });
    server.unwrap()
}

#[test]
fn canary_has_a_preview_if_any_file_can_have_one() {
    for (lists, has_preview) in [
        ("Transfer-Preview: *\r\nTransfer-Complete: zip", true),
        ("Transfer-Preview: txt\r\nTransfer-Complete: *", true),
        ("Transfer-Preview: txt\r\nTransfer-Ignore: zip, *", true),
        ("Transfer-Preview: TXT, zip\r\nTransfer-Complete: zip", true),
        ("Transfer-Complete: *", false),
        ("Transfer-Preview: zip\r\nTransfer-Complete: zip, *", false),
    ] {
        let server = hasty_server(lists);
        for preview in [Preview::Limit(8), Preview::Negotiated] {
            let builder = Scanner::builder(server.uri()).canary(EVERY);
            let scanner = builder.preview(preview).trust_preview(true);
            let content = Content::from("more than the preview").name("a.txt");
            let report = scanner.build().unwrap().scan(content).unwrap();
            let expected = match has_preview {
                true => NO_ENGINE,
                false => Verdict::Clean,
            };
            assert_eq!(*report.verdict(), expected, "{lists}");
        }
    }
}

/// The time for waits is set by the test, and nothing expires.
#[derive(Clone)]
struct WaitClock(Instant, Arc<Mutex<Duration>>);

impl Clock for WaitClock {
    fn now(&self) -> Instant {
        self.0
    }

    fn now_for_waits(&self) -> Instant {
        self.0 + *self.1.lock().unwrap()
    }
}

/// The time for which a scan has waited for a connection does not count for its canary.
#[test]
fn canary_after_content_stands_in_line_anew() {
    let (first, last) = (Gate::new(), Gate::new());
    let (own_first, own_last) = (first.clone(), last.clone());
    let fake = Fake::with(move |plan, request| match request.body() {
        b"first" => Script::new()
            .wait_for(&own_first)
            .send(tagged(CLEAN.as_bytes(), "1")),
        b"last" => Script::new()
            .wait_for(&own_last)
            .send(tagged(CLEAN.as_bytes(), "2")),
        _ if request.has_eicar() => Script::new().send(tagged(&infected("Eicar"), &plan.tag)),
        _ => Script::new().send(tagged(CLEAN.as_bytes(), &plan.tag)),
    });
    let wait = 10 * SECOND;
    let clock = WaitClock(Instant::now(), Arc::default());
    let builder = Scanner::builder(fake.server.uri()).canary(EVERY);
    let builder = builder.clock(clock.clone()).max_connections(1);
    let builder = builder.wait_timeout(wait).deadline(None);
    let builder = builder.read_timeout(100 * wait);
    let scanner = builder.build().unwrap();
    assert_eq!(verdict(&scanner), Verdict::Clean);
    let is_clean = |content: &'static str| scanner.scan(content).unwrap().verdict().is_clean();
    let until = |seen: usize, waiting: u64| {
        let is_reached = || {
            let of_server = fake.plan.lock().unwrap().seen.len();
            let in_line = scanner.stats().endpoints[0].waiting_callers;
            of_server == seen && in_line == waiting
        };
        while !is_reached() {
            thread::yield_now();
        }
    };
    thread::scope(|scope| {
        let others = scope.spawn(|| is_clean("first"));
        until(4, 0);
        let scan = scope.spawn(|| is_clean("hello"));
        until(4, 1);
        *clock.1.lock().unwrap() += wait - Duration::from_millis(10);
        let after = scope.spawn(|| is_clean("last"));
        until(4, 2);
        fake.set_tag("2");
        first.open();
        // The connection goes to the next in line before the canary.
        until(6, 1);
        *clock.1.lock().unwrap() += SECOND;
        // A canary without time would give up in this time.
        let begin = Instant::now();
        while !scan.is_finished() && begin.elapsed() < Duration::from_millis(100) {
            thread::yield_now();
        }
        last.open();
        assert!([others, scan, after].map(|scan| scan.join().unwrap()) == [true; 3]);
    });
}

/// To wait for room would be to send the content once more, with the same end.
#[test]
fn content_is_sent_once_if_its_canary_finds_no_room() {
    const FULL: &str = "ICAP/1.0 503 Service Unavailable\r\nConnection: close\r\n\r\n";
    let gate = Gate::new();
    let own_gate = gate.clone();
    let fake = Fake::with(move |plan, request| match request.body() {
        b"slow" => Script::new()
            .wait_for(&own_gate)
            .send(tagged(CLEAN.as_bytes(), "1")),
        _ if request.has_eicar() && plan.finds => {
            Script::new().send(tagged(&infected("Eicar"), &plan.tag))
        }
        _ if request.has_eicar() => Script::new().send(FULL),
        _ => Script::new().send(tagged(CLEAN.as_bytes(), &plan.tag)),
    });
    let (scanner, _clock) = fake.scanner();
    assert_eq!(verdict(&scanner), Verdict::Clean);
    thread::scope(|scope| {
        let slow = scope.spawn(|| scanner.scan("slow").unwrap().verdict().is_clean());
        while fake.plan.lock().unwrap().seen.len() < 4 {
            thread::yield_now();
        }
        fake.set_tag("2");
        fake.set_finds(false);
        let error = scanner.scan("hello").unwrap_err();
        assert_eq!(error.status(), Some(503), "{error}");
        gate.open();
        assert!(slow.join().unwrap());
    });
    let files = fake
        .seen()
        .iter()
        .filter(|&&seen| seen == Seen::File)
        .count();
    assert_eq!(files, 3);
}
