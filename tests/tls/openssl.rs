//! Certificates that openssl makes: those of the manual, and a self-signed one as it comes.

use std::fs;
use std::path::Path;
use std::process::Command;

use icap_client::testing::Server;
use icap_client::{Content, Scanner};

use super::front::{Ending, Front};
use super::pki::{Identity, TLS13, connector};

const MANUAL: &str = include_str!("../../src/manual/icaps.md");

/// Runs a block of commands; `false` where there is no openssl.
fn run(commands: &str, folder: &Path) -> bool {
    if Command::new("openssl").arg("version").output().is_err() {
        eprintln!("skipped: there is no openssl");
        return false;
    }
    let mut shell = Command::new("sh");
    let output = shell.arg("-ec").arg(commands).current_dir(folder).output();
    let output = output.unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{commands}\n{said}");
    true
}

/// The first block of commands of the manual after `heading`, for the address of the test.
fn documented(heading: &str) -> String {
    let (_, section) = MANUAL.split_once(heading).unwrap();
    let (_, block) = section.split_once("```sh\n").unwrap();
    let (commands, _) = block.split_once("```").unwrap();
    assert!(commands.contains("subjectAltName=DNS:av.example"));
    commands.replace(
        "subjectAltName=DNS:av.example",
        "subjectAltName=IP:127.0.0.1",
    )
}

fn assert_scans(folder: &Path, root: &str) {
    let read = |name: &str| fs::read_to_string(folder.join(name)).unwrap();
    let identity = Identity {
        certificate: read("cert.pem"),
        key: read("key.pem"),
    };
    let server = Server::start().unwrap();
    let front = Front::new(identity.server(TLS13), server.address(), Ending::Notified);
    let builder = Scanner::builder(front.uri()).connector(connector(&read(root)));
    let report = builder.build().unwrap().scan(Content::bytes(b"hello"));
    assert!(report.unwrap().verdict().is_clean());
}

#[test]
fn documented_authority_and_certificate_work() {
    let folder = tempfile::tempdir().unwrap();
    if run(
        &documented("# A certificate authority of your own"),
        folder.path(),
    ) {
        assert_scans(folder.path(), "our-ca.pem");
    }
}

#[test]
fn documented_self_signed_certificate_works() {
    let folder = tempfile::tempdir().unwrap();
    if run(&documented("# One self-signed certificate"), folder.path()) {
        assert_scans(folder.path(), "cert.pem");
    }
}
