use super::*;
use crate::proto::header::Headers;
use crate::proto::limits::MAX_DISPLAY;
use crate::proto::method::Method;
use crate::proto::response_reader::ResponseReader;
use std::time::{Duration, Instant};

/// What fields of a service's own ICAP head say.
pub(super) fn said(fields: &str) -> Said {
    let head = format!("ICAP/1.0 500 Error\r\n{fields}");
    let fragments = Fragments {
        icap_head: head.into_bytes(),
        ..Fragments::default()
    };
    Said::by_remains(None, &fragments)
}

pub(super) fn evidence(fields: &str) -> Option<Evidence> {
    Headers::parse(fields.as_bytes()).expect(fields);
    said(fields).evidence
}

pub(super) fn is_infected(fields: &str) -> bool {
    matches!(evidence(fields), Some(Evidence::Infected(_)))
}

pub(super) fn threats(fields: &str) -> Vec<Threat> {
    match evidence(fields) {
        Some(Evidence::Infected(threats)) => threats.0,
        other => panic!("{fields}: {other:?}"),
    }
}

#[test]
fn an_infection_header_is_read_whatever_its_shape() {
    let full = Threat {
        name: Some("Eicar-Test-Signature".into()),
        kind: Some(ThreatKind::Virus),
        resolution: Some(Resolution::Blocked),
        ..Threat::default()
    };
    for value in [
        "Type=0; Resolution=2; Threat=Eicar-Test-Signature;",
        "Type=0; Resolution=2; Threat=Eicar-Test-Signature",
        "threat=Eicar-Test-Signature;TYPE = 0;resolution=2",
    ] {
        let found = threats(&format!("x-infection-found: {value}\r\n"));
        assert_eq!(found, std::slice::from_ref(&full), "{value}");
    }
    assert_eq!(threats("X-Infection-Found:\r\n"), [Threat::default()]);
    assert_eq!(
        threats("X-Infection-Found: gibberish\r\n"),
        [Threat::default()]
    );
    assert_eq!(
        threats("X-Infection-Found: Type=9; Threat=a=b\r\n")[0].name(),
        Some("a=b")
    );
}

#[test]
fn violations_are_read_by_four_folded_lines() {
    let found = threats(
        "X-Violations-Found: 2\r\n\tC:\\x: y.doc\r\n\tRel.Test\r\n\t41129\r\n\t2\r\n\t-\r\n\tOther\r\n\t0\r\n\t0\r\n",
    );
    assert_eq!(found.len(), 2);
    assert_eq!(found[0].file(), Some("C:\\x: y.doc"));
    assert_eq!(found[0].name(), Some("Rel.Test"));
    assert_eq!(found[0].problem_id(), Some("41129"));
    assert_eq!(found[0].resolution(), Some(Resolution::Blocked));
    assert_eq!((found[1].name(), found[1].file()), (Some("Other"), None));
    assert_eq!(threats("X-Violations-Found: 1\r\n"), [Threat::default()]);
    assert_eq!(threats("X-Violations-Found: lots\r\n"), [Threat::default()]);
    assert_eq!(evidence("X-Violations-Found: 0\r\n"), None);
}

#[test]
fn one_threat_in_several_fields_is_one_threat() {
    let found = threats(
        "X-Infection-Found: Type=0; Resolution=2; Threat=Eicar;\r\nX-Virus-ID: Eicar\r\n\
         X-Violations-Found: 1\r\n\tx.zip\r\n\tEicar\r\n\t7\r\n\t2\r\n",
    );
    assert_eq!(found.len(), 1);
    assert_eq!(
        (found[0].file(), found[0].problem_id()),
        (Some("x.zip"), Some("7"))
    );
    let two = threats("X-Virus-ID: A\r\nX-Virus-ID: B\r\n");
    assert_eq!(Threats(two).to_string(), "A, B");
    let unnamed = threats("X-Infection-Found: Type=0\r\nX-Virus-Name: \"A\"\r\n");
    assert_eq!(Threats(unnamed).to_string(), "A");
    assert_eq!(
        Threats(vec![Threat::default()]).to_string(),
        "unnamed threat"
    );
}

#[test]
fn what_says_nothing_was_found_is_no_evidence() {
    for fields in [
        "X-Virus-ID: no threats\r\n",
        "X-Virus-ID: NONE\r\n",
        "X-Virus-ID: no threats, no threats\r\n",
        "X-Infection-Found: none, none\r\n",
        "X-Error-Code: 0, 0\r\n",
        "X-Response-Info: passed\r\n",
        "X-Response-Info: Allowed\r\n",
        "X-FSecure-Scan-Result: clean\r\n",
        "X-Infection-Found: none\r\n",
        "X-Infection-Found: Threat=none;\r\n",
        "X-Blocked: false\r\n",
        "Server: X-Infection-Found\r\n",
        "",
    ] {
        assert_eq!(evidence(fields), None, "{fields}");
    }
}

