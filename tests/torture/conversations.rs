//! Conversations with real services, captured or written from their documents.

use icap_client::testing::{CLEAN, CONTINUE, OPTIONS_RESPONSE, echo, infected};
use icap_client::{Method, Preview, ScannerBuilder};

use crate::memory::Step;

/// A scan, and the server's steps.
#[derive(Clone)]
pub(crate) struct Conversation {
    pub(crate) name: &'static str,
    /// The scan is the second one on its connection, with content that can be read only once.
    pub(crate) is_second: bool,
    pub(crate) content: &'static [u8],
    pub(crate) settings: fn(ScannerBuilder) -> ScannerBuilder,
    /// The response to `OPTIONS`, if the scan begins with that.
    pub(crate) options: Option<String>,
    /// What the server does after the request.
    pub(crate) response: Vec<Step>,
    /// The outcome without a fault, and whether the connection is kept.
    pub(crate) outcome: &'static str,
    pub(crate) is_kept: bool,
    /// The server responds after the first bytes.
    pub(crate) is_early: bool,
}

impl Conversation {
    /// The steps of the server on any connection, for `times` requests.
    pub(crate) fn script(&self, times: usize) -> Vec<Step> {
        let exchange = || {
            let mut steps = vec![Step::Request];
            steps.extend_from_slice(&self.response);
            steps
        };
        if self.is_early {
            let mut steps = vec![Step::Received(1000)];
            steps.extend_from_slice(&self.response);
            steps.push(Step::Request);
            return steps;
        }
        let Some(options) = &self.options else {
            return (0..times).flat_map(|_| exchange()).collect();
        };
        // There is no more to a negotiated response than the response.
        let [Step::Send(response)] = &self.response[..] else {
            panic!("{}: no single response", self.name)
        };
        let either = Step::Respond(options.clone().into_bytes(), response.clone());
        (0..=times)
            .flat_map(|_| [Step::Request, either.clone()])
            .collect()
    }

    /// The same conversation after another one, if that keeps the connection.
    fn as_second(&self) -> Option<Self> {
        let is_alone = self.is_kept && self.options.is_none() && self.name != "credentials";
        is_alone.then(|| Self {
            is_second: true,
            ..self.clone()
        })
    }

    /// All bytes that the server sends.
    pub(crate) fn sent(&self) -> Vec<u8> {
        let options = self.options.iter().map(|options| options.as_bytes());
        let responses = self.response.iter().filter_map(|step| match step {
            Step::Send(bytes) => Some(&bytes[..]),
            _ => None,
        });
        options.chain(responses).collect::<Vec<_>>().concat()
    }

    fn new(name: &'static str, response: impl AsRef<[u8]>, outcome: &'static str) -> Self {
        Self {
            name,
            is_second: false,
            content: b"hello",
            settings: |builder| builder,
            options: None,
            response: vec![send(response)],
            outcome,
            is_kept: true,
            is_early: false,
        }
    }

    fn closing(self) -> Self {
        Self {
            is_kept: false,
            ..self
        }
    }

    /// Long content, of which the server needs little.
    fn early(self) -> Self {
        let content = &[b'x'; 150_000];
        Self {
            is_early: true,
            ..self
        }
        .of(content)
        .closing()
    }

    fn of(self, content: &'static [u8]) -> Self {
        Self { content, ..self }
    }

    fn with(self, settings: fn(ScannerBuilder) -> ScannerBuilder) -> Self {
        Self { settings, ..self }
    }

    fn asked_first(self, options: &str) -> Self {
        Self {
            options: Some(options.to_owned()),
            ..self
        }
    }

    /// The server requests the content after its first four bytes.
    fn continued(mut self) -> Self {
        self.response.splice(0..0, [send(CONTINUE), Step::Rest]);
        self.previewed()
    }

    fn previewed(self) -> Self {
        self.with(|builder| builder.preview(Preview::Limit(4)))
    }
}

fn send(bytes: impl AsRef<[u8]>) -> Step {
    Step::Send(bytes.as_ref().to_vec())
}

const FOUND: &str = "infected: Eicar-Test-Signature";
const NO_204: &str = "ICAP/1.0 200 OK\r\nISTag: \"icap-client-testing\"\r\nMethods: RESPMOD, REQMOD\r\n\
                      Encapsulated: null-body=0\r\n\r\n";
const HEAD: &str = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n";

