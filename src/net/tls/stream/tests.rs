//! TLS streams against a server of rustls.

use super::*;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, ServerConfig, ServerConnection};
use std::net::TcpListener;
use std::sync::Arc;
use std::thread;
use std::time::Instant;

const SOON: Duration = Duration::from_millis(20);
const PATIENCE: Duration = Duration::from_secs(10);

struct Server {
    tcp: TcpStream,
    tls: ServerConnection,
}

impl Server {
    /// Sends what rustls has to send.
    fn send(&mut self) {
        while self.tls.wants_write() {
            self.tls.write_tls(&mut self.tcp).unwrap();
        }
    }

    /// What rustls has to send.
    fn records(&mut self) -> Vec<u8> {
        let mut records = Vec::new();
        while self.tls.wants_write() {
            self.tls.write_tls(&mut records).unwrap();
        }
        records
    }

    fn say(&mut self, bytes: &[u8]) {
        self.tls.writer().write_all(bytes).unwrap();
        self.send();
    }

    /// Reads `count` bytes of plaintext.
    fn hear(&mut self, count: usize) -> Vec<u8> {
        let mut heard = vec![0; count];
        let mut stream = rustls::Stream::new(&mut self.tls, &mut self.tcp);
        stream.read_exact(&mut heard).unwrap();
        heard
    }
}

fn configs(provider: rustls::crypto::CryptoProvider) -> (Arc<ClientConfig>, Arc<ServerConfig>) {
    let certified = rcgen::generate_simple_self_signed(["av.example".to_owned()]).unwrap();
    let certificate = certified.cert.der().clone();
    let key = certified.signing_key.serialize_pem();
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
    let provider = Arc::new(provider);
    let mut roots = RootCertStore::empty();
    roots.add(certificate.clone()).unwrap();
    let client = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let server = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    (Arc::new(client), Arc::new(server))
}

fn pair() -> (TlsStream, Server) {
    pair_of(rustls::crypto::ring::default_provider())
}

fn pair_of(provider: rustls::crypto::CryptoProvider) -> (TlsStream, Server) {
    let (client, server) = configs(provider);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let tcp = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let accept = thread::spawn(move || {
        let mut tcp = listener.accept().unwrap().0;
        let mut tls = ServerConnection::new(server).unwrap();
        while tls.is_handshaking() {
            tls.complete_io(&mut tcp).unwrap();
        }
        Server { tcp, tls }
    });
    let name = ServerName::try_from("av.example").unwrap();
    let tls = ClientConnection::new(client, name).unwrap();
    let deadline = Deadline::by_system(None);
    let mut client = TlsStream::handshake(tcp, tls, &deadline).unwrap();
    client.set_write_timeout(SOON).unwrap();
    (client, accept.join().unwrap())
}

/// The readiness after something has arrived.
fn look_at_what_comes(client: &mut TlsStream) -> Readiness {
    client.set_read_timeout(PATIENCE).unwrap();
    client.tcp.await_bytes().unwrap();
    client.readiness().unwrap()
}

/// The first readiness that is not idle.
fn await_news(client: &mut TlsStream) -> Readiness {
    loop {
        match look_at_what_comes(client) {
            Readiness::Idle => {}
            news => return news,
        }
    }
}

#[test]
fn tickets_and_new_keys_are_not_readable() {
    let (mut client, mut server) = pair();
    // The tickets of the handshake.
    server.send();
    assert_eq!(look_at_what_comes(&mut client), Readiness::Idle);
    for _ in 0..3 {
        server.tls.refresh_traffic_keys().unwrap();
        server.send();
        assert_eq!(look_at_what_comes(&mut client), Readiness::Idle);
    }
    server.say(b"x");
    assert_eq!(await_news(&mut client), Readiness::Readable);
    assert_eq!(client.readiness().unwrap(), Readiness::Readable);
    let mut byte = [0];
    client.read_exact(&mut byte).unwrap();
    assert_eq!(&byte, b"x");
    assert_eq!(client.readiness().unwrap(), Readiness::Idle);
}

#[test]
fn read_returns_after_a_record_without_data() {
    let (mut client, mut server) = pair();
    server.send();
    client.tcp.await_bytes().unwrap();
    client.set_read_timeout(PATIENCE).unwrap();
    let began = Instant::now();
    let error = client.read(&mut [0]).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
    assert!(began.elapsed() < PATIENCE, "it waited for more");
}

