//! Finds the ends of requests. It checks nothing else: bytes that are no request never end.

/// Finds the ends of requests in bytes that come in any pieces.
#[derive(Debug, Default)]
pub(crate) struct Framer {
    state: State,
    /// Requests and previews that have ended and were not taken.
    requests: usize,
    /// The same for the rests after previews.
    rests: usize,
    /// The current chunked body is the rest after a preview.
    is_rest: bool,
    /// The last head is one of `OPTIONS`.
    is_options: bool,
}

#[derive(Debug)]
enum State {
    Head(Vec<u8>),
    /// The bytes of encapsulated heads that follow, and whether a body comes after them.
    HttpHeads(usize, bool),
    ChunkSize(Vec<u8>),
    /// The bytes of a chunk that follow, with its line end.
    Chunk(u64),
    /// In the trailers or at the blank line.
    Trailer(Vec<u8>),
}

impl Default for State {
    fn default() -> Self {
        Self::Head(Vec::new())
    }
}

impl Framer {
    /// Takes a request that has ended, if any.
    pub(crate) fn take_request(&mut self) -> bool {
        let is_there = self.requests > 0;
        self.requests -= usize::from(is_there);
        is_there
    }

    /// Takes the rest after a preview, if it has ended. The rest begins with the next byte.
    pub(crate) fn take_rest(&mut self) -> bool {
        let is_there = self.rests > 0;
        self.rests -= usize::from(is_there);
        if !is_there && self.is_between() {
            self.is_rest = true;
            self.state = State::ChunkSize(Vec::new());
        }
        is_there
    }

    /// Whether a request, or a rest, has ended and was not taken.
    pub(crate) fn has_more(&self) -> bool {
        self.requests + self.rests > 0
    }

    /// Whether nothing of another request was received.
    pub(crate) fn is_between(&self) -> bool {
        matches!(&self.state, State::Head(head) if head.is_empty())
    }

    /// Whether the last request was `OPTIONS`.
    pub(crate) fn is_options(&self) -> bool {
        self.is_options
    }

    pub(crate) fn feed(&mut self, mut bytes: &[u8]) {
        while let Some((&byte, rest)) = bytes.split_first() {
            match &mut self.state {
                State::Chunk(left) => {
                    let used = (*left).min(bytes.len() as u64);
                    *left -= used;
                    if *left == 0 {
                        self.state = State::ChunkSize(Vec::new());
                    }
                    bytes = &bytes[usize::try_from(used).unwrap()..];
                    continue;
                }
                State::HttpHeads(left, has_body) => {
                    *left -= 1;
                    if *left == 0 {
                        let has_body = *has_body;
                        self.begin_body(has_body);
                    }
                }
                State::Head(line) | State::ChunkSize(line) | State::Trailer(line) => {
                    line.push(byte);
                    if line.ends_with(b"\r\n") {
                        self.line();
                    }
                }
            }
            bytes = rest;
        }
    }

    fn line(&mut self) {
        match &mut self.state {
            State::Head(head) if head.ends_with(b"\r\n\r\n") => {
                self.is_options = head.starts_with(b"OPTIONS ");
                let (heads_len, has_body) = extent(&String::from_utf8_lossy(head));
                match heads_len {
                    0 => self.begin_body(has_body),
                    len => self.state = State::HttpHeads(len, has_body),
                }
            }
            State::ChunkSize(line) => {
                let line = String::from_utf8_lossy(line);
                let size = line.split([';', '\r']).next().unwrap_or_default();
                self.state = match u64::from_str_radix(size, 16) {
                    Ok(0) => State::Trailer(Vec::new()),
                    Ok(size) => State::Chunk(size + 2),
                    Err(_) => panic!("the client sent {line:?} where a chunk size belongs"),
                };
            }
            State::Trailer(line) if line.len() == 2 => self.end(),
            State::Trailer(line) => line.clear(),
            _ => {}
        }
    }

    fn begin_body(&mut self, has_body: bool) {
        if has_body {
            self.state = State::ChunkSize(Vec::new());
        } else {
            self.end();
        }
    }

    fn end(&mut self) {
        if self.is_rest {
            self.rests += 1;
        } else {
            self.requests += 1;
        }
        self.is_rest = false;
        self.state = State::default();
    }
}

/// The length of the encapsulated heads, and whether a body follows them.
fn extent(head: &str) -> (usize, bool) {
    let list = head
        .lines()
        .find_map(|line| line.strip_prefix("Encapsulated: "));
    let last = list
        .and_then(|list| list.rsplit(", ").next())
        .unwrap_or("null-body=0");
    let (name, offset) = last.split_once('=').unwrap();
    (offset.parse().unwrap(), name != "null-body")
}
