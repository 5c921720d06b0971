//! The verdict cache: when a stored verdict is given again, and when it is not.

mod support;

use std::collections::HashMap;
use std::io::{self, Read};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use icap_client::error::{ErrorKind, InvalidInput};
use icap_client::testing::{
    CLEAN, Gate, ManualClock, OPTIONS_RESPONSE, Script, Server, echo, eicar, infected,
    options_with_preview,
};
use icap_client::{
    Cache, Cancel, Content, Endpoint, Error, Method, NotScanned, Preview, Report, Scanner,
    ScannerBuilder, Verdict, VerdictCache,
};
use support::content::holding;

const MINUTE: Duration = Duration::from_secs(60);
const SECRET: [u8; 32] = [7; 32];

/// `response` with this state tag, or without one.
fn tagged(response: impl AsRef<[u8]>, tag: &str) -> Vec<u8> {
    let response = String::from_utf8(response.as_ref().to_vec()).unwrap();
    let field = match tag {
        "" => String::new(),
        tag => format!("ISTag: \"{tag}\"\r\n"),
    };
    let old = "ISTag: \"icap-client-testing\"\r\n";
    response.replacen(old, &field, 1).into_bytes()
}

/// What a server does, and how often it was asked.
#[derive(Default)]
struct Plan {
    tag: Mutex<String>,
    /// The response to the next scan only.
    next: Mutex<Option<Script>>,
    /// The response to scans. `None` is that of a healthy server.
    response: Mutex<Option<Vec<u8>>>,
    scans: AtomicUsize,
    options: AtomicUsize,
    /// Bytes of the preview that it offers.
    preview: AtomicUsize,
    /// It closes each connection at the first request.
    is_down: AtomicBool,
}

impl Plan {
    fn set_down(&self, is_down: bool) {
        self.is_down.store(is_down, SeqCst);
    }

    fn scans(&self) -> usize {
        self.scans.load(SeqCst)
    }

    fn options(&self) -> usize {
        self.options.load(SeqCst)
    }

    fn set_tag(&self, tag: &str) {
        tag.clone_into(&mut self.tag.lock().unwrap());
    }

    fn respond_next(&self, script: Script) {
        *self.next.lock().unwrap() = Some(script);
    }

    fn respond(&self, response: impl Into<Vec<u8>>) {
        *self.response.lock().unwrap() = Some(response.into());
    }
}

fn planned() -> (Server, Arc<Plan>) {
    let plan = Arc::new(Plan::default());
    plan.set_tag("tag-1");
    plan.preview.store(4, SeqCst);
    let of_server = Arc::clone(&plan);
    let server = Server::answering(move |request| {
        let plan = &of_server;
        if plan.is_down.load(SeqCst) {
            return Script::new().close();
        }
        let response = if request.method() == "OPTIONS" {
            plan.options.fetch_add(1, SeqCst);
            options_with_preview(plan.preview.load(SeqCst)).into_bytes()
        } else {
            plan.scans.fetch_add(1, SeqCst);
            if let Some(script) = plan.next.lock().unwrap().take() {
                return script;
            }
            let set = plan.response.lock().unwrap().clone();
            set.unwrap_or_else(|| match request.has_eicar() {
                true => infected("Eicar"),
                false => CLEAN.into(),
            })
        };
        let tag = plan.tag.lock().unwrap().clone();
        Script::new().send(tagged(response, &tag))
    });
    (server.unwrap(), plan)
}

/// A response that breaks off.
fn breaks() -> Script {
    Script::new().send("ICAP/1.0 204 No").close()
}

fn cached(server: &Server) -> ScannerBuilder {
    let builder = Scanner::builder(server.uri()).cache(Cache::new());
    builder.read_timeout(MINUTE).connect_timeout(MINUTE)
}

fn hello() -> Content<'static> {
    Content::bytes(b"hello").id("id")
}

fn scan(scanner: &Scanner, content: Content<'_>) -> Report {
    scanner.scan(content).unwrap()
}

/// Whether the verdict on `content` comes from the cache.
fn is_hit(scanner: &Scanner, content: Content<'_>) -> bool {
    scan(scanner, content).is_cached()
}

/// A store that several scanners share, and in which a test can meddle.
#[derive(Clone, Default)]
struct Store(Arc<Shelf>);

#[derive(Default)]
struct Shelf {
    rows: Mutex<HashMap<Vec<u8>, Vec<u8>>>,
    gets: AtomicUsize,
    puts: AtomicUsize,
    fault: Mutex<Option<Fault>>,
}

#[derive(Clone, Copy, Debug)]
enum Fault {
    Panic,
    Error,
    Empty,
    Garbage,
    Damaged,
    Cut,
    Huge,
    /// The entry of another key.
    Swapped,
}

impl Store {
    fn cache(&self) -> Cache {
        Cache::shared(self.clone(), SECRET)
    }

    fn rows(&self) -> HashMap<Vec<u8>, Vec<u8>> {
        self.0.rows.lock().unwrap().clone()
    }

    /// How often `get` and `put` were called since the last time.
    fn calls(&self) -> (usize, usize) {
        let Shelf { gets, puts, .. } = &*self.0;
        (gets.swap(0, SeqCst), puts.swap(0, SeqCst))
    }

    fn fault(&self) -> Option<Fault> {
        *self.0.fault.lock().unwrap()
    }

    fn set_fault(&self, fault: Option<Fault>) {
        *self.0.fault.lock().unwrap() = fault;
    }
}

impl VerdictCache for Store {
    fn get(&self, key: &[u8]) -> io::Result<Option<Vec<u8>>> {
        self.0.gets.fetch_add(1, SeqCst);
        let rows = self.rows();
        let entry = rows.get(key).cloned();
        Ok(match self.fault() {
            None => entry,
            Some(Fault::Panic) => panic!("as the test wants"),
            Some(Fault::Error) => return Err(io::ErrorKind::TimedOut.into()),
            Some(Fault::Empty) => Some(Vec::new()),
            Some(Fault::Garbage) => Some(vec![1; 100]),
            Some(Fault::Huge) => Some(vec![1; 10 << 20]),
            Some(Fault::Damaged) => entry.map(|mut entry| {
                entry[0] ^= 1;
                entry
            }),
            Some(Fault::Cut) => entry.map(|mut entry| {
                entry.pop();
                entry
            }),
            Some(Fault::Swapped) => {
                let mut others = rows.iter().filter(|(other, _)| *other != key);
                others.next().map(|(_, entry)| entry.clone())
            }
        })
    }

    fn put(&self, key: &[u8], entry: &[u8], _: Duration) -> io::Result<()> {
        assert_eq!(key.len(), 16);
        self.0.puts.fetch_add(1, SeqCst);
        match self.fault() {
            Some(Fault::Panic) => panic!("as the test wants"),
            Some(Fault::Error) => Err(io::ErrorKind::TimedOut.into()),
            _ => {
                let mut rows = self.0.rows.lock().unwrap();
                rows.insert(key.to_vec(), entry.to_vec());
                Ok(())
            }
        }
    }
}

// Hits

#[test]
fn many_look_ups_of_an_id_are_one_scan() {
    let (server, plan) = planned();
    let clock = ManualClock::new();
    let scanner = cached(&server).clock(clock.clone()).build().unwrap();
    let look_up_all = |expected: fn(&Verdict) -> bool| {
        thread::scope(|scope| {
            for thread in 0..32 {
                let scanner = &scanner;
                scope.spawn(move || {
                    for n in (thread..10_000).step_by(32) {
                        let id = format!("id-{}", (n / 7) % 100);
                        let report = scan(scanner, Content::bytes(id.as_bytes()).id(&id));
                        assert!(expected(report.verdict()));
                    }
                });
            }
        });
    };
    look_up_all(Verdict::is_clean);
    assert_eq!((plan.scans(), plan.options()), (100, 1));
    // New signatures, which find something in all of it.
    plan.set_tag("tag-2");
    plan.respond(infected("Worm"));
    clock.advance(MINUTE + Duration::from_millis(1));
    look_up_all(Verdict::is_infected);
    assert_eq!((plan.scans(), plan.options()), (200, 2));
    let stats = scanner.stats();
    assert_eq!((stats.cache_hits, stats.cache_misses), (19_800, 200));
    assert_eq!((stats.clean, stats.infected), (10_000, 10_000));
}

