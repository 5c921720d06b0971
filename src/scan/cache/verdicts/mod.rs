//! The cache at work: when a stored verdict is given again, and which verdicts are stored.
//!
//! A verdict belongs to the server that gave it. It is looked for at the moment when a scan would ask that server: after
//! `OPTIONS`, before the request. So a scan that goes on to the next server also looks for that server's verdict.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::entry::{Entry, Made};
use super::flights::{Boarding, Flights, Leading};
pub(in crate::scan) use super::key::Subject;
use super::keyed_hash::{Hash, KeyedHash};
use super::objections::{Objections, Watch};
use super::store::{self, VerdictCache};
use crate::client::Client;
use crate::client::call::Call;
use crate::client::outcome::CompleteResponse;
use crate::client::server_state::StateTag;
use crate::error::TimeLimit;
use crate::scan::report::Report;
use crate::scan::verdict::Verdict;
use crate::seam::{random, time};

/// How long a verdict, and a state tag without a new response, hold.
#[derive(Debug, Clone, Copy)]
pub(in crate::scan) struct Ages {
    pub(super) max_age: Duration,
    pub(super) revalidate: Duration,
}

/// The verdicts of a scanner.
pub(in crate::scan) struct Verdicts {
    store: Box<dyn VerdictCache>,
    hash: KeyedHash,
    ages: Ages,
    max_size: Option<u64>,
    flights: Flights,
    objections: Objections,
    /// Tells the entries of this cache from those of others in the same store.
    origin: u64,
    opened: Instant,
}

/// A stored verdict that holds.
pub(in crate::scan) struct Found {
    pub(in crate::scan) report: Report,
    /// Under which the server gave it.
    pub(in crate::scan) state_tag: Vec<u8>,
    entry: Arc<[u8]>,
    /// Another scan gave it, so the store need not have it.
    is_landed: bool,
    confirmed_since: Option<Instant>,
}

/// A scan that takes or stores a verdict. Dropping it lets the scans that wait for it go on by themselves.
pub(in crate::scan) struct Turn<'v> {
    verdicts: &'v Verdicts,
    began: Instant,
    /// A scan that takes no verdict from the cache stores only what speaks against the content.
    keeps_clean: bool,
    /// `None` for a scan for which no other waits. It ends before the watch, because a scan that comes meanwhile gets
    /// the entry, and must see the objections against it.
    leading: Option<Leading<'v>>,
    watch: Watch<'v>,
}

impl Verdicts {
    pub(super) fn new(
        store: Box<dyn VerdictCache>,
        secret: [u8; 32],
        ages: Ages,
        max_size: Option<u64>,
        now: Instant,
    ) -> Self {
        Self {
            store,
            hash: KeyedHash::new(secret),
            ages,
            max_size,
            flights: Flights::default(),
            objections: Objections::default(),
            origin: random::number(),
            opened: now,
        }
    }

    /// Since when a response must have confirmed the state tag of a server; `None` if any has.
    pub(in crate::scan) fn confirmed_since(&self, now: Instant) -> Option<Instant> {
        now.checked_sub(self.ages.revalidate)
    }