/// A response that encapsulates an HTTP response.
fn response(status: &str, fields: &str, http_head: &str, body: &str) -> String {
    let len = http_head.len();
    format!(
        "ICAP/1.0 {status}\r\nISTag: \"T-1\"\r\n{fields}Encapsulated: res-hdr=0, res-body={len}\r\n\r\n{http_head}{body}"
    )
}

/// A response with a page that gives a reason.
fn page(status: &str, fields: &str, http_status: &str) -> String {
    let http_head = format!("HTTP/1.1 {http_status}\r\nContent-Type: text/html\r\n\r\n");
    response(status, fields, &http_head, "6\r\n<html>\r\n0\r\n\r\n")
}

pub(crate) fn all() -> Vec<Conversation> {
    let families = [
        clean(),
        bare(),
        refused(),
        pages(),
        returned(),
        previews(),
        uploads(),
        long(),
        in_rows(),
    ];
    let firsts: Vec<_> = families.into_iter().flatten().collect();
    let seconds: Vec<_> = firsts.iter().filter_map(Conversation::as_second).collect();
    [firsts, seconds].concat()
}

/// Nothing was found.
fn clean() -> Vec<Conversation> {
    let c_icap = "ICAP/1.0 204 Unmodified\r\nServer: C-ICAP/0.5.10\r\nConnection: keep-alive\r\n\
                  ISTag: \"CI0001-L5CkDhq+qWNs+PZ5DxxXsAAA\"\r\n\r\n";
    let kwts =
        "ICAP/1.0 204 No Content\r\nX-Virus-ID: no threats\r\nX-Response-Info: passed\r\n\r\n";
    let close = "ICAP/1.0 204 OK\r\nConnection: close\r\n\r\n";
    let processing = format!("ICAP/1.0 102 Processing\r\n\r\n{CLEAN}");
    vec![
        Conversation::new("clean_testing", CLEAN, "clean"),
        Conversation::new("clean_c_icap", c_icap, "clean"),
        Conversation::new("clean_bare", "ICAP/1.0 204\r\n\r\n", "clean"),
        Conversation::new("clean_and_close", close, "clean").closing(),
        Conversation::new("clean_empty_file", CLEAN, "clean").of(b""),
        Conversation::new("clean_kwts", kwts, "clean"),
        Conversation::new("clean_after_processing", processing, "clean").closing(),
    ]
}

/// Responses without an HTTP message that are not clean.
fn bare() -> Vec<Conversation> {
    let sslproxy = "ICAP/1.0 204 OK\r\nX-Response-Info: blocked\r\n\r\n";
    let trend = "ICAP/1.0 403 Forbidden\r\n\r\n";
    let pending = "ICAP/1.0 202 Accepted\r\nISTag: \"T\"\r\n\r\n";
    let broadcom = "ICAP/1.0 500 Error\r\nX-Error-Code: password_protected\r\n\r\n";
    let locked = "not scanned: Unscannable { detail: \"password_protected\" }";
    let not_found =
        "ICAP/1.0 404 Service not found\r\nServer: C-ICAP/0.5.10\r\nConnection: close\r\n\r\n";
    let failed = "ICAP/1.0 500 Server error\r\nISTag: \"T\"\r\n\r\n";
    let overloaded = "ICAP/1.0 503 Overloaded\r\n\r\n";
    let web = "HTTP/1.1 400 Bad Request\r\n\r\n";
    vec![
        Conversation::new("blocked_sslproxy", sslproxy, "blocked: 204").closing(),
        Conversation::new("blocked_trend", trend, "blocked: 403"),
        Conversation::new("pending_fortisandbox", pending, "not scanned: Pending"),
        Conversation::new("unscannable_broadcom", broadcom, locked),
        Conversation::new("status_404", not_found, "error: status 404").closing(),
        Conversation::new("status_500", failed, "error: status 500").closing(),
        Conversation::new("status_503", overloaded, "error: status 503").closing(),
        Conversation::new("no_icap_server", web, "error: BadStatusLine").closing(),
    ]
}

