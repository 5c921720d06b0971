//! A TLS session on a TCP connection, as a [`Stream`].
//!
//! The exchange relies on two counts: it believes a response only to what was written, and it reuses a connection
//! only if nothing is left to read.
//!
//! - **Written** bytes are those that have left for the socket, not those that were encrypted. rustls cannot give
//!   plaintext back. So a write that stalls keeps the ciphertext, and reports only as many bytes as the socket
//!   has certainly taken. The next writes begin with the same bytes and report the rest. The last byte is reported
//!   when no ciphertext is left, so nothing needs to be flushed before a response is waited for.
//! - **Readable** are bytes that decrypt to data. A partial record may become a part of a response, so it is
//!   distinguished from nothing. A complete record without data (a session ticket, a change of keys) counts as
//!   nothing. Records are decrypted one at a time, so for each byte of a response it is known when its record
//!   began to arrive.
//!
//! What TLS itself has to send in between (the reply to a change of keys) may wait until something is written
//! (RFC 8446 §4.6.3), so reading does not write. There is one exception:
//!
//! **Renegotiation**: a TLS 1.2 server may ask for it at any time (HelloRequest). A client may decline or ignore
//! the request (RFC 5246 §7.4.1.1). rustls declines the first one (`no_renegotiation`) and fails at the second, and
//! servers with OpenSSL end the session when they are declined. So a request is held back while the upload runs. It
//! is declined only if no response comes after that, because the server may wait for it. The connection is not used
//! again.