#[test]
fn presence_alone_is_enough() {
    for fields in [
        "X-Virus-ID:\r\n",
        "X-Virus-Name: \"\"\r\n",
        "X-Virus-Name: none,\r\n",
        "X-Virus-Name: none, A\r\n",
        "X-FSecure-Scan-Result: suspected, maybe\r\n",
        "X-FSecure-Scan-Result: infected\r\n",
        "X-Infection-Found: Type=0; Threat=none\r\n",
        "X-Infection-Found: Resolution=2; Threat=-;\r\n",
        "X-Infection-Found: Type=virus; Threat=OK\r\n",
        "X-Infection-Found: Threat=Eicar; Threat=none\r\n",
        "X-Infection-Found: =Eicar\r\n",
        "X-Infection-Found: ;\r\n",
        "X-Infection-Found: ,\r\n",
        "X-Violations-Found: 0\r\n\tThreatDescription=Eicar\r\n",
        "X-FSecure-Infected-Filename: x\r\n",
    ] {
        assert!(is_infected(fields), "{fields}");
    }
    for name in ["\"clean\"", "no", "0", "none", "OK", "false", ""] {
        let fields = format!("X-FSecure-Infected-Filename: {name}\r\n");
        assert!(is_infected(&fields), "a file may be called {name}");
    }
    assert_eq!(evidence("X-FSecure-Infected-Filename: \"-\"\r\n"), None);
}

#[test]
fn a_limit_or_a_locked_container_is_no_virus() {
    let limit = |what: &str| Some(Evidence::Hindered(Hindrance::Limit, what.into()));
    let unscannable = |what: &str| Some(Evidence::Hindered(Hindrance::Unscannable, what.into()));
    for (fields, expected) in [
        (
            "X-Infection-Found: Type=0; Resolution=2; Threat=Heuristics.Limits.Exceeded.MaxFileSize;\r\n",
            limit("Heuristics.Limits.Exceeded.MaxFileSize"),
        ),
        (
            "X-Virus-ID: heuristics.limits.exceeded\r\n",
            limit("heuristics.limits.exceeded"),
        ),
        (
            "X-Infection-Found: Type=2; Threat=Locked\r\nX-Virus-ID: Locked\r\n",
            unscannable("Locked"),
        ),
        (
            "X-Infection-Found: Type=2;\r\n",
            unscannable("container violation"),
        ),
        (
            "X-Virus-ID: Heuristics.Encrypted.Zip\r\n",
            unscannable("Heuristics.Encrypted.Zip"),
        ),
        (
            "X-Error-Code: password_protected\r\n",
            unscannable("password_protected"),
        ),
        (
            "X-Error-Code: max_archive_layers_exceeded\r\n",
            limit("max_archive_layers_exceeded"),
        ),
        ("X-Error-Code: Max_Size\r\n", limit("Max_Size")),
        ("X-Error-Code: time_Exceeded\r\n", limit("time_Exceeded")),
    ] {
        assert_eq!(evidence(fields), expected, "{fields}");
    }
}

#[test]
fn the_worst_counts() {
    let both = "X-Infection-Found: Type=2; Threat=Locked\r\nX-Virus-ID: Eicar\r\n\
                X-Error-Code: decode_error\r\nX-Response-Info: blocked\r\n";
    assert_eq!(threats(both)[0].name(), Some("Eicar"));
    let hindered = "X-Response-Info: blocked\r\nX-Error-Code: decode_error\r\n";
    assert!(matches!(evidence(hindered), Some(Evidence::Hindered(..))));
    let blocked = "X-Response-Info: Blocked by policy\r\n";
    assert_eq!(evidence(blocked), Some(refused(500, "Blocked by policy")));
}

