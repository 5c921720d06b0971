//! A case in the format of `tests/data/vectors/README.md`.

use serde_json::Value;

use crate::memory::Step;

/// What the client does before the server's bytes. The names are those of the data.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Context {
    C0,
    CN,
    CP,
    CE,
    C6,
    CU,
    C6u,
    CK,
    CQ,
    CO,
    Req,
}

#[derive(Debug, Clone)]
pub(crate) struct Case {
    pub(crate) id: String,
    pub(crate) context: Context,
    /// What the server does; `None` if the case has its own test.
    pub(crate) play: Option<Vec<Step>>,
    /// Each of these is right.
    pub(crate) expect: Vec<String>,
    pub(crate) is_reused: bool,
    pub(crate) content: Vec<u8>,
    pub(crate) max_size: Option<u64>,
    /// Whether the case is not replayed over a socket, or not there in single bytes.
    pub(crate) wire_only: bool,
    pub(crate) whole_only: bool,
    /// `file::function` of a test that shows the case instead of this program.
    pub(crate) covered_by: Option<String>,
}

impl Case {
    pub(crate) fn all(data: &str) -> Vec<Self> {
        let cases: Value = serde_json::from_str(data).unwrap();
        cases.as_array().unwrap().iter().map(Self::parse).collect()
    }

    fn parse(case: &Value) -> Self {
        let text = |name: &str| case[name].as_str().unwrap_or_default().to_owned();
        let conn = case.get("expect_conn").unwrap_or(&case["conn"]);
        assert!(
            conn == &case["conn"] || (conn == "close" && !text("deviation").is_empty()),
            "{case}"
        );
        Self {
            id: text("id"),
            context: context(case["replay_as"].as_str().unwrap_or(&text("ctx"))),
            play: play(&case["server"]),
            expect: expectations(&case["expect"]),
            is_reused: conn == "reuse",
            content: content(&case["content"]),
            max_size: case["max_size"].as_u64(),
            wire_only: case.get("wire_only").is_some(),
            whole_only: case.get("whole_only").is_some(),
            covered_by: case["covered_by"].as_str().map(str::to_owned),
        }
    }

    /// All bytes of the server on the connection of the case.
    pub(crate) fn response_len(&self) -> usize {
        let len = |step: &Step| match step {
            Step::Send(bytes) => bytes.len(),
            Step::Echo => 200,
            _ => 0,
        };
        self.play.iter().flatten().map(len).sum()
    }

    /// Whether the response comes during the upload.
    pub(crate) fn is_early(&self) -> bool {
        matches!(self.context, Context::CU | Context::C6u)
    }

    pub(crate) fn stalls(&self) -> bool {
        self.expect
            .iter()
            .any(|outcome| outcome == "error: timeout")
    }
}

fn context(name: &str) -> Context {
    match name {
        "C0" => Context::C0,
        "CN" => Context::CN,
        "CP" => Context::CP,
        "CE" => Context::CE,
        "C6" => Context::C6,
        "CU" => Context::CU,
        "C6u" => Context::C6u,
        "CK" => Context::CK,
        "CQ" => Context::CQ,
        "CO" => Context::CO,
        "req" => Context::Req,
        _ => panic!("no such context: {name}"),
    }
}

fn expectations(expect: &Value) -> Vec<String> {
    match expect {
        Value::Array(any) => any
            .iter()
            .map(|one| one.as_str().unwrap().to_owned())
            .collect(),
        Value::String(one) => vec![one.clone()],
        _ => Vec::new(),
    }
}

/// `None` if a step is described in words and cannot be played.
fn play(server: &Value) -> Option<Vec<Step>> {
    let mut steps = Vec::new();
    for step in server.as_array().unwrap() {
        match (&step["send"], &step["play"]) {
            (Value::Null, Value::Array(played)) => {
                steps.extend(played.iter().filter(|step| *step != "stall").map(one_step));
            }
            (Value::Null, _) => return None,
            _ => steps.push(one_step(step)),
        }
    }
    Some(steps)
}

fn one_step(step: &Value) -> Step {
    match step.as_str() {
        Some("rest") => return Step::Rest,
        Some("later") => return Step::Later,
        Some("echo") => return Step::Echo,
        Some("block") => return Step::Block,
        Some("close") => return Step::Close,
        Some("half_close") => return Step::HalfClose,
        Some("reset") => return Step::Reset,
        _ => {}
    }
    match (step["send"].as_str(), step["received"].as_u64()) {
        (Some(text), _) => {
            let times = step["times"].as_u64().unwrap_or(1);
            Step::Send(latin_1(text).repeat(usize::try_from(times).unwrap()))
        }
        (None, Some(len)) => Step::Received(len),
        _ => panic!("no step: {step}"),
    }
}

fn content(content: &Value) -> Vec<u8> {
    match content.as_str() {
        Some(text) => latin_1(text),
        None if content.is_null() => b"hello".to_vec(),
        None => {
            let times = content["times"].as_u64().unwrap();
            latin_1(content["repeat"].as_str().unwrap()).repeat(usize::try_from(times).unwrap())
        }
    }
}

/// The bytes of `text`; each character is one.
fn latin_1(text: &str) -> Vec<u8> {
    text.chars()
        .map(|c| u8::try_from(u32::from(c)).unwrap())
        .collect()
}
