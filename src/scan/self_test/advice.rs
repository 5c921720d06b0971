//! What to change on a server, in its own terms.

use super::finding::{Outcome, Probe};
use crate::client::endpoint::Endpoint;
use crate::proto::options::ServiceOptions;
use crate::scan::verdict::{NotScanned, Verdict};

/// The server, as far as that changes the advice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Server {
    /// c-icap, asked with or without `force=on` in the URI.
    CIcap {
        is_forced: bool,
    },
    Other,
}

impl Server {
    /// c-icap names itself in `Service`. Its state tags begin with its name and the version of their format.
    pub(super) fn of(endpoint: &Endpoint, options: Option<&ServiceOptions>) -> Self {
        let service = options.and_then(ServiceOptions::service).unwrap_or("");
        let istag = options.and_then(ServiceOptions::istag).unwrap_or("");
        if service.contains("C-ICAP") || istag.starts_with("CI0001-") {
            let is_forced = endpoint.uri.request_uri().contains("force=on");
            Self::CIcap { is_forced }
        } else {
            Self::Other
        }
    }

    /// What to change after this outcome; `verdict` is that of the scan.
    pub(super) fn advice(
        self,
        probe: Probe,
        outcome: Outcome,
        verdict: Option<&Verdict>,
    ) -> Option<&'static str> {
        let is_c_icap = self != Self::Other;
        let either = |c_icap, other| Some(if is_c_icap { c_icap } else { other });
        match (probe, outcome) {
            (_, Outcome::Blind) if verdict == Some(&Verdict::NotScanned(NotScanned::NoEngine)) => {
                either(
                    "start clamd, then restart c-icap: it looks for its engine only when it starts",
                    "start the engine of the server, then restart the server",
                )
            }
            // It scans what is smaller.
            (Probe::Depth, Outcome::Blind) => self.advice_on_size(verdict),
            (_, Outcome::Blind) => either(
                "c-icap responds before it has the content: name a service that scans; if this is one, start clamd, \
                 then restart c-icap, which looks for its engine only when it starts",
                "the server responds before it has the content: name a service that scans; if this is one, check \
                 that its engine runs",
            ),
            (Probe::Eicar, Outcome::Missed | Outcome::NotScanned) => either(
                "name a service that scans, for example virus_scan; if this is one, let clamd load its signatures \
                 (freshclam) and check it with clamdscan",
                "name a service that scans; if this is one, check that its engine runs and has signatures",
            ),
            (Probe::NeverSeen | Probe::HeldBack, Outcome::Missed) => either(
                "let clamd look into archives (ScanArchive yes)",
                "let the engine look into archives",
            ),
            (Probe::NeverSeen, Outcome::FalseAlarm) => Some(
                "let the service accept ZIP archives that have no virus: what it objects to in each archive shows \
                 nothing, and a server with this rule never passes a canary",
            ),
            (Probe::Depth, Outcome::Missed) => either(
                "in clamd.conf set MaxFileSize, StreamMaxLength and MaxScanSize to at least the scanner's max_size, and \
                 AlertExceedsMax yes",
                "raise the engine's size limit to at least the scanner's max_size, or lower max_size",
            ),
            (Probe::Depth, Outcome::Improvable) => {
                Some("set the scanner's max_size to at most the largest size that was tried")
            }
            (Probe::Depth, Outcome::NotScanned) => self.advice_on_size(verdict),
            (probe, Outcome::Missed | Outcome::NotScanned) if is_a_type(probe) => {
                self.advice_on_type()
            }
            _ => self.advice_on_settings(probe, outcome),
        }
    }

    /// What to change where EICAR is found.
    fn advice_on_settings(self, probe: Probe, outcome: Outcome) -> Option<&'static str> {
        match (probe, outcome) {
            (Probe::Preview, Outcome::Improvable | Outcome::Missed | Outcome::NotScanned) => Some(
                "leave the scanner's preview off: the service decides before it has seen the rest",
            ),
            (Probe::Latency, Outcome::TooSlow) => Some(
                "set the scanner's response_timeout and deadline to more than the largest files take, or lower max_size",
            ),
            (Probe::KeepAlive, Outcome::Improvable) => Some(match self {
                Self::CIcap { .. } => {
                    "let c-icap keep connections open (KeepAlive, MaxKeepAliveRequests -1)"
                }
                Self::Other => "let the server keep connections open: each scan pays for a new one",
            }),
            (Probe::Idle, Outcome::Improvable) => Some(
                "set the scanner's idle_timeout to less than the server's, so that fewer connections are found closed",
            ),
            _ => None,
        }
    }

    fn advice_on_type(self) -> Option<&'static str> {
        Some(match self {
            Self::CIcap { is_forced: false } => FORCED,
            Self::CIcap { is_forced: true } => {
                "this name is an alias, and its own arguments replace those of the URI: name the service itself, \
                 virus_scan"
            }
            Self::Other => "let the service scan files of every type",
        })
    }

    fn advice_on_size(self, verdict: Option<&Verdict>) -> Option<&'static str> {
        let Verdict::NotScanned(why) = verdict? else {
            return None;
        };
        Some(match (self, why) {
            (
                Self::CIcap { .. },
                NotScanned::Echoed | NotScanned::Truncated | NotScanned::EarlyResponse,
            ) => {
                "add sizelimit=off&mode=simple to the arguments in the URI of virus_scan, or raise \
                 virus_scan.MaxObjectSize to the scanner's max_size"
            }
            (Self::CIcap { .. }, NotScanned::ServiceLimit { .. }) => {
                "raise MaxFileSize, StreamMaxLength and MaxScanSize in clamd.conf, or lower the scanner's max_size"
            }
            _ => "raise the service's size limit to the scanner's max_size, or lower max_size",
        })
    }
}

/// For a c-icap that was not asked to scan everything.
const FORCED: &str = "use the URI 'icap://HOST/virus_scan?allow204=on&force=on&sizelimit=off&mode=simple', or add the type to \
    virus_scan.ScanFileTypes";

fn is_a_type(probe: Probe) -> bool {
    use Probe::{Image, Office, Pdf, SmallImage, SmallOffice, SmallPdf};
    matches!(
        probe,
        SmallPdf | Pdf | SmallImage | Image | SmallOffice | Office
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn early_response_to_a_large_archive_is_a_limit() {
        let early = Verdict::NotScanned(NotScanned::EarlyResponse);
        for server in [Server::CIcap { is_forced: true }, Server::Other] {
            let advice = |probe| server.advice(probe, Outcome::Blind, Some(&early)).unwrap();
            assert!(advice(Probe::Depth).contains("max_size"));
            assert!(!advice(Probe::HeldBack).contains("max_size"));
        }
    }
}