#[test]
fn hit_reads_nothing_and_needs_no_connection() {
    struct Unread;
    impl Read for Unread {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            panic!("the content is read")
        }
    }
    let (server, _) = planned();
    let scanner = cached(&server).build().unwrap();
    assert!(!is_hit(&scanner, hello()));
    let connections = scanner.stats().connections_opened;
    drop(server);
    let report = scan(&scanner, Content::reader(Unread).len(5).id("id"));
    assert!(report.is_cached() && report.verdict().is_clean());
    assert_eq!((report.status(), report.bytes_sent()), (None, 0));
    assert_eq!(report.istag(), Some("tag-1"));
    assert_eq!(scanner.stats().connections_opened, connections);
}

#[test]
fn infected_verdict_is_given_again_with_its_threats() {
    let (server, plan) = planned();
    let scanner = cached(&server).build().unwrap();
    let virus = eicar();
    let first = scan(&scanner, Content::bytes(&virus).id("virus"));
    let second = scan(&scanner, Content::bytes(&virus).id("virus"));
    assert!(second.is_cached() && !first.is_cached());
    assert!(second.verdict().is_infected());
    assert_eq!(first.verdict(), second.verdict());
    assert_eq!(plan.scans(), 1);
}

#[test]
fn content_without_id_and_replacement_are_scanned() {
    let (server, plan) = planned();
    let scanner = cached(&server).build().unwrap();
    for _ in 0..2 {
        assert!(!is_hit(&scanner, Content::bytes(b"hello")));
        let report = scanner.scan_replace(hello(), io::sink()).unwrap();
        assert!(!report.is_cached());
        let teed = scanner.scan_tee(hello(), io::sink()).unwrap();
        assert!(!teed.outcome.unwrap().is_cached());
        assert_eq!(teed.copied, 5);
    }
    assert_eq!(plan.scans(), 6);
    let stats = scanner.stats();
    assert_eq!((stats.cache_hits, stats.cache_misses), (0, 0));
}

// What must be the same

#[test]
fn same_id_with_other_metadata_is_another_scan() {
    const REQUEST: &[u8] = b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n";
    const RESPONSE: &[u8] = b"HTTP/1.1 200 OK\r\nX-A: 1\r\n\r\n";
    const COOKIE: &[u8] = b"HTTP/1.1 200 OK\r\nX-A: 1\r\nSet-Cookie: a=1\r\n\r\n";
    let (server, plan) = planned();
    let scanner = cached(&server).build().unwrap();
    let with = |n: usize| {
        let content = hello();
        match n {
            0 => content,
            1 => content.id("other"),
            2 => Content::bytes(b"hello!").id("id"),
            3 => Content::reader(&b"hello"[..]).id("id"),
            4 => content.name("a.txt"),
            5 => content.name(""),
            6 => content.content_type("text/plain"),
            7 => content.content_type("application/octet-stream"),
            8 => content.client_ip([127, 0, 0, 1].into()),
            9 => content.server_ip([127, 0, 0, 1].into()),
            10 => content.user("jane"),
            11 => content.user("joe"),
            12 => content.groups(["staff"]),
            13 => content.user("jane").groups(["staff"]),
            14 => content.header("X-Unit", "a"),
            15 => content.header("X-Unit", "b"),
            16 => content.http_request(REQUEST),
            17 => content.http_response(RESPONSE),
            18 => content.http_response(COOKIE).include_sensitive(true),
            19 => content.http_response(RESPONSE).name("a.txt"),
            20 => content.http_response(RESPONSE).content_type("text/plain"),
            21 => content.id("id\0"),
            _ => unreachable!(),
        }
    };
    for n in 0..22 {
        assert!(!is_hit(&scanner, with(n)), "{n}");
    }
    assert_eq!(plan.scans(), 22);
    for n in 0..22 {
        assert!(is_hit(&scanner, with(n)), "{n}");
    }
}

#[test]
fn scanner_with_other_settings_scans_again() {
    let (server, plan) = planned();
    let store = Store::default();
    let with = |n: usize| {
        let uri = server.uri();
        let builder = match n {
            1 => Scanner::builder(format!("{uri}?force=on")),
            2 => Scanner::builder(format!("{uri}?force=off")),
            3 => Scanner::builder(format!("{uri}2")),
            4 => Scanner::builder(uri.replace("127.0.0.1", "localhost")),
            _ => Scanner::builder(uri),
        };
        let builder = match n {
            5 => builder.method(Method::Reqmod),
            6 => builder.preview(Preview::Negotiated),
            7 => builder.preview(Preview::Limit(2)),
            8 => builder.preview(Preview::Limit(2)).trust_preview(true),
            9 => builder.allow_206(true),
            10 => builder.header("X-Customer", "1"),
            11 => builder.credentials("joe", "secret"),
            12 => builder.credentials("jane", "secret"),
            13 => builder.infection_header("X-Acme"),
            14 => builder.refusal_header("X-Acme"),
            _ => builder,
        };
        builder.cache(store.cache()).build().unwrap()
    };
    let content = || Content::bytes(b"he").id("id");
    for n in 0..15 {
        assert!(!is_hit(&with(n), content()), "{n}");
    }
    assert_eq!(plan.scans(), 15);
    // A new scanner asks for the state tag, and then finds the verdicts of the earlier one.
    for n in 0..15 {
        assert!(is_hit(&with(n), content()), "{n}");
    }
    assert_eq!((plan.scans(), plan.options()), (15, 30));
}

#[test]
fn verdict_belongs_to_the_server_that_gave_it() {
    let refusing = format!("icap://{}/scan", support::refusing_address());
    let (server, plan) = planned();
    let scanner = Scanner::builder(&*refusing)
        .endpoint(server.uri())
        .suspend_after(1)
        .cache(Cache::new())
        .build()
        .unwrap();
    assert!(!is_hit(&scanner, hello()));
    // The first server is suspended or fails again, so the second one would be asked.
    let report = scan(&scanner, hello());
    assert!(report.is_cached());
    assert_eq!(report.service(), server.uri());
    assert_eq!(plan.scans(), 1);
    // For another scanner the same server is the first.
    let store = Store::default();
    let (other, others_plan) = planned();
    let both = |first: &Server, second: &Server| {
        let builder = Scanner::builder(first.uri()).endpoint(second.uri());
        builder.cache(store.cache()).build().unwrap()
    };
    assert!(!is_hit(&both(&server, &other), hello()));
    assert!(!is_hit(&both(&other, &server), hello()));
    assert!(is_hit(&both(&server, &other), hello()));
    assert_eq!((plan.scans(), others_plan.scans()), (2, 1));
}

#[test]
fn larger_content_than_max_size_is_no_hit() {
    let (server, _) = planned();
    let store = Store::default();
    let scanner = |max| {
        let builder = Scanner::builder(server.uri()).max_size(max);
        builder.cache(store.cache()).build().unwrap()
    };
    let known = || hello();
    let unknown = || Content::reader(&b"hello"[..]).id("id");
    for content in [known, unknown as fn() -> Content<'static>] {
        assert!(!is_hit(&scanner(5), content()));
        assert!(is_hit(&scanner(5), content()));
        let report = scan(&scanner(4), content());
        let too_large = Verdict::NotScanned(NotScanned::TooLarge { limit: 4 });
        assert_eq!((report.verdict(), report.is_cached()), (&too_large, false));
    }
}

