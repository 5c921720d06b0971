//! Replays a case in every packaging, and compares its outcomes.

use std::time::Duration;

use icap_client::testing::{CLEAN, ManualClock, OPTIONS_RESPONSE, Script, Server};
use icap_client::{Body, Client, Content, Method, Preview, Request, Scanner};

use crate::case::{Case, Context};
use crate::memory::{Conditions, Network, Pieces, Step};
use crate::words::{describe, describe_options, describe_response};

/// The number of runs of each kind.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Counts {
    pub(crate) splits: usize,
    pub(crate) in_memory: usize,
    pub(crate) sockets: usize,
}

/// The outcome of a case in the words of the data, and whether the connection was reused.
type Outcome = (String, bool);

/// The most bytes of content and responses that one case moves over all its splits.
const SPLIT_BUDGET: usize = 16 << 20;

pub(crate) fn replay(case: &Case, steps: &[Step]) -> Result<Counts, String> {
    let mut counts = Counts::default();
    // If a case leaves a choice, every run must make the same.
    let whole = in_memory(case, steps, Pieces::Whole);
    let check = |outcome: Outcome, how: &str| {
        let is_expected = case.expect.contains(&outcome.0) && case.is_reused == outcome.1;
        if is_expected && outcome == whole {
            return Ok(());
        }
        let kept = |is_reused| if is_reused { "reuse" } else { "close" };
        Err(format!(
            "{how}: {} / {}, expected {} / {}, whole {}",
            outcome.0,
            kept(outcome.1),
            case.expect.join(" or "),
            kept(case.is_reused),
            whole.0
        ))
    };
    for pieces in [Pieces::Whole, Pieces::Single] {
        check(in_memory(case, steps, pieces), &format!("{pieces:?}"))?;
        counts.in_memory += 1;
    }
    for at in splits(case) {
        let how = format!("split at {at}");
        check(in_memory(case, steps, Pieces::SplitAt(at)), &how)?;
        counts.splits += 1;
    }
    if case.wire_only {
        return Ok(counts);
    }
    check(through_sockets(case, steps, false), "socket, whole")?;
    counts.sockets += 1;
    // A server that closes during an upload resets the connection, and loses bytes that are not sent yet.
    let loses = case.is_early()
        && steps
            .iter()
            .any(|step| matches!(step, Step::Close | Step::Reset));
    if !case.whole_only && !loses && case.response_len() <= 4096 {
        check(through_sockets(case, steps, true), "socket, byte by byte")?;
        counts.sockets += 1;
    }
    Ok(counts)
}

/// Every split, or for long cases those near heads, ends and limits.
fn splits(case: &Case) -> Vec<usize> {
    let len = case.response_len();
    let affordable = (SPLIT_BUDGET / (case.content.len() + len + 1024)).max(32);
    let limits = [16, 64, 128].map(|limit: usize| limit * 1024);
    let is_chosen = |&at: &usize| {
        len <= affordable
            || at <= affordable / 2
            || len - at <= affordable / 4
            || limits.iter().any(|limit| at.abs_diff(*limit) <= 1)
    };
    (1..len).filter(is_chosen).collect()
}

fn in_memory(case: &Case, steps: &[Step], pieces: Pieces) -> Outcome {
    let asked_before = usize::from(case.context == Context::CK);
    let pieces = match pieces {
        Pieces::SplitAt(at) => Pieces::SplitAt(at + asked_before * CLEAN.len()),
        pieces => pieces,
    };
    let conditions = Conditions {
        pieces,
        ..Conditions::default()
    };
    let again = |times| {
        let exchange = [Step::Request, Step::Send(second_response(case).into())];
        exchange.into_iter().cycle().take(2 * times)
    };
    let mut first: Vec<_> = again(asked_before).collect();
    first.push(match case.is_early() {
        true => Step::Received(EARLY),
        false => Step::Request,
    });
    first.extend_from_slice(steps);
    if case.is_early() {
        first.push(Step::Request);
    }
    first.extend(again(1));
    let network = Network::new(vec![first, again(3).collect()], conditions);
    let stage = Stage {
        uri: "icap://127.0.0.1/scan".to_owned(),
        connector: Some(network.clone()),
        timeout: Duration::from_secs(10),
    };
    act(case, &stage, &|| network.connections(), &|| network.later())
}

fn through_sockets(case: &Case, steps: &[Step], is_dribbled: bool) -> Outcome {
    let again = |script: Script| script.read_request().send(second_response(case));
    let mut script = Script::new();
    if case.context == Context::CK {
        script = again(script);
    }
    script = match case.is_early() {
        true => script.read_bytes(EARLY),
        false => script.read_request(),
    };
    let mut received = EARLY;
    for step in steps {
        script = played(script, step, is_dribbled, &mut received);
    }
    script = match steps.last() {
        _ if case.stalls() => script.hold(),
        Some(Step::Close | Step::Reset) => script,
        _ if case.is_early() => script.read_to_end(),
        _ => again(script).read_to_end(),
    };
    let server = Server::scripted([script, again(again(Script::new())).read_to_end()]).unwrap();
    let stage = Stage {
        uri: server.uri(),
        connector: None,
        timeout: Duration::from_millis(if case.stalls() { 600 } else { 10_000 }),
    };
    act(case, &stage, &|| server.connections(), &|| {})
}

