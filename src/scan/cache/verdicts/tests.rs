use std::sync::{Mutex, OnceLock};
use std::thread::{self, ThreadId};

use super::*;
use crate::evidence::{Threat, Threats};
use crate::net::deadline::Deadline;
use crate::proto::method::Method;
use crate::proto::response::Response;
use crate::proto::response_reader::ResponseReader;
use crate::scan::cache::store::Memory;
use crate::scan::metadata::About;
use crate::seam::time::{Clock, SystemClock, Time};

const KEY: Hash = [1; 16];
/// So that no wait ends by itself.
const LONG: Duration = Duration::from_secs(300);

const AGES: Ages = Ages {
    max_age: Duration::from_secs(3600),
    revalidate: Duration::from_secs(60),
};

fn response(tag: &str) -> Response {
    let input = format!("ICAP/1.0 204 No Content\r\nISTag: {tag}\r\n\r\n");
    let input = input.as_bytes();
    let mut reader = ResponseReader::new(Method::Respmod, 0);
    let mut used = 0;
    while !reader.has_ended() {
        used += reader.feed(&input[used..]).unwrap().0;
    }
    reader.into_remains().response.unwrap()
}

/// A client that has just seen the tag, and a cache.
fn opened() -> (Client, Verdicts) {
    opened_with(SystemClock)
}

fn opened_with(clock: impl Clock + 'static) -> (Client, Verdicts) {
    let builder = Client::builder("icap://127.0.0.1/scan").read_timeout(LONG);
    let client = builder.clock(clock).build().unwrap();
    let now = client.now();
    client.state().saw(&response("tag-1"), now, now);
    let store = Box::new(Memory::new(1, Time::default()));
    (client, Verdicts::new(store, [7; 32], AGES, None, now))
}

fn entry(verdict: Verdict, made: Made) -> Entry {
    Entry {
        verdict,
        state_tag: b"tag-1".to_vec(),
        content_len: 5,
        made,
    }
}

/// An entry of this turn.
fn sealed(turn: &Turn<'_>, client: &Client, verdict: Verdict) -> Arc<[u8]> {
    let Verdicts { hash, .. } = turn.verdicts;
    let made = turn.verdicts.made(turn.began, client.now());
    let bytes = entry(verdict, made).encode(hash, turn.watch.key());
    bytes.unwrap().into()
}

fn infected() -> Verdict {
    let threat = Threat {
        name: Some("Worm".to_owned()),
        kind: None,
        resolution: None,
        file: None,
        problem: None,
        description: None,
    };
    Verdict::Infected(Threats::new(vec![threat]).unwrap())
}

/// Whether an entry that was made then holds.
fn holds(client: &Client, verdicts: &Verdicts, made: Made) -> bool {
    let entry = entry(Verdict::Clean, made);
    let bytes = entry.encode(&verdicts.hash, &KEY).unwrap();
    let watch = verdicts.objections.watch(KEY);
    verdicts.found(&watch, bytes.into(), client, None).is_some()
}

#[test]
fn entry_of_another_cache_is_dated_by_the_calendar() {
    let (client, verdicts) = opened();
    let now = time::calendar_ms();
    let hour = 3_600_000;
    for (calendar_ms, expected) in [
        (now, true),
        (now - hour / 2, true),
        (now - hour - 1, false),
        // The clock of the other machine is fast.
        (now + hour, false),
        (0, false),
        (u64::MAX, false),
    ] {
        let made = Made {
            origin: verdicts.origin.wrapping_add(1),
            offset_ns: 0,
            calendar_ms,
        };
        assert_eq!(holds(&client, &verdicts, made), expected, "{calendar_ms}");
    }
}

#[test]
fn own_entry_is_dated_by_the_clock_of_the_scanner() {
    let (client, verdicts) = opened();
    for (offset_ns, expected) in [(0, true), (u64::MAX, false)] {
        let made = Made {
            origin: verdicts.origin,
            offset_ns,
            calendar_ms: 0,
        };
        assert_eq!(holds(&client, &verdicts, made), expected, "{offset_ns}");
    }
}

#[test]
fn forgotten_time_applies_to_entries_of_all_caches() {
    let (client, verdicts) = opened();
    let made_ago = |origin, ms| Made {
        origin,
        offset_ns: 0,
        calendar_ms: time::calendar_ms() - ms,
    };
    let own = made_ago(verdicts.origin, 0);
    let other = |ms| made_ago(verdicts.origin.wrapping_add(1), ms);
    assert!(holds(&client, &verdicts, own) && holds(&client, &verdicts, other(500_000)));
    let until = client.now().checked_sub(Duration::from_secs(600));
    client.state().forget(until.unwrap());
    assert!(holds(&client, &verdicts, own));
    assert!(holds(&client, &verdicts, other(500_000)));
    assert!(!holds(&client, &verdicts, other(700_000)));
    client.state().forget(client.now());
    assert!(!holds(&client, &verdicts, own));
    assert!(!holds(&client, &verdicts, other(500_000)));
}

