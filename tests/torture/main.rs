//! Every conversation breaks at every byte, in both directions and in every way.
//!
//! In each run a connection closes, is reset, stalls or brings bytes that do not belong there, behind
//! one certain byte. Whatever happens:
//!
//! - nothing is clean unless all of the conversation took place, there or on another connection;
//! - what was found in the part that arrived is still found;
//! - the scan ends in time, and nothing panics;
//! - the connection is not used again.
//!
//! And a transport that only gives and takes little at a time changes nothing.

mod conversations;
#[allow(dead_code, reason = "tests/vectors has more uses")]
#[path = "../vectors/memory/mod.rs"]
mod memory;
#[allow(dead_code, reason = "tests/vectors has more uses")]
#[path = "../vectors/words.rs"]
mod words;

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use conversations::Conversation;
use icap_client::testing::ManualClock;
use icap_client::{Content, Scanner};
use libtest_mimic::{Arguments, Trial};
use memory::{Conditions, Fault, Network, Pieces};
use words::describe;

const STRAY_204: &[u8] = b"ICAP/1.0 204 No Content\r\n\r\n";

const FAULTS: [Fault; 7] = [
    Fault::Close,
    Fault::Reset,
    Fault::Stall,
    Fault::Garbage(b"\xff\0 garbage\r\n\r\n"),
    Fault::Garbage(STRAY_204),
    Fault::Insert(STRAY_204),
    Fault::Insert(b"\0"),
];

/// How long a byte is waited for where a stall is what happens, where none is, and where the machine
/// was too busy before.
const TIMEOUTS: [Duration; 3] = [
    Duration::from_millis(5),
    Duration::from_millis(200),
    Duration::from_secs(10),
];

/// The deadline, in timeouts.
const DEADLINE: u32 = 10;

/// What a busy machine may take on top of that.
const SLACK: Duration = Duration::from_secs(5);

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    // They mostly wait.
    arguments.test_threads.get_or_insert(16);
    let runs = Arc::new(AtomicUsize::new(0));
    let conversations = conversations::all();
    let count = conversations.len();
    let trial = |conversation: Conversation| {
        let runs = Arc::clone(&runs);
        Trial::test(conversation.name, move || {
            runs.fetch_add(torture(&conversation), Relaxed);
            Ok(())
        })
    };
    let trials = conversations.into_iter().map(trial).collect();
    let conclusion = libtest_mimic::run(&arguments, trials);
    println!("{count} conversations, {} runs\n", runs.load(Relaxed));
    conclusion.exit_code()
}

/// Returns the number of runs.
fn torture(conversation: &Conversation) -> usize {
    let undisturbed = Undisturbed::of(conversation);
    let mut runs = patient(conversation, &undisturbed);
    for fault in FAULTS {
        let down = (0..=undisturbed.down).map(Place::Down);
        let up = (0..=undisturbed.up)
            .filter(|&at| is_tried(at, undisturbed.up))
            .map(Place::Up);
        for place in down.chain(up) {
            broken(conversation, &undisturbed, place, fault);
            runs += 1;
        }
    }
    runs
}

/// Every byte the client sends; of long content some, and all around its ends and its chunks'.
fn is_tried(at: u64, all: u64) -> bool {
    let from_chunk = (at % (64 * 1024)).min(64 * 1024 - at % (64 * 1024));
    all < 2000 || at < 500 || all - at < 100 || at % 997 == 0 || from_chunk < 20
}

/// A conversation that nothing happens to.
struct Undisturbed {
    /// Bytes from the server and from the client.
    down: usize,
    up: u64,
    /// Behind so many bytes from the server, a threat has been named.
    named: Option<usize>,
}

impl Undisturbed {
    fn of(conversation: &Conversation) -> Self {
        let stage = Stage::new(conversation, Conditions::default(), TIMEOUTS[2]);
        assert_eq!(stage.scan(), conversation.outcome);
        let (down, up) = (stage.network.delivered(0), stage.network.received_len(0));
        let connections = stage.network.connections();
        stage.scan();
        let is_kept = stage.network.connections() == connections;
        assert_eq!(is_kept, conversation.is_kept);
        let named = named(conversation);
        Self { down, up, named }
    }
}

/// Where in what the server sends the first threat has been named.
fn named(conversation: &Conversation) -> Option<usize> {
    let sent = conversation.sent();
    let begins = |field: &str| {
        sent.windows(field.len())
            .position(|window| window == field.as_bytes())
    };
    let begin =
        begins("X-Infection-Found: ").filter(|_| conversation.outcome.starts_with("infected"))?;
    let line_end = sent[begin..]
        .windows(2)
        .position(|window| window == b"\r\n")?;
    Some(begin + line_end + 2)
}

/// Where it breaks.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Place {
    Down(usize),
    Up(u64),
}

/// One scanner and its server.
struct Stage<'c> {
    conversation: &'c Conversation,
    network: Network,
    scanner: Scanner,
    clock: ManualClock,
}

