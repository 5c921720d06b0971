//! The TmpDir of c-icap is full: c-icap keeps what fits, has that scanned, and responds as always.

use icap_client::{Content, NotScanned, Scanner, ScannerBuilder, Verdict};

use super::{ALL_OF_IT, archive_with_eicar_at_its_end, variable};

/// The bytes that fit, see `mount_for` in `servers.sh`.
const ROOM: usize = 1028 * 1024;
/// c-icap cuts the content if its end arrives together with what does not fit; if not, it breaks off.
/// That is a matter of timing, and it mostly cuts.
const SCANS: usize = 20;

fn builder(server: &str) -> ScannerBuilder {
    Scanner::builder(format!("{}/{ALL_OF_IT}", variable(server))).suspend_after(1000)
}

/// EICAR, whose member of the archive begins where the room ends.
fn archive() -> Vec<u8> {
    let header = 512;
    archive_with_eicar_at_its_end(ROOM - header)
}

/// The verdicts of the scans that are no errors.
fn verdicts(scanner: &Scanner) -> Vec<Verdict> {
    let archive = archive();
    let mut verdicts = Vec::new();
    for _ in 0..SCANS {
        match scanner.scan(Content::bytes(&archive)) {
            Ok(report) => verdicts.push(report.verdict().clone()),
            Err(error) => assert!(error.is_unavailable(), "{error}"),
        }
    }
    verdicts
}

pub(crate) fn full() {
    let elsewhere = builder(super::URI).build().unwrap();
    let report = elsewhere.scan(Content::bytes(&archive())).unwrap();
    assert!(report.verdict().is_infected(), "{}", report.verdict());

    // A 204 under the right tag, after all content was sent: `allow_204(false)` is for this case.
    let with_204 = verdicts(&builder("ICAP_LIVE_FULL").build().unwrap());
    let clean = with_204.iter().filter(|verdict| verdict.is_clean()).count();
    println!("\nwith 204: {clean} of {SCANS} clean, with EICAR in it");
    assert!(clean > 0, "{with_204:?}");

    let scanner = builder("ICAP_LIVE_FULL").allow_204(false).build().unwrap();
    let without_204 = verdicts(&scanner);
    let truncated = Verdict::NotScanned(NotScanned::Truncated);
    println!("without 204: {} of {SCANS} truncated", without_204.len());
    assert!(!without_204.is_empty());
    assert!(
        without_204.iter().all(|verdict| *verdict == truncated),
        "{without_204:?}"
    );
    // Content that fits is clean in both cases.
    let report = scanner.scan(Content::bytes(&[b' '; 1000])).unwrap();
    assert!(report.verdict().is_clean(), "{}", report.verdict());
}
