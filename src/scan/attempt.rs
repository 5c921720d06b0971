//! What one scan knows about its content, what it sends to a server, and how it judges the response.
//!
//! Which servers are asked, and when, is in `run.rs`.

use std::io::{Read, Seek, Write};
use std::sync::Arc;
use std::time::Instant;

use super::cache::verdicts::{Turn, Verdicts};
use super::canary::Canary;
use super::content::Content;
use super::decide::{NoVerdict, Sent, decide, from_evidence};
use super::echo::is_same_message;
use super::report::Report;
use super::verdict::{NotScanned, Verdict};
use super::{Rules, Shared};
use crate::client::digest::Digest;
use crate::client::options_cache::Known;
use crate::client::outcome::{AttemptError, CompleteResponse, Failure, protocol_error};
use crate::client::output::Output;
use crate::client::tee::Tee;
use crate::client::{Client, status_error};
use crate::error::{CancelledError, Error};
use crate::evidence::{CustomHeaders, Findings};
use crate::net::deadline::Deadline;
use crate::proto::limits::RESPONSE_BODY_ALLOWANCE;
use crate::proto::method::Method;
use crate::proto::options::ServiceOptions;
use crate::proto::request::{Request, Terms};
use crate::proto::response::Response;
use crate::stats::CloseReason;

/// Content, what is known about it, and what came back of it.
pub(super) struct Scan<'c, 'o> {
    pub(super) rules: Rules,
    pub(super) custom_headers: &'c CustomHeaders,
    pub(super) content: Content<'c>,
    /// Its length, if that was known at the beginning. The request, and the key by which its verdict is cached, are the
    /// same in each attempt: an objection must withdraw the clean verdicts that this scan could have been given.
    pub(super) length: Option<u64>,
    pub(super) max_size: Option<u64>,
    /// The request for the first service, once it is made.
    pub(super) request: Option<Request>,
    pub(super) output: Output<'o>,
    pub(super) deadline: Deadline,
    /// If the content has an id.
    pub(super) cache: Option<&'c Verdicts>,
    /// Whether the verdict may come from the cache: not if the content is written somewhere.
    pub(super) is_looked_up: bool,
    /// The servers that were asked and found nothing, each once. An objection of another one withdraws their verdicts.
    pub(super) asked: Vec<(&'c Client, Turn<'c>)>,
    pub(super) canary: Option<Canary<'c>>,
}

/// Returns the deadline of a scan that begins now, at `now`, and the length of the content if that is known.
pub(super) fn begin(
    shared: &Shared,
    now: Instant,
    content: &mut Content<'_>,
) -> Result<(Deadline, Option<u64>), Error> {
    let first = shared.endpoints().first();
    let deadline = first
        .start_at(now, content.own_deadline()?)
        .or_cancelled(content.own_cancel());
    if deadline.is_cancelled() {
        return Err(CancelledError::new(first.name(), None).into());
    }
    Ok((deadline, content.known_length()?))
}

