//! A server that goes away and comes back.

use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Mutex;

/// An address of a server that can go away and come back. It forwards connections to the server.
pub(crate) struct Front {
    address: SocketAddr,
    after: SocketAddr,
    /// Listens from the beginning, until the first outage.
    first: Mutex<Option<TcpListener>>,
}

impl Front {
    /// A new address before this server.
    pub(crate) fn of(after: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let first = Mutex::new(Some(listener));
        Self {
            address,
            after,
            first,
        }
    }

    pub(crate) fn uri(&self) -> String {
        format!("icap://{}/scan", self.address)
    }

    /// Serves while it goes on; then closes all connections and refuses new ones.
    pub(crate) fn serve_while(&self, goes_on: impl Fn() -> bool) {
        let first = self.first.lock().unwrap().take();
        let listener = first.unwrap_or_else(|| TcpListener::bind(self.address).unwrap());
        listener.set_nonblocking(true).unwrap();
        let mut streams = Vec::new();
        while goes_on() {
            let Ok((client, _)) = listener.accept() else {
                std::thread::yield_now();
                continue;
            };
            client.set_nonblocking(false).unwrap();
            let server = TcpStream::connect(self.after).unwrap();
            pass_on(&client, &server);
            pass_on(&server, &client);
            streams.extend([client, server]);
        }
        for stream in streams {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

fn pass_on(from: &TcpStream, to: &TcpStream) {
    let (mut from, mut to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut from, &mut to);
        let _ = to.shutdown(Shutdown::Both);
    });
}
