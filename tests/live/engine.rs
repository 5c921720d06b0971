//! c-icap without its engine, and with another one. The engine decides, and a c-icap without an engine still
//! responds.

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use icap_client::{Client, Content, NotScanned, Preview, Scanner, Verdict};

use super::{ALL_OF_IT, archive_with_eicar_at_its_end, eicar, test_files, variable};

/// A small body is in the kernel's buffer before the response of c-icap, and a large one is not.
const SIZES: [usize; 3] = [4096, 200_000, 20_000_000];
/// HAProxy notices in two checks, a second apart.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

fn eicar_of(size: usize) -> Vec<u8> {
    let mut content = eicar();
    content.resize(size, b' ');
    content
}

fn service(variable_name: &str) -> String {
    format!("{}/{ALL_OF_IT}", variable(variable_name))
}

/// One test, because there is only one c-icap without an engine, with one HAProxy before it.
pub(crate) fn away_and_back() {
    c_icap_blind("blind");
    is_never_clean();
    next_server_scans();
    haproxy_takes_it_down();
    c_icap_blind("restart");
    all_204_come_late();
    wait_for_haproxy("is UP");
    c_icap_blind("blind");
}

fn c_icap_blind(command: &str) {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/live/c-icap");
    let status = Command::new(script).args([command, "blind"]).status();
    assert!(status.unwrap().success(), "{command}");
}

fn is_never_clean() {
    let uri = service("ICAP_LIVE_BLIND");
    let client = Client::new(&uri).unwrap();
    let warnings = client.options().unwrap();
    let warnings = warnings.warnings();
    assert!(
        warnings.iter().any(|text| text.contains("engine")),
        "{warnings:?}"
    );
    for negotiate in [true, false] {
        for preview in [Preview::Off, Preview::Limit(1024)] {
            let builder = Scanner::builder(&uri).negotiate(negotiate);
            let scanner = builder.preview(preview).build().unwrap();
            for size in SIZES {
                for _ in 0..3 {
                    let report = scanner.scan(Content::bytes(&eicar_of(size))).unwrap();
                    let verdict = report.verdict();
                    let is_known = matches!(
                        verdict,
                        Verdict::NotScanned(NotScanned::NoEngine | NotScanned::EarlyResponse)
                    );
                    assert!(is_known, "{size} bytes, {preview:?}: {verdict}");
                }
            }
        }
    }
    println!("\nEICAR of {SIZES:?} bytes: not scanned, each time");
}

fn next_server_scans() {
    let builder = Scanner::builder(service("ICAP_LIVE_BLIND")).endpoint(service(super::URI));
    let scanner = builder.build().unwrap();
    for size in SIZES {
        let report = scanner.scan(Content::bytes(&eicar_of(size))).unwrap();
        assert!(report.verdict().is_infected(), "{}", report.verdict());
    }
    assert!(scanner.stats().suspended.is_empty());
}

fn haproxy_takes_it_down() {
    wait_for_haproxy("is DOWN, reason: Layer7 invalid response");
    let before = scans_of_blind();
    // A connection for each scan: HAProxy chooses a server for each connection.
    let builder = Scanner::builder(service("ICAP_LIVE_HAPROXY_BLIND")).max_idle(0);
    let scanner = builder.build().unwrap();
    for _ in 0..50 {
        let report = scanner.scan(Content::bytes(&eicar())).unwrap();
        assert!(report.verdict().is_infected(), "{}", report.verdict());
    }
    println!(
        "HAProxy: 50 scans, {} of them blind",
        scans_of_blind() - before
    );
    assert_eq!(scans_of_blind(), before);
}

/// Waits until the last line of HAProxy about the blind c-icap has these words. Until then HAProxy uses either
/// c-icap, and no scan is clean.
fn wait_for_haproxy(words: &str) {
    let path = PathBuf::from(variable("ICAP_LIVE_DIR")).join("haproxy-blind.log");
    let builder = Scanner::builder(service("ICAP_LIVE_HAPROXY_BLIND")).max_idle(0);
    let scanner = builder.build().unwrap();
    let began = Instant::now();
    loop {
        let log = std::fs::read_to_string(&path).unwrap();
        let last = log.lines().rfind(|line| line.contains("icap/a"));
        if last.is_some_and(|line| line.contains(words)) {
            println!("{}", last.unwrap_or_default());
            return;
        }
        assert!(began.elapsed() < LONGEST_WAIT, "not {words}: {log}");
        let report = scanner.scan(Content::bytes(&eicar())).unwrap();
        assert!(!report.verdict().is_clean());
    }
}

fn scans_of_blind() -> usize {
    let path = PathBuf::from(variable("ICAP_LIVE_DIR")).join("blind-access.log");
    let log = std::fs::read_to_string(path).unwrap();
    log.lines().filter(|line| line.contains("RESPMOD")).count()
}

/// With the engine back, no response is early, and no threat is lost.
fn all_204_come_late() {
    let scanner = Scanner::new(service("ICAP_LIVE_BLIND")).unwrap();
    for size in SIZES {
        for _ in 0..8 {
            let report = scanner.scan(Content::bytes(&vec![b' '; size])).unwrap();
            assert!(report.verdict().is_clean(), "{size}: {}", report.verdict());
            let report = scanner.scan(Content::bytes(&eicar_of(size))).unwrap();
            assert!(report.verdict().is_infected(), "{}", report.verdict());
        }
    }
    println!("with its engine: 24 clean and 24 infected, each as it is");
}

/// `clamav_mod`, the engine in c-icap's own processes. It looks into five layers of archives, as shipped,
/// and has nothing like clamd's `AlertExceedsMax`: what is deeper is clean, and no client can tell.
pub(crate) fn in_process() {
    let scanner = Scanner::new(service("ICAP_LIVE_IN_PROCESS")).unwrap();
    for size in SIZES {
        let report = scanner.scan(Content::bytes(&vec![b' '; size])).unwrap();
        assert!(report.verdict().is_clean(), "{size}: {}", report.verdict());
        let infected = archive_with_eicar_at_its_end(size);
        for content in [eicar_of(size), infected] {
            let report = scanner.scan(Content::bytes(&content)).unwrap();
            let Verdict::Infected(threats) = report.verdict() else {
                panic!("{size}: {}", report.verdict())
            };
            let names: Vec<_> = threats.names().collect();
            assert_eq!(names, ["Eicar-Test-Signature.UNOFFICIAL"]);
        }
    }
    for path in test_files() {
        let report = scanner.scan(Content::file(&path).unwrap()).unwrap();
        let is_deep = path.ends_with("clam_cache_emax.tgz");
        let verdict = report.verdict();
        assert_eq!(verdict.is_clean(), is_deep, "{}", path.display());
        assert_eq!(verdict.is_infected(), !is_deep, "{}", path.display());
    }
}