    /// The turn of a scan at this server. `None` if the scan does not use the cache.
    pub(in crate::scan) fn turn(&self, client: &Client, subject: &Subject<'_>) -> Option<Turn<'_>> {
        let key = subject.key(&self.hash, client)?;
        Some(Turn {
            verdicts: self,
            began: client.now(),
            keeps_clean: false,
            leading: None,
            watch: self.objections.watch(key),
        })
    }

    /// Joins the scans of the same content.
    fn board(&self, key: Hash, call: &Call<'_>) -> Boarding<'_> {
        // Without a tag there is nothing to wait for.
        if call.client.state().is_untagged() {
            return Boarding::Alone;
        }
        let patience = call.client.read_timeout();
        let left = call.deadline.cap_whole(patience.saturating_mul(2));
        let half = left.unwrap_or_default() / 2;
        let wait = call.deadline.within(half, TimeLimit::ReadTimeout);
        self.flights.board(key, &wait, patience)
    }

    /// The stored verdict, if it holds.
    fn stored(
        &self,
        watch: &Watch<'_>,
        client: &Client,
        confirmed_since: Option<Instant>,
    ) -> Option<Found> {
        let entry = store::get(&*self.store, watch.key())?;
        self.found(watch, entry.into(), client, confirmed_since)
    }

    /// The report that an entry gives now; `None` if it does not hold. The watch is older than the look for the entry.
    fn found(
        &self,
        watch: &Watch<'_>,
        bytes: Arc<[u8]>,
        client: &Client,
        confirmed_since: Option<Instant>,
    ) -> Option<Found> {
        let entry = Entry::decode(&self.hash, watch.key(), &bytes)?;
        let state = client.state();
        let is_confirmed = |tag: &StateTag| tag.is_confirmed_since(confirmed_since);
        let tag = state.tag().filter(is_confirmed)?;
        let now = client.now();
        let made = self.instant(entry.made, now)?;
        let is_young = now.checked_duration_since(made)? < self.ages.max_age;
        let fits = self.max_size.is_none_or(|max| entry.content_len <= max);
        let is_doubtful = || {
            state.responds_early()
                || client.is_without_engine()
                || client.proofs().is_blind()
                || watch.is_objected(made)
        };
        let holds = is_young
            && fits
            && entry.state_tag == tag.value
            && state.stands_by(made)
            && !(entry.verdict.is_clean() && is_doubtful());
        holds.then(|| Found {
            report: Report::cached(entry.verdict, &tag.value, client.service()),
            state_tag: tag.value,
            entry: bytes,
            is_landed: false,
            confirmed_since,
        })
    }

    fn made(&self, at: Instant, now: Instant) -> Made {
        let offset = at.saturating_duration_since(self.opened).as_nanos();
        let ago = now.saturating_duration_since(at).as_millis();
        let ago = u64::try_from(ago).unwrap_or(u64::MAX);
        Made {
            origin: self.origin,
            offset_ns: u64::try_from(offset).unwrap_or(u64::MAX),
            calendar_ms: time::calendar_ms().saturating_sub(ago),
        }
    }

    /// Whether an entry has reached its age. One that is of the future has not.
    fn is_old(&self, made: Made, now: Instant) -> bool {
        let is_old = |made| now.saturating_duration_since(made) >= self.ages.max_age;
        self.instant(made, now).is_some_and(is_old)
    }

    /// When an entry was made, by the clock of this scanner; `None` if it is of the future.
    fn instant(&self, made: Made, now: Instant) -> Option<Instant> {
        if made.origin == self.origin {
            let offset = Duration::from_nanos(made.offset_ns);
            return self.opened.checked_add(offset);
        }
        let ago = time::calendar_ms().checked_sub(made.calendar_ms)?;
        now.checked_sub(Duration::from_millis(ago))
    }
}

impl Turn<'_> {
    /// The verdict of the called server on this content. If there is none, and another scan is about to get it, waits
    /// for that one: at most half of the time that is left and one read timeout.
    pub(in crate::scan) fn look_up(
        &mut self,
        call: &Call<'_>,
        confirmed_since: Option<Instant>,
    ) -> Option<Found> {
        self.keeps_clean = true;
        let (verdicts, client) = (self.verdicts, call.client);
        // A trial has to show whether the server scans.
        if call.is_trial() {
            return None;
        }
        let stored = || verdicts.stored(&self.watch, client, confirmed_since);
        if let Some(found) = stored() {
            return Some(found);
        }
        match verdicts.board(*self.watch.key(), call) {
            Boarding::Alone => None,
            Boarding::Landed(entry) => {
                let found = verdicts.found(&self.watch, entry, client, confirmed_since)?;
                Some(Found {
                    is_landed: true,
                    ..found
                })
            }
            // Another scan may have ended since this one looked.
            Boarding::Lead(leading) => match stored() {
                Some(found) => {
                    leading.land(Arc::clone(&found.entry));
                    Some(found)
                }
                None => {
                    self.leading = Some(leading);
                    None
                }
            },
        }
    }

    /// Whether a verdict that was found still holds, after everything that was seen of the server and of the content
    /// since then.
    pub(in crate::scan) fn still_holds(&self, found: &Found, client: &Client) -> bool {
        let Found {
            ref entry,
            confirmed_since,
            ..
        } = *found;
        let entry = Arc::clone(entry);
        let again = self
            .verdicts
            .found(&self.watch, entry, client, confirmed_since);
        again.is_some()
    }

    /// Whether the store still has the entry that was found. In place of one that another scan gave it may have a newer
    /// one, but no objection, and not nothing: a store may remove what is withdrawn.
    pub(in crate::scan) fn is_still_stored(&self, found: &Found) -> bool {
        let Verdicts { store, hash, .. } = self.verdicts;
        let key = self.watch.key();
        let stored = store::get(&**store, key);
        let objects = |bytes: Vec<u8>| {
            let entry = Entry::decode(hash, key, &bytes);
            bytes.is_empty() || entry.is_some_and(|entry| entry.verdict.is_infected())
        };
        match found.is_landed {
            true => stored.is_some_and(|bytes| !objects(bytes)),
            false => stored.as_deref() == Some(&*found.entry),
        }
    }

    /// The content is scanned from now on.
    pub(in crate::scan) fn begin(&mut self, now: Instant) {
        self.began = now;
    }

    /// Stores the verdict of a complete response and gives it to all who wait, if it is one for others. An objection
    /// that is none for others withdraws a clean verdict that was stored.
    pub(in crate::scan) fn keep(
        &self,
        client: &Client,
        report: &Report,
        complete: &CompleteResponse,
    ) {
        let entry = self.entry(client, report, complete);
        if report.verdict().is_objection() {
            self.object(client, entry);
        } else if let Some(entry) = entry.filter(|_| self.keeps_clean) {
            self.keep_clean(client, entry);
        }
    }

    /// Lets the scans that wait for this one go on. It can still withdraw a verdict.
    pub(in crate::scan) fn end_lead(&mut self) {
        self.leading = None;
    }

    /// Withdraws a clean verdict that was stored, if there is an objection that is not stored: in a response that broke
    /// off, or in that of another server.
    pub(in crate::scan) fn withdraw(&self, client: &Client, report: &Report) {
        if report.verdict().is_objection() {
            self.object(client, None);
        }
    }

    /// Stores an objection (rule R2). Without an entry it leaves nothing in the store, unless that is infected.
    fn object(&self, client: &Client, entry: Option<Arc<[u8]>>) {
        self.watch.begin_objection();
        if let (Some(leading), Some(entry)) = (&self.leading, &entry) {
            // First to those who wait: the store may take its time.
            leading.land(Arc::clone(entry));
        }
        let is_stored = entry.is_none() && self.is_stored_infected(client);
        if !is_stored && !self.put(&entry.unwrap_or_else(nothing)) {
            // A clean verdict may still be stored.
            client.state().forget(client.now());
        }
        self.watch.end_objection(client.now());
    }

    /// Stores a clean verdict, unless another scan objects or has stored worse (rule R2).
    fn keep_clean(&self, client: &Client, entry: Arc<[u8]>) {
        if self.watch.is_objected(self.began) || self.is_stored_infected(client) {
            return;
        }
        if let Some(leading) = &self.leading {
            leading.land(Arc::clone(&entry));
        }
        self.put(&entry);
        // An objection since then may have reached the store first.
        if self.watch.is_objected(self.began) && !self.put(&nothing()) {
            client.state().forget(client.now());
        }
    }

    /// Whether the store has an infected verdict that is not too old. What the server has shown since then does not
    /// matter here: it decides only whether a verdict is given again.
    fn is_stored_infected(&self, client: &Client) -> bool {
        let Verdicts { store, hash, .. } = self.verdicts;
        let key = self.watch.key();
        let entry = store::get(&**store, key).and_then(|bytes| Entry::decode(hash, key, &bytes));
        entry.is_some_and(|entry| {
            entry.verdict.is_infected() && !self.verdicts.is_old(entry.made, client.now())
        })
    }

    /// Whether the store has taken it.
    fn put(&self, entry: &[u8]) -> bool {
        let Verdicts { store, ages, .. } = self.verdicts;
        store::put(&**store, self.watch.key(), entry, ages.max_age)
    }

    /// The entry for a verdict that holds for others too.
    fn entry(
        &self,
        client: &Client,
        report: &Report,
        complete: &CompleteResponse,
    ) -> Option<Arc<[u8]>> {
        let verdict = report.verdict();
        let is_sure = match verdict {
            Verdict::Clean => !client.state().responds_early(),
            // A 204 contradicts it.
            Verdict::Infected(_) => complete.response.status() != 204,
            _ => false,
        };
        if !is_sure || !complete.is_orderly() {
            return None;
        }
        let entry = Entry {
            verdict: verdict.clone(),
            state_tag: complete.response.state_tag()?.to_vec(),
            content_len: complete.content_sent,
            made: self.verdicts.made(self.began, client.now()),
        };
        let bytes = entry.encode(&self.verdicts.hash, self.watch.key())?;
        Some(bytes.into())
    }
}

/// Bytes that are no entry.
fn nothing() -> Arc<[u8]> {
    Arc::default()
}

#[cfg(test)]
mod tests;
