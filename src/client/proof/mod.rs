//! Whether a server has proven that it scans, and who asks it for the next proof.
//!
//! A *canary* is content that every working server finds something in. A server that found it has given a proof, which
//! holds for a time and under one state tag (RFC 3507 §4.7). A server that missed it is *blind* until it finds another
//! one. What a canary is, and what finding it means, is decided by the scan.
//!
//! ```text
//!            a canary is missed            the interval is over
//!  proven ──────────────────────► blind ──────────────────────► one canary, and no other content
//!     ▲                             ▲                                │    │
//!     │                             └── it is missed, interval × 2 ──┘    │
//!     └────────────────────────── it is found ───────────────────────────┘
//! ```

mod waiter;

use std::sync::Arc;
use std::time::{Duration, Instant};

use waiter::{Waiter, would_fail_again};

use super::Client;
use super::call::Call;
use super::circuit_breaker::BreakerRules;
use super::outcome::AttemptError;
use crate::error::{Error, Phase};
use crate::proto::method::Method;
use crate::seam::sync::{Condvar, Mutex};

/// Proofs that are remembered. Several servers after one address have a state tag each.
const REMEMBERED: usize = 8;

/// The shortest time between two canaries after a new state tag, and between two after an early response: some servers
/// have another tag in every response, and some respond early to each large file. After an undecided canary, also those
/// that renew a proof follow only after this time.
const HASTE_INTERVAL: Duration = Duration::from_secs(60);

/// The proofs of one server.
#[derive(Debug)]
pub(crate) struct Proofs {
    /// The intervals between the canaries of a blind server.
    rules: BreakerRules,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    found: Vec<Found>,
    /// When the last canary began that was found.
    last_found: Option<Instant>,
    epoch: Epoch,
    blind: Option<Blind>,
    /// When something last spoke against the server, unless a later canary had a result. The next one is due.
    suspected: Option<Instant>,
    /// When the last canary after a new tag had a result.
    tag_tried: Option<Instant>,
    /// When the last canary under a suspicion had a result.
    suspicion_tried: Option<Instant>,
    /// The last canary that was undecided, unless a later one had a result.
    undecided: Option<Undecided>,
    warned: Option<Instant>,
    begun: u64,
    /// How many are over, also those that another one has overtaken.
    finished: u64,
    /// The number of the canary that others wait for: the last that has begun, until it ends.
    under_way: Option<u64>,
    ended: u64,
    /// The error of the canary that ended last, if it came to no result.
    failure: Option<Arc<Error>>,
}

/// A proof: EICAR was found, and not in the same archive without it. `tag` is that of both responses, also if they had
/// none. The archive without EICAR need not have been sent with this canary: an earlier one is enough, in the same form,
/// under the same tag, and in the same epoch.
#[derive(Debug)]
struct Found {
    tag: Option<Vec<u8>>,
    form: Form,
    /// When the canary began.
    at: Instant,
}

/// How a canary is sent. A server may scan what comes in one form, and not what comes in another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Form {
    pub(crate) method: Method,
    pub(crate) preview: Option<usize>,
}

/// Which proofs count for a scan.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Terms {
    /// How old they may be.
    pub(crate) every: Duration,
    /// What the service offers may change without its state tag, and with it the form.
    pub(crate) form: Form,
}

#[derive(Debug)]
struct Blind {
    interval: Duration,
    next_trial: Instant,
}

#[derive(Debug)]
struct Undecided {
    /// When it ended.
    at: Instant,
    /// Until the next one, if no proof holds.
    interval: Duration,
}

/// The time between two missed canaries, as the number of those that were missed before. What began in an earlier epoch
/// overlaps a time in which the server was blind, so it has no proof.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Epoch(u64);

/// The proof that a scan needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wanted<'t> {
    /// Any, before the content is sent.
    Any,
    /// One under the state tag of the response, if it has one. The content was sent in this epoch.
    Under(Option<&'t [u8]>, Epoch),
}

impl Wanted<'_> {
    /// Whether a proof under `tag` is one of these.
    pub(crate) fn fits(self, tag: Option<&[u8]>) -> bool {
        match self {
            Self::Any => true,
            Self::Under(wanted, _) => wanted == tag,
        }
    }

    fn is_of_earlier(self, epoch: Epoch) -> bool {
        matches!(self, Self::Under(_, began) if began != epoch)
    }
}

