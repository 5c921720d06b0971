//! A TLS 1.2 server may ask to renegotiate at any time (HelloRequest, RFC 5246 §7.4.1.1). It is declined,
//! and the scan goes on.

use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::thread;

use icap_client::testing::{CLEAN, Script, Server};
use icap_client::tls::rustls::crypto::cipher::{
    AeadKey, InboundOpaqueMessage, InboundPlainMessage, KeyBlockShape, MessageDecrypter,
    MessageEncrypter, OutboundChunks, OutboundOpaqueMessage, OutboundPlainMessage,
    Tls12AeadAlgorithm, UnsupportedOperationError,
};
use icap_client::tls::rustls::crypto::{CipherSuiteCommon, CryptoProvider};
use icap_client::tls::rustls::{
    ConnectionTrafficSecrets, ContentType, Error as TlsError, SupportedCipherSuite,
    Tls12CipherSuite,
};
use icap_client::{Content, Error, Report, Scanner, ScannerBuilder};

use super::front::{Ending, Front};
use super::pki::{Authority, TLS12, provider};

/// Sent by the server, this becomes a HelloRequest.
const HELLO_REQUEST: &[u8] = b"\0HelloRequest\0";

/// What a server does after the client has declined.
#[derive(Clone, Copy, PartialEq)]
enum Declined {
    /// It goes on.
    GoesOn,
    /// It ends the session, as OpenSSL's servers do.
    Ends,
}

/// A crypto provider for TLS 1.2 servers that ask to renegotiate, and the number of times they were declined.
fn asking(declined: Declined) -> (Arc<CryptoProvider>, Arc<AtomicUsize>) {
    let mut provider = (*provider()).clone();
    let times = Arc::<AtomicUsize>::default();
    let suites = provider.cipher_suites.iter();
    let suites = suites.filter_map(|suite| match suite {
        SupportedCipherSuite::Tls12(suite) => Some(asking_suite(suite, declined, &times)),
        SupportedCipherSuite::Tls13(_) => None,
    });
    provider.cipher_suites = suites.collect();
    (Arc::new(provider), times)
}

fn asking_suite(
    suite: &'static Tls12CipherSuite,
    declined: Declined,
    times: &Arc<AtomicUsize>,
) -> SupportedCipherSuite {
    // rustls borrows suites and algorithms for ever. These are small.
    let aead_alg = Box::leak(Box::new(Asking {
        aead_alg: suite.aead_alg,
        declined,
        times: Arc::clone(times),
    }));
    SupportedCipherSuite::Tls12(Box::leak(Box::new(Tls12CipherSuite {
        common: CipherSuiteCommon {
            suite: suite.common.suite,
            hash_provider: suite.common.hash_provider,
            confidentiality_limit: suite.common.confidentiality_limit,
        },
        prf_provider: suite.prf_provider,
        kx: suite.kx,
        sign: suite.sign,
        aead_alg,
    })))
}

struct Asking {
    aead_alg: &'static dyn Tls12AeadAlgorithm,
    declined: Declined,
    times: Arc<AtomicUsize>,
}

impl Tls12AeadAlgorithm for Asking {
    fn encrypter(&self, key: AeadKey, iv: &[u8], extra: &[u8]) -> Box<dyn MessageEncrypter> {
        Box::new(AskingEncrypter(self.aead_alg.encrypter(key, iv, extra)))
    }

    fn decrypter(&self, key: AeadKey, iv: &[u8]) -> Box<dyn MessageDecrypter> {
        Box::new(CountingDecrypter {
            decrypter: self.aead_alg.decrypter(key, iv),
            declined: self.declined,
            times: Arc::clone(&self.times),
        })
    }

    fn key_block_shape(&self) -> KeyBlockShape {
        self.aead_alg.key_block_shape()
    }

    fn extract_keys(
        &self,
        key: AeadKey,
        iv: &[u8],
        explicit: &[u8],
    ) -> Result<ConnectionTrafficSecrets, UnsupportedOperationError> {
        self.aead_alg.extract_keys(key, iv, explicit)
    }
}

struct AskingEncrypter(Box<dyn MessageEncrypter>);

impl MessageEncrypter for AskingEncrypter {
    fn encrypt(
        &mut self,
        message: OutboundPlainMessage<'_>,
        sequence: u64,
    ) -> Result<OutboundOpaqueMessage, TlsError> {
        if message.payload.to_vec() != HELLO_REQUEST {
            return self.0.encrypt(message, sequence);
        }
        let asks = OutboundPlainMessage {
            typ: ContentType::Handshake,
            version: message.version,
            payload: OutboundChunks::Single(&[0, 0, 0, 0]),
        };
        self.0.encrypt(asks, sequence)
    }

    fn encrypted_payload_len(&self, payload_len: usize) -> usize {
        self.0.encrypted_payload_len(payload_len)
    }
}

struct CountingDecrypter {
    decrypter: Box<dyn MessageDecrypter>,
    declined: Declined,
    times: Arc<AtomicUsize>,
}

impl MessageDecrypter for CountingDecrypter {
    fn decrypt<'a>(
        &mut self,
        message: InboundOpaqueMessage<'a>,
        sequence: u64,
    ) -> Result<InboundPlainMessage<'a>, TlsError> {
        const WARNING_NO_RENEGOTIATION: &[u8] = &[1, 100];
        let plain = self.decrypter.decrypt(message, sequence)?;
        if plain.typ == ContentType::Alert && plain.payload == WARNING_NO_RENEGOTIATION {
            self.times.fetch_add(1, SeqCst);
            if self.declined == Declined::Ends {
                return Err(TlsError::General("it was declined".to_owned()));
            }
        }
        Ok(plain)
    }
}