fn played(script: Script, step: &Step, is_dribbled: bool, received: &mut u64) -> Script {
    match step {
        Step::Request => script.read_request(),
        Step::Rest => script.read_rest(),
        Step::Received(len) => {
            let more = len - *received;
            *received = *len;
            script.read_bytes(more)
        }
        Step::Send(bytes) if is_dribbled => script.dribble(bytes, Duration::ZERO),
        Step::Send(bytes) | Step::Respond(_, bytes) => script.send(bytes),
        Step::Echo => script.send(ECHOED),
        Step::Block => script.hold(),
        Step::Close => script.close(),
        Step::HalfClose => script.half_close(),
        Step::Reset => script.reset(),
        Step::Later => panic!("a socket cannot be told when"),
    }
}

/// The beginning of a request, for a server that sends it back.
const ECHOED: &str = "RESPMOD icap://127.0.0.1:1344/scan ICAP/1.0\r\nHost: 127.0.0.1:1344\r\n\r\n";

/// The bytes of a long upload that a server reads before its first step.
const EARLY: u64 = 64 * 1024;

/// The size of the previews, in bytes.
const PREVIEW: usize = 1024;

/// The response to the request after the case.
fn second_response(case: &Case) -> &'static str {
    match case.context {
        Context::CO => OPTIONS_RESPONSE,
        _ => CLEAN,
    }
}

/// The transport of a replay.
struct Stage {
    uri: String,
    connector: Option<Network>,
    timeout: Duration,
}

/// Sends the request of the case and one more, which shows whether the connection is reused.
fn act(case: &Case, stage: &Stage, connections: &dyn Fn() -> usize, later: &dyn Fn()) -> Outcome {
    let clock = ManualClock::new();
    let asker = Asker::new(case, stage, clock.clone());
    if case.context == Context::CK {
        assert_eq!(asker.ask(b"hello"), "clean");
    }
    let outcome = asker.ask(&case.content);
    later();
    let before = connections();
    // After a 503 the server is suspended for a moment.
    clock.advance(Duration::from_secs(1));
    if let Some(network) = &stage.connector {
        network.time().advance(Duration::from_secs(1));
    }
    let second = asker.allowing_204().ask(b"hello");
    let expected = match case.context {
        Context::CO => "options",
        Context::CN => "response 204",
        _ => "clean",
    };
    assert!(second.starts_with(expected), "{}: then {second}", case.id);
    (outcome, connections() == before)
}

/// The client of a case.
enum Asker {
    Scanner(Scanner),
    Options(Client),
    Sender { client: Client, allow_204: bool },
}

macro_rules! set_up {
    ($builder:expr, $stage:expr, $clock:expr) => {{
        let timeout = $stage.timeout;
        let builder = $builder.read_timeout(timeout).write_timeout(timeout);
        match &$stage.connector {
            Some(network) => builder.connector(network.clone()).clock(network.time()),
            None => builder.clock($clock),
        }
    }};
}

impl Asker {
    fn new(case: &Case, stage: &Stage, clock: ManualClock) -> Self {
        if matches!(case.context, Context::CO | Context::CN) {
            let builder = set_up!(Client::builder(&stage.uri), stage, clock);
            let client = builder.build().unwrap();
            return match case.context {
                Context::CO => Self::Options(client),
                _ => Self::Sender {
                    client,
                    allow_204: false,
                },
            };
        }
        let mut builder = set_up!(Scanner::builder(&stage.uri), stage, clock).negotiate(false);
        builder = match case.context {
            Context::CP | Context::CE => builder.preview(Preview::Limit(PREVIEW)),
            Context::C6 | Context::C6u => builder.allow_206(true),
            Context::CQ => builder.method(Method::Reqmod),
            _ => builder,
        };
        if let Some(max) = case.max_size {
            builder = builder.max_size(max);
        }
        Self::Scanner(builder.build().unwrap())
    }

    fn allowing_204(self) -> Self {
        match self {
            Self::Sender { client, .. } => Self::Sender {
                client,
                allow_204: true,
            },
            other => other,
        }
    }

    fn ask(&self, content: &[u8]) -> String {
        match self {
            Self::Scanner(scanner) => describe(&scanner.scan(Content::bytes(content))),
            Self::Options(client) => describe_options(client.options()),
            Self::Sender { client, allow_204 } => {
                let request = Request::respmod().allow_204(*allow_204);
                let request = request.http_response(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
                describe_response(&client.send(&request, Body::from(content), &mut Vec::new()))
            }
        }
    }
}
