//! Tickets with which a person overrides a policy's question.

use std::io::{self, Read, Write};
use std::time::{Duration, SystemTime};

use icap_client::override_ticket::{
    ContentDigest, DigestWriter, OverrideError, OverrideKey, Ticket,
};
use icap_client::policy::Reason;
use icap_client::testing::{self, Script, Server};
use icap_client::{Content, Decision, Policy, Scanner};

const USER: &str = "jane";

fn key() -> OverrideKey {
    OverrideKey::new(&KEY).unwrap()
}

const KEY: [u8; 32] = *b"0123456789abcdef0123456789abcdef";

fn digest() -> ContentDigest {
    ContentDigest::of(b"hello")
}

fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

const EXPIRES: u64 = 2_000_000_000;

fn now() -> SystemTime {
    at(EXPIRES - 60)
}

/// What the policy decides about a scan of `content` with a server that gives this response.
fn decision(policy: &Policy, response: impl AsRef<[u8]>) -> Decision {
    let response = response.as_ref().to_vec();
    let server = Server::answering(move |_| Script::new().send(&response)).unwrap();
    let scanner = Scanner::builder(server.uri()).negotiate(false);
    let result = scanner.build().unwrap().scan(Content::bytes(b"hello"));
    policy.decide(&result)
}

fn infected(policy: &Policy, threat: &str) -> Decision {
    decision(policy, testing::infected(threat))
}

const FORBIDDEN: &[u8] = b"ICAP/1.0 403 Forbidden\r\nEncapsulated: null-body=0\r\n\r\n";
const MODIFIED: &[u8] = b"ICAP/1.0 200 OK\r\nEncapsulated: res-hdr=0, res-body=19\r\n\r\n\
    HTTP/1.1 200 OK\r\n\r\n5\r\nHELLO\r\n0\r\n\r\n";
const MODIFIED_NO_CONTENT: &[u8] =
    b"ICAP/1.0 200 OK\r\nEncapsulated: res-hdr=0, null-body=19\r\n\r\n\
    HTTP/1.1 200 OK\r\n\r\n";
/// The beginning of the content.
const TRUNCATED: &[u8] = b"ICAP/1.0 200 OK\r\nEncapsulated: res-hdr=0, res-body=19\r\n\r\n\
    HTTP/1.1 200 OK\r\n\r\n2\r\nhe\r\n0\r\n\r\n";

fn blocked(policy: &Policy) -> Decision {
    decision(policy, FORBIDDEN)
}

fn unavailable(policy: &Policy) -> Decision {
    decision(
        policy,
        "ICAP/1.0 503 Overloaded\r\nEncapsulated: null-body=0\r\n\r\n",
    )
}

/// A question about content that is too large.
fn question() -> Decision {
    let scanner = Scanner::builder("icap://127.0.0.1:1/scan").max_size(4);
    let result = scanner.build().unwrap().scan(Content::bytes(b"hello"));
    let decision = Policy::default().decide(&result);
    assert_eq!(
        decision.notice().map(|notice| notice.code()),
        Some("too_large")
    );
    decision
}

fn ticket(decision: &Decision) -> Ticket {
    let ticket = decision.ticket(&key(), &digest(), USER, at(EXPIRES));
    ticket.unwrap()
}

fn redeem(ticket: &str, newest: &Decision) -> Result<(), OverrideError> {
    key().redeem(ticket, &digest(), USER, now(), newest)
}

#[test]
fn ticket_is_redeemed_for_its_content_and_user() {
    let question = question();
    let ticket = ticket(&question);
    assert_eq!(redeem(ticket.as_str(), &question), Ok(()));
    // Another question without an objection changes nothing: here the scanner is down.
    let other = unavailable(&Policy::default());
    assert_eq!(
        other.notice().map(|notice| notice.code()),
        Some("status_error")
    );
    assert_eq!(redeem(ticket.as_str(), &other), Ok(()));
    assert_eq!(redeem(ticket.as_str(), &Decision::Deliver), Ok(()));
}

/// The format stays: tickets survive an update of the crate. Computed with Python's `hmac`.
#[test]
fn ticket_text_is_the_committed_one() {
    let ticket = ticket(&question());
    let expected =
        "01000000007735940079b930ca823eac462fc13435ee34d0eeb8e7efd870187d7c63c50be1f7e0cf22";
    assert_eq!(ticket.to_string(), expected);
    assert_eq!(ticket.as_str().len(), 82);
    assert_eq!(format!("{ticket:?}"), "Ticket { .. }");
}

#[test]
fn only_a_question_has_a_ticket() {
    let policy = Policy::default();
    let refusal = infected(&policy, "Eicar-Test-Signature");
    assert!(matches!(refusal, Decision::Refuse(_)));
    for decision in [Decision::Deliver, refusal, blocked(&policy)] {
        let ticket = decision.ticket(&key(), &digest(), USER, at(EXPIRES));
        assert_eq!(ticket.unwrap_err(), OverrideError::NotAsked);
    }
    let nobodys = question().ticket(&key(), &digest(), "", at(EXPIRES));
    assert_eq!(nobodys.unwrap_err(), OverrideError::NoUser);
}

