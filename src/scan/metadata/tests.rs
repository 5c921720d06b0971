use super::*;
use crate::proto::limits::{MAX_FIELDS, MAX_HTTP_HEAD};

fn of(details: Details) -> About {
    About {
        details: Some(Box::new(details)),
        ..About::default()
    }
}

fn encoded_name(name: &str) -> String {
    let mut out = Vec::new();
    percent_encode(&mut out, name);
    String::from_utf8(out).unwrap()
}

#[test]
fn made_up_heads_pass_the_checks_of_given_ones() {
    for name in [None, Some("a b.pdf"), Some(".."), Some("\r\n\u{e9}")] {
        let about = About {
            name: name.map(str::to_owned),
            ..About::default()
        };
        for length in [None, Some(0), Some(u64::MAX)] {
            for method in [Method::Respmod, Method::Reqmod] {
                let request = about.request(method, length).unwrap();
                let head = request.http_request_head().unwrap();
                http_head::check_request(head).unwrap();
                assert_eq!(http_head::forwarded(head), head);
                if let Some(head) = request.http_response_head() {
                    http_head::check_response(head).unwrap();
                    assert_eq!(http_head::forwarded(head), head);
                }
            }
        }
    }
}

#[test]
fn content_type_that_is_too_long_is_refused() {
    let mut about = About::default();
    about.details_mut().content_type = Some("x".repeat(MAX_HTTP_HEAD));
    for method in [Method::Respmod, Method::Reqmod] {
        assert!(about.request(method, None).is_err(), "{method}");
    }
}

#[test]
fn name_becomes_one_path_segment() {
    for (name, encoded) in [
        ("invoice.pdf", "invoice.pdf"),
        ("a b/c?d#e%f", "a%20b%2Fc%3Fd%23e%25f"),
        ("a\r\nX-Infection: no", "a%0D%0AX-Infection%3A%20no"),
        ("Gr\u{fc}n\u{1f600}", "Gr%C3%BCn%F0%9F%98%80"),
        ("..", "%2E%2E"),
        (".", "%2E"),
        ("", ""),
    ] {
        assert_eq!(encoded_name(name), encoded);
    }
}

#[test]
fn long_name_is_cut_and_keeps_its_extension() {
    let x = |count: usize| "x".repeat(count);
    for (name, expected) in [
        (x(MAX_NAME - 1), x(MAX_NAME - 1)),
        (x(MAX_NAME), x(MAX_NAME)),
        (x(MAX_NAME + 1), x(MAX_NAME)),
        (x(MAX_NAME - 4) + ".exe", x(MAX_NAME - 4) + ".exe"),
        (x(MAX_NAME - 3) + ".exe", x(MAX_NAME - 4) + ".exe"),
        (x(131_100) + ".exe", x(MAX_NAME - 4) + ".exe"),
        ("\u{1f600}".repeat(14_000), "\u{1f600}".repeat(MAX_NAME / 4)),
        (
            "\u{20ac}".repeat(9_000) + ".x",
            "\u{20ac}".repeat((MAX_NAME - 2) / 3) + ".x",
        ),
        (
            "a.".to_owned() + &x(9_000),
            "a.".to_owned() + &x(MAX_NAME - 2),
        ),
    ] {
        let short = shortened(&name).into_owned();
        assert_eq!(short, expected);
        let about = About {
            name: Some(name),
            ..About::default()
        };
        for method in [Method::Respmod, Method::Reqmod] {
            let sent = encode(&about, method, Some(5));
            let target = format!("/{} HTTP/1.1\r\n", encoded_name(&short));
            assert!(sent.contains(&target));
        }
    }
}

#[test]
fn head_at_the_limits_is_sent_within_them() {
    let longest = |frame: &str| {
        let filler = "x".repeat(MAX_HTTP_HEAD - frame.len());
        frame.replace("X:", &format!("X:{filler}"))
    };
    let most = |line: &str| format!("{line}\r\n{}\r\n", "A:b\r\n".repeat(MAX_FIELDS));
    for (line, method) in [
        ("GET /a HTTP/1.1", Method::Reqmod),
        ("HTTP/1.1 200 OK", Method::Respmod),
    ] {
        for (head, has_length) in [
            (longest(&format!("{line}\r\nX:\r\n\r\n")), false),
            (
                longest(&format!("{line}\r\nX:\r\nContent-Length: 10000\r\n\r\n")),
                true,
            ),
            (
                longest(&format!("{line}\r\nX:\r\nContent-Length:0\r\n\r\n")),
                false,
            ),
            (
                longest(&format!("{line}\r\nX:\r\n{}\r\n", "A:b\r\n".repeat(255))),
                false,
            ),
            (most(line), false),
        ] {
            let mut about = About::default();
            let given = match method {
                Method::Reqmod => &mut about.details_mut().http_request,
                _ => &mut about.details_mut().http_response,
            };
            *given = Some(head.clone().into_bytes());
            let sent = encode(&about, method, Some(70_000));
            let (_, heads) = sent.split_once("\r\n\r\n").unwrap();
            let own = &heads[heads.rfind(line).unwrap()..];
            assert!(own.len() <= MAX_HTTP_HEAD, "{}", own.len());
            let fields = own.trim_end().split("\r\n").count() - 1;
            assert!(fields <= MAX_FIELDS, "{fields}");
            let is_sent =
                own.contains("Content-Length:70000") || own.contains("Content-Length: 70000");
            assert_eq!(is_sent, has_length, "{}", &head[head.len() - 30..]);
            assert!(!own.contains("Content-Length: 1") && !own.contains("Content-Length:0"));
        }
    }
}

