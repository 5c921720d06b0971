//! Responses of real servers and their verdicts: each transcript in `tests/data/servers`, unchanged, truncated,
//! in pieces, and with parts changed.

mod recorded;
mod transcript;

use icap_client::testing::{CLEAN, Script, Server, eicar};
use icap_client::{Content, Error, NotScanned, Preview, Report, Scanner, ScannerBuilder, Verdict};

use recorded::Recording;
use transcript::{Outcome, Transcript, all};

fn scan(transcript: &Transcript, builder: ScannerBuilder) -> Result<Report, Error> {
    let content = Content::bytes(&transcript.content);
    scanner(transcript, builder).scan(content)
}

fn scanner(transcript: &Transcript, builder: ScannerBuilder) -> Scanner {
    let preview = transcript.preview().map_or(Preview::Off, Preview::Limit);
    let scanner = builder
        .negotiate(transcript.options.is_some())
        .preview(preview)
        .allow_204(transcript.allows_204())
        .allow_206(transcript.allows_206());
    scanner.build().unwrap()
}

/// Replays a transcript without a socket, at most `step` bytes at a time.
fn replay(transcript: &Transcript, step: usize) -> Result<Report, Error> {
    let responses = transcript.responses();
    let recording = Recording { responses, step };
    let builder = Scanner::builder("icap://av.example/avscan");
    scan(transcript, builder.connector(recording))
}

fn is_clean(result: &Result<Report, Error>) -> bool {
    result
        .as_ref()
        .is_ok_and(|report| report.verdict().is_clean())
}

fn is_infected(result: &Result<Report, Error>) -> bool {
    result
        .as_ref()
        .is_ok_and(|report| report.verdict().is_infected())
}

fn is_refused(result: &Result<Report, Error>) -> bool {
    result
        .as_ref()
        .is_ok_and(|report| matches!(report.verdict(), Verdict::Blocked(_)))
}

/// The position after the ICAP head.
fn head_end(response: &[u8]) -> usize {
    response
        .windows(4)
        .position(|four| four == b"\r\n\r\n")
        .unwrap()
        + 4
}

/// The fields of the ICAP head without `Encapsulated`, which is never folded.
fn fields(response: &[u8]) -> Vec<u8> {
    let head = &response[..head_end(response) - 2];
    let lines = head.split_inclusive(|&byte| byte == b'\n').skip(1);
    let kept = lines.filter(|line| !line.starts_with(b"Encapsulated:"));
    kept.flatten().copied().collect()
}

#[test]
fn transcript_leads_to_its_stated_verdict() {
    for transcript in all() {
        let mut script = Script::new();
        if let Some(options) = &transcript.options {
            script = script.read_request().send(options);
        }
        script = script.read_request().send(&transcript.response);
        if let Some(then) = &transcript.then {
            script = script.read_rest().send(then);
        }
        let server = Server::scripted([script]).unwrap();
        let result = scan(&transcript, Scanner::builder(server.uri()));
        let outcome = Outcome::of(&result);
        assert_eq!(
            outcome, transcript.outcome,
            "{}: {result:?}",
            transcript.name
        );
    }
}

#[test]
fn transcript_in_single_bytes_has_the_same_verdict() {
    for transcript in all() {
        for step in [1, 2, 7, usize::MAX] {
            let outcome = Outcome::of(&replay(&transcript, step));
            assert_eq!(outcome, transcript.outcome, "{} by {step}", transcript.name);
        }
    }
}

#[test]
fn truncated_transcript_keeps_evidence_and_is_not_clean() {
    for transcript in all() {
        let mut cut = transcript.clone();
        let (mut found, mut refused) = (false, false);
        let whole = cut.last().clone();
        for len in 0..whole.len() {
            *cut.last() = whole[..len].to_vec();
            let result = replay(&cut, usize::MAX);
            assert!(!is_clean(&result), "{} cut at {len}", cut.name);
            if transcript.is_infected() {
                assert!(!found || is_infected(&result), "{} lost at {len}", cut.name);
                found = is_infected(&result);
            }
            // It may be infected, or explained by a limit of the service.
            let is_lost = result.is_err() && refused;
            refused = is_refused(&result);
            assert!(!is_lost, "{} lost at {len}", cut.name);
        }
    }
}

/// The verdict on content, and the bytes in the writer, after the response of c-icap's percent mode.
fn percent_mode(content: Content<'_>, has_length: bool) -> (Verdict, Vec<u8>) {
    let mut transcripts = all().into_iter();
    let mut percent = transcripts.find(|t| t.name == "c-icap-percent").unwrap();
    if !has_length {
        // As long as before, so that the offsets are right.
        let text = String::from_utf8(percent.response).unwrap();
        percent.response = text
            .replace("Content-Length", "Content-Lenght")
            .into_bytes();
    }
    let responses = percent.responses();
    let recording = Recording { responses, step: 7 };
    let builder = Scanner::builder("icap://av.example/virus_scan").connector(recording);
    let mut output = Vec::new();
    let report = scanner(&percent, builder).scan_replace(content, &mut output);
    (report.unwrap().verdict().clone(), output)
}

