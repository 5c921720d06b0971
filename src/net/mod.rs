//! Moving bytes: where a service is, how to get there, and what is left of the time.
//!
//! This floor knows sockets and clocks and nothing of ICAP messages.

pub(crate) mod checkout;
pub(crate) mod connection;
pub(crate) mod deadline;
pub(crate) mod pool;
mod resolver;
pub(crate) mod shortage;
pub(crate) mod tcp;
#[cfg(feature = "rustls")]
pub(crate) mod tls;
pub(crate) mod transport;