#[test]
fn empty_id_and_zero_settings_are_errors() {
    let (server, plan) = planned();
    let scanner = cached(&server).build().unwrap();
    let error = scanner.scan(hello().id("")).unwrap_err();
    assert!(
        matches!(&error, Error::Input(e) if e.kind() == InvalidInput::Id),
        "{error}"
    );
    for cache in [
        Cache::new().entries(0),
        Cache::new().max_age(Duration::ZERO),
    ] {
        let error = Scanner::builder(server.uri()).cache(cache).build();
        assert_eq!(error.unwrap_err().kind(), ErrorKind::Input);
    }
    assert_eq!(plan.scans(), 0);
}

#[test]
fn trial_of_a_suspended_server_scans() {
    let (server, plan) = planned();
    let clock = ManualClock::new();
    let builder = cached(&server).clock(clock.clone()).suspend_after(1);
    let scanner = builder.build().unwrap();
    assert!(!is_hit(&scanner, hello()));
    plan.respond("ICAP/1.0 500 Error\r\n\r\n");
    assert!(scanner.scan(Content::bytes(b"another")).is_err());
    assert_eq!(
        scanner.scan(hello()).unwrap_err().kind(),
        ErrorKind::Suspended
    );
    plan.respond(CLEAN);
    clock.advance(Duration::from_secs(2));
    assert!(!is_hit(&scanner, hello()));
    assert_eq!(scanner.stats().suspended.len(), 0);
    assert!(is_hit(&scanner, hello()));
}

// Until when a verdict holds

#[test]
fn verdict_expires_at_its_age() {
    let (server, plan) = planned();
    let clock = ManualClock::new();
    let builder = || {
        let cache = Cache::new().max_age(30 * MINUTE).revalidate(1000 * MINUTE);
        cached(&server).cache(cache).clock(clock.clone())
    };
    let scanner = builder().build().unwrap();
    assert!(!is_hit(&scanner, hello()));
    clock.advance(30 * MINUTE - Duration::from_millis(1));
    assert!(is_hit(&scanner, hello()));
    clock.advance(Duration::from_millis(1));
    assert!(!is_hit(&scanner, hello()));
    assert!(is_hit(&scanner, hello()));
    assert_eq!(plan.scans(), 2);
}

#[test]
fn default_age_is_an_hour_from_the_scan() {
    let (server, _) = planned();
    let clock = ManualClock::new();
    let scanner = cached(&server).clock(clock.clone()).build().unwrap();
    assert!(!is_hit(&scanner, hello()));
    for _ in 0..59 {
        clock.advance(MINUTE);
        assert!(is_hit(&scanner, hello()));
    }
    clock.advance(MINUTE);
    assert!(!is_hit(&scanner, hello()));
}

#[test]
fn unconfirmed_tag_is_asked_for_by_one_thread() {
    let (server, plan) = planned();
    let clock = ManualClock::new();
    let scanner = cached(&server).clock(clock.clone()).build().unwrap();
    assert!(!is_hit(&scanner, hello()));
    for asked in 2..5 {
        clock.advance(MINUTE);
        assert!(is_hit(&scanner, hello()), "a minute is not too long");
        clock.advance(Duration::from_millis(1));
        thread::scope(|scope| {
            for _ in 0..32 {
                scope.spawn(|| assert!(is_hit(&scanner, hello())));
            }
        });
        assert_eq!((plan.options(), plan.scans()), (asked, 1));
    }
}

#[test]
fn response_to_another_scan_confirms_the_tag() {
    let (server, plan) = planned();
    let clock = ManualClock::new();
    let scanner = cached(&server).clock(clock.clone()).build().unwrap();
    assert!(!is_hit(&scanner, hello()));
    for _ in 0..3 {
        clock.advance(MINUTE);
        assert!(!is_hit(&scanner, Content::bytes(b"another")));
        clock.advance(MINUTE / 2);
        assert!(is_hit(&scanner, hello()));
    }
    assert_eq!(plan.options(), 1);
    // It also shows that the tag is another one.
    plan.set_tag("tag-2");
    assert!(!is_hit(&scanner, Content::bytes(b"another")));
    assert!(!is_hit(&scanner, hello()));
    assert!(is_hit(&scanner, hello()));
}

/// Content that runs something when it is read first.
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
fn tag_in_doubt_after_a_long_upload_is_no_hit() {
    let (server, plan) = planned();
    let clock = ManualClock::new();
    let scanner = cached(&server).clock(clock.clone()).build().unwrap();
    assert!(!is_hit(&scanner, Content::bytes(b"first")));
    let during = After(
        Some(|| {
            clock.advance(Duration::from_secs(1));
            plan.set_tag("tag-2");
            assert!(!is_hit(&scanner, Content::bytes(b"another")));
            clock.advance(Duration::from_secs(1));
            assert!(!is_hit(&scanner, hello()));
            assert!(is_hit(&scanner, hello()));
            clock.advance(Duration::from_secs(1));
            plan.set_tag("tag-3");
        }),
        b"long",
    );
    let len = 1 << 20;
    let long = io::repeat(0).take(len).chain(during);
    assert!(!is_hit(&scanner, Content::reader(long).len(len + 4)));
    clock.advance(Duration::from_secs(1));
    assert!(!is_hit(&scanner, hello()));
    assert!(is_hit(&scanner, hello()));
}

#[test]
fn failed_confirmation_is_no_hit() {
    let (server, _) = planned();
    let clock = ManualClock::new();
    let scanner = cached(&server).clock(clock.clone()).build().unwrap();
    assert!(!is_hit(&scanner, hello()));
    drop(server);
    assert!(is_hit(&scanner, hello()));
    clock.advance(2 * MINUTE);
    assert!(scanner.scan(hello()).is_err());
}

#[test]
fn service_without_a_tag_is_asked_each_time() {
    let (server, plan) = planned();
    plan.set_tag("");
    let scanner = cached(&server).build().unwrap();
    for _ in 0..3 {
        assert!(!is_hit(&scanner, hello()));
    }
    assert_eq!((plan.scans(), plan.options()), (3, 1));
    // From now on it has one.
    plan.set_tag("tag-1");
    assert!(!is_hit(&scanner, hello()));
    assert!(is_hit(&scanner, hello()));
    // A response without a tag makes the tag unknown.
    plan.set_tag("");
    assert!(!is_hit(&scanner, Content::bytes(b"another")));
    assert!(!is_hit(&scanner, hello()));
}

#[test]
fn without_options_only_scans_confirm_the_tag() {
    let (server, plan) = planned();
    let clock = ManualClock::new();
    let builder = cached(&server).clock(clock.clone()).negotiate(false);
    let scanner = builder.build().unwrap();
    assert!(!is_hit(&scanner, hello()));
    assert!(is_hit(&scanner, hello()));
    clock.advance(2 * MINUTE);
    assert!(!is_hit(&scanner, hello()));
    assert!(is_hit(&scanner, hello()));
    assert_eq!((plan.scans(), plan.options()), (2, 0));
}

#[test]
fn tag_of_no_engine_makes_no_clean_hit() {
    const BLIND: &str = "CI0001-1B2M2Y8AsgTpgAmY7PhCfgAA";
    let (server, plan) = planned();
    let scanner = cached(&server).build().unwrap();
    assert!(!is_hit(&scanner, hello()));
    plan.set_tag(BLIND);
    assert!(!is_hit(&scanner, Content::bytes(b"another")));
    for _ in 0..2 {
        let report = scan(&scanner, hello());
        let expected = Verdict::NotScanned(NotScanned::NoEngine);
        assert_eq!((report.verdict(), report.is_cached()), (&expected, false));
    }
    plan.set_tag("tag-1");
    assert!(!is_hit(&scanner, Content::bytes(b"another")));
    assert!(is_hit(&scanner, hello()));
}

