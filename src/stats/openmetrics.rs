//! [`Stats`] as OpenMetrics text.

use std::fmt::{self, Write};
use std::time::Duration;

use super::Stats;
use super::endpoint::EndpointStats;
use super::histogram::{Histogram, Outcome};

/// A metric of the scanner or of each server: name, unit, help, value. The unit is the end of the name as well.
type Metric<S> = (&'static str, &'static str, &'static str, fn(&S) -> u64);

/// Counters of the scanner. The text adds `_total` to the names.
#[rustfmt::skip]
const COUNTERS: &[Metric<Stats>] = &[
    ("icap_scans", "", "Scans that ended with a verdict or an error.", |s| s.scans),
    ("icap_cache_hits", "", "Scans whose verdict came from the cache.", |s| s.cache_hits),
    ("icap_cache_misses", "", "Scans that found no verdict in the cache.", |s| s.cache_misses),
];

#[rustfmt::skip]
const GAUGES: &[Metric<Stats>] = &[
    ("icap_scans_in_flight", "", "Scans that run now.", |s| s.scans_in_flight),
];

/// Counters of each server. The text adds `_total` to the names.
#[rustfmt::skip]
const ENDPOINT_COUNTERS: &[Metric<EndpointStats>] = &[
    ("icap_endpoint_reports", "", "Reports of the server.", |e| e.reports),
    ("icap_endpoint_failures", "", "Failures for which the server is to blame.", |e| e.failures),
    ("icap_endpoint_retries", "", "Exchanges repeated because a connection was gone.", |e| e.retries),
    ("icap_endpoint_failovers", "", "Scans that came here after another server.", |e| e.failovers),
    ("icap_endpoint_options_requests", "", "OPTIONS requests sent.", |e| e.options_sent),
    ("icap_endpoint_canaries", "", "Canaries sent: EICAR, which the server must find.", |e| e.canaries),
    ("icap_endpoint_connections_opened", "", "Connections made.", |e| e.connections_opened),
    ("icap_endpoint_connections_reused", "", "Exchanges on a used connection.", |e| e.connections_reused),
    ("icap_endpoint_connections_closed", "", "Connections closed.", |e| e.connections_closed),
    ("icap_endpoint_sent_bytes", "bytes", "Bytes written.", |e| e.bytes_sent),
    ("icap_endpoint_received_bytes", "bytes", "Bytes read.", |e| e.bytes_received),
];

#[rustfmt::skip]
const ENDPOINT_GAUGES: &[Metric<EndpointStats>] = &[
    ("icap_endpoint_connections_idle", "", "Connections that are idle now.", |e| e.connections_idle),
    ("icap_endpoint_waiting_callers", "", "Callers that wait for a connection now.", |e| e.waiting_callers),
    ("icap_endpoint_blind", "", "1 while the last canary was missed, else 0.", |e| e.is_blind.into()),
    ("icap_endpoint_suspended", "", "1 while the server is suspended, else 0.", |e| e.is_suspended.into()),
];

/// Ages of each server, in seconds: name, help, value. Without a value there is no line.
type Age = (
    &'static str,
    &'static str,
    fn(&EndpointStats) -> Option<Duration>,
);

#[rustfmt::skip]
const ENDPOINT_AGES: &[Age] = &[
    ("icap_endpoint_state_tag_age_seconds", "Time since the state tag last changed. It need not follow the signatures.", |e| e.state_tag_age),
    ("icap_endpoint_eicar_age_seconds", "Time since the server last found EICAR in a canary.", |e| e.eicar_age),
];

impl Stats {
    /// Writes the numbers as OpenMetrics 1.0 text, ready to be the body of a response to a monitoring system. The maps
    /// `errors_by_kind` and `closed_by_reason` are left out.
    ///
    /// The media type is `application/openmetrics-text; version=1.0.0; charset=utf-8`. The text ends with `# EOF`: to
    /// add metrics of your own, insert them before that line.
    ///
    /// Each outcome of a scan has a histogram of its own. Buckets have the label `le`. The metrics of one server have two
    /// labels: `endpoint` is the index of the server, and `uri` is its URI without arguments. There are no other labels,
    /// so no label has a file, a threat, a user or a cause. [`manual::operating`](crate::manual::operating) explains
    /// each metric and which alerts to set.
    ///
    /// # Errors
    ///
    /// Only those of `output`.
    ///
    /// ```
    /// use icap_client::testing::Server;
    /// use icap_client::{Content, Scanner};
    ///
    /// let server = Server::start()?;
    /// let scanner = Scanner::new(server.uri())?;
    /// scanner.scan(Content::bytes(b"hello"))?;
    ///
    /// let mut text = String::new();
    /// scanner.stats().write_openmetrics(&mut text)?;
    /// assert!(text.contains("\nicap_scan_duration_clean_seconds_count 1\n"));
    /// assert!(text.ends_with("# EOF\n"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn write_openmetrics(&self, output: &mut impl Write) -> fmt::Result {
        for outcome in Outcome::ALL {
            let durations = self.durations.get(&outcome).copied();
            write_histogram(output, outcome, &durations.unwrap_or_default())?;
        }
        for (name, unit, help, value) in COUNTERS {
            write_head(output, name, "counter", unit, help)?;
            writeln!(output, "{name}_total {}", value(self))?;
        }
        for (name, unit, help, value) in GAUGES {
            write_head(output, name, "gauge", unit, help)?;
            writeln!(output, "{name} {}", value(self))?;
        }
        self.write_endpoints(output)?;
        output.write_str("# EOF\n")
    }

    fn write_endpoints(&self, output: &mut impl Write) -> fmt::Result {
        let labels: Vec<String> = self.endpoints.iter().map(labels).collect();
        let endpoints = || self.endpoints.iter().zip(&labels);
        for (name, unit, help, value) in ENDPOINT_COUNTERS {
            write_head(output, name, "counter", unit, help)?;
            for (endpoint, labels) in endpoints() {
                writeln!(output, "{name}_total{labels} {}", value(endpoint))?;
            }
        }
        for (name, unit, help, value) in ENDPOINT_GAUGES {
            write_head(output, name, "gauge", unit, help)?;
            for (endpoint, labels) in endpoints() {
                writeln!(output, "{name}{labels} {}", value(endpoint))?;
            }
        }
        for (name, help, age) in ENDPOINT_AGES {
            write_head(output, name, "gauge", "seconds", help)?;
            for (endpoint, labels) in endpoints() {
                if let Some(age) = age(endpoint) {
                    writeln!(output, "{name}{labels} {:?}", age.as_secs_f64())?;
                }
            }
        }
        Ok(())
    }
}