/// Where a server stands.
pub(crate) enum Standing<'p> {
    Proven,
    /// The server is blind, or there was a canary too recently.
    Unproven,
    /// The caller is to send a canary.
    Due(Trial<'p>),
    /// The canary of another caller came to no result, or the caller's own time is over.
    Failed(AttemptError),
}

/// What a caller does, by the state.
enum Step {
    Proven,
    Unproven,
    Begin(Why),
    Wait,
}

/// Why a canary is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Why {
    /// There is no proof.
    Missing,
    /// The last proof is about to end.
    Ending,
    /// There is a proof, but not under this tag.
    NewTag,
    /// There is a proof, but something speaks against the server.
    Suspicion,
    /// The server is blind.
    Blind,
}

impl Why {
    /// Whether there is a proof for the scan without the canary.
    fn is_optional(self) -> bool {
        matches!(self, Self::Ending | Self::Suspicion)
    }
}

impl Blind {
    fn until_next(interval: Duration, now: Instant) -> Self {
        Self {
            interval,
            next_trial: later(now, interval),
        }
    }
}

impl Proofs {
    pub(crate) fn new(rules: BreakerRules) -> Self {
        Self {
            rules,
            state: Mutex::default(),
            changed: Condvar::default(),
        }
    }

    /// Something speaks against the server: the next canary is due.
    pub(crate) fn suspect(&self, now: Instant) {
        self.state.lock().suspected = Some(now);
    }

    /// Whether it is time to warn of clean verdicts without a proof: once a minute. A blind server has its own warning.
    pub(crate) fn is_warning_due(&self, now: Instant) -> bool {
        let mut state = self.state.lock();
        let is_recent = |at| now < later(at, HASTE_INTERVAL);
        if state.blind.is_some() || state.warned.is_some_and(is_recent) {
            return false;
        }
        state.warned = Some(now);
        true
    }

    pub(crate) fn epoch(&self) -> Epoch {
        self.state.lock().epoch
    }

    /// How many canaries are over. A caller has sent none and waited for none as long as this is the same.
    pub(crate) fn canaries(&self) -> u64 {
        self.state.lock().finished
    }

    /// Whether the last canary was missed.
    pub(crate) fn is_blind(&self) -> bool {
        self.state.lock().blind.is_some()
    }

    /// Whether there was a proof in this form and under this tag since the server last missed a canary, however old. So
    /// a canary without its virus has passed.
    pub(crate) fn is_controlled(&self, tag: Option<&[u8]>, form: Form) -> bool {
        let state = self.state.lock();
        let mut found = state.found.iter();
        found.any(|found| found.form == form && found.tag.as_deref() == tag)
    }

    /// When the last canary began that was found.
    pub(crate) fn last_found(&self) -> Option<Instant> {
        self.state.lock().last_found
    }
}

impl<'c> Call<'c> {
    /// Where the server stands for a scan that wants this proof, on these terms. Of several callers that need
    /// a canary, one sends it and the others wait for the result, within their deadlines.
    pub(crate) fn standing(&self, wanted: Wanted<'_>, terms: Terms) -> Standing<'c> {
        let client = self.client;
        let proofs = &client.shared.proofs;
        let mut waiter = Waiter {
            since: self.deadline.now(),
            ended: None,
            timeout: None,
        };
        loop {
            // The clocks may be the caller's, so they are asked outside of the lock.
            let (now, left) = (client.now(), self.deadline.left());
            let waited = self.deadline.since(waiter.since);
            let mut state = proofs.state.lock();
            if let Some(failed) = waiter.outcome(&state, waited) {
                return Standing::Failed(failed);
            }
            // A trial of a suspended server does not wait, because the canary of an earlier one may hang.
            match state.step(wanted, now, terms, self.is_trial()) {
                Step::Proven => return Standing::Proven,
                Step::Unproven => return Standing::Unproven,
                Step::Begin(why) => {
                    return Standing::Due(Trial {
                        client,
                        number: state.begin(),
                        why,
                        form: terms.form,
                        epoch: state.epoch,
                        began: now,
                        is_over: false,
                    });
                }
                Step::Wait => {}
            }
            let Some(left) = left else {
                return Standing::Failed(AttemptError {
                    error: client.timed_out(Phase::Read, &self.deadline),
                    is_shared: true,
                    is_of_options: false,
                });
            };
            drop(proofs.changed.wait_timeout(state, waiter.cap(left, waited)));
        }
    }
}

impl State {
    fn step(&mut self, wanted: Wanted<'_>, now: Instant, terms: Terms, is_trial: bool) -> Step {
        if wanted.is_of_earlier(self.epoch) {
            return Step::Unproven;
        }
        if let Some(blind) = &mut self.blind {
            if now < blind.next_trial {
                return Step::Unproven;
            }
            blind.next_trial = later(now, blind.interval);
            return Step::Begin(Why::Blind);
        }
        let early = Terms {
            every: terms.every - terms.every / 4,
            ..terms
        };
        let is_fresh = self.holds(Wanted::Any, now, early);
        let why = match self.holds(wanted, now, terms) {
            true if wanted != Wanted::Any => return Step::Proven,
            true if !is_fresh => Why::Ending,
            true if self.suspected.is_some() => Why::Suspicion,
            true => return Step::Proven,
            false if is_fresh => Why::NewTag,
            false => Why::Missing,
        };
        let is_under_way = self.under_way.is_some();
        let is_too_soon = self.is_too_soon(why, now);
        match why.is_optional() {
            true if is_under_way || is_too_soon => Step::Proven,
            false if is_under_way && !is_trial => Step::Wait,
            false if is_too_soon => Step::Unproven,
            _ => Step::Begin(why),
        }
    }

