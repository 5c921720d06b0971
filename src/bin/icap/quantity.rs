//! The syntax of sizes and times.

use std::time::Duration;

/// A limit, or `none`. A type of its own, because clap takes an `Option` for an argument that may be absent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bound<T>(pub(crate) Option<T>);

/// Parses a limit with `read`, or `none`.
pub(crate) fn bound<T>(
    read: fn(&str) -> Result<T, String>,
) -> impl Fn(&str) -> Result<Bound<T>, String> + Clone {
    move |text| match text {
        "none" => Ok(Bound(None)),
        text => read(text).map(Some).map(Bound),
    }
}

/// Parses a size: `100MiB`, `5 GB`, `4096B`. K, M, G and T are powers of 1024 unless a plain `B` follows. A number needs
/// a unit: `25` may be meant as MiB.
pub(crate) fn size(text: &str) -> Result<u64, String> {
    const UNITS: &[(&str, u64)] = &[
        ("", 1),
        ("b", 1),
        ("k", 1 << 10),
        ("kib", 1 << 10),
        ("kb", 1_000),
        ("m", 1 << 20),
        ("mib", 1 << 20),
        ("mb", 1_000_000),
        ("g", 1 << 30),
        ("gib", 1 << 30),
        ("gb", 1_000_000_000),
        ("t", 1 << 40),
        ("tib", 1 << 40),
        ("tb", 1_000_000_000_000),
    ];
    match quantity(text, UNITS, "a size such as 500KiB, 100MiB, 2GiB or 4096B")? {
        0 => Ok(0),
        _ if is_bare_number(text) => Err(format!(
            "it has no unit: write {text}MiB, or {text}B for bytes"
        )),
        bytes => Ok(bytes),
    }
}

fn is_bare_number(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Shows a size as [`size`] reads it. It is never more, and at least nine tenths.
pub(crate) fn rounded_down(bytes: u64) -> String {
    let units = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    match units.iter().find(|(unit, _)| bytes >= 10 * unit) {
        Some((unit, name)) => format!("{}{name}", bytes / unit),
        None => format!("{bytes}B"),
    }
}

/// Parses a time: `500ms`, `10s`, `5m`, `1h`. A number needs a unit: `3` may be meant as seconds.
pub(crate) fn time(text: &str) -> Result<Duration, String> {
    const UNITS: &[(&str, u64)] = &[
        ("", 1),
        ("ms", 1),
        ("s", 1_000),
        ("m", 60_000),
        ("min", 60_000),
        ("h", 3_600_000),
    ];
    match quantity(text, UNITS, "a time such as 500ms, 10s or 5m")? {
        0 => Err("it must be longer than zero".to_owned()),
        _ if is_bare_number(text) => Err(format!(
            "it has no unit: write {text}s for seconds or {text}ms for milliseconds"
        )),
        milliseconds => Ok(Duration::from_millis(milliseconds)),
    }
}

/// Parses a number of scans at once. Each is a thread.
pub(crate) fn jobs(text: &str) -> Result<usize, String> {
    const MAX: usize = 256;
    let number = text.parse().ok();
    let number = number.filter(|number| (1..=MAX).contains(number));
    number.ok_or_else(|| format!("not a number from 1 to {MAX}"))
}

/// Parses digits, an optional space, and a unit without regard to case.
fn quantity(text: &str, units: &[(&str, u64)], expected: &str) -> Result<u64, String> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let unit = unit.trim_start().to_ascii_lowercase();
    let unit = units.iter().find(|(name, _)| *name == unit);
    let (false, Some((_, factor))) = (number.is_empty(), unit) else {
        return Err(format!("not {expected}"));
    };
    let number = number.parse::<u64>().ok();
    number
        .and_then(|number| number.checked_mul(*factor))
        .ok_or_else(|| "it is too large".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_binary_and_decimal_units() {
        for (text, bytes) in [
            ("0", 0),
            ("4096B", 4096),
            ("100MiB", 104_857_600),
            ("100 mib", 104_857_600),
            ("5M", 5_242_880),
            ("5MB", 5_000_000),
            ("1k", 1024),
            ("2GiB", 1 << 31),
            ("1TB", 1_000_000_000_000),
        ] {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        for text in [
            "",
            "MiB",
            "-1",
            "+1",
            "1.5G",
            "25",
            "1 2",
            "1MiBs",
            "x",
            "18446744073709551616",
        ] {
            assert!(size(text).is_err(), "{text}");
        }
        assert!(size("99999999TiB").unwrap_err().contains("too large"));
    }

    #[test]
    fn size_is_rounded_down_to_a_size() {
        for (bytes, shown) in [
            (9_000, "9000B"),
            (300_000, "292KiB"),
            (26_214_400, "25MiB"),
            (26_214_399, "24MiB"),
            (1 << 30, "1024MiB"),
            (1 << 40, "1024GiB"),
        ] {
            assert_eq!(rounded_down(bytes), shown);
            assert!(size(shown).unwrap() <= bytes);
        }
    }

    #[test]
    fn time_needs_a_unit() {
        for (text, milliseconds) in [
            ("500ms", 500),
            ("10s", 10_000),
            ("5m", 300_000),
            ("1h", 3_600_000),
        ] {
            assert_eq!(
                time(text),
                Ok(Duration::from_millis(milliseconds)),
                "{text}"
            );
        }
        assert!(time("3").unwrap_err().contains("3s"));
        for text in ["", "s", "3", "0", "0s", "-1s", "1.5s", "10 parsecs"] {
            assert!(time(text).is_err(), "{text}");
        }
    }

    #[test]
    fn jobs_are_bounded() {
        assert_eq!((jobs("1"), jobs("256")), (Ok(1), Ok(256)));
        for text in ["", "0", "257", "-1", "many"] {
            assert!(jobs(text).is_err(), "{text}");
        }
    }

    #[test]
    fn bound_may_be_none() {
        assert_eq!(bound(size)("none"), Ok(Bound(None)));
        assert_eq!(bound(size)("1k"), Ok(Bound(Some(1024))));
        assert!(bound(size)("nothing").is_err());
    }
}
