use super::check::SHORT_VALUE;
use super::*;
use crate::proto::limits::MAX_FIELDS;
use crate::proto::violation::Violation;

fn parsed(block: &str) -> Headers<'_> {
    Headers::parse(block.as_bytes()).expect(block)
}

fn values(block: &str, name: &str) -> Vec<String> {
    let fields = parsed(block).get_all(name).map(|f| f.value().into_owned());
    fields.map(|v| String::from_utf8(v).unwrap()).collect()
}

#[test]
fn names_are_compared_without_case_and_duplicates_kept() {
    let block = "ISTag: \"a\"\r\nX-A:1\r\nx-a:  2\t \r\nX-a:\r\n";
    assert_eq!(values(block, "istag"), ["\"a\""]);
    assert_eq!(values(block, "X-A"), ["1", "2", ""]);
    assert_eq!(values(block, "X-B"), Vec::<String>::new());
    assert_eq!(parsed(block).iter().count(), 4);
    assert_eq!((&parsed(block)).into_iter().count(), 4);
}

#[test]
fn folded_value_is_unfolded_and_has_its_lines() {
    let block = "X-Violations-Found: 1\r\n\t-\r\n\tRel.Test\r\n  C:\\a: b\r\n\t0\r\nA: b\r\n";
    assert_eq!(
        values(block, "x-violations-found"),
        ["1 - Rel.Test C:\\a: b 0"]
    );
    let field = parsed(block).get("X-Violations-Found").unwrap();
    let lines: Vec<&[u8]> = field.lines().collect();
    assert_eq!(lines, [&b"1"[..], b"-", b"Rel.Test", b"C:\\a: b", b"0"]);
    assert_eq!(values(block, "A"), ["b"]);
}

#[test]
fn each_byte_counts_at_each_place_of_a_value() {
    for byte in 0..=u8::MAX {
        for len in [
            0,
            1,
            7,
            8,
            9,
            15,
            16,
            SHORT_VALUE - 1,
            SHORT_VALUE,
            2 * SHORT_VALUE,
        ] {
            // Bytes below 16 are looked at singly, wherever another one is.
            for others in *b"x\t" {
                let value = [vec![others; len], vec![byte], vec![others; len]].concat();
                let block = [b"A:", &value[..], b"\r\nB: c\r\n"].concat();
                let is_text = !matches!(byte, b'\r' | b'\n' | 0);
                let parsed = Headers::parse(&block).map(|headers| headers.iter().count());
                assert_eq!(parsed.ok(), is_text.then_some(2), "{byte} {len} {others}");
            }
        }
    }
}

#[test]
fn each_byte_counts_at_each_place_of_a_name() {
    for byte in (0..=u8::MAX).filter(|&byte| byte != b':') {
        for (before, after) in [(0, 0), (0, 3), (3, 0), (4, 4), (7, 9)] {
            let name = [vec![b'x'; before], vec![byte], vec![b'x'; after]].concat();
            let block = [&name[..], b":\r\n"].concat();
            let is_name = Headers::parse(&block).is_ok();
            assert_eq!(is_name, is_token_byte(byte), "{byte} {before} {after}");
        }
    }
}

#[test]
fn check_gives_each_field_once_up_to_one_that_is_refused() {
    let block = "A: 1\r\nB:\t2\r\n 3\r\n\r\nC: not part of it\r\n";
    for (block, result) in [
        (block.to_owned(), Ok(16)),
        (
            block.replace("\r\n\r\n", "\r\nD\r\n\r\n"),
            Err(BadField::at(16)),
        ),
    ] {
        let mut fields = Vec::new();
        let len = check_each_field(block.as_bytes(), |field| fields.push(format!("{field:?}")));
        assert_eq!(
            (len, fields),
            (result, vec!["A: 1".to_owned(), "B: 2 3".to_owned()])
        );
    }
}

#[test]
fn name_with_a_colon_is_the_name_of_no_field() {
    for name in ["A:b", "A:", ":", ""] {
        assert_eq!(parsed("A:b: c\r\nA::\r\n").get(name), None, "{name}");
    }
}

