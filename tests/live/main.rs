//! The crate against a real c-icap with a real clamd.
//!
//! `tests/run` starts both and says where they are; without it these tests are ignored, and say so.

mod cache;
mod canary;
mod disk;
mod engine;
mod failover;
mod manual;
mod protocol;
mod self_test;
#[path = "../support/mod.rs"]
mod support;
#[cfg(feature = "rustls")]
mod tls;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use icap_client::{Client, Content, Error, Method, NotScanned, Preview, Report, Scanner, Verdict};
use libtest_mimic::{Arguments, Failed, Trial};

const URI: &str = "ICAP_LIVE_URI";
const TESTFILES: &str = "ICAP_LIVE_TESTFILES";
/// The service with the arguments that the manual recommends: all types, all sizes, nothing sent back early.
const ALL_OF_IT: &str = "virus_scan?allow204=on&force=on&sizelimit=off&mode=simple";

/// Tests that need a server and their own mounts, and so root.
const TESTS_WITH_ROOT: &[(&str, fn())] = &[
    #[cfg(feature = "cli")]
    (
        "commands_of_the_manual_find_eicar",
        manual::setup::finds_eicar,
    ),
    (
        "engine_in_process_does_not_report_its_limits",
        engine::in_process,
    ),
    ("full_disk_is_noticed_without_204_only", disk::full),
];

/// Tests that need a server.
const TESTS: &[(&str, fn())] = &[
    (
        "c_icap_without_its_engine_is_never_clean",
        engine::away_and_back,
    ),
    (
        "verdicts_of_c_icap_are_given_again_from_the_cache",
        cache::verdicts_are_given_again,
    ),
    (
        "canary_notices_that_the_signatures_are_gone",
        canary::signatures_are_lost_and_come_back,
    ),
    (
        "self_test_finds_what_is_expected_of_each_service",
        self_test::findings_are_as_expected,
    ),
    #[cfg(feature = "cli")]
    (
        "check_exits_with_its_status_on_each_service",
        self_test::check_exits_with_its_status,
    ),
    (
        "forced_service_finds_every_test_file",
        every_test_file_is_infected,
    ),
    ("verdicts_are_those_of_c_icap_client", every_test_file),
    ("eicar_is_infected_with_its_name", eicar_is_infected),
    ("clean_and_empty_files_are_clean", clean_and_empty),
    (
        "infected_archive_over_the_limit_is_never_clean",
        infected_archives,
    ),
    ("malware_returned_in_part_is_truncated", percent_mode),
    (
        "type_not_scanned_by_the_service_is_not_clean",
        unscanned_type,
    ),
    (
        "unknown_service_is_a_404_even_in_an_upload",
        unknown_service,
    ),
    ("echo_during_the_upload_does_not_deadlock", echo),
    ("options_show_the_offer_of_the_service", options),
    (
        "echo_returns_the_content_of_every_request_form",
        protocol::echo_returns_what_was_sent,
    ),
    (
        "avscan_verdict_is_the_same_for_every_request_form",
        protocol::avscan_decides_the_same_however_it_is_asked,
    ),
    (
        "ex206_responses_are_assembled",
        protocol::ex206_is_put_together,
    ),
    (
        "large_echo_is_complete_in_both_directions",
        protocol::large_echo_loses_nothing,
    ),
    (
        "preview_of_a_pdf_is_no_verdict_on_the_rest",
        protocol::preview_of_a_pdf_is_no_verdict,
    ),
    (
        "c_icap_with_haproxy_is_killed_and_comes_back",
        failover::behind_haproxy,
    ),
    (
        "one_of_two_endpoints_is_killed_and_comes_back",
        failover::two_endpoints,
    ),
    #[cfg(feature = "rustls")]
    ("tls_clean_and_infected_are_distinguished", tls::verdicts),
    #[cfg(feature = "rustls")]
    (
        "tls_client_certificate_is_sent_if_required",
        tls::client_certificate,
    ),
    #[cfg(feature = "rustls")]
    ("tls_certificate_errors_name_the_reason", tls::errors),
    #[cfg(feature = "rustls")]
    ("tls_and_plain_ports_are_distinguished", tls::mixed_up_ports),
];

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let is_live = std::env::var_os(URI).is_some();
    let has_root = std::env::var_os("ICAP_LIVE_IN_PROCESS").is_some();
    if !arguments.list && !is_live {
        println!("\nno real servers here: `tests/run` starts them and runs everything");
    } else if !arguments.list && !has_root {
        println!(
            "\nnot root: {} tests need mounts of their own and are ignored",
            TESTS_WITH_ROOT.len()
        );
    }
    let trial = |(name, test): (&'static str, fn()), can_run: bool| {
        let run = move || {
            test();
            Ok::<(), Failed>(())
        };
        Trial::test(name, run).with_ignored_flag(!can_run)
    };
    let tests = TESTS.iter().map(|&test| trial(test, is_live));
    let tests_with_root = TESTS_WITH_ROOT.iter().map(|&test| trial(test, has_root));
    let mut trials: Vec<Trial> = tests.chain(tests_with_root).collect();
    trials.push(Trial::test(
        "manual_shows_the_haproxy_configuration_of_these_tests",
        manual::shows_the_haproxy_configuration,
    ));
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn variable(name: &str) -> String {
    std::env::var(name).expect("tests/run sets it")
}

