//! Each conversation breaks at every byte, in both directions and in every way.
//!
//! In each run a connection closes, is reset, stalls or brings bytes that do not belong there, after
//! one certain byte. Whatever happens:
//!
//! - nothing is clean unless all of the conversation took place, there or on another connection;
//! - what was found in the part that arrived is still found;
//! - the scan ends in time, and nothing panics;
//! - the connection is not used again.
//!
//! A transport that moves little at a time changes no outcome.

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
use std::time::Duration;

use conversations::Conversation;
use icap_client::testing::CLEAN;
use icap_client::transport::Clock;
use icap_client::{Content, Scanner};
use libtest_mimic::{Arguments, Trial};
use memory::{Conditions, Fault, Network, Pieces, Step, Time};
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

/// Of each wait. The time is that of the network.
const TIMEOUT: Duration = Duration::from_secs(1);

const DEADLINE: Duration = Duration::from_secs(10);

/// After a 503 the server is suspended for a moment.
const BEFORE_SCAN: Duration = Duration::from_secs(1);

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let runs = Arc::new(AtomicUsize::new(0));
    let conversations = conversations::all();
    let count = conversations.len();
    let trial = |conversation: Conversation| {
        let runs = Arc::clone(&runs);
        let after = if conversation.is_second {
            "_on_a_used_connection"
        } else {
            ""
        };
        Trial::test(format!("{}{after}", conversation.name), move || {
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
        let begin = undisturbed.begin;
        let down = (begin.down..=undisturbed.end.down).map(Place::Down);
        let up = (begin.up..=undisturbed.end.up)
            .filter(|&at| is_tried(at - begin.up, undisturbed.end.up - begin.up))
            .map(Place::Up);
        for place in down.chain(up) {
            broken(conversation, &undisturbed, place, fault);
            runs += 1;
        }
    }
    runs
}

/// Every byte that the client sends. Of long content only some, and all near its ends and the ends of its chunks.
fn is_tried(at: u64, all: u64) -> bool {
    let from_chunk = (at % (64 * 1024)).min(64 * 1024 - at % (64 * 1024));
    all < 2000 || at < 500 || all - at < 100 || at % 997 == 0 || from_chunk < 20
}

/// The bytes that were moved on the first connection.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Moved {
    /// From the server.
    down: usize,
    /// From the client.
    up: u64,
}

impl Moved {
    fn over(network: &Network) -> Self {
        Self {
            down: network.delivered(0),
            up: network.received_len(0),
        }
    }
}

/// A conversation without a fault.
struct Undisturbed {
    /// The bytes before it, which end one byte earlier.
    begin: Moved,
    end: Moved,
    /// After this many bytes from the server, a field has decided.
    decided: Option<usize>,
}

impl Undisturbed {
    fn of(conversation: &Conversation) -> Self {
        let stage = Stage::new(conversation, Conditions::default());
        let begin = match conversation.is_second {
            true => Moved {
                down: stage.network.delivered(0) + 1,
                up: stage.network.received_len(0) + 1,
            },
            false => Moved::default(),
        };
        assert_eq!(stage.scan(), conversation.outcome);
        let end = Moved::over(&stage.network);
        let connections = stage.network.connections();
        stage.scan();
        let is_kept = stage.network.connections() == connections;
        assert_eq!(is_kept, conversation.is_kept);
        let decided = decided(conversation).map(|at| at + sent_before(conversation));
        Self {
            begin,
            end,
            decided,
        }
    }
}

/// Bytes from the server before the conversation begins.
fn sent_before(conversation: &Conversation) -> usize {
    if conversation.is_second {
        CLEAN.len()
    } else {
        0
    }
}

/// Fields that decide alone, each up to the part of its value that decides.
const DECISIVE: &[&str] = &[
    "\r\nX-Infection-Found: ",
    "\r\nX-Virus-ID: ",
    "\r\nX-FSecure-Scan-Result: ",
    "\r\nX-Error-Code: ",
    "\r\nX-Response-Info: ",
];

/// Status lines that decide alone; the last one only for a response in place of an upload.
const DECISIVE_LINES: &[&str] = &[
    "ICAP/1.0 403",
    "HTTP/1.1 403",
    "HTTP/1.1 307",
    "HTTP/1.1 200",
];

/// The position in the server's bytes at which the evidence is legible.
fn decided(conversation: &Conversation) -> Option<usize> {
    let sent = conversation.sent();
    let fields = DECISIVE.iter().map(|field| (*field, "\r\n".len()));
    let is_blocked_200 = conversation.outcome == "blocked: 200";
    let lines = DECISIVE_LINES
        .iter()
        .take(if is_blocked_200 { 4 } else { 3 });
    let lines = lines.map(|line| (*line, 0));
    let begins = |(text, skipped): (&str, usize)| Some(find(&sent, text.as_bytes())? + skipped);
    let begin = fields.chain(lines).filter_map(begins).min();
    let begin = begin.filter(|_| conversation.outcome != "clean")?;
    let line_end = find(&sent[begin..], b"\r\n")?;
    Some(begin + line_end + 2)
}

fn find(bytes: &[u8], part: &[u8]) -> Option<usize> {
    bytes.windows(part.len()).position(|window| window == part)
}

