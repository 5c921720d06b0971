mod short_way;

use super::*;
use crate::proto::header::Headers;
use crate::proto::method::Method;
use crate::proto::response_reader::{Remains, ResponseReader};
use std::time::{Duration, Instant};

fn of_remains(remains: &Remains) -> Findings {
    let custom = CustomHeaders::default();
    Findings::of_remains(remains.response.as_ref(), &remains.fragments, &custom)
}

/// The findings of fields in a service's own ICAP head.
pub(super) fn findings(fields: &str) -> Findings {
    let head = format!("ICAP/1.0 500 Error\r\n{fields}");
    let fragments = Fragments {
        icap_head: head.into_bytes(),
        ..Fragments::default()
    };
    Findings::of_remains(None, &fragments, &CustomHeaders::default())
}

pub(super) fn evidence(fields: &str) -> Option<Evidence> {
    Headers::parse(fields.as_bytes()).expect(fields);
    findings(fields).evidence
}

pub(super) fn is_infected(fields: &str) -> bool {
    matches!(evidence(fields), Some(Evidence::Infected(_)))
}

/// The names of threats as a verdict shows them.
pub(super) fn shown(threats: Vec<Threat>) -> String {
    Threats::new(threats).unwrap().to_string()
}

pub(super) fn threats(fields: &str) -> Vec<Threat> {
    match evidence(fields) {
        Some(Evidence::Infected(threats)) => threats.iter().cloned().collect(),
        other => panic!("{fields}: {other:?}"),
    }
}

#[test]
fn worst_reading_counts() {
    let both = "X-Infection-Found: Type=2; Threat=Locked\r\nX-Virus-ID: Eicar\r\n\
                X-Error-Code: decode_error\r\nX-Response-Info: blocked\r\n";
    assert_eq!(threats(both)[0].name(), Some("Eicar"));
    let hindered = "X-Response-Info: blocked\r\nX-Error-Code: decode_error\r\n";
    assert!(matches!(evidence(hindered), Some(Evidence::Hindered(..))));
    let blocked = "X-Response-Info: Blocked by policy\r\n";
    assert_eq!(evidence(blocked), Some(refused(500, "Blocked by policy")));
}

#[test]
fn contradictions_are_read_as_the_worst() {
    for fields in [
        [
            "X-Infection-Found: Type=2; Threat=A\r\n",
            "X-Infection-Found: Type=0; Threat=A\r\n",
        ],
        [
            "X-Virus-ID: Eicar\r\n",
            "X-Infection-Found: Type=2; Resolution=0;\r\n",
        ],
        [
            "X-Infection-Found: Type=2; Threat=Locked\r\n",
            "X-FSecure-Scan-Result: infected\r\n",
        ],
        [
            "X-Infection-Found: Type=0; Threat=Eicar; Type=2;\r\n",
            "X-Error-Code: x\r\n",
        ],
        [
            "X-Virus-ID: Heuristics.Limits.Exceeded\r\n",
            "X-Virus-ID: Eicar\r\n",
        ],
        [
            "X-Infection-Found: Type=9; Type=2; Threat=Eicar\r\n",
            "X-Error-Code: x\r\n",
        ],
        [
            "X-Infection-Found: Type=2; Threat=; Threat=Eicar\r\n",
            "X-Error-Code: x\r\n",
        ],
        ["X-Error-Code: virus_found\r\n", "X-Error-Code: x\r\n"],
    ] {
        let [first, second] = fields;
        for fields in [format!("{first}{second}"), format!("{second}{first}")] {
            assert!(
                matches!(evidence(&fields), Some(Evidence::Infected(_))),
                "{fields}"
            );
        }
    }
}

fn refused(status: u16, words: &str) -> Evidence {
    let words = words.to_owned();
    Evidence::Blocked {
        status,
        words,
        is_by_status: false,
    }
}

/// The findings of a response with fields in its ICAP head and in its HTTP head, and of one that breaks off in its
/// HTTP head.
fn in_heads(icap: &str, http: &str) -> [Findings; 2] {
    in_page(icap, "200 OK", http)
}

fn in_page(icap: &str, status: &str, http: &str) -> [Findings; 2] {
    let http = format!("HTTP/1.1 {status}\r\n{http}\r\n");
    let len = http.len();
    let head = format!("ICAP/1.0 200 OK\r\n{icap}Encapsulated: res-hdr=0, null-body={len}\r\n\r\n");
    let broken = &http[..len - 2];
    [http.as_str(), broken].map(|http| {
        let mut reader = ResponseReader::new(Method::Respmod, 0);
        for mut input in [head.as_bytes(), http.as_bytes()] {
            while !input.is_empty() {
                let (used, _) = reader.feed(input).unwrap();
                input = &input[used..];
            }
        }
        let remains = reader.into_remains();
        of_remains(&remains)
    })
}