fn base() -> String {
    variable(URI)
}

fn scanner(service: &str) -> Scanner {
    Scanner::new(format!("{}/{service}", base())).unwrap()
}

fn scan(service: &str, content: Content<'_>) -> Report {
    let began = Instant::now();
    let report = scanner(service).scan(content).unwrap();
    assert!(
        began.elapsed() < Duration::from_secs(30),
        "it took {:?}",
        began.elapsed()
    );
    report
}

/// Assembled at run time, so that no scanner reports this file.
fn eicar() -> Vec<u8> {
    let rotated = "K5B!C%@NC[4\\CMK54(C^)7PP)7}$RVPNE-FGNAQNEQ-NAGVIVEHF-GRFG-SVYR!$U+U*";
    let rotate = |byte: u8| match byte {
        b'A'..=b'Z' => (byte - b'A' + 13) % 26 + b'A',
        other => other,
    };
    rotated.bytes().map(rotate).collect()
}

/// A tar archive of about `size` bytes, with noise first and EICAR as its last member.
fn archive_with_eicar_at_its_end(size: usize) -> Vec<u8> {
    let mut noise = vec![0u8; size];
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    for byte in &mut noise {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        *byte = state.to_be_bytes()[0];
    }
    let mut archive = tar::Builder::new(Vec::new());
    for (name, data) in [("noise.bin", &noise), ("eicar.com", &eicar())] {
        let mut header = tar::Header::new_ustar();
        header.set_size(data.len() as u64);
        header.set_mode(0o644);
        archive.append_data(&mut header, name, &data[..]).unwrap();
    }
    archive.into_inner().unwrap()
}

/// The result of c-icap's own client for a file.
fn c_icap_client_finds(path: &Path) -> bool {
    let folder = tempfile::tempdir().unwrap();
    let uri: icap_client::ServiceUri = base().parse().unwrap();
    let output = Command::new("c-icap-client")
        .args([
            "-i",
            uri.host(),
            "-p",
            &uri.port().to_string(),
            "-s",
            "avscan",
            "-nopreview",
            "-v",
        ])
        .arg("-f")
        .arg(path)
        .arg("-o")
        .arg(folder.path().join("output"))
        .output()
        .unwrap();
    let printed = [output.stdout, output.stderr].concat();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&printed)
    );
    String::from_utf8_lossy(&printed).contains("X-Infection-Found")
}

fn test_files() -> Vec<PathBuf> {
    let entries = std::fs::read_dir(variable(TESTFILES)).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> = paths.filter(|path| path.is_file()).collect();
    files.sort();
    files
}

fn every_test_file_is_infected() {
    let scanner = scanner(ALL_OF_IT);
    let paths = test_files();
    for path in &paths {
        let report = scanner.scan(Content::file(path).unwrap()).unwrap();
        let verdict = report.verdict();
        assert!(verdict.is_infected(), "{}: {verdict}", path.display());
    }
    assert_eq!(paths.len(), 44);
}

fn every_test_file() {
    let paths = test_files();
    let scanner = scanner("avscan");
    let mut infected = 0;
    for path in &paths {
        let report = scanner.scan(Content::file(path).unwrap()).unwrap();
        assert_eq!(
            report.verdict().is_infected(),
            c_icap_client_finds(path),
            "{}",
            path.display()
        );
        assert!(
            !report.verdict().is_clean(),
            "all of them hold the test program: {}",
            path.display()
        );
        infected += usize::from(report.verdict().is_infected());
    }
    println!(
        "{} test files, {infected} infected, all as c-icap-client finds",
        paths.len()
    );
    assert_eq!((paths.len(), infected), (44, 43), "files, infected");
}

fn eicar_is_infected() {
    let report = scan("avscan", Content::bytes(&eicar()).name("eicar.com"));
    let Verdict::Infected(threats) = report.verdict() else {
        panic!("{}", report.verdict())
    };
    // clamd marks names from a private database.
    assert_eq!(
        threats.names().collect::<Vec<_>>(),
        ["Eicar-Test-Signature.UNOFFICIAL"]
    );
}