#[test]
fn head_of_a_partial_file_is_refused() {
    let part = |head: &str, method| {
        let mut about = About::default();
        let given = match head.starts_with("HTTP") {
            true => &mut about.details_mut().http_response,
            false => &mut about.details_mut().http_request,
        };
        *given = Some(head.as_bytes().to_vec());
        match about.request(method, None) {
            Err(Error::Input(error)) => Some(error.kind()),
            Err(other) => panic!("{other:?}"),
            Ok(_) => None,
        }
    };
    for (head, is_part) in [
        ("HTTP/1.1 200 OK\r\n\r\n", false),
        ("HTTP/1.1 206 Partial Content\r\n\r\n", true),
        ("HTTP/1.0 206\r\n\r\n", true),
        (
            "HTTP/1.1 200 OK\r\ncontent-range: bytes 0-4/9\r\n\r\n",
            true,
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Type: Multipart/ByteRanges; boundary=x\r\n\r\n",
            true,
        ),
        ("HTTP/1.1 200 OK\r\nAccept-Ranges: bytes\r\n\r\n", false),
    ] {
        for method in [Method::Respmod, Method::Reqmod] {
            let expected = is_part.then_some(InvalidInput::PartialContent);
            assert_eq!(part(head, method), expected, "{head}");
        }
    }
    let upload = "PUT /a HTTP/1.1\r\nContent-Range: bytes 0-4/9\r\n\r\n";
    assert_eq!(
        part(upload, Method::Reqmod),
        Some(InvalidInput::PartialContent)
    );
    assert_eq!(part(upload, Method::Respmod), None);
    let download = "GET /a HTTP/1.1\r\nRange: bytes=0-4\r\n\r\n";
    assert_eq!(part(download, Method::Respmod), None);
}

#[test]
fn group_stays_one_group() {
    for (group, is_taken) in [
        ("staff", true),
        ("LDAP://h/cn=x%2Cdc=y", true),
        ("guests,Local://domain-admins", false),
        ("LDAP://h/cn=x,dc=y", false),
        (",", false),
        (" staff", false),
        ("staff\u{a0}", false),
    ] {
        let mut about = About::default();
        about.details_mut().groups = vec![group.to_owned()];
        let request = about.request(Method::Respmod, None);
        assert_eq!(request.is_ok(), is_taken, "{group}");
    }
    for (user, sent) in [
        ("bob", "Local://bob"),
        ("WinNT://d/bob", "WinNT://d/bob"),
        ("bob,Local://root", "Local://bob,Local://root"),
        ("://x", "Local://://x"),
    ] {
        assert_eq!(with_scheme(user).unwrap(), sent);
    }
}

fn encode(about: &About, method: Method, length: Option<u64>) -> String {
    let request = about.request(method, length).unwrap();
    let bytes = request.encode("icap://av/s", "av", true).unwrap();
    String::from_utf8(bytes).unwrap()
}

#[test]
fn request_has_what_is_known_and_no_more() {
    let mut about = About {
        name: Some("a b".to_owned()),
        ..About::default()
    };
    about.details_mut().content_type = Some("text/plain".to_owned());
    let target = "http://content.invalid/a%20b HTTP/1.1\r\nHost: content.invalid\r\n";
    let fields = "Content-Type: text/plain\r\nContent-Length: 5\r\n";
    let known = encode(&about, Method::Respmod, Some(5));
    let heads = format!("GET {target}\r\nHTTP/1.1 200 OK\r\n{fields}\r\n");
    assert!(known.ends_with(&heads), "{known}");
    let upload = encode(&about, Method::Reqmod, Some(5));
    assert!(
        upload.ends_with(&format!("POST {target}{fields}\r\n")),
        "{upload}"
    );
    let unknown = encode(&About::default(), Method::Respmod, None);
    assert!(!unknown.contains("Content-Length"), "{unknown}");
    let mut injected = About::default();
    injected.details_mut().content_type = Some("text/plain\r\nX: y".to_owned());
    let refused = injected.request(Method::Respmod, None);
    assert!(matches!(refused, Err(Error::Input(_))));
}

