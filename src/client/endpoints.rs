//! Several servers for one task: which to ask, and when to go on to the next.

use std::sync::Arc;

use super::Client;
use super::health::{Admission, Health, Suspension, SuspensionRules};
use super::stats::{Counters, Suspended, count};
use crate::error::{Error, InputError, InvalidInput, Phase, SuspendedError};
use crate::net::clock::Clock;

/// The servers, the first being the preferred one.
#[derive(Debug)]
pub(crate) struct Endpoints {
    /// At least one.
    endpoints: Vec<Endpoint>,
    clock: Arc<dyn Clock>,
    counters: Arc<Counters>,
}

#[derive(Debug)]
struct Endpoint {
    client: Client,
    health: Health,
}

impl Endpoints {
    pub(crate) fn new(
        clients: Vec<Client>,
        rules: SuspensionRules,
        clock: Arc<dyn Clock>,
        counters: Arc<Counters>,
    ) -> Self {
        let endpoint = |client| Endpoint {
            client,
            health: Health::new(rules),
        };
        let endpoints = clients.into_iter().map(endpoint).collect();
        Self {
            endpoints,
            clock,
            counters,
        }
    }

    /// Calls `attempt` with one server after the other, until one is not to blame for what comes of
    /// it, or until the attempt cannot be repeated. Servers that are suspended are passed over; if all
    /// are, that is the error.
    pub(crate) fn try_each<T>(
        &self,
        mut attempt: impl FnMut(&Client) -> Result<T, Unsuccessful>,
    ) -> Result<T, Error> {
        let mut failed = None;
        let mut suspended = None;
        for endpoint in &self.endpoints {
            let admission = match endpoint.health.admit(self.clock.now()) {
                Ok(admission) => admission,
                Err(suspension) => {
                    suspended.get_or_insert((endpoint, suspension));
                    continue;
                }
            };
            if failed.is_some() {
                count(&self.counters.failovers);
            }
            match attempt(&endpoint.client) {
                Ok(done) => {
                    admission.succeeded();
                    return Ok(done);
                }
                Err(Unsuccessful { error, can_repeat }) => {
                    if !self.blame(endpoint, admission, &error) || !can_repeat {
                        return Err(error);
                    }
                    failed.get_or_insert(error);
                }
            }
        }
        match (failed, suspended) {
            (Some(error), _) => Err(error),
            (None, Some((endpoint, suspension))) => {
                Err(self.suspended_error(endpoint, &suspension))
            }
            // Not reached: there is at least one, and it is asked or suspended.
            (None, None) => Err(InputError::new(InvalidInput::Uri, "no server").into()),
        }
    }

    /// The preferred server.
    pub(crate) fn first(&self) -> &Client {
        // A scanner is built with one.
        &self.endpoints[0].client
    }

    pub(crate) fn idle_connections(&self) -> u64 {
        let idle = |endpoint: &Endpoint| endpoint.client.idle_connections() as u64;
        self.endpoints.iter().map(idle).sum()
    }

    /// The servers that are suspended now.
    pub(crate) fn suspended(&self) -> Vec<Suspended> {
        let now = self.clock.now();
        let suspended = |endpoint: &Endpoint| {
            let suspension = endpoint.health.suspension()?;
            Some(Suspended {
                service: endpoint.client.name().to_owned(),
                failing_for: now.saturating_duration_since(suspension.began),
                retry_in: suspension.until.saturating_duration_since(now),
                why: suspension.why,
            })
        };
        self.endpoints.iter().filter_map(suspended).collect()
    }

    /// Whether the server is to blame, which is remembered.
    fn blame(&self, endpoint: &Endpoint, admission: Admission<'_>, error: &Error) -> bool {
        let waited_in_line = matches!(error, Error::Timeout(e) if e.phase() == Phase::Checkout);
        if !error.is_unavailable() || waited_in_line {
            // It answered, or was not asked.
            if error.status().is_some() {
                admission.succeeded();
            }
            return false;
        }
        if let Some(suspension) = admission.failed(error, self.clock.now()) {
            let length = suspension.until.saturating_duration_since(self.clock.now());
            let service = endpoint.client.name();
            log::warn!(
                "{service}: suspended for {} ms, because: {error}",
                length.as_millis()
            );
        }
        true
    }

    fn suspended_error(&self, endpoint: &Endpoint, suspension: &Suspension) -> Error {
        let now = self.clock.now();
        SuspendedError {
            service: endpoint.client.name().to_owned(),
            failing_for: now.saturating_duration_since(suspension.began),
            retry_in: suspension.until.saturating_duration_since(now),
            why: suspension.why.clone(),
        }
        .into()
    }
}

/// An attempt that failed, and whether there can be another.
pub(crate) struct Unsuccessful {
    pub(crate) error: Error,
    pub(crate) can_repeat: bool,
}