fn clean_and_empty() {
    let readme = concat!(env!("CARGO_MANIFEST_DIR"), "/README.md");
    for service in ["avscan", "virus_scan"] {
        let report = scan(service, Content::file(readme).unwrap());
        assert!(
            report.verdict().is_clean(),
            "{service}: {}",
            report.verdict()
        );
        let report = scan(service, Content::bytes(b""));
        assert!(
            report.verdict().is_clean(),
            "{service}: {}",
            report.verdict()
        );
    }
}

fn infected_archives() {
    for megabytes in [6, 20] {
        let archive = archive_with_eicar_at_its_end(megabytes * 1_000_000);
        let report = scan("avscan", Content::bytes(&archive));
        assert!(
            report.verdict().is_infected(),
            "avscan {megabytes} MB: {}",
            report.verdict()
        );
        // It sends it back when it has seen 5 MB, of 6 MB perhaps after the kernel took the rest.
        let report = scan("virus_scan", Content::bytes(&archive));
        let Verdict::NotScanned(why) = report.verdict() else {
            panic!("virus_scan {megabytes} MB: {}", report.verdict());
        };
        let is_early = *why == NotScanned::EarlyResponse;
        assert!(
            is_early || (megabytes == 6 && *why == NotScanned::Echoed),
            "{why}"
        );
    }
}

/// As shipped, c-icap sends on 5% of what is above 2 MB before it has scanned it, and says nothing when
/// it has. What it sends ends like a complete response, and is the beginning of the malware.
fn percent_mode() {
    let mut malware = eicar();
    malware.resize(3_000_000, b'x');
    for method in [Method::Respmod, Method::Reqmod] {
        for preview in [Preview::Off, Preview::Negotiated] {
            let builder = Scanner::builder(format!("{}/virus_scan", base())).method(method);
            let scanner = builder.preview(preview).build().unwrap();
            for content in [Content::bytes(&malware), Content::reader(&malware[..])] {
                let mut written = Vec::new();
                let report = scanner.scan_replace(content, &mut written).unwrap();
                let what = format!("{method}, {preview:?}: {}", report.verdict());
                println!("{what}, {} bytes written", written.len());
                let truncated = Verdict::NotScanned(NotScanned::Truncated);
                assert_eq!(*report.verdict(), truncated, "{what}");
                assert!(malware.starts_with(&written), "{what}");
                assert!(written.len() < malware.len() / 10, "{what}");
            }
        }
    }
}

fn unscanned_type() {
    let pdf = PathBuf::from(variable(TESTFILES)).join("clam.pdf");
    for service in ["avscan", "virus_scan"] {
        let report = scan(service, Content::file(&pdf).unwrap());
        assert_eq!(
            *report.verdict(),
            Verdict::NotScanned(NotScanned::Echoed),
            "{service}"
        );
    }
}

fn unknown_service() {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(&vec![7; 50_000_000]).unwrap();
    for negotiate in [true, false] {
        let uri = format!("{}/no-such-service", base());
        let builder = Scanner::builder(&uri).negotiate(negotiate);
        let scanner = builder.suspend_after(1000).build().unwrap();
        for _ in 0..20 {
            let mut content = file.try_clone().unwrap();
            std::io::Seek::rewind(&mut content).unwrap();
            let error: Error = scanner.scan(Content::seekable(content)).unwrap_err();
            assert_eq!(error.status(), Some(404), "{error:?}");
            let said = error.to_string();
            let expected = match negotiate {
                true => "responded to OPTIONS with 404 Service not found; ",
                false => "responded with 404 Service not found",
            };
            assert!(said.contains(expected), "{said}");
            assert_eq!(said.contains("OPTIONS"), negotiate, "{said}");
        }
    }
}

fn echo() {
    let content = vec![7; 50_000_000];
    let report = scan("echo", Content::bytes(&content));
    // It does not wait for the end, so what it sends back is no opinion on all of it.
    let early = Verdict::NotScanned(NotScanned::EarlyResponse);
    assert_eq!(*report.verdict(), early);
}

fn options() {
    let client = Client::new(format!("{}/avscan", base())).unwrap();
    let options = client.options().unwrap();
    assert_eq!(options.methods(), [Method::Respmod, Method::Reqmod]);
    assert!(options.allows_204());
    assert_eq!(options.preview(), Some(1024));
    assert_eq!(options.transfer_preview(), ["*"]);
    assert_eq!(options.options_ttl(), Some(Duration::from_secs(3600)));
    assert!(
        options.istag().is_some() && options.warnings().is_empty(),
        "{options:?}"
    );
}
