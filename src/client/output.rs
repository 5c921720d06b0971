//! Where the body of a response goes: to a digest, and to the caller's writer. Also where a copy of the content goes,
//! if the caller keeps one.

use std::io::{self, Write};
use std::sync::Arc;

use super::digest::Digest;
use super::tee::Tee;
use super::writing::{WriteError, write_all};
use crate::error::{Error, OutputError, Phase};
use crate::evidence::CustomHeaders;
use crate::net::deadline::Deadline;
use crate::proto::response::Response;

/// Where the body of a response goes.
pub(crate) struct Output<'o> {
    /// The response is judged, by these fields among others. The caller's writer then gets only those bodies that can
    /// come with a verdict: the page of an error is withheld, so that another server can still be asked.
    judged_by: Option<Arc<CustomHeaders>>,
    writer: Option<&'o mut (dyn Write + 'o)>,
    /// The body is compared with what was sent.
    is_compared: bool,
    /// Of the body, if it is compared and any byte of it came.
    digest: Option<Box<Digest>>,
    /// Something was written to the writer, which cannot be taken back.
    is_passed_on: bool,
    /// Bytes that the body may have.
    limit: u64,
    /// For a copy of the content.
    tee: Option<Tee<'o>>,
}

impl<'o> Output<'o> {
    /// Drops the body, of at most `limit` bytes.
    pub(super) fn none(limit: u64) -> Self {
        Self {
            judged_by: None,
            writer: None,
            is_compared: false,
            digest: None,
            is_passed_on: false,
            limit,
            tee: None,
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
        limit: u64,
        judged_by: Arc<CustomHeaders>,
    ) -> Self {
        Self {
            judged_by: Some(judged_by),
            writer,
            is_compared: true,
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

    /// Copies the content, from now on.
    pub(crate) fn copy_to(&mut self, tee: Tee<'o>) {
        self.tee = Some(tee);
    }

    /// The same for another exchange of the scan, without a writer.
    pub(crate) fn without_writers<'n>(self) -> Output<'n> {
        Output {
            judged_by: self.judged_by,
            writer: None,
            is_compared: self.is_compared,
            digest: self.digest,
            is_passed_on: false,
            limit: self.limit,
            tee: None,
        }
    }

    /// Stops copying.
    pub(crate) fn take_tee(&mut self) -> Option<Tee<'o>> {
        self.tee.take()
    }

    /// Where the copy of the content goes, if the caller keeps one.
    pub(crate) fn tee(&mut self) -> Option<&mut Tee<'o>> {
        self.tee.as_mut()
    }

    /// Takes the digest of the body.
    pub(crate) fn take_digest(&mut self) -> Option<Box<Digest>> {
        self.digest.take()
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
        let time_is_up = || check_time(deadline, service).err();
        write_all(self, data, time_is_up).map_err(|error| match error {
            WriteError::Stopped(error) => error,
            WriteError::Failed(error) => OutputError::new(error).into(),
        })
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
        if self.is_compared {
            let digest = self.digest.get_or_insert_default();
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