#[test]
fn contradictions_are_read_as_the_worst_in_any_order() {
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

#[test]
fn two_threats_in_one_field_are_two() {
    let joined =
        "X-Infection-Found: Type=0; Resolution=2; Threat=A;, Type=0; Resolution=1; Threat=B;\r\n";
    let found = threats(joined);
    assert_eq!((found[0].name(), found[1].name()), (Some("A"), Some("B")));
    assert_eq!(found[1].resolution(), Some(Resolution::Repaired));
}

#[test]
fn joined_fields_say_what_they_say_apart() {
    let said = [
        "Type=2; Resolution=2;",
        "Type=2; Threat=Locked",
        "Threat=Eicar;",
        "Resolution=0; Threat=Eicar",
        "Type=0",
        "",
    ];
    let infected = |value: &str| is_infected(&format!("X-Infection-Found: {value}\r\n"));
    for (first, second) in said.iter().flat_map(|a| said.map(|b| (*a, b))) {
        let expected = infected(first) || infected(second);
        for comma in [", ", ",", " ,\t"] {
            let joined = [first, second].join(comma);
            assert_eq!(infected(&joined), expected, "{joined}");
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

/// What a response says with these fields in its ICAP head and those in its HTTP head, and what one
/// that breaks off in its HTTP head says.
fn in_heads(icap: &str, http: &str) -> [Said; 2] {
    in_page(icap, "200 OK", http)
}

fn in_page(icap: &str, status: &str, http: &str) -> [Said; 2] {
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
        Said::by_remains(remains.response.as_ref(), &remains.fragments)
    })
}

#[test]
fn the_head_of_the_content_adds_to_what_the_service_says_and_takes_nothing_from_it() {
    let infected = [
        "X-Virus-ID: Eicar\r\n",
        "X-FSecure-Infection-Name: \"Eicar\"\r\n",
        "X-Infection-Found: Resolution=2; Threat=Eicar\r\n",
        "X-Violations-Found: 1\r\n\tf\r\n\tEicar\r\n\t0\r\n\t2\r\n",
    ];
    let locked = "X-Infection-Found: Type=2; Threat=Eicar\r\n";
    for found in infected {
        for said in in_heads(found, locked) {
            assert_eq!(names(&said), "Eicar", "{found}");
        }
    }
    let (blocked, hindered) = ("X-Response-Info: blocked\r\n", "X-Error-Code: x\r\n");
    for said in in_heads(blocked, hindered) {
        assert_eq!(said.evidence, Some(refused(200, "blocked")));
    }
    let harmless = "X-Infection-Found: Type=0; Threat=Harmless\r\n";
    for http in [harmless.to_owned(), format!("{harmless}{locked}")] {
        for said in in_heads(infected[0], &http) {
            assert_eq!(names(&said), "Eicar, Harmless");
        }
    }
    for said in [blocked, hindered].map(|own| in_heads(own, infected[0])) {
        assert!(said.iter().all(|said| names(said) == "Eicar"));
    }
    for said in in_heads(hindered, "X-Blocked-Reason: malware policy\r\n") {
        assert_eq!(said.evidence, Some(refused(200, "malware policy")));
    }
    let reason = "X-Blocked-Reason: please deliver\r\n";
    for said in in_heads(blocked, reason) {
        assert_eq!(said.evidence, Some(refused(200, "blocked")));
    }
    for said in in_heads(hindered, "") {
        assert!(matches!(said.evidence, Some(Evidence::Hindered(..))));
    }
    assert_eq!(in_heads("", ""), [Said::default(), Said::default()]);
}

fn names(said: &Said) -> String {
    match &said.evidence {
        Some(Evidence::Infected(threats)) => threats.to_string(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn limit_in_an_encapsulated_head_takes_nothing_from_its_neighbours() {
    let locked = "X-Infection-Found: Type=2; Threat=Eicar\r\n";
    let virus = "X-Virus-ID: Eicar\r\n";
    for http in [format!("{locked}{virus}"), format!("{virus}{locked}")] {
        for said in in_heads("", &http) {
            assert_eq!(names(&said), "Eicar", "{http}");
        }
    }
    for limit in [
        locked,
        "X-Error-Code: max_size\r\n",
        "X-Error-Code: internal_error\r\n",
    ] {
        for said in in_page("", "403 Forbidden", limit) {
            let by_status = Evidence::Blocked {
                status: 403,
                words: "Forbidden".to_owned(),
                is_by_status: true,
            };
            assert_eq!(said.evidence, Some(by_status), "{limit}");
        }
        for said in in_heads("", limit) {
            assert_eq!(said.evidence, None, "{limit}");
            assert!(said.hindered.is_some() || said.failure.is_some(), "{limit}");
        }
    }
    // What the service itself says of a name is so wherever that stands.
    for said in in_page(locked, "403 Forbidden", virus) {
        assert!(
            matches!(said.evidence, Some(Evidence::Hindered(..))),
            "{said:?}"
        );
    }
}

/// The status by which a response refuses, as far as it can be read.
fn refusing_status(method: Method, response: &str) -> Option<u16> {
    let mut reader = ResponseReader::new(method, 0);
    let mut rest = response.as_bytes();
    while let (false, Ok((used, _))) = (rest.is_empty(), reader.feed(rest)) {
        rest = &rest[used..];
    }
    let remains = reader.into_remains();
    let said = Said::by_remains(remains.response.as_ref(), &remains.fragments);
    match said.evidence {
        Some(Evidence::Blocked { status, .. }) => Some(status),
        None => None,
        other => panic!("{other:?}"),
    }
}

#[test]
fn status_line_that_refuses_counts_as_soon_as_its_line_ends() {
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
    // It asks for credentials, and its page says so once more.
    assert_eq!(respmod(&page(407, "HTTP/1.1 407 Who\r\n")), None);
    assert_eq!(respmod(&page(407, "HTTP/1.1 403 No\r\n")), Some(403));
}

#[test]
fn names_that_were_cut_are_not_taken_for_one() {
    let long = "x".repeat(MAX_DISPLAY);
    let locked = format!("X-Infection-Found: Type=2; Threat={long}1\r\n");
    assert!(!is_infected(&locked));
    for found in [
        format!("X-Virus-ID: {long}2\r\n"),
        format!("X-FSecure-Infection-Name: {long}2\r\n"),
    ] {
        assert!(is_infected(&format!("{locked}{found}")), "{found}");
        assert!(is_infected(&format!("{found}{locked}")), "{found}");
    }
}

#[test]
fn a_hostile_name_is_safe_to_show() {
    let found = threats("X-Virus-ID: a\x1b[2J\u{202e}b\r\n");
    assert_eq!(found[0].name(), Some("a\\u{1b}[2J\\u{202e}b"));
    let debug = format!("{:?}", Threats(found));
    assert!(debug.contains("[2J") && !debug.contains('\x1b'), "{debug}");
}

#[test]
fn several_names_in_one_field_are_several_threats() {
    let found =
        threats("X-Infection-Found: Type=0; Resolution=2; Threat=A,B ,;\r\nX-Virus-ID: B, A\r\n");
    let names: Vec<_> = found.iter().map(Threat::name).collect();
    assert_eq!(names, [Some("A"), Some("B")]);
    assert!(found.iter().all(|t| t.kind() == Some(ThreatKind::Virus)));
    // What only hinders must not hide what is after it.
    let hidden = threats("X-Virus-ID: Heuristics.Limits.Exceeded.MaxFileSize, Eicar\r\n");
    assert_eq!(Threats(hidden).to_string(), "Eicar");
    let quoted = threats("X-FSecure-Infection-Name: \"A\", \"B\"\r\n");
    assert_eq!(Threats(quoted).to_string(), "A, B");
}

#[test]
fn a_word_beside_a_name_describes_it_and_two_are_threats_of_their_own() {
    let eset = "X-Virus-ID: Trojaner\r\nX-Infection-Found: Type=0; Threat=VBA/Agent;\r\n";
    let found = threats(eset);
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].name(), Some("VBA/Agent"));
    assert_eq!(found[0].description(), Some("Trojaner"));
    assert_eq!(threats(&eset.repeat(2)), found, "said twice");
    let two = threats(&format!("{eset}X-Virus-Name: Other\r\n"));
    assert_eq!(Threats(two).to_string(), "VBA/Agent, Trojaner, Other");
    // A word beside what was only not looked into is a threat.
    let found = threats("X-Infection-Found: Type=2; Threat=Locked;\r\nX-Virus-ID: Eicar\r\n");
    assert_eq!(Threats(found).to_string(), "Eicar");
}

#[test]
fn a_line_that_describes_a_violation_does_not_shift_the_next_one() {
    let found = threats(
        "X-Violations-Found: 2\r\n\ta\r\n\tA\r\n\t1\r\n\t2\r\n\tThreatDescription = A|NonViralThreat=Adware\r\n\
         \tb\r\n\tB\r\n\t2\r\n\t0\r\n\tthreatdescription=\r\n",
    );
    let said = |t: &Threat| (t.file.clone(), t.name.clone(), t.description.clone());
    let some = |text: &str| Some(text.to_owned());
    assert_eq!(found.len(), 2);
    assert_eq!(
        said(&found[0]),
        (some("a"), some("A"), some("A|NonViralThreat=Adware"))
    );
    assert_eq!(said(&found[1]), (some("b"), some("B"), None));
}

#[test]
fn file_may_be_called_like_a_description() {
    let found = threats(
        "X-Violations-Found: 2\r\n\ta\r\n\tA\r\n\t1\r\n\t2\r\n\
         \tThreatDescription=x.exe\r\n\tB\r\n\t2\r\n\t0\r\n",
    );
    let said = |t: &Threat| (t.file.clone(), t.name.clone(), t.problem.clone());
    let some = |text: &str| Some(text.to_owned());
    assert_eq!(found.len(), 2);
    assert_eq!(said(&found[0]), (some("a"), some("A"), some("1")));
    assert_eq!(
        said(&found[1]),
        (some("ThreatDescription=x.exe"), some("B"), some("2"))
    );
    // The first file, and a count that no memory holds.
    let found = threats("X-Violations-Found: 1\r\n\tThreatDescription=\r\n\tB\r\n\t2\r\n\t0\r\n");
    assert_eq!((found.len(), found[0].name()), (1, Some("B")));
    assert!(is_infected(
        "X-Violations-Found: 18446744073709551615\r\n\ta\r\n\tA\r\n"
    ));
}

#[test]
fn one_threat_in_two_files_is_there_twice_and_named_once() {
    let found = threats(
        "X-Virus-ID: A\r\nX-Infection-Found: Type=0; Resolution=1; Threat=A;\r\n\
         X-Violations-Found: 1\r\n\tone\r\n\tA\r\n\t-\r\n\t0\r\n\ttwo\r\n\tA\r\n\t-\r\n\t0\r\n",
    );
    let said = |t: &Threat| (t.file.clone(), t.kind, t.problem.clone());
    let virus = Some(ThreatKind::Virus);
    assert_eq!(found.len(), 2);
    assert_eq!(said(&found[0]), (Some("one".to_owned()), virus, None));
    assert_eq!(said(&found[1]), (Some("two".to_owned()), virus, None));
    assert_eq!(Threats(found).to_string(), "A");
}

#[test]
fn the_fields_of_one_vendor_make_one_threat() {
    let found = threats(
        "X-FSecure-Scan-Result: infected\r\nX-FSecure-Infection-Name: \"W97M/A\"\r\n\
         X-FSecure-Infected-Filename: \"virus.doc\"\r\n",
    );
    let expected = Threat {
        name: Some("W97M/A".into()),
        file: Some("virus.doc".into()),
        ..Threat::default()
    };
    assert_eq!(found, [expected]);
}

#[test]
fn an_unnamed_sign_is_not_taken_for_what_only_hindered() {
    for sign in ["X-FSecure-Scan-Result: infected\r\n", "X-Virus-ID:\r\n"] {
        let locked = "X-Infection-Found: Type=2; Resolution=2;\r\n";
        for fields in [format!("{locked}{sign}"), format!("{sign}{locked}")] {
            assert_eq!(threats(&fields).len(), 1, "{fields}");
        }
    }
}

#[test]
fn a_sentence_about_what_could_not_be_checked_is_no_virus_unless_it_is_said_to_be_one() {
    for (name, hindrance) in [
        ("Encrypted Archive", Hindrance::Unscannable),
        ("File is password protected", Hindrance::Unscannable),
        ("Scan error", Hindrance::Unscannable),
        ("Container size violation", Hindrance::Limit),
    ] {
        let policy = format!("X-Infection-Found: Type=1; Threat={name};\r\n");
        let expected = Some(Evidence::Hindered(hindrance, name.to_owned()));
        assert_eq!(evidence(&policy), expected, "{name}");
        let virus = policy.replace("Type=1", "Type=0");
        assert_eq!(threats(&virus)[0].name(), Some(name));
    }
    for name in [
        "W32.Crypt.Error",
        "Encrypted",
        "Password Stealer",
        "Ransom.Encrypted File",
        "Trojan.Scan Error Generic",
        "Eicar in password protected.zip",
        "Eicar Encrypted Archive",
        "Scan error: Eicar",
        "Heuristics.Encrypted.Zip; Eicar",
    ] {
        assert_eq!(
            threats(&format!("X-Virus-ID: {name}\r\n"))[0].name(),
            Some(name)
        );
    }
}

fn time_to_read(fields: &str, times: u32) -> Duration {
    let start = Instant::now();
    for _ in 0..times {
        assert!(evidence(fields).is_some());
    }
    start.elapsed()
}

#[test]
fn reading_takes_time_in_proportion_to_the_length() {
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
        // Sixteen times as long, and sixteen times the work if each part is compared with all
        // others. Both take as long, so a busy machine delays both.
        let is_linear = |_| time_to_read(&long, 1) < 5 * time_to_read(&short, 16);
        assert!((0..10).any(is_linear), "{case}");
    }
}
