//! Errors of TLS, with what to do about each.

use std::fmt;
use std::io;

use rustls::{AlertDescription, Error, PeerMisbehaved};

use super::certificate_failure::{self, is_of_authority};
use crate::proto::text::displayable;

/// Of kind [`InvalidData`](io::ErrorKind::InvalidData).
///
/// All of it is in one text, because several callers that wait for one `OPTIONS` get a copy of the text alone. Text
/// that the server chose is escaped.
pub(super) fn tls_failed(error: &Error, plain_protocol: Option<&str>) -> io::Error {
    let text = match (error, plain_protocol) {
        (Error::InvalidCertificate(error), _) => certificate_failure::explain(error),
        (Error::InvalidMessage(_), Some("ICAP")) => {
            "the server speaks ICAP without TLS on this port, which is icap:// and not icaps://"
                .to_owned()
        }
        (Error::InvalidMessage(_), Some(protocol)) => {
            format!("the server speaks {protocol} on this port, and no TLS: check the port")
        }
        (error, _) => {
            let details = error.to_string();
            format!("{} ({})", what_of(error), displayable(details.as_bytes()))
        }
    };
    io::Error::new(io::ErrorKind::InvalidData, text)
}

/// Whether the server showed the certificate of an authority as its own, and nothing else is wrong with it.
pub(super) fn is_authority_as_server(error: &Error) -> bool {
    matches!(error, Error::InvalidCertificate(error) if is_of_authority(error))
}

/// The server asked to renegotiate, and ended the session when that was declined. Of kind
/// [`Unsupported`](io::ErrorKind::Unsupported), because a server may ask and is not to blame.
pub(super) fn renegotiation_failed(why: &dyn fmt::Display) -> io::Error {
    let what = "the server asked to renegotiate TLS 1.2, which this client does not do";
    io::Error::new(io::ErrorKind::Unsupported, format!("{what} ({why})"))
}

/// Whether a session in which the server asked to renegotiate failed because of that.
pub(super) fn is_about_renegotiation(error: &Error) -> bool {
    matches!(
        error,
        Error::PeerMisbehaved(PeerMisbehaved::TooManyRenegotiationRequests)
            | Error::AlertReceived(_)
    )
}

/// The server closed the connection in the handshake.
pub(super) fn closed_in_handshake() -> io::Error {
    let what = "the server closed the connection in the TLS handshake; perhaps it speaks no TLS on \
                this port";
    io::Error::new(io::ErrorKind::UnexpectedEof, what)
}

/// The server closed the connection without ending the TLS session: the end of the data may be missing.
pub(super) fn closed_without_notice() -> io::Error {
    let what = "the server closed the connection without ending the TLS session (no close_notify)";
    io::Error::new(io::ErrorKind::UnexpectedEof, what)
}

/// The connection ended in the middle of a record.
pub(super) fn closed_in_record(why: &dyn fmt::Display) -> io::Error {
    let what = format!("the connection ended in the middle of a TLS record ({why})");
    io::Error::new(io::ErrorKind::UnexpectedEof, what)
}

/// The handshake took longer than connecting may.
pub(super) fn handshake_timed_out() -> io::Error {
    io::Error::new(
        io::ErrorKind::TimedOut,
        "the TLS handshake took too long; perhaps the server speaks no TLS on this port",
    )
}

fn what_of(error: &Error) -> &'static str {
    match error {
        Error::AlertReceived(alert) => what_of_alert(*alert),
        Error::InvalidMessage(_) => "the server sent bytes that are not TLS",
        Error::PeerIncompatible(_) => "the server knows no TLS version or cipher that is safe",
        Error::NoCertificatesPresented => "the server showed no certificate",
        Error::DecryptError => "the server's bytes were changed on the way",
        _ => "the server broke the TLS protocol",
    }
}

/// The meaning of the alert with which the server ended the session (RFC 8446 §6.2).
fn what_of_alert(alert: AlertDescription) -> &'static str {
    use AlertDescription as Alert;
    match alert {
        Alert::CertificateRequired => "the server requires a client certificate",
        Alert::UnknownCA
        | Alert::BadCertificate
        | Alert::UnsupportedCertificate
        | Alert::CertificateRevoked
        | Alert::CertificateExpired
        | Alert::CertificateUnknown
        | Alert::AccessDenied => "the server does not accept the client certificate",
        Alert::ProtocolVersion | Alert::InsufficientSecurity => {
            "the server knows no TLS version or cipher that is safe"
        }
        // TLS 1.2 has no alert of its own for a missing client certificate.
        Alert::HandshakeFailure => {
            "the server refused the TLS handshake; perhaps it requires a client certificate"
        }
        Alert::UnrecognisedName => "the server does not know the host name",
        _ => "the server ended TLS with an alert",
    }
}

/// The session can carry no more data, and another connection can. Of kind
/// [`Unsupported`](io::ErrorKind::Unsupported), because no server is to blame.
pub(super) fn session_over() -> io::Error {
    let why = "the TLS session takes no more data: its keys are used up, or it was ended";
    io::Error::new(io::ErrorKind::Unsupported, why)
}
