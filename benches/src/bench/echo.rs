//! Content that is sent and comes back at the same time.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::thread;

use icap_client::{Body, Client, Request};

use super::Setting;
use super::alternate::{CPU, Measured, WALL, alternate, here};
use crate::Result;
use crate::floor;
use crate::table::{Table, time};

const SIZE: u64 = 1 << 30;
const CHUNK: usize = 256 * 1024;

pub(super) fn run(setting: &Setting) -> Result<()> {
    let size = if setting.is_quick { 4 << 20 } else { SIZE };
    let client = Client::builder(setting.uri("echo"))
        .max_response(None)
        .deadline(None)
        .build()?;
    let request = Request::respmod().http_response(b"HTTP/1.1 200 OK\r\n\r\n")?;
    let ours = || {
        let mut received = 0;
        let body = Body::reader(io::repeat(b'x').take(size));
        client.send(&request, body, Count(&mut received))?;
        assert_eq!(received, size);
        Ok(())
    };
    let contenders = vec![
        ("icap-client, one thread", here(ours)),
        ("copy loop, two threads", here(|| copy(setting, size))),
    ];
    let measured = alternate(setting, 1, contenders)?;
    let mut table = Table::new(&["client", "wall time of 1 GiB", "CPU", "rate ÷ copy loop"]);
    let [ours, copy] = &measured[..] else {
        return Err("two contenders".into());
    };
    let rate = copy.ratio(ours, WALL);
    let mark = if rate < 0.7 { "**" } else { "" };
    let mut row = |it: &Measured, rate: String| {
        table.row([
            it.name.clone(),
            time(it.median(WALL)),
            time(it.median(CPU)),
            rate,
        ]);
    };
    row(ours, format!("{mark}{rate:.2}{mark} (wanted: ≥ 0.70)"));
    row(copy, String::new());
    table.print();
    Ok(())
}

struct Count<'n>(&'n mut u64);

impl Write for Count<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        *self.0 += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// One thread sends chunks, the other one reads what comes back, and looks at nothing.
fn copy(setting: &Setting, size: u64) -> Result<()> {
    let address = ([127, 0, 0, 1], setting.sink.port).into();
    let stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    thread::scope(|scope| {
        let sending = scope.spawn(|| send(&stream, &floor::least_head(address, "echo"), size));
        let mut buffer = vec![0; CHUNK];
        let mut received = 0;
        while (&stream).read(&mut buffer)? > 0 {
            received += 1;
        }
        assert!(received > 0);
        sending.join().map_err(|_| "a thread panicked")??;
        Ok(())
    })
}

fn send(mut stream: &TcpStream, head: &[u8], size: u64) -> io::Result<()> {
    stream.write_all(head)?;
    let line = format!("{CHUNK:x}\r\n");
    let mut chunk = line.clone().into_bytes();
    chunk.resize(line.len() + CHUNK, b'x');
    chunk.extend_from_slice(b"\r\n");
    for _ in 0..size / CHUNK as u64 {
        stream.write_all(&chunk)?;
    }
    stream.write_all(b"0\r\n\r\n")?;
    // The server ends the connection after the response.
    stream.shutdown(Shutdown::Write)
}
