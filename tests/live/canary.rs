//! A clamd loses the signature of EICAR under load, and gets it back. With a canary, no verdict after that is clean
//! that the other server has not given.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, Instant};

use icap_client::{Client, Content, Report, Scanner, Verdict};

use super::{ALL_OF_IT, URI, eicar, variable};

/// How old a proof may be.
const EVERY: Duration = Duration::from_secs(3);

/// How long each part of the test takes at least.
const PART: Duration = Duration::from_secs(6);

/// The time from the end of a scan to the moment at which this test notes it, on a busy machine.
const TOLERANCE: Duration = Duration::from_millis(500);

const THREADS: usize = 8;

/// A scan of clean content: when it ended, who gave the verdict, and whether it was clean.
struct Scanned {
    at: Instant,
    by_first: bool,
    is_clean: bool,
}

struct Load {
    scanner: Scanner,
    first: String,
    scans: Mutex<Vec<Scanned>>,
    is_over: AtomicBool,
}

impl Load {
    fn scan_until_over(&self) {
        while !self.is_over.load(SeqCst) {
            let report = self.scanner.scan(Content::bytes(b"hello")).unwrap();
            let scanned = Scanned {
                at: Instant::now(),
                by_first: report.service().starts_with(&self.first),
                is_clean: report.verdict().is_clean(),
            };
            self.scans.lock().unwrap().push(scanned);
        }
    }

    /// How many scans ended since `from`: clean ones of the first and of the second server, and others.
    fn counts(&self, from: Instant) -> [usize; 3] {
        let mut counts = [0; 3];
        let scans = self.scans.lock().unwrap();
        for scan in scans.iter().filter(|scan| scan.at >= from) {
            counts[match (scan.is_clean, scan.by_first) {
                (true, true) => 0,
                (true, false) => 1,
                (false, _) => 2,
            }] += 1;
        }
        counts
    }

    /// The scans of the next seconds.
    fn watch(&self, what: &str) -> [usize; 3] {
        let from = Instant::now();
        thread::sleep(PART);
        let counts @ [first, second, others] = self.counts(from);
        println!(
            "{what}: {first} clean by the first server, {second} by the second, {others} others"
        );
        counts
    }
}

pub(crate) fn signatures_are_lost_and_come_back() {
    let first = variable("ICAP_LIVE_CANARY");
    let builder = Scanner::builder(format!("{first}/{ALL_OF_IT}"));
    let builder = builder.endpoint(format!("{}/{ALL_OF_IT}", variable(URI)));
    let load = Load {
        scanner: builder.canary(EVERY).build().unwrap(),
        first,
        scans: Mutex::default(),
        is_over: AtomicBool::new(false),
    };
    println!();
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| load.scan_until_over());
        }
        // Ends the load also after a panic.
        let _ends = Ends(&load.is_over);
        lose_and_restore(&load);
    });
    let endpoint = &load.scanner.stats().endpoints[0];
    println!("canaries to the first server: {}", endpoint.canaries);
    assert!(!endpoint.is_blind && endpoint.eicar_age.is_some());
}

struct Ends<'o>(&'o AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, SeqCst);
    }
}

fn lose_and_restore(load: &Load) {
    let [by_first, _, others] = load.watch("with EICAR");
    assert!(by_first > 0 && others == 0);
    let tag = state_tag(&load.first);

    set_signatures(false);
    let lost = Instant::now();
    assert_eq!(
        state_tag(&load.first),
        tag,
        "c-icap does not notice a reload"
    );
    while Instant::now() < lost + EVERY + TOLERANCE {
        thread::yield_now();
    }
    let from = lost + EVERY + TOLERANCE;
    let [_, by_second, others] = load.watch("without EICAR");
    assert!(by_second > 0 && others == 0);
    assert_eq!(
        load.counts(from)[0],
        0,
        "clean by a server that does not scan"
    );
    assert!(load.scanner.stats().endpoints[0].is_blind);
    // Without a canary, nothing shows it.
    let report = scan_first(load, &eicar());
    assert_eq!(*report.verdict(), Verdict::Clean, "{report:?}");

    reconfigure_with_a_version();
    let second_tag = state_tag(&load.first);
    println!("state tag: {tag:?}, after reconfigure {second_tag:?}");
    assert_ne!(second_tag, tag);
    let [by_first, by_second, others] = load.watch("without EICAR, reconfigured");
    assert!(by_first == 0 && by_second > 0 && others == 0);

    set_signatures(true);
    while load.scanner.stats().endpoints[0].is_blind {
        thread::yield_now();
    }
    let [by_first, by_second, others] = load.watch("with EICAR again");
    assert!(by_first > 0 && others == 0);
    // Scans that had begun with the second server.
    assert!(by_second <= THREADS, "{by_second}");

    reconfigure();
    let [by_first, _, others] = load.watch("with EICAR, reconfigured");
    assert!(by_first > 0 && others == 0);
    assert_eq!(state_tag(&load.first), tag);
}

