//! A clean verdict of the cache while a canary is due: what the canary shows, and what other scans show meanwhile,
//! counts.
#![cfg(feature = "testing")]
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::Duration;

use icap_client::testing::{
    CLEAN, Gate, ManualClock, Received, Script, Server, infected, options_with_preview,
};
use icap_client::transport::{Readiness, TcpConnector};
use icap_client::{
    Cache, Connect, Content, NotScanned, Scanner, ScannerBuilder, ServiceUri, Stream, Verdict,
    VerdictCache,
};

mod support;

use support::stream::{Calls, wrapped};

const EVERY: Duration = Duration::from_secs(400);
/// A canary is due after it, and the last proof still holds.
const DUE: Duration = Duration::from_secs(301);
/// c-icap's state tag without an engine.
const NO_ENGINE: &str = "CI0001-1B2M2Y8AsgTpgAmY7PhCfgAA";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Seen {
    Canary,
    /// An archive without EICAR.
    Control,
    File,
}

fn seen(request: &Received) -> Seen {
    match request.body().starts_with(b"PK") {
        true if request.has_eicar() => Seen::Canary,
        true => Seen::Control,
        false => Seen::File,
    }
}

type Canary = Box<dyn FnOnce(&Plan) -> Script + Send>;

/// What a server does, and what it has seen.
#[derive(Default)]
struct Plan {
    tag: Mutex<String>,
    finds_files: AtomicBool,
    breaks_canaries: AtomicBool,
    /// What it does at the next canary.
    next_canary: Mutex<Option<Canary>>,
    seen: Mutex<Vec<Seen>>,
}

impl Plan {
    fn set_tag(&self, tag: &str) {
        tag.clone_into(&mut self.tag.lock().unwrap());
    }

    fn at_next_canary(&self, canary: impl FnOnce(&Self) -> Script + Send + 'static) {
        *self.next_canary.lock().unwrap() = Some(Box::new(canary));
    }

    /// `response` under the state tag of now.
    fn send(&self, response: impl AsRef<[u8]>) -> Script {
        let response = String::from_utf8(response.as_ref().to_vec()).unwrap();
        Script::new().send(response.replace("icap-client-testing", &self.tag.lock().unwrap()))
    }

    fn respond(&self, request: &Received) -> Script {
        if request.method() == "OPTIONS" {
            return self.send(options_with_preview(8));
        }
        let seen = seen(request);
        self.seen.lock().unwrap().push(seen);
        let next_canary = match seen {
            Seen::Canary => self.next_canary.lock().unwrap().take(),
            _ => None,
        };
        match (next_canary, seen) {
            (Some(canary), _) => canary(self),
            (None, Seen::Canary) if self.breaks_canaries.load(SeqCst) => Script::new().close(),
            (None, Seen::Canary) => self.send(infected("Eicar")),
            (None, Seen::File) if self.finds_files.load(SeqCst) => self.send(infected("Worm")),
            _ => self.send(CLEAN),
        }
    }

    /// What it has seen since the last call.
    fn seen(&self) -> Vec<Seen> {
        std::mem::take(&mut self.seen.lock().unwrap())
    }
}

/// A server that finds EICAR, and nothing in files, under the tag "1".
fn planned() -> (Server, Arc<Plan>) {
    let plan = Arc::new(Plan::default());
    plan.set_tag("1");
    let own = Arc::clone(&plan);
    let server = Server::answering(move |request| own.respond(request));
    (server.unwrap(), plan)
}

fn cached(server: &Server) -> (ScannerBuilder, ManualClock) {
    let clock = ManualClock::new();
    let builder = Scanner::builder(server.uri()).canary(EVERY);
    (builder.cache(Cache::new()).clock(clock.clone()), clock)
}

/// The verdict on the same content, and whether it came from the cache.
fn scan(scanner: &Scanner) -> (Verdict, bool) {
    let report = scanner.scan(Content::from("hello").id("id")).unwrap();
    (report.verdict().clone(), report.is_cached())
}

