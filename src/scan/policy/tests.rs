use std::collections::BTreeSet;

use super::language::fill;
use super::*;
use crate::error::{ContentError, ErrorKind};
use crate::scan::verdict::{Blocked, Modified, NotScanned, Verdict};

const SERVICE: &str = "icap://av.example/avscan";

fn report(verdict: Verdict) -> Result<Report, Error> {
    Ok(Report::new(verdict, None, 0, &SERVICE.into()))
}

fn unscanned(why: NotScanned) -> Result<Report, Error> {
    report(Verdict::NotScanned(why))
}

/// A result for each reason but `Infected`, which only a response can make, and the errors.
fn results() -> Vec<Result<Report, Error>> {
    let blocked = Blocked {
        status: 403,
        reason: String::new(),
        is_by_status: true,
    };
    let detail = String::new();
    let modified = [
        (Some(1), None),
        (None, None),
        (Some(1), Some(0)),
        (None, Some(0)),
    ];
    let mut results = vec![report(Verdict::Blocked(blocked))];
    results.extend(modified.map(|(body_len, original_from)| {
        report(Verdict::Modified(Modified {
            body_len,
            original_from,
        }))
    }));
    results.extend(
        [
            NotScanned::TooLarge { limit: 1 },
            NotScanned::ServiceLimit {
                detail: detail.clone(),
            },
            NotScanned::Unscannable {
                detail: detail.clone(),
            },
            NotScanned::Echoed,
            NotScanned::ServiceError {
                status: 500,
                detail,
            },
            NotScanned::EarlyResponse,
            NotScanned::NoEngine,
            NotScanned::Truncated,
            NotScanned::Pending,
            NotScanned::PreviewOnly,
        ]
        .map(unscanned),
    );
    results
}

fn unread(cause: &str) -> Result<Report, Error> {
    let source = std::io::Error::other(cause.to_owned());
    Err(ContentError::read(3, source).into())
}

#[test]
fn every_verdict_and_error_kind_has_its_own_reason() {
    let verdicts = results();
    let verdicts = verdicts.iter().filter_map(Reason::of);
    let errors = ErrorKind::ALL.map(Reason::of_error);
    let reached: BTreeSet<_> = verdicts
        .chain(errors)
        .chain([Reason::Infected, Reason::IncompleteCopy])
        .collect();
    assert_eq!(reached, BTreeSet::from(Reason::ALL));
    let of_errors: BTreeSet<_> = errors.into_iter().collect();
    assert_eq!(of_errors.len(), ErrorKind::ALL.len());
}

#[test]
fn reason_code_is_its_name_in_snake_case() {
    for reason in Reason::ALL {
        let mut name = String::new();
        for c in format!("{reason:?}").chars() {
            if c.is_ascii_uppercase() && !name.is_empty() {
                name.push('_');
            }
            name.push(c.to_ascii_lowercase());
        }
        assert_eq!(reason.code(), name);
        assert_eq!(name.parse(), Ok(reason));
    }
    for kind in ErrorKind::ALL {
        assert_eq!(Reason::of_error(kind).code(), format!("{kind}_error"));
    }
}

#[test]
fn every_reason_has_a_sentence_in_each_language() {
    for language in [&English as &dyn Language, &German] {
        let mut sentences = BTreeSet::new();
        for reason in Reason::ALL {
            let template = language.template(reason).unwrap();
            assert!(template.contains("{name}"), "{template}");
            assert!(template.ends_with('.'), "{template}");
            assert!(sentences.insert(template), "twice: {template}");
            let text = fill(template, |key| {
                let is_known = ["name", "threat", "limit"].contains(&key);
                let is_apt = key != "limit" || reason == Reason::TooLarge;
                assert!(is_known && is_apt, "{template}");
                Some(String::new())
            });
            assert!(!text.contains(['{', '}']), "{template}");
        }
    }
    let english: BTreeSet<_> = Reason::ALL.map(English::sentence).into();
    assert_eq!(english.len(), Reason::ALL.len(), "one has the fallback");
    let is_translated = |reason| German.template(reason) != English.template(reason);
    assert!(Reason::ALL.into_iter().all(is_translated));
}