/// One OPTIONS, and eight scans.
fn healthy() -> Script {
    let scan = |script: Script| script.read_request().send(CLEAN);
    (0..8).fold(Script::new().answer_options(), |script, _| scan(script))
}

#[test]
fn early_response_withdraws_clean_verdicts() {
    let early = Script::new().read_bytes(64 * 1024).send(CLEAN);
    let late = Script::new().read_request().send(CLEAN);
    let scripts = [healthy(), early.read_to_end(), late.close()];
    let server = Server::scripted(scripts).unwrap();
    let clock = ManualClock::new();
    let scanner = cached(&server).clock(clock.clone()).build().unwrap();
    assert!(!is_hit(&scanner, hello()));
    assert!(is_hit(&scanner, hello()));
    let large = |len: u64| Content::reader(io::repeat(0).take(len)).len(len);
    let report = scan(&scanner, large(50 << 20));
    let expected = Verdict::NotScanned(NotScanned::EarlyResponse);
    assert_eq!(*report.verdict(), expected);
    // Small content proves nothing, because the system takes it at once.
    for _ in 0..2 {
        clock.advance(Duration::from_secs(1));
        assert!(!is_hit(&scanner, hello()));
    }
    // The server takes as much before it responds.
    assert!(scan(&scanner, large(50 << 20)).verdict().is_clean());
    clock.advance(Duration::from_secs(1));
    assert!(!is_hit(&scanner, hello()));
    assert!(is_hit(&scanner, hello()));
}

#[test]
fn early_204_that_breaks_off_withdraws_clean_verdicts() {
    let head = "ICAP/1.0 204 No Content\r\nISTag: \"x\"\r\n";
    let broken = Script::new().read_bytes(64 * 1024).send(head);
    let broken = broken.half_close().read_to_end();
    // While the long scan waits for its response, idle connections are closed.
    let after = Script::new().read_request().send(CLEAN);
    let server = Server::scripted([healthy(), broken, after]).unwrap();
    let clock = ManualClock::new();
    let scanner = cached(&server).clock(clock.clone()).build().unwrap();
    assert!(!is_hit(&scanner, hello()));
    assert!(is_hit(&scanner, hello()));
    clock.advance(Duration::from_secs(1));
    let large = Content::reader(io::repeat(0).take(50 << 20)).len(50 << 20);
    assert!(scanner.scan(large).is_err());
    assert!(!is_hit(&scanner, hello()));
}

// Which verdicts are stored

#[test]
fn only_clean_and_infected_are_stored() {
    let page = "HTTP/1.1 200 OK\r\n\r\n";
    let with = |field: &str| CLEAN.replace("Encapsulated", &format!("{field}\r\nEncapsulated"));
    let responses: [(&str, Vec<u8>); 9] = [
        ("blocked", b"ICAP/1.0 403 Forbidden\r\n\r\n".to_vec()),
        ("modified", echo(page, b"other")),
        ("not scanned: ", echo(page, b"hello")),
        ("not scanned: ", echo("HTTP/1.1 500 Error\r\n\r\n", b"x")),
        (
            "not scanned: ",
            with("X-Infection-Found: Type=2; Threat=Locked;").into(),
        ),
        ("not scanned: ", with("X-Error-Code: internal_error").into()),
        // The status contradicts the field.
        (
            "infected: ",
            with("X-Infection-Found: Type=0; Threat=Worm;").into(),
        ),
        // Something is odd about the rest of the exchange.
        ("infected: ", [&infected("Worm")[..], b"\r\n"].concat()),
        ("clean", [CLEAN.as_bytes(), b"\r\n"].concat()),
    ];
    let (server, plan) = planned();
    let scanner = cached(&server).build().unwrap();
    for (n, (verdict, response)) in responses.into_iter().enumerate() {
        plan.respond(response);
        let content = || Content::bytes(b"hello").id(format!("id {n}"));
        for _ in 0..2 {
            let report = scan(&scanner, content());
            let shown = report.verdict().to_string();
            assert!(shown.starts_with(verdict), "{n}: {shown}");
            assert!(!report.is_cached(), "{n}: {shown}");
        }
    }
}

const REFUSAL: &str = "ICAP/1.0 403 Forbidden\r\nISTag: \"icap-client-testing\"\r\n\r\n";

/// [`objections`], and one that is stored.
fn every_objection() -> impl Iterator<Item = (&'static str, Vec<u8>)> {
    objections()
        .into_iter()
        .chain([("infected", infected("Worm"))])
}

/// Responses with an objection that is not stored.
fn objections() -> [(&'static str, Vec<u8>); 4] {
    let found = "X-Infection-Found: Type=0; Threat=Worm;\r\n";
    let with = |text: &str, end: &str| text.replacen(end, &format!("{found}{end}"), 1);
    [
        ("blocked", REFUSAL.into()),
        ("under a 204", with(CLEAN, "Encapsulated").into()),
        (
            "odd bytes after it",
            [&infected("Worm")[..], b"\r\n"].concat(),
        ),
        (
            "broken",
            with(REFUSAL, "ISTag")
                .replacen("403", "200", 1)
                .replace("\r\n\r\n", "\r\nbad\r\n\r\n")
                .into(),
        ),
    ]
}

#[test]
fn objection_withdraws_a_clean_verdict() {
    for (name, response) in objections() {
        let (server, plan) = planned();
        let store = Store::default();
        let scanner = || cached(&server).cache(store.cache()).build().unwrap();
        let (one, other) = (scanner(), scanner());
        assert!(!is_hit(&one, hello()));
        assert!(is_hit(&one, hello()));
        plan.respond(response);
        let mut output = Vec::new();
        let verdict = |report: Report| report.verdict().clone();
        let objection = verdict(one.scan_replace(hello(), &mut output).unwrap());
        assert!(!objection.is_clean(), "{name}");
        plan.respond(CLEAN);
        assert!(!is_hit(&other, hello()), "{name}");
        assert!(is_hit(&one, hello()), "{name}");
    }
}

#[test]
fn objection_of_trial_or_copy_withdraws_clean() {
    for (name, response) in objections() {
        let (server, plan) = planned();
        let clock = ManualClock::new();
        let builder = cached(&server).clock(clock.clone()).suspend_after(1);
        let scanner = builder.build().unwrap();
        for is_trial in [false, true] {
            plan.respond(CLEAN);
            assert!(!is_hit(&scanner, hello()), "{name}");
            assert!(is_hit(&scanner, hello()), "{name}");
            let objection = if is_trial {
                plan.respond("ICAP/1.0 500 Error\r\n\r\n");
                assert!(scanner.scan(Content::bytes(b"another")).is_err());
                clock.advance(Duration::from_secs(2));
                plan.respond(response.clone());
                scan(&scanner, hello())
            } else {
                plan.respond(response.clone());
                scanner
                    .scan_tee(hello(), io::sink())
                    .unwrap()
                    .outcome
                    .unwrap()
            };
            assert!(!objection.verdict().is_clean(), "{name}");
        }
        plan.respond(CLEAN);
        clock.advance(Duration::from_secs(2));
        assert!(!is_hit(&scanner, hello()), "{name}");
    }
}

/// Content of unknown length that can be read once.
fn stream() -> Content<'static> {
    Content::reader(&b"hello"[..]).id("id")
}

