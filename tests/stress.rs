//! Many threads share one scanner while what is between it and the server does its worst.
//!
//! Every content has a marker of its own, which the server repeats in the name of the threat it finds.
//! Between scanner and server, a proxy breaks connections at every stage of an exchange, and sends
//! whole answers that nobody asked for. Whatever it does: no content gets another one's verdict, no
//! infected content is called clean, no scan hangs, and no connection is lost count of.
//!
//! | variable | meaning |
//! | --- | --- |
//! | `ICAP_STRESS_SCANS` | how many scans; 200,000 if it is not set |
//! | `ICAP_STRESS_SEED` | the seed of the faults and contents; it is printed |
//!
//! A seed makes the same contents and faults, but not the same schedule of threads.

use std::collections::{BTreeMap, HashMap};
use std::env;
use std::fmt::Display;
use std::io::{self, Cursor, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::ops::ControlFlow::{self, Break, Continue};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use icap_client::testing::{self, CLEAN, OPTIONS_ANSWER, Received, Script, Server};
use icap_client::{Content, Error, Report, Scanner, Stats, Verdict};

const SCANS: u64 = 200_000;
const THREADS: u64 = 32;

/// Fewer than threads, so that they also wait in line, and that not all are kept.
const MAX_CONNECTIONS: usize = 28;
const MAX_IDLE: usize = 20;

/// The server records what it receives, so a long run has one server after the other.
const SCANS_A_ROUND: u64 = 50_000;

/// If no scan ends for so long, one hangs. Longer than the scanner's own deadline.
const HANGS: Duration = Duration::from_secs(30);

/// Now and then all threads rest at once. Without that, no connection would be idle for long enough to
/// have something done to it: the one that was used last is taken first.
const REST_EVERY: u64 = 400;
const REST: Duration = Duration::from_millis(30);

/// With what the name of each content begins.
const MARKER: &str = "marker-";

#[test]
fn no_fault_leads_to_a_wrong_verdict() {
    let scans = setting("ICAP_STRESS_SCANS").unwrap_or(SCANS);
    let seed = setting("ICAP_STRESS_SEED").unwrap_or_else(|| u64::from(std::process::id()));
    say(&format!("{scans} scans, ICAP_STRESS_SEED={seed}"));
    let began = Instant::now();
    let mut counts = Counts::default();
    for first in (0..scans).step_by(usize::try_from(SCANS_A_ROUND).unwrap()) {
        let numbers = first..scans.min(first + SCANS_A_ROUND);
        round(seed, numbers, &mut counts);
    }
    for (what, count) in &counts.0 {
        say(&format!("{count:>9}  {what}"));
    }
    say(&format!("took {:.1} s", began.elapsed().as_secs_f64()));
    // Above, every verdict was checked. This shows that there was something to check.
    if scans >= SCANS {
        counts.assert_every_fault_happened();
    }
    counts.assert_idleness_is_proved();
}

/// Some scans, from starting the server to ending it.
fn round(seed: u64, numbers: std::ops::Range<u64>, counts: &mut Counts) {
    let server = Server::answering(answer).unwrap();
    let proxy = Proxy::start(server.address(), seed ^ numbers.start).unwrap();
    let scanner = Scanner::builder(&format!("icap://{}/scan", proxy.address))
        .connect_timeout(Duration::from_secs(5))
        .read_timeout(Duration::from_secs(10))
        .write_timeout(Duration::from_secs(10))
        .deadline(Duration::from_secs(20))
        .max_connections(MAX_CONNECTIONS)
        .max_idle(MAX_IDLE)
        // Every fault would count as the server's, and this is not about that.
        .suspend_after(u32::MAX)
        .build()
        .unwrap();
    let scans = numbers.end - numbers.start;
    let tally = run(&scanner, seed, numbers);
    let stats = scanner.stats();
    drop(scanner);
    let wire = proxy.finish();
    let _ = server.finish();

    tally.check(scans, &stats, &wire);
    counts.add_stats(&stats);
    counts.add_all("errors: ", &tally.errors);
    counts.add_all("proxy: ", &wire.counts.lock().unwrap().0);
    let longest = u64::try_from(tally.longest.as_millis()).unwrap();
    counts.at_least("longest scan in ms", longest);
}

/// Scans them all, on many threads, unless they hang.
fn run(scanner: &Scanner, seed: u64, numbers: std::ops::Range<u64>) -> Tally {
    let next = Arc::new(AtomicU64::new(numbers.start));
    let (progress, watched) = mpsc::channel();
    let work = || {
        let (scanner, next, progress) = (scanner.clone(), Arc::clone(&next), progress.clone());
        thread::spawn(move || work(&scanner, seed, &next, numbers.end, &progress))
    };
    let threads: Vec<_> = (0..THREADS).map(|_| work()).collect();
    drop(progress);
    watch(&watched, &next);
    threads
        .into_iter()
        .map(|thread| thread.join().expect("a thread panicked"))
        .fold(Tally::default(), Tally::plus)
}

/// An ended scan, or why it must not have ended like that.
type Ended = Result<(), String>;

/// Returns when all threads have ended. Those that hang are left to the end of the process.
fn watch(progress: &Receiver<Ended>, next: &AtomicU64) {
    loop {
        match progress.recv_timeout(HANGS) {
            Ok(ended) => ended.unwrap(),
            Err(RecvTimeoutError::Disconnected) => return,
            Err(RecvTimeoutError::Timeout) => {
                panic!("no scan ended for {HANGS:?}; the next is {next:?}")
            }
        }
    }
}

fn work(
    scanner: &Scanner,
    seed: u64,
    next: &AtomicU64,
    end: u64,
    progress: &Sender<Ended>,
) -> Tally {
    let mut tally = Tally::default();
    loop {
        let number = next.fetch_add(1, Relaxed);
        if number >= end {
            return tally;
        }
        let sample = Sample::new(seed, number);
        let began = Instant::now();
        let result = sample.scan(scanner);
        tally.longest = tally.longest.max(began.elapsed());
        progress.send(tally.judge(&sample, result)).unwrap();
        if number % REST_EVERY < THREADS {
            thread::sleep(REST);
        }
    }
}

/// Content to be scanned: a word that says what it is, its marker, and some padding.
struct Sample {
    marker: String,
    is_infected: bool,
    bytes: Vec<u8>,
    way: Way,
}

/// How it is handed over.
enum Way {
    Bytes,
    Seekable,
    /// It can be read only once, so the scan cannot be repeated.
    Reader,
}

impl Sample {
    fn new(seed: u64, number: u64) -> Self {
        let mut random = Random::new(seed.wrapping_add(number));
        let is_infected = random.below(2) == 0;
        let marker = format!("{MARKER}{number}");
        let mut bytes = format!(
            "{} {marker} ",
            if is_infected { "infected" } else { "clean" }
        );
        let padding = random.below(400);
        bytes.extend((0..padding).map(|_| 'x'));
        let way = match random.below(4) {
            0 => Way::Reader,
            1 => Way::Seekable,
            _ => Way::Bytes,
        };
        Self {
            marker,
            is_infected,
            bytes: bytes.into_bytes(),
            way,
        }
    }

    fn scan(&self, scanner: &Scanner) -> Result<Report, Error> {
        scanner.scan(match self.way {
            Way::Bytes => Content::bytes(&self.bytes),
            Way::Seekable => Content::seekable(Cursor::new(&self.bytes)),
            Way::Reader => Content::reader(&self.bytes[..]),
        })
    }
}

/// What the server does: it finds what the content says of itself.
fn answer(request: &Received) -> Script {
    if request.method() == "OPTIONS" {
        return Script::new().send(OPTIONS_ANSWER);
    }
    let body = String::from_utf8_lossy(request.body());
    match body.split(' ').collect::<Vec<_>>()[..] {
        ["infected", marker, _] => Script::new().send(testing::infected(marker)),
        ["clean", _, _] => Script::new().send(CLEAN),
        _ => Script::new().send("ICAP/1.0 500 What Is This\r\n\r\n"),
    }
}

// --- what came of it ---------------------------------------------------------------------

/// What threads have seen.
#[derive(Default)]
struct Tally {
    clean: u64,
    infected: u64,
    errors: BTreeMap<String, u64>,
    /// Verdicts that are not the content's own, by its marker.
    wrong: Vec<(String, String)>,
    longest: Duration,
}

/// Errors that what the proxy does leads to. Everything else is the client's own.
const EXPLAINED: [&str; 6] = [
    // A connection ended or was reset.
    "disconnected",
    "protocol: Truncated",
    // It was reset, and the answer says that everything was received.
    "protocol: IncompleteUpload",
    // A stray answer behind the answer, on the idle connection, and at the same moment as a request.
    "protocol: TrailingBytes",
    "protocol: Unsolicited",
    "protocol: EarlyAnswer",
];

impl Tally {
    fn judge(&mut self, sample: &Sample, result: Result<Report, Error>) -> Ended {
        let report = match result {
            Ok(report) => report,
            Err(error) => return self.explain(&error),
        };
        let own = match report.verdict() {
            Verdict::Clean => !sample.is_infected,
            Verdict::Infected(threats) => {
                sample.is_infected && threats.names().eq([sample.marker.as_str()])
            }
            _ => false,
        };
        match report.verdict() {
            Verdict::Clean => self.clean += 1,
            Verdict::Infected(_) => self.infected += 1,
            _ => {}
        }
        if !own {
            let wrong = (sample.marker.clone(), report.verdict().to_string());
            self.wrong.push(wrong);
        }
        Ok(())
    }

    fn explain(&mut self, error: &Error) -> Ended {
        let label = match error {
            Error::Protocol(error) => format!("protocol: {:?}", error.violation()),
            other => other.kind().to_string(),
        };
        if !EXPLAINED.contains(&label.as_str()) {
            return Err(format!("no fault explains: {error:?}"));
        }
        *self.errors.entry(label).or_default() += 1;
        Ok(())
    }

    fn plus(mut self, other: Self) -> Self {
        self.clean += other.clean;
        self.infected += other.infected;
        for (label, count) in other.errors {
            *self.errors.entry(label).or_default() += count;
        }
        self.wrong.extend(other.wrong);
        self.longest = self.longest.max(other.longest);
        self
    }

    fn check(&self, scans: u64, stats: &Stats, wire: &Wire) {
        let crossed = wire.crossed.lock().unwrap();
        for (marker, verdict) in &self.wrong {
            let stray = crossed.get(marker);
            assert_eq!(
                stray.copied().map(Stray::verdict),
                Some(verdict.as_str()),
                "the verdict on {marker}"
            );
            wire.count("stray answers taken for the answer to a request that crossed them");
        }

        let errors: u64 = self.errors.values().sum();
        // Options that cannot be had are an error of every scan that waits for them.
        let faults = wire.faults() + THREADS * (stats.options_sent - 1);
        assert!(errors <= faults, "{errors} errors of {faults} faults");

        assert_eq!(scans, self.clean + self.infected + errors);
        let counted = (stats.scans, stats.clean, stats.infected, stats.errors);
        assert_eq!(counted, (scans, self.clean, self.infected, errors));
        let ended = stats.connections_closed + stats.connections_idle;
        assert_eq!(stats.connections_opened, ended);
        assert_eq!(stats.connections_opened, wire.get("connections accepted"));
        assert!(stats.connections_idle <= MAX_IDLE as u64);
    }
}

/// What is printed.
#[derive(Default)]
struct Counts(BTreeMap<String, u64>);

impl Counts {
    fn add(&mut self, what: &str, count: u64) {
        *self.0.entry(what.to_owned()).or_default() += count;
    }

    fn at_least(&mut self, what: &str, count: u64) {
        let most = self.0.entry(what.to_owned()).or_default();
        *most = count.max(*most);
    }

    fn add_all<K: Display>(&mut self, prefix: &str, counts: &BTreeMap<K, u64>) {
        for (what, count) in counts {
            self.add(&format!("{prefix}{what}"), *count);
        }
    }

    fn add_stats(&mut self, stats: &Stats) {
        self.add("scans", stats.scans);
        self.add("scans: clean", stats.clean);
        self.add("scans: infected", stats.infected);
        self.add("scans: errors", stats.errors);
        self.add("connections opened", stats.connections_opened);
        self.add("connections reused", stats.connections_reused);
        self.add("connections idle at the end", stats.connections_idle);
        self.add("retries", stats.retries);
        self.add("OPTIONS sent", stats.options_sent);
        self.add_all("connections closed: ", &stats.closed_by_reason);
    }

    fn get(&self, what: &str) -> u64 {
        self.0.get(what).copied().unwrap_or(0)
    }

    fn assert_every_fault_happened(&self) {
        assert!(self.get("connections reused") > 5 * self.get("connections opened"));
        for fault in Fault::ALL {
            let what = format!("proxy: {}", fault.explain());
            assert!(self.get(&what) > 100, "{what}: {}", self.get(&what));
        }
    }

    /// A stray answer and a request can pass each other on their ways, and nobody can tell then; but
    /// a client that does not look before it asks would walk into every one.
    fn assert_idleness_is_proved(&self) {
        assert_eq!(self.get(&format!("proxy: {ASKED_BEHIND}")), 0);
        let strays = self.get(&format!("proxy: {}", Fault::StrayOnIdle.explain()));
        let crossed = self.get(&format!("proxy: {CROSSED}"));
        let found_late = self.get("errors: protocol: Unsolicited");
        let late = crossed + found_late;
        assert!(late <= strays / 20 + 5, "{late} of {strays} not noticed");
    }
}

// --- the proxy ---------------------------------------------------------------------------

/// What is done to one exchange.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fault {
    None,
    CloseIdle,
    ResetUnreadRequest,
    CloseMidRequest,
    ResetMidRequest,
    CloseBeforeAnswer,
    ResetBeforeAnswer,
    CloseMidAnswer,
    ResetMidAnswer,
    CloseAfterAnswer,
    ResetAfterAnswer,
    Delay,
    DelayMidAnswer,
    StrayBehind,
    StrayAtOnce,
    StrayOnIdle,
}

