//! ICAP over TLS: the same verdicts, and an error that says what is wrong with the TLS.

mod errors;
mod front;
mod pki;
mod scans;
mod settings;
