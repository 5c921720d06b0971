//! What the responses of a server say about its state: which state tag it has (RFC 3507 §4.7), and from when on its
//! verdicts are to be trusted.
//!
//! A verdict may be repeated from a cache only while this agrees with it.

use std::time::{Duration, Instant};

use crate::proto::response::Response;
use crate::seam::sync::Mutex;

/// The state of a server, as its responses have shown it.
#[derive(Debug, Default)]
pub(crate) struct ServerState(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// The state tag of the newest response. `None` before the first response, and if the newest one has no tag.
    tag: Option<StateTag>,
    /// The last tag, also if newer responses have none, and when it came first.
    last_tag: Option<(Vec<u8>, Instant)>,
    /// When the tag last changed; also when it came first or was lost.
    changed: Option<Instant>,
    /// The server began a response before it had this many bytes of content, and has not taken as many since.
    responds_early_after: Option<u64>,
    forgotten: Option<Period>,
}

/// A state tag, and when a request began whose response had it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StateTag {
    pub(crate) value: Vec<u8>,
    pub(crate) confirmed: Instant,
}

/// A time in which a server gave verdicts that must not be repeated. Its limits are part of it.
#[derive(Debug, Clone, Copy)]
struct Period {
    /// `None` is from the beginning.
    from: Option<Instant>,
    to: Instant,
}

impl ServerState {
    /// A response came, perhaps only its ICAP head, to a request that `began` then.
    ///
    /// If the request began before the tag last changed, its response may be older than that change. So another tag
    /// in it does not count.
    pub(crate) fn saw(&self, response: &Response, began: Instant, now: Instant) {
        let value = response.state_tag();
        let mut state = self.0.lock();
        let known = state.tag.as_mut();
        if let Some(tag) = known.filter(|tag| Some(&tag.value) == value.as_ref()) {
            tag.confirmed = tag.confirmed.max(began);
        } else if state.changed.is_none_or(|changed| changed <= began) {
            state.changed = Some(now);
            state.responds_early_after = None;
            state.note_tag(value.as_deref(), now);
            state.tag = value.map(|value| StateTag {
                value,
                confirmed: began,
            });
        }
    }

    /// The server called content clean of which it had only `sent` bytes, so it does not scan. What it called clean
    /// before that may not have been scanned either.
    pub(crate) fn saw_early_response(&self, sent: u64, now: Instant) {
        self.forget_since(None, now);
        let mut state = self.0.lock();
        let known = state.responds_early_after;
        state.responds_early_after = Some(known.map_or(sent, |known| known.max(sent)));
    }

    /// The server took all of the `sent` bytes before it responded. Content that is smaller than that of an early
    /// response proves nothing, because the kernel takes it at once.
    pub(crate) fn saw_late_response(&self, sent: u64) {
        let mut state = self.0.lock();
        if state
            .responds_early_after
            .is_some_and(|early| early <= sent)
        {
            state.responds_early_after = None;
        }
    }

    /// Verdicts that the server gave since `from` are not repeated any more; `None` is since ever.
    pub(crate) fn forget_since(&self, from: Option<Instant>, now: Instant) {
        let mut state = self.0.lock();
        let earlier = |known: Period| known.from.zip(from).map(|(a, b)| a.min(b));
        let from = state.forgotten.map_or(from, earlier);
        state.forgotten = Some(Period { from, to: now });
    }

    /// Whether a verdict that the server gave at this time may still be repeated.
    pub(crate) fn stands_by(&self, given: Instant) -> bool {
        let forgotten = self.0.lock().forgotten;
        !forgotten.is_some_and(|period| {
            let is_after_start = period.from.is_none_or(|from| from <= given);
            is_after_start && given <= period.to
        })
    }

    /// How long ago the tag changed, or came first. A response without a tag does not change it. `None` before the
    /// first tag.
    pub(crate) fn tag_age(&self, now: Instant) -> Option<Duration> {
        let state = self.0.lock();
        let (_, since) = state.last_tag.as_ref()?;
        Some(now.saturating_duration_since(*since))
    }

    /// The state tag of the newest response, if it has one.
    pub(crate) fn tag(&self) -> Option<StateTag> {
        self.0.lock().tag.clone()
    }

    /// Whether a response has shown that the server has no state tag, or another one each time it is asked.
    pub(crate) fn is_untagged(&self) -> bool {
        let state = self.0.lock();
        state.tag.is_none() && state.changed.is_some()
    }

    /// Whether the server is known to respond before it has the content.
    pub(crate) fn responds_early(&self) -> bool {
        self.0.lock().responds_early_after.is_some()
    }
}

impl State {
    fn note_tag(&mut self, value: Option<&[u8]>, now: Instant) {
        let last = self.last_tag.as_ref().map(|(last, _)| last.as_slice());
        if let Some(value) = value.filter(|_| last != value) {
            self.last_tag = Some((value.to_owned(), now));
        }
    }
}