use std::io::{self, BufRead, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use rustls::ClientConnection;

use super::failure::{
    closed_in_handshake, closed_in_record, closed_without_notice, handshake_timed_out,
    is_about_renegotiation, renegotiation_failed, session_over, tls_failed,
};
use super::incoming::Incoming;
use crate::net::cancel::CANCEL_INTERVAL;
use crate::net::deadline::Deadline;
use crate::net::socket::Socket;
use crate::net::transport::{Readiness, Stream, is_nothing_yet, is_stall};

/// Reads that [`Stream::readiness`] may take. A peer that sends records without data, faster than they are
/// read, must not hold it for ever.
const READS_PER_LOOK: usize = 16;

/// How long a response may take before the server is told that there is no renegotiation.
const DECLINE_AFTER: Duration = Duration::from_secs(1);

/// Bytes of plaintext that are taken before they have left. A chunk of content with its lines is smaller, so it
/// leaves in one write.
const MOST_UNSENT: usize = 128 * 1024;

/// Bytes of room for ciphertext that are kept while there is none, also on an idle connection.
const KEPT_ROOM: usize = 1024;

/// A TLS session whose handshake is over.
pub(super) struct TlsStream {
    tcp: Socket,
    tls: ClientConnection,
    incoming: Incoming,
    /// `written` at the time when the last record with data began to arrive.
    data_began_at: u64,
    /// Ciphertext that the socket has not taken.
    unsent: Vec<u8>,
    /// Bytes of plaintext that were encrypted and not reported as written.
    unreported: usize,
    /// Bytes of plaintext that were reported as written.
    written: u64,
    read_timeout: Duration,
    /// The last call was a write; no read has waited since then.
    is_writing: bool,
    /// How long a response was waited for after a request to renegotiate.
    silence: Duration,
    /// The server was told that there is no renegotiation.
    has_declined: bool,
    /// The keys are used up: rustls has dropped data and ended the session.
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
            tcp: Socket::new(tcp),
            tls,
            incoming: Incoming::new(),
            data_began_at: 0,
            unsent: Vec::new(),
            unreported: 0,
            written: 0,
            read_timeout: Duration::MAX,
            is_writing: false,
            silence: Duration::ZERO,
            has_declined: false,
            is_over: false,
        };
        while stream.tls.is_handshaking() {
            stream.send_all(deadline)?;
            if !stream.decrypt_record()? {
                stream.await_bytes(deadline)?;
            }
        }
        stream.incoming.forget_handshakes();
        stream.send_all(deadline)?;
        Ok(stream)
    }

    /// Sends everything. The deadline is that of the whole handshake.
    fn send_all(&mut self, deadline: &Deadline) -> io::Result<()> {
        self.encrypted();
        while !self.unsent.is_empty() {
            let left = deadline.left().ok_or_else(handshake_timed_out)?;
            self.tcp.set_write_timeout(left)?;
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
        self.tcp.set_read_timeout(left)?;
        match self
            .incoming
            .receive(|buf| self.tcp.read(buf), self.written)
        {
            Ok(0) => Err(closed_in_handshake()),
            Ok(_) => Ok(()),
            Err(error) if is_stall(&error) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Reads once from the socket and decrypts, unless earlier bytes hold data or end the session: the server may
    /// keep the socket open after that. With `waits`, the read waits for bytes.
    fn receive(&mut self, waits: bool) -> io::Result<()> {
        self.decrypt()?;
        if self.look_at_decrypted()?.is_some() {
            return Ok(());
        }
        let read = |buf: &mut [u8]| match waits {
            true => self.tcp.read(buf),
            false => self.tcp.read_at_once(buf),
        };
        match self.incoming.receive(read, self.written) {
            Ok(0) => {
                // rustls takes note of the end.
                self.tls.read_tls(&mut io::empty())?;
            }
            Ok(_) => {}
            Err(error) if !is_stall(&error) && self.incoming.is_within_record() => {
                return Err(closed_in_record(&error));
            }
            Err(error) => return Err(error),
        }
        self.decrypt()
    }

    /// Declines to renegotiate if the server is silent for a while: it may wait for that.
    fn receive_before_declining(&mut self) -> io::Result<()> {
        let patience = DECLINE_AFTER.min(self.read_timeout);
        self.tcp.set_read_timeout(patience)?;
        let received = self.receive(true);
        self.tcp.set_read_timeout(self.read_timeout)?;
        if received.as_ref().is_err_and(is_stall) {
            self.silence += patience;
            // The timeout of a scan that can be cancelled is only a slice of the wait.
            if self.read_timeout > CANCEL_INTERVAL || self.silence >= DECLINE_AFTER {
                self.send_at_once();
                self.has_declined = true;
            }
        }
        received
    }

    /// Decrypts the received bytes up to the first record with data.
    fn decrypt(&mut self) -> io::Result<()> {
        // A failure is permanent: nothing is waited for after it.
        self.process()?;
        while !self.has_data() && self.decrypt_record()? {}
        Ok(())
    }

    /// Decrypts one record, or passes on a part of it; `false` if there is none.
    fn decrypt_record(&mut self) -> io::Result<bool> {
        let Some(record) = self.incoming.take_record(self.is_writing) else {
            return Ok(false);
        };
        let mut rest = &record[..];
        while !rest.is_empty() {
            // What comes after the end of the session is ignored (RFC 8446 §6.1).
            if self.tls.read_tls(&mut rest)? == 0 {
                self.incoming.clear();
                break;
            }
            self.process()?;
        }
        if self.has_data() {
            self.data_began_at = self.incoming.record_began_at();
        }
        Ok(true)
    }

    fn process(&mut self) -> io::Result<()> {
        let Err(error) = self.tls.process_new_packets() else {
            return Ok(());
        };
        // The server is told why, if that needs no waiting.
        self.send_at_once();
        Err(match self.was_asked_to_renegotiate() {
            true if is_about_renegotiation(&error) => renegotiation_failed(&error),
            _ => tls_failed(&error, self.incoming.plain_protocol()),
        })
    }

    fn was_asked_to_renegotiate(&self) -> bool {
        !self.tls.is_handshaking() && self.incoming.saw_handshakes()
    }

    fn has_data(&mut self) -> bool {
        matches!(self.tls.reader().fill_buf(), Ok([_, ..]))
    }

    /// Copies decrypted data into `buf` without waiting.
    fn read_decrypted(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let read = self.tls.reader().read(buf);
        read.map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => self.end_without_notice(),
            _ => error,
        })
    }

    /// The error of a connection that ended before its TLS session did.
    fn end_without_notice(&self) -> io::Error {
        match self.incoming.is_within_record() {
            true => closed_in_record(&"end of stream"),
            false => closed_without_notice(),
        }
    }

    /// Takes the ciphertext out of rustls. rustls would send it with `write_vectored`, which raises SIGPIPE where
    /// that signal is at its default, and would not tell how much is left.
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

    /// Sends what the socket takes without waiting.
    fn send_at_once(&mut self) {
        self.encrypted();
        if self.unsent.is_empty() {
            return;
        }
        if let Ok(len) = self.tcp.write_at_once(&self.unsent) {
            // Whether the rest arrives does not matter.
            self.unsent.drain(..len);
        }
    }

    /// Returns why the socket takes nothing more: the server's alert may have arrived already.
    fn reason_for(&mut self, error: io::Error) -> io::Error {
        match self.readiness() {
            Err(reason) if reason.kind() == io::ErrorKind::InvalidData => reason,
            _ => error,
        }
    }

    fn look(&mut self) -> io::Result<Readiness> {
        for _ in 0..READS_PER_LOOK {
            if let Some(readiness) = self.look_at_decrypted()? {
                return Ok(readiness);
            }
            match self.receive(false) {
                Ok(()) => {}
                Err(error) if !is_nothing_yet(&error) => return Err(error),
                Err(_) if self.incoming.is_within_record() => return Ok(Readiness::Partial),
                Err(_) => return Ok(Readiness::Idle),
            }
        }
        Ok(Readiness::Partial)
    }

    /// What the decrypted bytes are; `None` if there are none so far.
    fn look_at_decrypted(&mut self) -> io::Result<Option<Readiness>> {
        match self.tls.reader().fill_buf() {
            Ok([]) => Ok(Some(Readiness::Closed)),
            Ok(_) => Ok(Some(Readiness::Readable)),
            Err(error) if error.kind() != io::ErrorKind::UnexpectedEof => Ok(None),
            Err(_) if self.incoming.is_within_record() => Err(self.end_without_notice()),
            Err(_) => Ok(Some(Readiness::Closed)),
        }
    }
}