impl Fault {
    const ALL: [Self; 15] = [
        Self::ResetUnreadRequest,
        Self::CloseMidRequest,
        Self::ResetMidRequest,
        Self::CloseBeforeAnswer,
        Self::ResetBeforeAnswer,
        Self::CloseMidAnswer,
        Self::ResetMidAnswer,
        Self::CloseAfterAnswer,
        Self::ResetAfterAnswer,
        Self::Delay,
        Self::DelayMidAnswer,
        Self::StrayBehind,
        Self::StrayAtOnce,
        Self::CloseIdle,
        Self::StrayOnIdle,
    ];

    /// Those that need an idle connection are drawn often, because they rarely find one.
    fn draw(random: &mut Random) -> Self {
        match random.below(160) {
            0..24 => Self::CloseIdle,
            24..48 => Self::StrayOnIdle,
            place @ 48..61 => Self::ALL[usize::try_from(place - 48).unwrap()],
            _ => Self::None,
        }
    }

    fn explain(self) -> &'static str {
        match self {
            Self::None => "exchanges without a fault",
            Self::CloseIdle => "closed before a request",
            Self::ResetUnreadRequest => "reset when a request came",
            Self::CloseMidRequest => "closed in the middle of a request",
            Self::ResetMidRequest => "reset in the middle of a request",
            Self::CloseBeforeAnswer => "closed before the answer",
            Self::ResetBeforeAnswer => "reset before the answer",
            Self::CloseMidAnswer => "closed in the middle of the answer",
            Self::ResetMidAnswer => "reset in the middle of the answer",
            Self::CloseAfterAnswer => "closed after the answer",
            Self::ResetAfterAnswer => "reset after the answer",
            Self::Delay => "delayed the answer",
            Self::DelayMidAnswer => "delayed the second half of the answer",
            Self::StrayBehind => "stray answers in one write with the answer",
            Self::StrayAtOnce => "stray answers at once behind the answer",
            Self::StrayOnIdle => "stray answers on an idle connection",
        }
    }

    fn goes_on(self) -> bool {
        matches!(self, Self::None | Self::Delay | Self::DelayMidAnswer)
    }

    /// std cannot ask for a reset, but the system sends one when a connection is closed with bytes of
    /// the client unread. So its last byte is left.
    fn leaves_last_byte(self) -> bool {
        matches!(
            self,
            Self::ResetBeforeAnswer | Self::ResetMidAnswer | Self::ResetAfterAnswer
        )
    }
}

