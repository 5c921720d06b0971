//! One scan. It asks one server after the other until one of them gives a report.

use std::io::Write;
use std::ptr;
use std::time::Instant;

use super::Shared;
use super::attempt::{Scan, begin};
use super::cache::verdicts::{Subject, Turn};
use super::canary::{Canary, Sighting, Tag};
use super::content::Content;
use super::failover::Failover;
use super::report::Report;
use super::sample::Sample;
use super::verdict::Verdict;
use crate::client::Client;
use crate::client::call::Call;
use crate::client::options_cache::Known;
use crate::client::outcome::{AttemptError, Failure};
use crate::client::proof::{Standing, Wanted};
use crate::error::{CancelledError, Error};
use crate::proto::method::Method;
use crate::proto::request::Request;
use crate::proto::response::Response;

/// The log line and the advice for a clean verdict that did not count.
const UNPROVEN: &str = "the server called content clean without a proof: it has not found EICAR under the state tag \
    (ISTag) of its response, or it missed EICAR during the scan; a server that has another state tag in each response \
    cannot be used with a canary";

/// The log line and the advice for a server after undecided canaries.
const UNDECIDED: &str = "no content is sent to the server, because nothing proves that it scans: it objected to an archive \
    with EICAR, but its response to the same archive without EICAR came under another state tag (ISTag), or it did not \
    scan that archive or modified it; a server that has another state tag in each response cannot be used with a canary";

/// Scans `content`, and writes what comes back to `output`. The deadline counts from `began`.
pub(super) fn scan<'c>(
    shared: &'c Shared,
    began: Instant,
    mut content: Content<'c>,
    output: Option<&'c mut (dyn Write + 'c)>,
) -> Result<Report, Error> {
    let begun = begin(shared, began, &mut content)?;
    Scan::new(shared, content, begun, output).run(shared)
}

