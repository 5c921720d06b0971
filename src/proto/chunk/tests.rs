use super::*;
use crate::proto::splits::each_split;

/// The data, and the number of bytes after the end or the violation; `None` without an end.
type Outcome = (Vec<u8>, Result<Option<usize>, Violation>);

fn decode_with(limit: u64, pieces: &[&[u8]]) -> Outcome {
    let mut decoder = ChunkDecoder::new(limit);
    let mut data = Vec::new();
    let mut left: usize = pieces.iter().map(|p| p.len()).sum();
    for piece in pieces {
        let mut piece = *piece;
        loop {
            let (used, decoded) = match decoder.decode(piece) {
                Ok(step) => step,
                Err(violation) => return (data, Err(violation)),
            };
            left -= used;
            piece = &piece[used..];
            match decoded {
                Decoded::Data(bytes) => data.extend_from_slice(bytes),
                Decoded::NeedsMore => break,
                Decoded::End => return (data, Ok(Some(left))),
            }
        }
    }
    (data, Ok(None))
}

/// Decodes `input` at every split; all must agree.
fn decode(input: &[u8]) -> Outcome {
    let whole = decode_with(u64::MAX, &[input]);
    each_split(input, |pieces| {
        assert_eq!(decode_with(u64::MAX, pieces), whole, "{pieces:?}");
    });
    whole
}

#[test]
fn well_formed_body_is_decoded_to_its_end() {
    for (input, data, left) in [
        ("0\r\n\r\n", "", 0),
        ("5\r\nhello\r\n0\r\n\r\n", "hello", 0),
        ("2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\nNEXT", "hello", 4),
        (
            "A\r\n0123456789\r\na\r\n0123456789\r\n000\r\n\r\n",
            "01234567890123456789",
            0,
        ),
        ("0000000000000005\r\nhello\r\n0\r\n\r\n", "hello", 0),
        ("5 \t\r\nhello\r\n0 \r\n\r\n", "hello", 0),
        ("5\r\nhello\r\n0; ieof\r\n\r\n", "hello", 0),
        (
            "5 ; a = b ;c=\"d;\\\" e\"\r\nhello\r\n0\r\n\r\n",
            "hello",
            0,
        ),
        ("5\r\n\r\n0\r\n\r\n0\r\n\r\n", "\r\n0\r\n", 0),
        ("0\r\nX-Foo: 1\r\nY:\r\n\t2\r\n\r\nrest", "", 4),
    ] {
        let expected = (data.as_bytes().to_vec(), Ok(Some(left)));
        assert_eq!(decode(input.as_bytes()), expected, "{input:?}");
    }
}

#[test]
fn body_that_stops_early_has_no_end() {
    let input = b"2;x=\"y\"\r\nhe\r\n3\r\nllo\r\n0\r\nX: y\r\n\r\n";
    for len in 0..input.len() {
        assert_eq!(decode_with(u64::MAX, &[&input[..len]]).1, Ok(None), "{len}");
    }
    assert_eq!(decode(input), (b"hello".to_vec(), Ok(Some(0))));
}

#[test]
fn malformed_body_is_refused_with_its_violation() {
    use Violation::*;
    for (input, violation) in [
        ("00000000000000005\r\nhello\r\n", ChunkSize),
        ("10000000000000000\r\nhello\r\n", ChunkSize),
        ("+5\r\nhello\r\n", ChunkSize),
        ("-5\r\nhello\r\n", ChunkSize),
        ("0x5\r\nhello\r\n", ChunkSize),
        (" 5\r\nhello\r\n", ChunkSize),
        ("\r\nhello\r\n", ChunkSize),
        (";x\r\n", ChunkSize),
        ("G\r\n", ChunkSize),
        ("5 5\r\nhello\r\n", ChunkSize),
        ("5_0\r\nhello\r\n", ChunkSize),
        ("hello world", ChunkSize),
        ("5\nhello\r\n", BareLf),
        ("5;x\nhello\r\n", BareLf),
        ("5\rhello\r\n", ChunkLine),
        ("5\r\r\nhello\r\n", ChunkLine),
        ("5\rXhello\r\n", ChunkLine),
        ("5;a=\"\r\n0\r\n\r\n\"\r\n", ChunkExtension),
        ("5;a=\"x\r\nhello\r\n", ChunkExtension),
        ("5;a=\"x\\\"\r\nhello\r\n", ChunkExtension),
        ("5;\r\nhello\r\n", ChunkExtension),
        ("5;a=\r\nhello\r\n", ChunkExtension),
        ("5;;a\r\nhello\r\n", ChunkExtension),
        ("5;x\0\r\nhello\r\n", ChunkExtension),
        ("5;a=\"\0\"\r\nhello\r\n", ChunkExtension),
        ("5\r\nhello\n0\r\n\r\n", ChunkTerminator),
        ("5\r\nhello0\r\n\r\n", ChunkTerminator),
        ("5\r\nhello!!\r\n", ChunkTerminator),
        ("7\r\nhello\r\n0\r\n\r\n", ChunkTerminator),
        ("0\r\nnocolon\r\n\r\n", BadTrailer),
        ("0\r\n X: y\r\n\r\n", BadTrailer),
        ("0\r\nX: a\rb\r\n\r\n", BadTrailer),
        ("0\r\nX: a\n\r\n", BareLf),
        ("0\r\n\n", BareLf),
    ] {
        assert_eq!(decode(input.as_bytes()).1, Err(violation), "{input:?}");
    }
}

