//! Scanning content and keeping it in one pass, so that it is fetched once.

mod spooled_copy;

use std::io::{self, Read, Seek, SeekFrom, Write};
use std::time::Duration;

use super::attempt::{Scan, begin};
use super::content::Content;
use super::failover::Failover;
#[cfg(doc)]
use super::policy::Reason;
use super::policy::{Decision, Notice, Policy};
use super::report::Report;
use super::running::Running;
use super::{Scanner, Shared};
use crate::client::body_encoder::BodyEncoder;
use crate::client::tee::IncompleteCopy;
use crate::error::{CancelledError, Error, OutputError, Phase, TimeLimit};
use crate::net::cancel::Cancel;
use crate::net::deadline::RanOut;
#[cfg(doc)]
use crate::{NotScanned, ScannerBuilder, Verdict};
use spooled_copy::SpooledCopy;

/// The result of a scan, and of the copy that was written meanwhile.
///
/// The [outcome](Self::outcome) says whether the content may be delivered; a clean one implies that the copy is complete.
/// With every other outcome, look at [`is_complete`](Self::is_complete) before a person is asked: an incomplete copy is
/// never to be delivered.
///
/// ```
/// use icap_client::{IncompleteCopy, NotScanned, Scanner, Verdict};
///
/// # let server = icap_client::testing::Server::start()?;
/// # let uri = server.uri();
/// let scanner = Scanner::builder(uri).max_size(3).max_copy(4).build()?;
/// let mut copy = Vec::new();
///
/// let teed = scanner.scan_tee("four", &mut copy)?;
/// assert!(teed.is_complete() && copy == b"four"); // for a person who is asked
/// assert_eq!(*teed.outcome?.verdict(), Verdict::NotScanned(NotScanned::TooLarge { limit: 3 }));
///
/// let teed = scanner.scan_tee("more than four", &mut copy)?;
/// assert!(!teed.is_complete() && teed.copied == 4);
/// assert!(matches!(teed.incomplete, Some(IncompleteCopy::TooLarge { limit: 4 })));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[non_exhaustive]
#[derive(Debug)]
#[must_use = "an incomplete copy must not be taken for the content"]
pub struct Teed {
    /// The result of the scan.
    ///
    /// It is [`Clean`](Verdict::Clean) only if the copy is complete and its bytes are those that were scanned.
    pub outcome: Result<Report, Error>,
    /// The bytes that the writer took.
    pub copied: u64,
    /// Why the copy is not the whole content; `None` if it is.
    pub incomplete: Option<IncompleteCopy>,
}

impl Teed {
    /// Whether the copy is the whole content.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.incomplete.is_none()
    }

    /// What to do with the copy: what `policy` decides about the outcome, if the copy is complete.
    ///
    /// A copy that is not complete is refused, whatever the policy is: a person could only be asked about a part of the
    /// file. If there is evidence against the content, the notice is about the evidence. Otherwise its reason is
    /// [`Reason::IncompleteCopy`].
    ///
    /// ```
    /// # let server = icap_client::testing::Server::start()?;
    /// use icap_client::{Decision, Policy, Scanner};
    ///
    /// let scanner = Scanner::builder(server.uri()).max_size(3).max_copy(4).build()?;
    /// let decide = |content| {
    ///     let teed = scanner.scan_tee(content, std::io::sink())?;
    ///     std::io::Result::Ok(teed.decide(&Policy::default()))
    /// };
    /// assert!(decide("all")?.is_deliver());
    /// assert!(matches!(decide("four")?, Decision::Ask(_))); // not scanned
    /// let Decision::Refuse(notice) = decide("more than four")? else { unreachable!() };
    /// assert_eq!(notice.code(), "incomplete_copy");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn decide(&self, policy: &Policy) -> Decision {
        let Some(why) = &self.incomplete else {
            return policy.decide(&self.outcome);
        };
        let name = match &self.outcome {
            Ok(report) => report.name(),
            Err(error) => error.name(),
        };
        let objection = Notice::of(&self.outcome).filter(|notice| notice.reason().is_objection());
        Decision::Refuse(objection.unwrap_or_else(|| Notice::of_incomplete_copy(why, name)))
    }
}

