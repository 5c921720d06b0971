//! The flags of all commands that scan: how, with which services, and what the services are told.

use std::error::Error;
use std::time::Duration;

use clap::{Args, Command};
use icap_client::{Client, Endpoint, Method, Preview, Scanner, ScannerBuilder};

use crate::quantity::{Bound, bound, size, time};
use crate::settings::Settings;

/// How long a job waits for a connection to a full service before the next service is asked.
const WAIT_BEFORE_NEXT: Duration = Duration::from_millis(200);

/// With several services, so many failures in a row suspend one: a server that accepts connections and never responds
/// costs a timeout each. A single service has no replacement, so the default of the library is better for it.
const FAILURES_BEFORE_NEXT: u32 = 2;

/// How files are scanned.
#[derive(Debug, Args)]
#[command(next_help_heading = "Scanning")]
pub(crate) struct Scanning {
    /// Do not scan files larger than this; 'none' is no limit
    #[arg(long, value_name = "SIZE", default_value = "100MiB", value_parser = bound(size))]
    max_size: Bound<u64>,

    /// As downloads (respmod) or uploads (reqmod) [default: respmod, else reqmod]
    #[arg(long, value_name = "METHOD", value_parser = method)]
    method: Option<Method>,

    /// Send a preview of this size, or 'negotiated': as the service asks
    ///
    /// By default there is none. A preview is the beginning of the file. If the service
    /// responds with 204 to it, it does not read the rest, and the verdict is "not scanned".
    #[arg(long, value_name = "SIZE", value_parser = preview, verbatim_doc_comment)]
    preview: Option<Preview>,

    /// Do not ask the service (OPTIONS) what it offers before the first file
    #[arg(long)]
    no_options: bool,

    /// Call files clean only if the server found EICAR within this time
    ///
    /// A canary, EICAR in a new archive, is sent when this is due. The server logs each one.
    #[arg(long, value_name = "TIME", value_parser = time, verbatim_doc_comment)]
    canary: Option<Duration>,

    /// Next service, if others are away, full or blind; can be repeated
    ///
    /// A server is away if it refuses connections or fails. After 2 failures in a row it is left
    /// out for 1 s, then tried with one file, and left out for up to 8 s if that fails too. For
    /// icap scan it is full after 200 ms without a free connection. It is blind if it has missed
    /// a canary (--canary). A warning names each server that is away, once for an outage.
    #[arg(
        long,
        value_name = "URI",
        help_heading = "Connection",
        verbatim_doc_comment
    )]
    endpoint: Vec<String>,

    #[command(flatten)]
    pub(crate) settings: Settings,
}

impl Scanning {
    /// The service for this URI, or else the one of `--service`.
    pub(crate) fn endpoint(&self, uri: Option<&str>) -> Result<Endpoint, Box<dyn Error>> {
        if uri.is_none() && !self.settings.has_service() && self.has_endpoints() {
            return Err("--endpoint is for the services after the first: \
                 give the first one as URI or --service"
                .into());
        }
        self.settings.endpoint(uri)
    }

    pub(crate) fn has_endpoints(&self) -> bool {
        !self.endpoint.is_empty()
    }

    /// A client for this service, and for each of `--endpoint`.
    pub(crate) fn clients(&self, service: Endpoint) -> Result<Vec<Client>, Box<dyn Error>> {
        self.settings.clients(service, &self.endpoint)
    }

    /// A scanner with its name for this service, and one for each of `--endpoint`.
    pub(crate) fn single_scanners(
        &self,
        service: Endpoint,
    ) -> Result<Vec<(String, Scanner)>, Box<dyn Error>> {
        let others = self.endpoint.iter();
        let others = others.map(|uri| self.settings.other_endpoint(uri));
        std::iter::once(Ok(service))
            .chain(others)
            .map(|endpoint| {
                let endpoint = endpoint?;
                let name = endpoint.uri().name();
                Ok((name, self.single(endpoint)?.build()?))
            })
            .collect()
    }

    /// A scanner for this service and those of `--endpoint`.
    pub(crate) fn builder(&self, service: Endpoint) -> Result<ScannerBuilder, Box<dyn Error>> {
        let mut builder = self.single(service)?;
        for uri in &self.endpoint {
            builder = builder.endpoint(self.settings.other_endpoint(uri)?);
        }
        Ok(builder)
    }

    fn single(&self, service: Endpoint) -> Result<ScannerBuilder, Box<dyn Error>> {
        let mut builder = Scanner::builder(service)
            .max_size(self.max_size.0)
            .negotiate(!self.no_options)
            .canary(self.canary)
            .preview(self.preview.unwrap_or_default());
        if let Some(method) = self.method {
            builder = builder.method(method);
        }
        self.settings.of_scanner(builder)
    }

    /// A scanner for so many scans at once. The pool keeps to Max-Connections; the jobs beyond it wait for the
    /// deadline at most.
    pub(crate) fn parallel(
        &self,
        service: Endpoint,
        jobs: usize,
    ) -> Result<Scanner, Box<dyn Error>> {
        self.waiting(service, jobs, self.deadline())
    }

    /// The same, but the jobs beyond Max-Connections soon ask the next service. If that is full too, the scan fails:
    /// see [`full_wait`](Self::full_wait).
    pub(crate) fn overflowing(
        &self,
        service: Endpoint,
        jobs: usize,
    ) -> Result<Scanner, Box<dyn Error>> {
        let wait = self.full_wait().map(|_| WAIT_BEFORE_NEXT);
        self.waiting(service, jobs, wait.or(self.deadline()))
    }

    /// For how long a scan is to be repeated that found no service with a free connection; `None` with a single
    /// service, because the library waits then.
    pub(crate) fn full_wait(&self) -> Option<Duration> {
        self.deadline().filter(|_| !self.endpoint.is_empty())
    }

    fn waiting(
        &self,
        service: Endpoint,
        jobs: usize,
        wait: Option<Duration>,
    ) -> Result<Scanner, Box<dyn Error>> {
        let mut builder = self.builder(service)?.max_idle(jobs);
        if self.has_endpoints() {
            builder = builder.suspend_after(FAILURES_BEFORE_NEXT);
        }
        let builder = match wait {
            Some(wait) => builder.wait_timeout(wait),
            None => builder,
        };
        Ok(builder.build()?)
    }

    pub(crate) fn deadline(&self) -> Option<Duration> {
        self.settings.deadline()
    }
}

/// Gives options another help in a command: by the names of their fields.
pub(crate) fn reword(command: Command, words: &[(&'static str, &'static str)]) -> Command {
    words.iter().fold(command, |command, &(option, help)| {
        command.mut_arg(option, |arg| arg.help(help).long_help(None))
    })
}

fn method(text: &str) -> Result<Method, String> {
    match text.to_ascii_lowercase().as_str() {
        "respmod" => Ok(Method::Respmod),
        "reqmod" => Ok(Method::Reqmod),
        _ => Err("neither respmod nor reqmod".to_owned()),
    }
}

fn preview(text: &str) -> Result<Preview, String> {
    if text == "negotiated" {
        return Ok(Preview::Negotiated);
    }
    let limit = size(text).map_err(|error| format!("neither 'negotiated' nor a size: {error}"))?;
    Ok(Preview::Limit(usize::try_from(limit).unwrap_or(usize::MAX)))
}
