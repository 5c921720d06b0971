//! The servers of other projects, as processes that a test starts and ends.

use std::ffi::OsString;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use icap_client::testing::eicar;

/// A server of another project.
#[derive(Clone, Copy)]
pub(crate) struct Peer {
    pub(crate) name: &'static str,
    /// The environment variable with which `tests/run` names its command.
    variable: &'static str,
    /// The command that starts it, from the variable's value.
    command: fn(OsString) -> Command,
}

pub(crate) const PYICAP: Peer = Peer {
    name: "pyicap",
    variable: "ICAP_INTEROP_PYTHON",
    command: |python| {
        let mut command = Command::new(python);
        command.arg(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/tests/interop/pyicap_server.py"
        ));
        command
    },
};

pub(crate) const ICAP_RS: Peer = Peer {
    name: "icap_rs",
    variable: "ICAP_INTEROP_ICAP_RS",
    command: |program| Command::new(program),
};

impl Peer {
    pub(crate) fn is_there(&self) -> bool {
        std::env::var_os(self.variable).is_some()
    }

    /// EICAR is passed to the server, so that no file of the servers contains it.
    pub(crate) fn start(&self) -> Running {
        let found = std::env::var_os(self.variable).expect("it is there");
        let log = tempfile::tempfile().unwrap();
        let mut child = (self.command)(found)
            .arg(String::from_utf8(eicar()).unwrap())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log.try_clone().unwrap())
            .spawn()
            .unwrap();
        let output = child.stdout.take().unwrap();
        let mut running = Running {
            child,
            log,
            name: self.name,
            uri: String::new(),
        };
        let (sender, receiver) = mpsc::channel();
        thread::spawn(move || {
            let mut line = String::new();
            let read = BufReader::new(output).read_line(&mut line);
            sender.send(read.map(|_| line))
        });
        let line = receiver.recv_timeout(Duration::from_secs(30));
        let line = line.expect("it starts within 30 seconds").unwrap();
        running.uri.push_str(line.trim_end());
        assert!(running.uri.starts_with("icap://127.0.0.1:"), "{line:?}");
        running
    }
}

/// A running server. It ends at the end of its input, so also with the process of the test.
pub(crate) struct Running {
    child: Child,
    log: File,
    name: &'static str,
    uri: String,
}

impl Running {
    /// The name of its project.
    pub(crate) fn name(&self) -> &'static str {
        self.name
    }

    /// The URI of one of its services.
    pub(crate) fn uri(&self, service: &str) -> String {
        format!("{}/{service}", self.uri)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            let mut log = String::new();
            let _ = self.log.rewind();
            let _ = self.log.read_to_string(&mut log);
            eprintln!("the log of the server at {}:\n{log}", self.uri);
        }
    }
}
