//! Scans with a preview, after which the server asks for the rest: two waits for the server in one exchange.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};

use icap_client::{Content, Preview, Scanner};

use super::Setting;
use super::alternate::{CPU, WALL, alternate, here};
use crate::sink::PREVIEW;
use crate::table::{Table, ratio, time};
use crate::{Result, floor, work};

const SIZE: usize = 64 << 10;

pub(super) fn run(setting: &Setting) -> Result<()> {
    let content = work::content(SIZE);
    let scanner = Scanner::builder(setting.uri("preview"))
        .preview(Preview::Negotiated)
        .build()?;
    let ours = || {
        assert!(scanner.scan(Content::bytes(&content))?.verdict().is_clean());
        Ok(())
    };
    let mut floor = Floor::connect(([127, 0, 0, 1], setting.sink.port).into())?;
    let contenders = vec![
        ("icap-client", here(ours)),
        ("floor", here(|| Ok(floor.scan(&content)?))),
    ];
    let measured = alternate(setting, 1, contenders)?;
    let [ours, floor] = &measured[..] else {
        return Err("two contenders".into());
    };
    let mut table = Table::new(&[
        "client",
        "CPU of 64 KiB bytes with a preview of 4 KiB",
        "÷ floor",
        "wall time ÷ floor",
    ]);
    table.row([
        ours.name.clone(),
        time(ours.median(CPU)),
        ratio(ours.ratio(floor, CPU), None),
        ratio(ours.ratio(floor, WALL), None),
    ]);
    table.row([
        floor.name.clone(),
        time(floor.median(CPU)),
        String::new(),
        String::new(),
    ]);
    table.print();
    Ok(())
}

/// As the floor without obligations, with a preview.
struct Floor {
    stream: TcpStream,
    head: Vec<u8>,
    buffer: Vec<u8>,
}

impl Floor {
    fn connect(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        let head = String::from_utf8(floor::least_head(address, "preview"))?;
        let head = head.replacen("Allow:", &format!("Preview: {PREVIEW}\r\nAllow:"), 1);
        Ok(Self {
            stream,
            head: head.into_bytes(),
            buffer: Vec::new(),
        })
    }

    fn scan(&mut self, content: &[u8]) -> io::Result<()> {
        let (preview, rest) = content.split_at(PREVIEW);
        self.buffer.clear();
        self.buffer.extend_from_slice(&self.head);
        self.send(preview)?;
        self.receive(b"ICAP/1.0 100 ")?;
        self.buffer.clear();
        self.send(rest)?;
        self.receive(b"ICAP/1.0 204 ")
    }

    /// One chunk and the last one, after what is in the buffer.
    fn send(&mut self, content: &[u8]) -> io::Result<()> {
        write!(self.buffer, "{:x}\r\n", content.len())?;
        self.buffer.extend_from_slice(content);
        self.buffer.extend_from_slice(b"\r\n0\r\n\r\n");
        self.stream.write_all(&self.buffer)
    }

    fn receive(&mut self, status: &[u8]) -> io::Result<()> {
        let mut response = [0; 4096];
        let mut filled = 0;
        while !response[..filled].ends_with(b"\r\n\r\n") {
            match self.stream.read(&mut response[filled..])? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                len => filled += len,
            }
        }
        assert!(response.starts_with(status));
        Ok(())
    }
}