#[test]
fn encapsulated_head_takes_nothing_from_the_icap_head() {
    let infected = [
        "X-Virus-ID: Eicar\r\n",
        "X-FSecure-Infection-Name: \"Eicar\"\r\n",
        "X-Infection-Found: Resolution=2; Threat=Eicar\r\n",
        "X-Violations-Found: 1\r\n\tf\r\n\tEicar\r\n\t0\r\n\t2\r\n",
    ];
    let locked = "X-Infection-Found: Type=2; Threat=Eicar\r\n";
    for found in infected {
        for findings in in_heads(found, locked) {
            assert_eq!(names_of(&findings), "Eicar", "{found}");
        }
    }
    let (blocked, hindered) = ("X-Response-Info: blocked\r\n", "X-Error-Code: x\r\n");
    for findings in in_heads(blocked, hindered) {
        assert_eq!(findings.evidence, Some(refused(200, "blocked")));
    }
    let harmless = "X-Infection-Found: Type=0; Threat=Harmless\r\n";
    for http in [harmless.to_owned(), format!("{harmless}{locked}")] {
        for findings in in_heads(infected[0], &http) {
            assert_eq!(names_of(&findings), "Eicar, Harmless");
        }
    }
    for findings in [blocked, hindered].map(|own| in_heads(own, infected[0])) {
        assert!(
            findings
                .iter()
                .all(|findings| names_of(findings) == "Eicar")
        );
    }
    for findings in in_heads(hindered, "X-Blocked-Reason: malware policy\r\n") {
        assert_eq!(findings.evidence, Some(refused(200, "malware policy")));
    }
    let reason = "X-Blocked-Reason: please deliver\r\n";
    for findings in in_heads(blocked, reason) {
        assert_eq!(findings.evidence, Some(refused(200, "blocked")));
    }
    for findings in in_heads(hindered, "") {
        assert!(matches!(findings.evidence, Some(Evidence::Hindered(..))));
    }
    assert_eq!(in_heads("", ""), [Findings::default(), Findings::default()]);
}