impl Scanner {
    /// Scans `content`, and writes it to `writer` in the same pass. So a file that comes from elsewhere is
    /// fetched once.
    ///
    /// Each buffer is written to `writer` and sent to the service before the next one is read: at most 64 KiB, and 512 KiB
    /// after the first mebibyte. Each byte is written once. Content that can be read again may be sent again, to another
    /// server for example. It is then read again and compared with what was read before. The writer is flushed at the end.
    ///
    /// The copy continues when the scan ends early: after an error, a refusal, an early response, above
    /// [`max_size`](ScannerBuilder::max_size), or if no server is there. So a person can be asked, and the
    /// content is there. The copy ends early at [`max_copy`](ScannerBuilder::max_copy), at the deadline, when the scan is
    /// cancelled, or if the content or the writer fails. [`Teed::is_complete`] says whether it is the whole content.
    ///
    /// Evidence is never lost: [`Infected`](Verdict::Infected) and [`Blocked`](Verdict::Blocked) are the outcome in any
    /// case. Otherwise, if the copy is not the whole content, the outcome is:
    ///
    /// | the copy is incomplete because | outcome |
    /// | --- | --- |
    /// | the content is larger than `max_copy` | [`NotScanned::TooLarge`] (1) |
    /// | the deadline ended | [`Error::Timeout`] (1) |
    /// | the scan was cancelled | [`Error::Cancelled`] |
    /// | the content failed, or changed between two attempts | [`Error::Content`] |
    /// | `writer` failed | none; an `io::Error` is returned |
    ///
    /// (1) If the scan had ended before, and its result is not clean, that result is the outcome.
    ///
    /// Content above `max_copy` is never sent completely and never clean, even if it is below `max_size`. The writer's time is the caller's: it
    /// counts for the deadline, and not for a timeout of the server. Verdicts are never taken from a cache.
    ///
    /// # Errors
    ///
    /// The error of `writer`, unless there is evidence. Every other error is in [`Teed::outcome`].
    ///
    /// ```
    /// # let server = icap_client::testing::Server::start()?;
    /// # let scanner = icap_client::Scanner::new(server.uri())?;
    /// # let (download, folder) = (&b"the file"[..], tempfile::tempdir()?);
    /// use icap_client::Content;
    ///
    /// let mut copy = tempfile::NamedTempFile::new_in(&folder)?;
    /// let teed = scanner.scan_tee(Content::reader(download).name("letter.txt"), &mut copy)?;
    /// let is_clean = teed.outcome.as_ref().is_ok_and(|report| report.verdict().is_clean());
    /// if is_clean && teed.is_complete() {
    ///     copy.persist(folder.path().join("letter.txt"))?;
    /// }
    /// # assert_eq!(std::fs::read(folder.path().join("letter.txt"))?, b"the file");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn scan_tee<'c>(
        &self,
        content: impl Into<Content<'c>>,
        mut writer: impl Write,
    ) -> io::Result<Teed> {
        let content = content.into();
        let name = content.own_name();
        let cancel = content.own_cancel();
        let running = Running::begin(&self.shared);
        let (teed, _) = copy_and_scan(&self.shared, content, &mut writer);
        finish(running, name, cancel, teed)
    }

    /// Scans `content` and copies it to `spool` as [`scan_tee`](Self::scan_tee) does, and scans the copy if a
    /// reader cannot be sent again.
    ///
    /// In [`scan`](Self::scan) and [`scan_tee`](Self::scan_tee), the scan of a [reader](Content::reader) is over when its
    /// connection breaks after more than 64 KiB were read, because what was read is gone. This call goes on with the copy, as with a file,
    /// if the copy is complete and there is time. After a broken connection it asks the same server once more, and then the
    /// next one. After another failure for which a file goes to the next server, it asks that one.
    /// What is read from `spool` must be what was written to it, or the outcome is an [`Error::Content`].
    ///
    /// The copy begins at the present position of `spool`. Afterwards `spool` is at that position again. Other bytes of
    /// `spool` are neither read nor written. It must be open for reading and writing. If it is open for appending, it
    /// must be empty.
    ///
    /// **Deliver only the copy**: [`Teed::copied`] bytes from the position at which it begins. Bytes after these were not
    /// scanned. A spool that is used again can have such bytes.
    ///
    /// # Errors
    ///
    /// The error of `spool` as a writer, or of a seek in it, unless there is evidence.
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) if a write to `spool` does not go to its present position, for example
    /// because it is open for appending and not empty.
    ///
    /// ```
    /// # let server = icap_client::testing::Server::start()?;
    /// # let scanner = icap_client::Scanner::new(server.uri())?;
    /// # let download = &b"the file"[..];
    /// use std::io::Read;
    ///
    /// use icap_client::Content;
    ///
    /// let mut spool = tempfile::tempfile()?;
    /// let teed = scanner.scan_spooled(Content::reader(download), &mut spool)?;
    /// if teed.is_complete() && teed.outcome?.verdict().is_clean() {
    ///     // The handle stands at the beginning of the copy. Deliver as many bytes as were copied.
    ///     println!("{}", std::io::read_to_string(spool.take(teed.copied))?);
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn scan_spooled<'c>(
        &self,
        content: impl Into<Content<'c>>,
        mut spool: impl Read + Write + Seek + Send,
    ) -> io::Result<Teed> {
        let content = content.into();
        let name = content.own_name();
        let cancel = content.own_cancel();
        let running = Running::begin(&self.shared);
        let teed = match spool.stream_position() {
            Ok(start) => scan_into_spool(&self.shared, content, &mut spool, start),
            Err(error) => Teed::without_spool(error),
        };
        finish(running, name, cancel, teed)
    }
}

