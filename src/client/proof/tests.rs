use super::*;
use crate::error::CancelledError;
use crate::seam::time::Clock;

const TERMS: Terms = Terms {
    every: Duration::from_secs(100),
    form: Form {
        method: Method::Respmod,
        preview: None,
    },
};

/// A clock that a test sets.
#[derive(Clone)]
struct SetClock(Arc<Mutex<Instant>>);

impl Clock for SetClock {
    fn now(&self) -> Instant {
        *self.0.lock()
    }
}

/// A client, and a clock that is set to seconds since its start.
struct Watch {
    client: Client,
    clock: SetClock,
    start: Instant,
}

impl Watch {
    fn new() -> Self {
        let start = Instant::now();
        let clock = SetClock(Arc::new(Mutex::new(start)));
        let builder = Client::builder("icap://127.0.0.1/scan").clock(clock.clone());
        let client = builder.build().unwrap();
        Self {
            client,
            clock,
            start,
        }
    }

    fn at(&self, seconds: u64) -> Instant {
        self.start + Duration::from_secs(seconds)
    }

    fn standing(&self, seconds: u64, wanted: Wanted<'_>) -> Standing<'_> {
        *self.clock.0.lock() = self.at(seconds);
        let call = Call::new(&self.client, self.client.start(None), None);
        call.standing(wanted, TERMS)
    }

    fn canary(&self, seconds: u64, wanted: Wanted<'_>) -> Trial<'_> {
        match self.standing(seconds, wanted) {
            Standing::Due(trial) => trial,
            _ => panic!("no canary is due at {seconds}"),
        }
    }
}

#[test]
fn time_of_blindness_is_forgotten_when_it_ends() {
    let watch = Watch::new();
    let canary = |seconds| watch.canary(seconds, Wanted::Any);
    let stands = |seconds| watch.client.state().stands_by(watch.at(seconds));
    assert!(canary(0).found(None));
    assert!(canary(100).missed().is_some());
    assert_eq!([50, 100, 150].map(stands), [false, false, true]);
    assert!(canary(200).found(None));
    assert_eq!([50, 150, 199, 200].map(stands), [false, false, false, true]);
}

#[test]
fn suspicion_is_not_limited_by_a_canary_after_a_new_tag() {
    let watch = Watch::new();
    let suspect = |seconds| watch.client.proofs().suspect(watch.at(seconds));
    let is_proven = |seconds| matches!(watch.standing(seconds, Wanted::Any), Standing::Proven);
    assert!(watch.canary(0, Wanted::Any).found(None));
    let epoch = watch.client.proofs().epoch();
    let tag = |tag: &'static str| Wanted::Under(Some(tag.as_bytes()), epoch);
    assert!(watch.canary(10, tag("2")).found(Some(b"2".to_vec())));
    suspect(15);
    assert!(watch.canary(15, Wanted::Any).found(None));
    // Each of the two comes once a minute.
    suspect(20);
    assert!(is_proven(20));
    assert!(matches!(watch.standing(69, tag("3")), Standing::Unproven));
    assert!(watch.canary(70, tag("3")).found(Some(b"3".to_vec())));
    suspect(72);
    assert!(is_proven(74));
    assert!(watch.canary(75, Wanted::Any).found(None));
}

#[test]
fn timeout_of_another_canary_ends_the_wait() {
    let watch = Watch::new();
    let seconds = Duration::from_secs;
    let deadline = watch.client.start(None);
    let failure = watch.client.timed_out(Phase::Read, &deadline);
    let mut waiter = Waiter {
        since: watch.start,
        ended: None,
        timeout: None,
    };
    assert_eq!(waiter.cap(seconds(60), seconds(4)), seconds(60));
    assert!(waiter.outcome(&State::default(), seconds(4)).is_none());
    // It ends after the read timeout of 10 s, and the next canary begins.
    let state = State {
        ended: 1,
        failure: Some(Arc::new(failure)),
        under_way: Some(2),
        ..State::default()
    };
    assert!(waiter.outcome(&state, seconds(4)).is_none());
    assert_eq!(waiter.cap(seconds(60), seconds(4)), seconds(6));
    assert_eq!(waiter.cap(seconds(5), seconds(4)), seconds(5));
    assert!(waiter.outcome(&state, seconds(10)).is_some());
}

#[test]
fn warning_of_a_missing_proof_comes_once_a_minute() {
    let watch = Watch::new();
    let is_due = |seconds| watch.client.proofs().is_warning_due(watch.at(seconds));
    assert_eq!(
        [0, 1, 59, 60, 61].map(is_due),
        [true, false, false, true, false]
    );
    assert!(watch.canary(200, Wanted::Any).missed().is_some());
    assert!(!is_due(200));
}

#[test]
fn undecided_canary_without_a_proof_has_intervals() {
    let watch = Watch::new();
    let undecided = |seconds| {
        let canary = watch.canary(seconds, Wanted::Any);
        canary.undecided(Wanted::Any, TERMS)
    };
    let is_unproven = |seconds| matches!(watch.standing(seconds, Wanted::Any), Standing::Unproven);
    assert!(is_unproven_after_each(
        &[0, 1, 3, 7, 15, 23],
        undecided,
        is_unproven
    ));
    assert!(watch.canary(31, Wanted::Any).found(None));
    // The next interval is the first one again.
    assert!(!undecided(131));
    assert!(!undecided(132));
}

/// A canary at each of these times is undecided, and none is due one second before the next, nor at the same time.
fn is_unproven_after_each(
    times: &[u64],
    undecided: impl Fn(u64) -> bool,
    is_unproven: impl Fn(u64) -> bool,
) -> bool {
    times.windows(2).all(|pair| {
        let is_proven = undecided(pair[0]);
        !is_proven && is_unproven(pair[0]) && is_unproven(pair[1] - 1)
    })
}

#[test]
fn undecided_canary_with_a_proof_waits_a_minute() {
    let watch = Watch::new();
    let undecided = |seconds| {
        let canary = watch.canary(seconds, Wanted::Any);
        canary.undecided(Wanted::Any, TERMS)
    };
    assert!(watch.canary(0, Wanted::Any).found(None));
    assert!(undecided(80));
    assert!(matches!(watch.standing(99, Wanted::Any), Standing::Proven));
    // No proof holds any more.
    assert!(!undecided(100));
    // A result ends the wait.
    assert!(watch.canary(110, Wanted::Any).found(None));
    assert!(watch.canary(190, Wanted::Any).found(None));
}

#[test]
fn undecided_canary_limits_those_after_a_new_tag() {
    let watch = Watch::new();
    assert!(watch.canary(0, Wanted::Any).found(None));
    let wanted = Wanted::Under(Some(b"2"), watch.client.proofs().epoch());
    assert!(!watch.canary(10, wanted).undecided(wanted, TERMS));
    assert!(matches!(watch.standing(69, wanted), Standing::Unproven));
    assert!(watch.canary(70, wanted).found(Some(b"2".to_vec())));
}

#[test]
fn blind_server_stays_blind_after_an_undecided_canary() {
    let watch = Watch::new();
    let undecided = |seconds| {
        let canary = watch.canary(seconds, Wanted::Any);
        canary.undecided(Wanted::Any, TERMS)
    };
    let is_unproven = |seconds| matches!(watch.standing(seconds, Wanted::Any), Standing::Unproven);
    assert!(watch.canary(0, Wanted::Any).missed().is_some());
    // The intervals are those after missed canaries.
    assert!(is_unproven_after_each(
        &[1, 3, 7, 15, 23],
        undecided,
        is_unproven
    ));
    assert!(watch.client.proofs().is_blind());
    assert!(watch.canary(23, Wanted::Any).found(None));
}

/// The content was sent before the canary that was missed. The later proof says nothing about that time.
#[test]
fn later_proof_does_not_help_a_scan_without_a_result() {
    for is_undecided in [false, true] {
        let watch = Watch::new();
        let proofs = watch.client.proofs();
        let wanted = Wanted::Under(Some(b"2"), proofs.epoch());
        assert!(watch.canary(0, Wanted::Any).found(None));
        let own = watch.canary(1, wanted);
        // A trial of the circuit breaker does not wait for this canary.
        let number = proofs.state.lock().begin();
        let trial = Trial {
            client: &watch.client,
            number,
            why: Why::Missing,
            form: TERMS.form,
            epoch: proofs.epoch(),
            began: watch.at(1),
            is_over: false,
        };
        assert!(trial.missed().is_some());
        assert!(watch.canary(2, Wanted::Any).found(Some(b"2".to_vec())));
        let cancelled = CancelledError::new("icap://127.0.0.1/scan", None);
        let is_proven = match is_undecided {
            true => own.undecided(wanted, TERMS),
            false => own.failed(&cancelled.into(), wanted, TERMS),
        };
        assert!(!is_proven);
    }
}