/// Block pages.
fn refused() -> Vec<Conversation> {
    let c_icap = "X-Infection-Found: Type=0; Resolution=2; Threat=Eicar-Test-Signature;\r\n\
                  X-Violations-Found: 1\r\n\t-\r\n\tEicar-Test-Signature\r\n\t0\r\n\t0\r\n";
    let squidclamav = "X-Infection-Found: Type=0; Resolution=2; Threat=Eicar-Test-Signature;\r\n\
                       X-Virus-ID: Eicar-Test-Signature\r\n";
    let symantec = "X-Infection-Found: Type=0; Resolution=1; Threat=Eicar-Test-Signature\r\n";
    let with_secure =
        "X-FSecure-Scan-Result: infected\r\nX-FSecure-Infection-Name: \"Eicar-Test-Signature\"\r\n";
    let limit = "X-Infection-Found: Type=0; Resolution=2; Threat=Heuristics.Limits.Exceeded.MaxFileSize;\r\n";
    let limit_outcome =
        "not scanned: ServiceLimit { detail: \"Heuristics.Limits.Exceeded.MaxFileSize\" }";
    let in_trailer = response(
        "200 OK",
        "",
        HEAD,
        "5\r\nhello\r\n0\r\nX-Virus-ID: Eicar-Test-Signature\r\n\r\n",
    );
    let null_body = "ICAP/1.0 200 OK\r\nX-Virus-ID: Eicar-Test-Signature\r\nEncapsulated: res-hdr=0, null-body=38\r\n\r\n";
    vec![
        Conversation::new("infected_testing", infected("Eicar-Test-Signature"), FOUND),
        Conversation::new(
            "infected_c_icap",
            page("200 OK", c_icap, "403 Forbidden"),
            FOUND,
        ),
        Conversation::new(
            "infected_squidclamav",
            page("200 OK", squidclamav, "307 Temporary Redirect"),
            FOUND,
        ),
        Conversation::new(
            "infected_symantec",
            page("201 Created", symantec, "200 OK"),
            FOUND,
        ),
        Conversation::new(
            "infected_with_secure",
            page("200 OK", with_secure, "403 Forbidden"),
            FOUND,
        ),
        Conversation::new("infected_sophos", format!("{null_body}{HEAD}"), FOUND),
        Conversation::new("infected_in_a_trailer", in_trailer, FOUND),
        Conversation::new(
            "limit_clamd",
            page("200 OK", limit, "403 Forbidden"),
            limit_outcome,
        ),
    ]
}

/// Pages whose status decides.
fn pages() -> Vec<Conversation> {
    vec![
        Conversation::new(
            "blocked_mcafee",
            page("200 OK", "", "403 VirusFound"),
            "blocked: 403",
        ),
        Conversation::new(
            "blocked_under_an_error",
            page("500 Error", "", "403 Forbidden"),
            "blocked: 403",
        ),
        Conversation::new(
            "error_vision_one",
            page("200 OK", "", "500 Error"),
            "not scanned: ServiceError { status: 500, detail: \"Error\" }",
        ),
    ]
}

/// Responses that return content.
fn returned() -> Vec<Conversation> {
    let same = echo(HEAD, b"hello");
    let percent_mode = response("200 OK", "", HEAD, "2\r\nhe\r\n0\r\n\r\n");
    let extended = response(
        "200 OK",
        "",
        HEAD,
        "2;a=\"b\"\r\nhe\r\n3 \r\nllo\r\n00; x\r\nX-A: b\r\n\r\n",
    );
    let empty_head =
        "ICAP/1.0 200 OK\r\nISTag: \"T-1\"\r\nEncapsulated: res-hdr=0, null-body=0\r\n\r\n";
    let partial = response(
        "206 Partial Content",
        "",
        HEAD,
        "3\r\nnew\r\n0; use-original-body=2\r\n\r\n",
    );
    vec![
        Conversation::new("echoed", &same, "not scanned: Echoed"),
        Conversation::new("echoed_where_there_is_no_204", &same, "clean").asked_first(NO_204),
        Conversation::new("echoed_where_there_is_204", &same, "not scanned: Echoed")
            .asked_first(OPTIONS_RESPONSE),
        Conversation::new("echoed_in_chunks", extended, "not scanned: Echoed"),
        Conversation::new("a_part_of_it", percent_mode, "not scanned: Truncated"),
        Conversation::new("an_empty_head", empty_head, "error: EmptyHttpHead").closing(),
        Conversation::new("partial_content", &partial, "modified: 3")
            .with(|builder| builder.allow_206(true))
            .closing(),
        Conversation::new(
            "partial_content_nobody_allowed",
            &partial,
            "error: Unexpected206",
        )
        .closing(),
    ]
}