impl Read for TlsStream {
    /// Waits for one read of the socket. If that brings only a part of a record, or no data, it is a stall: the
    /// caller knows how long to wait, and may have something to send.
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self.read_next(buf) {
            // The server ended the session because its request was declined.
            Ok(0) if self.has_declined && !buf.is_empty() => {
                Err(renegotiation_failed(&"the server closed the connection"))
            }
            Err(error) if self.has_declined && is_end(&error) => Err(renegotiation_failed(&error)),
            read => read,
        }
    }
}

impl TlsStream {
    fn read_next(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self.read_decrypted(buf) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            done => return done,
        }
        self.is_writing = false;
        // Requests to renegotiate, which were held back.
        self.decrypt()?;
        match self.tls.wants_write() {
            true => self.receive_before_declining()?,
            false => self.receive(true)?,
        }
        self.read_decrypted(buf)
    }
}

impl Write for TlsStream {
    /// After a stall, `bytes` must begin with those that were not reported as written.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.is_writing = true;
        self.process()?;
        if self.unreported == 0 {
            // TLS's own messages go first.
            self.encrypted();
            let before = self.unsent.len();
            let taken = self.tls.writer().write(bytes)?;
            // A record of 16 KiB has 22 bytes more. Without this, the room would grow record by record.
            self.unsent.reserve(taken + taken / 256 + KEPT_ROOM);
            self.encrypted();
            // Otherwise bytes that rustls has dropped would count as written.
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
        // Ciphertext is longer than its plaintext, so at most this much plaintext is not sent.
        let written = self.unreported.saturating_sub(self.unsent.len());
        self.unreported -= written;
        self.written += written as u64;
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

/// Whether the connection has ended by itself, and not because of the bytes that came.
fn is_end(error: &io::Error) -> bool {
    !is_stall(error) && error.kind() != io::ErrorKind::InvalidData
}

/// Whether `records` hold `len` bytes of data. When the keys of a TLS 1.2 session are used up (after some 16
/// million records), rustls ends the session, drops the data and reports it as taken.
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
        self.read_timeout = timeout;
        self.tcp.set_read_timeout(timeout)
    }

    fn set_write_timeout(&mut self, timeout: Duration) -> io::Result<()> {
        self.tcp.set_write_timeout(timeout)
    }

    fn readiness(&mut self) -> io::Result<Readiness> {
        let found = self.look();
        // After a response the connection may become idle. During an upload the room is needed again at once.
        if !self.is_writing && self.unsent.is_empty() && matches!(found, Ok(Readiness::Idle)) {
            self.unsent.shrink_to(KEPT_ROOM);
        }
        found
    }

    fn written_at_arrival(&self) -> Option<u64> {
        Some(self.data_began_at)
    }

    /// Returns `false` after a request to renegotiate, because rustls fails at the second one.
    fn is_reusable(&self) -> bool {
        !self.is_over && !self.was_asked_to_renegotiate()
    }
}

impl Drop for TlsStream {
    /// Ends the session with `close_notify` (RFC 8446 §6.1), unless a part of an abandoned request is unsent. That
    /// part is not sent.
    fn drop(&mut self) {
        if self.unsent.is_empty() {
            self.tls.send_close_notify();
            self.send_at_once();
        }
    }
}

#[cfg(test)]
mod tests;
