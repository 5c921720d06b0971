//! What the peer does on its connections, read from the input.

use std::collections::VecDeque;
use std::io;

use crate::fuzz_checks::input::Input;
use crate::fuzz_checks::worst::PLANTED;

/// What a server does next.
#[derive(Debug, Clone)]
pub(super) enum Event {
    Send(Vec<u8>),
    /// Sends the content of the current scan back.
    Echo,
    /// Sends a part of it back, so many of 256 parts.
    EchoPart(u8),
    /// Waits until it is waited for.
    AwaitRead,
    /// Waits for so many bytes more, or until it is waited for.
    AwaitBytes(usize),
    /// Waits until the client is busy with another scan.
    AwaitNextScan,
    /// Gives at most so many bytes at once, for a while.
    LimitReads(usize),
    LimitWrites(usize),
    Stall(u8),
    FailRead(io::ErrorKind),
    FailWrite(io::ErrorKind),
    Close,
    Reset,
    /// What is sent from now on is in a record of TLS, of which nothing can be read before its end. The
    /// stream says exactly when what is read began to come, or only that something is there.
    BeginRecord {
        is_exact: bool,
    },
    EndRecord(RecordEnd),
}

/// What a record turns out to be.
#[derive(Debug, Clone, Copy)]
pub(super) enum RecordEnd {
    Data,
    /// A session ticket: nothing to read.
    Nothing,
    /// It cannot be decrypted.
    Bad,
}

/// Of servers that do not scan, in several ways, and say nothing of the content: another one is asked.
pub(super) const UNSERVED: &[&str] = &[
    "ICAP/1.0 404 Service not found\r\nConnection: close\r\n\r\n",
    "ICAP/1.0 503 Service overloaded\r\n\r\n",
    "ICAP/1.0 204 No Content\r\nISTag: \"CI0001-1B2M2Y8AsgTpgAmY7PhCfgAA\"\r\n\r\n",
    "ICAP/1.0 204 No Content\r\nISTag: \"T\"\r\nX-Error-Code: antivirus_license_expired\r\n\r\n",
    "ICAP/1.0 200 OK\r\nISTag: \"T\"\r\nEncapsulated: res-hdr=0, res-body=28\r\n\r\nHTTP/1.1 502 Bad Gateway\r\n\r\n4\r\npage\r\n0\r\n\r\n",
    "ICAP/1.0 500 Server error\r\n\r\n",
    "HTTP/1.1 400 Bad Request\r\n\r\n",
];

/// Answers worth having as a whole; the others come byte by byte out of the input.
pub(super) const RESPONSES: &[&str] = &[
    "ICAP/1.0 204 No Content\r\nISTag: \"T\"\r\n\r\n",
    "ICAP/1.0 100 Continue\r\n\r\n",
    "ICAP/1.0 200 OK\r\nMethods: RESPMOD, REQMOD\r\nISTag: \"T\"\r\nAllow: 204, 206\r\nPreview: 4096\r\nTransfer-Preview: *\r\nEncapsulated: null-body=0\r\n\r\n",
    "ICAP/1.0 200 OK\r\nMethods: RESPMOD, REQMOD\r\nISTag: \"T\"\r\nEncapsulated: null-body=0\r\n\r\n",
    "ICAP/1.0 204 No Content\r\nISTag: \"T\"\r\nX-Virus-ID: Test\r\n\r\n",
    "ICAP/1.0 204 No Content\r\nISTag: \"T\"\r\nConnection: close\r\n\r\n",
    "ICAP/1.0 200 OK\r\nISTag: \"T\"\r\nX-Infection-Found: Type=0; Resolution=2; Threat=Test;\r\nEncapsulated: res-hdr=0, res-body=26\r\n\r\nHTTP/1.1 403 Forbidden\r\n\r\n4\r\npage\r\n0\r\n\r\n",
    "ICAP/1.0 200 OK\r\nISTag: \"T\"\r\nEncapsulated: res-hdr=0, res-body=19\r\n\r\nHTTP/1.1 200 OK\r\n\r\n5\r\nother\r\n0\r\n\r\n",
    "ICAP/1.0 206 Partial Content\r\nISTag: \"T\"\r\nEncapsulated: res-hdr=0, res-body=19\r\n\r\nHTTP/1.1 200 OK\r\n\r\n0; use-original-body=0\r\n\r\n",
    UNSERVED[0],
    UNSERVED[1],
    "ICAP/1.0 204 No Con",
    UNSERVED[2],
    UNSERVED[3],
    UNSERVED[4],
    UNSERVED[5],
    UNSERVED[6],
];

