//! The response to `OPTIONS` (RFC 3507 §4.10.2).
//!
//! These fields advise and frame nothing, so the parser is tolerant. A malformed value is ignored and leaves a
//! [warning](ServiceOptions::warnings). A number above 64 bits is `u64::MAX`.

use std::time::Duration;

use super::header::{Field, Headers};
use super::method::Method;
use super::number::saturating_decimal;
use super::response::Response;
use super::text::displayable;

/// What a service offers, by its response to `OPTIONS` (RFC 3507 §4.10.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceOptions {
    methods: Vec<Method>,
    service: Option<String>,
    service_id: Option<String>,
    istag: Option<String>,
    /// By the state tag.
    lacks_engine: bool,
    allow: Vec<String>,
    allows_204: bool,
    preview: Option<u64>,
    transfer_preview: Vec<String>,
    transfer_ignore: Vec<String>,
    transfer_complete: Vec<String>,
    opt_body_type: Option<String>,
    max_connections: Option<u64>,
    options_ttl: Option<Duration>,
    x_include: Vec<String>,
    /// The response has `Encapsulated`, so none of its fields is missing.
    is_framed: bool,
    warnings: Vec<String>,
}

/// How a service wants files with an extension sent (RFC 3507 §4.10.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Transfer {
    Preview,
    Ignore,
    Complete,
}

impl ServiceOptions {
    pub(crate) fn from_response(response: &Response) -> Self {
        let headers = response.headers();
        let mut warnings = Vec::new();
        let mut number = |name| number_of(headers, name, &mut warnings);
        // A preview above 64 bits is none. The other two only mean "very many" and "very long".
        let preview = number("Preview").filter(|&size| size < u64::MAX);
        let max_connections = number("Max-Connections").filter(|&limit| limit > 0);
        let options_ttl = number("Options-TTL").map(Duration::from_secs);
        let methods = methods_of(headers);
        if methods.is_empty() {
            warnings.push("Methods: neither RESPMOD nor REQMOD".to_owned());
        }
        let text = |name| headers.get(name).map(|field| field.text());
        let list = |name| list_of(headers, name);
        let mut options = Self {
            methods,
            service: text("Service"),
            service_id: text("Service-ID"),
            istag: response.istag(),
            lacks_engine: response.lacks_engine().unwrap_or_default(),
            allow: list("Allow"),
            allows_204: headers.get_all("Allow").any(mentions_204),
            preview,
            transfer_preview: list("Transfer-Preview"),
            transfer_ignore: list("Transfer-Ignore"),
            transfer_complete: list("Transfer-Complete"),
            opt_body_type: text("Opt-body-type"),
            max_connections,
            options_ttl,
            x_include: list("X-Include"),
            is_framed: headers.get("Encapsulated").is_some(),
            warnings,
        };
        if options.lacks_engine {
            let warning = "ISTag: the server has no anti-virus engine, so it does not scan; start the engine, then \
                           restart the server";
            options.warnings.push(warning.to_owned());
        }
        if options.has_ambiguous_transfer() {
            let warning = "Transfer-Preview, -Ignore, -Complete: not exactly one of them has *";
            options.warnings.push(warning.to_owned());
        }
        options
    }

    /// The methods that the service lists in `Methods`: `RESPMOD`, `REQMOD` or both. Empty if it lists neither.
    #[must_use]
    pub fn methods(&self) -> &[Method] {
        &self.methods
    }

    /// The service's description of itself (`Service`), safe to show.
    #[must_use]
    pub fn service(&self) -> Option<&str> {
        self.service.as_deref()
    }

    /// The short label of the service (`Service-ID`), safe to show.
    #[must_use]
    pub fn service_id(&self) -> Option<&str> {
        self.service_id.as_deref()
    }

    /// The state tag (`ISTag`, RFC 3507 §4.7), see [`Response::istag`].
    #[must_use]
    pub fn istag(&self) -> Option<&str> {
        self.istag.as_deref()
    }

    /// Whether the state tag says that the server has no engine.
    pub(crate) fn lacks_engine(&self) -> bool {
        self.lacks_engine
    }

    /// Whether the service offers 204 outside a preview (`Allow: 204`). A service without it sends clean content back.
    #[must_use]
    pub fn allows_204(&self) -> bool {
        self.allows_204
    }

    /// Whether the service certainly does not offer 204: its response is complete and does not name it.
    pub(crate) fn excludes_204(&self) -> bool {
        self.is_framed && !self.allows_204()
    }

    /// Whether the service offers 206 (`Allow: 206`, draft-icap-ext-partial-content).
    #[must_use]
    pub fn allows_206(&self) -> bool {
        self.allow.iter().any(|token| token == "206")
    }

    /// Whether the service sends and accepts trailers (`Allow: trailers`, draft-rousskov-icap-trailers).
    #[must_use]
    pub fn allows_trailers(&self) -> bool {
        let is_it = |token: &String| token.eq_ignore_ascii_case("trailers");
        self.allow.iter().any(is_it)
    }

    /// The members of `Allow`, for example `204`, `206` and `trailers`, safe to show.
    #[must_use]
    pub fn allow(&self) -> &[String] {
        &self.allow
    }