/// A whole answer that nobody asked for.
#[derive(Clone, Copy, Debug)]
enum Stray {
    Clean,
    Infected,
}

impl Stray {
    fn bytes(self) -> Vec<u8> {
        match self {
            Self::Clean => CLEAN.as_bytes().to_vec(),
            Self::Infected => testing::infected("STRAY"),
        }
    }

    /// What it is if it is taken for an answer.
    fn verdict(self) -> &'static str {
        match self {
            Self::Clean => "clean",
            Self::Infected => "infected: STRAY",
        }
    }
}

/// No request may follow what came together with the answer before.
const ASKED_BEHIND: &str = "requests behind a stray answer in one write with the answer";

/// Nobody can tell such a stray answer from the answer to the request. It gets no other.
const CROSSED: &str = "requests that crossed a stray answer";

/// What is between the scanner and the server. Each connection has a thread that takes one request
/// after the other, so it knows when none is outstanding.
struct Proxy {
    address: SocketAddr,
    wire: Arc<Wire>,
    /// Disconnected when the last thread has ended.
    ended: Receiver<()>,
}

/// What the threads of a proxy share.
struct Wire {
    server: SocketAddr,
    seed: u64,
    counts: Mutex<Counts>,
    /// By the marker in the request that crossed them.
    crossed: Mutex<HashMap<String, Stray>>,
    /// The connection after which none is accepted.
    last: Mutex<Option<SocketAddr>>,
}