/// `help` has neither a backslash nor a line end.
fn write_head(
    output: &mut impl Write,
    name: &str,
    kind: &str,
    unit: &str,
    help: &str,
) -> fmt::Result {
    writeln!(output, "# TYPE {name} {kind}")?;
    if !unit.is_empty() {
        writeln!(output, "# UNIT {name} {unit}")?;
    }
    writeln!(output, "# HELP {name} {help}")
}

/// A number of seconds is written with a point, as OpenMetrics has the bounds of buckets.
fn write_histogram(
    output: &mut impl Write,
    outcome: Outcome,
    durations: &Histogram,
) -> fmt::Result {
    let name = format!("icap_scan_duration_{outcome}_seconds");
    let help = format!("Time of scans with the outcome {outcome}.");
    write_head(output, &name, "histogram", "seconds", &help)?;
    for (bound, scans) in durations.buckets() {
        match bound {
            Some(bound) => {
                let bound = bound.as_secs_f64();
                writeln!(output, "{name}_bucket{{le=\"{bound:?}\"}} {scans}")?;
            }
            None => writeln!(output, "{name}_bucket{{le=\"+Inf\"}} {scans}")?,
        }
    }
    writeln!(output, "{name}_count {}", durations.count())?;
    writeln!(output, "{name}_sum {:?}", durations.sum().as_secs_f64())
}

/// The labels of a server, in braces.
fn labels(endpoint: &EndpointStats) -> String {
    let uri = escape(&endpoint.service);
    format!("{{endpoint=\"{}\",uri=\"{uri}\"}}", endpoint.index)
}

/// The value of a label as OpenMetrics has it.
fn escape(value: &str) -> String {
    let value = value.replace('\\', "\\\\").replace('"', "\\\"");
    value.replace('\n', "\\n")
}
