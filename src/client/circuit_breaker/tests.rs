use super::*;

fn cause(text: &str) -> Cause {
    Cause {
        kind: ErrorKind::Disconnected,
        text: text.to_owned(),
    }
}

const RULES: BreakerRules = BreakerRules {
    after: 3,
    first: Duration::from_secs(1),
    longest: Duration::from_secs(8),
};

const MOMENT: Duration = Duration::from_millis(1);

fn breaker() -> CircuitBreaker {
    CircuitBreaker::without_jitter(RULES)
}

fn fail(breaker: &CircuitBreaker, how: Failure, now: Instant) -> Option<Duration> {
    breaker
        .admit(now)
        .ok()?
        .failed(how, &cause("it failed"), now)
}

/// Lets it fail until the circuit opens.
fn open(breaker: &CircuitBreaker, now: Instant) {
    for _ in 0..RULES.after {
        fail(breaker, Failure::Refusal, now);
    }
    assert!(breaker.rejection().is_some());
}

#[test]
fn circuit_opens_after_failures_in_a_row() {
    let (breaker, now) = (breaker(), Instant::now());
    for _ in 0..2 {
        assert_eq!(fail(&breaker, Failure::Loss, now), None);
        assert_eq!(fail(&breaker, Failure::Refusal, now), None);
        breaker.admit(now).unwrap().succeeded();
    }
    assert_eq!(fail(&breaker, Failure::Loss, now), None);
    assert_eq!(fail(&breaker, Failure::Loss, now), None);
    assert_eq!(fail(&breaker, Failure::Loss, now), Some(RULES.first));
    let rejection = breaker.admit(now).err().unwrap();
    assert_eq!(
        (rejection.why.text.as_str(), rejection.since),
        ("it failed", now)
    );
    assert_eq!(rejection.next_trial, now + RULES.first);
}

#[test]
fn failed_trial_doubles_the_interval_up_to_the_longest() {
    let (breaker, began) = (breaker(), Instant::now());
    open(&breaker, began);
    for seconds in [2, 4, 8, 8] {
        let now = breaker.rejection().unwrap().next_trial;
        assert!(breaker.admit(now - MOMENT).is_err());
        let trial = breaker.admit(now).unwrap();
        assert!(breaker.admit(now).is_err(), "one trial at a time");
        let interval = trial.failed(Failure::Loss, &cause("again"), now).unwrap();
        assert_eq!(interval, Duration::from_secs(seconds));
        let rejection = breaker.rejection().unwrap();
        assert_eq!(rejection.next_trial, now + interval);
        assert_eq!(
            (rejection.since, rejection.why.text.as_str()),
            (began, "again")
        );
    }
}

#[test]
fn success_of_a_trial_closes_the_circuit() {
    let (breaker, began) = (breaker(), Instant::now());
    open(&breaker, began);
    let now = began + RULES.first;
    assert_eq!(breaker.admit(now).unwrap().succeeded(), Some(began));
    assert!(breaker.rejection().is_none());
    // The next opening begins anew.
    open(&breaker, now);
    assert_eq!(breaker.rejection().unwrap().next_trial, now + RULES.first);
}

#[test]
fn overlapping_trial_begins_an_interval_after_the_last() {
    let (breaker, began) = (breaker(), Instant::now());
    open(&breaker, began);
    let mut trials = Vec::new();
    for second in 1..5 {
        let now = began + Duration::from_secs(second);
        trials.push(breaker.admit(now).unwrap());
        assert!(breaker.admit(now + RULES.first - MOMENT).is_err());
    }
    // Not only the newest one counts.
    assert_eq!(trials.swap_remove(1).succeeded(), Some(began));
    for late in trials {
        late.failed(Failure::Loss, &cause("late"), began);
    }
    assert!(breaker.rejection().is_none(), "others succeeded meanwhile");
}

#[test]
fn overlapping_trials_double_the_interval_once() {
    let (breaker, began) = (breaker(), Instant::now());
    open(&breaker, began);
    let at = |seconds| began + Duration::from_secs(seconds);
    let trials: Vec<_> = (1..4).map(|s| breaker.admit(at(s)).unwrap()).collect();
    let fail = |trial: Admission<'_>| trial.failed(Failure::Loss, &cause("slow"), at(3));
    let doubled: Vec<_> = trials.into_iter().map(fail).collect();
    assert_eq!(doubled, [Some(2 * RULES.first), None, None]);
    assert_eq!(breaker.rejection().unwrap().next_trial, at(5));
}

#[test]
fn trial_without_an_outcome_is_given_back_at_once() {
    let (breaker, began) = (breaker(), Instant::now());
    open(&breaker, began);
    let now = began + RULES.first;
    let first = breaker.admit(now).unwrap();
    drop(breaker.admit(now + RULES.first).unwrap());
    let panics = std::panic::AssertUnwindSafe(|| {
        let _trial = breaker.admit(now + RULES.first).unwrap();
        panic!("of the caller");
    });
    assert!(std::panic::catch_unwind(panics).is_err());
    let third = breaker.admit(now + RULES.first).unwrap();
    // A trial that was followed by another one gives nothing back.
    drop(first);
    assert!(breaker.admit(now + RULES.first).is_err());
    third.succeeded();
    assert!(breaker.rejection().is_none());
}

#[test]
fn exchange_from_before_the_opening_changes_nothing() {
    let (breaker, now) = (breaker(), Instant::now());
    let under_way: Vec<_> = (0..9).map(|_| breaker.admit(now).unwrap()).collect();
    assert!(under_way[0].overtaken().is_none());
    open(&breaker, now);
    assert!(under_way[0].overtaken().is_some());
    let before = breaker.rejection();
    for (at, admission) in under_way.into_iter().enumerate() {
        match at % 3 {
            0 => drop(admission.succeeded()),
            1 => drop(admission.failed(Failure::Refusal, &cause("late"), now)),
            _ => drop(admission),
        }
    }
    assert_eq!(breaker.rejection(), before);
}