#[test]
fn objection_to_a_repeated_copy_withdraws_clean() {
    for (name, response) in objections() {
        let (server, plan) = planned();
        let scanner = cached(&server).build().unwrap();
        assert!(!is_hit(&scanner, stream()));
        assert!(is_hit(&scanner, stream()));
        // The first attempt breaks, and the copy has a length.
        plan.respond_next(breaks());
        plan.respond(response);
        let teed = scanner.scan_spooled(stream(), io::Cursor::new(Vec::new()));
        let report = teed.unwrap().outcome.unwrap();
        assert!(!report.verdict().is_clean(), "{name}: {report:?}");
        assert_eq!(scanner.stats().retries, 1, "{name}");
        plan.respond(CLEAN);
        assert!(!is_hit(&scanner, stream()), "{name}");
    }
}

#[test]
fn objection_to_a_replacement_withdraws_clean_with_206() {
    for (name, response) in objections() {
        let (server, plan) = planned();
        let builder = cached(&server).negotiate(false).allow_206(true);
        let scanner = builder.build().unwrap();
        assert!(!is_hit(&scanner, stream()));
        assert!(is_hit(&scanner, stream()));
        plan.respond(response);
        // This request does not allow 206, because the original cannot be read once more.
        let report = scanner.scan_replace(stream(), io::sink()).unwrap();
        assert!(!report.verdict().is_clean(), "{name}");
        plan.respond(CLEAN);
        assert!(!is_hit(&scanner, stream()), "{name}");
    }
}

#[test]
fn objection_of_a_fallback_server_withdraws_clean() {
    // More than a reader keeps: it goes on from its copy.
    let long = vec![b'x'; 200_000];
    for (name, response) in objections() {
        for is_spooled in [false, true] {
            let ((first, plan), (second, fallback)) = (planned(), planned());
            let scanner = cached(&first).endpoint(second.uri()).build().unwrap();
            let content = || match is_spooled {
                true => Content::reader(&long[..]).id("id"),
                false => hello(),
            };
            assert!(!is_hit(&scanner, content()));
            assert!(is_hit(&scanner, content()));
            assert!(!is_hit(&scanner, other()));
            plan.respond("ICAP/1.0 500 Error\r\nISTag: \"icap-client-testing\"\r\n\r\n");
            fallback.respond(response.clone());
            let spool = io::Cursor::new(Vec::new());
            let teed = scanner.scan_spooled(content(), spool).unwrap();
            let report = teed.outcome.unwrap();
            assert!(!report.verdict().is_clean(), "{name}: {report:?}");
            assert_eq!(report.service(), second.uri(), "{name}");
            plan.respond(CLEAN);
            assert!(is_hit(&scanner, other()), "{name}");
            assert!(!is_hit(&scanner, content()), "{name}");
            assert!(is_hit(&scanner, content()), "{name}");
        }
    }
}

fn other() -> Content<'static> {
    Content::bytes(b"other").id("other")
}

/// The fallback server finds something while the preferred one is down, which then serves again.
struct Outage {
    first: (Server, Arc<Plan>),
    fallback: (Server, Arc<Plan>),
    clock: ManualClock,
}

impl Outage {
    fn new() -> Self {
        let (first, fallback) = (planned(), planned());
        fallback.1.respond(infected("Worm"));
        let clock = ManualClock::new();
        Self {
            first,
            fallback,
            clock,
        }
    }

    fn builder(&self) -> ScannerBuilder {
        let builder = cached(&self.first.0).endpoint(self.fallback.0.uri());
        builder.clock(self.clock.clone()).suspend_after(2)
    }

    fn begin(&self) {
        self.first.1.set_down(true);
        self.clock.advance(MINUTE + Duration::from_secs(1));
    }

    fn end(&self) {
        self.first.1.set_down(false);
        self.clock.advance(Duration::from_secs(2));
    }

    /// The first server asks for other previews, and is asked for that again. The same content is then another request.
    fn offer(&self, preview: usize) {
        self.first.1.preview.store(preview, SeqCst);
        self.clock.advance(MINUTE + Duration::from_secs(1));
    }

    /// A scan of the content at the fallback server.
    fn finds(&self, scanner: &Scanner) {
        let report = scan(scanner, hello());
        assert!(report.verdict().is_infected(), "{report:?}");
        assert_eq!(report.service(), self.fallback.0.uri());
    }
}

#[test]
fn fallback_objection_counts_if_options_failed_before() {
    let outage = Outage::new();
    let scanner = outage.builder().build().unwrap();
    for content in [hello, other] {
        assert!(!is_hit(&scanner, content()));
    }
    outage.begin();
    outage.finds(&scanner);
    outage.end();
    assert!(is_hit(&scanner, other()));
    let report = scan(&scanner, hello());
    assert!(
        !report.is_cached() && report.verdict().is_clean(),
        "{report:?}"
    );
}

#[test]
fn fallback_objection_counts_for_a_suspended_server() {
    for negotiates in [true, false] {
        let outage = Outage::new();
        let scanner = outage.builder().negotiate(negotiates).build().unwrap();
        for content in [hello, other] {
            assert!(!is_hit(&scanner, content()));
        }
        outage.begin();
        let unknown = || Content::bytes(b"unknown");
        while scanner.stats().suspended.is_empty() {
            assert!(scan(&scanner, unknown()).verdict().is_infected());
        }
        outage.finds(&scanner);
        outage.end();
        // The trial, which closes the circuit.
        assert!(scan(&scanner, unknown()).verdict().is_clean());
        assert!(is_hit(&scanner, other()), "{negotiates}");
        assert!(!is_hit(&scanner, hello()), "{negotiates}");
    }
}

#[test]
fn fallback_objection_counts_for_a_server_never_asked() {
    let outage = Outage::new();
    let store = Store::default();
    let scanner = || outage.builder().cache(store.cache()).build().unwrap();
    let (one, another) = (scanner(), scanner());
    assert!(!is_hit(&one, hello()));
    // The clock stands still, because the age of an entry of another process is measured by the calendar.
    outage.first.1.set_down(true);
    outage.finds(&another);
    outage.first.1.set_down(false);
    assert!(!is_hit(&another, hello()));
    assert!(is_hit(&one, hello()));
}

#[test]
fn fallback_objection_counts_if_options_changed_before() {
    let outage = Outage::new();
    let builder = outage.builder().preview(Preview::Negotiated);
    let scanner = builder.build().unwrap();
    outage.offer(8);
    assert!(!is_hit(&scanner, hello()));
    outage.offer(16);
    assert!(!is_hit(&scanner, hello()));
    outage.begin();
    outage.finds(&scanner);
    outage.end();
    outage.offer(8);
    let report = scan(&scanner, hello());
    assert_eq!(report.service(), outage.first.0.uri());
    assert!(!report.is_cached(), "{report:?}");
}

#[test]
fn objection_counts_for_its_server_under_earlier_options() {
    let outage = Outage::new();
    let builder = outage.builder().preview(Preview::Negotiated);
    let scanner = builder.build().unwrap();
    let preferred = &outage.first.1;
    outage.offer(8);
    assert!(!is_hit(&scanner, hello()));
    outage.offer(16);
    preferred.respond(infected("Worm"));
    assert!(scan(&scanner, hello()).verdict().is_infected());
    preferred.respond(CLEAN);
    outage.offer(8);
    let report = scan(&scanner, hello());
    assert!(!report.is_cached(), "{report:?}");
}

#[test]
fn objection_counts_for_the_servers_after_the_objector() {
    let outage = Outage::new();
    let scanner = outage.builder().build().unwrap();
    let (first, fallback) = (&outage.first.1, &outage.fallback.1);
    fallback.respond(CLEAN);
    outage.begin();
    for content in [hello, other] {
        let report = scan(&scanner, content());
        assert_eq!(report.service(), outage.fallback.0.uri());
        assert!(report.verdict().is_clean() && !report.is_cached());
    }
    outage.end();
    first.respond(infected("Worm"));
    assert!(scan(&scanner, hello()).verdict().is_infected());
    outage.begin();
    assert!(is_hit(&scanner, other()));
    let report = scan(&scanner, hello());
    assert_eq!(report.service(), outage.fallback.0.uri());
    assert!(!report.is_cached(), "{report:?}");
}

