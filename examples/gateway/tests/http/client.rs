//! Starts the gateway, and sends requests to it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use tempfile::TempDir;

/// So that a test that fails does not hang.
const LIMIT: Duration = Duration::from_secs(60);

pub struct Gateway {
    process: Child,
    address: String,
    operator: String,
    data: Option<TempDir>,
}

impl Gateway {
    pub fn start(icap: &str, arguments: &[&str]) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), icap, arguments)
    }

    /// Ends the gateway, and starts it with other settings and the same drive.
    pub fn restart(mut self, icap: &str, arguments: &[&str]) -> Self {
        let data = self.data.take().unwrap();
        drop(self);
        Self::start_in(data, icap, arguments)
    }

    fn start_in(data: TempDir, icap: &str, arguments: &[&str]) -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_gateway"))
            .args(["--icap", icap])
            .args(["--listen", "127.0.0.1:0", "--operator", "127.0.0.1:0"])
            .arg("--data")
            .arg(data.path())
            .args(arguments)
            .env("RUST_LOG", "off")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = process.stdout.take().unwrap();
        let mut lines = BufReader::new(output).lines();
        let mut address = |before: &str| {
            let line = lines.next().unwrap().unwrap();
            let address = line.strip_prefix(before).expect("an address");
            address.trim_end_matches('/').to_owned()
        };
        let operator = address("status on http://");
        let address = address("listening on http://");
        Self {
            process,
            address,
            operator,
            data: Some(data),
        }
    }

    /// The number of files in a folder of the gateway's data.
    pub fn files(&self, folder: &str) -> usize {
        let data: &Path = self.data.as_ref().unwrap().path();
        std::fs::read_dir(data.join(folder)).unwrap().count()
    }

    pub fn empty_the_drive(&self) {
        let data: &Path = self.data.as_ref().unwrap().path();
        for file in std::fs::read_dir(data.join("drive")).unwrap() {
            std::fs::remove_file(file.unwrap().path()).unwrap();
        }
    }

    pub fn connect(&self) -> TcpStream {
        connect(&self.address)
    }

    /// Gets a page of the operator.
    pub fn operator_gets(&self, path: &str) -> Response {
        let mut stream = connect(&self.operator);
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        Response::read(stream)
    }

    pub fn operator_raw(&self, request: &[u8]) -> Response {
        let mut stream = connect(&self.operator);
        stream.write_all(request).unwrap();
        Response::read(stream)
    }

    /// Sends these bytes. A server that does not want them all may close before it has read them.
    pub fn raw(&self, request: &[u8]) -> Response {
        let mut stream = self.connect();
        let _ = stream.write_all(request);
        Response::read(stream)
    }

    pub fn log_in(&self, user: &str) -> Session<'_> {
        let user = utf8_percent_encode(user, NON_ALPHANUMERIC);
        let response = self.nobody().post("/login", &format!("user={user}"));
        let cookie = response.field("set-cookie").strip_prefix("session=");
        let cookie = cookie.unwrap().split(';').next().unwrap();
        let mut session = self.with_cookie(cookie);
        let page = session.get("/").text();
        let (_, token) = page.split_once("data-csrf-token=\"").unwrap();
        session.csrf_token = token.split('"').next().unwrap().to_owned();
        session
    }

    pub fn nobody(&self) -> Session<'_> {
        self.with_cookie("")
    }

    pub fn with_cookie(&self, cookie: &str) -> Session<'_> {
        Session {
            gateway: self,
            cookie: cookie.to_owned(),
            csrf_token: String::new(),
        }
    }
}

fn connect(address: &str) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    stream.set_write_timeout(Some(LIMIT)).unwrap();
    stream
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

pub struct Session<'g> {
    gateway: &'g Gateway,
    cookie: String,
    pub csrf_token: String,
}

impl Session<'_> {
    pub fn get(&self, path: &str) -> Response {
        self.get_with(path, "")
    }

    pub fn get_with(&self, path: &str, fields: &str) -> Response {
        let head = self.head("GET", path, fields);
        self.gateway.raw(head.as_bytes())
    }

    pub fn post(&self, path: &str, form: &str) -> Response {
        self.post_with(path, form, "")
    }

    pub fn post_with(&self, path: &str, form: &str, fields: &str) -> Response {
        let fields = format!("{fields}Content-Length: {}\r\n", form.len());
        let head = self.head("POST", path, &fields);
        self.gateway.raw(format!("{head}{form}").as_bytes())
    }

    pub fn upload(&self, name: &str, content: &[u8]) -> Response {
        let head = self.upload_head(name, &format!("Content-Length: {}\r\n", content.len()));
        self.gateway.raw(&[head.as_bytes(), content].concat())
    }

    pub fn upload_in_chunks(&self, name: &str, chunks: &[&[u8]]) -> Response {
        let head = self.upload_head(name, "Transfer-Encoding: chunked\r\n");
        let mut request = head.into_bytes();
        for chunk in chunks.iter().chain([&&b""[..]]) {
            request.extend(format!("{:x}\r\n", chunk.len()).bytes());
            request.extend(*chunk);
            request.extend(b"\r\n");
        }
        self.gateway.raw(&request)
    }

    pub fn upload_head(&self, name: &str, fields: &str) -> String {
        let name = utf8_percent_encode(name, NON_ALPHANUMERIC);
        let fields = format!("{fields}X-CSRF-Token: {}\r\n", self.csrf_token);
        self.head("PUT", &format!("/files?name={name}"), &fields)
    }

    fn head(&self, method: &str, path: &str, fields: &str) -> String {
        let cookie = &self.cookie;
        format!(
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nCookie: session={cookie}\r\n{fields}\r\n"
        )
    }
}

pub struct Response {
    pub status: u16,
    head: String,
    pub body: Vec<u8>,
}

impl Response {
    /// Reads to the end of the connection, also if that is a reset.
    pub fn read(mut stream: TcpStream) -> Self {
        let mut bytes = Vec::new();
        let mut buffer = [0; 8192];
        while let Ok(read @ 1..) = stream.read(&mut buffer) {
            bytes.extend(&buffer[..read]);
        }
        let end = bytes.windows(4).position(|it| it == b"\r\n\r\n");
        let end = end.expect("a response") + 4;
        let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
        let mut response = Self {
            status: head[9..12].parse().unwrap(),
            head,
            body: bytes.split_off(end),
        };
        if response.field("transfer-encoding") == "chunked" {
            response.body = unchunk(&response.body);
        }
        response
    }

    /// A header field; empty if it is missing.
    pub fn field(&self, name: &str) -> &str {
        let fields = self.head.lines().filter_map(|line| line.split_once(": "));
        let mut fields = fields.filter(|(field, _)| field.eq_ignore_ascii_case(name));
        fields.next().map_or("", |(_, value)| value)
    }

    pub fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }
}

fn unchunk(mut chunks: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    loop {
        let line = chunks
            .iter()
            .position(|&byte| byte == b'\n')
            .expect("a complete body");
        let size = std::str::from_utf8(&chunks[..line]).unwrap().trim();
        let size = usize::from_str_radix(size, 16).unwrap();
        if size == 0 {
            return body;
        }
        let (chunk, rest) = chunks[line + 1..].split_at(size);
        body.extend(chunk);
        chunks = &rest[2..];
    }
}

/// Waits until the server has read the head of a request.
pub fn read_continue(stream: &mut TcpStream) {
    let expected = b"HTTP/1.1 100 Continue\r\n\r\n";
    let mut read = vec![0; expected.len()];
    stream.read_exact(&mut read).unwrap();
    assert_eq!(read, expected);
}