#[test]
fn percent_mode_leaves_a_part_in_the_writer() {
    let truncated = Verdict::NotScanned(NotScanned::Truncated);
    let (verdict, beginning) = percent_mode(Content::bytes(b"other content"), true);
    assert_eq!((verdict, beginning.len()), (truncated.clone(), 181));
    // As it was scanned: the virus comes after the text.
    let infected = [&beginning[..], &[b' '; 1819 - 181 - 68], &eicar()].concat();
    for has_length in [true, false] {
        for content in [Content::bytes(&infected), Content::reader(&infected[..])] {
            let (verdict, output) = percent_mode(content, has_length);
            assert_eq!(verdict, truncated);
            assert_eq!(output, &infected[..181], "not to be delivered");
        }
    }
}

#[test]
fn bytes_after_a_transcript_make_it_no_cleaner() {
    for transcript in all() {
        for behind in ["X", CLEAN] {
            let mut longer = transcript.clone();
            longer.last().extend_from_slice(behind.as_bytes());
            let result = replay(&longer, usize::MAX);
            assert!(!is_clean(&result), "{}: {result:?}", longer.name);
            assert_eq!(
                is_infected(&result),
                transcript.is_infected(),
                "{}",
                longer.name
            );
        }
    }
}

#[test]
fn without_encapsulated_only_a_204_can_be_clean() {
    for transcript in all() {
        let mut without = transcript.clone();
        let whole = without.last().clone();
        let status_line = whole.split_inclusive(|&byte| byte == b'\n').next().unwrap();
        let rest = [b"\r\n", &whole[head_end(&whole)..]].concat();
        *without.last() = [status_line, &fields(&whole), &rest].concat();
        let result = replay(&without, usize::MAX);
        let is_204 = whole.starts_with(b"ICAP/1.0 204 ");
        assert_eq!(
            is_clean(&result),
            transcript.is_clean() && is_204,
            "{}",
            without.name
        );
    }
}

#[test]
fn icap_head_evidence_counts_under_every_status() {
    let mut moved = 0;
    for transcript in all() {
        let mut other = transcript.clone();
        let whole = other.last().clone();
        *other.last() = whole[..head_end(&whole)].to_vec();
        if !transcript.is_infected() || !is_infected(&replay(&other, usize::MAX)) {
            continue;
        }
        moved += 1;
        for status in [
            "200 OK",
            "204 No Content",
            "206 Partial Content",
            "403 Forbidden",
            "503 Busy",
        ] {
            let line = format!("ICAP/1.0 {status}\r\n");
            let end = b"Encapsulated: null-body=0\r\n\r\n";
            *other.last() = [line.as_bytes(), &fields(&whole), end].concat();
            let outcome = Outcome::of(&replay(&other, usize::MAX));
            let threats = &transcript.outcome.threats;
            assert_eq!(&outcome.threats, threats, "{} as {status}", other.name);
        }
    }
    assert!(moved > 20, "only {moved}");
}

#[test]
fn transcripts_cover_every_known_shape() {
    let transcripts = all();
    for (server, shapes) in [
        ("c-icap-", "clean infected blocked limit error modified"),
        ("squidclamav-", "clean infected blocked"),
        ("symantec-", "clean infected limit error"),
        ("broadcom-", "clean infected limit error"),
        ("symantec-dlp-", "blocked"),
        ("skyhigh-", "clean infected blocked error"),
        ("kaspersky-", "clean infected blocked"),
        ("kwts-", "clean infected blocked"),
        ("sophos-", "clean infected blocked"),
        ("eset-", "clean infected blocked error"),
        ("trend-", "clean infected blocked error"),
        ("vision-one-", "clean blocked error"),
        ("withsecure-", "clean infected"),
        ("bitdefender-", "clean infected"),
        ("drweb-", "clean infected error"),
        ("fortisandbox-", "clean infected blocked limit"),
        ("opswat-", "clean infected blocked limit modified"),
        ("clearswift-", "infected limit"),
        ("glasswall-", "clean modified"),
        ("sslproxy-", "clean blocked"),
    ] {
        for shape in shapes.split(' ') {
            let is_it = |t: &Transcript| t.name.starts_with(server) && t.field("shape") == shape;
            assert!(transcripts.iter().any(is_it), "no {server}{shape}");
        }
    }
}

#[test]
fn transcript_states_its_source_and_reason() {
    for transcript in all() {
        let source = transcript.field("source");
        let is_known = source.starts_with("captured live") || source.starts_with("written from");
        assert!(is_known, "{}: {source}", transcript.name);
        let sent = transcript.field("sent");
        let is_known =
            sent.starts_with("RESPMOD, Allow: 204") || sent.starts_with("RESPMOD, no Allow");
        assert!(is_known, "{}: {sent}", transcript.name);
        assert!(!transcript.field("server").is_empty() && !transcript.field("why").is_empty());
        let clean_though_not = transcript.is_clean() && transcript.field("shape") != "clean";
        assert!(!clean_though_not, "{}", transcript.name);
        assert_eq!(
            transcript.is_infected(),
            !transcript.outcome.threats.is_empty()
        );
    }
}

#[test]
fn transcripts_hold_no_eicar() {
    let eicar = eicar();
    for transcript in all() {
        let bytes = [transcript.content.clone(), transcript.responses().concat()].concat();
        let has_it = bytes.windows(eicar.len()).any(|window| window == eicar);
        assert!(!has_it, "{}", transcript.name);
    }
}
