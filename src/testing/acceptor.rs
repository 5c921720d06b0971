//! The thread that accepts connections, and the threads that it starts.

use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use super::connection::Connection;
use super::conversation::Conversation;
use super::shared::Shared;

/// The pause after a failed accept, which is often a lack of file descriptors.
const ACCEPT_AGAIN: Duration = Duration::from_millis(10);

/// Returns after the end of accepting and of all connections.
pub(super) fn accept_all(shared: &Shared, listener: TcpListener) {
    thread::scope(|scope| {
        while let Some((number, stream)) = accept(shared, &listener) {
            let connection = move || Connection::new(shared, number, stream).run();
            let thread = thread::Builder::new().name(format!("icap-connection-{number}"));
            if thread.spawn_scoped(scope, connection).is_err() {
                shared.connection_ended(number, Conversation::new());
            }
        }
        // Before the connections end, so that further clients are refused and do not wait.
        drop(listener);
        shared.accepting_ended();
    });
}

/// The next connection; `None` if the server has ended.
fn accept(shared: &Shared, listener: &TcpListener) -> Option<(usize, Arc<TcpStream>)> {
    loop {
        match listener.accept() {
            Ok((_, peer)) if shared.is_waker(peer) => return None,
            Ok((stream, _)) => return Some(shared.register(stream)),
            Err(_) if shared.pause(ACCEPT_AGAIN) => {}
            Err(_) => return None,
        }
    }
}
