//! Stored verdicts: what is kept of a report, as bytes.

use super::MAX_CACHE_ENTRY;
use super::keyed_hash::{Hash, KeyedHash};
use crate::evidence::{Resolution, Threat, ThreatKind, Threats};
use crate::scan::verdict::Verdict;

/// A verdict, and what it holds for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// `Clean` or `Infected`.
    pub(super) verdict: Verdict,
    /// The state tag of the response.
    pub(super) state_tag: Vec<u8>,
    /// Bytes of content that were sent.
    pub(super) content_len: u64,
    pub(super) made: Made,
}

/// When the scan began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Made {
    /// The cache that made the entry, and by its clock the nanoseconds since it was opened.
    pub(super) origin: u64,
    pub(super) offset_ns: u64,
    /// Milliseconds since 1970 by the calendar clock, for others.
    pub(super) calendar_ms: u64,
}

impl Entry {
    /// The bytes to be stored under `key`. `None` for another verdict than `Clean` and `Infected`, and if they are more
    /// than [`MAX_CACHE_ENTRY`].
    pub(super) fn encode(&self, hash: &KeyedHash, key: &Hash) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        let made = self.made;
        for number in [
            made.origin,
            made.offset_ns,
            made.calendar_ms,
            self.content_len,
        ] {
            put_number(&mut out, number);
        }
        put_bytes(&mut out, &self.state_tag);
        match &self.verdict {
            Verdict::Clean => put_number(&mut out, 0),
            Verdict::Infected(threats) => {
                put_number(&mut out, threats.iter().len() as u64);
                for threat in threats {
                    put_threat(&mut out, threat);
                }
            }
            _ => return None,
        }
        let seal = hash.hash("entry", &[key, &out]);
        out.extend_from_slice(&seal);
        (out.len() <= MAX_CACHE_ENTRY).then_some(out)
    }

    /// Reads what [`encode`](Self::encode) made for this key under this secret; `None` for all other bytes.
    pub(super) fn decode(hash: &KeyedHash, key: &Hash, bytes: &[u8]) -> Option<Self> {
        let (payload, seal) = bytes.split_last_chunk::<16>()?;
        if hash.hash("entry", &[key, payload]) != *seal {
            return None;
        }
        let mut input = Input(payload);
        let made = Made {
            origin: input.number()?,
            offset_ns: input.number()?,
            calendar_ms: input.number()?,
        };
        let entry = Self {
            made,
            content_len: input.number()?,
            state_tag: input.bytes()?.to_vec(),
            verdict: input.verdict()?,
        };
        input.0.is_empty().then_some(entry)
    }
}