/// A server with TLS that can ask to renegotiate.
struct Stage {
    scanner: Scanner,
    authority: Authority,
    times: Arc<AtomicUsize>,
    // Dropped in this order, because the front waits for its connections.
    front: Front,
    server: Server,
}

fn scanner(front: &Front, authority: &Authority) -> ScannerBuilder {
    Scanner::builder(front.uri())
        .negotiate(false)
        .connector(authority.connector())
}

impl Stage {
    fn new(server: Server, declined: Declined) -> Self {
        let authority = Authority::new();
        let (provider, times) = asking(declined);
        let config = authority.local().server_of(provider, TLS12);
        let front = Front::new(config, server.address(), Ending::Notified);
        let scanner = scanner(&front, &authority).build().unwrap();
        Self {
            scanner,
            authority,
            times,
            front,
            server,
        }
    }

    fn scan_hello(&self) -> Result<Report, Error> {
        self.scanner.scan(Content::bytes(b"hello"))
    }

    /// Scans. The server asks to renegotiate `times` times during the upload.
    fn scan_asked(&self, times: usize) -> Result<Report, Error> {
        self.scanner.scan(self.content_asked(times))
    }

    fn content_asked(&self, times: usize) -> Content<'_> {
        let begin = io::repeat(7).take(300_000);
        let end = io::repeat(7).take(3_000_000);
        let asks = Asks { stage: self, times };
        Content::reader(begin.chain(asks).chain(end))
    }

    fn builder(&self) -> ScannerBuilder {
        scanner(&self.front, &self.authority)
    }

    fn declined(&self) -> usize {
        self.times.load(SeqCst)
    }
}

/// No bytes; the server asks when this is read.
struct Asks<'s> {
    stage: &'s Stage,
    times: usize,
}

impl Read for Asks<'_> {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        for _ in 0..std::mem::take(&mut self.times) {
            self.stage.front.last_session().say(HELLO_REQUEST);
        }
        Ok(0)
    }
}

fn assert_clean(result: Result<Report, Error>) {
    let report = result.unwrap();
    assert!(report.verdict().is_clean(), "{}", report.verdict());
}

#[test]
fn renegotiation_in_an_upload_does_not_stop_it() {
    for declined in [Declined::GoesOn, Declined::Ends] {
        let stage = Stage::new(Server::start().unwrap(), declined);
        for scan in 1..=3 {
            assert_clean(stage.scan_asked(1));
            assert_eq!(stage.front.connections(), scan, "each was asked once");
        }
        assert_clean(stage.scan_hello());
        let stats = stage.scanner.stats();
        assert_eq!(stats.retries, 0);
    }
}

#[test]
fn renegotiation_with_a_response_costs_no_scan() {
    for declined in [Declined::GoesOn, Declined::Ends] {
        let listens = Script::new().read_request().read_to_end();
        let stage = Stage::new(Server::scripted([listens]).unwrap(), declined);
        for scan in 1..=3 {
            thread::scope(|scope| {
                let result = scope.spawn(|| stage.scan_hello());
                while stage.server.requests() < scan && !result.is_finished() {
                    thread::yield_now();
                }
                let session = stage.front.last_session();
                let asks = session.encrypt(HELLO_REQUEST);
                let clean = session.encrypt(CLEAN.as_bytes());
                session.say_raw(&[asks, clean].concat());
                assert_clean(result.join().unwrap());
            });
        }
        assert_eq!(stage.scanner.stats().retries, 0);
    }
}

#[test]
fn renegotiation_while_idle_costs_no_scan() {
    for declined in [Declined::GoesOn, Declined::Ends] {
        let stage = Stage::new(Server::start().unwrap(), declined);
        for _ in 0..5 {
            assert_clean(stage.scan_hello());
            stage.front.last_session().say(HELLO_REQUEST);
        }
    }
}

#[test]
fn server_that_waits_for_the_decline_is_declined() {
    let listens = Script::new().read_request().read_to_end();
    let stage = Stage::new(Server::scripted([listens]).unwrap(), Declined::GoesOn);
    thread::scope(|scope| {
        let result = scope.spawn(|| stage.scan_asked(1));
        while stage.declined() == 0 && !result.is_finished() {
            thread::yield_now();
        }
        stage.front.last_session().say(CLEAN.as_bytes());
        assert_clean(result.join().unwrap());
    });
}

#[test]
fn insisted_renegotiation_does_not_blame_the_server() {
    let twice = Stage::new(Server::start().unwrap(), Declined::GoesOn);
    for _ in 0..30 {
        let error = twice.scan_asked(2).unwrap_err();
        assert!(matches!(error, Error::Disconnected(_)), "{error:?}");
        let text = error.to_string();
        assert!(text.contains("asked to renegotiate"), "{text}");
    }
    assert_clean(twice.scan_hello());
}

#[test]
fn session_end_after_a_decline_does_not_blame_the_server() {
    let listens = Script::new().read_request().read_to_end();
    let stage = Stage::new(Server::scripted([listens]).unwrap(), Declined::Ends);
    // By default a server is suspended after 10 failures in a row. Each takes a second here.
    let strict = stage.builder().suspend_after(1).build().unwrap();
    for _ in 0..2 {
        let error = strict.scan(stage.content_asked(1)).unwrap_err();
        assert!(matches!(error, Error::Disconnected(_)), "{error:?}");
        let text = error.to_string();
        assert!(text.contains("asked to renegotiate"), "{text}");
    }
}