#[test]
fn use_original_body_is_read_on_the_last_chunk_only() {
    let offset_of = |input: &[u8]| {
        let mut decoder = ChunkDecoder::new(u64::MAX);
        decoder.decode(input).map(|_| decoder.use_original_body())
    };
    assert_eq!(offset_of(b"0; use-original-body=6\r\n\r\n"), Ok(Some(6)));
    assert_eq!(offset_of(b"0;Use-Original-Body = 0\r\n\r\n"), Ok(Some(0)));
    assert_eq!(offset_of(b"0\r\n\r\n"), Ok(None));
    for bad in [
        "0; use-original-body=-1\r\n\r\n",
        "0; use-original-body=+1\r\n\r\n",
        "0; use-original-body=\"1\"\r\n\r\n",
        "0; use-original-body=99999999999999999999\r\n\r\n",
        "0; use-original-body=1; use-original-body=2\r\n\r\n",
        "0; use-original-body\r\n\r\n",
        "5; use-original-body=1\r\nhello\r\n",
    ] {
        let outcome = decode(bad.as_bytes()).1;
        assert_eq!(outcome, Err(Violation::BadUseOriginalBody), "{bad}");
    }
}

#[test]
fn ieof_is_read_on_the_last_chunk_only() {
    for (input, expected) in [
        ("0; ieof\r\n\r\n", true),
        ("0;IEOF\r\n\r\n", true),
        ("5\r\nhello\r\n0 ; a=b ; ieof\r\n\r\n", true),
        ("5; ieof\r\nhello\r\n0\r\n\r\n", false),
        ("0; ieof=1\r\n\r\n", false),
        ("0; ieofx\r\n\r\n", false),
        ("0; a=ieof\r\n\r\n", false),
        ("0; ieof", false),
    ] {
        let mut decoder = ChunkDecoder::new(5);
        let mut rest = input.as_bytes();
        while !rest.is_empty() {
            let (used, _) = decoder.decode(rest).unwrap();
            rest = &rest[used..];
        }
        assert_eq!(decoder.has_ieof(), expected, "{input:?}");
    }
}

#[test]
fn trailers_are_kept_apart_from_the_head() {
    let mut decoder = ChunkDecoder::new(0);
    let (_, decoded) = decoder.decode(b"0\r\nA: b\r\nC: d\r\n\r\n").unwrap();
    assert_eq!(decoded, Decoded::End);
    assert_eq!(&*decoder.into_trailers(), b"A: b\r\nC: d\r\n");
}

#[test]
fn body_may_be_as_long_as_its_limit() {
    for (limit, expected) in [
        (4, Err(Violation::LimitExceeded(Limit::ResponseBody))),
        (5, Ok(Some(0))),
        (6, Ok(Some(0))),
    ] {
        let input = b"3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n";
        assert_eq!(decode_with(limit, &[input]).1, expected, "{limit}");
    }
}

#[test]
fn chunk_of_four_gibibytes_is_no_last_chunk() {
    let (data, end) = decode(b"100000000\r\n\r\nICAP/1.0 204 OK\r\n\r\n");
    assert_eq!((data.len(), end), (21, Ok(None)));
    let max = decode_with(u64::MAX, &[b"ffffffffffffffff\r\nx"]);
    assert_eq!(max, (b"x".to_vec(), Ok(None)));
}

#[test]
fn lines_and_trailers_may_be_as_long_as_their_limits() {
    let over = |limit| Err(Violation::LimitExceeded(limit));
    for excess in [-1isize, 0, 1] {
        let len = |limit: usize, around: usize| (limit - around).wrapping_add_signed(excess);
        let line = format!("0;{}\r\n\r\n", "x".repeat(len(MAX_CHUNK_LINE, 3)));
        let expected = if excess > 0 {
            over(Limit::ChunkLine)
        } else {
            Ok(Some(0))
        };
        assert_eq!(
            decode_with(0, &[line.as_bytes()]).1,
            expected,
            "line {excess}"
        );

        let chunk = format!("1;{}\r\nA\r\n", "x".repeat(1023));
        let last = format!("1;{}\r\nA\r\n0\r\n\r\n", "x".repeat(len(1024, 1)));
        let body = chunk.repeat(15) + &last;
        let expected = if excess > 0 {
            over(Limit::ChunkExtensions)
        } else {
            Ok(Some(0))
        };
        assert_eq!(
            decode_with(99, &[body.as_bytes()]).1,
            expected,
            "extensions {excess}"
        );

        let body = format!("0\r\nX: {}\r\n\r\n", "y".repeat(len(MAX_TRAILERS, 7)));
        let expected = if excess > 0 {
            over(Limit::Trailers)
        } else {
            Ok(Some(0))
        };
        for cut in [0, 3, MAX_TRAILERS / 2, MAX_TRAILERS] {
            let (first, second) = body.as_bytes().split_at(cut);
            assert_eq!(
                decode_with(0, &[first, second]).1,
                expected,
                "trailers {excess} cut at {cut}"
            );
        }
    }
}

