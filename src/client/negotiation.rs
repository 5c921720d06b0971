//! Asking a service what it offers (RFC 3507 §4.10).

use std::sync::Arc;
use std::time::Instant;

use super::Client;
use super::body::Body;
use super::call::Call;
use super::options_cache::{Known, Lookup};
use super::outcome::{AttemptError, protocol_error};
use super::output::Output;
use super::status_error;
use crate::error::{Error, Phase, Violation};
use crate::proto::limits::MAX_OPTIONS_BODY;
use crate::proto::options::ServiceOptions;
use crate::proto::request::Request;
use crate::proto::response::Response;

impl Call<'_> {
    /// What the service offers, from the cache while that holds.
    ///
    /// If no response of the service belongs to a request after `confirmed_since`, it is asked anew. `None` needs no
    /// confirmation.
    pub(crate) fn negotiated(
        &mut self,
        confirmed_since: Option<Instant>,
    ) -> Result<Known, AttemptError> {
        let client = self.client;
        let now = client.now();
        let options = &client.shared.options;
        let is_confirmed = |_: &Instant| client.state().is_tag_confirmed_since(confirmed_since);
        // A tag in doubt is confirmed by the scan of what is then not in the cache.
        let newest = confirmed_since.filter(|since| !is_confirmed(since));
        match options.look_up(now, newest, self.is_trial(), &self.deadline) {
            Lookup::Found(known) => Ok(known),
            Lookup::Failed(failed) => Err(failed),
            Lookup::TimedOut => Err(AttemptError {
                error: client.timed_out(Phase::Read, &self.deadline),
                is_shared: true,
                is_of_options: true,
            }),
            Lookup::Missing(fetching) => {
                let fetched = self.fetch_options();
                if let Ok(options) = &fetched {
                    for warning in options.warnings() {
                        log::warn!("{}: odd OPTIONS response: {warning}", client.name());
                    }
                }
                fetching.end(fetched, now)
            }
        }
    }

    /// Asks the service.
    pub(super) fn fetch_options(&mut self) -> Result<ServiceOptions, Error> {
        let client = self.client;
        let mut output = Output::none(MAX_OPTIONS_BODY);
        let exchanged = self.exchange(&Request::options(), &mut Body::none(), &mut output);
        let mut complete = exchanged.map_err(|failure| failure.error.of_options())?;
        if let Some(seen) = complete.trailing {
            let error = protocol_error(client.name(), Violation::TrailingBytes, seen);
            return Err(error.of_options());
        }
        if complete.response.status() != 200 {
            // The connection is closed: a 204, for example, is another request's response.
            let error = status_error(client.name(), &complete.response, None).of_options();
            return Err(complete.reject(error));
        }
        let options = ServiceOptions::from_response(&complete.response);
        complete.release();
        self.is_served();
        let limit = options.max_connections();
        client.shared.pool.set_service_limit(limit);
        Ok(options)
    }
}

impl Client {
    /// See [`OptionsCache::constant`].
    ///
    /// [`OptionsCache::constant`]: super::options_cache::OptionsCache::constant
    pub(crate) fn constant_options(&self) -> Option<Arc<ServiceOptions>> {
        self.shared.options.constant()
    }

    /// Remembers the state tag of a response, unless it is that of its options; see [`OptionsCache::saw_istag`].
    ///
    /// [`OptionsCache::saw_istag`]: super::options_cache::OptionsCache::saw_istag
    pub(crate) fn saw_response(&self, response: &Response, known: &Known, now: Instant) {
        let known_tag = known.options.istag();
        // Text that is safe to show is shown as it is, so equal bytes are equal texts.
        if response.first_tag() == known_tag.map(str::as_bytes) {
            return;
        }
        let istag = response.istag_text();
        if let Some(istag) = istag.filter(|istag| known_tag != Some(istag)) {
            self.shared.options.saw_istag(&istag, known, now);
        }
    }
}