impl<'c> Scan<'c, '_> {
    /// Asks one server after the other.
    pub(super) fn run(&mut self, shared: &'c Shared) -> Result<Report, Error> {
        self.run_with(shared, &mut self.failover(shared))
    }

    /// The servers, none of which was asked.
    pub(super) fn failover(&self, shared: &'c Shared) -> Failover<'c> {
        let deadline = self.deadline.clone();
        Failover::new(shared.endpoints(), deadline, self.is_repeatable())
    }

    /// Asks the servers that are left one after the other.
    pub(super) fn run_with(
        &mut self,
        shared: &Shared,
        failover: &mut Failover<'c>,
    ) -> Result<Report, Error> {
        let endpoints = shared.endpoints();
        // Of a copy it is known in any case.
        let length = self.content.body.declared_len();
        let exceeded = |&max: &u64| length.is_some_and(|length| length > max);
        if let Some(limit) = self.max_size.filter(exceeded) {
            return Ok(Report::too_large(limit, 0, endpoints.first().service()));
        }
        // Content that cannot be sent is an error before a server is asked.
        let request = self.request(self.rules.method.unwrap_or(Method::Respmod))?;
        self.request = Some(request);
        while let Some(mut call) = failover.next_server() {
            let mut turn = None;
            let mut outcome = self.with_server(&mut call, &mut turn);
            self.respect_cancel(&mut outcome, call.client);
            if let Some(turn) = turn {
                self.end_turn(call.client, turn, &outcome);
            }
            failover.take(call, outcome, || self.can_repeat());
        }
        let result = failover.result();
        self.withdraw(failover, &result);
        if self.is_looked_up {
            let is_hit = result.as_ref().is_ok_and(Report::is_cached);
            shared.counters().looked_up(is_hit);
        }
        result
    }

    /// Ends the turn of a server, and remembers it unless the server objected: it has noted that.
    fn end_turn(
        &mut self,
        client: &'c Client,
        mut turn: Turn<'c>,
        outcome: &Result<Report, AttemptError>,
    ) {
        turn.end_lead();
        let has_objected = |report: &Report| report.verdict().is_objection();
        if !outcome.as_ref().is_ok_and(has_objected) {
            // A full server is asked several times.
            self.asked.retain(|(other, _)| !ptr::eq(*other, client));
            self.asked.push((client, turn));
        }
    }

    /// An objection withdraws the clean verdicts of all servers but the one that objected, whether they were asked or
    /// not: each may serve the next scan (rule R2).
    fn withdraw(&mut self, failover: &Failover<'c>, result: &Result<Report, Error>) {
        let objection = |report: &&Report| report.verdict().is_objection();
        let Some(report) = result.as_ref().ok().filter(objection) else {
            return;
        };
        for client in failover.all_but_last_asked() {
            self.add_turn(client);
        }
        // What the objector itself said under earlier options has another key than its objection. A verdict of the cache
        // was an objection before, and has withdrawn that.
        if let Some(objector) = failover.last_asked().filter(|_| !report.is_cached()) {
            self.forget_if_changed(objector);
        }
        for (client, turn) in &self.asked {
            turn.withdraw(client, report);
        }
    }

    /// Adds the turn of a server that came to none. A server that has offered different things may have verdicts on this
    /// content under requests that are not known any more, so all of its verdicts are withdrawn.
    fn add_turn(&mut self, client: &'c Client) {
        if self.cache.is_none() {
            return;
        }
        let has_turn = self.asked.iter().any(|(other, _)| ptr::eq(*other, client));
        match self.turn_by_constant_options(client) {
            Some(turn) if !has_turn => self.asked.push((client, turn)),
            Some(_) => {}
            // Which of its verdicts are on this content is not known.
            None => client.state().forget(client.now()),
        }
    }

    fn forget_if_changed(&self, client: &Client) {
        let is_sure = !self.rules.negotiate || client.constant_options().is_some();
        if self.cache.is_some() && !is_sure {
            client.state().forget(client.now());
        }
    }

    fn turn_by_constant_options(&mut self, client: &Client) -> Option<Turn<'c>> {
        let options = match self.rules.negotiate {
            true => Some(client.constant_options()?),
            false => None,
        };
        let request = self.request_for(options.as_deref()).ok()?;
        self.turn(client, &request)
    }

    /// If the caller has cancelled the scan, only evidence counts (rule R2), and nothing that was not complete is anybody's
    /// fault (rule R10).
    fn respect_cancel(&self, outcome: &mut Result<Report, AttemptError>, client: &Client) {
        let stands = match outcome {
            Ok(report) => report.verdict().is_objection(),
            Err(failed) => failed.error.is_cancelled(),
        };
        if !stands && self.deadline.is_cancelled() {
            *outcome = Err(Error::from(CancelledError::new(client.name(), None)).into());
        }
    }

    /// Lets one server scan the content, unless its verdict is in the cache.
    fn with_server(
        &mut self,
        call: &mut Call<'_>,
        turn: &mut Option<Turn<'c>>,
    ) -> Result<Report, AttemptError> {
        let client = call.client;
        let looked_up = self.cache.filter(|_| self.is_looked_up);
        let since = looked_up.and_then(|cache| cache.confirmed_since(client.now()));
        let known = match self.rules.negotiate {
            true => Some(call.negotiated(since)?),
            false => None,
        };
        let options = known.as_ref().map(|known| &*known.options);
        let request = self.request_for(options)?;
        *turn = self.turn(client, &request);
        if let Some(turn) = turn {
            if let Some(report) = self.cached(call, known.as_ref(), turn, since)? {
                return Ok(report);
            }
            // The look-up may have taken its time.
            turn.begin(client.now());
        }
        // Without a canary, no proof is wanted.
        let epoch = self.canary.map(|_| client.proofs().epoch());
        if !self.prove(call, known.as_ref(), Wanted::Any)? {
            return Ok(without_content(client));
        }
        self.hash_for_echo(&request, options);
        let mut complete = match call.exchange(&request, &mut self.content.body, &mut self.output) {
            Ok(complete) => complete,
            Err(failure) => {
                let is_reused = failure.is_reused;
                note_early_break(call, &failure);
                let mut report = self.salvage(*failure, client.service())?;
                if let Some(turn) = turn {
                    turn.withdraw(client, &report);
                }
                report.set_connection(is_reused);
                return Ok(report);
            }
        };
        let mut report = self.take(&request, &mut complete, known.as_ref(), client)?;
        // A canary stands in line anew.
        call.is_served();
        let wanted = epoch.map(|epoch| Wanted::Under(complete.response.state_tag(), epoch));
        let confirmed = wanted.map_or(Ok(()), |wanted| {
            self.confirm(call, known.as_ref(), &mut report, wanted)
        });
        if complete.is_success() {
            call.scanned(confirmed.as_ref().err());
        }
        confirmed.map_err(AttemptError::without_line)?;
        if let Some(turn) = turn {
            turn.keep(client, &report, &complete);
        }
        Ok(report)
    }

    /// The report of the cache, if this scan takes verdicts from it; `None` if the content is to be scanned.
    ///
    /// A clean one needs a proof that holds now, as if the content were scanned: if all verdicts came from the cache, no
    /// canary would show that the server went blind before it gave them. A canary takes its time, and can show another
    /// state tag. So the verdict must hold after each one too.
    fn cached(
        &self,
        call: &mut Call<'_>,
        known: Option<&Known>,
        turn: &mut Turn<'_>,
        confirmed_since: Option<Instant>,
    ) -> Result<Option<Report>, AttemptError> {
        if !self.is_looked_up {
            return Ok(None);
        }
        let client = call.client;
        let epoch = client.proofs().epoch();
        let Some(mut found) = turn.look_up(call, confirmed_since) else {
            return Ok(None);
        };
        if !found.report.verdict().is_clean() {
            return Ok(Some(found.report));
        }
        let canaries = client.proofs().canaries();
        if !self.prove(call, known, Wanted::Any)? {
            return Ok(Some(without_content(client)));
        }
        if !turn.still_holds(&found, client) {
            return Ok(None);
        }
        let wanted = Wanted::Under(Some(&found.state_tag), epoch);
        let is_proven = self.prove(call, known, wanted)?;
        // Only the store shows what another process has found during a canary.
        let is_kept = client.proofs().canaries() == canaries || turn.is_still_stored(&found);
        if !is_kept || !turn.still_holds(&found, client) {
            return Ok(None);
        }
        if !is_proven {
            lacks_proof(&mut found.report, client);
        }
        Ok(Some(found.report))
    }

    /// Leaves the report clean only with the proof that is wanted.
    fn confirm(
        &self,
        call: &mut Call<'_>,
        known: Option<&Known>,
        report: &mut Report,
        wanted: Wanted<'_>,
    ) -> Result<(), AttemptError> {
        if report.verdict().is_clean() && !self.prove(call, known, wanted)? {
            lacks_proof(report, call.client);
        }
        Ok(())
    }

    /// Whether the server has proven that it scans, if that is wanted: before, or now by a canary of this scan or of
    /// another one.
    fn prove(
        &self,
        call: &mut Call<'_>,
        known: Option<&Known>,
        wanted: Wanted<'_>,
    ) -> Result<bool, AttemptError> {
        let Some(canary) = self.canary else {
            return Ok(true);
        };
        let terms = canary.terms(known.map(|known| &*known.options));
        let trial = match call.standing(wanted, terms) {
            Standing::Proven => return Ok(true),
            Standing::Unproven => return Ok(false),
            Standing::Failed(failed) => return Err(failed),
            Standing::Due(trial) => trial,
        };
        let own = call.deadline.clone();
        if trial.is_optional() {
            // The scan goes on without it if it fails.
            call.deadline = own.share(call.client.read_timeout());
        }
        let sent = send_canary(canary, call, known);
        call.deadline = own;
        match sent {
            Ok(sighting) => Ok(sighting.conclude(trial, wanted, terms)),
            // A server that responds before it has the canary does not scan, so the last proof is none any more.
            Err(failed) if trial.failed(&failed.error, wanted, terms) && !call.broke_off_early => {
                let (name, error) = (call.client.name(), failed.error);
                log::debug!("{name}: a canary failed, and the last proof still holds: {error}");
                Ok(true)
            }
            Err(failed) => Err(failed),
        }
    }

    /// The turn of this scan at a server, if it uses the cache.
    fn turn(&self, client: &Client, request: &Request) -> Option<Turn<'c>> {
        let cache = self.cache?;
        // A verdict that needed no proof must not be taken for one that did.
        let proof = self.canary.map(|canary| canary.every);
        // Whether a 206 is allowed may depend on the output, and the verdict does not. So it is not in the key: a
        // replacement with an objection must withdraw the clean verdict of a scan.
        let subject = Subject {
            request: &request.clone().allow_206(false),
            about: &self.content.about,
            length: self.length,
            rules: &(self.rules, self.custom_headers, proof),
        };
        cache.turn(client, &subject)
    }
}