#[test]
fn part_of_a_record_is_partial() {
    let (mut client, mut server) = pair();
    server.send();
    assert_eq!(look_at_what_comes(&mut client), Readiness::Idle);
    let mut record = Vec::new();
    server.tls.writer().write_all(b"hello").unwrap();
    server.tls.write_tls(&mut record).unwrap();
    let (last, begin) = record.split_last().unwrap();
    server.tcp.write_all(begin).unwrap();
    assert_eq!(await_news(&mut client), Readiness::Partial);
    client.set_read_timeout(SOON).unwrap();
    assert!(is_stall(&client.read(&mut [0; 9]).unwrap_err()));
    server.tcp.write_all(&[*last]).unwrap();
    assert_eq!(await_news(&mut client), Readiness::Readable);
    let mut buf = [0; 9];
    assert_eq!(
        (client.read(&mut buf).unwrap(), &buf[..5]),
        (5, &b"hello"[..])
    );
}

#[test]
fn end_without_notice_is_closed_and_a_read_error() {
    let (mut client, mut server) = pair();
    server.tls.send_close_notify();
    server.send();
    assert_eq!(await_news(&mut client), Readiness::Closed);
    assert_eq!(client.read(&mut [0]).unwrap(), 0);

    let (mut client, mut server) = pair();
    server.send();
    drop(server);
    assert_eq!(await_news(&mut client), Readiness::Closed);
    let error = client.read(&mut [0]).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
}