/// Scans content and copies it to `spool`, beginning at `start`, where the spool stands afterwards.
fn scan_into_spool<'c>(
    shared: &'c Shared,
    content: Content<'c>,
    spool: &'c mut (impl Read + Write + Seek + Send),
    start: u64,
) -> Teed {
    let (mut teed, interrupted) = copy_and_scan(shared, content, spool);
    if let Err(error) = check_position(spool, start, teed.copied) {
        teed.fail(IncompleteCopy::Writer(error));
    } else if let Some(interrupted) = interrupted {
        teed = interrupted.resume(shared, teed, spool, start);
    }
    if let Err(error) = spool.seek(SeekFrom::Start(start)) {
        teed.fail(IncompleteCopy::Writer(error));
    }
    teed
}

/// The copy must be where it is read from. A file that is open for appending writes at its end, wherever it stands.
fn check_position(spool: &mut impl Seek, start: u64, copied: u64) -> io::Result<()> {
    if start.checked_add(copied) == Some(spool.stream_position()?) {
        return Ok(());
    }
    let text =
        "the spool does not write at its position; a file that is open for appending must be empty";
    Err(io::Error::new(io::ErrorKind::InvalidInput, text))
}

/// Counts the outcome.
fn finish(
    running: Running<'_>,
    name: Option<String>,
    cancel: Option<Cancel>,
    teed: Teed,
) -> io::Result<Teed> {
    let mut outcome = teed.outcome;
    // The last calls of the writer came after the scan.
    let is_cancelled = cancel.is_some_and(|cancel| cancel.is_cancelled());
    if is_cancelled && !has_evidence(&outcome) {
        outcome = Err(CancelledError::new(running.service(), None).into());
    }
    let (outcome, incomplete) = settle(outcome, teed.incomplete, running.service());
    match running.finish(name, outcome) {
        // Only the writer of the copy makes such an error: there is no output for the response.
        Err(Error::Output(error)) => Err(error.source),
        outcome => Ok(Teed {
            outcome,
            incomplete,
            ..teed
        }),
    }
}

/// A scan that goes on if its content can be sent again.
struct Interrupted<'c> {
    scan: Scan<'c, 'static>,
    failover: Failover<'c>,
}

/// Scans content and copies it to `writer`. Returns the scan as well if it can go on with the copy.
fn copy_and_scan<'c>(
    shared: &'c Shared,
    mut content: Content<'c>,
    writer: &mut dyn Write,
) -> (Teed, Option<Interrupted<'c>>) {
    let now = shared.endpoints().first().now_for_waits();
    let begun = match begin(shared, now, &mut content) {
        Ok(begun) => begun,
        Err(error) => return (Teed::without_copy(error), None),
    };
    let mut scan = Scan::new(shared, content, begun, None);
    scan.copy_to(writer, shared.max_copy);
    let mut failover = scan.failover(shared);
    let outcome = scan.run_with(shared, &mut failover);
    copy_rest(&mut scan, shared.max_copy, is_clean(&outcome));
    let (copied, incomplete) = match scan.output.take_tee() {
        Some(tee) => tee.finish(),
        // Never: it was set above.
        None => (0, Some(IncompleteCopy::Cancelled)),
    };
    let resumes = incomplete.is_none() && scan.deadline.left().is_some() && failover.can_resume();
    let teed = Teed {
        outcome,
        copied,
        incomplete,
    };
    let interrupted = resumes.then(|| Interrupted {
        scan: scan.without_output(),
        failover,
    });
    (teed, interrupted)
}

impl Teed {
    /// No more is known of the copy. The first reason counts.
    fn fail(&mut self, why: IncompleteCopy) {
        self.incomplete.get_or_insert(why);
    }