/// The verdict, without its details.
fn kind(outcome: &str) -> &str {
    let end = match outcome.strip_prefix("not scanned: ") {
        Some(_) => outcome.find(" {"),
        None => outcome.find(':'),
    };
    &outcome[..end.unwrap_or(outcome.len())]
}

/// The place of the fault.
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
    clock: Time,
}

impl<'c> Stage<'c> {
    fn new(conversation: &'c Conversation, conditions: Conditions) -> Self {
        let network = Network::new(scripts(conversation), conditions);
        let clock = network.time();
        let builder = Scanner::builder("icap://127.0.0.1/scan")
            .negotiate(conversation.options.is_some())
            .connector(network.clone())
            .clock(clock.clone())
            .read_timeout(TIMEOUT)
            .write_timeout(TIMEOUT)
            .deadline(DEADLINE);
        let stage = Self {
            conversation,
            network,
            scanner: (conversation.settings)(builder).build().unwrap(),
            clock,
        };
        if conversation.is_second {
            // Short enough for every preview.
            let first = describe(&stage.scanner.scan(Content::bytes(b"one")));
            assert_eq!(first, "clean");
        }
        stage
    }

    fn scan(&self) -> String {
        self.clock.advance(BEFORE_SCAN);
        let content = self.conversation.content;
        describe(&self.scanner.scan(match self.conversation.is_second {
            // Content that can be read only once is not sent on a used connection, unless it is short.
            true => Content::seekable(std::io::Cursor::new(content)),
            false => Content::bytes(content),
        }))
    }
}

/// The steps of the server on the first connection, and on all others.
fn scripts(conversation: &Conversation) -> Vec<Vec<Step>> {
    let mut first = conversation.script(2);
    if conversation.is_second {
        first.splice(0..0, [Step::Request, Step::Send(CLEAN.into())]);
    }
    vec![first, conversation.script(2)]
}

/// Few bytes at a time, with interruptions.
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
                let stage = Stage::new(conversation, conditions);
                assert_eq!(stage.scan(), conversation.outcome, "{conditions:?}");
                // A truncated response stays truncated if it breaks earlier.
                let moved = Moved::over(&stage.network);
                assert!(
                    moved == undisturbed.end || !conversation.is_kept,
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
    let is_whole = place == Place::Down(undisturbed.end.down) && !conversation.is_early;
    let is_decided = matches!(place, Place::Down(at) if undisturbed.decided.is_some_and(|decided| at >= decided));
    let stage = Stage::new(conversation, conditions);
    let began = stage.clock.now();
    let outcome = stage.scan();
    let took = stage.clock.now() - began;
    let what = format!("{fault:?} at {place:?}: {outcome}");
    // The last wait may go a little beyond the deadline.
    assert!(
        took <= BEFORE_SCAN + DEADLINE + TIMEOUT,
        "{what}: took {took:?}"
    );
    let may_be_clean = may_be_clean(&stage, undisturbed, place, fault);
    assert!(outcome != "clean" || may_be_clean, "{what}");
    assert!(
        !is_decided || kind(&outcome) == kind(conversation.outcome),
        "{what}"
    );
    if is_whole && fault == Fault::Stall {
        // The fault cannot be seen, so the connection is kept.
        assert_eq!(outcome, conversation.outcome, "{what}");
    } else {
        assert_not_used_again(&stage, may_be_clean, &what);
    }
}

/// Whether all of the conversation took place, judged by its bytes.
fn may_be_clean(stage: &Stage<'_>, undisturbed: &Undisturbed, place: Place, fault: Fault) -> bool {
    let conversation = stage.conversation;
    let is_foreign = matches!(fault, Fault::Garbage(_) | Fault::Insert(_));
    let is_whole = match place {
        Place::Down(at) => at == undisturbed.end.down && !conversation.is_early,
        // The response came before the last byte of the request.
        Place::Up(at) => at == undisturbed.end.up && conversation.is_early && fault == Fault::Stall,
    };
    let took_place = is_repeated(stage) || (is_whole && !is_foreign);
    (took_place && conversation.outcome == "clean") || seems_whole(stage, undisturbed, place, fault)
}

/// The request was sent again on another connection, which has no fault.
fn is_repeated(stage: &Stage<'_>) -> bool {
    stage.network.connections() > 1
}

/// Whether the bytes in place of a response, or of its end, are a complete 204 to a complete request.
fn seems_whole(stage: &Stage<'_>, undisturbed: &Undisturbed, place: Place, fault: Fault) -> bool {
    let ends_head = match place {
        Place::Down(at) if at < undisturbed.end.down => {
            let at = at - sent_before(stage.conversation);
            ends_204(&stage.conversation.sent()[..at])
        }
        _ => false,
    };
    fault == Fault::Garbage(STRAY_204) && (stage.network.struck_for_response() || ends_head)
}

/// Whether these bytes, which were not all, become a 204 by one more: after a whole head, or where the
/// head of a 204 has begun, in whose next field the other's status line then is.
fn ends_204(sent: &[u8]) -> bool {
    let blank_line = sent.windows(4).rposition(|window| window == b"\r\n\r\n");
    let head = &sent[blank_line.map_or(0, |at| at + 4)..];
    (head.is_empty() && !sent.is_empty()) || head.starts_with(b"ICAP/1.0 204")
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
