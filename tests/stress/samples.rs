//! The content of the scans, and what the servers find in it.

use std::io::{self, Cursor, Read, Seek, SeekFrom};
use std::sync::Arc;

use icap_client::testing::{self, CLEAN, OPTIONS_RESPONSE, Received, Script};
use icap_client::{Content, Error, Report, Scanner};

use crate::Random;
use crate::proxy::Wire;

/// The beginning of the name of each content.
pub(crate) const MARKER: &str = "marker-";

/// The beginning of the padding of content that is held back in its middle.
pub(crate) const HELD: &str = " held-";

/// Content that is held back first fills the client's buffer, so that this is sent.
const SENT_BEFORE: usize = 64 * 1024;

/// Content of a scan: a word for its kind, its marker, and padding.
pub(crate) struct Sample {
    pub(crate) marker: String,
    pub(crate) word: Word,
    pub(crate) way: Way,
    bytes: Vec<u8>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Word {
    Clean,
    Infected,
    /// Infected, and the second server does not know it.
    Hidden,
}

/// How content is passed to the scanner.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    Bytes,
    Seekable,
    /// It can be read only once, so the scan can be retried only if the client kept it.
    Reader,
    /// Seekable, and stops in its middle until a proxy has responded.
    HeldSeekable,
    HeldReader,
}

impl Way {
    pub(crate) fn is_held(self) -> bool {
        matches!(self, Self::HeldReader | Self::HeldSeekable)
    }
}

impl Sample {
    pub(crate) fn new(seed: u64, number: u64) -> Self {
        let mut random = Random::new(seed.wrapping_add(number));
        let (word, text) = match random.below(20) {
            0..9 => (Word::Clean, "clean"),
            9..18 => (Word::Infected, "infected"),
            _ => (Word::Hidden, "hidden"),
        };
        let way = match random.below(400) {
            0 | 1 => Way::HeldReader,
            2 | 3 => Way::HeldSeekable,
            4..100 => Way::Reader,
            100..200 => Way::Seekable,
            _ => Way::Bytes,
        };
        let marker = format!("{MARKER}{number}");
        let held = if way.is_held() { HELD } else { " " };
        let mut bytes = format!("{text} {marker}{held}").into_bytes();
        let padding = if way.is_held() { SENT_BEFORE } else { 0 };
        let len = padding.max(bytes.len()) + usize::try_from(random.below(400)).unwrap();
        bytes.resize(len, b'x');
        Self {
            marker,
            word,
            way,
            bytes,
        }
    }

    pub(crate) fn scan(&self, scanner: &Scanner, wire: &Arc<Wire>) -> Result<Report, Error> {
        let held = || Held {
            content: Cursor::new(&self.bytes),
            marker: &self.marker,
            wire,
        };
        scanner.scan(match self.way {
            Way::Bytes => Content::bytes(&self.bytes),
            Way::Seekable => Content::seekable(Cursor::new(&self.bytes)),
            Way::Reader => Content::reader(&self.bytes[..]),
            Way::HeldSeekable => Content::seekable(held()),
            Way::HeldReader => Content::reader(held()),
        })
    }
}

/// Returns the part that is sent first, and the rest after a proxy has responded to that or will not.
struct Held<'s> {
    content: Cursor<&'s Vec<u8>>,
    marker: &'s str,
    wire: &'s Wire,
}

impl Read for Held<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let first = (SENT_BEFORE as u64).saturating_sub(self.content.position());
        if first == 0 {
            self.wire.await_early_response(self.marker);
            return self.content.read(buf);
        }
        (&mut self.content).take(first).read(buf)
    }
}

impl Seek for Held<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.content.seek(to)
    }
}

/// The server: it finds the kind that the content names.
pub(crate) fn response(request: &Received, is_first: bool) -> Script {
    if request.method() == "OPTIONS" {
        return Script::new().send(OPTIONS_RESPONSE);
    }
    let body = String::from_utf8_lossy(request.body());
    let mut words = body.splitn(3, ' ');
    match (words.next(), words.next()) {
        (Some("infected"), Some(marker)) => Script::new().send(testing::infected(marker)),
        (Some("hidden"), Some(marker)) if is_first => Script::new().send(testing::infected(marker)),
        (Some("clean" | "hidden"), Some(_)) => Script::new().send(CLEAN),
        _ => Script::new().send("ICAP/1.0 500 What Is This\r\n\r\n"),
    }
}
