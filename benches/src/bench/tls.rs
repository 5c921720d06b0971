//! Scans over TLS, beside a loop that gives the same bytes to rustls.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

use icap_client::tls::TlsConnector;
use icap_client::tls::rustls::pki_types::ServerName;
use icap_client::tls::rustls::pki_types::{CertificateDer, pem::PemObject};
use icap_client::tls::rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use icap_client::{Content, Scanner};

use super::Setting;
use super::alternate::{CPU, WALL, alternate, here};
use crate::child::Sink;
use crate::cpus::Cpus;
use crate::table::{Table, ratio, time};
use crate::{Result, floor, work};

const SIZE: usize = 100 << 20;
const CHUNK: usize = 256 * 1024;

pub(super) fn run(setting: &Setting) -> Result<()> {
    let size = if setting.is_quick { 1 << 20 } else { SIZE };
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()])?;
    let certificate = made.cert.pem();
    let [cert_file, key_file] = ["cert.pem", "key.pem"].map(|name| setting.folder.join(name));
    fs::write(&cert_file, &certificate)?;
    fs::write(&key_file, made.signing_key.serialize_pem())?;
    let sink = Sink::start(&[cert_file, key_file], Cpus::All)?;

    let content = work::content(size);
    let connector = TlsConnector::builder()
        .roots_pem(certificate.as_bytes())?
        .build()?;
    let scanner = Scanner::builder(format!("icaps://127.0.0.1:{}/204", sink.port))
        .connector(connector)
        .build()?;
    let ours = || {
        assert!(scanner.scan(Content::bytes(&content))?.verdict().is_clean());
        Ok(())
    };
    let mut bare = Bare::connect(sink.port, &certificate)?;
    let contenders = vec![
        ("icap-client", here(ours)),
        ("rustls loop", here(|| bare.scan(&content))),
    ];
    let measured = alternate(setting, 1, contenders)?;
    let mut table = Table::new(&[
        "client",
        "CPU of 100 MiB bytes",
        "÷ loop",
        "wall time ÷ loop",
    ]);
    let [ours, bare] = &measured[..] else {
        return Err("two contenders".into());
    };
    table.row([
        ours.name.clone(),
        time(ours.median(CPU)),
        ratio(ours.ratio(bare, CPU), Some(1.15)),
        ratio(ours.ratio(bare, WALL), None),
    ]);
    table.row([
        bare.name.clone(),
        time(bare.median(CPU)),
        String::new(),
        String::new(),
    ]);
    table.print();
    Ok(())
}

/// The floor over TLS, without obligations.
struct Bare {
    stream: StreamOwned<ClientConnection, TcpStream>,
    head: Vec<u8>,
}

impl Bare {
    fn connect(port: u16, certificate: &str) -> Result<Self> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(certificate.as_bytes())?)?;
        let config = ClientConfig::builder()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = ServerName::try_from("127.0.0.1")?;
        let connection = ClientConnection::new(Arc::new(config), name)?;
        let address = ([127, 0, 0, 1], port).into();
        let socket = TcpStream::connect(address)?;
        socket.set_nodelay(true)?;
        Ok(Self {
            stream: StreamOwned::new(connection, socket),
            head: floor::least_head(address, "204"),
        })
    }

    fn scan(&mut self, content: &[u8]) -> Result<()> {
        self.stream.write_all(&self.head)?;
        let mut buffer = Vec::with_capacity(CHUNK + 32);
        for chunk in content.chunks(CHUNK) {
            buffer.clear();
            write!(buffer, "{:x}\r\n", chunk.len())?;
            buffer.extend_from_slice(chunk);
            buffer.extend_from_slice(b"\r\n");
            self.stream.write_all(&buffer)?;
        }
        self.stream.write_all(b"0\r\n\r\n")?;
        self.stream.flush()?;
        let mut response = [0; 4096];
        let mut filled = 0;
        while !response[..filled].ends_with(b"\r\n\r\n") {
            match self.stream.read(&mut response[filled..])? {
                0 => return Err("the connection has ended".into()),
                len => filled += len,
            }
        }
        assert!(response.starts_with(b"ICAP/1.0 204 "));
        Ok(())
    }
}
