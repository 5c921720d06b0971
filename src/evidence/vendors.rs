//! The fields in which servers say what they found, one a line. A new vendor is a new line here.

use crate::proto::header::Field;

/// What a field is about, and so how its value is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meaning {
    /// `Type=…; Resolution=…; Threat=…;` for each threat.
    Infections,
    /// A count, and four lines for each threat.
    Violations,
    /// Names of threats.
    ThreatNames,
    /// The name of a threat, or of what it belongs to: ESET writes "Trojaner" and means the category.
    ThreatSummary,
    /// The file in which a threat is.
    ThreatFile,
    /// That there is a threat; the value is no name.
    ThreatSign,
    /// Why the service did not scan, or what it found, in one word.
    ErrorCode,
    /// Why the content was refused.
    BlockReason,
    /// That the content was refused; the value is a number.
    BlockResult,
    /// A sentence for people, which need not be about a refusal.
    Description,
    /// One word or a few for what was done with the content.
    Info,
}

/// Header name, meaning, and who sends it.
const FIELDS: &[(&str, Meaning, &str)] = &[
    (
        "X-Infection-Found",
        Meaning::Infections,
        "draft-stecher-icap-subid-00, and nearly all",
    ),
    (
        "X-Violations-Found",
        Meaning::Violations,
        "draft-stecher-icap-subid-00: Symantec, c-icap, Dr.Web",
    ),
    (
        "X-FSecure-Infection-Name",
        Meaning::ThreatNames,
        "WithSecure",
    ),
    ("X-Virus-ID", Meaning::ThreatSummary, "nearly all"),
    (
        "X-Virus-Name",
        Meaning::ThreatSummary,
        "FortiSandbox, Skyhigh",
    ),
    (
        "X-FSecure-Infected-Filename",
        Meaning::ThreatFile,
        "WithSecure",
    ),
    ("X-FSecure-Scan-Result", Meaning::ThreatSign, "WithSecure"),
    ("X-Error-Code", Meaning::ErrorCode, "Broadcom"),
    ("X-Blocked-Reason", Meaning::BlockReason, "OPSWAT"),
    ("X-Block-Reason", Meaning::BlockReason, "Skyhigh"),
    ("X-MWG-Block-Reason", Meaning::BlockReason, "Skyhigh"),
    ("X-Blocked", Meaning::BlockReason, "Sophos"),
    ("X-Block-Result", Meaning::BlockResult, "Skyhigh"),
    ("X-WWBlockResult", Meaning::BlockResult, "Skyhigh"),
    ("X-Response-Desc", Meaning::Description, "Kaspersky"),
    ("X-Response-Description", Meaning::Description, "ESET"),
    (
        "X-Response-Info",
        Meaning::Info,
        "OPSWAT, ESET, KWTS, SSLproxy",
    ),
];

/// What a field is about, if it is about a finding at all.
pub(super) fn meaning(field: &Field<'_>) -> Option<Meaning> {
    let known = FIELDS.iter().find(|(name, ..)| field.is(name));
    known.map(|(_, meaning, _)| *meaning)
}