#[test]
fn new_tag_in_a_canary_makes_no_hit() {
    // The canary is due, or nothing is clean without it.
    for after in [DUE, EVERY] {
        let (server, plan) = planned();
        let (builder, clock) = cached(&server);
        let scanner = builder.build().unwrap();
        assert_eq!(scan(&scanner), (Verdict::Clean, false));
        plan.seen();
        plan.at_next_canary(|plan| {
            plan.set_tag("2");
            plan.send(infected("Eicar"))
        });
        clock.advance(after);
        assert_eq!(scan(&scanner), (Verdict::Clean, false), "{after:?}");
        let [canary, control, file] = [Seen::Canary, Seen::Control, Seen::File];
        assert_eq!(plan.seen(), [canary, control, file], "{after:?}");
        assert_eq!(scan(&scanner), (Verdict::Clean, true), "{after:?}");
    }
}

#[test]
fn new_tag_in_a_canary_for_the_tag_makes_no_hit() {
    let (server, plan) = planned();
    let (builder, clock) = cached(&server);
    let scanner = builder.build().unwrap();
    assert_eq!(scan(&scanner), (Verdict::Clean, false));
    // Of two servers after one address, the second one gives the next proof.
    clock.advance(EVERY);
    plan.set_tag("2");
    assert!(scanner.scan("other").unwrap().verdict().is_clean());
    plan.seen();
    plan.set_tag("1");
    clock.advance(Duration::from_secs(61));
    plan.at_next_canary(|plan| {
        plan.set_tag("2");
        plan.send(infected("Eicar"))
    });
    assert_eq!(scan(&scanner), (Verdict::Clean, false));
    assert_eq!(plan.seen(), [Seen::Canary, Seen::File]);
}

/// What happens while the canary of a hit is under way.
fn hit_while(happens: impl FnOnce(&Scanner, &Plan)) -> (Verdict, bool) {
    hit_in_while(Cache::new(), happens)
}

fn hit_in_while(cache: Cache, happens: impl FnOnce(&Scanner, &Plan)) -> (Verdict, bool) {
    let (server, plan) = planned();
    let (builder, clock) = cached(&server);
    let builder = builder.cache(cache);
    let scanner = builder.build().unwrap();
    assert_eq!(scan(&scanner), (Verdict::Clean, false));
    let (gate, (sender, arrived)) = (Gate::new(), mpsc::channel());
    let of_server = gate.clone();
    plan.at_next_canary(move |plan| {
        sender.send(()).unwrap();
        let response = String::from_utf8(infected("Eicar").to_vec()).unwrap();
        let response = response.replace("icap-client-testing", &plan.tag.lock().unwrap());
        Script::new().wait_for(&of_server).send(response)
    });
    clock.advance(DUE);
    thread::scope(|scope| {
        let hit = scope.spawn(|| scan(&scanner));
        arrived.recv().unwrap();
        clock.advance(Duration::from_secs(1));
        happens(&scanner, &plan);
        gate.open();
        hit.join().unwrap()
    })
}

#[test]
fn canary_alone_does_not_change_a_hit() {
    assert_eq!(hit_while(|_, _| {}), (Verdict::Clean, true));
}

#[test]
fn objection_during_the_canary_of_a_hit_counts() {
    let (verdict, is_cached) = hit_while(|scanner, plan| {
        plan.finds_files.store(true, SeqCst);
        let content = Content::from("hello").id("id");
        let teed = scanner.scan_tee(content, io::sink()).unwrap();
        assert!(teed.outcome.unwrap().verdict().is_infected());
    });
    assert!(verdict.is_infected() && !is_cached, "{verdict:?}");
}

/// A store that processes share.
#[derive(Default)]
struct Store {
    rows: Mutex<HashMap<Vec<u8>, Vec<u8>>>,
    gets: AtomicUsize,
}

impl VerdictCache for Store {
    fn get(&self, key: &[u8]) -> io::Result<Option<Vec<u8>>> {
        self.gets.fetch_add(1, SeqCst);
        Ok(self.rows.lock().unwrap().get(key).cloned())
    }

    fn put(&self, key: &[u8], entry: &[u8], _: Duration) -> io::Result<()> {
        let mut rows = self.rows.lock().unwrap();
        rows.insert(key.to_vec(), entry.to_vec());
        Ok(())
    }
}

