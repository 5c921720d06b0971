//! A TLS session on a TCP connection, as a [`Stream`].
//!
//! Two counts must be honest here, because the exchange believes a response only to what was written,
//! and reuses a connection only if nothing was left to read:
//!
//! - **Written** is what has left for the socket, not what was encrypted. rustls takes plaintext and cannot
//!   give it back, so a write that stalls keeps the ciphertext and reports only as many bytes as are surely
//!   among what the socket took; the rest is reported by the writes that follow, which begin with the same
//!   bytes. The last byte is reported when no ciphertext is left, so nothing needs to be flushed before
//!   a response is waited for.
//! - **Readable** is what decrypts to something. A record that is there in part may turn out to be a part of
//!   a response, and is told apart from nothing. One that is complete and no response (a session ticket, a
//!   change of keys) is nothing. Records are decrypted one at a time, so that it is known of each byte of a
//!   response when its record began to arrive.
//!
//! What TLS itself has to say in between (the response to a change of keys) may wait until something is
//! written (RFC 8446 §4.6.3), so reading never writes. With one exception:
//!
//! **Renegotiation** is what a TLS 1.2 server may ask for at any time (HelloRequest). A client may decline
//! or ignore that (RFC 5246 §7.4.1.1). rustls declines the first request (`no_renegotiation`) and fails at
//! the second, and OpenSSL's servers end the session when they are declined. So a request is held back
//! while the upload runs, is declined only if the response does not come after that, because the server may
//! wait for it, and the connection is not used again.

use std::io::{self, BufRead, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use rustls::ClientConnection;

use super::failure::{
    closed_in_handshake, closed_in_record, closed_without_notice, handshake_timed_out,
    is_about_renegotiation, renegotiation_failed, session_over, tls_failed,
};
use super::incoming::Incoming;
use crate::net::deadline::Deadline;
use crate::net::transport::{Readiness, Stream, is_nothing_yet, is_stall};

/// Reads that one look at what is there may take. A peer that sends what decrypts to nothing, faster
/// than it is read, must not hold it for ever.
const READS_PER_LOOK: usize = 16;

/// How long a response may take before the server is told that there is no renegotiation.
const DECLINE_AFTER: Duration = Duration::from_secs(1);

/// Bytes of plaintext that are taken before they have left: more than a chunk of content with its lines,
/// so that each leaves in one write.
const MOST_UNSENT: usize = 128 * 1024;

/// A TLS session whose handshake is over.
pub(super) struct TlsStream {
    tcp: TcpStream,
    tls: ClientConnection,
    incoming: Incoming,
    /// When the record that was decrypted last and holds data began to arrive, in bytes written.
    data_began_at: u64,
    /// Ciphertext that the socket has not taken.
    unsent: Vec<u8>,
    /// Bytes of plaintext that were encrypted and not reported as written.
    unreported: usize,
    /// Bytes of plaintext that were reported as written.
    written: u64,
    read_timeout: Duration,
    /// The last call was a write, and no read has waited since.
    is_writing: bool,
    /// The server was told that there is no renegotiation.
    has_declined: bool,
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
            incoming: Incoming::new(),
            data_began_at: 0,
            unsent: Vec::new(),
            unreported: 0,
            written: 0,
            read_timeout: Duration::MAX,
            is_writing: false,
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
        match self.incoming.receive(&self.tcp, self.written) {
            Ok(0) => Err(closed_in_handshake()),
            Ok(_) => Ok(()),
            Err(error) if is_stall(&error) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Reads once from the socket and decrypts what came, unless what came before holds data or ends the
    /// session, as the server may keep the socket open after that.
    fn receive(&mut self) -> io::Result<()> {
        self.decrypt()?;
        if self.look_at_decrypted()?.is_some() {
            return Ok(());
        }
        match self.incoming.receive(&self.tcp, self.written) {
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

    /// Declines to renegotiate if the server says nothing for a while: it may wait for that.
    fn receive_before_declining(&mut self) -> io::Result<()> {
        let patience = DECLINE_AFTER.min(self.read_timeout);
        self.tcp.set_read_timeout(Some(patience))?;
        let received = self.receive();
        self.tcp.set_read_timeout(Some(self.read_timeout))?;
        if received.as_ref().is_err_and(is_stall) {
            self.send_at_once();
            self.has_declined = true;
        }
        received
    }

    /// Decrypts what was received, up to the first record that holds data.
    fn decrypt(&mut self) -> io::Result<()> {
        // A failure is for ever: there is nothing to wait for after it.
        self.process()?;
        while !self.has_data() && self.decrypt_record()? {}
        Ok(())
    }

    /// Decrypts one record, or hands on what is there of it; `false` if there is none.
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
            _ => tls_failed(&error, self.incoming.is_plain_icap()),
        })
    }

    fn was_asked_to_renegotiate(&self) -> bool {
        !self.tls.is_handshaking() && self.incoming.saw_handshakes()
    }

    fn has_data(&mut self) -> bool {
        matches!(self.tls.reader().fill_buf(), Ok([_, ..]))
    }

    /// What was received and decrypted, as far as it fits into `buf`; it waits for nothing.
    fn read_decrypted(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let read = self.tls.reader().read(buf);
        read.map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => self.end_without_notice(),
            _ => error,
        })
    }

    /// The connection has ended, and the session had not.
    fn end_without_notice(&self) -> io::Error {
        match self.incoming.is_within_record() {
            true => closed_in_record(&"end of stream"),
            false => closed_without_notice(),
        }
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
        for _ in 0..READS_PER_LOOK {
            if let Some(readiness) = self.look_at_decrypted()? {
                return Ok(readiness);
            }
            match self.receive() {
                Ok(()) => {}
                Err(error) if !is_nothing_yet(&error) => return Err(error),
                Err(_) if self.incoming.is_within_record() => return Ok(Readiness::Partial),
                Err(_) => return Ok(Readiness::Idle),
            }
        }
        Ok(Readiness::Partial)
    }

    /// What was received and decrypted; `None` if that is nothing so far.
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
    /// Waits for one read of the socket. If that is only a part of a record, or no response, this is a
    /// stall: whoever waits knows for how long, and may have something to send meanwhile.
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self.read_next(buf) {
            // The server gave up because it was declined.
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
        // Requests to renegotiate were held back.
        self.decrypt()?;
        match self.tls.wants_write() {
            true => self.receive_before_declining()?,
            false => self.receive()?,
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
            // What TLS has to say itself goes first.
            self.encrypted();
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

/// Whether the connection has ended, by itself and not because of what came.
fn is_end(error: &io::Error) -> bool {
    !is_stall(error) && error.kind() != io::ErrorKind::InvalidData
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
        self.read_timeout = timeout;
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

    fn written_at_arrival(&self) -> Option<u64> {
        Some(self.data_began_at)
    }

    /// Not if the server asked to renegotiate: rustls fails at the second request.
    fn is_reusable(&self) -> bool {
        !self.is_over && !self.was_asked_to_renegotiate()
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
mod tests;