    fn is_too_soon(&self, why: Why, now: Instant) -> bool {
        let is_recent = |at, interval| now < later(at, interval);
        let undecided = self.undecided.as_ref();
        let last = match why {
            // Without a proof the server is not used at all.
            Why::Missing => return undecided.is_some_and(|last| is_recent(last.at, last.interval)),
            Why::NewTag => self.tag_tried,
            Why::Suspicion => self.suspicion_tried,
            Why::Ending | Why::Blind => None,
        };
        let last = last.max(undecided.map(|last| last.at));
        last.is_some_and(|at| is_recent(at, HASTE_INTERVAL))
    }

    fn holds(&self, wanted: Wanted<'_>, now: Instant, terms: Terms) -> bool {
        self.found.iter().any(|found| {
            let age = now.saturating_duration_since(found.at);
            let fits = wanted.fits(found.tag.as_deref()) && found.form == terms.form;
            age < terms.every && fits
        })
    }

    /// Whether a scan has the proof that it wants, after its own canary came to no result.
    fn holds_without(&self, wanted: Wanted<'_>, now: Instant, terms: Terms) -> bool {
        !wanted.is_of_earlier(self.epoch) && self.holds(wanted, now, terms)
    }

    /// Returns the number of the canary that begins.
    fn begin(&mut self) -> u64 {
        self.begun += 1;
        self.under_way = Some(self.begun);
        self.begun
    }

    /// A canary that began then has a result.
    fn note_result(&mut self, began: Instant, why: Why, now: Instant) {
        self.suspected = self.suspected.filter(|suspected| began < *suspected);
        self.undecided = None;
        match why {
            Why::NewTag => self.tag_tried = Some(now),
            Why::Suspicion => self.suspicion_tried = Some(now),
            _ => {}
        }
    }

    fn end(&mut self, number: u64, failure: Option<Arc<Error>>) {
        if self.under_way == Some(number) {
            self.under_way = None;
            self.failure = failure;
            self.ended += 1;
        }
    }
}

/// A canary under way. However it ends, also by a panic, those who wait are woken.
#[must_use]
pub(crate) struct Trial<'p> {
    client: &'p Client,
    number: u64,
    why: Why,
    form: Form,
    epoch: Epoch,
    began: Instant,
    is_over: bool,
}