fn previews() -> Vec<Conversation> {
    let partial = response(
        "206 Partial Content",
        "",
        HEAD,
        "0; use-original-body=0\r\n\r\n",
    );
    let trusting = |builder: ScannerBuilder| builder.preview(Preview::Limit(4)).trust_preview(true);
    let allowing = |builder: ScannerBuilder| builder.preview(Preview::Limit(4)).allow_206(true);
    vec![
        Conversation::new("preview_is_enough", CLEAN, "not scanned: PreviewOnly").previewed(),
        Conversation::new("preview_is_all", CLEAN, "clean")
            .of(b"four")
            .previewed(),
        Conversation::new("preview_is_trusted", CLEAN, "clean").with(trusting),
        Conversation::new("preview_continued", CLEAN, "clean").continued(),
        Conversation::new("preview_infected", infected("Eicar-Test-Signature"), FOUND).previewed(),
        Conversation::new(
            "preview_continued_and_infected",
            infected("Eicar-Test-Signature"),
            FOUND,
        )
        .continued(),
        Conversation::new(
            "preview_continued_and_echoed",
            echo(HEAD, b"hello"),
            "not scanned: Echoed",
        )
        .continued(),
        Conversation::new("preview_and_partial_content", partial, "modified: 0").with(allowing),
        Conversation::new(
            "preview_and_404",
            "ICAP/1.0 404 Not Found\r\n\r\n",
            "error: status 404",
        )
        .previewed()
        .closing(),
    ]
}

fn uploads() -> Vec<Conversation> {
    let post = "POST http://content.invalid/ HTTP/1.1\r\nHost: content.invalid\r\nContent-Type: application/octet-stream\r\nContent-Length: 5\r\n\r\n";
    let len = post.len();
    let same = format!(
        "ICAP/1.0 200 OK\r\nISTag: \"icap-client-testing\"\r\nEncapsulated: req-hdr=0, req-body={len}\r\n\r\n{post}5\r\nhello\r\n0\r\n\r\n"
    );
    let reqmod = |builder: ScannerBuilder| builder.method(Method::Reqmod);
    vec![
        Conversation::new("upload_clean", CLEAN, "clean").with(reqmod),
        Conversation::new(
            "upload_refused",
            page("200 OK", "", "403 Forbidden"),
            "blocked: 403",
        )
        .with(reqmod),
        Conversation::new(
            "upload_answered",
            page("200 OK", "", "200 OK"),
            "blocked: 200",
        )
        .with(reqmod),
        Conversation::new("upload_infected", infected("Eicar-Test-Signature"), FOUND).with(reqmod),
        Conversation::new(
            "upload_modified",
            same.replace("5\r\nhello", "5\r\njello"),
            "modified: 5",
        )
        .with(reqmod),
        Conversation::new("upload_returned", &same, "not scanned: Echoed").with(reqmod),
        Conversation::new("upload_returned_where_there_is_no_204", &same, "clean")
            .with(reqmod)
            .asked_first(NO_204),
    ]
}

/// Long content, and responses that come before its end.
fn long() -> Vec<Conversation> {
    let close = "ICAP/1.0 404 Not Found\r\nConnection: close\r\n\r\n";
    let echoed = echo(HEAD, b"hello");
    vec![
        Conversation::new("long_clean", CLEAN, "clean").of(&[b'x'; 150_000]),
        Conversation::new("long_continued", CLEAN, "clean")
            .of(&[b'x'; 150_000])
            .continued(),
        Conversation::new("early_clean", CLEAN, "not scanned: EarlyResponse").early(),
        Conversation::new("early_infected", infected("Eicar-Test-Signature"), FOUND).early(),
        Conversation::new(
            "early_refusal",
            page("200 OK", "", "403 No"),
            "blocked: 403",
        )
        .early(),
        Conversation::new("early_404", close, "error: status 404").early(),
        Conversation::new("early_modified", echoed, "modified: 5").early(),
    ]
}

/// More than one exchange.
fn in_rows() -> Vec<Conversation> {
    let refusal = "ICAP/1.0 404 Not Found\r\n\r\n";
    let authenticate = "ICAP/1.0 407 Who are you\r\nProxy-Authenticate: Basic realm=\"x\"\r\n\r\n";
    let mut credentials = Conversation::new("credentials", CLEAN, "clean")
        .with(|builder| builder.credentials("jane", "secret"));
    credentials
        .response
        .splice(0..0, [send(authenticate), Step::Request]);
    vec![
        Conversation::new("options_and_clean", CLEAN, "clean").asked_first(OPTIONS_RESPONSE),
        Conversation::new(
            "options_and_infected",
            infected("Eicar-Test-Signature"),
            FOUND,
        )
        .asked_first(OPTIONS_RESPONSE),
        Conversation::new("options_refused", CLEAN, "error: status 404")
            .asked_first(refusal)
            .closing(),
        credentials,
    ]
}