    /// The spool refused to say where it stands, and nothing was done.
    fn without_spool(error: io::Error) -> Self {
        let source = io::Error::from(error.kind());
        Self {
            outcome: Err(OutputError::of_copy(source).into()),
            copied: 0,
            incomplete: Some(IncompleteCopy::Writer(error)),
        }
    }

    /// The content was not read.
    fn without_copy(error: Error) -> Self {
        let incomplete = match &error {
            Error::Content(error) => IncompleteCopy::Content(error.duplicate()),
            Error::Cancelled(_) => IncompleteCopy::Cancelled,
            // A deadline of zero is invalid.
            _ => IncompleteCopy::Deadline {
                after: Duration::ZERO,
            },
        };
        Self {
            outcome: Err(error),
            copied: 0,
            incomplete: Some(incomplete),
        }
    }
}

/// Reads what the scan has not read of the content, for the copy. Content that is clean is also compared with the
/// copy to its end.
fn copy_rest(scan: &mut Scan<'_, '_>, max_copy: Option<u64>, is_clean: bool) {
    let (body, output) = (&mut scan.content.body, &mut scan.output);
    let Some(tee) = output.tee() else { return };
    let is_done = tee.is_complete() && (body.has_ended() || !is_clean);
    if is_done || tee.has_failed() {
        return;
    }
    let result = match body.stop_sending(max_copy) {
        Ok(()) => BodyEncoder::new(body, None, &scan.deadline).read_rest(tee),
        Err(error) => Err(error),
    };
    if let Err(error) = result {
        tee.fail(IncompleteCopy::Content(error));
    }
}

impl<'c> Interrupted<'c> {
    /// Scans the copy in `spool`, which begins at `start`, with the servers that are left.
    fn resume(
        self,
        shared: &Shared,
        teed: Teed,
        spool: &'c mut (impl Read + Seek + Send),
        start: u64,
    ) -> Teed {
        let Self {
            mut scan,
            mut failover,
        } = self;
        if let Err(error) = &teed.outcome {
            log::debug!("goes on with the copy of the content: {error}");
        }
        scan.read_from(SpooledCopy::new(spool, start, teed.copied), teed.copied);
        failover.resume(teed.outcome);
        let outcome = scan.run_with(shared, &mut failover);
        let incomplete = match outcome.as_ref().err().or(failover.error()) {
            Some(Error::Content(error)) => Some(IncompleteCopy::Content(error.duplicate())),
            _ => None,
        };
        Teed {
            outcome,
            incomplete,
            ..teed
        }
    }
}

/// The outcome beside the copy. Evidence stays. Beside an incomplete copy nothing is clean. A writer that failed is the
/// outcome itself.
fn settle(
    outcome: Result<Report, Error>,
    incomplete: Option<IncompleteCopy>,
    service: &str,
) -> (Result<Report, Error>, Option<IncompleteCopy>) {
    let Some(why) = incomplete else {
        return (outcome, None);
    };
    if has_evidence(&outcome) {
        return (outcome, Some(why));
    }
    let is_content_error = matches!(outcome, Err(Error::Content(_)));
    let is_cancelled = outcome.as_ref().is_err_and(Error::is_cancelled);
    let outcome = match why {
        IncompleteCopy::Writer(error) => return (Err(OutputError::of_copy(error).into()), None),
        IncompleteCopy::Content(ref error) if !is_content_error && !is_cancelled => {
            Err(error.duplicate().into())
        }
        IncompleteCopy::TooLarge { limit } if is_clean(&outcome) => {
            outcome.map(|report| report.into_too_large(limit))
        }
        IncompleteCopy::Cancelled => Err(CancelledError::new(service, None).into()),
        // An error of the content is here that the copy, and so the upload, was out of time.
        IncompleteCopy::Deadline { after } if is_clean(&outcome) || is_content_error => {
            let limit = TimeLimit::Deadline;
            let error = RanOut { limit, after }.error(service, Phase::Write);
            Err(error.into())
        }
        IncompleteCopy::Content(_)
        | IncompleteCopy::TooLarge { .. }
        | IncompleteCopy::Deadline { .. } => outcome,
    };
    (outcome, Some(why))
}

fn is_clean(outcome: &Result<Report, Error>) -> bool {
    let is_clean = |report: &Report| report.verdict().is_clean();
    outcome.as_ref().is_ok_and(is_clean)
}

fn has_evidence(outcome: &Result<Report, Error>) -> bool {
    let is_evidence = |report: &Report| report.verdict().is_objection();
    outcome.as_ref().is_ok_and(is_evidence)
}
