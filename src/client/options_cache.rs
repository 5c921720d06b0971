//! The options of a service, which are fetched once for all threads and kept until they expire.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::outcome::AttemptError;
use crate::error::{Error, TimeLimit};
use crate::net::deadline::Deadline;
use crate::proto::options::ServiceOptions;
use crate::seam::sync::{Condvar, Mutex, MutexGuard};

/// State tags that are remembered. Several servers after one address have a tag each.
const REMEMBERED_TAGS: usize = 8;

/// The shortest time between two fetches that a new state tag causes. Some services have another tag in each
/// response, and they must not cost an `OPTIONS` request a scan.
const TAG_INTERVAL: Duration = Duration::from_secs(60);

/// The last response to `OPTIONS`.
#[derive(Debug, Default)]
pub(crate) struct OptionsCache {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    cached: Option<Known>,
    /// What the service offered last, also if that has expired.
    last: Option<Arc<ServiceOptions>>,
    /// Earlier options led to other requests than the last ones.
    has_changed: bool,
    /// The tags that were seen last in responses of any kind. The newest is the last.
    istags: VecDeque<String>,
    /// When a new tag last made the options expire, or will.
    tag_changed: Option<Instant>,
    /// How many fetches have begun.
    begun: u64,
    /// The number of the fetch that others wait for: the last that has begun, until it ends.
    under_way: Option<u64>,
    /// How many fetches have ended, without those that failed and were not waited for.
    fetches: u64,
    /// The error of the last fetch, if it failed. Those who waited for it get the same error.
    failure: Option<Arc<Error>>,
}

/// The options of a service.
#[derive(Debug, Clone)]
pub(crate) struct Known {
    pub(crate) options: Arc<ServiceOptions>,
    /// When the request for them began.
    asked: Instant,
    /// When they expire; `None` is never.
    expires: Option<Instant>,
    /// The number of the fetch that they came from, among those that have ended.
    fetch: u64,
}

/// The result of a look-up in the cache.
pub(crate) enum Lookup<'c> {
    Found(Known),
    /// This caller waited for the fetch of another caller, and it failed.
    Failed(AttemptError),
    /// This caller waited for the fetch of another caller until its own deadline, or was cancelled.
    TimedOut,
    /// There are no options. This caller is to fetch them.
    Missing(Fetching<'c>),
}

impl OptionsCache {
    /// The options, unless they have expired. Then one caller fetches them; the others wait until `deadline` for
    /// the result and share it. A timeout is shared only with those who have waited for as long.
    ///
    /// A trial of a server whose circuit is open does not wait, because the fetch of an earlier trial may hang.
    ///
    /// Options that were asked for before `newest` count as expired for this caller only.
    pub(crate) fn look_up(
        &self,
        now: Instant,
        newest: Option<Instant>,
        is_trial: bool,
        deadline: &Deadline,
    ) -> Lookup<'_> {
        if let Some(known) = self.lock().known(now, newest) {
            return Lookup::Found(known.clone());
        }
        self.wait_or_fetch(now, newest, is_trial, deadline)
    }

    /// The rest of [`look_up`](Self::look_up), which few scans need.
    #[cold]
    fn wait_or_fetch(
        &self,
        now: Instant,
        newest: Option<Instant>,
        is_trial: bool,
        deadline: &Deadline,
    ) -> Lookup<'_> {
        // The clock may be the caller's, so it is asked outside of the lock.
        let mut at = deadline.now();
        let mut waiter = Waiter::new(at);
        loop {
            let left = deadline.left_at(at);
            let waited = at.saturating_duration_since(waiter.since);
            let mut state = self.lock();
            match waiter.outcome(&state, waited) {
                Some(Ok(known)) => return Lookup::Found(known),
                Some(Err(failed)) => return Lookup::Failed(failed),
                None => {}
            }
            if let Some(known) = state.known(now, newest) {
                return Lookup::Found(known.clone());
            }
            if is_trial || state.under_way.is_none() {
                return Lookup::Missing(Fetching {
                    number: state.begin_fetch(),
                    cache: self,
                    is_over: false,
                });
            }
            let Some(left) = left else {
                return Lookup::TimedOut;
            };
            drop(self.changed.wait_timeout(state, waiter.cap(left, waited)));
            at = deadline.now();
        }
    }

    /// What the service offered last, also if that has expired, unless it ever offered something that leads to other
    /// requests. A scan must not be based on it.
    pub(crate) fn constant(&self) -> Option<Arc<ServiceOptions>> {
        let state = self.lock();
        state.last.clone().filter(|_| !state.has_changed)
    }

    /// Forgets the options, because the server may have been replaced.
    pub(crate) fn clear(&self) {
        self.lock().cached = None;
    }

    /// A response had this tag (RFC 3507 §4.7). Under a new tag the service may offer something else, so the
    /// options `known` expire now. If a new tag had that effect less than a minute ago, they expire at the end of
    /// that minute.
    ///
    /// A few tags are remembered, because some services always have another tag in `OPTIONS` than in scans, and
    /// several servers after one address have their own tags in turn. Neither must cost an `OPTIONS` request a scan.
    pub(crate) fn saw_istag(&self, istag: &str, known: &Known, now: Instant) {
        let mut state = self.lock();
        // A fetch that failed after that one took nothing from it.
        let is_kept = |cached: &Known| cached.fetch == known.fetch;
        let is_current = state.fetches == known.fetch || state.cached.as_ref().is_some_and(is_kept);
        if is_current && state.is_new(istag) {
            let last = state.tag_changed;
            let due = last.and_then(|last| last.checked_add(TAG_INTERVAL));
            state.expire(due.unwrap_or(now), now);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }
}

