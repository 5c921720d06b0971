//! What several tests share. Each of them uses a part of it.

#![allow(dead_code, reason = "each test uses a part of it")]

#[cfg(feature = "cli")]
pub(crate) mod check;
pub(crate) mod content;
pub(crate) mod expected_findings;
#[cfg(feature = "testing")]
pub(crate) mod fake;
pub(crate) mod outage;
pub(crate) mod outcomes;
#[cfg(feature = "cli")]
pub(crate) mod program;
pub(crate) mod stream;
pub(crate) mod tap;

use std::net::{SocketAddr, TcpListener, TcpStream};

/// An address on 127.0.0.1 that refuses connections until the process ends.
///
/// It is the client's end of an open connection, so that the system gives its port to no other test.
pub(crate) fn refusing_address() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let address = client.local_addr().unwrap();
    std::mem::forget((listener.accept().unwrap(), client));
    address
}
