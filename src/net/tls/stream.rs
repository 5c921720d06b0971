//! A TLS session on a TCP connection, as a [`Stream`].
//!
//! Two counts must be honest here, because the exchange believes an answer only to what was written,
//! and reuses a connection only if nothing was left to read:
//!
//! - **Written** is what has left for the socket, not what was encrypted. rustls takes plaintext and cannot
//!   give it back, so a write that stalls keeps the ciphertext and reports only as many bytes as are surely
//!   among what the socket took; the rest is reported by the writes that follow, which begin with the same
//!   bytes. The last byte is reported when no ciphertext is left, so nothing needs to be flushed before
//!   an answer is waited for.
//! - **Readable** is what decrypts to something. A record that is there in part may be an answer, and counts
//!   as one: the connection is not used again. One that is complete and no answer (a session ticket, a
//!   change of keys) does not count.
//!
//! What TLS itself has to say in between (the answer to a change of keys) may wait until something is
//! written (RFC 8446 §4.6.3), so reading never writes.

use std::io::{self, BufRead, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use rustls::ClientConnection;

use super::failure::{
    closed_in_handshake, closed_without_notice, handshake_timed_out, session_over, tls_failed,
};
use super::records::{Followed, Records};
use crate::net::deadline::Deadline;
use crate::net::stream::{Readiness, Stream, is_nothing_yet, is_stall};

/// Reads that one look at what is there may take. A peer that sends what decrypts to nothing, faster
/// than it is read, must not hold it for ever.
const READS_PER_LOOK: usize = 32;

/// Bytes of plaintext that are taken before they have left: more than a chunk of content with its lines,
/// so that each leaves in one write.
const MOST_UNSENT: usize = 128 * 1024;

/// A TLS session whose handshake is over.
pub(super) struct TlsStream {
    tcp: TcpStream,
    tls: ClientConnection,
    records: Records,
    /// Ciphertext that the socket has not taken.
    unsent: Vec<u8>,
    /// Bytes of plaintext that were encrypted and not reported as written.
    unreported: usize,
    /// rustls has dropped data, and told the server that there is no more.
    is_over: bool,
}

impl TlsStream {
    pub(super) fn handshake(
        tcp: TcpStream,
        mut tls: ClientConnection,
        deadline: &Deadline,
    ) -> io::Result<Self> {
        tls.set_buffer_limit(Some(MOST_UNSENT));
        let mut stream = Self {
            tcp,
            tls,
            records: Records::default(),
            unsent: Vec::new(),
            unreported: 0,
            is_over: false,
        };
        while stream.tls.is_handshaking() {
            stream.send_all(deadline)?;
            stream.await_bytes(deadline)?;
        }
        stream.send_all(deadline)?;
        Ok(stream)
    }

    /// Sends what there is to send. The time is what is left of the whole handshake, at each wait.
    fn send_all(&mut self, deadline: &Deadline) -> io::Result<()> {
        self.encrypted();
        while !self.unsent.is_empty() {
            let left = deadline.left().ok_or_else(handshake_timed_out)?;
            self.tcp.set_write_timeout(Some(left))?;
            match self.send() {
                Err(error) if is_stall(&error) => {}
                Err(error) => return Err(self.reason_for(error)),
                Ok(()) => {}
            }
        }
        Ok(())
    }

    fn await_bytes(&mut self, deadline: &Deadline) -> io::Result<()> {
        let left = deadline.left().ok_or_else(handshake_timed_out)?;
        self.tcp.set_read_timeout(Some(left))?;
        match self.receive() {
            Ok(0) => Err(closed_in_handshake()),
            Ok(_) => Ok(()),
            Err(error) if is_stall(&error) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Reads once from the socket and decrypts what came; 0 is the end.
    fn receive(&mut self) -> io::Result<usize> {
        // A failure is for ever: there is nothing to wait for behind it.
        self.decrypt()?;
        let mut socket = Followed {
            tcp: &self.tcp,
            records: &mut self.records,
        };
        let len = self.tls.read_tls(&mut socket)?;
        self.decrypt()?;
        Ok(len)
    }

    fn decrypt(&mut self) -> io::Result<()> {
        let Err(error) = self.tls.process_new_packets() else {
            return Ok(());
        };
        // The server is told why, if that needs no waiting.
        self.send_at_once();
        Err(tls_failed(&error, self.records.are_plain_icap()))
    }

    /// What was received and decrypted, as far as it fits into `buf`; it waits for nothing.
    fn read_decrypted(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.tls
            .reader()
            .read(buf)
            .map_err(|error| match error.kind() {
                io::ErrorKind::UnexpectedEof => closed_without_notice(),
                _ => error,
            })
    }

    /// Takes over from rustls what is to be sent: it would send it with `write_vectored`, which raises
    /// SIGPIPE where that signal is at its default, and does not tell how much is left.
    fn encrypted(&mut self) {
        while self.tls.wants_write() {
            // Writing to memory does not fail.
            if self.tls.write_tls(&mut self.unsent).is_err() {
                return;
            }
        }
    }

    /// Writes once to the socket.
    fn send(&mut self) -> io::Result<()> {
        if self.unsent.is_empty() {
            return Ok(());
        }
        match self.tcp.write(&self.unsent)? {
            0 => Err(io::ErrorKind::WriteZero.into()),
            len => {
                self.unsent.drain(..len);
                Ok(())
            }
        }
    }

    /// Sends what the socket takes without waiting, if it takes any.
    fn send_at_once(&mut self) {
        self.encrypted();
        if self.tcp.set_nonblocking(true).is_ok() {
            // Whether it arrives does not matter any more.
            let _ = self.send();
            let _ = self.tcp.set_nonblocking(false);
        }
    }

    /// Why the socket takes nothing more: the alert that says so may be there already.
    fn reason_for(&mut self, error: io::Error) -> io::Error {
        match self.readiness() {
            Err(reason) if reason.kind() == io::ErrorKind::InvalidData => reason,
            _ => error,
        }
    }

    fn look(&mut self) -> io::Result<Readiness> {
        if let Some(readiness) = self.look_at_decrypted() {
            return Ok(readiness);
        }
        for _ in 0..READS_PER_LOOK {
            match (self.receive(), self.look_at_decrypted()) {
                (_, Some(readiness)) => return Ok(readiness),
                (Ok(_), None) => {}
                (Err(error), None) if !is_nothing_yet(&error) => return Err(error),
                (Err(_), None) if self.records.is_within_one() => return Ok(Readiness::Readable),
                (Err(_), None) => return Ok(Readiness::Idle),
            }
        }
        Ok(Readiness::Readable)
    }

    /// What was received and decrypted; `None` if that is nothing so far.
    fn look_at_decrypted(&mut self) -> Option<Readiness> {
        match self.tls.reader().fill_buf() {
            Ok([]) => Some(Readiness::Closed),
            Ok(_) => Some(Readiness::Readable),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Some(Readiness::Closed),
            Err(_) => None,
        }
    }
}

impl Read for TlsStream {
    /// Waits for one read of the socket. If that is only a part of a record, or no answer, this is a
    /// stall: whoever waits knows for how long, and may have something to send meanwhile.
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self.read_decrypted(buf) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            done => return done,
        }
        match (self.receive(), self.read_decrypted(buf)) {
            // What came in front of a failure counts; the failure comes again.
            (_, Ok(len @ 1..)) => Ok(len),
            (Err(error), _) => Err(error),
            (Ok(_), done) => done,
        }
    }
}

impl Write for TlsStream {
    /// After a stall, `bytes` must begin with those that were not reported as written.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.decrypt()?;
        if self.unreported == 0 {
            let before = self.unsent.len();
            let taken = self.tls.writer().write(bytes)?;
            self.encrypted();
            // Bytes that rustls has dropped would count as written.
            self.is_over |= taken > 0 && !is_all_data(&self.unsent[before..], taken);
            if self.is_over {
                return Err(session_over());
            }
            self.unreported = taken;
        }
        if bytes.len() < self.unreported {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        if let Err(error) = self.send() {
            return Err(match is_stall(&error) {
                true => error,
                false => self.reason_for(error),
            });
        }
        // Ciphertext is longer than its plaintext, so what is not sent is at most this much.
        let written = self.unreported.saturating_sub(self.unsent.len());
        self.unreported -= written;
        match written {
            0 if !bytes.is_empty() => Err(io::ErrorKind::WouldBlock.into()),
            written => Ok(written),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        while !self.unsent.is_empty() {
            self.send()?;
        }
        Ok(())
    }
}

/// Whether `records` are those of `len` bytes of data. When the keys of a TLS 1.2 session are used up
/// (after some 16 million records), rustls says so to the server, drops the data and reports it as
/// taken.
fn is_all_data(mut records: &[u8], len: usize) -> bool {
    const APPLICATION_DATA: u8 = 23;
    if records.len() <= len {
        return false;
    }
    while let [kind, _, _, high, low, rest @ ..] = records {
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        if *kind != APPLICATION_DATA || rest.len() < length {
            return false;
        }
        records = &rest[length..];
    }
    records.is_empty()
}

impl Stream for TlsStream {
    fn set_read_timeout(&mut self, timeout: Duration) -> io::Result<()> {
        self.tcp.set_read_timeout(Some(timeout))
    }

    fn set_write_timeout(&mut self, timeout: Duration) -> io::Result<()> {
        self.tcp.set_write_timeout(Some(timeout))
    }

    fn readiness(&mut self) -> io::Result<Readiness> {
        self.tcp.set_nonblocking(true)?;
        let found = self.look();
        self.tcp.set_nonblocking(false)?;
        found
    }
}

impl Drop for TlsStream {
    /// Ends the session as RFC 8446 §6.1 wants it, unless a request was given up: what is left of that is
    /// not sent any more.
    fn drop(&mut self) {
        if self.unsent.is_empty() {
            self.tls.send_close_notify();
            self.send_at_once();
        }
    }
}

#[cfg(test)]
mod tests {
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
        let deadline = Deadline::start(None);
        let mut client = TlsStream::handshake(tcp, tls, &deadline).unwrap();
        client.set_write_timeout(SOON).unwrap();
        (client, accept.join().unwrap())
    }

    /// What is there when something has arrived.
    fn look_at_what_comes(client: &mut TlsStream) -> Readiness {
        client.set_read_timeout(PATIENCE).unwrap();
        client.tcp.peek(&mut [0]).unwrap();
        client.readiness().unwrap()
    }

    /// What there is when something has come that is not nothing.
    fn await_news(client: &mut TlsStream) -> Readiness {
        loop {
            match look_at_what_comes(client) {
                Readiness::Idle => {}
                news => return news,
            }
        }
    }

    #[test]
    fn tickets_and_new_keys_are_nothing_to_read() {
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
    fn a_read_returns_when_what_came_is_nothing_to_read() {
        let (mut client, mut server) = pair();
        server.send();
        client.tcp.peek(&mut [0]).unwrap();
        client.set_read_timeout(PATIENCE).unwrap();
        let began = Instant::now();
        let error = client.read(&mut [0]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
        assert!(began.elapsed() < PATIENCE, "it waited for more");
    }

    #[test]
    fn a_part_of_a_record_may_be_of_an_answer() {
        let (mut client, mut server) = pair();
        server.send();
        assert_eq!(look_at_what_comes(&mut client), Readiness::Idle);
        let mut record = Vec::new();
        server.tls.writer().write_all(b"hello").unwrap();
        server.tls.write_tls(&mut record).unwrap();
        let (last, begin) = record.split_last().unwrap();
        server.tcp.write_all(begin).unwrap();
        assert_eq!(await_news(&mut client), Readiness::Readable);
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
    fn the_end_is_closed_with_and_without_notice_but_reads_tell_them_apart() {
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
    fn what_cannot_be_decrypted_is_an_error_and_stays_one() {
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
    fn a_write_that_fails_says_what_the_alert_said() {
        let (mut client, mut server) = pair();
        let mut garbage = &[23, 3, 3, 0, 5, 1, 2, 3, 4, 5][..];
        server.tls.read_tls(&mut garbage).unwrap();
        server.tls.process_new_packets().unwrap_err();
        server.send();
        drop(server);
        let error = loop {
            // The first may succeed; the reset it causes makes others fail.
            if let Err(error) = client.write(b"x") {
                break error;
            }
        };
        assert!(error.to_string().contains("alert"), "{error}");
    }

    #[test]
    fn a_stalled_write_reports_what_left_and_loses_and_repeats_nothing() {
        let (mut client, mut server) = pair();
        let content: Vec<u8> = (0..4_000_000u32).flat_map(u32::to_be_bytes).collect();
        let (mut written, mut stalls) = (0, 0);
        // Until nobody takes anything any more.
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
    fn a_write_reports_no_byte_whose_ciphertext_has_not_left() {
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
        // What was taken before cannot be taken back.
        let left = client.unreported;
        let error = client.write(&content[..left - 1]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
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
    fn what_a_used_up_session_drops_does_not_count_as_written() {
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
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
        assert!(written > 0 && written <= 12 * record.len(), "{written}");
        // Of many records the first may go out and the last not: then none counts.
        let (mut client, _server) = pair_with_limit(12);
        let many = vec![b'x'; 120 * 1024];
        client.set_write_timeout(PATIENCE).unwrap();
        assert!(client.write(&many[..64 * 1024]).is_ok());
        let error = client.write(&many).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
        assert!(client.write(b"x").is_err(), "nor anything after that");
    }
}
