//! The fields in which servers say what they found. To add the header of a vendor, add a line to [`FIELDS`].

use crate::proto::header::Field;

/// What a field says, and so how its value is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meaning {
    /// `Type=…; Resolution=…; Threat=…;` for each threat.
    Infections,
    /// A count, and four lines for each threat.
    Violations,
    /// Names of threats.
    ThreatNames,
    /// The name of a threat or of its category. ESET writes the category, for example `Trojaner`.
    ThreatSummary,
    /// The name of the file with the threat.
    ThreatFile,
    /// There is a threat. The value is no name.
    ThreatSign,
    /// Why the service did not scan, or what it found, as a code.
    ErrorCode,
    /// Why the content was refused.
    BlockReason,
    /// The content was refused. The value is a number.
    BlockResult,
    /// A sentence for people. It need not be about a refusal.
    Description,
    /// One word or a few for what was done with the content.
    Info,
}

/// Name, meaning, source: the specification, or the vendors that send it.
#[rustfmt::skip]
pub(super) const FIELDS: &[(&str, Meaning, &str)] = &[
    ("X-Infection-Found",           Meaning::Infections,    "draft-stecher-icap-subid-00, and nearly all"),
    ("X-Violations-Found",          Meaning::Violations,    "draft-stecher-icap-subid-00: Symantec, c-icap, Dr.Web"),
    ("X-FSecure-Infection-Name",    Meaning::ThreatNames,   "WithSecure"),
    ("X-Virus-ID",                  Meaning::ThreatSummary, "nearly all"),
    ("X-Virus-Name",                Meaning::ThreatSummary, "FortiSandbox, Skyhigh"),
    ("X-FSecure-Infected-Filename", Meaning::ThreatFile,    "WithSecure"),
    ("X-FSecure-Scan-Result",       Meaning::ThreatSign,    "WithSecure"),
    ("X-Error-Code",                Meaning::ErrorCode,     "Broadcom"),
    ("X-Blocked-Reason",            Meaning::BlockReason,   "OPSWAT"),
    ("X-Block-Reason",              Meaning::BlockReason,   "Skyhigh"),
    ("X-MWG-Block-Reason",          Meaning::BlockReason,   "Skyhigh"),
    ("X-Blocked",                   Meaning::BlockReason,   "Sophos"),
    ("X-Block-Result",              Meaning::BlockResult,   "Skyhigh"),
    ("X-WWBlockResult",             Meaning::BlockResult,   "Skyhigh"),
    ("X-Response-Desc",             Meaning::Description,   "Kaspersky"),
    ("X-Response-Description",      Meaning::Description,   "ESET"),
    ("X-Response-Info",             Meaning::Info,          "OPSWAT, ESET, KWTS, SSLproxy"),
];

/// What a field says; `None` for a field that says nothing about the content.
pub(super) fn meaning(field: &Field<'_>) -> Option<Meaning> {
    // Each name in the table begins so, and few others do.
    if !field.has_x_name() {
        return None;
    }
    let known = FIELDS.iter().find(|(name, ..)| field.is(name));
    known.map(|(_, meaning, _)| *meaning)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::header::Headers;

    #[test]
    fn each_name_of_the_table_is_found_in_any_case() {
        for (name, expected, _) in FIELDS {
            for name in [*name, &name.to_lowercase(), &name.to_uppercase()] {
                let block = format!("{name}: value\r\n");
                let headers = Headers::parse(block.as_bytes()).unwrap();
                let found = headers.iter().find_map(|field| meaning(&field));
                assert_eq!(found, Some(*expected), "{name}");
            }
        }
    }
}
