//! The program `icap`, run as a person or a script would run it.

use std::ffi::OsStr;
use std::fs;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use icap_client::testing::{CLEAN, OPTIONS_RESPONSE, Script, Server, echo, infected};
use serde_json::Value;
use tempfile::TempDir;

/// The result of a run of the program.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) status: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Run {
    pub(crate) fn of(child: Child) -> Self {
        let output = child.wait_with_output().unwrap();
        let run = Self {
            status: output.status.code(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        };
        assert!(!run.err.contains("panicked"), "{run:?}");
        run
    }

    /// The lines of standard output, without the last line of a summary: it has the time.
    pub(crate) fn lines(&self) -> Vec<&str> {
        let is_time = |line: &str| line.contains(" files/s, ") && line.contains(" s: ");
        self.out.lines().filter(|line| !is_time(line)).collect()
    }

    /// The lines of standard error.
    pub(crate) fn errors(&self) -> Vec<&str> {
        self.err.lines().collect()
    }

    /// The JSON of each line.
    pub(crate) fn objects(&self) -> Vec<Value> {
        self.out
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }
}

/// The program in its own folder, so that file names are short.
pub(crate) struct Icap {
    folder: TempDir,
}

impl Icap {
    pub(crate) fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
        }
    }

    /// Each file has its content as its name.
    pub(crate) fn with_files(names: &[&str]) -> Self {
        let icap = Self::new();
        names.iter().for_each(|name| icap.write(name, name));
        icap
    }

    pub(crate) fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn write(&self, name: impl AsRef<Path>, content: impl AsRef<[u8]>) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    /// With `--user` there is a password.
    pub(crate) fn spawn(&self, arguments: &[impl AsRef<OsStr>]) -> Child {
        let is_user_given = arguments.iter().any(|it| it.as_ref() == "--user");
        Command::new(env!("CARGO_BIN_EXE_icap"))
            .args(arguments)
            .current_dir(self.folder.path())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.folder.path())
            .envs(is_user_given.then_some(("ICAP_PASSWORD", "hunter2")))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    }

    pub(crate) fn run(&self, arguments: &[impl AsRef<OsStr>]) -> Run {
        Run::of(self.spawn(arguments))
    }

    pub(crate) fn run_with_input(&self, arguments: &[&str], input: &[u8]) -> Run {
        let mut child = self.spawn(arguments);
        // The program may end before it has read everything.
        match child.stdin.take().unwrap().write_all(input) {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => {}
            result => result.unwrap(),
        }
        Run::of(child)
    }
}

/// A service that responds as the content says.
pub(crate) fn obedient() -> Server {
    let response = |method: &str, content: &[u8]| match (method, content) {
        ("OPTIONS", _) => OPTIONS_RESPONSE.as_bytes().to_vec(),
        (_, b"infected") => infected("Eicar-Test-Signature"),
        (_, b"blocked") => b"ICAP/1.0 403 Not for you\r\n\r\n".to_vec(),
        (_, b"modified") => echo("HTTP/1.1 200 OK\r\n\r\n", b"other"),
        (_, b"pending") => b"ICAP/1.0 202 Accepted\r\n\r\n".to_vec(),
        (_, b"failing") => b"ICAP/1.0 500 Engine is down\r\n\r\n".to_vec(),
        _ => CLEAN.as_bytes().to_vec(),
    };
    Server::answering(move |request| Script::new().send(response(request.method(), request.body())))
        .unwrap()
}

/// A service with this response to everything.
pub(crate) fn answering(response: &[u8]) -> Server {
    let response = response.to_vec();
    Server::answering(move |_| Script::new().send(&response)).unwrap()
}

/// The arguments of a scan of `files`, options included.
pub(crate) fn scan<'a>(uri: &'a str, files: &[&'a str]) -> Vec<&'a str> {
    [&["scan", uri], files].concat()
}
