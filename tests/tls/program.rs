//! The program `icap` with `icaps://`.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use icap_client::testing::Server;
use tempfile::TempDir;

use super::front::{Ending, Front};
use super::pki::{Authority, TLS13};

/// Writes `text` to the file `name`.
fn file(folder: &TempDir, name: &str, text: &str) -> PathBuf {
    let path = folder.path().join(name);
    fs::write(&path, text).unwrap();
    path
}

fn icap() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_icap"));
    for name in ["SSL_CERT_FILE", "SSL_CERT_DIR", "RUST_LOG"] {
        command.env_remove(name);
    }
    command
}

/// Exit status, standard output and standard error.
fn run(command: &mut Command) -> (Option<i32>, String) {
    let output = command.output().unwrap();
    let printed = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(printed).unwrap())
}

#[test]
fn system_roots_are_trusted_unless_others_are_given() {
    let (authority, other) = (Authority::new(), Authority::new());
    let server = Server::start().unwrap();
    let config = authority.local().server(TLS13);
    let front = Front::new(config, server.address(), Ending::Notified);
    let folder = tempfile::tempdir().unwrap();
    let ca = file(&folder, "ca.pem", &authority.pem);
    let other_ca = file(&folder, "other.pem", &other.pem);
    let hello = file(&folder, "hello.txt", "hello");
    let scan = |command: &mut Command| run(command.arg("scan").arg(front.uri()).arg(&hello));

    // OpenSSL's variable names the roots of the system.
    let (status, printed) = scan(icap().env("SSL_CERT_FILE", &ca));
    assert_eq!(status, Some(0), "{printed}");
    let (status, printed) = scan(icap().env("SSL_CERT_FILE", &other_ca));
    assert_eq!(status, Some(2), "{printed}");
    assert!(
        printed.contains("from an issuer that is not trusted"),
        "{printed}"
    );

    let ca_file = |path| {
        let mut command = icap();
        command.env("SSL_CERT_FILE", &other_ca);
        run(command
            .arg("scan")
            .arg("--ca-file")
            .arg(path)
            .arg(front.uri())
            .arg(&hello))
    };
    let (status, printed) = ca_file(&ca);
    assert_eq!(status, Some(0), "{printed}");
    let (status, printed) = ca_file(&hello);
    assert_eq!(status, Some(2), "{printed}");
    assert!(printed.contains("no PEM certificate"), "{printed}");
    assert!(printed.contains("hello.txt"), "{printed}");

    // A system without roots.
    let empty = file(&folder, "empty.pem", "");
    let (status, printed) = scan(icap().env("SSL_CERT_FILE", &empty));
    assert_eq!(status, Some(2), "{printed}");
    assert!(
        printed.contains("no trusted root certificates"),
        "{printed}"
    );
}

#[test]
fn client_certificate_is_sent_if_requested() {
    let (authority, clients) = (Authority::new(), Authority::new());
    let server = Server::start().unwrap();
    let config = authority.local().server_for_clients_of(&clients, TLS13);
    let front = Front::new(config, server.address(), Ending::Notified);
    let folder = tempfile::tempdir().unwrap();
    let client = clients.issue("client.example", (2000, 4000));
    let ca = file(&folder, "ca.pem", &authority.pem);
    let certificate = file(&folder, "client.pem", &client.certificate);
    let key = file(&folder, "client.key", &client.key);

    let options = || {
        let mut command = icap();
        command
            .arg("options")
            .arg(front.uri())
            .arg("--ca-file")
            .arg(&ca);
        command
    };
    let (status, printed) = run(&mut options());
    assert_eq!(status, Some(2), "{printed}");
    assert!(
        printed.contains("requires a client certificate"),
        "{printed}"
    );
    let mut with_certificate = options();
    with_certificate.arg("--client-cert").arg(&certificate);
    let (status, printed) = run(&mut with_certificate);
    assert_eq!(status, Some(2), "{printed}");
    assert!(printed.contains("--client-key"), "{printed}");
    let (status, printed) = run(with_certificate.arg("--client-key").arg(&key));
    assert_eq!(status, Some(0), "{printed}");
}