#[test]
fn ticket_edited_at_any_byte_is_refused() {
    let question = question();
    let ticket = ticket(&question).to_string();
    for at in 0..ticket.len() {
        for digit in "0123456789abcdefABCDEFg \u{0}%".chars() {
            let mut edited = ticket.clone();
            edited.replace_range(at..=at, &digit.to_string());
            if edited != ticket {
                assert!(redeem(&edited, &question).is_err(), "{edited}");
            }
        }
        let mut shorter = ticket.clone();
        shorter.remove(at);
        let mut longer = ticket.clone();
        longer.insert(at, '0');
        for edited in [&shorter, &longer, &ticket[..at], &ticket[at + 1..]] {
            let error = redeem(edited, &question);
            assert_eq!(error, Err(OverrideError::Malformed), "{edited}");
        }
    }
}

#[test]
fn text_that_is_no_ticket_is_malformed() {
    let ticket = ticket(&question()).to_string();
    for text in [
        String::new(),
        "true".to_owned(),
        ticket.to_uppercase(),
        format!("{ticket} "),
        format!(" {ticket}"),
        "\u{e4}".repeat(41),
        "\u{20ac}".repeat(82),
        "0".repeat(82),
        // Another version of the format.
        format!("02{}", &ticket[2..]),
    ] {
        let error = redeem(&text, &question());
        assert_eq!(error, Err(OverrideError::Malformed), "{text}");
    }
}

#[test]
fn ticket_of_another_claim_is_not_authentic() {
    let question = question();
    let ticket = ticket(&question).to_string();
    let not_authentic = Err(OverrideError::NotAuthentic);
    for user in ["", "joe", "Jane", "jan", "jane ", "jane\0"] {
        let result = key().redeem(&ticket, &digest(), user, now(), &question);
        assert_eq!(result, not_authentic, "{user}");
    }
    for bit in 0..256 {
        let mut other: [u8; 32] = KEY;
        other[bit / 8] ^= 1 << (bit % 8);
        let other_key = OverrideKey::new(&other).unwrap();
        let result = other_key.redeem(&ticket, &digest(), USER, now(), &question);
        assert_eq!(result, not_authentic);
        let other_digest = ContentDigest::from(other);
        let result = key().redeem(&ticket, &other_digest, USER, now(), &question);
        assert_eq!(result, not_authentic);
    }
}

#[test]
fn ticket_is_void_from_the_second_it_expires() {
    let question = question();
    let ticket = ticket(&question).to_string();
    let redeem_at = |now| key().redeem(&ticket, &digest(), USER, now, &question);
    let before = at(EXPIRES) - Duration::from_nanos(1);
    assert_eq!(redeem_at(before), Ok(()));
    assert_eq!(redeem_at(at(0)), Ok(()));
    let no_clock = at(0) - Duration::from_secs(1);
    for late in [
        at(EXPIRES),
        at(EXPIRES + 1),
        at(u64::from(u32::MAX)),
        no_clock,
    ] {
        assert_eq!(redeem_at(late), Err(OverrideError::Expired), "{late:?}");
    }
    // A time of expiry before 1970 is one that has passed.
    let stale = question.ticket(&key(), &digest(), USER, no_clock).unwrap();
    let result = redeem(stale.as_str(), &question);
    assert_eq!(result, Err(OverrideError::Expired));
}

#[test]
fn newer_objection_overrules_a_ticket() {
    let ticket = ticket(&question()).to_string();
    let refusing = Policy::default();
    let asking = Reason::ALL.into_iter().fold(Policy::default(), Policy::ask);
    let threat = testing::infected("Eicar-Test-Signature");
    for policy in [&refusing, &asking] {
        for (response, code) in [
            (threat.as_slice(), "infected"),
            (FORBIDDEN, "blocked"),
            (MODIFIED, "modified"),
            (MODIFIED_NO_CONTENT, "modified_no_content"),
            (TRUNCATED, "truncated"),
        ] {
            let newest = decision(policy, response);
            assert_eq!(newest.notice().map(|notice| notice.code()), Some(code));
            let result = redeem(&ticket, &newest);
            assert_eq!(result, Err(OverrideError::Overruled), "{newest:?}");
        }
    }
}

#[test]
fn refusal_by_a_newer_policy_overrules_a_ticket() {
    let ticket = ticket(&question()).to_string();
    let strict = Policy::default().refuse(Reason::StatusError);
    let result = redeem(&ticket, &unavailable(&strict));
    assert_eq!(result, Err(OverrideError::Overruled));
}