impl State {
    /// Makes the options expire at `at`, or earlier if they did so anyway.
    fn expire(&mut self, at: Instant, now: Instant) {
        let holds_longer = |cached: &&mut Known| cached.expires.is_none_or(|end| at < end);
        if at <= now {
            self.cached = None;
            self.tag_changed = Some(now);
        } else if let Some(cached) = self.cached.as_mut().filter(holds_longer) {
            cached.expires = Some(at);
            self.tag_changed = Some(at);
        }
    }

    /// The options, unless they have expired or were asked for before `newest`.
    fn known(&self, now: Instant, newest: Option<Instant>) -> Option<&Known> {
        let holds = |known: &&Known| {
            known.expires.is_none_or(|at| now < at)
                && newest.is_none_or(|newest| newest <= known.asked)
        };
        self.cached.as_ref().filter(holds)
    }

    fn begin_fetch(&mut self) -> u64 {
        self.begun += 1;
        self.under_way = Some(self.begun);
        self.begun
    }

    /// Keeps the outcome of a fetch, and gives it its number. The outcome is `None` after a panic.
    fn end_fetch(&mut self, number: u64, outcome: Option<&mut Result<Known, Arc<Error>>>) {
        let is_awaited = self.under_way == Some(number);
        if is_awaited {
            self.under_way = None;
        }
        match outcome {
            Some(Ok(known)) => {
                if let Some(istag) = known.options.istag() {
                    self.is_new(istag);
                }
                self.fetches += 1;
                known.fetch = self.fetches;
                let last = self.last.replace(Arc::clone(&known.options));
                let is_other = |last: Arc<ServiceOptions>| !last.ask_the_same_as(&known.options);
                self.has_changed |= last.is_some_and(is_other);
                self.cached = Some(known.clone());
                self.failure = None;
            }
            Some(Err(failure)) if is_awaited => {
                self.fetches += 1;
                self.failure = Some(Arc::clone(failure));
            }
            _ => {}
        }
    }

    /// Remembers a tag. Returns whether it is new.
    fn is_new(&mut self, istag: &str) -> bool {
        let is_new = !self.istags.iter().any(|known| known == istag);
        if is_new {
            self.istags.push_back(istag.to_owned());
            let surplus = self.istags.len().saturating_sub(REMEMBERED_TAGS);
            self.istags.drain(..surplus);
        }
        is_new
    }
}

/// A caller that waits for another's fetch.
struct Waiter {
    since: Instant,
    /// How many fetches had ended when it last looked; `None` before its first look.
    fetches: Option<u64>,
    /// The timeout that ended a fetch, and that this caller has not waited for yet.
    timeout: Option<(Duration, Arc<Error>)>,
}

impl Waiter {
    fn new(since: Instant) -> Self {
        Self {
            since,
            fetches: None,
            timeout: None,
        }
    }

    /// How long it waits, at most.
    fn cap(&self, left: Duration, waited: Duration) -> Duration {
        match &self.timeout {
            Some((after, _)) => left.min(after.saturating_sub(waited)),
            None => left,
        }
    }

