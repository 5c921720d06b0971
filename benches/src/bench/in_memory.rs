//! Scans with a server in this process and without a socket: the time of the client's own code.

use std::io;

use icap_client::{Body, Client, Content, Request, Scanner};

use super::Setting;
use super::alternate::{CPU, alternate, here};
use crate::Result;
use crate::in_memory::InMemory;
use crate::table::{Table, time};
use crate::work;

/// The server's name is of no meaning.
const URI: &str = "icap://127.0.0.1/204";
const SENT_BACK: u64 = 10 << 20;

pub(super) fn run(setting: &Setting) -> Result<()> {
    let mut table = Table::new(&["work", "CPU", "wanted"]);
    small(setting, &mut table)?;
    chunks_of_one_byte(setting, &mut table)?;
    table.print();
    Ok(())
}

fn small(setting: &Setting, table: &mut Table) -> Result<()> {
    let content = work::content(4096);
    let no_content = InMemory { sent_back: None };
    let scanner = Scanner::builder(URI).connector(no_content).build()?;
    let client = Client::builder(URI).connector(no_content).build()?;
    let request = Request::respmod().http_response(b"HTTP/1.1 200 OK\r\n\r\n")?;
    let scan = |content| {
        let report = scanner.scan(content)?;
        assert!(report.verdict().is_clean());
        Ok(())
    };
    let send = || {
        let response = client.send(&request, Body::from(&content[..]), io::sink())?;
        assert_eq!(response.status(), 204);
        Ok(())
    };
    let contenders = vec![
        (
            "a scan of 4 KiB bytes",
            here(|| scan(Content::bytes(&content))),
        ),
        (
            "a scan of a 4 KiB reader",
            here(|| scan(Content::reader(&content[..]))),
        ),
        ("the same bytes with `Client::send`", here(send)),
    ];
    for it in alternate(setting, 1, contenders)? {
        let wanted = if it.name.ends_with("bytes") {
            "≤ 1.5 µs"
        } else {
            ""
        };
        table.row([it.name.clone(), time(it.median(CPU)), wanted.to_owned()]);
    }
    Ok(())
}

fn chunks_of_one_byte(setting: &Setting, table: &mut Table) -> Result<()> {
    let len = if setting.is_quick { 1 << 16 } else { SENT_BACK };
    let sent_back = InMemory {
        sent_back: Some(len),
    };
    let client = Client::builder(URI)
        .connector(sent_back)
        .max_response(None)
        .build()?;
    let request = Request::respmod().http_response(b"HTTP/1.1 200 OK\r\n\r\n")?;
    let receive = || {
        let mut received = 0;
        client.send(&request, Body::from(&b"x"[..]), Count(&mut received))?;
        assert_eq!(received, len);
        Ok(())
    };
    let name = "10 MiB that come back in chunks of one byte";
    for it in alternate(setting, 1, vec![(name, here(receive))])? {
        table.row([it.name.clone(), time(it.median(CPU)), "≤ 200 ms".to_owned()]);
    }
    Ok(())
}

struct Count<'n>(&'n mut u64);

impl io::Write for Count<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        *self.0 += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