    /// Bytes of the preview that the service wants (`Preview`). `Some(0)` asks for a preview without content. `None`
    /// means that the field is missing, not a number, or there twice.
    #[must_use]
    pub fn preview(&self) -> Option<u64> {
        self.preview
    }

    /// File extensions to send with a preview (`Transfer-Preview`), safe to show.
    #[must_use]
    pub fn transfer_preview(&self) -> &[String] {
        &self.transfer_preview
    }

    /// File extensions that the service does not want (`Transfer-Ignore`), safe to show. A scanner sends such files all
    /// the same, because a file that was not sent is not clean.
    #[must_use]
    pub fn transfer_ignore(&self) -> &[String] {
        &self.transfer_ignore
    }

    /// File extensions to send without a preview (`Transfer-Complete`), safe to show.
    #[must_use]
    pub fn transfer_complete(&self) -> &[String] {
        &self.transfer_complete
    }

    /// How the service wants files with this extension sent; `None` if it has no list. An extension in a list comes
    /// before `*`. Files with an extension that is in two lists, or in none, are sent without a preview.
    pub(crate) fn transfer(&self, extension: &str) -> Option<Transfer> {
        let lists = self.transfer_lists();
        let listing = |extension: &str| {
            let lists_it = |list: &[String]| {
                list.iter()
                    .any(|listed| listed.eq_ignore_ascii_case(extension))
            };
            let mut found = lists.iter().filter(|(_, list)| lists_it(list));
            found.next().map(|(transfer, _)| *transfer)
        };
        let says_something = lists.iter().any(|(_, list)| !list.is_empty());
        let otherwise = says_something.then_some(Transfer::Complete);
        listing(extension).or_else(|| listing("*")).or(otherwise)
    }

    /// How the service wants that content sent that gets a preview, if any extension does; `None` if it has no list.
    pub(crate) fn transfer_of_previewed(&self) -> Option<Transfer> {
        let mut transfers = self.transfer_preview.iter().map(|it| self.transfer(it));
        let previewed = transfers.find(|transfer| *transfer == Some(Transfer::Preview));
        previewed.unwrap_or_else(|| self.transfer("*"))
    }

    fn transfer_lists(&self) -> [(Transfer, &[String]); 3] {
        [
            (Transfer::Complete, &self.transfer_complete),
            (Transfer::Preview, &self.transfer_preview),
            (Transfer::Ignore, &self.transfer_ignore),
        ]
    }

    /// RFC 3507 §4.10.2: if there is a list, exactly one has the `*`.
    fn has_ambiguous_transfer(&self) -> bool {
        let lists = self.transfer_lists();
        let listed = || lists.iter().flat_map(|(_, list)| list.iter());
        listed().next().is_some() && listed().filter(|listed| *listed == "*").count() != 1
    }

    /// Whether a service with these options gets the same request for the same content as one with `other`.
    pub(crate) fn ask_the_same_as(&self, other: &Self) -> bool {
        self.methods == other.methods
            && self.allow == other.allow
            && self.preview == other.preview
            && self.transfer_lists() == other.transfer_lists()
            && self.x_include == other.x_include
    }

    /// The type of the response's body (`Opt-body-type`), safe to show. The body itself is read and dropped.
    #[must_use]
    pub fn opt_body_type(&self) -> Option<&str> {
        self.opt_body_type.as_deref()
    }

    /// Connections that the service accepts at once (`Max-Connections`); `None` also for 0 and for a malformed value.
    #[must_use]
    pub fn max_connections(&self) -> Option<u64> {
        self.max_connections
    }

    /// How long these options are valid (`Options-TTL`); `None` without a limit.
    #[must_use]
    pub fn options_ttl(&self) -> Option<Duration> {
        self.options_ttl
    }

    /// Header fields that the service wants in requests (`X-Include`), safe to show.
    #[must_use]
    pub fn x_include(&self) -> &[String] {
        &self.x_include
    }

    /// A sentence for each value that was ignored because it is malformed or contradictory.
    #[must_use]
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }
}

/// The number in the only field of a name. Two fields are a contradiction, even if they agree.
fn number_of(headers: Headers<'_>, name: &str, warnings: &mut Vec<String>) -> Option<u64> {
    let mut fields = headers.get_all(name);
    let field = fields.next()?;
    if fields.next().is_some() {
        warnings.push(format!("{name}: given more than once"));
        return None;
    }
    let number = saturating_decimal(&field.value());
    if number.is_none() {
        warnings.push(format!("{name}: not a number: {}", field.text()));
    }
    number
}

/// Whether a field has `204` anywhere. In doubt the service offers 204: otherwise an unscanned file that came back
/// would be clean.
fn mentions_204(field: Field<'_>) -> bool {
    memchr::memmem::find(&field.value(), b"204").is_some()
}

fn methods_of(headers: Headers<'_>) -> Vec<Method> {
    let offered = |method: &Method| headers.has_token("Methods", method.as_str());
    [Method::Respmod, Method::Reqmod]
        .into_iter()
        .filter(offered)
        .collect()
}