fn put_number(out: &mut Vec<u8>, number: u64) {
    out.extend_from_slice(&number.to_le_bytes());
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_number(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

fn put_threat(out: &mut Vec<u8>, threat: &Threat) {
    out.push(match threat.kind {
        None => 0,
        Some(ThreatKind::Virus) => 1,
        Some(ThreatKind::MailPolicyViolation) => 2,
        Some(ThreatKind::ContainerViolation) => 3,
    });
    out.push(match threat.resolution {
        None => 0,
        Some(Resolution::NotRepaired) => 1,
        Some(Resolution::Repaired) => 2,
        Some(Resolution::Blocked) => 3,
    });
    for text in [
        &threat.name,
        &threat.file,
        &threat.problem,
        &threat.description,
    ] {
        out.push(u8::from(text.is_some()));
        put_bytes(out, text.as_deref().unwrap_or_default().as_bytes());
    }
}

/// The rest of an entry's bytes.
struct Input<'b>(&'b [u8]);

impl<'b> Input<'b> {
    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (array, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*array)
    }

    fn byte(&mut self) -> Option<u8> {
        self.array().map(|[byte]| byte)
    }

    fn number(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    fn bytes(&mut self) -> Option<&'b [u8]> {
        let len = usize::try_from(self.number()?).ok()?;
        let (bytes, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(bytes)
    }

    fn verdict(&mut self) -> Option<Verdict> {
        let mut threats = Vec::new();
        for _ in 0..self.number()? {
            threats.push(self.threat()?);
        }
        Some(Threats::new(threats).map_or(Verdict::Clean, Verdict::Infected))
    }

    fn threat(&mut self) -> Option<Threat> {
        let kind = match self.byte()? {
            0 => None,
            1 => Some(ThreatKind::Virus),
            2 => Some(ThreatKind::MailPolicyViolation),
            3 => Some(ThreatKind::ContainerViolation),
            _ => return None,
        };
        let resolution = match self.byte()? {
            0 => None,
            1 => Some(Resolution::NotRepaired),
            2 => Some(Resolution::Repaired),
            3 => Some(Resolution::Blocked),
            _ => return None,
        };
        Some(Threat {
            kind,
            resolution,
            name: self.text()?,
            file: self.text()?,
            problem: self.text()?,
            description: self.text()?,
        })
    }

    /// The outer `None` is an error.
    #[allow(clippy::option_option, reason = "the inner one is a threat's")]
    fn text(&mut self) -> Option<Option<String>> {
        let is_some = match self.byte()? {
            0 => false,
            1 => true,
            _ => return None,
        };
        let text = std::str::from_utf8(self.bytes()?).ok()?;
        Some(is_some.then(|| text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: Hash = [3; 16];

    fn hash() -> KeyedHash {
        KeyedHash::new([7; 32])
    }

    fn entry(verdict: Verdict) -> Entry {
        Entry {
            verdict,
            state_tag: b"tag-1".to_vec(),
            content_len: 5,
            made: Made {
                origin: 1,
                offset_ns: 2,
                calendar_ms: 3,
            },
        }
    }

    fn infected() -> Verdict {
        let threat = |name: &str| Threat {
            name: Some(name.to_owned()),
            kind: Some(ThreatKind::ContainerViolation),
            resolution: Some(Resolution::Blocked),
            file: Some(String::new()),
            problem: None,
            description: Some("Gelöscht".to_owned()),
        };
        Verdict::Infected(Threats::new(vec![threat("Worm.A"), threat("Worm.B")]).unwrap())
    }

    #[test]
    fn entry_is_read_as_it_was_written() {
        for verdict in [Verdict::Clean, infected()] {
            let entry = entry(verdict);
            let bytes = entry.encode(&hash(), &KEY).unwrap();
            assert_eq!(Entry::decode(&hash(), &KEY, &bytes), Some(entry));
        }
    }

    #[test]
    fn every_damaged_entry_is_refused() {
        for verdict in [Verdict::Clean, infected()] {
            let bytes = entry(verdict).encode(&hash(), &KEY).unwrap();
            for len in 0..bytes.len() {
                assert_eq!(Entry::decode(&hash(), &KEY, &bytes[..len]), None);
            }
            for bit in 0..bytes.len() * 8 {
                let mut damaged = bytes.clone();
                damaged[bit / 8] ^= 1 << (bit % 8);
                assert_eq!(Entry::decode(&hash(), &KEY, &damaged), None, "{bit}");
            }
            let longer = [&bytes[..], b"\0"].concat();
            assert_eq!(Entry::decode(&hash(), &KEY, &longer), None);
        }
    }

    #[test]
    fn sealed_bytes_of_another_form_are_refused() {
        let whole = entry(infected()).encode(&hash(), &KEY).unwrap();
        let payload = &whole[..whole.len() - 16];
        let resealed = |payload: &[u8]| {
            let seal = hash().hash("entry", &[&KEY, payload]);
            [payload, &seal].concat()
        };
        assert!(Entry::decode(&hash(), &KEY, &resealed(payload)).is_some());
        for len in 0..payload.len() {
            let cut = resealed(&payload[..len]);
            assert_eq!(Entry::decode(&hash(), &KEY, &cut), None, "{len}");
        }
        let longer = resealed(&[payload, b"\0"].concat());
        assert_eq!(Entry::decode(&hash(), &KEY, &longer), None);
    }

    #[test]
    fn entry_of_another_key_or_secret_is_refused() {
        let bytes = entry(Verdict::Clean).encode(&hash(), &KEY).unwrap();
        assert_eq!(Entry::decode(&hash(), &[4; 16], &bytes), None);
        let other = KeyedHash::new([8; 32]);
        assert_eq!(Entry::decode(&other, &KEY, &bytes), None);
    }

    #[test]
    fn other_verdict_or_too_long_entry_is_not_kept() {
        use crate::scan::verdict::NotScanned;
        let other = entry(Verdict::NotScanned(NotScanned::Pending));
        assert_eq!(other.encode(&hash(), &KEY), None);
        let mut long = entry(Verdict::Clean);
        long.state_tag = vec![b'x'; MAX_CACHE_ENTRY];
        assert_eq!(long.encode(&hash(), &KEY), None);
    }
}
