//! ICAP over TLS: the same verdicts, and an error that says what is wrong with the TLS.

mod errors;
mod front;
mod given_roots;
mod openssl;
mod packaging;
mod pki;
#[cfg(feature = "cli")]
mod program;
mod renegotiation;
mod scans;
mod settings;
#[path = "../support/mod.rs"]
mod support;
mod watched;
