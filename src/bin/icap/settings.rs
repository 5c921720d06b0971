//! The options that `scan` and `options` share, and how sizes and times are written.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use icap_client::tls::TlsConnector;
use icap_client::{ClientBuilder, ScannerBuilder};

/// What a service is, for `--help`.
pub(crate) const SERVICE: &str =
    "The service: icap[s]://HOST[:PORT]/SERVICE[?ARGUMENTS], port 1344 (icaps: 11344)";

/// How to talk to the service.
#[derive(Debug, Args)]
#[command(next_help_heading = "Connection")]
pub(crate) struct Settings {
    /// How long looking up and connecting may take
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = time)]
    connect_timeout: Duration,

    /// How long the service may say nothing
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = time)]
    read_timeout: Duration,

    /// How long it may say nothing of a file [default: the read timeout]
    #[arg(long, value_name = "TIME", value_parser = time)]
    response_timeout: Option<Duration>,

    /// How long the service may take no bytes
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = time)]
    write_timeout: Duration,

    /// How long each request may take in all, or 'none'
    #[arg(long, value_name = "TIME", default_value = "300s", value_parser = bound(time))]
    deadline: Bound<Duration>,

    /// A header field to send with each request; may be repeated
    #[arg(long = "header", value_name = "NAME: VALUE", value_parser = header)]
    headers: Vec<(String, String)>,

    /// Who to be if it asks; the password is in ICAP_PASSWORD
    #[arg(long, value_name = "NAME")]
    user: Option<String>,

    /// For icaps: trust these certificates (PEM), not the system's
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,

    /// For icaps: the client certificate (PEM)
    #[arg(long, value_name = "FILE", requires = "client_key")]
    client_cert: Option<PathBuf>,

    /// For icaps: the key of the client certificate (PEM)
    #[arg(long, value_name = "FILE", requires = "client_cert")]
    client_key: Option<PathBuf>,
}

/// Both builders have these, and no trait in common.
macro_rules! with_settings {
    ($settings:expr, $builder:expr) => {{
        let (settings, mut builder): (&Settings, _) = ($settings, $builder);
        if let Some(connector) = settings.connector()? {
            builder = builder.connector(connector);
        }
        for (name, value) in &settings.headers {
            builder = builder.header(name, value);
        }
        if let Some(timeout) = settings.response_timeout {
            builder = builder.response_timeout(timeout);
        }
        if let Some((user, password)) = settings.credentials()? {
            builder = builder.credentials(user, &password);
        }
        builder
            .connect_timeout(settings.connect_timeout)
            .read_timeout(settings.read_timeout)
            .write_timeout(settings.write_timeout)
            .deadline(settings.deadline.0)
    }};
}

impl Settings {
    pub(crate) fn of_scanner(
        &self,
        builder: ScannerBuilder,
    ) -> Result<ScannerBuilder, Box<dyn Error>> {
        Ok(with_settings!(self, builder))
    }

    pub(crate) fn of_client(
        &self,
        builder: ClientBuilder,
    ) -> Result<ClientBuilder, Box<dyn Error>> {
        Ok(with_settings!(self, builder))
    }

    /// Not from the command line, which everybody on the machine can read.
    fn credentials(&self) -> Result<Option<(&str, String)>, Box<dyn Error>> {
        let Some(user) = &self.user else {
            return Ok(None);
        };
        let password = std::env::var("ICAP_PASSWORD")
            .map_err(|_| "--user needs the password in the variable ICAP_PASSWORD")?;
        Ok(Some((user, password)))
    }

    /// `None` where nothing is asked of it: the library has its own for `icaps`.
    fn connector(&self) -> Result<Option<TlsConnector>, Box<dyn Error>> {
        if self.ca_file.is_none() && self.client_cert.is_none() {
            return Ok(None);
        }
        let mut builder = TlsConnector::builder();
        if let Some(path) = &self.ca_file {
            builder = builder
                .roots_pem(&read(path)?)
                .map_err(|error| format!("{}: {error}", path.display()))?;
        }
        if let (Some(certificate), Some(key)) = (&self.client_cert, &self.client_key) {
            builder = builder.client_certificate_pem(&read(certificate)?, &read(key)?)?;
        }
        Ok(Some(builder.build()?))
    }
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    fs::read(path).map_err(|error| format!("cannot read {}: {error}", path.display()))
}

/// What is bounded, or `none`. A type of its own, because clap reads an `Option` as "may be left out".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bound<T>(pub(crate) Option<T>);

/// Reads what `read` reads, or `none`.
pub(crate) fn bound<T>(
    read: fn(&str) -> Result<T, String>,
) -> impl Fn(&str) -> Result<Bound<T>, String> + Clone {
    move |text| match text {
        "none" => Ok(Bound(None)),
        text => read(text).map(Some).map(Bound),
    }
}

/// `100MiB`, `5 GB`, `4096`: bytes, K, M, G and T being powers of 1024 unless a plain `B` follows.
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
    quantity(text, UNITS, "a size such as 4096, 500KiB, 100MiB or 2GiB")
}

/// `500ms`, `10s`, `5m`, `1h`; a number alone is milliseconds.
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
        milliseconds => Ok(Duration::from_millis(milliseconds)),
    }
}

/// Digits, perhaps a space, and one of the units, in any case.
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

/// The rest is checked where it is sent.
fn header(text: &str) -> Result<(String, String), String> {
    let (name, value) = text
        .split_once(':')
        .ok_or("not of the form 'Name: value'")?;
    Ok((name.to_owned(), value.trim().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_binary_and_decimal_units() {
        for (text, bytes) in [
            ("0", 0),
            ("4096", 4096),
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
    fn times_are_milliseconds_unless_they_say_otherwise() {
        for (text, milliseconds) in [
            ("500", 500),
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
        for text in ["", "s", "0", "0s", "-1s", "1.5s", "10 parsecs"] {
            assert!(time(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_may_be_unbounded_takes_none() {
        assert_eq!(bound(size)("none"), Ok(Bound(None)));
        assert_eq!(bound(size)("1k"), Ok(Bound(Some(1024))));
        assert!(bound(size)("nothing").is_err());
    }

    #[test]
    fn a_header_has_a_colon() {
        let pair = |name: &str, value: &str| Ok((name.to_owned(), value.to_owned()));
        assert_eq!(header("X-Key: a:b "), pair("X-Key", "a:b"));
        assert_eq!(header("X-Empty:"), pair("X-Empty", ""));
        assert!(header("X-Key").is_err());
    }
}
