//! The ICAP services of the interoperability tests, as icap-rs makes them.
//!
//! The argument is the text that counts as a virus. The first line of output is the server's URI, on a
//! free port of 127.0.0.1. The server ends when its input does, so it cannot outlive a test.
//!
//! Only what a service decides is written here. What is read and written, and how, is icap-rs's.

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use icap_rs::{
    Body, EmbeddedHttp, HandlerResult, IncomingRequest, Method, PreviewDecision, Response, Server,
    ServiceOptions,
};
use tokio::io::AsyncReadExt;

const ISTAG: &str = "icap-rs-tests";
const PAGE: &[u8] = b"<html><body>This file was blocked.</body></html>";
/// Whether the request that is being answered was continued. `is_preview_ieof` does not tell: it is
/// false for a body whose preview was all. The tests that want to know send one request at a time.
static CONTINUED: AtomicBool = AtomicBool::new(false);

const METHODS: [Method; 2] = [Method::RespMod, Method::ReqMod];

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let virus: Arc<[u8]> = std::env::args()
        .nth(1)
        .ok_or("no virus")?
        .into_bytes()
        .into();
    let scan = move |request| {
        let virus = Arc::clone(&virus);
        async move { scan(&request, &virus) }
    };
    let server = Server::builder()
        .bind("127.0.0.1:0")
        .route(
            "scan",
            METHODS,
            scan,
            Some(offer("scan").allow_204().with_preview(4096)),
        )
        .route(
            "echo",
            METHODS,
            |request| async { echo(request) },
            Some(offer("echo")),
        )
        .route(
            "hasty",
            METHODS,
            |_| async { hasty() },
            Some(offer("hasty").allow_204().with_preview(4)),
        )
        .build()
        .await?;
    println!("icap://{}", server.local_addr()?);
    server.run_until(end_of_input()).await?;
    Ok(())
}

async fn end_of_input() {
    let _ = tokio::io::stdin().read_to_end(&mut Vec::new()).await;
}

fn offer(service: &str) -> ServiceOptions {
    ServiceOptions::new()
        .with_static_istag(ISTAG)
        .with_service(service)
        .with_options_ttl(3600)
}

/// It is called with the preview and, if it wants to go on, with the whole body.
fn scan(request: &IncomingRequest, virus: &[u8]) -> HandlerResult<PreviewDecision> {
    let (content, is_whole) = content(request);
    let is_infected = content.windows(virus.len()).any(|window| window == virus);
    if !is_infected && !is_whole {
        CONTINUED.store(true, Ordering::Relaxed);
        return Ok(PreviewDecision::Continue);
    }
    let mut answer = if is_infected { blocked()? } else { clean()? };
    if let Some(sum) = request.chunk_trailers().get("X-Sum") {
        answer = answer.try_add_header("X-Sum", sum.to_str()?)?;
    }
    // For the tests: what the service was given, and how.
    let seen = match request.preview_size() {
        None => "whole",
        Some(_) if CONTINUED.swap(false, Ordering::Relaxed) => "continued",
        Some(_) => "preview",
    };
    let seen = format!("{seen} {}", content.len());
    Ok(PreviewDecision::Respond(
        answer.try_add_header("X-Seen", &seen)?,
    ))
}

/// What there is of the body, and whether that is all of it.
fn content(request: &IncomingRequest) -> (&[u8], bool) {
    match request.embedded() {
        Some(EmbeddedHttp::Req { body, .. } | EmbeddedHttp::Resp { body, .. }) => match body {
            Body::Full { reader } => (reader, true),
            Body::Preview { bytes, ieof, .. } => (bytes, *ieof),
            Body::Empty => (&[], true),
        },
        None => (&[], true),
    }
}

/// Where the client does not allow 204, icap-rs returns the whole message instead.
fn clean() -> HandlerResult<Response> {
    Ok(Response::no_content_with_istag(ISTAG)?)
}

/// Calls a preview clean, whatever follows.
fn hasty() -> HandlerResult<PreviewDecision> {
    clean().map(PreviewDecision::Respond)
}

/// Returns what it gets.
fn echo(request: IncomingRequest) -> HandlerResult<Response> {
    let answer = Response::ok_with_istag(ISTAG)?;
    let content = |body| match body {
        Body::Full { reader } => reader,
        Body::Preview { .. } | Body::Empty => Vec::new(),
    };
    Ok(match request.into_embedded() {
        Some(EmbeddedHttp::Req { head, body }) => {
            answer.with_http_request(&head.map(|()| content(body)))?
        }
        Some(EmbeddedHttp::Resp { head, body, .. }) => {
            answer.with_http_response(&head.map(|()| content(body)))?
        }
        None => answer,
    })
}

fn blocked() -> HandlerResult<Response> {
    let page = http::Response::builder()
        .status(403)
        .header("Content-Type", "text/html")
        .header("Content-Length", PAGE.len())
        .body(PAGE.to_vec())?;
    let found = "Type=0; Resolution=2; Threat=Test-Virus;";
    Ok(Response::ok_with_istag(ISTAG)?
        .try_add_header("X-Infection-Found", found)?
        .with_http_response(&page)?)
}
