//! Where the body of a response goes: to a digest, and to the caller's writer. The writer may be slow, full or
//! broken.

use std::io::{self, ErrorKind, Write};
use std::sync::Arc;

use super::digest::Digest;
use crate::error::{Error, OutputError, Phase};
use crate::evidence::CustomHeaders;
use crate::net::deadline::Deadline;
use crate::proto::response::Response;

/// How often in a row a writer may return `Interrupted`. A signal interrupts a call now and then, not always.
const MAX_INTERRUPTED: u32 = 1_000;

/// Where the body of a response goes.
pub(crate) struct Output<'o> {
    /// The response is judged, by these fields among others. The caller's writer then gets only those bodies that can
    /// come with a verdict: the page of an error is withheld, so that another server can still be asked.
    judged_by: Option<Arc<CustomHeaders>>,
    writer: Option<&'o mut (dyn Write + 'o)>,
    /// Of the body, to compare it with what was sent.
    digest: Option<Digest>,
    /// Something was written to the writer, which cannot be taken back.
    is_passed_on: bool,
    /// Bytes that the body may have.
    limit: u64,
}

impl<'o> Output<'o> {
    /// Drops the body, of at most `limit` bytes.
    pub(super) fn none(limit: u64) -> Self {
        Self {
            judged_by: None,
            writer: None,
            digest: None,
            is_passed_on: false,
            limit,
        }
    }

    /// For a caller who judges the response.
    pub(super) fn of_send(writer: &'o mut (dyn Write + 'o), limit: u64) -> Self {
        Self {
            writer: Some(writer),
            ..Self::none(limit)
        }
    }

    /// For a scan; with a writer if the caller wants the body.
    pub(crate) fn of_scan(
        writer: Option<&'o mut (dyn Write + 'o)>,
        digest: Digest,
        limit: u64,
        judged_by: Arc<CustomHeaders>,
    ) -> Self {
        Self {
            judged_by: Some(judged_by),
            writer,
            digest: Some(digest),
            ..Self::none(limit)
        }
    }

    /// The caller's own fields with evidence; `None` if the response is not judged.
    pub(crate) fn judged_by(&self) -> Option<&CustomHeaders> {
        self.judged_by.as_deref()
    }

    pub(super) fn limit(&self) -> u64 {
        self.limit
    }

    /// Whether the caller wants the body.
    pub(crate) fn is_wanted(&self) -> bool {
        self.writer.is_some()
    }

    /// Whether the caller's writer has got a part of a body.
    pub(crate) fn is_passed_on(&self) -> bool {
        self.is_passed_on
    }

    /// The digest of the body.
    pub(crate) fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    /// Forgets what came back so far, because another response follows.
    pub(super) fn restart(&mut self) {
        if let Some(digest) = &mut self.digest {
            digest.restart();
        }
    }

    /// Whether the body of this response is written here.
    pub(super) fn takes(&self, response: &Response) -> bool {
        // The page of a 407 is never passed on, because another response may follow.
        response.status() != 407
            && (self.judged_by.is_none() || !self.is_wanted() || can_come_with_verdict(response))
    }

    /// Writes all of `data`. The deadline is checked before each call of the caller's writer.
    pub(super) fn write_all(
        &mut self,
        data: &[u8],
        deadline: &Deadline,
        service: &str,
    ) -> Result<(), Error> {
        write_all(self, data, || check_time(deadline, service))
    }
}

impl Write for Output<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let len = match &mut self.writer {
            Some(writer) => {
                self.is_passed_on = true;
                writer.write(bytes)?
            }
            None => bytes.len(),
        };
        if let Some(digest) = &mut self.digest {
            // `write_all` refuses a writer that claims more than it was given.
            digest.update(bytes.get(..len).unwrap_or(bytes));
        }
        Ok(len)
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.writer {
            Some(writer) => writer.flush(),
            None => Ok(()),
        }
    }
}

