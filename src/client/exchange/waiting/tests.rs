use super::*;

const SECOND: Duration = Duration::from_secs(1);

const TIMEOUTS: Timeouts = Timeouts {
    connect: SECOND,
    read: Duration::from_secs(10),
    write: Duration::from_secs(20),
    wait: None,
    response: Some(Duration::from_secs(30)),
};

/// Begins with `wait`, at the time that is returned.
fn start(wait: Wait) -> (Waiting<'static>, Instant) {
    let now = Instant::now();
    let mut waiting = Waiting::start(&TIMEOUTS, now);
    waiting.begin(wait, now);
    (waiting, now)
}

fn ran_out(limit: TimeLimit, seconds: u32) -> Result<Duration, RanOut> {
    let after = seconds * SECOND;
    Err(RanOut { limit, after })
}

#[test]
fn each_wait_has_its_timeout() {
    for (wait, limit, seconds) in [
        (Wait::Upload, TimeLimit::WriteTimeout, 20),
        (Wait::Head, TimeLimit::ResponseTimeout, 30),
        (Wait::Body, TimeLimit::ReadTimeout, 10),
    ] {
        let (waiting, now) = start(wait);
        let last = now + (seconds - 1) * SECOND;
        assert_eq!(waiting.left(last), Ok(SECOND), "{wait:?}");
        assert!(!waiting.is_the_servers(last));
        let end = now + seconds * SECOND;
        assert_eq!(waiting.left(end), ran_out(limit, seconds), "{wait:?}");
        assert!(waiting.is_the_servers(end));
    }
}

#[test]
fn response_timeout_is_the_read_timeout_unless_it_is_set() {
    let now = Instant::now();
    let response = None;
    let timeouts = Timeouts {
        response,
        ..TIMEOUTS
    };
    let mut waiting = Waiting::start(&timeouts, now);
    waiting.begin(Wait::Head, now);
    let end = now + 10 * SECOND;
    assert_eq!(waiting.left(end), ran_out(TimeLimit::ReadTimeout, 10));
}

#[test]
fn bytes_of_the_head_do_not_restart_its_timeout() {
    let (mut waiting, now) = start(Wait::Head);
    for second in 1..30 {
        waiting.moved(1, now + second * SECOND);
    }
    let end = now + 30 * SECOND;
    assert_eq!(waiting.left(end), ran_out(TimeLimit::ResponseTimeout, 30));
}

#[test]
fn wait_for_the_head_restarts_after_a_preview() {
    let (mut waiting, mut now) = start(Wait::Head);
    now += 29 * SECOND;
    waiting.begin(Wait::Upload, now);
    waiting.begin(Wait::Head, now);
    assert_eq!(waiting.left(now + 29 * SECOND), Ok(SECOND));
    assert!(waiting.is_the_servers(now + SECOND), "it adds up");
}

#[test]
fn trickle_of_bytes_is_too_slow() {
    for wait in [Wait::Upload, Wait::Body] {
        let (mut waiting, now) = start(wait);
        for second in 1..10 {
            waiting.moved(1023, now + second * SECOND);
        }
        assert_eq!(waiting.left(now + 9 * SECOND), Ok(SECOND));
        let end = now + 10 * SECOND;
        assert_eq!(waiting.left(end), ran_out(TimeLimit::MinimumRate, 10));
    }
}

#[test]
fn bytes_at_the_minimum_rate_continue_and_add_up() {
    let (mut waiting, mut now) = start(Wait::Body);
    for second in 1..100 {
        now += SECOND;
        waiting.moved(1024, now);
        assert!(waiting.left(now).is_ok(), "{second}");
        assert_eq!(waiting.is_the_servers(now), second >= 10);
    }
    // Then it begins to trickle.
    for _ in 0..20 {
        now += SECOND;
        waiting.moved(1, now);
    }
    assert_eq!(waiting.left(now), ran_out(TimeLimit::MinimumRate, 10));
}

#[test]
fn pause_of_the_caller_is_no_wait_for_the_server() {
    for wait in [Wait::Upload, Wait::Head, Wait::Body] {
        let (mut waiting, mut now) = start(wait);
        for _ in 0..5 {
            let began = now + SECOND;
            now = began + 100 * SECOND;
            waiting.paused(began, now);
            waiting.moved(1, now);
        }
        assert!(!waiting.is_the_servers(now + 4 * SECOND), "{wait:?}");
        let is_in_time = waiting.left(now + 4 * SECOND).is_ok();
        assert!(is_in_time, "{wait:?}");
    }
}

#[test]
fn stall_after_many_bytes_is_not_slow() {
    let (mut waiting, now) = start(Wait::Upload);
    waiting.moved(1 << 20, now);
    assert_eq!(waiting.left(now + 19 * SECOND), Ok(SECOND));
    let end = now + 20 * SECOND;
    assert_eq!(waiting.left(end), ran_out(TimeLimit::WriteTimeout, 20));
}

#[test]
fn pause_before_the_last_content_alone_counts_after_it() {
    let (mut waiting, mut now) = start(Wait::Upload);
    let mut pause = |waiting: &mut Waiting<'_>, time: Duration| {
        waiting.paused(now, now + time);
        now += time;
    };
    pause(&mut waiting, LONG_PAUSE / 2);
    assert_eq!(waiting.long_pause(), None);
    pause(&mut waiting, SECOND);
    pause(&mut waiting, LONG_PAUSE / 2);
    assert_eq!(waiting.long_pause(), Some(SECOND));
    waiting.content_is_sent();
    assert_eq!(waiting.long_pause(), None);
    pause(&mut waiting, SECOND);
    waiting.content_is_sent();
    assert_eq!(waiting.long_pause(), Some(SECOND));
}
