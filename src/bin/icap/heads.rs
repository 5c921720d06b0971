//! Finds the heads in one direction of a connection, and leaves out the bodies.

/// A larger head is not shown.
const MAX_HEAD: usize = 256 * 1024;

/// What was found.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// The head of a request or response.
    Icap(Vec<u8>),
    /// The encapsulated heads of the HTTP message.
    Http(Vec<u8>),
    /// The end of a body or of a preview, and its bytes.
    Body(u64),
    /// The bytes are no ICAP. What follows is not looked at.
    Unknown,
}

/// Reads one direction in pieces of any size.
#[derive(Debug, Default)]
pub(crate) struct Heads {
    state: State,
    /// The part of a head or line so far.
    buffer: Vec<u8>,
    /// How many encapsulated heads there are.
    http: usize,
}

#[derive(Debug, Default, Clone, Copy)]
enum State {
    /// Before or in a head. After a preview the rest of the body can follow.
    #[default]
    Head,
    /// In the encapsulated heads: what is left of them, and whether a body follows.
    Http(usize, bool),
    /// In the line before a chunk, after this many bytes of the body.
    Size(u64),
    /// In a chunk with its line end: what is left of it, and the bytes of the body with it.
    Chunk(u64, u64),
    /// In the lines after the last chunk.
    Trailer(u64),
    Unknown,
}

impl Heads {
    /// Reads bytes, and gives each part that they complete to `show`.
    pub(crate) fn feed(&mut self, mut bytes: &[u8], show: &mut dyn FnMut(Part)) {
        while let [first, ..] = *bytes {
            match self.state {
                State::Unknown => return,
                // Methods begin with O or R, and responses with I.
                State::Head if self.buffer.is_empty() && first.is_ascii_hexdigit() => {
                    self.state = State::Size(0);
                }
                State::Http(left, _) => self.feed_http(left, &mut bytes, show),
                State::Chunk(left, body) => {
                    let len = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
                    bytes = &bytes[len..];
                    self.state = match left - len as u64 {
                        0 => State::Size(body),
                        left => State::Chunk(left, body),
                    };
                }
                State::Head | State::Size(_) | State::Trailer(_) => {
                    self.buffer.push(first);
                    bytes = &bytes[1..];
                    if first == b'\n' {
                        self.end_line(show);
                    }
                }
            }
            if self.buffer.len() > MAX_HEAD {
                self.lose(show);
            }
        }
    }

    fn feed_http(&mut self, left: usize, bytes: &mut &[u8], show: &mut dyn FnMut(Part)) {
        let State::Http(_, has_body) = self.state else {
            return;
        };
        let len = left.min(bytes.len());
        self.buffer.extend_from_slice(&bytes[..len]);
        *bytes = &bytes[len..];
        self.state = State::Http(left - len, has_body);
        if left == len {
            let heads = std::mem::take(&mut self.buffer);
            show(Part::Http(first_heads(heads, self.http)));
            self.state = after_heads(has_body);
        }
    }

    fn end_line(&mut self, show: &mut dyn FnMut(Part)) {
        match self.state {
            State::Head if is_complete(&self.buffer) => {
                let head = std::mem::take(&mut self.buffer);
                self.state = match encapsulated(&head) {
                    Some((0, _, has_body)) => after_heads(has_body),
                    Some((len, heads, has_body)) => {
                        self.http = heads;
                        State::Http(len, has_body)
                    }
                    None => State::Unknown,
                };
                show(Part::Icap(head));
                if matches!(self.state, State::Unknown) {
                    show(Part::Unknown);
                }
            }
            State::Head if !is_start_of_icap(&self.buffer) => self.lose(show),
            State::Size(body) => match chunk_size(&self.buffer) {
                Some(0) => {
                    self.buffer.clear();
                    self.state = State::Trailer(body);
                }
                Some(size) => {
                    self.buffer.clear();
                    let body = body.saturating_add(size);
                    self.state = State::Chunk(size.saturating_add(2), body);
                }
                None => self.lose(show),
            },
            State::Trailer(body) => {
                let is_last = self.buffer.iter().all(u8::is_ascii_whitespace);
                self.buffer.clear();
                if is_last {
                    self.state = State::Head;
                    show(Part::Body(body));
                }
            }
            _ => {}
        }
    }

    fn lose(&mut self, show: &mut dyn FnMut(Part)) {
        self.state = State::Unknown;
        self.buffer = Vec::new();
        show(Part::Unknown);
    }
}

fn after_heads(has_body: bool) -> State {
    if has_body {
        State::Size(0)
    } else {
        State::Head
    }
}

