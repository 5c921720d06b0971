//! Moves bytes: connects, keeps connections in a pool, and measures waits.
//!
//! This layer knows sockets and clocks. It knows nothing of ICAP messages.

pub(crate) mod cancel;
pub(crate) mod checkout;
pub(crate) mod connecting;
pub(crate) mod connection;
pub(crate) mod deadline;
mod helpers;
pub(crate) mod pool;
pub(crate) mod resolver;
pub(crate) mod shortage;
mod socket;
pub(crate) mod tcp;
#[cfg(feature = "rustls")]
pub(crate) mod tls;
pub(crate) mod transport;