impl Proxy {
    fn start(server: SocketAddr, seed: u64) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        let wire = Arc::new(Wire {
            server,
            seed,
            counts: Mutex::default(),
            crossed: Mutex::default(),
            last: Mutex::default(),
        });
        let (alive, ended) = mpsc::channel();
        let acceptor = Arc::clone(&wire);
        thread::spawn(move || acceptor.accept_all(&listener, &alive));
        Ok(Self {
            address,
            wire,
            ended,
        })
    }

    /// Waits until the client has closed all connections.
    fn finish(self) -> Arc<Wire> {
        let mut last = self.wire.last.lock().unwrap();
        // The acceptor cannot look at it before it is known.
        let stream = TcpStream::connect(self.address).unwrap();
        *last = stream.local_addr().ok();
        drop((stream, last));
        let ended = self.ended.recv_timeout(HANGS);
        assert_eq!(ended, Err(RecvTimeoutError::Disconnected), "leaked one");
        self.wire
    }
}

impl Wire {
    fn accept_all(self: &Arc<Self>, listener: &TcpListener, alive: &Sender<()>) {
        for number in 0.. {
            let (client, peer) = listener.accept().unwrap();
            if *self.last.lock().unwrap() == Some(peer) {
                return;
            }
            self.count("connections accepted");
            let (wire, alive) = (Arc::clone(self), alive.clone());
            thread::spawn(move || {
                // An error is a client that has gone.
                let _ = wire.serve(client, number);
                drop(alive);
            });
        }
    }