#[test]
fn store_is_called_as_often_as_the_manual_says() {
    let outage = Outage::new();
    let store = Store::default();
    let scanner = outage.builder().cache(store.cache()).build().unwrap();
    for (is_cached, calls) in [(false, (3, 1)), (true, (1, 0))] {
        assert_eq!(is_hit(&scanner, hello()), is_cached);
        assert_eq!(store.calls(), calls);
    }
    outage.begin();
    // Both look-ups of a scan at the fallback server and its find, and then the server before it.
    outage.finds(&scanner);
    assert_eq!(store.calls(), (2 + 1, 1 + 1));
    // A hit, and then the server before it.
    outage.finds(&scanner);
    assert_eq!(store.calls(), (1 + 1, 1));
    outage.end();
    // The trial, which closes the circuit.
    assert!(
        scan(&scanner, Content::bytes(b"unknown"))
            .verdict()
            .is_clean()
    );
    // A find of the first server, and then the server after it. That find stays.
    outage.first.1.respond(infected("Worm"));
    assert!(!is_hit(&scanner, hello()));
    assert_eq!(store.calls(), (2 + 1, 1));
}

#[test]
fn objection_not_stored_withdraws_all_verdicts() {
    let (server, plan) = planned();
    let store = Store::default();
    let scanner = cached(&server).cache(store.cache()).build().unwrap();
    assert!(!is_hit(&scanner, hello()));
    assert!(is_hit(&scanner, hello()));
    plan.respond(infected("Worm"));
    store.set_fault(Some(Fault::Error));
    assert!(scan(&scanner, hello()).verdict().is_infected());
    plan.respond(CLEAN);
    store.set_fault(None);
    assert!(!is_hit(&scanner, hello()));
}

#[test]
fn infected_verdict_stays_after_a_refusal() {
    let (server, plan) = planned();
    let scanner = cached(&server).build().unwrap();
    plan.respond(infected("Worm"));
    assert!(!is_hit(&scanner, hello()));
    plan.respond(REFUSAL);
    assert!(scanner.scan_replace(hello(), io::sink()).is_ok());
    let report = scan(&scanner, hello());
    assert!(report.is_cached() && report.verdict().is_infected());
}

type Action = Box<dyn FnOnce() + Send>;

/// A store that runs something at its next `put`, before it stores, or at its next `get`, after it has looked.
#[derive(Clone, Default)]
struct Meddler {
    store: Store,
    at_put: Arc<Mutex<Option<Action>>>,
    at_get: Arc<Mutex<Option<Action>>>,
}

impl Meddler {
    fn scanner(&self, server: &Server) -> Scanner {
        let cache = Cache::shared(self.clone(), SECRET);
        cached(server).cache(cache).build().unwrap()
    }
}

fn meddle(action: &Mutex<Option<Action>>) {
    let action = action.lock().unwrap().take();
    if let Some(action) = action {
        action();
    }
}

impl VerdictCache for Meddler {
    fn get(&self, key: &[u8]) -> io::Result<Option<Vec<u8>>> {
        let entry = self.store.get(key);
        meddle(&self.at_get);
        entry
    }

    fn put(&self, key: &[u8], entry: &[u8], max_age: Duration) -> io::Result<()> {
        meddle(&self.at_put);
        self.store.put(key, entry, max_age)
    }
}

/// Scans a copy of the same content, to which the server responds with this objection.
fn object(scanner: &Scanner, plan: &Plan, objection: Vec<u8>) {
    plan.respond(objection);
    let teed = scanner.scan_tee(hello(), io::sink()).unwrap();
    assert!(!teed.outcome.unwrap().verdict().is_clean());
    plan.respond(CLEAN);
}

#[test]
fn clean_verdict_ends_with_an_overtaking_objection() {
    for (name, response) in every_objection() {
        let (server, plan) = planned();
        let meddler = Meddler::default();
        let scanner = meddler.scanner(&server);
        // When the clean verdict is on its way into the store, a copy of the same content is found infected.
        let of_copy = scanner.clone();
        let action: Action = Box::new(move || object(&of_copy, &plan, response));
        *meddler.at_put.lock().unwrap() = Some(action);
        assert!(scan(&scanner, hello()).verdict().is_clean());
        assert!(!is_hit(&scanner, hello()), "{name}");
        assert!(is_hit(&scanner, hello()), "{name}");
    }
}

#[test]
fn clean_entry_read_before_an_objection_is_not_given() {
    for (name, response) in every_objection() {
        let (server, plan) = planned();
        let meddler = Meddler::default();
        let scanner = meddler.scanner(&server);
        assert!(!is_hit(&scanner, hello()));
        // When the look-up has the clean entry, a whole scan finds the same content infected.
        let of_copy = scanner.clone();
        let action: Action = Box::new(move || object(&of_copy, &plan, response));
        *meddler.at_get.lock().unwrap() = Some(action);
        let report = scan(&scanner, hello());
        let is_infected = report.verdict().is_infected();
        assert!(is_infected || !report.is_cached(), "{name}: {report:?}");
    }
}

/// A store that runs a whole scan in its first `put`, before it stores. It stores before the `put` of that scan does.
#[derive(Default)]
struct Overtaken {
    store: Store,
    at_put: Mutex<Option<Action>>,
    delayed: Mutex<Option<Vec<u8>>>,
}

impl VerdictCache for Overtaken {
    fn get(&self, key: &[u8]) -> io::Result<Option<Vec<u8>>> {
        self.store.get(key)
    }

    fn put(&self, key: &[u8], entry: &[u8], max_age: Duration) -> io::Result<()> {
        let action = self.at_put.lock().unwrap().take();
        let Some(action) = action else {
            self.put_delayed(key, max_age)?;
            return self.store.put(key, entry, max_age);
        };
        *self.delayed.lock().unwrap() = Some(entry.to_vec());
        action();
        self.put_delayed(key, max_age)
    }
}

impl Overtaken {
    fn put_delayed(&self, key: &[u8], max_age: Duration) -> io::Result<()> {
        let delayed = self.delayed.lock().unwrap().take();
        delayed.map_or(Ok(()), |entry| self.store.put(key, &entry, max_age))
    }
}

#[test]
fn clean_scan_does_not_replace_a_find_being_stored() {
    let (server, plan) = planned();
    let store = Arc::new(Overtaken::default());
    let cache = Cache::shared(Arc::clone(&store), SECRET);
    let scanner = cached(&server).cache(cache).build().unwrap();
    // While the find is on its way into the store, another scan begins and ends.
    let (of_other, of_server) = (scanner.clone(), Arc::clone(&plan));
    let action: Action = Box::new(move || {
        of_server.respond(CLEAN);
        assert!(scan(&of_other, hello()).verdict().is_clean());
    });
    *store.at_put.lock().unwrap() = Some(action);
    plan.respond(infected("Worm"));
    let teed = scanner.scan_tee(hello(), io::sink()).unwrap();
    assert!(teed.outcome.unwrap().verdict().is_infected());
    let report = scan(&scanner, hello());
    assert!(
        report.is_cached() && report.verdict().is_infected(),
        "{report:?}"
    );
}