/// Whether a verdict can be based on this response, and not only an error.
fn can_come_with_verdict(response: &Response) -> bool {
    match response.http_status() {
        Some(400 | 401 | 500..) => false,
        None | Some(100..=299 | 304) => matches!(response.status(), 200..=299 | 403),
        // A page that refuses counts under any ICAP status.
        Some(_) => true,
    }
}

/// An error if time is up, or the scan is cancelled. The caller's writer took the time, so the server is not to
/// blame.
pub(super) fn check_time(deadline: &Deadline, service: &str) -> Result<(), Error> {
    deadline.check_cancelled(service, Phase::Read)?;
    match deadline.ran_out() {
        None => Ok(()),
        Some(ran_out) => Err(ran_out.error(service, Phase::Read).into()),
    }
}

/// Writes all of `data`, and checks `is_in_time` before each call.
///
/// Unlike [`Write::write_all`] it ends in time if a writer takes a byte a call or is always interrupted, and it
/// does not panic if a writer claims more than it was given.
fn write_all(
    writer: &mut impl Write,
    mut data: &[u8],
    is_in_time: impl Fn() -> Result<(), Error>,
) -> Result<(), Error> {
    let mut interrupted = 0;
    while !data.is_empty() {
        is_in_time()?;
        match writer.write(data) {
            Ok(0) => return Err(failed("the writer takes no more bytes")),
            Ok(len) if len > data.len() => {
                return Err(failed("the writer claims more bytes than it was given"));
            }
            Ok(len) => {
                data = &data[len..];
                interrupted = 0;
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {
                interrupted += 1;
                if interrupted == MAX_INTERRUPTED {
                    return Err(OutputError::new(error).into());
                }
            }
            Err(error) => return Err(OutputError::new(error).into()),
        }
    }
    Ok(())
}

fn failed(what: &str) -> Error {
    OutputError::new(io::Error::new(ErrorKind::WriteZero, what)).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{InputError, InvalidInput};
    use std::cell::Cell;

    /// Each call returns what the function makes of the bytes.
    struct Writer<F>(F);

    impl<F: FnMut(&[u8]) -> io::Result<usize>> Write for Writer<F> {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            (self.0)(bytes)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn written(reply: impl FnMut(&[u8]) -> io::Result<usize>) -> Result<(), Error> {
        write_all(&mut Writer(reply), b"hello", || Ok(()))
    }

    #[test]
    fn writer_of_single_bytes_gets_all_in_order() {
        let mut got = Vec::new();
        written(|bytes| {
            got.push(bytes[0]);
            Ok(1)
        })
        .unwrap();
        assert_eq!(got, b"hello");
    }

    #[test]
    fn writer_that_claims_too_much_or_nothing_is_an_error() {
        for len in [0, 6, usize::MAX] {
            let error = written(|_| Ok(len)).unwrap_err();
            assert!(matches!(error, Error::Output(_)), "{len}: {error:?}");
        }
        assert!(written(|bytes| Ok(bytes.len())).is_ok());
    }

    #[test]
    fn writer_that_is_always_interrupted_is_an_error() {
        let mut calls = 0;
        let error = written(|_| {
            calls += 1;
            Err(ErrorKind::Interrupted.into())
        });
        assert!(matches!(error, Err(Error::Output(_))));
        assert_eq!(calls, MAX_INTERRUPTED);
        let mut is_second = false;
        let mut got = 0;
        let each_other_time = |_: &[u8]| {
            is_second = !is_second;
            if !is_second {
                return Err(ErrorKind::Interrupted.into());
            }
            got += 1;
            Ok(1)
        };
        assert!(written(each_other_time).is_ok());
        assert_eq!(got, 5);
    }

    #[test]
    fn writer_that_is_slow_is_stopped_between_two_calls() {
        let calls = Cell::new(0);
        let mut writer = Writer(|_: &[u8]| {
            calls.set(calls.get() + 1);
            Ok(1)
        });
        let in_time = || match calls.get() {
            2 => Err(InputError::new(InvalidInput::Zero, "time").into()),
            _ => Ok(()),
        };
        assert!(write_all(&mut writer, b"hello", in_time).is_err());
        assert_eq!(calls.get(), 2);
    }
}