/// A clock that one thread cannot read while the test has the gate.
#[derive(Clone, Default)]
struct Gated {
    waiter: Arc<OnceLock<ThreadId>>,
    gate: Arc<Mutex<()>>,
}

impl Clock for Gated {
    fn now(&self) -> Instant {
        if self.waiter.get() == Some(&thread::current().id()) {
            drop(self.gate.lock().unwrap());
        }
        Instant::now()
    }

    fn now_for_waits(&self) -> Instant {
        self.now()
    }
}

/// The turn of a scan of the content, and what it finds.
fn look_up<'v>(client: &Client, verdicts: &'v Verdicts) -> (Turn<'v>, Option<Found>) {
    let call = Call::new(client, Deadline::by_system(None), None);
    let mut turn = with_subject(|subject| verdicts.turn(client, subject)).unwrap();
    let found = turn.look_up(&call, None);
    (turn, found)
}

fn with_subject<T>(use_it: impl FnOnce(&Subject<'_>) -> T) -> T {
    let mut about = About::default();
    about.details_mut().id = Some(b"id".to_vec());
    let request = about.request(Method::Respmod, None).unwrap();
    use_it(&Subject {
        request: &request,
        about: &about,
        length: None,
        rules: &(),
    })
}

#[test]
fn waiter_that_is_late_sees_an_objection_that_ended() {
    let clock = Gated::default();
    let (client, verdicts) = opened_with(clock.clone());
    let (leader, found) = look_up(&client, &verdicts);
    assert!(found.is_none());
    let clean = sealed(&leader, &client, Verdict::Clean);
    thread::scope(|scope| {
        let waiter = scope.spawn(|| {
            clock.waiter.set(thread::current().id()).unwrap();
            let (_, found) = look_up(&client, &verdicts);
            found.map(|found| found.report.verdict().clone())
        });
        while verdicts.flights.waiters(leader.watch.key()) == 0 {
            thread::yield_now();
        }
        // It waits for the leader, and does not look at the verdict before the gate is open.
        let gate = clock.gate.lock().unwrap();
        leader.keep_clean(&client, clean);
        drop(leader);
        let objector = with_subject(|subject| verdicts.turn(&client, subject));
        objector.unwrap().object(&client, None);
        drop(gate);
        assert_eq!(waiter.join().unwrap(), None);
    });
}

#[test]
fn infected_that_is_not_given_is_not_replaced_by_clean() {
    let forget = |client: &Client| client.state().forget(client.now());
    let doubt = |client: &Client| {
        let (long_ago, now) = (client.now().checked_sub(LONG), client.now());
        let response = response("tag-2");
        client.state().saw(&response, long_ago.unwrap(), now);
    };
    for happens in [forget as fn(&Client), doubt] {
        let (client, verdicts) = opened();
        let (finder, _) = look_up(&client, &verdicts);
        let stored = sealed(&finder, &client, infected());
        finder.object(&client, Some(Arc::clone(&stored)));
        let key = *finder.watch.key();
        drop(finder);
        happens(&client);
        let (mut turn, found) = look_up(&client, &verdicts);
        assert!(found.is_none());
        turn.begin(client.now());
        turn.keep_clean(&client, sealed(&turn, &client, Verdict::Clean));
        let kept = store::get(&*verdicts.store, &key);
        assert_eq!(kept.as_deref(), Some(&*stored));
    }
}

#[test]
fn verdict_that_was_found_is_looked_for_in_the_store() {
    let (client, verdicts) = opened();
    let (turn, _) = look_up(&client, &verdicts);
    let clean = sealed(&turn, &client, Verdict::Clean);
    let find = sealed(&turn, &client, infected());
    let found = |is_landed| Found {
        is_landed,
        ..verdicts
            .found(&turn.watch, Arc::clone(&clean), &client, None)
            .unwrap()
    };
    let is_still_stored = || [false, true].map(|is_landed| turn.is_still_stored(&found(is_landed)));
    assert_eq!(is_still_stored(), [false, false]);
    for (entry, expected) in [
        (&*clean, [true, true]),
        (b"another", [false, true]),
        (&*find, [false, false]),
        (b"", [false, false]),
    ] {
        assert!(turn.put(entry));
        assert_eq!(is_still_stored(), expected, "{entry:?}");
    }
}
