//! The options of the connection, which most commands have.

use std::cell::OnceCell;
use std::env::VarError;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{env, fmt, fs};

use clap::Args;
use icap_client::tls::TlsConnector;
use icap_client::{Client, ClientBuilder, Endpoint, ScannerBuilder};

use log::Level;

use crate::mask;
use crate::quantity::{Bound, bound, time};
use crate::text;
use crate::trace::{self, TARGET, Tracer};

/// The options of the connection.
#[derive(Debug, Args)]
#[command(next_help_heading = "Connection")]
pub(crate) struct Settings {
    // No documentation comment: rustdoc would take the brackets for links.
    #[arg(
        long,
        value_name = "URI",
        help = "Service, if no URI is given: icap[s]://HOST[:PORT]/SERVICE"
    )]
    service: Option<String>,

    /// Connect to this address; the URI stays the name of the service
    #[arg(long, value_name = "HOST:PORT")]
    connect_to: Option<String>,

    /// Time limit for looking up the host and connecting
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = time)]
    connect_timeout: Duration,

    /// Time limit for each wait for bytes of the service
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
    #[arg(long = "header", id = "header", value_name = "NAME: VALUE", value_parser = header)]
    headers: Vec<(String, String)>,

    /// User, sent to services that ask; the password is ICAP_PASSWORD
    #[arg(long, value_name = "NAME")]
    user: Option<String>,

    /// A password here is an error that tells where to set it.
    #[arg(long = "password", hide = true, value_parser = forget)]
    password_here: Option<String>,

    /// For icaps: trust these certificates (PEM), not the system's
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,

    /// For icaps: client certificate (PEM)
    #[arg(long, value_name = "FILE", requires = "client_key")]
    client_cert: Option<PathBuf>,

    /// For icaps: key of the client certificate (PEM)
    #[arg(long, value_name = "FILE", requires = "client_cert")]
    client_key: Option<PathBuf>,

    /// Write heads sent and received to this new file; - is standard error
    ///
    /// It does not overwrite a file. Each line has the seconds since the start, the number of the
    /// connection, > for sent, < for received or * for an event, and the text. There are no
    /// bodies. Credentials, people and the arguments of URIs are replaced by '[n bytes]'. Lines
    /// of several connections are mixed; the number tells them apart.
    #[arg(long, value_name = "FILE", verbatim_doc_comment)]
    trace: Option<PathBuf>,

    /// The password in the configuration file.
    #[arg(skip)]
    password: Password,

    /// Made once: it creates the file of `--trace`.
    #[arg(skip)]
    tracer: OnceCell<Tracer>,
}

/// It is never shown.
#[derive(Clone, Default)]
struct Password(Option<String>);

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password")
    }
}

/// How the argument URI is described in help.
pub(crate) const URI_HELP: &str =
    "Service: icap[s]://HOST[:PORT]/SERVICE[?ARGUMENTS]; default port 1344, icaps 11344";

