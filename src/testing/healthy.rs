//! How a healthy service responds to a request.

use std::time::Duration;

use super::engine::Engine;
use super::offer::Offer;
use super::received::Received;
use super::responses::{CLEAN, infected, ok};
use super::script::Script;

const TOO_LARGE_TO_RETURN: &str = "ICAP/1.0 500 Too Large To Send Back\r\n\
    ISTag: \"icap-client-testing\"\r\n\
    Encapsulated: null-body=0\r\n\
    \r\n";

/// The longest body that is returned where 204 is not allowed.
pub(super) const MAX_RETURNED_BODY: usize = 1024 * 1024;

/// The response to a request that was read completely, or as far as the response needs.
pub(super) fn scan(request: &Received, offer: &Offer, engine: Engine) -> Script {
    let script = if request.method() == "OPTIONS" {
        Script::new().send(&offer.response)
    } else if engine.finds(request) {
        Script::new().send(infected("Eicar-Test-Signature"))
    } else if engine != Engine::Echo && may_be_204(request, offer) {
        Script::new().send(CLEAN)
    } else if request.body_len() > MAX_RETURNED_BODY as u64 {
        Script::new().send(TOO_LARGE_TO_RETURN)
    } else {
        Script::new().send(returned(request))
    };
    let script = match engine.pause(request) {
        Duration::ZERO => script,
        pause => Script::new().wait(pause).followed_by(script),
    };
    let asks_to_close = request.headers().has_token("Connection", "close");
    if asks_to_close {
        script.close()
    } else {
        script
    }
}

fn may_be_204(request: &Received, offer: &Offer) -> bool {
    request.responds_to_preview() || (request.allows_204() && offer.allows_204())
}

/// The HTTP message of the request, unmodified.
fn returned(request: &Received) -> Vec<u8> {
    let mut list = request.list;
    let mut head = request.http_heads();
    if request.method() == "RESPMOD" {
        head = &head[list.request_head.take().unwrap_or(0)..];
    }
    ok("", list, head, request.body())
}
