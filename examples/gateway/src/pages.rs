//! What a person sees. `html!` escapes every value, so a file name or a notice cannot become markup.

use std::time::Duration;

use icap_client::stats::{EndpointStats, Histogram};
use icap_client::{Notice, Stats};
use maud::{DOCTYPE, Markup, html};
use oxhttp::model::{Body, Response, StatusCode};

use crate::copies::Copy;
use crate::http;
use crate::sessions::{MAX_USER, Session};
use crate::storage::{Entry, FileId};

pub const STYLE: &str = include_str!("style.css");
pub const SCRIPT: &str = include_str!("upload.js");

/// The drive, with the form for an upload.
pub fn drive(session: &Session, entries: &[Entry], is_scanning: bool) -> Response<Body> {
    page(
        StatusCode::OK,
        "Files",
        &html! {
            script src="/upload.js" defer {}
            (warning(is_scanning))
            p { "You are " b { (session.user) } ". " a href="/login" { "Log in as somebody else" } }
            form #upload data-csrf-token=(session.csrf_token) {
                input #file type="file" required aria-label="File to upload";
                button { "Upload" }
            }
            p #result role="status" {}
            ul #files {
                @for entry in entries {
                    li { a href={ "/files/" (entry.id.as_str()) } { (entry.name) } " " span.size { (entry.len) " bytes" } }
                }
            }
        },
    )
}

pub fn login() -> Response<Body> {
    page(
        StatusCode::OK,
        "Log in",
        &html! {
            form method="post" action="/login" {
                label { "Your name " input name="user" required maxlength=(MAX_USER) autofocus; }
                button { "Log in" }
            }
        },
    )
}

/// The question about a file that was not checked. The form uses POST: crawlers and previews follow links. The status
/// is an error, so that a program that downloads the file does not take this page for it.
pub fn question(copy: &Copy, notice: &Notice, session: &Session, ticket: &str) -> Response<Body> {
    page(
        StatusCode::CONFLICT,
        "This file was not checked",
        &html! {
            p.notice data-code=(notice.code()) { (notice) }
            p { "It may contain malware. Download it only if you trust the person who stored it." }
            form method="post" action={ "/files/" (copy.id.as_str()) } {
                input type="hidden" name="csrf_token" value=(session.csrf_token);
                input type="hidden" name="ticket" value=(ticket);
                button.danger { "Download it anyway" }
            }
            p { a href="/" { "Back to the files" } }
        },
    )
}

/// A file that is refused.
pub fn refused(notice: &Notice) -> Response<Body> {
    page(
        StatusCode::FORBIDDEN,
        "This file is not delivered",
        &html! {
            p.notice data-code=(notice.code()) { (notice) }
            p { "Please tell the person who stored it." }
            p { a href="/" { "Back to the files" } }
        },
    )
}

/// A permission that is not valid.
pub fn not_permitted(id: &FileId, why: &str) -> Response<Body> {
    page(
        StatusCode::FORBIDDEN,
        "The file was not downloaded",
        &html! {
            p.notice { (why) }
            p { a href={ "/files/" (id.as_str()) } { "Open the file again" } }
            p { a href="/" { "Back to the files" } }
        },
    )
}

pub fn failure(failure: &http::Failure) -> Response<Body> {
    page(
        failure.status,
        "This did not work",
        &html! {
            p.notice { (failure.text) }
            p { a href="/" { "Back to the files" } }
        },
    )
}

/// The numbers for the operator.
pub fn status(stats: Option<&Stats>, copies: usize) -> Response<Body> {
    page(
        StatusCode::OK,
        "Status",
        &html! {
            (warning(stats.is_some()))
            @if let Some(stats) = stats {
                table {
                    @for (name, number) in numbers(stats) { tr { th { (name) } td { (number) } } }
                    tr { th { "copies kept" } td { (copies) } }
                }
                @for server in &stats.endpoints {
                    h2 { (server.service) }
                    table {
                        tr { th { "state" } td { (state(server)) } }
                        tr { th { "reports" } td { (server.reports) } }
                        tr { th { "failures" } td { (server.failures) } }
                        tr { th { "EICAR last found" } td { (age(server.eicar_age)) } }
                        tr { th { "state tag last changed" } td { (age(server.state_tag_age)) } }
                    }
                }
                h2 { "Servers that are left alone after failures" }
                @if stats.suspended.is_empty() { p { "none" } }
                ul {
                    @for server in &stats.suspended {
                        li { (server.service) ": " (server.why) ", for " (server.failing_for.as_secs()) " s" }
                    }
                }
            }
            p { a href="/metrics" { "All numbers, for a monitoring system" } }
        },
    )
}

/// The off switch is the operator's, and everybody sees it.
fn warning(is_scanning: bool) -> Markup {
    html! {
        @if !is_scanning { p.off { "The virus scanner is switched off. Files are delivered unchecked." } }
    }
}

fn state(server: &EndpointStats) -> &'static str {
    match (server.is_blind, server.is_suspended) {
        (true, _) => "blind: it missed the last canary",
        (false, true) => "suspended",
        (false, false) => "in use",
    }
}

fn age(age: Option<Duration>) -> String {
    age.map_or_else(
        || "never".to_owned(),
        |age| format!("{} s ago", age.as_secs()),
    )
}

fn numbers(stats: &Stats) -> [(&'static str, u64); 12] {
    let times = stats.durations.values();
    let total: Duration = times.clone().map(Histogram::sum).sum();
    let count: u64 = times.map(Histogram::count).sum();
    let mean = total.as_millis() / u128::from(count.max(1));
    [
        ("scans in flight", stats.scans_in_flight),
        ("callers that wait", stats.waiting_callers),
        (
            "mean time of a scan in ms",
            u64::try_from(mean).unwrap_or(u64::MAX),
        ),
        ("scans", stats.scans),
        ("clean", stats.clean),
        ("infected", stats.infected),
        ("blocked", stats.blocked),
        ("modified", stats.modified),
        ("not scanned", stats.not_scanned),
        ("errors", stats.errors),
        ("failovers", stats.failovers),
        ("idle connections", stats.connections_idle),
    ]
}

fn page(status: StatusCode, title: &str, content: &Markup) -> Response<Body> {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width";
                title { (title) }
                link rel="stylesheet" href="/style.css";
            }
            body {
                h1 { (title) }
                (content)
            }
        }
    };
    http::text(status, "text/html; charset=utf-8", page.into_string())
}
