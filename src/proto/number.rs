//! Numbers of the protocol: ASCII digits and nothing else.
//!
//! `str::parse` accepts a sign (`+5`), which two parsers of one message may read differently.

/// A decimal number; `None` without digits, with any other character, or above 64 bits.
pub(crate) fn decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0u64, |value, &byte| {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
        value.checked_mul(10)?.checked_add(digit)
    })
}

/// A decimal number; `u64::MAX` above 64 bits. For values that only advise, such as
/// `Max-Connections: 999999999999999999999`.
pub(crate) fn saturating_decimal(digits: &[u8]) -> Option<u64> {
    let all_digits = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    all_digits.then(|| decimal(digits).unwrap_or(u64::MAX))
}

/// Appends a decimal number. `write!` would do the same, and take longer than the rest of a small head together.
pub(crate) fn encode_decimal(out: &mut Vec<u8>, number: u64) {
    let mut digits = [0; 20];
    let mut begin = digits.len();
    let mut left = number;
    loop {
        begin -= 1;
        // Less than 10.
        digits[begin] = b'0' + (left % 10) as u8;
        left /= 10;
        if left == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[begin..]);
}

/// The value of one hexadecimal digit.
pub(crate) const fn hex_digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn number_is_encoded_as_it_is_read() {
        for number in [0, 1, 9, 10, 99, 100, 1_234_567_890, u64::MAX] {
            let mut out = b"x".to_vec();
            encode_decimal(&mut out, number);
            assert_eq!(out, format!("x{number}").into_bytes());
            assert_eq!(decimal(&out[1..]), Some(number));
        }
    }

    #[test]
    fn only_digits_are_a_number() {
        for (text, value) in [
            ("0", Some(0)),
            ("007", Some(7)),
            ("18446744073709551615", Some(u64::MAX)),
            ("18446744073709551616", None),
            ("", None),
            ("+5", None),
            ("-5", None),
            (" 5", None),
            ("5 ", None),
            ("0x10", None),
            ("\u{0665}", None),
        ] {
            assert_eq!(decimal(text.as_bytes()), value, "{text:?}");
        }
    }

    #[test]
    fn advisory_number_saturates() {
        assert_eq!(saturating_decimal(b"99999999999999999999"), Some(u64::MAX));
        assert_eq!(saturating_decimal(b"-1"), None);
        assert_eq!(saturating_decimal(b""), None);
    }

    #[test]
    fn hex_digits_are_ascii() {
        let accepted = (0..=255u8).filter(|&b| hex_digit(b).is_some()).count();
        assert_eq!(accepted, 22);
        assert_eq!(hex_digit(b'f'), Some(15));
        assert_eq!(hex_digit(b'A'), Some(10));
    }
}