/// A scan by the first server, without a canary.
fn scan_first(load: &Load, content: &[u8]) -> Report {
    let scanner = Scanner::new(format!("{}/{ALL_OF_IT}", load.first)).unwrap();
    scanner.scan(Content::bytes(content)).unwrap()
}

fn state_tag(server: &str) -> Option<String> {
    let scanner = Scanner::new(format!("{server}/{ALL_OF_IT}")).unwrap();
    let report = scanner.scan(Content::bytes(b"hello")).unwrap();
    report.istag().map(str::to_owned)
}

fn path(name: &str) -> PathBuf {
    PathBuf::from(variable("ICAP_LIVE_DIR")).join(name)
}

/// Replaces the signatures, with EICAR or without, has clamd load them, and waits until it has.
fn set_signatures(with_eicar: bool) {
    for name in ["test.hdb", "test.ndb"] {
        let original = fs::read_to_string(path("clamd.signatures").join(name)).unwrap();
        let kept = original
            .lines()
            .filter(|line| with_eicar || !line.contains("Eicar"));
        let kept: String = kept.flat_map(|line| [line, "\n"]).collect();
        fs::write(path("changing.signatures").join(name), kept).unwrap();
    }
    assert!(clamd(b"zRELOAD\0").starts_with("RELOADING"));
    let began = Instant::now();
    while clamd_finds_eicar() != with_eicar {
        assert!(
            began.elapsed() < Duration::from_secs(60),
            "clamd does not load them"
        );
    }
}

fn clamd_finds_eicar() -> bool {
    let virus = eicar();
    let length = u32::try_from(virus.len()).unwrap().to_be_bytes();
    let request = [b"zINSTREAM\0".as_slice(), &length, &virus, &[0; 4]].concat();
    clamd(&request).contains("FOUND")
}

fn clamd(request: &[u8]) -> String {
    let mut clamd = UnixStream::connect(path("changing.sock")).unwrap();
    clamd.write_all(request).unwrap();
    let mut response = String::new();
    clamd.read_to_string(&mut response).unwrap();
    response
}

/// Has c-icap ask for the version of clamd, and gives it one with a number. Private databases have none, so without this
/// the state tag would stay the same.
fn reconfigure_with_a_version() {
    let before = offered_tag();
    let listener = UnixListener::bind(path("version.sock")).unwrap();
    listener.set_nonblocking(true).unwrap();
    show_to_c_icap("version.sock");
    reconfigure();
    let began = Instant::now();
    while offered_tag().is_none_or(|tag| Some(tag) == before) {
        assert!(
            began.elapsed() < Duration::from_secs(60),
            "the tag stays the same"
        );
        if let Ok((mut c_icap, _)) = listener.accept() {
            tell_version(&mut c_icap);
        }
    }
    show_to_c_icap("changing.sock");
}

/// In the place of clamd. A command for a scan is left without a response.
fn tell_version(c_icap: &mut UnixStream) {
    c_icap.set_nonblocking(false).unwrap();
    c_icap
        .set_read_timeout(Some(Duration::from_secs(1)))
        .unwrap();
    let mut buffer = [0; 64];
    let Ok(len @ 1..) = c_icap.read(&mut buffer) else {
        return;
    };
    let command = String::from_utf8_lossy(&buffer[..len]).into_owned();
    let response = match command.trim_matches(['z', 'n', '\0', '\n']) {
        "PING" => "PONG",
        "VERSION" => "ClamAV 1.4.6/27000/Thu Nov 26 12:00:00 2026",
        _ => return,
    };
    let _ = c_icap.write_all(&[response.as_bytes(), &buffer[len - 1..len]].concat());
}

fn show_to_c_icap(clamd: &str) {
    let new = path("canary.sock.new");
    std::os::unix::fs::symlink(clamd, &new).unwrap();
    fs::rename(new, path("canary.sock")).unwrap();
}

fn offered_tag() -> Option<String> {
    let client = Client::new(format!("{}/{ALL_OF_IT}", variable("ICAP_LIVE_CANARY"))).unwrap();
    // While c-icap begins anew, it may refuse the connection.
    let options = client.options().ok()?;
    options.istag().map(str::to_owned)
}

/// Has c-icap ask clamd for its version again. A line end after the command would be taken for a part of it.
fn reconfigure() {
    let mut commands = fs::OpenOptions::new()
        .write(true)
        .open(path("canary.ctl"))
        .unwrap();
    commands.write_all(b"reconfigure").unwrap();
}