/// Takes the clean verdict from the report.
fn lacks_proof(report: &mut Report, client: &Client) {
    report.lacks_proof();
    advise(report, client, UNPROVEN);
}

/// The report of a server that has not proven that it scans, so that no content was sent to it.
fn without_content(client: &Client) -> Report {
    let mut report = Report::no_engine(client.service());
    if !client.proofs().is_blind() {
        advise(&mut report, client, UNDECIDED);
    }
    report
}

/// Adds this advice to the report, and logs it once a minute.
fn advise(report: &mut Report, client: &Client, advice: &'static str) {
    if client.proofs().is_warning_due(client.now()) {
        log::warn!("{}: {advice}", client.name());
    }
    report.advise(advice);
}

/// Sends a canary, and a second one if the first is undecided: the server may have been configured anew meanwhile.
fn send_canary(
    canary: Canary<'_>,
    call: &mut Call<'_>,
    known: Option<&Known>,
) -> Result<Sighting, AttemptError> {
    match send_one_canary(canary, call, known)? {
        Sighting::Undecided => send_one_canary(canary, call, known),
        decided => Ok(decided),
    }
}

fn send_one_canary(
    canary: Canary<'_>,
    call: &mut Call<'_>,
    known: Option<&Known>,
) -> Result<Sighting, AttemptError> {
    call.client.sends_canary();
    let options = known.map(|known| &*known.options);
    let (verdict, tag) = ask(canary.shared, canary.sample(options), call, known)?;
    let sighting = Sighting::of(verdict, tag);
    if !sighting.needs_control(call.client, canary.terms(options).form) {
        return Ok(sighting);
    }
    let (control, tag) = ask(canary.shared, canary.control(options), call, known)?;
    Ok(sighting.after_control(&control, &tag))
}