#[test]
fn ticket_for_an_objection_is_for_this_one_only() {
    let policy = Policy::default().ask(Reason::Infected).ask(Reason::Blocked);
    let (one, other) = (infected(&policy, "One"), infected(&policy, "Other"));
    let blocked = blocked(&policy);
    let ticket_of = |decision: &Decision| ticket(decision).to_string();
    assert_eq!(redeem(&ticket_of(&one), &infected(&policy, "One")), Ok(()));
    assert_eq!(redeem(&ticket_of(&blocked), &blocked), Ok(()));
    for (asked, newest) in [
        (&one, &other),
        (&one, &blocked),
        (&blocked, &one),
        (&one, &question()),
        (&one, &Decision::Deliver),
    ] {
        assert!(redeem(&ticket_of(asked), newest).is_err(), "{newest:?}");
    }
    // A rule that was changed since counts.
    let refusal = infected(&Policy::default(), "One");
    let result = redeem(&ticket_of(&one), &refusal);
    assert_eq!(result, Err(OverrideError::Overruled));
}

/// Two claims have the same ticket only if they are the same claim.
#[test]
fn random_claims_share_no_ticket() {
    let question = question();
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let mut seen = std::collections::HashMap::new();
    for _ in 0..3_000 {
        let claim = random.claim();
        let (digest, user, expires) = &claim;
        let issued = question.ticket(&key(), digest, user, at(*expires));
        let text = issued.unwrap().to_string();
        let result = key().redeem(&text, digest, user, at(expires - 1), &question);
        assert_eq!(result, Ok(()), "{claim:?}");
        let (other_digest, other_user, _) = random.claim();
        if (&other_digest, &other_user) != (digest, user) {
            let now = at(expires - 1);
            let result = key().redeem(&text, &other_digest, &other_user, now, &question);
            assert_eq!(result, Err(OverrideError::NotAuthentic), "{claim:?}");
        }
        let first = seen.entry(text).or_insert_with(|| claim.clone());
        assert_eq!(*first, claim);
    }
}

#[test]
fn random_text_is_never_a_ticket() {
    let question = question();
    let issued = ticket(&question).to_string().into_bytes();
    let mut random = Random(1);
    for _ in 0..10_000 {
        let mut text = issued.clone();
        for _ in 0..=random.below(4) {
            let at = random.below(text.len());
            text[at] = random.pick(b"0123456789abcdefF-");
        }
        text.truncate(82 - usize::from(random.below(20) == 0));
        if text != issued {
            let text = String::from_utf8(text).unwrap();
            assert!(redeem(&text, &question).is_err(), "{text}");
        }
    }
}

/// Few values in each field, so that claims are near each other.
struct Random(u64);

impl Random {
    /// xorshift64 (Marsaglia 2003).
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end as u64).unwrap()
    }

    fn pick(&mut self, bytes: &[u8]) -> u8 {
        bytes[self.below(bytes.len())]
    }

    fn claim(&mut self) -> (ContentDigest, String, u64) {
        let digest = [self.pick(b"abc"); 32];
        let len = 1 + self.below(40);
        let user = (0..len).map(|_| char::from(self.pick(b"ab"))).collect();
        (digest.into(), user, EXPIRES + self.next() % 3)
    }
}

#[test]
fn key_has_at_least_32_bytes_and_is_not_shown() {
    for len in [0, 1, 16, 31] {
        let error = OverrideKey::new(&vec![7; len]).unwrap_err();
        assert_eq!(error, OverrideError::KeyTooShort { len });
    }
    for len in [32, 33, 64, 65, 1000] {
        let key = OverrideKey::new(&vec![7; len]).unwrap();
        assert_eq!(format!("{key:?}"), "OverrideKey { .. }");
    }
}

/// Takes one byte a call, claims to have taken more than there is, or fails.
enum OddWriter {
    Slow(Vec<u8>),
    Lying,
    Failing,
}

impl Write for OddWriter {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        match self {
            Self::Slow(taken) => {
                taken.extend(buffer.first());
                Ok(buffer.len().min(1))
            }
            Self::Lying => Ok(buffer.len() + 1),
            Self::Failing => Err(io::Error::other("full")),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn digest_writer_digests_what_the_writer_took() {
    let mut writer = DigestWriter::new(OddWriter::Slow(Vec::new()));
    assert_eq!(writer.write(b"hello").unwrap(), 1);
    writer.write_all(b"ello").unwrap();
    writer.flush().unwrap();
    assert_eq!(writer.finish().1, digest());
    for odd in [OddWriter::Lying, OddWriter::Failing] {
        let mut writer = DigestWriter::new(odd);
        assert!(writer.write(b"hello").is_err());
        assert_eq!(writer.finish().1, ContentDigest::of(b""));
    }
    let read = ContentDigest::of_reader(&b"hello"[..]).unwrap();
    assert_eq!(read, digest());
}

#[test]
fn digest_writer_digests_a_spool_while_it_is_scanned() {
    let server = Server::start().unwrap();
    let scanner = Scanner::new(server.uri()).unwrap();
    let mut spool = DigestWriter::new(tempfile::tempfile().unwrap());
    let content = Content::reader(&b"hello"[..]);
    let teed = scanner.scan_spooled(content, &mut spool).unwrap();
    assert!(teed.is_complete());
    let mut copy = String::new();
    spool.read_to_string(&mut copy).unwrap();
    assert_eq!(copy, "hello");
    assert_eq!(spool.finish().1, digest());
}