/// The error without a service.
const NO_SERVICE: &str =
    "no service is given: name it as icap://HOST/SERVICE, with --service or in ICAP_URI";

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

    pub(crate) fn deadline(&self) -> Option<Duration> {
        self.deadline.0
    }

    /// Sets the password for a user; the environment takes precedence.
    pub(crate) fn set_password(&mut self, password: Option<String>) {
        self.password = Password(password);
    }

    /// The service for this URI, or else the one of `--service`.
    pub(crate) fn endpoint(&self, uri: Option<&str>) -> Result<Endpoint, Box<dyn Error>> {
        let uri = uri.or(self.service.as_deref()).ok_or(NO_SERVICE)?;
        let endpoint = self.other_endpoint(uri)?;
        Ok(match &self.connect_to {
            Some(address) => endpoint.connect_to(address),
            None => endpoint,
        })
    }

    /// A further service. The credentials are for all services that the user names.
    pub(crate) fn other_endpoint(&self, uri: &str) -> Result<Endpoint, Box<dyn Error>> {
        let named = |error: &str| format!("'{}': {error}", mask::without_arguments(uri));
        if uri.to_ascii_lowercase().contains(",icap") {
            return Err(
                named("it names several services: give each but the first as --endpoint").into(),
            );
        }
        let endpoint = Endpoint::new(uri).map_err(|error| named(&text::chain(&error)))?;
        Ok(match self.credentials()? {
            Some((user, password)) => endpoint.credentials(user, password),
            None => endpoint,
        })
    }

    /// A client for the first service, and for each of `others`.
    pub(crate) fn clients(
        &self,
        first: Endpoint,
        others: &[String],
    ) -> Result<Vec<Client>, Box<dyn Error>> {
        let others = others.iter().map(|uri| self.other_endpoint(uri));
        let endpoints = std::iter::once(Ok(first)).chain(others);
        endpoints
            .map(|endpoint| Ok(self.of_client(Client::builder(endpoint?))?.build()?))
            .collect()
    }

    /// Whether there is a service without an argument.
    pub(crate) fn has_service(&self) -> bool {
        self.service.is_some()
    }

    fn credentials(&self) -> Result<Option<(&str, String)>, Box<dyn Error>> {
        if self.password_here.is_some() {
            return Err(
                "every user of this machine can read command lines: set the password in \
                 the environment variable ICAP_PASSWORD or in the configuration file"
                    .into(),
            );
        }
        let password = match env::var("ICAP_PASSWORD") {
            Ok(password) => Some(password),
            Err(VarError::NotPresent) => self.password.0.clone(),
            Err(VarError::NotUnicode(_)) => return Err("ICAP_PASSWORD is not UTF-8".into()),
        };
        match (&self.user, password) {
            (Some(user), Some(password)) => Ok(Some((user, password))),
            (None, None) => Ok(None),
            (Some(_), None) => Err(
                "--user needs the password in the environment variable ICAP_PASSWORD \
                 or in the configuration file"
                    .into(),
            ),
            (None, Some(_)) => Err("a password is set, but no user: set --user or ICAP_USER, \
                 or leave the password out"
                .into()),
        }
    }

    /// `None` if the connections of the library are enough.
    fn connector(&self) -> Result<Option<Tracer>, Box<dyn Error>> {
        let is_tls_default = self.ca_file.is_none() && self.client_cert.is_none();
        let is_shown = self.trace.is_some() || log::log_enabled!(target: TARGET, Level::Debug);
        if is_tls_default && !is_shown {
            return Ok(None);
        }
        if let Some(tracer) = self.tracer.get() {
            return Ok(Some(tracer.clone()));
        }
        let trace = self.trace.as_deref().map(trace::create);
        let tracer = Tracer::new(self.tls()?, trace.transpose()?);
        Ok(Some(self.tracer.get_or_init(|| tracer).clone()))
    }

    /// Whether the trace and a progress bar would be on one terminal.
    pub(crate) fn traces_to_standard_error(&self) -> bool {
        self.trace.as_deref().is_some_and(trace::is_standard_error)
    }

    fn tls(&self) -> Result<TlsConnector, Box<dyn Error>> {
        let mut builder = TlsConnector::builder();
        if let Some(path) = &self.ca_file {
            builder = builder
                .roots_pem(&read(path)?)
                .map_err(|error| format!("{}: {error}", path.display()))?;
        }
        if let (Some(certificate), Some(key)) = (&self.client_cert, &self.client_key) {
            builder = builder.client_certificate_pem(&read(certificate)?, &read(key)?)?;
        }
        Ok(builder.build()?)
    }
}

fn forget(_: &str) -> Result<String, String> {
    Ok(String::new())
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    fs::read(path).map_err(|error| format!("cannot read {}: {error}", path.display()))
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
    use crate::quantity::size;
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
    fn header_needs_a_colon() {
        let pair = |name: &str, value: &str| Ok((name.to_owned(), value.to_owned()));
        assert_eq!(header("X-Key: a:b "), pair("X-Key", "a:b"));
        assert_eq!(header("X-Empty:"), pair("X-Empty", ""));
        assert!(header("X-Key").is_err());
    }
}