#[test]
fn withdrawal_by_another_process_counts_for_a_hit() {
    type Withdraw = fn(&mut HashMap<Vec<u8>, Vec<u8>>);
    let keep: Withdraw = |_| {};
    let remove: Withdraw = HashMap::clear;
    let empty: Withdraw = |rows| rows.values_mut().for_each(Vec::clear);
    for (withdraw, is_hit) in [(keep, true), (remove, false), (empty, false)] {
        let store = Arc::new(Store::default());
        let cache = Cache::shared(Arc::clone(&store), [7; 32]);
        let hit = hit_in_while(cache, |_, _| {
            store.gets.store(0, SeqCst);
            withdraw(&mut store.rows.lock().unwrap());
        });
        assert_eq!(hit, (Verdict::Clean, is_hit));
        // After a canary, a hit looks once more; a scan looks for a find before it stores.
        assert_eq!(store.gets.load(SeqCst), 1 + usize::from(!is_hit));
    }
}

/// After its first bytes, a request waits for bytes of a response, while this is on. So the response is early, however
/// slow the server is.
struct Waits {
    is_on: Arc<AtomicBool>,
    has_begun: bool,
}

impl Calls for Waits {
    fn write(&mut self, stream: &mut dyn Stream, bytes: &[u8]) -> io::Result<usize> {
        while self.is_on.load(SeqCst) && self.has_begun && stream.readiness()? == Readiness::Idle {
            thread::yield_now();
        }
        self.has_begun = true;
        stream.write(bytes)
    }
}

struct Waiting(Arc<AtomicBool>);

impl Connect for Waiting {
    fn connect(&self, service: &ServiceUri, timeout: Duration) -> io::Result<Box<dyn Stream>> {
        let calls = Waits {
            is_on: Arc::clone(&self.0),
            has_begun: false,
        };
        Ok(wrapped(TcpConnector.connect(service, timeout)?, calls))
    }
}

/// The server responds before it has the canary, so it scans nothing, and what it called clean is void.
#[test]
fn early_204_that_breaks_off_in_a_canary_counts() {
    let one = |response: &[u8]| Script::new().read_request().send(response);
    let head = "ICAP/1.0 204 No Content\r\nISTag: \"x\"\r\n";
    let early = Script::new().read_bytes(1).send(head);
    let (virus, clean) = (infected("Eicar"), CLEAN.as_bytes());
    let server = Server::scripted([
        one(&virus),
        one(clean),
        one(clean),
        early.half_close().read_to_end(),
        one(&virus),
        one(clean),
    ]);
    let server = server.unwrap();
    let is_on = Arc::new(AtomicBool::new(false));
    let (builder, clock) = cached(&server);
    let builder = builder.connector(Waiting(Arc::clone(&is_on))).max_idle(0);
    let scanner = builder.negotiate(false).build().unwrap();
    assert_eq!(scan(&scanner), (Verdict::Clean, false));
    clock.advance(DUE);
    is_on.store(true, SeqCst);
    let result = scanner.scan(Content::from("hello").id("id"));
    assert!(result.is_err(), "{result:?}");
    is_on.store(false, SeqCst);
    clock.advance(Duration::from_secs(1));
    assert_eq!(scan(&scanner), (Verdict::Clean, false));
}

#[test]
fn lost_engine_during_the_canary_of_a_hit_counts() {
    let no_engine = Verdict::NotScanned(NotScanned::NoEngine);
    let hit = hit_while(|scanner, plan| {
        plan.set_tag(NO_ENGINE);
        assert_eq!(scanner.scan("other").unwrap().verdict(), &no_engine);
    });
    assert_eq!(hit, (no_engine, false));
}

#[test]
fn fallback_objection_counts_if_the_canary_broke_off() {
    let ((first, plan), (second, fallback)) = (planned(), planned());
    fallback.finds_files.store(true, SeqCst);
    let (builder, clock) = cached(&first);
    let scanner = builder.endpoint(second.uri()).build().unwrap();
    assert_eq!(scan(&scanner), (Verdict::Clean, false));
    assert_eq!(scan(&scanner), (Verdict::Clean, true));
    plan.breaks_canaries.store(true, SeqCst);
    clock.advance(EVERY);
    assert!(scan(&scanner).0.is_infected());
    plan.breaks_canaries.store(false, SeqCst);
    assert_eq!(scan(&scanner), (Verdict::Clean, false));
}