#[test]
fn default_refuses_ten_reasons_and_asks_about_others() {
    let refused: Vec<_> = Reason::ALL
        .into_iter()
        .filter(|reason| Policy::default().action(*reason) == Action::Refuse)
        .map(Reason::code)
        .collect();
    let expected = [
        "infected",
        "blocked",
        "modified",
        "modified_no_content",
        "modified_partly",
        "content_error",
        "output_error",
        "input_error",
        "cancelled_error",
        "incomplete_copy",
    ];
    assert_eq!(refused, expected);
    let is_delivered = |reason| Policy::default().action(reason) == Action::Deliver;
    assert!(!Reason::ALL.into_iter().any(is_delivered));
}

#[test]
fn each_reason_is_set_on_its_own() {
    for reason in Reason::ALL {
        for action in [Action::Ask, Action::Refuse, Action::Deliver] {
            let before = Policy::default();
            let after = match action {
                Action::Ask => Ok(before.clone().ask(reason)),
                Action::Refuse => Ok(before.clone().refuse(reason)),
                Action::Deliver => before.clone().deliver(reason),
            };
            let Ok(after) = after else {
                assert!(action == Action::Deliver && reason.is_objection());
                continue;
            };
            for other in Reason::ALL {
                let is_set = other == reason;
                let expected = if is_set { action } else { before.action(other) };
                assert_eq!(after.action(other), expected, "{reason} {other}");
            }
        }
    }
}

#[test]
fn objection_is_never_delivered() {
    for reason in [Reason::Infected, Reason::Blocked] {
        let refused = Policy::default().deliver(reason).unwrap_err();
        assert_eq!(refused.reason(), reason);
        let text = refused.to_string();
        assert!(text.contains(reason.code()) && text.contains("never delivered"));
    }
}

#[test]
fn decision_follows_the_action_for_its_reason() {
    let mut results = results();
    results.push(unread("x"));
    for result in &results {
        let reason = Reason::of(result).unwrap();
        let notice = Notice::of(result).unwrap();
        assert_eq!((notice.reason(), notice.code()), (reason, reason.code()));
        let asking = Policy::default().ask(reason);
        assert_eq!(asking.decide(result), Decision::Ask(notice.clone()));
        let refusing = Policy::default().refuse(reason);
        assert_eq!(refusing.decide(result), Decision::Refuse(notice));
        if let Ok(delivering) = Policy::default().deliver(reason) {
            assert_eq!(delivering.decide(result), Decision::Deliver);
        }
    }
}

#[test]
fn clean_is_delivered_by_every_policy() {
    let clean = report(Verdict::Clean);
    let strict = Reason::ALL
        .into_iter()
        .fold(Policy::default(), Policy::refuse);
    assert!(strict.decide(&clean).is_deliver());
    assert_eq!(strict.decide(&clean).notice(), None);
    assert_eq!(Notice::of(&clean), None);
}

#[test]
fn detail_is_one_line_with_service_and_cause() {
    let notice = Notice::of(&unscanned(NotScanned::NoEngine)).unwrap();
    let expected =
        "icap://av.example/avscan: not scanned: the server has no working anti-virus engine";
    assert_eq!(notice.detail(), expected);

    let notice = Notice::of(&unread("disk\nfailure")).unwrap();
    assert!(notice.detail().ends_with("disk\\nfailure"), "{notice:?}");
    assert!(!notice.to_string().contains("disk"));

    let long = "x".repeat(9_000) + " at the end";
    let detail = Notice::of(&unread(&long)).unwrap().detail().to_owned();
    assert_eq!(detail.chars().count(), 2_000);
    assert!(detail.starts_with("cannot read") && detail.ends_with(" at the end"));
}

#[test]
fn placeholder_is_filled_once_and_unknown_ones_stay() {
    let value = |key: &str| match key {
        "name" => Some("{threat}".to_owned()),
        "threat" => Some(String::new()),
        _ => None,
    };
    for (template, text) in [
        ("", ""),
        ("a{name}b{threat}c", "a{threat}bc"),
        ("{limit} {", "{limit} {"),
        ("}{name", "}{name"),
        ("{{name}}", "{{threat}}"),
        ("{x{name}", "{x{threat}"),
    ] {
        assert_eq!(fill(template, value), text, "{template}");
    }
}