impl<'p> Trial<'p> {
    pub(crate) fn client(&self) -> &'p Client {
        self.client
    }

    /// Whether there is a proof for the scan without this canary.
    pub(crate) fn is_optional(&self) -> bool {
        self.why.is_optional()
    }

    /// The server found it. Returns whether that is a proof: it is none if another canary was missed since this one
    /// began.
    ///
    /// What other processes have stored while the server was blind is not repeated either.
    pub(crate) fn found(mut self, tag: Option<Vec<u8>>) -> bool {
        let (client, began, why, epoch) = (self.client, self.began, self.why, self.epoch);
        let form = self.form;
        let now = client.now();
        let (is_proof, was_blind) = self.finish(None, |state, _| {
            state.note_result(began, why, now);
            if state.epoch != epoch {
                return (false, false);
            }
            state
                .found
                .retain(|found| found.tag != tag || found.form != form);
            state.found.push(Found {
                tag,
                form,
                at: began,
            });
            let surplus = state.found.len().saturating_sub(REMEMBERED);
            state.found.drain(..surplus);
            state.last_found = state.last_found.max(Some(began));
            (true, state.blind.take().is_some())
        });
        // What was given since this canary began counts.
        let until = began.checked_sub(Duration::from_nanos(1));
        if let (true, Some(until)) = (was_blind, until) {
            client.state().forget(until);
            log::info!("{}: finds EICAR again, and is used again", client.name());
        }
        is_proof
    }

    /// The server missed it, so it is blind. Its earlier verdicts are not repeated any more: a scan that began before the
    /// last proof may have got its response after the server lost its engine. Returns the time until the next canary,
    /// unless another one has already shown this.
    pub(crate) fn missed(mut self) -> Option<Duration> {
        let client = self.client;
        let (began, why, now) = (self.began, self.why, client.now());
        let wait = self.finish(None, |state, rules| {
            state.note_result(began, why, now);
            state.found.clear();
            state.epoch.0 += 1;
            let interval = match &state.blind {
                None => rules.first,
                Some(blind) if why == Why::Blind => doubled(blind.interval, rules),
                Some(_) => return None,
            };
            state.blind = Some(Blind::until_next(interval, now));
            Some(interval)
        });
        client.state().forget(now);
        wait
    }

    /// It came to no result. Returns whether the scan can go on: it has the proof that it wants all the same, and does
    /// not wait for the same server again for the same time.
    pub(crate) fn failed(mut self, error: &Error, wanted: Wanted<'_>, terms: Terms) -> bool {
        self.give_up(Some(Arc::new(error.duplicate())));
        if would_fail_again(error) {
            return false;
        }
        let now = self.client.now();
        let state = self.client.shared.proofs.state.lock();
        state.holds_without(wanted, now, terms)
    }

    /// The server called it a virus, and what it made of the same without a virus shows nothing. So this is neither a
    /// proof nor a miss, and the next canary follows after a while. As after missed ones, the interval is doubled. Returns
    /// whether the scan has the proof that it wants all the same.
    pub(crate) fn undecided(mut self, wanted: Wanted<'_>, terms: Terms) -> bool {
        let (now, why) = (self.client.now(), self.why);
        self.finish(None, |state, rules| {
            let interval = match &state.undecided {
                None => rules.first,
                Some(last) => doubled(last.interval, rules),
            };
            state.undecided = Some(Undecided { at: now, interval });
            if let Some(blind) = state.blind.as_mut().filter(|_| why == Why::Blind) {
                *blind = Blind::until_next(doubled(blind.interval, rules), now);
            }
            state.holds_without(wanted, now, terms)
        })
    }

    /// A server that is blind can be asked again at once.
    fn give_up(&mut self, failure: Option<Arc<Error>>) {
        let (now, why) = (self.client.now(), self.why);
        self.finish(failure, |state, _| {
            if let Some(blind) = state.blind.as_mut().filter(|_| why == Why::Blind) {
                blind.next_trial = now;
            }
        });
    }

    fn finish<T>(
        &mut self,
        failure: Option<Arc<Error>>,
        change: impl FnOnce(&mut State, BreakerRules) -> T,
    ) -> T {
        self.is_over = true;
        let proofs = &self.client.shared.proofs;
        let mut state = proofs.state.lock();
        state.finished += 1;
        state.end(self.number, failure);
        let result = change(&mut state, proofs.rules);
        proofs.changed.notify_all();
        result
    }
}

impl Drop for Trial<'_> {
    fn drop(&mut self) {
        if !self.is_over {
            self.give_up(None);
        }
    }
}

/// The next interval between two canaries.
fn doubled(interval: Duration, rules: BreakerRules) -> Duration {
    let longest = rules.longest.max(interval);
    interval.saturating_mul(2).min(longest)
}

/// `by` after `at`. If an `Instant` cannot hold that time, it is a year later, which is as good as never.
fn later(at: Instant, by: Duration) -> Instant {
    let year = Duration::from_secs(365 * 24 * 3600);
    let mut times = [by, year].into_iter();
    times.find_map(|by| at.checked_add(by)).unwrap_or(at)
}

#[cfg(test)]
mod tests;
