//! Why a server's certificate was refused, in sentences.

use std::fmt::Write as _;

use rustls::CertificateError;
use rustls::pki_types::UnixTime;

use crate::proto::text::displayable;

/// The fault, and in parentheses what shows it or what to do.
pub(super) fn explain(error: &CertificateError) -> String {
    use CertificateError as Fault;
    match error {
        Fault::NotValidForName => "the server's certificate is for another host name".to_owned(),
        Fault::NotValidForNameContext {
            expected,
            presented,
        } => format!(
            "the server's certificate is for another host name (it is for {}, and the URI says {})",
            names(presented),
            expected.to_str()
        ),
        Fault::UnknownIssuer => "the server's certificate is from an issuer that is not trusted \
            (give the certificate of the issuer as a root, and let the server send those in between)"
            .to_owned(),
        Fault::Expired => "the server's certificate has expired".to_owned(),
        Fault::ExpiredContext { time, not_after } => format!(
            "the server's certificate has expired (it was valid until {}, and now is {})",
            date(*not_after),
            date(*time)
        ),
        Fault::NotValidYet => "the server's certificate is not valid yet".to_owned(),
        Fault::NotValidYetContext { time, not_before } => format!(
            "the server's certificate is not valid yet (it is valid from {}, and now is {})",
            date(*not_before),
            date(*time)
        ),
        Fault::Revoked => "the server's certificate was revoked".to_owned(),
        Fault::BadSignature => {
            "a signature does not match the server's certificate (the server has another key, or the \
             certificate is not from the issuer that it names)"
                .to_owned()
        }
        Fault::BadEncoding => "the server's certificate cannot be read".to_owned(),
        Fault::InvalidPurpose | Fault::InvalidPurposeContext { .. } => {
            "the server's certificate is not for servers (its extended key usage lacks serverAuth)"
                .to_owned()
        }
        Fault::UnsupportedSignatureAlgorithmContext { .. }
        | Fault::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => {
            "the server's certificate is signed in a way that is not supported (make one with ECDSA \
             P-256 or RSA of 2048 bits or more, and SHA-256)"
                .to_owned()
        }
        _ if is_of_authority(error) => "the server shows the certificate of an authority (CA:TRUE) \
            (make one with basicConstraints=CA:FALSE, or give this very certificate as a root)"
            .to_owned(),
        Fault::Other(cause) => refused(&cause.to_string()),
        other => refused(&format!("{other:?}")),
    }
}

/// Whether the certificate is that of an authority. webpki's error is known by its name alone, because webpki
/// is no dependency of this crate; under another name it would count as any other fault.
pub(super) fn is_of_authority(error: &CertificateError) -> bool {
    matches!(error, CertificateError::Other(cause) if cause.to_string() == "CaUsedAsEndEntity")
}

/// For a fault without a sentence of its own. rustls and webpki give it a name, which is shown as words. A verifier
/// of the caller's own may give it a text.
fn refused(fault: &str) -> String {
    let is_name = fault.chars().all(|letter| letter.is_ascii_alphanumeric());
    let why = if is_name {
        words(fault)
    } else {
        displayable(fault.as_bytes())
    };
    format!("the server's certificate cannot be accepted ({why})")
}

/// `UnhandledCriticalExtension` as `unhandled critical extension`.
fn words(name: &str) -> String {
    let mut words = String::new();
    for (at, letter) in name.chars().enumerate() {
        if letter.is_uppercase() && at > 0 {
            words.push(' ');
        }
        words.extend(letter.to_lowercase());
    }
    words
}

/// The names of a certificate. rustls hands them on as webpki's `Debug` shows them: `DnsName("av.example")`,
/// `IpAddress(127.0.0.1)`.
fn names(presented: &[String]) -> String {
    let bare = |name: &String| {
        let inside = name.split_once('(').map_or(&**name, |(_, inside)| inside);
        inside.trim_matches([')', '"']).to_owned()
    };
    match presented {
        [] => "none, because it has no subjectAltName".to_owned(),
        // They are the server's own words, and may be anything.
        names => displayable(
            names
                .iter()
                .map(bare)
                .collect::<Vec<_>>()
                .join(", ")
                .as_bytes(),
        ),
    }
}

/// A date and time in UTC, as `2026-11-26 10:20:00 UTC`.
fn date(time: UnixTime) -> String {
    let (days, second) = (time.as_secs() / 86_400, time.as_secs() % 86_400);
    let (mut year, mut day) = (1970, days);
    while day >= days_in(year) && year < 9999 {
        day -= days_in(year);
        year += 1;
    }
    let mut month = 0;
    let february = days_in(year) - 337;
    let months = [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30];
    while let Some(days) = months.get(month).filter(|&&days| day >= days) {
        day -= days;
        month += 1;
    }
    let mut text = format!("{year:04}-{:02}-{:02} ", month + 1, day + 1);
    // Writing to a string does not fail.
    let _ = write!(
        text,
        "{:02}:{:02}:{:02} UTC",
        second / 3600,
        second / 60 % 60,
        second % 60
    );
    text
}

fn days_in(year: u64) -> u64 {
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    365 + u64::from(is_leap)
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::Arc;
    use std::time::Duration;

    use rustls::OtherError;

    use super::*;

    #[test]
    fn date_is_that_of_the_calendar() {
        for (seconds, text) in [
            (0, "1970-01-01 00:00:00 UTC"),
            (951_782_399, "2000-02-28 23:59:59 UTC"),
            (951_782_400, "2000-02-29 00:00:00 UTC"),
            (951_868_800, "2000-03-01 00:00:00 UTC"),
            (1_735_689_599, "2024-12-31 23:59:59 UTC"),
            (1_735_689_600, "2025-01-01 00:00:00 UTC"),
            (4_107_542_400, "2100-03-01 00:00:00 UTC"),
        ] {
            let time = UnixTime::since_unix_epoch(Duration::from_secs(seconds));
            assert_eq!(date(time), text);
        }
    }

    #[test]
    fn fault_without_a_sentence_is_shown_as_words() {
        let text = explain(&CertificateError::UnhandledCriticalExtension);
        assert_eq!(
            text,
            "the server's certificate cannot be accepted (unhandled critical extension)"
        );
        let own = io::Error::other("not in Our List\n");
        let text = explain(&CertificateError::Other(OtherError(Arc::new(own))));
        assert_eq!(
            text,
            "the server's certificate cannot be accepted (not in Our List\\n)"
        );
    }

    #[test]
    fn names_are_shown_without_their_types() {
        let presented = ["DnsName(\"av.example\")", "IpAddress(127.0.0.1)"].map(str::to_owned);
        assert_eq!(names(&presented), "av.example, 127.0.0.1");
    }
}