/// What the called server alone says about a sample, without cache and canary.
fn ask(
    shared: &Shared,
    sample: Sample,
    call: &mut Call<'_>,
    known: Option<&Known>,
) -> Result<(Verdict, Tag), AttemptError> {
    let mut content = sample.content();
    let begun = (call.deadline.clone(), content.known_length()?);
    let mut scan = Scan::new(shared, content, begun, None);
    let request = scan.request_for(known.map(|known| &*known.options))?;
    let exchanged = call.exchange(&request, &mut scan.content.body, &mut scan.output);
    let mut complete = match exchanged {
        Ok(complete) => complete,
        Err(failure) => {
            note_early_break(call, &failure);
            // Without a whole head its state tag is not known.
            let Some(tag) = failure.remains.response.as_ref().map(owned_tag) else {
                return Err(failure.error.into());
            };
            let report = scan.salvage(*failure, call.client.service())?;
            return Ok((report.verdict().clone(), tag));
        }
    };
    let report = scan.take(&request, &mut complete, known, call.client)?;
    call.is_served();
    Ok((report.verdict().clone(), owned_tag(&complete.response)))
}

/// If a 204 that broke off had begun too early, the server does not scan, as after a whole early response.
fn note_early_break(call: &Call<'_>, failure: &Failure) {
    if call.broke_off_early && failure.remains.status() == Some(204) {
        let client = call.client;
        client.state().forget(client.now());
        client.proofs().suspect(client.now());
    }
}

fn owned_tag(response: &Response) -> Tag {
    response.state_tag().map(<[u8]>::to_vec)
}