    fn serve(&self, client: TcpStream, number: u64) -> io::Result<()> {
        let server = TcpStream::connect(self.server)?;
        client.set_nodelay(true)?;
        server.set_nodelay(true)?;
        let mut link = Link {
            wire: self,
            client,
            server,
            random: Random::new(self.seed.wrapping_add(number)),
        };
        while link.exchange()?.is_continue() {}
        Ok(())
    }

    fn count(&self, what: &str) {
        self.counts.lock().unwrap().add(what, 1);
    }

    fn get(&self, what: &str) -> u64 {
        self.counts.lock().unwrap().get(what)
    }

    fn faults(&self) -> u64 {
        Fault::ALL
            .iter()
            .filter(|fault| !fault.goes_on())
            .map(|fault| self.get(fault.explain()))
            .sum()
    }
}

/// One connection through the proxy.
struct Link<'w> {
    wire: &'w Wire,
    client: TcpStream,
    server: TcpStream,
    random: Random,
}

/// Whether the connection goes on.
type Flow = io::Result<ControlFlow<()>>;

impl Link<'_> {
    fn exchange(&mut self) -> Flow {
        let fault = Fault::draw(&mut self.random);
        match fault {
            Fault::CloseIdle => self.close_idle(),
            Fault::ResetUnreadRequest | Fault::CloseMidRequest | Fault::ResetMidRequest => {
                self.break_request(fault)
            }
            _ => {
                let Some(request) = self.read_request(fault.leaves_last_byte())? else {
                    return Ok(Break(()));
                };
                self.server.write_all(&request)?;
                let answer = self.read_answer()?;
                self.answer(fault, &answer)
            }
        }
    }

    fn close_idle(&mut self) -> Flow {
        if self.await_byte()? {
            // Too late: this is the next exchange, or the end.
            return Ok(Continue(()));
        }
        self.wire.count(Fault::CloseIdle.explain());
        Ok(Break(()))
    }

    fn break_request(&mut self, fault: Fault) -> Flow {
        let mut bytes = [0; 4096];
        let len = self.client.peek(&mut bytes)?;
        if len == 0 {
            return Ok(Break(()));
        }
        self.wire.count(fault.explain());
        if fault != Fault::ResetUnreadRequest {
            let part = self.part_of(&bytes[..len]);
            self.client.read_exact(&mut vec![0; part])?;
        }
        if fault == Fault::CloseMidRequest {
            self.client.shutdown(Shutdown::Write)?;
            // A reset would follow if it were not read.
            self.client.read_to_end(&mut Vec::new())?;
        }
        Ok(Break(()))
    }

    fn answer(&mut self, fault: Fault, answer: &[u8]) -> Flow {
        let (first, second) = answer.split_at(self.part_of(answer));
        let stray = match self.random.below(2) {
            0 => Stray::Clean,
            _ => Stray::Infected,
        };
        match fault {
            Fault::StrayAtOnce | Fault::StrayOnIdle => {
                self.client.write_all(answer)?;
                return self.send_stray(fault, stray);
            }
            Fault::CloseBeforeAnswer | Fault::ResetBeforeAnswer => {}
            Fault::CloseMidAnswer | Fault::ResetMidAnswer => self.client.write_all(first)?,
            Fault::Delay => {
                self.delay();
                self.client.write_all(answer)?;
            }
            Fault::DelayMidAnswer => {
                self.client.write_all(first)?;
                self.delay();
                self.client.write_all(second)?;
            }
            Fault::StrayBehind => {
                self.client.write_all(&[answer, &stray.bytes()].concat())?;
                self.wire.count(fault.explain());
                return self.end_after(stray, ASKED_BEHIND);
            }
            _ => self.client.write_all(answer)?,
        }
        self.wire.count(fault.explain());
        Ok(if fault.goes_on() {
            Continue(())
        } else {
            Break(())
        })
    }

    /// Sends an answer while nothing is asked, as far as anybody can know.
    fn send_stray(&mut self, fault: Fault, stray: Stray) -> Flow {
        let bytes = stray.bytes();
        if fault == Fault::StrayOnIdle && self.await_byte()? {
            return Ok(Continue(()));
        }
        self.client.set_nonblocking(true)?;
        // Nothing may be between this look and the write.
        let sent = match self.client.peek(&mut [0]) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => self.client.write(&bytes),
            _ => Ok(0),
        };
        self.client.set_nonblocking(false)?;
        if sent? == 0 {
            return Ok(Continue(()));
        }
        self.wire.count(fault.explain());
        self.end_after(stray, CROSSED)
    }

    /// After a stray answer, nothing may come but the end. A request is not answered.
    fn end_after(&mut self, stray: Stray, otherwise: &str) -> Flow {
        if let Some(request) = self.read_request(false)? {
            self.wire.count(otherwise);
            let request = String::from_utf8_lossy(&request);
            let mut words = request.split(' ');
            if let Some(marker) = words.find(|word| word.starts_with(MARKER)) {
                let mut crossed = self.wire.crossed.lock().unwrap();
                crossed.insert(marker.to_owned(), stray);
            }
        }
        Ok(Break(()))
    }

    /// Waits some time for a byte of the client; true if one came, or the end.
    fn await_byte(&mut self) -> io::Result<bool> {
        let limit = Duration::from_millis(1 + self.random.below(20));
        self.client.set_read_timeout(Some(limit))?;
        let came = match self.client.peek(&mut [0]) {
            Ok(_) => Ok(true),
            Err(error) if is_timeout(&error) => Ok(false),
            Err(error) => Err(error),
        };
        self.client.set_read_timeout(None)?;
        came
    }

    fn delay(&mut self) {
        thread::sleep(Duration::from_millis(1 + self.random.below(5)));
    }

    /// A length that is neither none nor all of it.
    fn part_of(&mut self, bytes: &[u8]) -> usize {
        let rest = bytes.len().saturating_sub(1).max(1);
        1 + usize::try_from(self.random.below(rest as u64)).unwrap()
    }

    /// A whole request; `None` if the client ends the connection before.
    fn read_request(&mut self, leave_last_byte: bool) -> io::Result<Option<Vec<u8>>> {
        let mut request = Vec::new();
        let mut room = [0; 4096];
        loop {
            let len = self.client.peek(&mut room)?;
            request.extend_from_slice(&room[..len]);
            let is_whole = is_whole(&request);
            let taken = len - usize::from(is_whole && leave_last_byte);
            self.client.read_exact(&mut room[..taken])?;
            if is_whole || len == 0 {
                return Ok(Some(request).filter(|_| is_whole));
            }
        }
    }

    fn read_answer(&mut self) -> io::Result<Vec<u8>> {
        let mut answer = Vec::new();
        let mut room = [0; 4096];
        while !is_whole(&answer) {
            match self.server.read(&mut room)? {
                0 => return Err(ErrorKind::UnexpectedEof.into()),
                len => answer.extend_from_slice(&room[..len]),
            }
        }
        Ok(answer)
    }
}

/// Whether a message has come to its end: enough for those of this test, whose bodies end in an empty
/// chunk and have none before.
fn is_whole(message: &[u8]) -> bool {
    let has_no_body = message.windows(9).any(|word| word == b"null-body");
    message.ends_with(if has_no_body {
        b"\r\n\r\n".as_slice()
    } else {
        b"\r\n0\r\n\r\n".as_slice()
    })
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % limit
    }
}

fn setting(name: &str) -> Option<u64> {
    let value = env::var(name).ok()?;
    Some(value.parse().unwrap_or_else(|_| panic!("{name}={value}")))
}

/// Unlike `println`, also when the test succeeds.
fn say(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}
