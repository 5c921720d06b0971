//! Taking requests apart as naively as can be, to see whether they say what was meant.

/// Name and value.
pub(super) type Field<'s> = (&'s [u8], &'s [u8]);

/// A request without its body.
pub(super) struct Sent<'s> {
    pub(super) start_line: &'s [u8],
    pub(super) fields: Vec<Field<'s>>,
    /// The encapsulated heads.
    pub(super) heads: &'s [u8],
}

impl<'s> Sent<'s> {
    pub(super) fn parse(encoded: &'s [u8]) -> Self {
        let end = find(encoded, b"\r\n\r\n").expect("a blank line");
        let (start_line, fields) = lines(&encoded[..end]);
        Self {
            start_line,
            fields,
            heads: &encoded[end + 4..],
        }
    }

    /// The one field of that name.
    pub(super) fn field(&self, name: &str) -> Option<&'s [u8]> {
        let is_it = |(n, _): &&(&[u8], &[u8])| n.eq_ignore_ascii_case(name.as_bytes());
        let mut named = self.fields.iter().filter(is_it);
        let field = named.next().map(|field| field.1);
        assert_eq!(named.next(), None, "{name} twice");
        field
    }

    /// The encapsulated heads, cut where `Encapsulated` says; they must end there and nowhere else.
    pub(super) fn cut(&self) -> Vec<(String, Head<'s>)> {
        let list = self.field("Encapsulated").expect("Encapsulated");
        let list = std::str::from_utf8(list).expect("ASCII");
        let part = |member: &str| {
            let (name, at) = member.split_once('=').expect("name and offset");
            (name.to_owned(), at.parse::<usize>().expect("an offset"))
        };
        let mut parts: Vec<(String, usize)> = list.split(", ").map(part).collect();
        let body = parts.last().expect("a body").1;
        assert_eq!(body, self.heads.len());
        parts.push((String::new(), body));
        let pairs = parts.windows(2);
        let head = |pair: &[(String, usize)]| {
            let bytes = &self.heads[pair[0].1..pair[1].1];
            (!bytes.is_empty()).then(|| (pair[0].0.clone(), Head::parse(bytes)))
        };
        pairs.filter_map(head).collect()
    }

    /// The name of the body in `Encapsulated`.
    pub(super) fn body(&self) -> String {
        let list = self.field("Encapsulated").expect("Encapsulated");
        let last = list.split(|&b| b == b' ').next_back().expect("a body");
        let name = last.split(|&b| b == b'=').next().expect("a name");
        String::from_utf8_lossy(name).into_owned()
    }
}

/// An encapsulated head.
pub(super) struct Head<'h> {
    pub(super) start_line: &'h [u8],
    pub(super) fields: Vec<Field<'h>>,
}

impl<'h> Head<'h> {
    fn parse(head: &'h [u8]) -> Self {
        let end = find(head, b"\r\n\r\n").expect("a blank line");
        assert_eq!(end + 4, head.len(), "a head ends once");
        let (start_line, fields) = lines(&head[..end]);
        Self { start_line, fields }
    }
}

/// Start line and fields. What any server could take for a line end must be one.
fn lines(head: &[u8]) -> (&[u8], Vec<Field<'_>>) {
    let ends = head.iter().filter(|b| matches!(b, b'\r' | b'\n' | 0));
    let mut lines: Vec<&[u8]> = Vec::new();
    for line in head.split(|&b| b == b'\n') {
        lines.push(line.strip_suffix(b"\r").unwrap_or(line));
    }
    assert_eq!(ends.count(), 2 * (lines.len() - 1), "a CR, LF or NUL alone");
    let field = |line: &&'_ [u8]| {
        assert!(!matches!(line[0], b' ' | b'\t'), "a folded line");
        find(line, b":").expect("a field")
    };
    let fields = lines[1..].iter().map(|line| {
        let (name, value) = line.split_at(field(line));
        (name, value.strip_prefix(b": ").unwrap_or(&value[1..]))
    });
    (lines[0], fields.collect())
}

pub(super) fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

/// Name and value of the fields of a head as a caller wrote it, folds replaced by one space.
pub(super) fn unfolded(head: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
    let text = head.strip_suffix(b"\r\n\r\n").expect("a blank line");
    let mut fields: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
    for line in text.split(|&b| b == b'\n').skip(1) {
        let line = trim(line);
        match fields.last_mut() {
            Some((_, value)) if is_continuation(text, line) => {
                value.push(b' ');
                value.extend_from_slice(line);
            }
            _ => {
                let colon = find(line, b":").expect("a field");
                fields.push((line[..colon].to_vec(), trim(&line[colon + 1..]).to_vec()));
            }
        }
    }
    let trimmed = |(name, value): (Vec<u8>, Vec<u8>)| (name, trim(&value).to_vec());
    fields.into_iter().map(trimmed).collect()
}

/// Whether white space stands before a trimmed line of `text`.
fn is_continuation(text: &[u8], line: &[u8]) -> bool {
    let is_behind_space = || {
        let at = line.as_ptr() as usize - text.as_ptr() as usize;
        matches!(text[at - 1], b' ' | b'\t')
    };
    line.is_empty() || is_behind_space()
}

fn trim(line: &[u8]) -> &[u8] {
    let is_space = |b: &u8| matches!(b, b' ' | b'\t' | b'\r');
    let start = line.iter().take_while(|b| is_space(b)).count();
    let end = line.iter().rev().take_while(|b| is_space(b)).count();
    line.get(start..line.len() - end).unwrap_or_default()
}