#[test]
fn scan_that_began_after_an_objection_is_stored() {
    let held = Gate::new();
    let (of_first, scans) = (held.clone(), AtomicUsize::new(0));
    let (sender, requests) = mpsc::channel();
    let server = Server::answering(move |request| {
        if request.method() == "OPTIONS" {
            return Script::new().send(OPTIONS_RESPONSE);
        }
        let number = scans.fetch_add(1, SeqCst);
        sender.send(()).unwrap();
        match number {
            0 => Script::new().wait_for(&of_first).send(CLEAN),
            1 => Script::new().send(REFUSAL),
            _ => Script::new().send(CLEAN),
        }
    });
    let server = server.unwrap();
    let scanner = cached(&server).build().unwrap();
    let copy = || {
        let teed = scanner.scan_tee(hello(), io::sink()).unwrap();
        teed.outcome.unwrap().verdict().is_clean()
    };
    thread::scope(|scope| {
        // It overlaps all others.
        let first = scope.spawn(copy);
        requests.recv().unwrap();
        assert!(!copy());
        assert!(!is_hit(&scanner, hello()));
        assert!(is_hit(&scanner, hello()));
        held.open();
        assert!(first.join().unwrap());
    });
}

#[test]
fn clean_preview_is_stored_only_if_it_was_everything() {
    let (server, plan) = planned();
    let builder = cached(&server).preview(Preview::Negotiated);
    let scanner = builder.trust_preview(true).build().unwrap();
    let part = || Content::bytes(b"hello").id("longer than the preview");
    let whole = || Content::bytes(b"hell").id("whole");
    for is_second in [false, true] {
        assert!(!is_hit(&scanner, part()));
        assert_eq!(is_hit(&scanner, whole()), is_second);
    }
    assert_eq!(plan.scans(), 3);
}

#[test]
fn error_is_not_stored() {
    let (server, plan) = planned();
    let scanner = cached(&server).build().unwrap();
    plan.respond("ICAP/1.0 500 Error\r\n\r\n");
    for _ in 0..2 {
        assert!(scanner.scan(hello()).is_err());
    }
    plan.respond(CLEAN);
    assert!(!is_hit(&scanner, hello()));
    let stats = scanner.stats();
    assert_eq!((stats.cache_hits, stats.cache_misses), (0, 3));
}

#[test]
fn verdict_with_too_many_threats_is_not_stored() {
    let names: Vec<_> = (0..100)
        .map(|n| format!("Worm.{}.{n}", "x".repeat(90)))
        .collect();
    let (server, plan) = planned();
    plan.respond(infected(&format!(
        "A;\r\nX-Virus-Name: {}",
        names.join(",")
    )));
    let scanner = cached(&server).build().unwrap();
    for _ in 0..2 {
        let report = scan(&scanner, hello());
        assert!(report.verdict().is_infected() && !report.is_cached());
    }
}

#[test]
fn oldest_entry_makes_room() {
    let (server, _) = planned();
    let scanner = cached(&server)
        .cache(Cache::new().entries(2))
        .build()
        .unwrap();
    let numbered = |n: u8| Content::bytes(b"hello").id([n]);
    for n in [1, 2, 3] {
        assert!(!is_hit(&scanner, numbered(n)));
    }
    assert_eq!(
        [3, 2, 1].map(|n| is_hit(&scanner, numbered(n))),
        [true, true, false]
    );
}

// Stores

#[test]
fn faulty_store_leads_to_scans() {
    let (server, plan) = planned();
    let store = Store::default();
    let scanner = cached(&server).cache(store.cache()).build().unwrap();
    let virus = eicar();
    let clean = || Content::bytes(&[b'a'; 68]).id("id");
    let infected = || Content::bytes(&virus).id("virus");
    for fault in [
        Fault::Panic,
        Fault::Error,
        Fault::Empty,
        Fault::Garbage,
        Fault::Huge,
        Fault::Damaged,
        Fault::Cut,
        Fault::Swapped,
    ] {
        store.set_fault(None);
        for content in [clean(), infected()] {
            let _ = scan(&scanner, content);
        }
        assert_eq!(store.rows().len(), 2);
        let before = plan.scans();
        store.set_fault(Some(fault));
        for (content, is_infected) in [(clean(), false), (infected(), true)] {
            let report = scan(&scanner, content);
            assert!(!report.is_cached(), "{fault:?}");
            assert_eq!(report.verdict().is_infected(), is_infected, "{fault:?}");
        }
        assert_eq!(plan.scans(), before + 2, "{fault:?}");
    }
}

#[test]
fn store_is_shared_only_under_the_same_secret() {
    let (server, plan) = planned();
    let store = Store::default();
    let with = |secret| {
        let builder = Scanner::builder(server.uri());
        let cache = Cache::shared(store.clone(), secret);
        builder.cache(cache).build().unwrap()
    };
    assert!(!is_hit(&with(SECRET), hello()));
    assert!(is_hit(&with(SECRET), hello()));
    assert!(!is_hit(&with([8; 32]), hello()));
    assert_eq!((plan.scans(), store.rows().len()), (2, 2));
}

#[test]
fn store_learns_neither_names_nor_secrets() {
    let secrets = [
        "hunter2",
        "jane",
        "force=on",
        "salary.xls",
        "sha256:1234",
        "customer-7",
    ];
    let (server, _) = planned();
    let store = Store::default();
    let uri = format!("{}?force=on", server.uri());
    let endpoint = Endpoint::new(uri).unwrap().credentials("jane", "hunter2");
    let builder = Scanner::builder(endpoint).header("X-Customer", "customer-7");
    let scanner = builder.cache(store.cache()).build().unwrap();
    let content = hello().user("jane").name("salary.xls").id("sha256:1234");
    assert!(!is_hit(&scanner, content));
    let rows = store.rows();
    assert_eq!(rows.len(), 1);
    for (key, entry) in rows {
        let bytes = String::from_utf8_lossy(&[key, entry].concat()).into_owned();
        assert!(
            secrets.iter().all(|secret| !bytes.contains(secret)),
            "{bytes}"
        );
    }
    let shown = format!(
        "{:?} {:?}",
        Cache::shared(store, *b"hunter2hunter2hunter2hunter2hunt"),
        scanner
    );
    assert!(
        !shown.contains("hunter2") && !shown.contains("104, 117"),
        "{shown}"
    );
}

// Single flight

/// A server that holds its response to the first scan until the gate is open. It reports each scan.
fn stalling(gate: &Gate, first: &'static str) -> (Server, mpsc::Receiver<()>) {
    stalling_before(gate, first, CLEAN)
}

/// The same with another response to all other scans.
fn stalling_before(
    gate: &Gate,
    first: &'static str,
    others: impl AsRef<[u8]> + Send + Sync + 'static,
) -> (Server, mpsc::Receiver<()>) {
    let (sender, scans) = mpsc::channel();
    let gate = gate.clone();
    let is_first = AtomicBool::new(true);
    let server = Server::answering(move |request| {
        if request.method() == "OPTIONS" {
            return Script::new().send(OPTIONS_RESPONSE);
        }
        // Before the test goes on: its next scan must not take this one's place.
        let is_first = is_first.swap(false, SeqCst);
        let _ = sender.send(());
        match is_first {
            true => Script::new().wait_for(&gate).send(first),
            false => Script::new().send(&others),
        }
    });
    (server.unwrap(), scans)
}

const WAITING: u8 = 8;

/// A scan of some content that others wait for.
struct Beside<'s> {
    scanner: &'s Scanner,
    store: &'s Store,
    content: &'s (dyn Fn() -> Content<'static> + Sync),
    /// The first scan is released only after all others have ended.
    is_stuck: bool,
}

impl Beside<'_> {
    /// Runs `first` until it `has_begun`, then scans the same content in other threads. Releases the first scan when all
    /// of them have looked into the store. Returns how long the slowest took.
    fn run(
        &self,
        first: impl FnOnce() + Send,
        has_begun: impl FnOnce(),
        release: impl FnOnce(),
    ) -> Duration {
        thread::scope(|scope| {
            scope.spawn(first);
            has_begun();
            let gets = || self.store.0.gets.load(SeqCst);
            let looked = gets() + usize::from(WAITING);
            let began = Instant::now();
            let (scanner, content) = (self.scanner, self.content);
            let others: Vec<_> = (0..WAITING)
                .map(|_| {
                    scope.spawn(move || {
                        assert!(scan(scanner, content()).verdict().is_clean());
                        began.elapsed()
                    })
                })
                .collect();
            while gets() < looked {
                thread::yield_now();
            }
            let mut release = Some(release);
            if !self.is_stuck {
                release.take().unwrap()();
            }
            let took = others.into_iter().map(|thread| thread.join().unwrap());
            let took = took.max().unwrap();
            if let Some(release) = release {
                release();
            }
            took
        })
    }
}