fn is_complete(head: &[u8]) -> bool {
    head.ends_with(b"\r\n\r\n") || head.ends_with(b"\n\n")
}

/// Whether the first line is of ICAP. A body must not be taken for a head.
fn is_start_of_icap(head: &[u8]) -> bool {
    let line = head.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let line = line.trim_ascii_end();
    line.starts_with(b"ICAP/") || line.ends_with(b" ICAP/1.0")
}

/// Cuts what follows so many heads. A server that gives a wrong length must not make a body a head.
fn first_heads(mut bytes: Vec<u8>, heads: usize) -> Vec<u8> {
    let mut len = 0;
    let mut left = heads;
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        if left == 0 {
            break;
        }
        len += line.len();
        left -= usize::from(line.trim_ascii().is_empty());
    }
    bytes.truncate(len);
    bytes
}

/// The length and the number of the encapsulated heads, and whether a body follows; `None` if that is not clear.
fn encapsulated(head: &[u8]) -> Option<(usize, usize, bool)> {
    let head = std::str::from_utf8(head).ok()?;
    let mut fields = head.lines().filter_map(|line| line.split_once(':'));
    let Some((_, value)) =
        fields.find(|(name, _)| name.trim().eq_ignore_ascii_case("encapsulated"))
    else {
        return Some((0, 0, false));
    };
    let (name, offset) = value.rsplit(',').next()?.split_once('=')?;
    let offset = offset.trim().parse::<usize>().ok()?;
    let has_body = name.trim().ends_with("-body") && !name.trim().starts_with("null");
    let heads = value.matches("-hdr").count();
    (offset <= MAX_HEAD).then_some((offset, heads, has_body))
}

fn chunk_size(line: &[u8]) -> Option<u64> {
    let line = std::str::from_utf8(line).ok()?;
    let size = line.split(';').next()?.trim();
    u64::from_str_radix(size, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The parts at every split into two pieces are the same.
    fn parts(bytes: &[u8]) -> Vec<Part> {
        let read = |pieces: [&[u8]; 2]| {
            let (mut heads, mut parts) = (Heads::default(), Vec::new());
            for piece in pieces {
                heads.feed(piece, &mut |part| parts.push(part));
            }
            parts
        };
        let whole = read([bytes, b""]);
        for at in 0..bytes.len() {
            assert_eq!(read([&bytes[..at], &bytes[at..]]), whole, "{at}");
        }
        whole
    }

    #[test]
    fn bodies_and_previews_are_left_out() {
        let request = "RESPMOD icap://x/y ICAP/1.0\r\nEncapsulated: res-hdr=0, res-body=5\r\n\r\n";
        let bytes = [
            "OPTIONS icap://x/y ICAP/1.0\r\n\r\n",
            request,
            "A\r\n\r\n6\r\nICAP/1\r\n0\r\n\r\n",
            "a;x=y\r\nICAP/1.0\r\n\r\n0\r\nX-Trailer: z\r\n\r\n",
            "OPTIONS icap://x/y ICAP/1.0\r\n\r\n",
        ]
        .concat();
        let options = || Part::Icap(b"OPTIONS icap://x/y ICAP/1.0\r\n\r\n".to_vec());
        assert_eq!(
            parts(bytes.as_bytes()),
            [
                options(),
                Part::Icap(request.into()),
                Part::Http(b"A\r\n\r\n".to_vec()),
                Part::Body(6),
                Part::Body(10),
                options(),
            ]
        );
    }

    #[test]
    fn wrong_length_makes_no_body_a_head() {
        let response = "ICAP/1.0 200 OK\r\nEncapsulated: res-hdr=0, res-body=30\r\n\r\n";
        let bytes = [response, "HTTP/1.1 200 OK\r\n\r\nsecret text"].concat();
        let head = Part::Http(b"HTTP/1.1 200 OK\r\n\r\n".to_vec());
        assert_eq!(parts(bytes.as_bytes())[1], head);
    }

    #[test]
    fn bytes_that_are_no_icap_are_not_shown() {
        for bytes in [
            "HTTP/1.1 200 OK\r\nX: y\r\n\r\n",
            "secret\r\n\r\n",
            "OPTIONS x ICAP/1.0\r\nEncapsulated: res-hdr\r\n\r\nsecret\r\n\r\n",
            "ICAP/1.0 200 OK\r\nEncapsulated: opt-body=0\r\n\r\nno size\r\nsecret\r\n",
        ] {
            let parts = parts(bytes.as_bytes());
            assert_eq!(parts.last(), Some(&Part::Unknown), "{bytes}");
            assert!(!format!("{parts:?}").contains("secret"), "{parts:?}");
        }
    }
}
