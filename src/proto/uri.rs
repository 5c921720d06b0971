//! ICAP URIs (RFC 3507 §4.2): `icap://host[:port]/service[?args]`, and `icaps://` for TLS.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

use super::input_error::{InputError, InvalidInput};
use super::number::decimal;

/// The port of `icap` URIs without a port (RFC 3507 §4.1).
const DEFAULT_PORT: u16 = 1344;

/// The port of `icaps` URIs without a port, by custom. RFC 3507 has neither the scheme nor the port.
const DEFAULT_TLS_PORT: u16 = 11344;

/// The URI of a service: `icap://host[:port]/service[?args]`, or `icaps://` for TLS (RFC 3507 §4.2).
///
/// IPv6 addresses stand in brackets. User information (`icap://user:secret@host/…`) is an error, although
/// RFC 3507 §4.2 allows it: a URI goes to logs and configuration dumps, and a user and a password belong in
/// [`Endpoint::credentials`](crate::Endpoint::credentials). The text of the error contains neither of them.
///
/// `Display` writes a URI that can be parsed to the same service again, with its arguments. Arguments may be
/// confidential. So errors, logs and reports show the [`name`](Self::name), which has no arguments.
/// If [`Endpoint::connect_to`](crate::Endpoint::connect_to) sets another address, neither `Display` nor `name` shows it.
///
/// ```
/// use icap_client::ServiceUri;
///
/// let uri: ServiceUri = "icap://av.example/avscan?mode=strict".parse()?;
/// assert_eq!((uri.host(), uri.port()), ("av.example", 1344));
/// assert_eq!(uri.to_string(), "icap://av.example/avscan?mode=strict");
/// assert_eq!(uri.name(), "icap://av.example/avscan");
/// assert!("icap://av.example/a b".parse::<ServiceUri>().is_err());
/// # Ok::<(), icap_client::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct ServiceUri {
    is_tls: bool,
    /// Without brackets.
    host: String,
    port: u16,
    /// Begins with a slash.
    path: String,
    /// Begins with a question mark, or is empty.
    query: String,
    /// Host and port to connect to, if they are not those of the URI.
    connect_to: Option<(String, u16)>,
}

impl ServiceUri {
    /// The host name or address, an IPv6 address without its brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port. Default: 1344 for `icap`, 11344 for `icaps`.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The host name or address, and the port, to connect to: those of the URI, or those that
    /// [`Endpoint::connect_to`](crate::Endpoint::connect_to) sets. A [connector](crate::Connect) connects to this address,
    /// and uses [`host`](Self::host) for the server's name in TLS.
    #[must_use]
    pub fn address(&self) -> (&str, u16) {
        match &self.connect_to {
            Some((host, port)) => (host, *port),
            None => (&self.host, self.port),
        }
    }

    /// Whether the [address](Self::address) differs from the host and the port of the URI.
    pub(crate) fn is_elsewhere(&self) -> bool {
        self.address() != (&self.host, self.port)
    }

    /// Sets the [address](Self::address): a host with or without a port. The port of the URI is the default.
    pub(crate) fn with_address(mut self, host_port: &str) -> Result<Self, InputError> {
        let address = parse_authority(host_port);
        let (host, port) = address.map_err(|why| InputError::new(InvalidInput::Address, why))?;
        self.connect_to = Some((host, port.unwrap_or(self.port)));
        Ok(self)
    }

    /// Whether the scheme is `icaps`, so that everything must be sent over TLS. A [connector](crate::Connect) without
    /// TLS must return an error.
    #[must_use]
    pub fn is_tls(&self) -> bool {
        self.is_tls
    }

    /// The URI without its arguments, as errors, logs and reports show it.
    #[must_use]
    pub fn name(&self) -> String {
        let (scheme, authority) = (self.scheme(), self.shown_authority());
        format!("{scheme}://{authority}{}", self.path)
    }

