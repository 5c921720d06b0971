//! What `--help` says of JSON. A key inside of an object is written with a dot.

use icap_client::policy::Reason;

/// The keys of each line of `icap scan`.
const SCAN: &[(&str, &str)] = &[
    ("file", "the name of the file"),
    ("file_bytes", "bytes of a name that is not UTF-8"),
    ("size", "bytes of the file, if known before the scan"),
    (
        "verdict",
        "clean, infected, blocked, modified, not_scanned or error",
    ),
    ("threats", "a list, empty unless the file is infected"),
    ("threats.name", "the name of the threat"),
    (
        "threats.kind",
        "virus, mail_policy_violation, container_violation or other",
    ),
    ("threats.file", "the file in an archive that has it"),
    ("reason", "why the file is not clean: {reasons}"),
    ("error_kind", "of an error: {kinds}"),
    ("detail", "the same for a person, with more details"),
    ("status", "the ICAP status of the response"),
    ("istag", "the state tag of the service"),
    ("bytes_sent", "bytes of the file that were sent"),
    ("elapsed_ms", "the time of the scan in milliseconds"),
    ("service", "the URI of the service, without arguments"),
];

/// The keys of the object of `icap check`.
const CHECK: &[(&str, &str)] = &[
    ("passed", "whether all services passed"),
    ("elapsed_ms", "the time of the test in milliseconds"),
    ("services", "a list"),
    (
        "services.service",
        "the URI of the service, without arguments",
    ),
    ("services.software", "what the service calls itself"),
    ("services.passed", "whether it passed"),
    ("services.findings", "a list, one for each probe"),
    ("services.findings.probe", "see Probes"),
    ("services.findings.outcome", "see Outcomes"),
    ("services.findings.is_good", "whether the outcome is good"),
    ("services.findings.detail", "the same for a person"),
    ("services.findings.advice", "what to change, for a person"),
    ("services.findings.elapsed_ms", "the time of the probe"),
    ("services.depth", "up to which size EICAR was found"),
    ("services.depth.largest_found", "in bytes"),
    (
        "services.depth.smallest_missed",
        "in bytes; this size was called clean",
    ),
    (
        "services.depth.smallest_not_scanned",
        "in bytes; this size was not scanned, and not called clean",
    ),
    ("services.latencies", "a list of measured scans"),
    ("services.latencies.size", "in bytes"),
    (
        "services.latencies.elapsed_ms",
        "the time of the scan in milliseconds",
    ),
    (
        "services.latencies.wait_ms",
        "from the last byte sent to the response",
    ),
    (
        "services.latencies.is_estimate",
        "whether it was computed from smaller sizes",
    ),
];

/// The keys of the object of `icap options`.
const OPTIONS: &[(&str, &str)] = &[
    ("uri", "the URI of the service, without arguments"),
    ("service", "the field Service"),
    ("service_id", "the field Service-ID"),
    ("istag", "the state tag"),
    ("methods", "a list of RESPMOD, REQMOD"),
    (
        "allows_204",
        "whether the service need not send clean content back",
    ),
    ("allow", "the list of Allow"),
    ("preview", "the size of a preview in bytes"),
    ("transfer_preview", "a list of file extensions"),
    ("transfer_ignore", "a list of file extensions"),
    ("transfer_complete", "a list of file extensions"),
    ("max_connections", "how many connections are allowed"),
    ("options_ttl_s", "for how many seconds this holds"),
    ("x_include", "a list of fields that the service wants"),
    ("warnings", "a list of what is odd, for a person"),
];

/// The keys of the object of `icap bench`.
const BENCH: &[(&str, &str)] = &[
    ("service", "the URI of the service, without arguments"),
    ("jobs", "how many scans ran at once"),
    ("size", "bytes of the content"),
    ("elapsed_ms", "the time of the bench in milliseconds"),
    ("scans", "scans with a verdict"),
    ("not_scanned", "those among them that were not scanned"),
    ("scans_per_second", "the rate"),
    ("bytes_per_second", "the same in bytes of content"),
    ("latency_ms", "the times of scans in milliseconds"),
    ("latency_ms.p50", "the median"),
    ("latency_ms.p90", "not exceeded by 90 %"),
    ("latency_ms.p99", "not exceeded by 99 %"),
    ("latency_ms.max", "the longest"),
    (
        "verdicts",
        "an object: the number of scans by 'clean' or by the reason of icap scan",
    ),
    ("errors", "the same for scans that ended in an error"),
    ("first_error", "the first of these errors, for a person"),
    ("served", "an object: the number of scans by service"),
];

const KINDS: &str = "connect, timeout, disconnected, status, protocol, content, output, input, \
                     suspended or cancelled";

const END: &str = "  A value that is not known, or does not apply, is null. If the command
  itself fails, it prints an object with the keys error (the text),
  error_kind and status.";

/// The longest line. A manual page has 7 columns more, and they are to fit into 80.
const WIDTH: usize = 74;

pub(crate) fn scan() -> String {
    section(SCAN)
}

pub(crate) fn check() -> String {
    section(CHECK)
}

pub(crate) fn options() -> String {
    section(OPTIONS)
}

pub(crate) fn bench() -> String {
    section(BENCH)
}

fn section(keys: &[(&str, &str)]) -> String {
    let width = keys.iter().map(|(key, _)| key.len()).max().unwrap_or(0);
    let lines: Vec<_> = keys
        .iter()
        .map(|(key, text)| entry(key, text, width))
        .collect();
    format!("JSON:\n{}\n{END}", lines.join("\n"))
}

/// A key and its text, in two columns.
fn entry(key: &str, text: &str, width: usize) -> String {
    let reasons = Reason::ALL.map(Reason::code).join(", ");
    let text = text
        .replace("{reasons}", &reasons)
        .replace("{kinds}", KINDS);
    let mut lines = vec![format!("  {key:width$} ")];
    for word in text.split(' ') {
        let last = lines.last_mut().map_or(0, |line| line.len());
        if last + 1 + word.len() > WIDTH {
            lines.push(" ".repeat(width + 3));
        }
        if let Some(line) = lines.last_mut() {
            line.push(' ');
            line.push_str(word);
        }
    }
    let lines: Vec<_> = lines.iter().map(|line| line.trim_end()).collect();
    lines.join("\n")
}