#[test]
fn forwarded_heads_lack_secrets_and_hop_by_hop_fields() {
    let details = Details {
        http_request: Some(
            b"GET http://joe:pw@h/a/b?session=1 HTTP/1.1\r\nHost: h\r\nCookie: c\r\n\
              Authorization: Basic x\r\nTE: trailers\r\n\r\n"
                .to_vec(),
        ),
        http_response: Some(
            b"HTTP/1.1 200 Fine\r\nSet-Cookie: c\r\nContent-Length: 999\r\nETag: e\r\n\
              Connection: close\r\nLocation: /b\r\nContent-Location: /c?s=1\r\n\r\n"
                .to_vec(),
        ),
        ..Details::default()
    };
    let mut about = of(details);
    let sent = encode(&about, Method::Respmod, Some(5));
    let response = "HTTP/1.1 200 Fine\r\nETag: e\r\nLocation: /b\r\nContent-Length: 5\r\n\r\n";
    let request = "GET http://h/a/b HTTP/1.1\r\nHost: h\r\n\r\n";
    assert!(sent.ends_with(&[request, response].concat()), "{sent}");
    let unknown = encode(&about, Method::Respmod, None);
    assert!(!unknown.contains("Content-Length"), "{unknown}");
    about.details_mut().include_sensitive = true;
    let sent = encode(&about, Method::Respmod, Some(5));
    let request = "GET http://joe:pw@h/a/b?session=1 HTTP/1.1\r\nHost: h\r\nCookie: c\r\n\
                   Authorization: Basic x\r\n\r\n";
    let response = "HTTP/1.1 200 Fine\r\nSet-Cookie: c\r\nETag: e\r\nLocation: /b\r\n\
                    Content-Location: /c?s=1\r\nContent-Length: 5\r\n\r\n";
    assert!(sent.ends_with(&[request, response].concat()), "{sent}");
}

#[test]
fn user_fields_cannot_be_split() {
    let details = Details {
        client_ip: Some("192.0.2.7".parse().unwrap()),
        server_ip: Some("2001:db8::1".parse().unwrap()),
        user: Some("bob".to_owned()),
        groups: vec!["staff".to_owned(), "LDAP://h/cn=x".to_owned()],
        headers: vec![("X-Mine".to_owned(), b"1".to_vec())],
        headers_if_asked: vec![("X-Theirs".to_owned(), b"2".to_vec())],
        ..Details::default()
    };
    let mut about = of(details);
    let sent = encode(&about, Method::Respmod, None);
    let fields = "X-Client-IP: 192.0.2.7\r\nX-Server-IP: 2001:db8::1\r\n\
                  X-Authenticated-User: TG9jYWw6Ly9ib2I=\r\n\
                  X-Authenticated-Groups: TG9jYWw6Ly9zdGFmZixMREFQOi8vaC9jbj14\r\nX-Mine: 1\r\n";
    assert!(
        sent.contains(fields) && !sent.contains("X-Theirs"),
        "{sent}"
    );
    let options = crate::proto::options::tests::options("X-Include: X-Foo, x-theirs\r\n");
    let details = about.details().unwrap();
    assert!(details.asked_for(&options).eq(&details.headers_if_asked));
    for bad in ["", "bob\r\nAllow: 204", "bob\0"] {
        about.details_mut().user = Some(bad.to_owned());
        let refused = about.request(Method::Respmod, None);
        assert!(matches!(refused, Err(Error::Input(_))), "{bad:?}");
    }
}

#[test]
fn given_head_goes_with_a_made_up_one() {
    let made_up = encode(&About::default(), Method::Respmod, Some(5));
    let (_, made_up) = made_up.split_once("\r\n\r\n").unwrap();
    let (request, response) = made_up.split_at(made_up.find("HTTP/1.1 200").unwrap());
    let given_request = "GET http://h/a HTTP/1.1\r\nHost: h\r\n\r\n";
    let given_response = "HTTP/1.1 404 No\r\nContent-Length: 5\r\n\r\n";
    for (given, heads) in [
        (given_request, [given_request, response]),
        (given_response, [request, given_response]),
    ] {
        let mut about = About::default();
        match given == given_request {
            true => about.details_mut().http_request = Some(given.into()),
            false => about.details_mut().http_response = Some(given.into()),
        }
        let sent = encode(&about, Method::Respmod, Some(5));
        let offsets = format!(
            "res-hdr={}, res-body={}",
            heads[0].len(),
            heads.concat().len()
        );
        assert!(
            sent.ends_with(&format!("{offsets}\r\n\r\n{}", heads.concat())),
            "{sent}"
        );
    }
}