fn names_of(findings: &Findings) -> String {
    match &findings.evidence {
        Some(Evidence::Infected(threats)) => threats.to_string(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn limit_in_encapsulated_head_takes_nothing_from_others() {
    let locked = "X-Infection-Found: Type=2; Threat=Eicar\r\n";
    let virus = "X-Virus-ID: Eicar\r\n";
    for http in [format!("{locked}{virus}"), format!("{virus}{locked}")] {
        for findings in in_heads("", &http) {
            assert_eq!(names_of(&findings), "Eicar", "{http}");
        }
    }
    for limit in [
        locked,
        "X-Error-Code: max_size\r\n",
        "X-Error-Code: internal_error\r\n",
    ] {
        for findings in in_page("", "403 Forbidden", limit) {
            let by_status = Evidence::Blocked {
                status: 403,
                words: "Forbidden".to_owned(),
                is_by_status: true,
            };
            assert_eq!(findings.evidence, Some(by_status), "{limit}");
        }
        for findings in in_heads("", limit) {
            assert_eq!(findings.evidence, None, "{limit}");
            assert!(
                findings.hindered.is_some() || findings.failure.is_some(),
                "{limit}"
            );
        }
    }
    // What the service itself says about a name holds for other heads as well.
    for findings in in_page(locked, "403 Forbidden", virus) {
        assert!(
            matches!(findings.evidence, Some(Evidence::Hindered(..))),
            "{findings:?}"
        );
    }
}

/// The status that refuses, of a response that may be invalid.
fn refusing_status(method: Method, response: &str) -> Option<u16> {
    let mut reader = ResponseReader::new(method, 0);
    let mut rest = response.as_bytes();
    while let (false, Ok((used, _))) = (rest.is_empty(), reader.feed(rest)) {
        rest = &rest[used..];
    }
    let remains = reader.into_remains();
    let findings = of_remains(&remains);
    match findings.evidence {
        Some(Evidence::Blocked { status, .. }) => Some(status),
        None => None,
        other => panic!("{other:?}"),
    }
}

#[test]
fn refusing_status_counts_as_soon_as_its_line_ends() {
    let respmod = |response: &str| refusing_status(Method::Respmod, response);
    assert_eq!(respmod("ICAP/1.0 403 Forbidden\r"), None);
    for end in [
        "\r\n",
        "\n",
        "\r\nno colon\r\n\r\n",
        "\r\nTransfer-Encoding: x\r\n\r\n",
    ] {
        assert_eq!(
            respmod(&format!("ICAP/1.0 403 Forbidden{end}")),
            Some(403),
            "{end}"
        );
    }
    for line in [
        "ICAP/1.0 4030 x",
        "ICAP/1.0 404 Not Found",
        "ICAP/1.0 100 Continue",
        "HTTP/1.1 403 x",
    ] {
        assert_eq!(respmod(&format!("{line}\r\n")), None, "{line}");
    }
    let page = |status: u16, line: &str| {
        format!("ICAP/1.0 {status} x\r\nEncapsulated: res-hdr=0, null-body=99\r\n\r\n{line}")
    };
    for icap in [200, 201, 202, 203, 204, 206, 299, 404, 408, 500, 501, 503] {
        for (line, status) in [
            ("HTTP/1.1 403 VirusFound\r\n", Some(403)),
            ("HTTP/1.0 307\r\n", Some(307)),
            ("HTTP/1.1 451 \x01\r\n", Some(451)),
            ("HTTP/1.1 403 VirusFound\r", None),
            ("HTTP/1.1 200 OK\r\n", None),
            ("HTTP/1.1 304 Not Modified\r\n", None),
            ("HTTP/1.1 400 Bad Request\r\n", None),
            ("HTTP/1.1 401 Unauthorized\r\n", None),
            ("HTTP/1.1 502 Bad Gateway\r\n", None),
        ] {
            assert_eq!(respmod(&page(icap, line)), status, "{icap} {line}");
        }
    }
    let reqmod = |response: &str| refusing_status(Method::Reqmod, response);
    assert_eq!(reqmod(&page(200, "HTTP/1.1 200 OK\r\n")), Some(200));
    assert_eq!(reqmod(&page(200, "HTTP/1.1 500 Error\r\n")), None);
    let bare = "ICAP/1.0 200 OK\r\nEncapsulated: res-body=0\r\n\r\n";
    assert_eq!((reqmod(bare), respmod(bare)), (Some(200), None));
    // It asks for credentials, and its page repeats that.
    assert_eq!(respmod(&page(407, "HTTP/1.1 407 Who\r\n")), None);
    assert_eq!(respmod(&page(407, "HTTP/1.1 403 No\r\n")), Some(403));
}

fn time_to_read(fields: &str, times: u32) -> Duration {
    let start = Instant::now();
    for _ in 0..times {
        assert!(evidence(fields).is_some());
    }
    start.elapsed()
}

#[test]
fn reading_takes_linear_time() {
    let half = |text: &str, len| text.repeat(len / 2 / text.len());
    let hostile: [&dyn Fn(usize) -> String; 6] = [
        &|len| {
            let (long, names) = (half("\u{e9}", len), half("a,", len));
            format!("X-Infection-Found: ThreatDescription={long};Threat={names}")
        },
        &|len| format!("X-Infection-Found: {}", half(",Type=2;", 2 * len)),
        &|len| format!("X-Infection-Found: {}", half(" ,", 2 * len)),
        &|len| {
            let names: Vec<_> = (0..len / 6).map(|n| format!("{n:05}")).collect();
            format!("X-Virus-ID: {}", names.join(","))
        },
        &|len| format!("X-Violations-Found: 1{}", half("\r\n\t-", 2 * len)),
        &|len| format!("X-Blocked-Reason: {}", half("no virus,", 2 * len)),
    ];
    for (case, fields) in hostile.iter().enumerate() {
        let [short, long] = [8, 128].map(|kib| format!("{}\r\n", fields(kib << 10)));
        // Sixteen times the length would be 256 times the work if each part were compared with all others. Both
        // measurements take about as long, so a busy machine delays both.
        let is_linear = |_| time_to_read(&long, 1) < 5 * time_to_read(&short, 16);
        assert!((0..10).any(is_linear), "{case}");
    }
}

/// A response with `field` as the only one that says something, in one of five places; and its bytes up to that field.
fn with_field_in(place: usize, field: &str) -> (Method, String, usize) {
    let at = |this: usize| {
        if this == place {
            field
        } else {
            "Date: now\r\n"
        }
    };
    let (method, list, line) = match place {
        4 => (Method::Reqmod, "req", "GET / HTTP/1.1"),
        _ => (Method::Respmod, "res", "HTTP/1.1 200 OK"),
    };
    let http = format!("{line}\r\n{}\r\n", at(if place == 4 { 4 } else { 0 }));
    let len = http.len();
    let whole = format!(
        "ICAP/1.0 100 Continue\r\n{}\r\nICAP/1.0 200 OK\r\n{}Encapsulated: {list}-hdr=0, {list}-body={len}\r\n\r\n\
         {http}5\r\nhello\r\n0\r\n{}\r\n",
        at(1),
        at(2),
        at(3),
    );
    let end = whole.find(field).unwrap() + field.len();
    (method, whole, end)
}

#[test]
fn sole_field_counts_in_each_place() {
    let custom = CustomHeaders {
        infections: vec!["Acme-Found".to_owned()],
        refusals: vec!["Acme-Refused".to_owned()],
    };
    for field in [
        "x-virus-id: Eicar\r\n",
        "X-Virus-ID:\r\n Eicar\r\n",
        "acme-found: Eicar\r\n",
        "ACME-REFUSED: Eicar\r\n",
    ] {
        for place in 0..5 {
            let (method, whole, end) = with_field_in(place, field);
            // Without the line after it, which may continue the field.
            for (input, has_ended) in [(&whole[..], true), (&whole[..=end], false)] {
                let mut reader = ResponseReader::new(method, 5);
                let mut used = 0;
                while used < input.len() {
                    used += reader.feed(&input.as_bytes()[used..]).expect(input).0;
                }
                assert_eq!(reader.has_ended(), has_ended, "{input}");
                let Remains {
                    response,
                    fragments,
                } = reader.into_remains();
                let found = Findings::of_remains(response.as_ref(), &fragments, &custom);
                assert!(found.evidence.is_some(), "{input}");
            }
        }
    }
}