impl<'c, 'o> Scan<'c, 'o> {
    /// A scan that has [begun](begin).
    pub(super) fn new(
        shared: &'c Shared,
        mut content: Content<'c>,
        (deadline, length): (Deadline, Option<u64>),
        output: Option<&'o mut (dyn Write + 'o)>,
    ) -> Self {
        let Shared {
            rules, max_size, ..
        } = *shared;
        content.monitor(max_size);
        if rules.allow_206 && output.is_some() {
            // What a 206 refers to must be what was sent.
            content.body.hash();
        }
        let limit = max_size.map(|max| max.saturating_add(RESPONSE_BODY_ALLOWANCE));
        let judged_by = Arc::clone(&shared.custom_headers);
        let cache = shared.cache.as_ref();
        let details = content.about.details();
        let cache = cache.filter(|_| details.is_some_and(|details| details.id.is_some()));
        let is_looked_up = cache.is_some() && output.is_none();
        Self {
            rules,
            custom_headers: &shared.custom_headers,
            content,
            length,
            max_size,
            request: None,
            output: Output::of_scan(output, limit.unwrap_or(u64::MAX), judged_by),
            deadline,
            cache,
            is_looked_up,
            asked: Vec::new(),
            canary: Canary::of(shared),
        }
    }

    /// Copies the content to `writer` while it is scanned. It is scanned only up to the size that a copy may have.
    pub(super) fn copy_to(&mut self, writer: &'o mut (dyn Write + 'o), max_copy: Option<u64>) {
        self.is_looked_up = false;
        self.max_size = [self.max_size, max_copy].into_iter().flatten().min();
        self.content.body.is_copied(self.max_size);
        let tee = Tee::new(writer, self.deadline.clone(), max_copy);
        self.output.copy_to(tee);
    }

    /// The same scan, with nowhere to write to.
    pub(super) fn without_output(self) -> Scan<'c, 'static> {
        Scan {
            rules: self.rules,
            custom_headers: self.custom_headers,
            content: self.content,
            length: self.length,
            max_size: self.max_size,
            request: self.request,
            output: self.output.without_writers(),
            deadline: self.deadline,
            cache: self.cache,
            is_looked_up: self.is_looked_up,
            asked: self.asked,
            canary: self.canary,
        }
    }

    /// Reads the content from now on from `copy`, which has `length` bytes.
    pub(super) fn read_from(&mut self, copy: impl Read + Seek + Send + 'c, length: u64) {
        self.content.body.read_from(copy, length);
    }

    /// The request for the content, as far as it is the same for each service. The one that was made before is taken.
    pub(super) fn request(&mut self, method: Method) -> Result<Request, Error> {
        match self.request.take() {
            Some(request) if request.method() == method => Ok(request),
            _ => self.content.about.request(method, self.length),
        }
    }

    /// Whether the content can be sent more than once, however long it is.
    pub(super) fn is_repeatable(&self) -> bool {
        self.content.body.is_repeatable()
    }

    /// Whether the scan can begin again, with another server.
    pub(super) fn can_repeat(&self) -> bool {
        let is_in_time = self.deadline.left().is_some();
        self.content.body.can_rewind() && !self.output.is_passed_on() && is_in_time
    }

    /// The request to a service with these options; `None` if it was not asked for them.
    pub(super) fn request_for(
        &mut self,
        options: Option<&ServiceOptions>,
    ) -> Result<Request, Error> {
        let method = self.rules.method_for(options);
        let mut request = self.request(method)?;
        let name = self.content.about.name.as_deref();
        let details = self.content.about.details();
        let can_complete = !self.output.is_wanted() || self.content.body.is_repeatable();
        let offers_206 = options.is_none_or(ServiceOptions::allows_206);
        // c-icap sends an empty preview back. A 204 to a preview is allowed also without `Allow: 204`.
        let has_preview = self.rules.allow_204 && self.length != Some(0);
        let preview = match details.is_some_and(|details| details.gets_any_preview) {
            true => self.rules.preview.size_if_any(options),
            false => self.rules.preview.size(name, options),
        };
        request.set_terms(Terms {
            allow_204: self.rules.allow_204,
            allow_206: self.rules.allow_206 && offers_206 && can_complete,
            allow_trailers: options.is_some_and(ServiceOptions::allows_trailers),
            preview: preview.filter(|_| has_preview),
        });
        if let (Some(details), Some(options)) = (details, options) {
            request.add_headers(details.asked_for(options));
        }
        Ok(request)
    }

    /// Hashes the content while it is sent, if the same content back can be clean: by these options the service has no
    /// 204. To read it again after the response takes time in which the connection has its place at the server, and
    /// shows a renamed file as one that has changed.
    pub(super) fn hash_for_echo(&mut self, request: &Request, options: Option<&ServiceOptions>) {
        if !request.allows_204() || options.is_some_and(ServiceOptions::excludes_204) {
            self.content.body.hash();
        }
    }

    /// Judges a complete response, and decides what becomes of its connection.
    pub(super) fn take(
        &mut self,
        request: &Request,
        complete: &mut CompleteResponse,
        known: Option<&Known>,
        client: &Client,
    ) -> Result<Report, AttemptError> {
        if let Some(known) = known {
            client.saw_response(&complete.response, known, complete.ended);
        }
        let options = known.map(|known| &*known.options);
        let judged = self.judge(complete, request, options, client);
        let mut report = judged.map_err(|error| complete.reject(error))?;
        report.set_connection(complete.is_reused());
        self.conclude(complete, &report, client)?;
        Ok(report)
    }

    /// Decides what becomes of the connection. Then puts the part of the content that a 206 refers to after
    /// what came, if the caller wants it, and if the verdict is not worse.
    fn conclude(
        &mut self,
        complete: &mut CompleteResponse,
        report: &Report,
        client: &Client,
    ) -> Result<(), Error> {
        let verdict = report.verdict();
        match verdict {
            Verdict::NotScanned(NotScanned::EarlyResponse) => {
                client
                    .state()
                    .saw_early_response(complete.content_sent, client.now());
                client.proofs().suspect(client.now());
            }
            Verdict::Clean => client.state().saw_late_response(complete.content_sent),
            _ => {}
        }
        if *verdict == Verdict::NotScanned(NotScanned::NoEngine) {
            complete.discard(CloseReason::NoEngine);
            return Ok(());
        }
        if report.status() == Some(204) && verdict.is_contradicted() {
            // A 204 says that nothing was found, so it contradicts this verdict.
            complete.discard(CloseReason::Contradiction);
            return Ok(());
        }
        complete.release();
        if !self.output.is_wanted() || !matches!(verdict, Verdict::Modified(_)) {
            return Ok(());
        }
        self.content.body.has_been_sent(complete.request_complete);
        client.append_original(
            complete,
            &self.deadline,
            &mut self.content.body,
            &mut self.output,
        )
    }

    /// Judges a complete response.
    fn judge(
        &mut self,
        complete: &CompleteResponse,
        request: &Request,
        options: Option<&ServiceOptions>,
        client: &Client,
    ) -> Result<Report, Error> {
        let service = client.name();
        let response = &complete.response;
        let (is_beginning, returned) = match response.body_len() {
            Some(_) => self.compare(complete, request, service),
            None => (false, Ok(false)),
        };
        let sent = Sent {
            is_complete: complete.request_complete,
            responds_to_preview: complete.responds_to_preview,
            trusts_preview: self.rules.trust_preview && complete.content_sent > 0,
            is_early: complete.is_early,
            lacks_engine: client.lacks_engine(response, options),
            allowed_204: request.allows_204(),
            allowed_206: request.allows_206(),
            length: self
                .content
                .body
                .declared_len()
                .unwrap_or(complete.content_sent),
            offers_204: request.allows_204()
                && options.is_none_or(|options| offers_204(options, response)),
            is_echoed: matches!(returned, Ok(true)),
            is_beginning,
            has_trailing: complete.trailing.is_some(),
        };
        let verdict = decide(response, &sent, self.custom_headers);
        let verdict = verdict.map_err(|why| error_for(why, complete, service))?;
        // It may have been all of the content, unchanged.
        if let (Verdict::Modified(_), Err(error)) = (&verdict, returned) {
            return Err(error);
        }
        let is_retagged = sent.offers_204 && options.is_some_and(ServiceOptions::excludes_204);
        let is_echoed = verdict == Verdict::NotScanned(NotScanned::Echoed);
        let service = client.service();
        let mut report = Report::new(verdict, Some(response), complete.content_sent, service);
        if is_echoed && is_retagged {
            report.advise(ANOTHER_TAG);
        }
        Ok(report)
    }

    /// Compares what came back with the content: whether it is the beginning of it, and whether it is all of it, in a
    /// message of the kind that was sent. That may remain unknown.
    // Not inlined: most responses have no body.
    #[inline(never)]
    fn compare(
        &mut self,
        complete: &CompleteResponse,
        request: &Request,
        service: &str,
    ) -> (bool, Result<bool, Error>) {
        let response = &complete.response;
        let back = self.output.take_digest().unwrap_or_default();
        let is_beginning = self.is_beginning_returned(complete, &back);
        let may_be_echo = matches!(response.status(), 200 | 201);
        if !may_be_echo || !is_same_message(request, response) {
            return (is_beginning, Ok(false));
        }
        let is_all = self
            .content
            .body
            .is_equal_to(&back, &self.deadline, service);
        (is_beginning, is_all)
    }

    /// Whether what came `back` is the beginning of the content, and not all of it.
    fn is_beginning_returned(&mut self, complete: &CompleteResponse, back: &Digest) -> bool {
        let is_all_or_more = complete.request_complete && back.len >= self.content.body.sent_len();
        if complete.response.body_len() != Some(back.len) || is_all_or_more {
            return false;
        }
        self.content.body.begins_with(back, &self.deadline)
    }

    /// The report of an exchange that broke off, if there is evidence in the part of the response that came, or if
    /// the content is too large. Such a report is never better than the error.
    pub(super) fn salvage(
        &mut self,
        failure: Failure,
        service: &Arc<str>,
    ) -> Result<Report, Error> {
        let Failure {
            error,
            remains,
            content_sent,
            ..
        } = failure;
        let is_too_large = self.content.body.exceeded_limit().is_some();
        if let (Error::Content(error), Some(tee), false) = (&error, self.output.tee(), is_too_large)
        {
            tee.content_failed(error);
        }
        let response = remains.response.as_ref();
        let findings = Findings::of_remains(response, &remains.fragments, self.custom_headers);
        if let Some(evidence) = findings.evidence {
            let verdict = from_evidence(evidence);
            let mut report = Report::new(verdict, response, content_sent, service);
            report.set_status(remains.status());
            return Ok(report);
        }
        let limit = self.content.body.exceeded_limit().ok_or(error)?;
        Ok(Report::too_large(limit, content_sent, service))
    }
}

#[cold]
fn error_for(why: NoVerdict, complete: &CompleteResponse, service: &str) -> Error {
    match why {
        NoVerdict::Status { failure } => status_error(service, &complete.response, failure),
        NoVerdict::Violation(violation) => {
            let seen = complete.trailing.clone().unwrap_or_default();
            protocol_error(service, violation, seen)
        }
    }
}

/// The advice if content that came back is not clean although the options have no 204.
const ANOTHER_TAG: &str = "the service's OPTIONS response does not offer 204, but it has another state tag \
    (ISTag) than this response, so it may offer 204 by now; if the service sends back what it found clean, \
    do not allow 204 (`allow_204(false)`)";

/// Whether the service can respond with 204. If it can, content that it sends back is content that it did not
/// scan.
///
/// Only complete options with the tag of the response can say no. Under another tag the service, or another
/// server after the same address, may offer something else by now. A service without a legible tag has its
/// options only.
fn offers_204(options: &ServiceOptions, response: &Response) -> bool {
    !options.excludes_204() || options.istag() != response.istag().as_deref()
}
