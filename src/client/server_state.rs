//! What the responses of a server say about its state: which state tag it has (RFC 3507 §4.7), and from when on its
//! verdicts are to be trusted.
//!
//! A verdict may be given again from a cache only while this agrees with it.

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
    /// Verdicts of scans that began until then must not be given again.
    forgotten: Option<Instant>,
}

/// A state tag, and when a request began whose response had it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StateTag {
    pub(crate) value: Vec<u8>,
    pub(crate) confirmed: Instant,
    /// When a response with another tag came last of which it is unknown whether it is older. Only a request that began
    /// after that confirms this tag.
    pub(crate) doubted: Option<Instant>,
}

impl StateTag {
    /// Whether a response has confirmed the tag since this time, and since it was last doubted.
    pub(crate) fn is_confirmed_since(&self, since: Option<Instant>) -> bool {
        since
            .max(self.doubted)
            .is_none_or(|at| at <= self.confirmed)
    }
}

impl ServerState {
    /// A response came, perhaps only its ICAP head, to a request that `began` then.
    ///
    /// If the request began before the tag last changed, its response may be older than that change. So another tag
    /// in it does not count, but it puts the known one in doubt.
    pub(crate) fn saw(&self, response: &Response, began: Instant, now: Instant) {
        let value = response.state_tag();
        let mut state = self.0.lock();
        let is_new = state.changed.is_none_or(|changed| changed <= began);
        let known = state.tag.as_mut();
        if let Some(tag) = known.filter(|tag| Some(&*tag.value) == value) {
            tag.confirmed = tag.confirmed.max(began);
        } else if is_new {
            state.changed = Some(now);
            state.responds_early_after = None;
            state.note_tag(value, now);
            state.tag = value.map(|value| StateTag {
                value: value.to_vec(),
                confirmed: began,
                doubted: None,
            });
        } else if let Some(tag) = state.tag.as_mut() {
            tag.doubted = Some(now);
        }
    }

