//! Whether a response sends back the message that was sent: its start line and host, not its content.

use crate::proto::http_head;
use crate::proto::http_head::start_line;
use crate::proto::method::Method;
use crate::proto::request::Request;
use crate::proto::response::Response;
use crate::proto::status_line;

/// Whether the response is the kind of message that was sent.
///
/// To a RESPMOD that is a response with the same status, or with any 2xx. To a REQMOD it is the request that was
/// sent and no other; a response in place of the request refuses it.
pub(super) fn is_same_message(request: &Request, response: &Response) -> bool {
    let status = |head: &[u8]| status_line::parse_http(start_line(head)).map(|line| line.code);
    match (request.method(), request.http_request_head()) {
        (Method::Reqmod, Some(sent)) => response
            .http_request()
            .is_some_and(|back| start_line(back) == start_line(sent) && is_same_host(sent, back)),
        (Method::Reqmod, None) => false,
        _ => response.http_status().is_some_and(|back| {
            (200..300).contains(&back)
                || request.http_response_head().and_then(status) == Some(back)
        }),
    }
}

/// Whether both requests go to the same host, which `Host` names for a target such as `/upload`.
fn is_same_host(sent: &[u8], back: &[u8]) -> bool {
    let hosts = |head| -> Vec<Vec<u8>> {
        let headers = http_head::fields(head);
        let hosts = headers.get_all("Host");
        hosts.map(|field| field.value().into_owned()).collect()
    };
    let (sent_to, back_to) = (hosts(sent), hosts(back));
    sent_to == back_to || (has_absolute_target(sent) && back_to.is_empty())
}

/// Whether the target begins with a scheme and so names the host itself.
fn has_absolute_target(head: &[u8]) -> bool {
    let target = start_line(head).split(|&b| b == b' ').nth(1);
    let target = target.unwrap_or_default();
    let scheme = target
        .iter()
        .take_while(|b| b.is_ascii_alphabetic())
        .count();
    scheme > 0 && target[scheme..].starts_with(b"://")
}
