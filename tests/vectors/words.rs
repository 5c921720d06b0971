//! Outcomes in the words of the data files.

use icap_client::{Error, Report, Response, ServiceOptions, Verdict};

pub(crate) fn describe(result: &Result<Report, Error>) -> String {
    match result {
        Ok(report) => match report.verdict() {
            Verdict::Clean => "clean".to_owned(),
            Verdict::Infected(threats) => format!("infected: {threats}"),
            Verdict::Blocked(blocked) => format!("blocked: {}", blocked.status()),
            Verdict::Modified(modified) => match modified.body_len() {
                Some(len) => format!("modified: {len}"),
                None => "modified: no body".to_owned(),
            },
            Verdict::NotScanned(why) => format!("not scanned: {why:?}"),
            other => format!("{other:?}"),
        },
        Err(error) => describe_error(error),
    }
}

pub(crate) fn describe_error(error: &Error) -> String {
    match error {
        Error::Status(error) => format!("error: status {}", error.code()),
        Error::Protocol(error) => format!("error: {:?}", error.violation()),
        other => format!("error: {}", other.kind()),
    }
}

pub(crate) fn describe_response(result: &Result<Response, Error>) -> String {
    match result {
        Ok(response) => format!("response {}", response.status()),
        Err(error) => describe_error(error),
    }
}

pub(crate) fn describe_options(result: Result<ServiceOptions, Error>) -> String {
    let options = match result {
        Ok(options) => options,
        Err(error) => return describe_error(&error),
    };
    let mut said = "options".to_owned();
    let mut say = |what: &str, value: Option<String>| {
        if let Some(value) = value {
            said.push_str(&format!(", {what} {value}"));
        }
    };
    say("preview", options.preview().map(|size| size.to_string()));
    say(
        "connections",
        options.max_connections().map(|limit| limit.to_string()),
    );
    say(
        "ttl",
        options.options_ttl().map(|ttl| ttl.as_secs().to_string()),
    );
    say("204", options.allows_204().then(String::new));
    let lists = [
        ("preview for", options.transfer_preview()),
        ("ignores", options.transfer_ignore()),
        ("complete for", options.transfer_complete()),
    ];
    for (what, list) in lists {
        say(what, (!list.is_empty()).then(|| list.join(" ")));
    }
    for warning in options.warnings() {
        say("warns of", warning.split(':').next().map(str::to_owned));
    }
    said
}