    /// The server called content clean of which it had only `sent` bytes, so it does not scan. What it called clean
    /// before that may not have been scanned either.
    pub(crate) fn saw_early_response(&self, sent: u64, now: Instant) {
        self.forget(now);
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

    /// Verdicts of scans that began at `until` or before are not given again. This is for what shows that the server
    /// does not scan: since when it does not is unknown.
    pub(crate) fn forget(&self, until: Instant) {
        let mut state = self.0.lock();
        state.forgotten = state.forgotten.max(Some(until));
    }

    /// Whether a verdict of a scan that began then may be given again.
    pub(crate) fn stands_by(&self, began: Instant) -> bool {
        self.0.lock().forgotten.is_none_or(|until| until < began)
    }

    /// How long ago the tag changed, or came first. A response without a tag does not change it. `None` before the
    /// first tag.
    pub(crate) fn tag_age(&self, now: Instant) -> Option<Duration> {
        let state = self.0.lock();
        let (_, since) = state.last_tag.as_ref()?;
        Some(now.saturating_duration_since(*since))
    }

    /// Whether the newest response has a state tag, and that is [confirmed](StateTag::is_confirmed_since).
    pub(crate) fn is_tag_confirmed_since(&self, since: Option<Instant>) -> bool {
        let state = self.0.lock();
        let tag = state.tag.as_ref();
        tag.is_some_and(|tag| tag.is_confirmed_since(since))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::method::Method;
    use crate::proto::response_reader::ResponseReader;

    fn response(fields: &str) -> Response {
        let input = format!("ICAP/1.0 204 No Content\r\n{fields}\r\n");
        let mut reader = ResponseReader::new(Method::Respmod, 0);
        let mut used = 0;
        while !reader.has_ended() {
            used += reader.feed(&input.as_bytes()[used..]).unwrap().0;
        }
        reader.into_remains().response.unwrap()
    }

    /// A state, and the seconds since the beginning of the test.
    struct Watch {
        state: ServerState,
        start: Instant,
    }

    impl Watch {
        fn new() -> Self {
            Self {
                state: ServerState::default(),
                start: Instant::now(),
            }
        }

        fn at(&self, seconds: u64) -> Instant {
            self.start + Duration::from_secs(seconds)
        }

        fn saw(&self, tag: &str, began: u64, now: u64) {
            let fields = match tag {
                "" => String::new(),
                tag => format!("ISTag: {tag}\r\n"),
            };
            let (began, now) = (self.at(began), self.at(now));
            self.state.saw(&response(&fields), began, now);
        }

        /// The tag, and when it was confirmed.
        fn tag(&self) -> Option<(String, u64)> {
            let tag = self.state.tag()?;
            let confirmed = (tag.confirmed - self.start).as_secs();
            Some((String::from_utf8(tag.value).unwrap(), confirmed))
        }
    }

    #[test]
    fn tag_is_confirmed_when_the_request_began() {
        let watch = Watch::new();
        assert_eq!((watch.tag(), watch.state.is_untagged()), (None, false));
        watch.saw("a", 1, 5);
        assert_eq!(watch.tag(), Some(("a".to_owned(), 1)));
        watch.saw("\"a\"", 6, 7);
        watch.saw("a", 2, 8);
        assert_eq!(watch.tag(), Some(("a".to_owned(), 6)));
    }

    #[test]
    fn late_response_does_not_bring_an_old_tag_back() {
        let watch = Watch::new();
        watch.saw("old", 1, 2);
        watch.saw("new", 3, 4);
        watch.saw("old", 3, 10);
        watch.saw("", 3, 11);
        assert_eq!(watch.tag(), Some(("new".to_owned(), 3)));
        watch.saw("old", 12, 13);
        assert_eq!(watch.tag(), Some(("old".to_owned(), 12)));
    }

    #[test]
    fn tag_of_an_older_request_casts_doubt() {
        let watch = Watch::new();
        let is_confirmed = |since: Option<u64>| {
            let since = since.map(|since| watch.at(since));
            watch.state.tag().unwrap().is_confirmed_since(since)
        };
        watch.saw("old", 1, 2);
        watch.saw("new", 3, 4);
        assert_eq!(
            [None, Some(3), Some(4)].map(is_confirmed),
            [true, true, false]
        );
        for (other, at) in [("newer", 10), ("", 20)] {
            watch.saw(other, 1, at);
            assert_eq!([None, Some(1)].map(is_confirmed), [false, false]);
            // The server may have changed its tag after it had got this request.
            watch.saw("new", at - 1, at + 1);
            assert!(!is_confirmed(None));
            watch.saw("new", at, at + 2);
            assert!(is_confirmed(None) && is_confirmed(Some(at)));
        }
    }

    #[test]
    fn missing_or_ambiguous_tag_is_unknown() {
        let long = format!("ISTag: {}\r\n", "x".repeat(300));
        for fields in ["", "ISTag: a\r\nISTag: a\r\n", "ISTag: \"a\r\n", &long] {
            let watch = Watch::new();
            watch.saw("a", 1, 2);
            watch.state.saw(&response(fields), watch.at(3), watch.at(4));
            assert_eq!(watch.tag(), None, "{fields}");
            assert!(watch.state.is_untagged(), "{fields}");
        }
    }

    #[test]
    fn forgotten_time_lasts_until_the_latest_end() {
        let watch = Watch::new();
        let stand = |times: [u64; 4]| times.map(|at| watch.state.stands_by(watch.at(at)));
        assert_eq!(stand([0, 10, 20, 30]), [true; 4]);
        watch.state.forget(watch.at(20));
        assert_eq!(stand([0, 10, 20, 21]), [false, false, false, true]);
        watch.state.forget(watch.at(10));
        assert_eq!(stand([0, 10, 20, 21]), [false, false, false, true]);
    }

    #[test]
    fn early_response_counts_until_as_much_content_was_taken() {
        let watch = Watch::new();
        watch.state.saw_early_response(100, watch.at(1));
        watch.state.saw_early_response(50, watch.at(2));
        watch.state.saw_late_response(99);
        assert!(watch.state.responds_early());
        assert!(!watch.state.stands_by(watch.at(2)));
        watch.state.saw_late_response(100);
        assert!(!watch.state.responds_early());
        // The engine was started, which changes the tag.
        watch.state.saw_early_response(100, watch.at(3));
        watch.saw("a", 4, 5);
        assert!(!watch.state.responds_early());
    }

    #[test]
    fn tag_is_as_old_as_its_first_sight() {
        let watch = Watch::new();
        assert_eq!(watch.state.tag_age(watch.at(1)), None);
        for (tag, seen, looked, age) in [
            ("A", 0, 5, 5),
            ("A", 6, 7, 7),
            ("", 7, 8, 8),
            ("A", 8, 9, 9),
            ("B", 10, 11, 1),
            ("A", 12, 15, 3),
        ] {
            watch.saw(tag, seen, seen);
            let expected = Some(Duration::from_secs(age));
            assert_eq!(
                watch.state.tag_age(watch.at(looked)),
                expected,
                "{tag} {seen}"
            );
        }
    }
}
