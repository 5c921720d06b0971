//! Responses that are evidence against any content, and how bad.

use super::sent::find;
use crate::proto::method::Method;
use crate::scan::verdict::{NotScanned, Verdict};

/// From better to worse. Only what a server said against the content has a place here: that it did not
/// scan is no evidence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Worst {
    /// The service's own ICAP head names a limit.
    Limit,
    Refused,
    Infected,
}

/// Where evidence stands in a response, and from which byte on it is legible.
pub(super) struct Planted {
    /// The response, for the script of a server.
    pub(super) response: &'static str,
    /// The evidence is legible with the last byte of this and one more.
    upto: &'static str,
    says: Worst,
    only: Option<Method>,
}

const fn planted(response: &'static str, upto: &'static str, says: Worst) -> Planted {
    Planted {
        response,
        upto,
        says,
        only: None,
    }
}

/// Fields that can name a limit.
const LIMITS: &[&[u8]] = &[b"x-error-code", b"x-infection-found"];

/// Each is one response of a server to content that it does not let pass.
pub(super) const PLANTED: &[Planted] = &[
    planted(
        "ICAP/1.0 204 No Content\r\nISTag: \"T\"\r\nX-Virus-ID: Test\r\n\r\n",
        "X-Virus-ID: Test\r\n",
        Worst::Infected,
    ),
    planted(
        "ICAP/1.0 200 OK\r\nISTag: \"T\"\r\nX-Infection-Found: Type=0; Resolution=2; Threat=Test;\r\n\
         Encapsulated: res-hdr=0, res-body=26\r\n\r\nHTTP/1.1 403 Forbidden\r\n\r\n4\r\npage\r\n0\r\n\r\n",
        "Threat=Test;\r\n",
        Worst::Infected,
    ),
    planted(
        "ICAP/1.0 200 OK\r\nISTag: \"T\"\r\nEncapsulated: res-hdr=0, res-body=27\r\n\r\n\
         HTTP/1.1 403 VirusFound\r\n\r\n4\r\npage\r\n0\r\n\r\n",
        "HTTP/1.1 403 VirusFound\r\n",
        Worst::Refused,
    ),
    planted(
        "ICAP/1.0 403 Forbidden\r\n\r\n",
        "ICAP/1.0 403 Forbidden\r\n",
        Worst::Refused,
    ),
    planted(
        "ICAP/1.0 500 Error\r\nISTag: \"T\"\r\nEncapsulated: res-hdr=0, res-body=42\r\n\r\n\
         HTTP/1.1 307 Moved\r\nLocation: http://h\r\n\r\n4\r\npage\r\n0\r\n\r\n",
        "HTTP/1.1 307 Moved\r\n",
        Worst::Refused,
    ),
    planted(
        "ICAP/1.0 204 No Content\r\nISTag: \"T\"\r\nX-Response-Info: blocked\r\n\r\n",
        "X-Response-Info: blocked\r\n",
        Worst::Refused,
    ),
    planted(
        "ICAP/1.0 200 OK\r\nISTag: \"T\"\r\n\
         X-Infection-Found: Type=2; Resolution=2; Threat=Heuristics.Limits.Exceeded.MaxFileSize;\r\n\
         Encapsulated: res-hdr=0, res-body=19\r\n\r\nHTTP/1.1 200 OK\r\n\r\n4\r\npage\r\n0\r\n\r\n",
        "MaxFileSize;\r\n",
        Worst::Limit,
    ),
    planted(
        "ICAP/1.0 204 No Content\r\nISTag: \"T\"\r\nX-Error-Code: max_archive_layers_exceeded\r\n\r\n",
        "layers_exceeded\r\n",
        Worst::Limit,
    ),
    // How an upload is refused.
    Planted {
        response: "ICAP/1.0 200 OK\r\nISTag: \"T\"\r\nEncapsulated: res-hdr=0, res-body=19\r\n\r\n\
                   HTTP/1.1 200 OK\r\n\r\n4\r\npage\r\n0\r\n\r\n",
        upto: "page\r\n0\r\n\r\n",
        says: Worst::Refused,
        only: Some(Method::Reqmod),
    },
];

/// The evidence that is legible in what was read of a response to content.
pub(super) fn legible(method: &str, response: &[u8]) -> Option<Worst> {
    let found = PLANTED.iter().filter(|planted| {
        let fits = planted.only.is_none_or(|only| only.as_str() == method);
        let planted_bytes = planted.response.as_bytes();
        let line_end =
            find(planted_bytes, planted.upto.as_bytes()).map(|at| at + planted.upto.len());
        // One byte more shows that the line is not continued.
        let legible = line_end.map(|end| (end + 1).min(planted_bytes.len()));
        fits && legible.is_some_and(|end| response.starts_with(&planted_bytes[..end]))
    });
    let worst = found.map(|planted| planted.says).max();
    // By the verdict table, a limit in the ICAP head explains a 403. Other bytes than the planted ones may name one.
    let head = response.to_ascii_lowercase();
    let may_be_explained = response.starts_with(b"ICAP/1.0 403")
        && LIMITS.iter().any(|name| find(&head, name).is_some());
    worst.map(|worst| match worst {
        Worst::Refused if may_be_explained => Worst::Limit,
        _ => worst,
    })
}

impl Worst {
    /// Whether the verdict is as bad as the evidence, or worse.
    pub(super) fn is_told_by(self, verdict: &Verdict) -> bool {
        let told = match verdict {
            Verdict::Infected(_) => Self::Infected,
            Verdict::Blocked(_) => Self::Refused,
            Verdict::NotScanned(
                NotScanned::ServiceLimit { .. } | NotScanned::Unscannable { .. },
            ) => Self::Limit,
            _ => return false,
        };
        told >= self
    }
}