impl<'c> Stage<'c> {
    fn new(conversation: &'c Conversation, conditions: Conditions, timeout: Duration) -> Self {
        let network = Network::new(vec![conversation.script(2)], conditions);
        let clock = ManualClock::new();
        let builder = Scanner::builder("icap://127.0.0.1/scan")
            .negotiate(conversation.options.is_some())
            .connector(network.clone())
            .clock(clock.clone())
            .read_timeout(timeout)
            .write_timeout(timeout)
            .deadline(DEADLINE * timeout);
        let scanner = (conversation.settings)(builder).build().unwrap();
        Self {
            conversation,
            network,
            scanner,
            clock,
        }
    }

    fn scan(&self) -> String {
        // A 503 is followed by a pause.
        self.clock.advance(Duration::from_secs(1));
        describe(&self.scanner.scan(Content::bytes(self.conversation.content)))
    }
}

/// Little at a time, and interruptions.
fn patient(conversation: &Conversation, undisturbed: &Undisturbed) -> usize {
    let mut runs = 0;
    for pieces in [Pieces::Whole, Pieces::Single] {
        for write_limit in [1, 2, 5, usize::MAX] {
            for reluctance in [None, Some(2), Some(3), Some(5), Some(7)] {
                let conditions = Conditions {
                    pieces,
                    write_limit,
                    reluctance,
                    ..Conditions::default()
                };
                let stage = Stage::new(conversation, conditions, TIMEOUTS[2]);
                assert_eq!(stage.scan(), conversation.outcome, "{conditions:?}");
                // What is cut short can be cut short earlier.
                let moved = (stage.network.delivered(0), stage.network.received_len(0));
                let all = (undisturbed.down, undisturbed.up);
                assert!(
                    moved == all || !conversation.is_kept,
                    "{conditions:?}: {moved:?}"
                );
                stage.scan();
                let is_kept = stage.network.connections() == 1;
                assert_eq!(is_kept, conversation.is_kept, "{conditions:?}");
                runs += 1;
            }
        }
    }
    runs
}

fn broken(conversation: &Conversation, undisturbed: &Undisturbed, place: Place, fault: Fault) {
    let none = Conditions::default();
    let conditions = match place {
        Place::Down(at) => Conditions {
            down: Some((at, fault)),
            ..none
        },
        Place::Up(at) => Conditions {
            up: Some((at, fault)),
            ..none
        },
    };
    let is_whole = place == Place::Down(undisturbed.down) && !conversation.is_early;
    let is_named =
        matches!(place, Place::Down(at) if undisturbed.named.is_some_and(|named| at >= named));
    for timeout in &TIMEOUTS[usize::from(fault != Fault::Stall)..] {
        let stage = Stage::new(conversation, conditions, *timeout);
        let began = Instant::now();
        let outcome = stage.scan();
        let (took, limit) = (began.elapsed(), DEADLINE * *timeout + SLACK);
        let what = format!("{fault:?} at {place:?}: {outcome}");
        assert!(took < limit, "{what}: took {took:?}");
        let may_be_clean = may_be_clean(&stage, undisturbed, place, fault);
        assert!(outcome != "clean" || may_be_clean, "{what}");
        // What is to be found, or to be whole, is waited for in vain only by a machine that is busy.
        let is_due = is_named || (is_whole && fault == Fault::Stall);
        if is_due && outcome == "error: timeout" && *timeout != TIMEOUTS[2] {
            continue;
        }
        assert!(!is_named || outcome.starts_with("infected"), "{what}");
        if is_whole && fault == Fault::Stall {
            // It cannot be seen, so the connection is kept.
            assert_eq!(outcome, conversation.outcome, "{what}");
        } else {
            assert_not_used_again(&stage, may_be_clean, &what);
        }
        return;
    }
}

/// Whether all of the conversation took place, or what by its bytes is no other than such a one.
fn may_be_clean(stage: &Stage<'_>, undisturbed: &Undisturbed, place: Place, fault: Fault) -> bool {
    let conversation = stage.conversation;
    let is_foreign = matches!(fault, Fault::Garbage(_) | Fault::Insert(_));
    let is_whole = match place {
        Place::Down(at) => at == undisturbed.down && !conversation.is_early,
        // The answer was there before the last byte of the request was.
        Place::Up(at) => at == undisturbed.up && conversation.is_early && fault == Fault::Stall,
    };
    let took_place = is_repeated(stage) || (is_whole && !is_foreign);
    (took_place && conversation.outcome == "clean") || seems_whole(stage, place, fault)
}

/// The request went out on another connection, where nothing happens to it.
fn is_repeated(stage: &Stage<'_>) -> bool {
    stage.network.connections() > 1
}

/// Whether what came in place of an answer, or of its end, is a whole 204 to a whole request.
fn seems_whole(stage: &Stage<'_>, place: Place, fault: Fault) -> bool {
    let sent = stage.conversation.sent();
    let is_204 = sent.windows(12).any(|window| window == b"ICAP/1.0 204");
    let ends_head = is_204 && matches!(place, Place::Down(_));
    fault == Fault::Garbage(STRAY_204) && (stage.network.struck_for_answer() || ends_head)
}

fn assert_not_used_again(stage: &Stage<'_>, may_be_clean: bool, what: &str) {
    let received = stage.network.received_len(0);
    let second = stage.scan();
    assert_eq!(
        stage.network.received_len(0),
        received,
        "{what}: used again"
    );
    let may_be_clean = may_be_clean || stage.conversation.outcome == "clean";
    assert!(second != "clean" || may_be_clean, "{what}: then {second}");
}
