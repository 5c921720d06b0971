//! What a service offers, asked once for all threads and kept for as long as it holds.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::error::Error;
use crate::proto::options::ServiceOptions;

/// The last answer to `OPTIONS`.
#[derive(Debug, Default)]
pub(crate) struct OptionsCache {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    cached: Option<Cached>,
    /// The tag last seen, in an answer to `OPTIONS` or in any other.
    istag: Option<String>,
    is_fetching: bool,
    /// How many fetches have ended.
    fetches: u64,
    /// What came of the last one, if it failed: those who waited for it are told the same.
    failure: Option<Arc<Error>>,
}

#[derive(Debug, Clone)]
struct Cached {
    options: Arc<ServiceOptions>,
    /// `None` is for ever.
    expires: Option<Instant>,
}

/// Options, and which fetch they came from.
#[derive(Debug, Clone)]
pub(crate) struct Known {
    pub(crate) options: Arc<ServiceOptions>,
    fetch: u64,
}

impl OptionsCache {
    /// The options while they hold. Otherwise one caller fetches them, and the others wait for as long
    /// as `left` says and share what comes of it; `None` if time ran out.
    pub(crate) fn get(
        &self,
        now: Instant,
        left: impl Fn() -> Option<Duration>,
        fetch: impl FnOnce() -> Result<ServiceOptions, Error>,
    ) -> Option<Result<Known, Arc<Error>>> {
        let mut state = self.lock();
        let fetches = state.fetches;
        while !state.holds(now) && state.is_fetching {
            let waited = self.changed.wait_timeout(state, left()?);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
            if state.fetches != fetches {
                if let Some(failure) = &state.failure {
                    return Some(Err(Arc::clone(failure)));
                }
            }
        }
        if let Some(known) = state.known(now) {
            return Some(Ok(known));
        }
        state.is_fetching = true;
        drop(state);
        let fetching = Fetching {
            cache: self,
            outcome: None,
        };
        Some(fetching.end(fetch().map_err(Arc::new), now))
    }

    /// An answer showed this tag (RFC 3507 §4.7). If it is another than before, the service may offer
    /// something else by now, so what came of the fetch that `known` came from holds no longer.
    ///
    /// It is compared with the tag seen last and not with that of the options: there are services
    /// whose `OPTIONS` show another tag than their scans, always.
    pub(crate) fn saw_istag(&self, istag: &str, known: &Known) {
        let mut state = self.lock();
        let is_current = state.fetches == known.fetch;
        if is_current && state.istag.as_deref() != Some(istag) {
            state.istag = Some(istag.to_owned());
            state.cached = None;
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn holds(&self, now: Instant) -> bool {
        let holds = |cached: &Cached| cached.expires.is_none_or(|at| now < at);
        self.cached.as_ref().is_some_and(holds)
    }

    fn known(&self, now: Instant) -> Option<Known> {
        let cached = self.cached.as_ref().filter(|_| self.holds(now))?;
        Some(Known {
            options: Arc::clone(&cached.options),
            fetch: self.fetches,
        })
    }
}

/// A fetch under way. However it ends, also by a panic, the others do not wait for ever.
struct Fetching<'c> {
    cache: &'c OptionsCache,
    outcome: Option<Result<Cached, Arc<Error>>>,
}

impl Fetching<'_> {
    fn end(
        mut self,
        fetched: Result<ServiceOptions, Arc<Error>>,
        now: Instant,
    ) -> Result<Known, Arc<Error>> {
        let outcome = fetched.map(|options| Cached {
            // Beyond what an `Instant` can say is for ever.
            expires: options.options_ttl().and_then(|ttl| now.checked_add(ttl)),
            options: Arc::new(options),
        });
        self.outcome = Some(outcome.clone());
        // Nobody else fetches meanwhile.
        let fetch = self.cache.lock().fetches + 1;
        drop(self);
        outcome.map(|cached| Known {
            options: cached.options,
            fetch,
        })
    }
}

impl Drop for Fetching<'_> {
    fn drop(&mut self) {
        let mut state = self.cache.lock();
        state.is_fetching = false;
        state.fetches += 1;
        state.failure = None;
        match self.outcome.take() {
            Some(Ok(cached)) => {
                let istag = cached.options.istag().map(str::to_owned);
                state.istag = state.istag.take().or(istag);
                state.cached = Some(cached);
            }
            Some(Err(failure)) => state.failure = Some(failure),
            None => {}
        }
        self.cache.changed.notify_all();
    }
}
