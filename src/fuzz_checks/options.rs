use std::time::Duration;

use super::input::assert_displayable;
use crate::proto::method::Method;
use crate::proto::options::ServiceOptions;
use crate::proto::response_reader::ResponseReader;

/// What a service offers: `data` is the fields of its response to `OPTIONS`.
///
/// - A number is one that a single field says in digits, or there is none and a warning.
/// - 204 is offered if any `Allow` mentions it: not to see it would make a returned file clean.
/// - Lists hold every member and no empty one; what is shown is safe to show.
pub fn options(data: &[u8]) {
    if matches!(data.first(), Some(b' ' | b'\t')) {
        // It would continue the line before it.
        return;
    }
    let head = b"ICAP/1.0 200 OK\r\nEncapsulated: null-body=0\r\n";
    let response = [&head[..], data, b"\r\n"].concat();
    let mut reader = ResponseReader::new(Method::Options, 0);
    let Ok((used, _)) = reader.feed(&response) else {
        return;
    };
    let Some(response) = reader.response().filter(|_| used == response.len()) else {
        return;
    };
    let options = ServiceOptions::from_response(response);
    let said = Said(fields(data));
    assert_numbers(&options, &said);
    assert_lists(&options, &said);
    let texts = [
        options.service(),
        options.service_id(),
        options.istag(),
        options.opt_body_type(),
    ];
    texts.into_iter().flatten().for_each(assert_displayable);
}

fn assert_numbers(options: &ServiceOptions, said: &Said) {
    let preview = said.number("Preview").filter(|&size| size < u64::MAX);
    assert_eq!(options.preview(), preview);
    let limit = said.number("Max-Connections").filter(|&limit| limit > 0);
    assert_eq!(options.max_connections(), limit);
    let ttl = said.number("Options-TTL").map(Duration::from_secs);
    assert_eq!(options.options_ttl(), ttl);
    let is_odd = |name: &&&str| said.number(name).is_none() && said.values(name).count() > 0;
    let numbers = ["Preview", "Max-Connections", "Options-TTL"];
    let odd = numbers.iter().filter(is_odd).count();
    let no_methods = usize::from(options.methods().is_empty());
    let transfers = ["Transfer-Preview", "Transfer-Ignore", "Transfer-Complete"];
    let listed = || transfers.iter().flat_map(|name| said.members(name));
    let stars = listed().filter(|member| *member == "*").count();
    let is_ambiguous = usize::from(stars != 1 && listed().next().is_some());
    let has_no_engine = usize::from(said.values("ISTag").any(names_no_engine));
    let warnings = odd + no_methods + is_ambiguous + has_no_engine;
    assert_eq!(options.warnings().len(), warnings);
}

fn assert_lists(options: &ServiceOptions, said: &Said) {
    let offers_204 = said.values("Allow").any(|value| value.contains("204"));
    assert_eq!(options.allows_204(), offers_204);
    assert_eq!(options.allows_206(), said.has_member("Allow", "206"));
    let trailers = said.has_member("Allow", "trailers");
    assert_eq!(options.allows_trailers(), trailers);
    for method in [Method::Respmod, Method::Reqmod] {
        let is_offered = said.has_member("Methods", method.as_str());
        assert_eq!(options.methods().contains(&method), is_offered);
    }
    for (name, list) in [
        ("Allow", options.allow()),
        ("Transfer-Preview", options.transfer_preview()),
        ("Transfer-Ignore", options.transfer_ignore()),
        ("Transfer-Complete", options.transfer_complete()),
        ("X-Include", options.x_include()),
    ] {
        assert_eq!(list.len(), said.members(name).count(), "{name}");
        list.iter().for_each(|member| assert_displayable(member));
    }
}

/// Whether a state tag has the digest of an empty signature database in it.
fn names_no_engine(tag: &str) -> bool {
    let text: String = tag.split_ascii_whitespace().collect();
    text.contains("1B2M2Y8AsgTpgAmY7PhCfg")
}

/// Names and values of the fields.
struct Said(Vec<(String, String)>);

impl Said {
    fn values<'s>(&'s self, name: &'s str) -> impl Iterator<Item = &'s str> {
        let named = self
            .0
            .iter()
            .filter(move |(n, _)| n.eq_ignore_ascii_case(name));
        named.map(|(_, value)| value.as_str())
    }

    fn members<'s>(&'s self, name: &'s str) -> impl Iterator<Item = &'s str> {
        let members = self.values(name).flat_map(|value| value.split(','));
        let members = members.map(|member| member.trim_matches([' ', '\t']));
        members.filter(|member| !member.is_empty())
    }

    fn has_member(&self, name: &str, wanted: &str) -> bool {
        self.members(name)
            .any(|member| member.eq_ignore_ascii_case(wanted))
    }

    /// The number of the only field; what goes beyond 64 bits is as much as fits.
    fn number(&self, name: &str) -> Option<u64> {
        let mut values = self.values(name);
        let (Some(value), None) = (values.next(), values.next()) else {
            return None;
        };
        let digits = value.trim_matches([' ', '\t']);
        let is_number = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
        is_number.then(|| digits.parse().unwrap_or(u64::MAX))
    }
}

/// Names and values of a block that was taken, each byte of a value one character, folds kept.
fn fields(block: &[u8]) -> Vec<(String, String)> {
    let text: String = block.iter().map(|&byte| char::from(byte)).collect();
    let mut fields: Vec<(String, String)> = Vec::new();
    for line in text.split_terminator("\r\n") {
        match fields.last_mut() {
            Some((_, value)) if line.starts_with([' ', '\t']) => *value += line,
            _ => {
                let (name, value) = line.split_once(':').expect("a field");
                fields.push((name.to_owned(), value.to_owned()));
            }
        }
    }
    fields
}
