//! The crate's parsers, which are not public. They are reached as fuzz targets reach them: compiled with
//! `--cfg fuzzing`.

use super::Setting;
use crate::Result;

#[cfg(not(fuzzing))]
pub(super) fn run(_: &Setting) -> Result<()> {
    Err("the program was not compiled with --cfg fuzzing".into())
}

#[cfg(fuzzing)]
pub(super) fn run(setting: &Setting) -> Result<()> {
    parsers::heads(setting)?;
    parsers::chunks(setting)
}

#[cfg(fuzzing)]
mod parsers {
    use std::hint::black_box;

    use icap_client::fuzz_checks::measured;

    use super::super::alternate::{CPU, alternate, here};
    use super::*;
    use crate::table::{Table, ratio, time};
    use crate::work;

    /// For one turn of a clock that costs as much as a small head.
    const TIMES: usize = 1000;

    const SMALL: &str =
        "ISTag: \"sink\"\r\nConnection: keep-alive\r\nEncapsulated: null-body=0\r\n\r\n";
    const C_ICAP: &str = "Methods: RESPMOD, REQMOD\r\n\
        Service: C-ICAP/0.5.10 server - Antivirus service\r\n\
        ISTag: \"CI0001-h6fqzzAJXC1Rx8iY8YZLQwAA\"\r\n\
        Transfer-Preview: *\r\n\
        Options-TTL: 3600\r\n\
        Date: Thu, 26 Nov 2026 10:00:00 GMT\r\n\
        Preview: 1024\r\n\
        Allow: 204\r\n\
        X-Include: X-Authenticated-User, X-Authenticated-Groups, X-Client-IP\r\n\
        Encapsulated: null-body=0\r\n\r\n";

    type Parser = fn(&[u8]) -> usize;

    pub(super) fn heads(setting: &Setting) -> Result<()> {
        let field = |number| format!("X-Field-{number}: the value of field {number}\r\n");
        let sixty: String = (0..60).map(field).chain(["\r\n".to_owned()]).collect();
        let long = format!("X-Long: {}\r\n", "abcdefgh".repeat(1024)).repeat(4) + "\r\n";
        let mut table = Table::new(&[
            "fields",
            "httparse",
            "checked",
            "÷ httparse",
            "checked and read",
            "÷ httparse",
            "with names as text",
            "÷ httparse",
        ]);
        let blocks: [(&str, &str, Parser); 4] = [
            ("3, as a 204 has", SMALL, with_httparse::<4>),
            (
                "10, as c-icap sends for OPTIONS",
                C_ICAP,
                with_httparse::<16>,
            ),
            ("60", &sixty, with_httparse::<64>),
            ("4 with values of 8 KiB", &long, with_httparse::<4>),
        ];
        for (name, block, other) in blocks {
            let parse = |parser: Parser| {
                here(move || {
                    for _ in 0..TIMES {
                        black_box(parser(black_box(block.as_bytes())));
                    }
                    Ok(())
                })
            };
            let contenders = vec![
                ("httparse", parse(other)),
                ("checked", parse(measured::check_fields)),
                ("read", parse(measured::read_fields)),
                ("text", parse(measured::read_fields_as_text)),
            ];
            let all = alternate(setting, 1, contenders)?;
            let each = |number: usize| time(all[number].median(CPU) / TIMES as f64);
            let ratio = |number: usize, most| ratio(all[number].ratio(&all[0], CPU), most);
            table.row([
                name.to_owned(),
                each(0),
                each(1),
                ratio(1, Some(1.0)),
                each(2),
                ratio(2, Some(1.0)),
                each(3),
                ratio(3, None),
            ]);
        }
        table.print();
        Ok(())
    }

    /// Finds the end of the head and parses all fields. `N` is the least that holds them.
    fn with_httparse<const N: usize>(block: &[u8]) -> usize {
        let mut fields = [httparse::EMPTY_HEADER; N];
        let parsed = httparse::parse_headers(block, &mut fields);
        match black_box(parsed) {
            Ok(httparse::Status::Complete((len, _))) => len,
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn chunks(setting: &Setting) -> Result<()> {
        let content = work::content(if setting.is_quick { 1 << 16 } else { 4 << 20 });
        let mut table = Table::new(&[
            "body of 4 MiB",
            "decoded and copied",
            "copied with memcpy",
            "rate ÷ memcpy",
            "time of a chunk",
        ]);
        for size in [1, 4 << 10, 64 << 10] {
            let mut encoded = Vec::new();
            for chunk in content.chunks(size) {
                encoded.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
                encoded.extend_from_slice(chunk);
                encoded.extend_from_slice(b"\r\n");
            }
            encoded.extend_from_slice(b"0\r\n\r\n");
            let mut outputs = [Vec::new(), Vec::new()];
            let [decoded, copied] = &mut outputs;
            let decode = || {
                decoded.clear();
                measured::decode_chunks(black_box(&encoded), decoded);
                Ok(())
            };
            let copy = || {
                copied.clear();
                for piece in black_box(&content[..]).chunks(64 << 10) {
                    copied.extend_from_slice(piece);
                }
                Ok(())
            };
            let contenders = vec![("decode", here(decode)), ("copy", here(copy))];
            let all = alternate(setting, 1, contenders)?;
            let [decode, copy] = &all[..] else {
                return Err("two contenders".into());
            };
            let rate = copy.ratio(decode, CPU);
            let wanted = if size == 64 << 10 {
                " (wanted: ≥ 0.80)"
            } else {
                ""
            };
            let mark = if size == 64 << 10 && rate < 0.8 {
                "**"
            } else {
                ""
            };
            let chunks = content.len() / size;
            table.row([
                format!("in chunks of {}", work::size(size)),
                time(decode.median(CPU)),
                time(copy.median(CPU)),
                format!("{mark}{rate:.2}{mark}{wanted}"),
                format!("{:.1} ns", decode.median(CPU) * 1e9 / chunks as f64),
            ]);
            assert!(outputs.iter().all(|output| *output == content));
        }
        table.print();
        Ok(())
    }
}