#[test]
fn padding_after_sizes_is_no_extension() {
    for padding in [" ", "\t", &" ".repeat(MAX_CHUNK_LINE - 2)] {
        let count = MAX_CHUNK_EXTENSIONS / padding.len() + 1;
        let body = format!("5{padding}\r\nhello\r\n").repeat(count) + "0\r\n\r\n";
        let (data, end) = decode_with(u64::MAX, &[body.as_bytes()]);
        assert_eq!((data.len(), end), (5 * count, Ok(Some(0))));
    }
    // Also around extensions, which do count.
    for (extensions, expected) in [
        (16, Ok(Some(0))),
        (17, Err(Violation::LimitExceeded(Limit::ChunkExtensions))),
    ] {
        let extension = format!("1 \t;{} \t\r\nA\r\n", "x".repeat(1023));
        let body = extension.repeat(extensions) + "0\r\n\r\n";
        assert_eq!(decode_with(99, &[body.as_bytes()]).1, expected);
    }
}

#[test]
fn encoded_body_is_decoded_the_same() {
    for pieces in [
        &[][..],
        &[&b""[..]],
        &[b"hello"],
        &[b"a", b"", b"\r\n0\r\n\r\n", b"", b"b"],
        &[&[b'x'; 70_000]],
    ] {
        let mut encoded = Vec::new();
        for piece in pieces {
            encode_chunk(&mut encoded, piece);
        }
        assert_eq!(
            decode_with(u64::MAX, &[&encoded]),
            (pieces.concat(), Ok(None))
        );
        encoded.extend_from_slice(LAST_CHUNK);
        assert_eq!(
            decode_with(u64::MAX, &[&encoded]),
            (pieces.concat(), Ok(Some(0)))
        );
    }
}

#[test]
fn small_chunks_are_gathered_up_to_the_limits() {
    let chunk = |len: usize| {
        let mut out = Vec::new();
        encode_chunk(&mut out, &vec![b'x'; len]);
        out
    };
    let small = usize::from(u8::MAX);
    for (len, taken) in [(1, true), (small, true), (small + 1, false)] {
        let (input, mut gathered) = (chunk(len), Vec::new());
        let used = ChunkDecoder::new(u64::MAX).take_small_chunks(&input, &mut gathered);
        assert_eq!(used, if taken { input.len() } else { 0 }, "{len}");
        assert_eq!(gathered.len(), if taken { len } else { 0 }, "{len}");
    }
    let (input, mut gathered) = (chunk(1).repeat(GATHERED + 1), Vec::new());
    let used = ChunkDecoder::new(u64::MAX).take_small_chunks(&input, &mut gathered);
    assert_eq!((used, gathered.len()), (input.len() - 6, GATHERED));
    for (limit, len) in [(0, 0), (9, 9), (11, 11)] {
        let mut gathered = Vec::new();
        let used = ChunkDecoder::new(limit).take_small_chunks(&input, &mut gathered);
        assert_eq!((used, gathered.len()), (6 * len, len), "{limit}");
    }
}

#[test]
fn only_whole_and_plain_chunks_are_gathered() {
    for rest in [
        "",
        "1",
        "1\r",
        "1\r\n",
        "1\r\nx",
        "1\r\nx\r",
        "0\r\n\r\n",
        "1;a\r\nx\r\n",
        "1 \r\nx\r\n",
        "\r\n",
        "g\r\nx\r\n",
        "1\nx\r\n",
        "1\r\nxy\r\n",
        "00000000000000001\r\nx\r\n",
    ] {
        let input = format!("2\r\nab\r\n{rest}");
        let (mut decoder, mut gathered) = (ChunkDecoder::new(u64::MAX), Vec::new());
        assert_eq!(
            decoder.take_small_chunks(input.as_bytes(), &mut gathered),
            7,
            "{rest:?}"
        );
        assert_eq!(gathered, b"ab", "{rest:?}");
        // The rest means the same as without them.
        let mut whole = ChunkDecoder::new(u64::MAX);
        let expected = whole.decode(rest.as_bytes());
        assert_eq!(decoder.decode(rest.as_bytes()), expected, "{rest:?}");
    }
}

#[test]
fn gathering_goes_on_after_the_data_of_another_chunk() {
    let (mut decoder, mut gathered) = (ChunkDecoder::new(u64::MAX), Vec::new());
    assert_eq!(decoder.decode(b"2\r\na"), Ok((4, Decoded::Data(b"a"))));
    assert_eq!(decoder.take_small_chunks(b"b\r\n", &mut gathered), 0);
    assert_eq!(decoder.decode(b"b"), Ok((1, Decoded::Data(b"b"))));
    assert_eq!(
        decoder.take_small_chunks(b"\r\n1\r\nc\r\n", &mut gathered),
        8
    );
    assert_eq!(gathered, b"c");
}