pub(super) const KINDS: &[io::ErrorKind] = &[
    io::ErrorKind::BrokenPipe,
    io::ErrorKind::ConnectionReset,
    io::ErrorKind::Interrupted,
    io::ErrorKind::WouldBlock,
    io::ErrorKind::TimedOut,
    io::ErrorKind::Other,
    io::ErrorKind::InvalidData,
    io::ErrorKind::UnexpectedEof,
];

/// Operations for which a limit holds.
pub(super) const WHILE: usize = 64;
/// What happens on each connection; a connection without a script is refused.
pub(super) fn scripts(input: &mut Input<'_>) -> VecDeque<VecDeque<Event>> {
    let mut scripts = VecDeque::from([VecDeque::new()]);
    while !input.is_empty() {
        let event = match input.byte() % 16 {
            0 | 1 => Event::Send(response(input.byte()).into()),
            2 => Event::Send(input.text().into()),
            3 => Event::Echo,
            4 => Event::AwaitRead,
            5 => Event::EchoPart(input.byte()),
            6 => Event::AwaitBytes(usize::from(input.byte()).pow(2) + 1),
            7 => Event::AwaitNextScan,
            8 => Event::LimitReads(input.choose(&[1, 2, 7, 100])),
            9 => Event::LimitWrites(input.choose(&[1, 2, 100, 1000, 0])),
            10 => Event::Stall(input.byte() % 8),
            11 => Event::FailRead(input.choose(KINDS)),
            12 => Event::FailWrite(input.choose(KINDS)),
            13 => Event::Close,
            14 => Event::Reset,
            _ => match input.byte() {
                0 => Event::Send(input.text().repeat(WHILE * 16)),
                251 => Event::BeginRecord { is_exact: true },
                252 => Event::BeginRecord { is_exact: false },
                253 => Event::EndRecord(RecordEnd::Data),
                254 => Event::EndRecord(RecordEnd::Nothing),
                255 => Event::EndRecord(RecordEnd::Bad),
                _ => {
                    scripts.push_back(VecDeque::new());
                    continue;
                }
            },
        };
        if let Some(script) = scripts.back_mut() {
            script.push_back(event);
        }
    }
    scripts
}

/// The other responses follow in the list, so that it can grow.
fn response(choice: u8) -> &'static str {
    let planted = PLANTED.iter().map(|planted| planted.response);
    let all = || RESPONSES.iter().copied().chain(planted.clone());
    let at = usize::from(choice) % all().count();
    all().nth(at).unwrap_or_default()
}

/// A response that returns the content.
pub(super) fn echo(content: &[u8], http_fields: &str) -> Vec<u8> {
    let http = format!("HTTP/1.1 200 OK\r\n{http_fields}\r\n");
    let list = format!("res-hdr=0, res-body={}", http.len());
    let head = format!("ICAP/1.0 200 OK\r\nISTag: \"T\"\r\nEncapsulated: {list}\r\n\r\n{http}");
    let mut response = head.into_bytes();
    if !content.is_empty() {
        response.extend_from_slice(format!("{:x}\r\n", content.len()).as_bytes());
        response.extend_from_slice(content);
        response.extend_from_slice(b"\r\n");
    }
    response.extend_from_slice(b"0\r\n\r\n");
    response
}

/// A response that returns the beginning of the content as if it were all, as c-icap does of what it
/// found to be infected too late. A number that is odd leaves out how long it should be.
pub(super) fn part(content: &[u8], parts: u8) -> Vec<u8> {
    let (part, _) = content.split_at(content.len() * usize::from(parts) / 256);
    let fields = match parts % 2 {
        0 => format!("Content-Length: {}\r\n", content.len()),
        _ => String::new(),
    };
    echo(part, &fields)
}