#[test]
fn waiting_scans_share_the_verdict_of_the_first() {
    // Also if the store keeps nothing.
    for fault in [None, Some(Fault::Error)] {
        let gate = Gate::new();
        let (server, scans) = stalling(&gate, CLEAN);
        let store = Store::default();
        store.set_fault(fault);
        let scanner = cached(&server).cache(store.cache()).build().unwrap();
        let beside = Beside {
            scanner: &scanner,
            store: &store,
            content: &hello,
            is_stuck: false,
        };
        let first = || assert!(!is_hit(&scanner, hello()));
        let took = beside.run(first, || scans.recv().unwrap(), || gate.open());
        assert!(took < MINUTE / 2, "{took:?}");
        if fault.is_none() {
            assert_eq!(scans.try_iter().count(), 0);
            assert_eq!(scanner.stats().cache_hits, u64::from(WAITING));
        }
    }
}

#[test]
fn failed_first_scan_holds_up_no_other() {
    let gate = Gate::new();
    let (server, scans) = stalling(&gate, "ICAP/1.0 500 Error\r\n\r\n");
    let store = Store::default();
    let scanner = cached(&server).cache(store.cache()).build().unwrap();
    let beside = Beside {
        scanner: &scanner,
        store: &store,
        content: &hello,
        is_stuck: false,
    };
    let first = || assert!(scanner.scan(hello()).is_err());
    let took = beside.run(first, || scans.recv().unwrap(), || gate.open());
    assert!(took < MINUTE / 2, "{took:?}");
    assert!(scans.try_iter().count() >= 1);
}

#[test]
fn panicking_first_scan_holds_up_no_other() {
    struct Panics(mpsc::Sender<()>, mpsc::Receiver<()>);
    impl Read for Panics {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            self.0.send(()).unwrap();
            self.1.recv().unwrap();
            panic!("as the test wants")
        }
    }
    let (server, plan) = planned();
    let store = Store::default();
    let scanner = cached(&server).cache(store.cache()).build().unwrap();
    let (begins, begun) = mpsc::channel();
    let (release, released) = mpsc::channel();
    let panics = Content::reader(Panics(begins, released)).len(5).id("id");
    let beside = Beside {
        scanner: &scanner,
        store: &store,
        content: &hello,
        is_stuck: false,
    };
    let first = || {
        let scan = std::panic::AssertUnwindSafe(|| scanner.scan(panics));
        assert!(std::panic::catch_unwind(scan).is_err());
    };
    let took = beside.run(
        first,
        || begun.recv().unwrap(),
        || release.send(()).unwrap(),
    );
    assert!(took < MINUTE / 2, "{took:?}");
    assert!(plan.scans() >= 1);
}

#[test]
fn slow_upload_of_a_stranger_holds_nobody_for_long() {
    let (server, plan) = planned();
    let store = Store::default();
    let timeout = Duration::from_secs(2);
    let builder = cached(&server).cache(store.cache()).read_timeout(timeout);
    let scanner = builder.response_timeout(MINUTE).build().unwrap();
    let (holds, hold) = holding();
    let beside = Beside {
        scanner: &scanner,
        store: &store,
        content: &|| Content::reader(io::empty()).id("id"),
        is_stuck: true,
    };
    let slow = Content::reader(holds).id("id");
    let first = || assert!(scan(&scanner, slow).verdict().is_clean());
    let hold = Mutex::new(Some(hold));
    let await_read = || hold.lock().unwrap().as_ref().unwrap().await_read();
    let took = beside.run(first, await_read, || drop(hold.lock().unwrap().take()));
    // Not one after the other.
    assert!(took < timeout * u32::from(WAITING) / 2, "{took:?}");
    assert!(plan.scans() >= 2);
}

#[test]
fn waiting_takes_at_most_half_of_the_time_left() {
    let gate = Gate::new();
    let (server, scans) = stalling(&gate, CLEAN);
    let store = Store::default();
    let scanner = cached(&server).cache(store.cache()).build().unwrap();
    let own = Duration::from_secs(4);
    let beside = Beside {
        scanner: &scanner,
        store: &store,
        content: &|| hello().deadline(own),
        is_stuck: true,
    };
    let first = || assert!(!is_hit(&scanner, hello()));
    let took = beside.run(first, || scans.recv().unwrap(), || gate.open());
    assert!(took < own, "{took:?}");
}

#[test]
fn infected_is_kept_of_two_verdicts_at_once() {
    let gate = Gate::new();
    let (server, scans) = stalling_before(&gate, CLEAN, infected("Worm"));
    let store = Store::default();
    // Two processes, which know nothing of each other.
    let scanners = [(); 2].map(|()| cached(&server).cache(store.cache()).build().unwrap());
    thread::scope(|scope| {
        let clean = scope.spawn(|| scan(&scanners[0], hello()));
        scans.recv().unwrap();
        assert!(scan(&scanners[1], hello()).verdict().is_infected());
        gate.open();
        assert!(clean.join().unwrap().verdict().is_clean());
    });
    for scanner in &scanners {
        let report = scan(scanner, hello());
        assert!(report.is_cached() && report.verdict().is_infected());
    }
}

#[test]
fn cancelled_first_scan_holds_up_no_other() {
    let gate = Gate::new();
    let (server, scans) = stalling(&gate, CLEAN);
    let store = Store::default();
    let scanner = cached(&server).cache(store.cache()).build().unwrap();
    let cancel = Cancel::new();
    let beside = Beside {
        scanner: &scanner,
        store: &store,
        content: &hello,
        is_stuck: false,
    };
    let first = || {
        let error = scanner.scan(hello().cancel(&cancel)).unwrap_err();
        assert!(error.is_cancelled(), "{error}");
    };
    let took = beside.run(first, || scans.recv().unwrap(), || cancel.cancel());
    assert!(took < MINUTE / 2, "{took:?}");
    gate.open();
}

#[test]
fn waiting_scan_can_be_cancelled() {
    let gate = Gate::new();
    let (server, scans) = stalling(&gate, CLEAN);
    let store = Store::default();
    let scanner = cached(&server).cache(store.cache()).build().unwrap();
    let cancel = Cancel::new();
    thread::scope(|scope| {
        scope.spawn(|| assert!(!is_hit(&scanner, hello())));
        scans.recv().unwrap();
        let looked = store.0.gets.load(SeqCst);
        let waiting = scope.spawn(|| scanner.scan(hello().cancel(&cancel)));
        while store.0.gets.load(SeqCst) == looked {
            thread::yield_now();
        }
        let began = Instant::now();
        cancel.cancel();
        assert!(waiting.join().unwrap().unwrap_err().is_cancelled());
        assert!(began.elapsed() < MINUTE / 2);
        gate.open();
    });
    // It has sent nothing.
    assert_eq!(scans.try_iter().count(), 0);
    assert!(is_hit(&scanner, hello()));
}

#[test]
fn cancelled_scan_gets_no_verdict_from_the_cache() {
    let (server, _) = planned();
    let scanner = cached(&server).build().unwrap();
    assert!(!is_hit(&scanner, hello()));
    let cancel = Cancel::new();
    cancel.cancel();
    let error = scanner.scan(hello().cancel(&cancel)).unwrap_err();
    assert!(error.is_cancelled());
}