#[test]
fn failure_from_before_an_outage_does_not_count_after_it() {
    let (breaker, now) = (breaker(), Instant::now());
    let under_way: Vec<_> = (0..9).map(|_| breaker.admit(now).unwrap()).collect();
    open(&breaker, now);
    breaker.admit(now + RULES.first).unwrap().succeeded();
    for admission in under_way {
        assert_eq!(
            admission.failed(Failure::Refusal, &cause("late"), now),
            None
        );
    }
    assert!(breaker.rejection().is_none());
}

#[test]
fn connections_that_break_at_once_are_no_failures_in_a_row() {
    let (breaker, now) = (breaker(), Instant::now());
    let under_way: Vec<_> = (0..9).map(|_| breaker.admit(now).unwrap()).collect();
    breaker.admit(now).unwrap().succeeded();
    for admission in under_way {
        assert_eq!(admission.failed(Failure::Loss, &cause("lost"), now), None);
    }
    assert!(breaker.rejection().is_none());
    // Those that began later count.
    let count = |_| fail(&breaker, Failure::Loss, now).is_some();
    assert_eq!((0..3).map(count).collect::<Vec<_>>(), [false, false, true]);
}

#[test]
fn overload_opens_at_once_for_a_moment_that_grows() {
    let (breaker, mut now) = (breaker(), Instant::now());
    for interval in [OVERLOAD, 2 * OVERLOAD, 4 * OVERLOAD] {
        assert_eq!(fail(&breaker, Failure::Overload, now), Some(interval));
        now += interval;
    }
    breaker.admit(now).unwrap().succeeded();
    assert_eq!(fail(&breaker, Failure::Overload, now), Some(OVERLOAD));
}

#[test]
fn interval_too_long_for_an_instant_is_a_year() {
    let rules = BreakerRules {
        after: 1,
        first: Duration::MAX,
        longest: Duration::ZERO,
    };
    for breaker in [
        CircuitBreaker::new(rules),
        CircuitBreaker::without_jitter(rules),
    ] {
        let now = Instant::now();
        assert_eq!(
            fail(&breaker, Failure::Loss, now),
            Some(Duration::MAX),
            "the longest is none too short"
        );
        let next_trial = breaker.rejection().unwrap().next_trial;
        assert!(next_trial > now + Duration::from_secs(1 << 20));
    }
}

#[test]
fn jitter_is_a_fifth_and_differs() {
    let interval = Duration::from_secs(8);
    let waits: Vec<_> = (0..100).map(|_| jittered(interval)).collect();
    let range = interval * 4 / 5..=interval * 6 / 5;
    assert!(waits.iter().all(|wait| range.contains(wait)), "{waits:?}");
    assert!(waits.iter().any(|wait| *wait < interval));
    assert!(waits.iter().any(|wait| *wait > interval));
    assert!(jittered(Duration::MAX) > Duration::MAX / 2);
    assert_eq!(jittered(Duration::ZERO), Duration::ZERO);
}

/// Numbers that only look random.
fn numbers(mut seed: u64) -> impl Iterator<Item = u64> {
    std::iter::repeat_with(move || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed
    })
}

#[test]
fn overlapping_exchanges_follow_the_rules_in_any_order() {
    let mut random = numbers(7);
    for _ in 0..500 {
        let length = random.next().unwrap() % 400;
        let bytes = random.by_ref().take(usize::try_from(length).unwrap());
        let data: Vec<u8> = bytes.map(|number| number.to_le_bytes()[3]).collect();
        crate::fuzz_checks::circuit_breaker(&data);
    }
}

/// When a server is used again that fails for `outage`, each exchange after `takes`.
fn used_again(outage: Duration, takes: Duration) -> Duration {
    let breaker = CircuitBreaker::new(RULES);
    let began = Instant::now();
    open(&breaker, began);
    let mut under_way = std::collections::VecDeque::new();
    let mut now = began;
    loop {
        while under_way.front().is_some_and(|(at, _)| *at + takes <= now) {
            let (_, trial): (_, Admission<'_>) = under_way.pop_front().unwrap();
            trial.failed(Failure::Loss, &cause("outage"), now);
        }
        if let Ok(trial) = breaker.admit(now) {
            if now >= began + outage {
                return now - began;
            }
            under_way.push_back((now, trial));
        }
        now += Duration::from_millis(10);
    }
}

#[test]
fn server_is_used_again_soon_after_an_outage() {
    let mut random = numbers(3);
    let mut below = |limit: u64| Duration::from_millis(random.next().unwrap() % limit);
    for _ in 0..300 {
        let (outage, takes) = (below(60_000), below(10_000));
        let bound = (outage + RULES.first).min(Duration::from_secs(10));
        let waited = used_again(outage, takes) - outage;
        assert!(
            waited <= bound * 6 / 5 + takes,
            "{outage:?} {takes:?} {waited:?}"
        );
    }
}

#[test]
fn only_a_closed_circuit_admits_without_the_time() {
    let (breaker, began) = (breaker(), Instant::now());
    let admitted = breaker.admit_if_closed().unwrap();
    assert!(!admitted.is_trial() && admitted.overtaken().is_none());
    open(&breaker, began);
    assert!(breaker.admit_if_closed().is_none());
    assert!(admitted.overtaken().is_some());
    let trial = breaker.admit(began + RULES.first).unwrap();
    // A trial is under way, so there is no other one.
    assert!(trial.is_trial() && breaker.admit_if_closed().is_none());
    trial.succeeded();
    assert!(breaker.admit_if_closed().is_some());
}