#[test]
fn undecryptable_record_is_a_permanent_error() {
    let (mut client, mut server) = pair();
    server.say(b"before");
    server.tcp.write_all(&[23, 3, 3, 0, 20]).unwrap();
    server.tcp.write_all(&[9; 20]).unwrap();
    client.set_read_timeout(PATIENCE).unwrap();
    let (mut heard, mut buf) = (Vec::new(), [0; 9]);
    let error = loop {
        match client.read(&mut buf) {
            Ok(len) => heard.extend_from_slice(&buf[..len]),
            Err(error) if is_stall(&error) => {}
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    assert_eq!(heard, b"before");
    for _ in 0..2 {
        let error = client.read(&mut [0]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        let error = client.readiness().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        let error = client.write(b"x").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    }
}

#[test]
fn failed_write_shows_the_alert() {
    let (mut client, mut server) = pair();
    let mut garbage = &[23, 3, 3, 0, 5, 1, 2, 3, 4, 5][..];
    server.tls.read_tls(&mut garbage).unwrap();
    server.tls.process_new_packets().unwrap_err();
    server.send();
    drop(server);
    let error = loop {
        // The first may succeed. It causes a reset, and others fail.
        if let Err(error) = client.write(b"x") {
            break error;
        }
    };
    assert!(error.to_string().contains("alert"), "{error}");
}

#[test]
fn stalled_write_loses_and_repeats_nothing() {
    let (mut client, mut server) = pair();
    let content: Vec<u8> = (0..4_000_000u32).flat_map(u32::to_be_bytes).collect();
    let (mut written, mut stalls) = (0, 0);
    // Until the buffers are full.
    while stalls < 3 {
        match client.write(&content[written..]) {
            Ok(len) => written += len,
            Err(error) if is_stall(&error) => stalls += 1,
            Err(error) => panic!("{error}"),
        }
    }
    assert!(written > 0 && written < content.len());
    assert!(client.unreported > 0 && !client.unsent.is_empty());
    let hears = thread::spawn(move || (server.hear(16_000_000), server));
    while written < content.len() {
        match client.write(&content[written..]) {
            Ok(len) => written += len,
            Err(error) => assert!(is_stall(&error), "{error}"),
        }
    }
    assert!(client.unsent.is_empty(), "something is left to be flushed");
    let (heard, _server) = hears.join().unwrap();
    assert!(heard == content);
}

#[test]
fn write_reports_only_bytes_that_have_left() {
    let (mut client, _server) = pair();
    let content = vec![7; 60_000];
    let mut written = 0;
    loop {
        let before = client.unsent.len();
        match client.write(&content) {
            Ok(len) => {
                written += len;
                assert!(client.unreported <= client.unsent.len());
                assert_eq!(client.unreported == 0, client.unsent.is_empty());
            }
            Err(error) if is_stall(&error) && before == client.unsent.len() => break,
            Err(error) => assert!(is_stall(&error), "{error}"),
        }
    }
    assert!(written > 0);
    // Plaintext that was taken cannot be given back.
    let left = client.unreported;
    let error = client.write(&content[..left - 1]).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
}

#[test]
fn room_for_ciphertext_is_kept_only_during_an_upload() {
    let (mut client, mut server) = pair();
    client.set_read_timeout(PATIENCE).unwrap();
    let content = vec![7; 16_000];
    for _ in 0..2 {
        for _ in 0..2 {
            client.write_all(&content).unwrap();
            client.readiness().unwrap();
            assert!(client.unsent.is_empty() && client.unsent.capacity() > content.len());
        }
        server.hear(2 * content.len());
        server.say(b"x");
        // A record without data is a stall.
        while client.read(&mut [0]).is_err() {}
        assert_eq!(client.readiness().unwrap(), Readiness::Idle);
        assert!(client.unsent.capacity() <= KEPT_ROOM);
    }
}

/// A TLS 1.2 session with a cipher whose keys are used up after `limit` records.
fn pair_with_limit(limit: u64) -> (TlsStream, Server) {
    let mut provider = rustls::crypto::ring::default_provider();
    let wanted = rustls::CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256;
    let is_it = |suite: &&rustls::SupportedCipherSuite| suite.suite() == wanted;
    let suite = provider.cipher_suites.iter().find(is_it).copied();
    let Some(rustls::SupportedCipherSuite::Tls12(suite)) = suite else {
        panic!("ring has it");
    };
    let limited = rustls::Tls12CipherSuite {
        common: rustls::crypto::CipherSuiteCommon {
            suite: suite.common.suite,
            hash_provider: suite.common.hash_provider,
            confidentiality_limit: limit,
        },
        prf_provider: suite.prf_provider,
        kx: suite.kx,
        sign: suite.sign,
        aead_alg: suite.aead_alg,
    };
    // Suites are borrowed for ever; this one is small.
    let limited = Box::leak(Box::new(limited));
    provider.cipher_suites = vec![rustls::SupportedCipherSuite::Tls12(limited)];
    pair_of(provider)
}

#[test]
fn dropped_bytes_of_a_used_up_session_are_unwritten() {
    let (mut client, _server) = pair_with_limit(12);
    client.set_write_timeout(PATIENCE).unwrap();
    let record = vec![b'x'; 100];
    let mut written = 0;
    let error = loop {
        match client.write(&record) {
            Ok(len) => written += len,
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind(), io::ErrorKind::Unsupported);
    assert!(written > 0 && written <= 12 * record.len(), "{written}");
    // Of many records the first may go out and the last not: then none counts.
    let (mut client, _server) = pair_with_limit(12);
    let many = vec![b'x'; 120 * 1024];
    client.set_write_timeout(PATIENCE).unwrap();
    assert!(client.write(&many[..64 * 1024]).is_ok());
    let error = client.write(&many).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::Unsupported);
    assert!(client.write(b"x").is_err(), "nor anything after that");
}

#[test]
fn arrival_is_that_of_the_record_that_holds_data() {
    let (mut client, mut server) = pair();
    server.send();
    assert_eq!(look_at_what_comes(&mut client), Readiness::Idle);
    // A part of a change of keys comes before something is written, and all else after that.
    server.tls.refresh_traffic_keys().unwrap();
    let keys = server.records();
    let (begin, end) = keys.split_at(7);
    server.tcp.write_all(begin).unwrap();
    assert_eq!(await_news(&mut client), Readiness::Partial);
    assert_eq!(client.write(b"written").unwrap(), 7);
    server.tls.writer().write_all(b"hello").unwrap();
    let data = server.records();
    server.tcp.write_all(&[end, &data].concat()).unwrap();
    assert_eq!(await_news(&mut client), Readiness::Readable);
    assert_eq!(client.read(&mut [0; 9]).unwrap(), 5);
    assert_eq!(client.written_at_arrival(), Some(7));
    // A part of the data does.
    server.tls.writer().write_all(b"hello").unwrap();
    let data = server.records();
    server.tcp.write_all(&data[..1]).unwrap();
    assert_eq!(await_news(&mut client), Readiness::Partial);
    assert_eq!(client.write(b"written").unwrap(), 7);
    server.tcp.write_all(&data[1..]).unwrap();
    assert_eq!(await_news(&mut client), Readiness::Readable);
    assert_eq!(client.read(&mut [0; 9]).unwrap(), 5);
    assert_eq!(client.written_at_arrival(), Some(7));
}

#[test]
fn read_returns_bytes_of_one_record_only() {
    let (mut client, mut server) = pair();
    server.say(b"one");
    server.say(b"two");
    client.set_read_timeout(PATIENCE).unwrap();
    assert_eq!(await_news(&mut client), Readiness::Readable);
    let mut buf = [0; 9];
    for said in [b"one", b"two"] {
        let len = loop {
            match client.read(&mut buf) {
                Err(error) if is_stall(&error) => {}
                read => break read.unwrap(),
            }
        };
        assert_eq!(&buf[..len], said);
    }
}

#[test]
fn end_within_a_record_is_a_permanent_error() {
    let (mut client, mut server) = pair();
    server.send();
    server.tcp.write_all(&[23, 3, 3]).unwrap();
    drop(server);
    let kind = loop {
        match client.readiness() {
            Ok(Readiness::Idle | Readiness::Partial) => thread::yield_now(),
            Ok(readiness) => panic!("{readiness:?}"),
            Err(error) => break error.kind(),
        }
    };
    assert_eq!(kind, io::ErrorKind::UnexpectedEof);
    client.set_read_timeout(PATIENCE).unwrap();
    for _ in 0..2 {
        let error = client.read(&mut [0]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
        assert!(client.readiness().is_err());
    }
}