    /// The outcome of the fetch for a caller that waited for it. Options count also if they have expired, because
    /// they were fetched after this caller came. `None` if the outcome is not for this caller.
    fn outcome(&mut self, state: &State, waited: Duration) -> Option<Result<Known, AttemptError>> {
        let before = self.fetches.replace(state.fetches)?;
        if state.fetches != before {
            match &state.failure {
                None => return state.cached.clone().map(Ok),
                Some(failure) if !is_shareable(failure) => {}
                Some(failure) => match &**failure {
                    Error::Timeout(error) => {
                        self.timeout = Some((error.after(), Arc::clone(failure)));
                    }
                    _ => return Some(Err(shared(failure))),
                },
            }
        }
        // A timeout of another caller is one of this caller as soon as it has waited for as long.
        let (after, failure) = self.timeout.as_ref()?;
        (waited >= *after).then(|| Err(shared(failure)))
    }
}

fn shared(failure: &Error) -> AttemptError {
    AttemptError {
        error: failure.duplicate(),
        is_shared: true,
        is_of_options: true,
    }
}

/// Whether a failure is one for all who waited. If one caller's own deadline was over, or that caller was cancelled,
/// it is not, and the next caller fetches.
fn is_shareable(failure: &Error) -> bool {
    let is_own = |limit| matches!(limit, TimeLimit::Deadline | TimeLimit::DeadlineShare);
    match failure {
        Error::Timeout(error) => !is_own(error.limit()),
        other => !other.is_cancelled(),
    }
}

/// A fetch. However it ends, also by a panic, the others are woken.
pub(crate) struct Fetching<'c> {
    cache: &'c OptionsCache,
    number: u64,
    is_over: bool,
}

impl Fetching<'_> {
    /// Gives the result to all who wait for it.
    pub(crate) fn end(
        mut self,
        fetched: Result<ServiceOptions, Error>,
        now: Instant,
    ) -> Result<Known, AttemptError> {
        let mut outcome = fetched.map_err(Arc::new).map(|options| Known {
            asked: now,
            // A time that an `Instant` cannot hold is never.
            expires: options.options_ttl().and_then(|ttl| now.checked_add(ttl)),
            options: Arc::new(options),
            fetch: 0,
        });
        self.finish(Some(&mut outcome));
        outcome.map_err(|error| AttemptError {
            error: error.duplicate(),
            is_shared: false,
            is_of_options: true,
        })
    }

    fn finish(&mut self, outcome: Option<&mut Result<Known, Arc<Error>>>) {
        self.is_over = true;
        self.cache.lock().end_fetch(self.number, outcome);
        self.cache.changed.notify_all();
    }
}

impl Drop for Fetching<'_> {
    fn drop(&mut self) {
        if !self.is_over {
            self.finish(None);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{InputError, InvalidInput};
    use crate::proto::method::Method;
    use crate::proto::response_reader::ResponseReader;

    fn options(istag: &str) -> ServiceOptions {
        let input = format!(
            "ICAP/1.0 200 OK\r\nMethods: RESPMOD\r\nISTag: \"{istag}\"\r\n\
             Encapsulated: null-body=0\r\n\r\n"
        );
        let mut reader = ResponseReader::new(Method::Options, 0);
        let mut used = 0;
        while !reader.has_ended() {
            used += reader.feed(&input.as_bytes()[used..]).unwrap().0;
        }
        ServiceOptions::from_response(&reader.into_remains().response.unwrap())
    }

    #[test]
    fn new_tag_counts_also_after_a_later_fetch_failed() {
        let (cache, now) = (OptionsCache::default(), Instant::now());
        let deadline = Deadline::by_system(None);
        // Two trials fetch at the same time.
        let fetching = || match cache.look_up(now, None, true, &deadline) {
            Lookup::Missing(fetching) => fetching,
            _ => panic!("there are no options yet"),
        };
        let (first, second) = (fetching(), fetching());
        assert!(first.end(Ok(options("old")), now).is_ok());
        let failure = InputError::new(InvalidInput::Uri, "text").into();
        assert!(second.end(Err(failure), now).is_err());

        let Lookup::Found(known) = cache.look_up(now, None, false, &deadline) else {
            panic!("the options of the first fetch hold");
        };
        cache.saw_istag("new", &known, now);
        let after = cache.look_up(now, None, false, &deadline);
        assert!(matches!(after, Lookup::Missing(_)));
    }
}
