//! What is the same for every request: the server, the headers of a response, and what a request may cost.
//!
//! A slow client holds one thread and nothing else: no connection to the scanner, no lock, and no memory but the
//! buffers of its connection. Its upload is scanned when all of it has arrived.

use std::io::{self, Read};
use std::net::{SocketAddr, TcpListener};
use std::time::{Duration, Instant};

use oxhttp::model::header::{
    CACHE_CONTROL, CONNECTION, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName,
};
use oxhttp::model::{Body, HeaderMap, HeaderValue, Request, Response, StatusCode};
use oxhttp::{ListeningServer, Server};

/// For each wait for a client.
const TIMEOUT: Duration = Duration::from_secs(10);

/// For one upload as a whole.
const UPLOAD_TIME: Duration = Duration::from_secs(3600);

/// Of a form.
const MAX_FORM: u64 = 4096;

/// What is read of a request that was refused, so that the client gets to see the response. oxhttp itself limits
/// heads, to 8 KiB.
const MAX_IGNORED: u64 = 16 << 20;

/// Pages load nothing but the style and the script of the gateway, and no other site can show them in a frame. Nothing
/// is stored in a cache: pages have tickets, and the next verdict about a file may be another.
const SECURITY_HEADERS: [(HeaderName, &str); 5] = [
    (CACHE_CONTROL, "private, no-store"),
    (
        CONTENT_SECURITY_POLICY,
        "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; form-action 'self'; \
         base-uri 'none'; frame-ancestors 'none'",
    ),
    (HeaderName::from_static("x-content-type-options"), "nosniff"),
    (HeaderName::from_static("referrer-policy"), "no-referrer"),
    (
        HeaderName::from_static("cross-origin-resource-policy"),
        "same-origin",
    ),
];

/// Starts the server. With port 0 the system chooses the port.
pub fn serve(
    listen: SocketAddr,
    threads: usize,
    handle: impl Fn(&mut Request<Body>) -> Response<Body> + Send + Sync + Clone + 'static,
) -> io::Result<(ListeningServer, SocketAddr)> {
    loop {
        // oxhttp does not tell which port the system chose.
        let address = match listen.port() {
            0 => TcpListener::bind(listen)?.local_addr()?,
            _ => listen,
        };
        let handle = handle.clone();
        let server = Server::new(move |request| {
            let response = handle(request);
            ignore_rest(request);
            response
        });
        let server = server
            .bind(address)
            .with_global_timeout(TIMEOUT)
            .with_max_concurrent_connections(threads);
        match server.spawn() {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && listen.port() == 0 => {}
            started => return Ok((started?, address)),
        }
    }
}

/// Reads what is left of a body. The connection of a client that sends too much is closed.
fn ignore_rest(request: &mut Request<Body>) {
    let mut body = Bounded::new(request.body_mut(), MAX_IGNORED, TIMEOUT);
    if io::copy(&mut body, &mut io::sink()).is_err() {
        *request.body_mut() = Body::empty();
        let close = HeaderValue::from_static("close");
        request.headers_mut().insert(CONNECTION, close);
    }
}

pub fn with_security_headers(mut response: Response<Body>) -> Response<Body> {
    for (name, value) in SECURITY_HEADERS {
        let value = HeaderValue::from_static(value);
        response.headers_mut().insert(name, value);
    }
    response
}

pub fn text(status: StatusCode, content_type: &'static str, text: String) -> Response<Body> {
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    let content_type = HeaderValue::from_static(content_type);
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    with_security_headers(response)
}

/// A reader that ends with an error when it has given too much, or for too long.
pub struct Bounded<R> {
    reader: R,
    left: u64,
    until: Instant,
}

impl<R: Read> Bounded<R> {
    pub fn upload(body: R, max: u64) -> Self {
        Self::new(body, max, UPLOAD_TIME)
    }

    fn new(reader: R, max: u64, time: Duration) -> Self {
        Self {
            reader,
            left: max,
            until: Instant::now() + time,
        }
    }
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.reader.read(buffer)?;
        self.left = (self.left.checked_sub(read as u64)).ok_or(io::ErrorKind::FileTooLarge)?;
        if Instant::now() > self.until {
            return Err(io::ErrorKind::TimedOut.into());
        }
        Ok(read)
    }
}

/// The fields of a form.
pub struct Form(Vec<(String, String)>);

impl Form {
    pub fn read(request: &mut Request<Body>) -> Result<Self, Failure> {
        let mut bytes = Vec::new();
        Bounded::new(request.body_mut(), MAX_FORM, TIMEOUT).read_to_end(&mut bytes)?;
        Ok(Self::parse(&bytes))
    }

    pub fn of_query(request: &Request<Body>) -> Self {
        Self::parse(request.uri().query().unwrap_or_default().as_bytes())
    }

    fn parse(bytes: &[u8]) -> Self {
        Self(form_urlencoded::parse(bytes).into_owned().collect())
    }

    /// A field; empty if it is missing.
    pub fn field(&self, name: &str) -> &str {
        let field = self.0.iter().find(|(field, _)| field == name);
        field.map_or("", |(_, value)| value)
    }
}

/// A header field; empty if it is missing or no text.
pub fn header(headers: &HeaderMap, name: impl Into<HeaderName>) -> &str {
    let value = headers.get(name.into());
    value
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default()
}

/// Why a request cannot be served. People see the text, so it names nothing of this machine.
#[derive(Debug)]
pub struct Failure {
    pub status: StatusCode,
    pub text: &'static str,
}

impl Failure {
    pub const NOT_FOUND: Self = Self::new(StatusCode::NOT_FOUND, "There is no such page or file.");
    pub const NOT_ALLOWED: Self = Self::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "This page does not take such a request.",
    );
    pub const NOT_LOGGED_IN: Self = Self::new(StatusCode::UNAUTHORIZED, "Please log in first.");
    pub const FORGED: Self = Self::new(
        StatusCode::FORBIDDEN,
        "This request does not come from a page of this site, or the page is too old. Nothing was done.",
    );
    pub const OTHER_HOST: Self = Self::new(
        StatusCode::MISDIRECTED_REQUEST,
        "This server is not known under that name.",
    );
    pub const TOO_LARGE: Self = Self::new(
        StatusCode::PAYLOAD_TOO_LARGE,
        "The file is too large for this server.",
    );
    pub const FULL: Self = Self::new(
        StatusCode::INSUFFICIENT_STORAGE,
        "There is no space left for further files.",
    );

    const fn new(status: StatusCode, text: &'static str) -> Self {
        Self { status, text }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::FileTooLarge => Self::TOO_LARGE,
            io::ErrorKind::StorageFull => Self::FULL,
            io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => {
                Self::new(StatusCode::REQUEST_TIMEOUT, "The request took too long.")
            }
            io::ErrorKind::ConnectionAborted | io::ErrorKind::InvalidData => {
                Self::new(StatusCode::BAD_REQUEST, "The request is not complete.")
            }
            _ => Self::internal(&error),
        }
    }
}

impl Failure {
    pub fn internal(error: &dyn std::error::Error) -> Self {
        log::error!("{error}");
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "The gateway has a problem. Please try again later.",
        )
    }
}

impl From<oxhttp::model::Error> for Failure {
    fn from(error: oxhttp::model::Error) -> Self {
        Self::internal(&error)
    }
}
