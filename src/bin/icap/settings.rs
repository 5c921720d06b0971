//! The options that `scan` and `options` share, and the syntax of sizes and times.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use icap_client::tls::TlsConnector;
use icap_client::{ClientBuilder, ScannerBuilder};

/// The help of the argument URI.
pub(crate) const SERVICE: &str =
    "Service: icap[s]://HOST[:PORT]/SERVICE[?ARGUMENTS]; default port 1344, icaps 11344";

/// The options of the connection.
#[derive(Debug, Args)]
#[command(next_help_heading = "Connection")]
pub(crate) struct Settings {
    /// Time limit for looking up the host and connecting
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = time)]
    connect_timeout: Duration,

    /// Time limit for each wait for bytes from the service
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = time)]
    read_timeout: Duration,

    /// Time limit from file sent to response [default: the read timeout]
    #[arg(long, value_name = "TIME", value_parser = time)]
    response_timeout: Option<Duration>,

    /// Time limit for each wait while a request is sent
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = time)]
    write_timeout: Duration,

    /// Total time limit for one file or OPTIONS, or 'none'
    #[arg(long, value_name = "TIME", default_value = "300s", value_parser = bound(time))]
    deadline: Bound<Duration>,

    /// Header field to send with each request; can be repeated
    #[arg(long = "header", value_name = "NAME: VALUE", value_parser = header)]
    headers: Vec<(String, String)>,

    /// User, sent if the service asks; set ICAP_PASSWORD to the password
    #[arg(long, value_name = "NAME")]
    user: Option<String>,

    /// For icaps: trust these certificates (PEM), not the system's
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,

    /// For icaps: client certificate (PEM)
    #[arg(long, value_name = "FILE", requires = "client_key")]
    client_cert: Option<PathBuf>,

    /// For icaps: key of the client certificate (PEM)
    #[arg(long, value_name = "FILE", requires = "client_cert")]
    client_key: Option<PathBuf>,
}

/// Both builders have these setters, but no common trait.
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

    /// The password is no option: every user of the machine can read command lines.
    fn credentials(&self) -> Result<Option<(&str, String)>, Box<dyn Error>> {
        let Some(user) = &self.user else {
            return Ok(None);
        };
        let password = std::env::var("ICAP_PASSWORD")
            .map_err(|_| "--user needs the password in the environment variable ICAP_PASSWORD")?;
        Ok(Some((user, password)))
    }

    /// `None` without TLS options: the library has a connector for `icaps`.
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

/// Parses a size in bytes: `100MiB`, `5 GB`, `4096`. K, M, G and T are powers of 1024 unless a plain `B` follows.
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

/// Parses a time: `500ms`, `10s`, `5m`, `1h`. A number without a unit is in milliseconds.
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

/// Splits a header field. The builder checks its name and value.
fn header(text: &str) -> Result<(String, String), String> {
    let (name, value) = text
        .split_once(':')
        .ok_or("not of the form 'Name: value'")?;
    Ok((name.to_owned(), value.trim().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;
    use icap_client::limits;

    #[test]
    fn defaults_are_those_of_the_library() {
        let connection = Connection::parse_from(["icap"]).settings;
        assert_eq!(connection.connect_timeout, limits::DEFAULT_TIMEOUT);
        assert_eq!(connection.read_timeout, limits::DEFAULT_TIMEOUT);
        assert_eq!(connection.write_timeout, limits::DEFAULT_TIMEOUT);
        assert_eq!(connection.deadline.0, Some(limits::DEFAULT_DEADLINE));
        assert_eq!(size("100MiB"), Ok(limits::DEFAULT_MAX_SIZE));
    }

    #[derive(clap::Parser)]
    struct Connection {
        #[command(flatten)]
        settings: Settings,
    }

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
    fn time_without_a_unit_is_milliseconds() {
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
    fn bound_may_be_none() {
        assert_eq!(bound(size)("none"), Ok(Bound(None)));
        assert_eq!(bound(size)("1k"), Ok(Bound(Some(1024))));
        assert!(bound(size)("nothing").is_err());
    }

    #[test]
    fn header_needs_a_colon() {
        let pair = |name: &str, value: &str| Ok((name.to_owned(), value.to_owned()));
        assert_eq!(header("X-Key: a:b "), pair("X-Key", "a:b"));
        assert_eq!(header("X-Empty:"), pair("X-Empty", ""));
        assert!(header("X-Key").is_err());
    }
}