    fn scheme(&self) -> &'static str {
        if self.is_tls { "icaps" } else { "icap" }
    }

    /// The URI in the request line.
    pub(crate) fn request_uri(&self) -> String {
        let (scheme, authority) = (self.scheme(), self.authority());
        format!("{scheme}://{authority}{}{}", self.path, self.query)
    }

    /// Host and port as the `Host` field has them: an IPv6 address in brackets, no zone (RFC 6874 §4), no default
    /// port.
    pub(crate) fn authority(&self) -> String {
        self.authority_of(self.host.split('%').next().unwrap_or_default())
    }

    /// The same with the zone. Without it, a link-local address may belong to another service.
    fn shown_authority(&self) -> String {
        self.authority_of(&self.host)
    }

    fn authority_of(&self, host: &str) -> String {
        let host = if host.contains(':') {
            format!("[{host}]")
        } else {
            host.to_owned()
        };
        if self.port == default_port(self.is_tls) {
            host
        } else {
            format!("{host}:{}", self.port)
        }
    }

    /// Whether the [address](Self::address) belongs to this machine: 127.0.0.0/8, `::1` or `localhost`.
    pub(crate) fn is_loopback(&self) -> bool {
        let (host, _) = self.address();
        match host.parse::<IpAddr>() {
            Ok(ip) => ip.is_loopback(),
            Err(_) => host.eq_ignore_ascii_case("localhost"),
        }
    }
}

impl FromStr for ServiceUri {
    type Err = InputError;

    fn from_str(uri: &str) -> Result<Self, InputError> {
        // The error does not repeat the URI, which may have a password.
        parse(uri).map_err(|why| InputError::new(InvalidInput::Uri, why))
    }
}

const NO_SCHEME: &str = "it must begin with icap:// or icaps://";

const USER_INFORMATION: &str =
    "it has user information; leave it out and set the user and the password with `credentials`";

fn default_port(is_tls: bool) -> u16 {
    if is_tls {
        DEFAULT_TLS_PORT
    } else {
        DEFAULT_PORT
    }
}

fn parse(uri: &str) -> Result<ServiceUri, &'static str> {
    let (scheme, rest) = uri.split_once("://").ok_or(NO_SCHEME)?;
    let is_tls = scheme.eq_ignore_ascii_case("icaps");
    if !is_tls && !scheme.eq_ignore_ascii_case("icap") {
        return Err(NO_SCHEME);
    }
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if authority.contains('@') {
        return Err(USER_INFORMATION);
    }
    if !rest.bytes().all(|b| b.is_ascii_graphic()) {
        return Err("it has white space, control or non-ASCII characters; percent-encode them");
    }
    let path_and_query = &rest[authority.len()..];
    let (path, query) =
        path_and_query.split_at(path_and_query.find('?').unwrap_or(path_and_query.len()));
    let (host, port) = parse_authority(authority).map_err(|why| {
        // A password may have a slash or a question mark.
        if rest.contains('@') {
            USER_INFORMATION
        } else {
            why
        }
    })?;
    if rest.contains('#') {
        return Err("it has a fragment");
    }
    let port = port.unwrap_or(default_port(is_tls));
    let path = if path.is_empty() { "/" } else { path };
    Ok(ServiceUri {
        is_tls,
        host,
        port,
        path: path.to_owned(),
        query: query.to_owned(),
        connect_to: None,
    })
}

fn parse_authority(authority: &str) -> Result<(String, Option<u16>), &'static str> {
    let (host, port) = if let Some(rest) = authority.strip_prefix('[') {
        let (host, port) = rest.split_once(']').ok_or("a bracket is not closed")?;
        check_ipv6(host)?;
        (host, port)
    } else {
        let (host, port) = authority.split_at(authority.find(':').unwrap_or(authority.len()));
        let is_name = |b: u8| b.is_ascii_alphanumeric() || b"-._~".contains(&b);
        if host.is_empty() || !host.bytes().all(is_name) {
            return Err("its host is not a name or an address (IPv6 needs brackets)");
        }
        (host, port)
    };
    Ok((host.to_owned(), parse_port(port)?))
}

/// Parses the text after the host: nothing, or a colon, with or without digits.
fn parse_port(port: &str) -> Result<Option<u16>, &'static str> {
    let bad = "its port is not a number from 1 to 65535";
    match port.strip_prefix(':') {
        None if port.is_empty() => Ok(None),
        None => Err(bad),
        Some("") => Ok(None),
        Some(digits) => decimal(digits.as_bytes())
            .and_then(|port| u16::try_from(port).ok())
            .filter(|&port| port != 0)
            .map(Some)
            .ok_or(bad),
    }
}