#[test]
fn fold_in_trimmed_white_space_is_known() {
    for (block, is_folded, value) in [
        ("A: b\r\n", false, "b"),
        ("A: b\r\n c\r\n", true, "b c"),
        ("A:\r\n b\r\n", true, "b"),
        ("A: b\r\n \r\n", true, "b"),
        ("A:\r\n\t\r\n", true, ""),
    ] {
        let field = parsed(block).get("A").unwrap();
        assert_eq!(field.is_folded(), is_folded, "{block:?}");
        assert_eq!(&*field.value(), value.as_bytes(), "{block:?}");
    }
}

#[test]
fn only_space_and_tab_are_trimmed() {
    let block = b"X-A: \x0b\x0c\xa0v\x1b\xff \r\n";
    let field = Headers::parse(block).unwrap().get("x-a").unwrap();
    assert_eq!(&*field.value(), b"\x0b\x0c\xa0v\x1b\xff");
}

#[test]
fn malformed_field_is_refused_where_it_begins() {
    for bad in [
        "NoColonHere\r\n",
        ": v\r\n",
        "X A: b\r\n",
        "X-A : b\r\n",
        " X: folded first\r\n",
        "X-A: a\0b\r\n",
        "X-A: a\rEncapsulated: null-body=0\r\n",
        "X-A: a\nB: c\r\n",
        "X-A: a\r\r\n",
        "X-A: a\n b\r\n",
        "X-A:\n b\r\n",
        "X-A: a\r b\r\n",
        "X\r\n -A: b\r\n",
        "X-\u{e9}: b\r\n",
        "X-A: b",
        "X-A: b\r\n\r\n",
    ] {
        let after_valid = format!("A: b\r\n{bad}");
        for (block, lead) in [(bad, 0), (after_valid.as_str(), 6)] {
            if lead == 6 && bad.starts_with(' ') {
                continue; // then it is a fold
            }
            let error = Headers::parse(block.as_bytes()).expect_err(block);
            assert_eq!(error.violation, Violation::BadHeader, "{block:?}");
            let begins = if bad.ends_with("b\r\n\r\n") {
                lead + 8
            } else {
                lead
            };
            let begins = if bad.contains("a\nB") { lead } else { begins };
            assert_eq!(error.at, begins, "{block:?}");
        }
    }
}

#[test]
fn shown_fields_are_escaped_and_unfolded() {
    let headers = parsed("X-A: a\r\n b\r\nx-b: \x1b[2J\r\n");
    assert_eq!(
        format!("{headers:?}"),
        r#"{"X-A": "a b", "x-b": "\\u{1b}[2J"}"#
    );
    let fields = format!("{:?}", headers.iter());
    assert_eq!(fields, "[X-A: a b, x-b: \\u{1b}[2J]");
    assert!(parsed("").is_empty() && !headers.is_empty());
}

#[test]
fn fields_may_be_as_many_as_the_limit() {
    for (count, accepted) in [
        (MAX_FIELDS - 1, true),
        (MAX_FIELDS, true),
        (MAX_FIELDS + 1, false),
    ] {
        let block = "A: b\r\n".repeat(count);
        assert_eq!(
            Headers::parse(block.as_bytes()).is_ok(),
            accepted,
            "{count}"
        );
    }
}

#[test]
fn token_is_found_in_any_member_of_any_field() {
    let block = "Connection: keep-alive\r\nconnection: Foo ,  CLOSE,,\r\nX: closed, x-close\r\n";
    assert!(parsed(block).has_token("Connection", "close"));
    assert!(!parsed(block).has_token("X", "close"));
}

#[test]
fn legible_fields_of_a_broken_head_are_found() {
    let lines =
        b"ICAP/1.0 200 OK\r\nno colon\r\nX-A: 1\nX-B : 2\r\n\t3\r\n\r\nX-C: 4\r\nX-D: 5\r\n\tcut";
    let found: Vec<_> = legible_fields(lines)
        .map(|f| (f.name(), f.text()))
        .collect();
    let expected = [("X-A", "1"), ("X-B", "2 3"), ("X-C", "4"), ("X-D", "5")];
    assert_eq!(found, expected.map(|(name, text)| (name, text.to_owned())));
}

#[test]
fn token_bytes_are_those_of_rfc_9110() {
    let tokens: Vec<u8> = (0..=255).filter(|&b| is_token_byte(b)).collect();
    assert_eq!(
        tokens,
        b"!#$%&'*+-.0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ^_`abcdefghijklmnopqrstuvwxyz|~"
    );
}