fn list_of(headers: Headers<'_>, name: &str) -> Vec<String> {
    let tokens = |field: Field<'_>| field.tokens().map(displayable).collect::<Vec<_>>();
    headers
        .get_all(name)
        .map(tokens)
        .collect::<Vec<_>>()
        .concat()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::proto::response_reader::ResponseReader;

    pub(crate) fn options(fields: &str) -> ServiceOptions {
        with_only(&format!("{fields}Encapsulated: null-body=0\r\n"))
    }

    fn with_only(fields: &str) -> ServiceOptions {
        let input = format!("ICAP/1.0 200 OK\r\n{fields}\r\n");
        let mut reader = ResponseReader::new(Method::Options, 0);
        let mut used = 0;
        while !reader.has_ended() {
            used += reader.feed(&input.as_bytes()[used..]).unwrap().0;
        }
        ServiceOptions::from_response(reader.response().unwrap())
    }

    #[test]
    fn all_fields_of_an_offer_are_read() {
        let options = options(
            "Methods: RESPMOD, REQMOD\r\nService: C-ICAP/0.5.10\r\nService-ID: AV\r\n\
             Opt-body-type: XML\r\nISTag: \"CI-1\"\r\nTransfer-Preview: *\r\nTransfer-Ignore: jpg, png\r\n\
             Transfer-Complete: exe\r\nOptions-TTL: 3600\r\nPreview: 1024\r\nAllow: 204, 206, Trailers\r\n\
             Max-Connections: 100\r\nX-Include: X-Client-IP\r\n",
        );
        assert_eq!(options.methods(), [Method::Respmod, Method::Reqmod]);
        assert_eq!(options.service(), Some("C-ICAP/0.5.10"));
        assert_eq!(options.service_id(), Some("AV"));
        assert_eq!(options.istag(), Some("CI-1"));
        assert_eq!(options.opt_body_type(), Some("XML"));
        assert_eq!(options.transfer_preview(), ["*"]);
        assert_eq!(options.transfer_ignore(), ["jpg", "png"]);
        assert_eq!(options.transfer_complete(), ["exe"]);
        assert_eq!(options.options_ttl(), Some(Duration::from_secs(3600)));
        assert_eq!(options.preview(), Some(1024));
        assert!(options.allows_204() && options.allows_206() && options.allows_trailers());
        assert_eq!(options.allow(), ["204", "206", "Trailers"]);
        assert_eq!(options.max_connections(), Some(100));
        assert_eq!(options.x_include(), ["X-Client-IP"]);
        assert!(options.warnings().is_empty());
    }

    #[test]
    fn only_complete_options_exclude_204() {
        let framing = "Encapsulated: null-body=0\r\n";
        for (allow, excludes) in [
            ("", true),
            ("Allow: 206, 20, 2004\r\n", true),
            ("Allow: 204\r\n", false),
        ] {
            let options = with_only(&format!("Methods: RESPMOD\r\n{allow}{framing}"));
            assert_eq!(options.excludes_204(), excludes, "{allow}");
            let unframed = with_only(&format!("Methods: RESPMOD\r\n{allow}"));
            assert!(!unframed.excludes_204(), "{allow}");
        }
    }

    #[test]
    fn malformed_value_is_ignored_with_a_warning() {
        for (field, expected) in [
            ("Preview: -1", None),
            ("Preview: +1", None),
            ("Preview: ten", None),
            ("Preview: 10\r\nPreview: 20", None),
            ("Preview: 10\r\nPreview: 10", None),
        ] {
            let options = options(&format!("Methods: RESPMOD\r\n{field}\r\n"));
            assert_eq!(options.preview(), expected, "{field}");
            assert_eq!(options.warnings().len(), 1, "{field}");
        }
        // A long token is cut where it is shown.
        let long = format!("{}204", "x".repeat(250));
        for allow in [
            "204",
            "206, 204",
            "204 206",
            "\"204\"",
            "206\r\n 204",
            &long,
        ] {
            let options = options(&format!("Methods: RESPMOD\r\nAllow: {allow}\r\n"));
            assert!(options.allows_204(), "{allow}");
        }
        let endless = options("Methods: RESPMOD\r\nPreview: 99999999999999999999\r\n");
        assert_eq!(endless.preview(), None);
        let huge = options(
            "Methods: RESPMOD\r\nOptions-TTL: 99999999999999999999\r\nMax-Connections: 0\r\n",
        );
        assert_eq!(huge.options_ttl(), Some(Duration::from_secs(u64::MAX)));
        assert_eq!(huge.max_connections(), None);
        assert_eq!(options("").warnings().len(), 1, "Methods is missing");
        for (lists, warnings) in [
            ("Transfer-Complete: exe\r\n", 1),
            ("Transfer-Complete: *\r\nTransfer-Preview: *\r\n", 1),
            ("Transfer-Complete: *\r\nTransfer-Preview: exe\r\n", 0),
        ] {
            let options = options(&format!("Methods: RESPMOD\r\n{lists}"));
            assert_eq!(options.warnings().len(), warnings, "{lists}");
        }
    }
}