/// Checks an address, which may have a zone if it is link-local (`fe80::1%eth0`).
fn check_ipv6(host: &str) -> Result<(), &'static str> {
    let (address, zone) = host.split_once('%').unwrap_or((host, "0"));
    let is_zone = |b: u8| b.is_ascii_alphanumeric() || b"-._~".contains(&b);
    if address.parse::<Ipv6Addr>().is_ok() && !zone.is_empty() && zone.bytes().all(is_zone) {
        Ok(())
    } else {
        Err("the text in brackets is not an IPv6 address")
    }
}

impl TryFrom<&str> for ServiceUri {
    type Error = InputError;

    fn try_from(uri: &str) -> Result<Self, InputError> {
        uri.parse()
    }
}

impl TryFrom<String> for ServiceUri {
    type Error = InputError;

    fn try_from(uri: String) -> Result<Self, InputError> {
        uri.parse()
    }
}

impl TryFrom<&String> for ServiceUri {
    type Error = InputError;

    fn try_from(uri: &String) -> Result<Self, InputError> {
        uri.parse()
    }
}

/// Writes a URI that can be parsed to the same service again.
impl fmt::Display for ServiceUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.name(), self.query)
    }
}

/// Writes [`ServiceUri::name`], which has no arguments.
impl fmt::Debug for ServiceUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uri_gives_host_port_and_request_line() {
        for (uri, host, port, authority, request_uri) in [
            ("icap://av/s", "av", 1344, "av", "icap://av/s"),
            ("ICAP://av:1344/s", "av", 1344, "av", "icap://av/s"),
            ("icap://av:/s", "av", 1344, "av", "icap://av/s"),
            (
                "icap://av:11344/a/b?c=d&e",
                "av",
                11344,
                "av:11344",
                "icap://av:11344/a/b?c=d&e",
            ),
            (
                "icap://127.0.0.1:9",
                "127.0.0.1",
                9,
                "127.0.0.1:9",
                "icap://127.0.0.1:9/",
            ),
            ("icap://av?x", "av", 1344, "av", "icap://av/?x"),
            ("icap://[::1]/s", "::1", 1344, "[::1]", "icap://[::1]/s"),
            (
                "icap://[::1]:99/s",
                "::1",
                99,
                "[::1]:99",
                "icap://[::1]:99/s",
            ),
            (
                "icap://[fe80::1%eth0]/s",
                "fe80::1%eth0",
                1344,
                "[fe80::1]",
                "icap://[fe80::1]/s",
            ),
            ("icaps://av/s", "av", 11344, "av", "icaps://av/s"),
            ("ICAPS://av:11344/s", "av", 11344, "av", "icaps://av/s"),
            (
                "icaps://av:1344/s?x",
                "av",
                1344,
                "av:1344",
                "icaps://av:1344/s?x",
            ),
            ("icap://av:99/s@t", "av", 99, "av:99", "icap://av:99/s@t"),
        ] {
            let parsed: ServiceUri = uri.parse().expect(uri);
            assert_eq!((parsed.host(), parsed.port()), (host, port), "{uri}");
            assert_eq!(parsed.authority(), authority, "{uri}");
            assert_eq!(parsed.request_uri(), request_uri, "{uri}");
            assert_eq!(parsed.is_tls(), request_uri.starts_with("icaps:"), "{uri}");
            assert_eq!(parsed.to_string().parse::<ServiceUri>().unwrap(), parsed);
            assert!(!parsed.name().contains('?'), "{uri}");
        }
    }

    #[test]
    fn address_replaces_host_and_port_for_connecting_only() {
        let uri: ServiceUri = "icap://av.example:99/s?x".parse().unwrap();
        assert_eq!(
            (uri.address(), uri.is_elsewhere()),
            (("av.example", 99), false)
        );
        for (address, host, port) in [
            ("127.0.0.1:1", "127.0.0.1", 1),
            ("av2", "av2", 99),
            ("[::1]:2", "::1", 2),
            ("[fe80::1%eth0]", "fe80::1%eth0", 99),
        ] {
            let moved = uri.clone().with_address(address).unwrap();
            assert_eq!(
                (moved.address(), moved.is_elsewhere()),
                ((host, port), true)
            );
            assert_eq!((moved.host(), moved.port()), ("av.example", 99));
            assert_eq!(
                (moved.to_string(), moved.authority()),
                (uri.to_string(), uri.authority())
            );
            assert_ne!(moved, uri);
        }
        for address in [
            "",
            ":1",
            "av:0",
            "av:x",
            "::1",
            "a b",
            "a\r\nb",
            "joe@av",
            "av/s",
            "icap://av",
        ] {
            let error = uri.clone().with_address(address).expect_err(address);
            assert_eq!(error.kind(), InvalidInput::Address, "{address}");
        }
    }

    #[test]
    fn loopback_is_decided_by_the_address() {
        for (uri, address, expected) in [
            ("icap://127.1.2.3/s", None, true),
            ("icap://[::1]/s", None, true),
            ("icap://LocalHost/s", None, true),
            ("icap://localhost.example/s", None, false),
            ("icap://128.0.0.1/s", None, false),
            ("icap://av/s", Some("127.0.0.1"), true),
            ("icap://localhost/s", Some("av:1344"), false),
        ] {
            let mut parsed: ServiceUri = uri.parse().unwrap();
            if let Some(address) = address {
                parsed = parsed.with_address(address).unwrap();
            }
            assert_eq!(parsed.is_loopback(), expected, "{uri} {address:?}");
        }
    }

    #[test]
    fn malformed_uri_is_refused() {
        for uri in [
            "",
            "av/s",
            "http://av/s",
            "icapss://av/s",
            "icaps:/av/s",
            "icap:/av/s",
            "icap://user@av@other/s",
            "icap:///s",
            "icap://:1344/s",
            "icap://av:0/s",
            "icap://av:65536/s",
            "icap://av:+80/s",
            "icap://av:13 44/s",
            "icap://av1:2:3/s",
            "icap://::1/s",
            "icap://[::1/s",
            "icap://[::1]x/s",
            "icap://[::g]/s",
            "icap://[fe80::1%]/s",
            "icap://a b/s",
            "icap://a\r\nb/s",
            "icap://a%0d/s",
            "icap://av/s t",
            "icap://av/s\r\nX: y",
            "icap://av/s\tt",
            "icap://av/\0",
            "icap://av/s\u{e9}",
            "icap://av/s#f",
        ] {
            let error = uri.parse::<ServiceUri>().expect_err(uri);
            assert_eq!(error.kind(), InvalidInput::Uri);
        }
    }

    #[test]
    fn uri_with_user_information_is_refused() {
        for uri in [
            "icap://joe:hunter2@av:99/s",
            "icap://joe:hunter2@av:port/s",
            "icap://hunter2@av",
            "icap://@av/s",
            "icap://hunter2@av@other/s",
            "icap://joe:hunter2@av/s t",
            "icap://joe:hunt\u{e9}r2@av/s",
            "icap://joe:hunter2/@av/s",
            "icap://joe:hunter2?@av/s",
            "icap://joe:hunter2#@av/s",
            "icaps://joe:hunter2@[::1]/s",
        ] {
            let error = uri.parse::<ServiceUri>().expect_err(uri);
            let shown = format!("{error} {error:?}");
            assert!(shown.contains("`credentials`"), "{uri}: {shown}");
            assert!(!shown.contains("hunt") && !shown.contains("joe"), "{shown}");
        }
    }

    #[test]
    fn uri_name_has_no_arguments() {
        let uri: ServiceUri = "icap://av:99/s?key=hunter2".parse().unwrap();
        assert_eq!(uri.name(), "icap://av:99/s");
        assert_eq!(format!("{uri:?}"), uri.name());
        assert_eq!(uri.to_string(), "icap://av:99/s?key=hunter2");
    }

    #[test]
    fn uri_is_made_from_text_and_itself() {
        fn host(uri: impl TryInto<ServiceUri>) -> Option<String> {
            uri.try_into().ok().map(|uri| uri.host)
        }
        let text = "icap://av/s".to_owned();
        assert_eq!(host(&text).unwrap(), "av");
        assert_eq!(host(text.as_str()).unwrap(), "av");
        assert_eq!(host(text.parse::<ServiceUri>().unwrap()).unwrap(), "av");
        assert_eq!(host(text).unwrap(), "av");
        assert_eq!(host("av"), None);
    }
}
