//! A scripted server for the tests of the canary.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use icap_client::testing::{
    CLEAN, ManualClock, Received, Script, Server, infected, options_with_preview,
};
use icap_client::{NotScanned, Scanner, ScannerBuilder, Verdict};

pub(crate) const EVERY: Duration = Duration::from_secs(400);
pub(crate) const SECOND: Duration = Duration::from_secs(1);
pub(crate) const MINUTE: Duration = Duration::from_secs(60);
pub(crate) const NO_ENGINE: Verdict = Verdict::NotScanned(NotScanned::NoEngine);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Seen {
    Canary,
    /// An archive without EICAR.
    Control,
    File,
}

pub(crate) fn seen(request: &Received) -> Seen {
    match request.body().starts_with(b"PK") {
        true if request.has_eicar() => Seen::Canary,
        true => Seen::Control,
        false => Seen::File,
    }
}

/// A server that responds as a test tells it to, and what it has seen.
pub(crate) struct Fake {
    pub(crate) server: Server,
    pub(crate) plan: Arc<Mutex<Plan>>,
}

pub(crate) struct Plan {
    pub(crate) tag: String,
    pub(crate) finds: bool,
    pub(crate) seen: Vec<Seen>,
}

impl Fake {
    /// Finds EICAR, under the tag "1".
    pub(crate) fn start() -> Self {
        Self::with(|plan, request| match request.has_eicar() && plan.finds {
            true => Script::new().send(tagged(&infected("Eicar"), &plan.tag)),
            false => Script::new().send(tagged(CLEAN.as_bytes(), &plan.tag)),
        })
    }

    /// `respond` is for all but `OPTIONS`.
    pub(crate) fn with(
        respond: impl Fn(&mut Plan, &Received) -> Script + Send + Sync + 'static,
    ) -> Self {
        let plan = Plan {
            tag: "1".to_owned(),
            finds: true,
            seen: Vec::new(),
        };
        let plan = Arc::new(Mutex::new(plan));
        let own = Arc::clone(&plan);
        let server = Server::answering(move |request| {
            let mut plan = own.lock().unwrap();
            if request.method() == "OPTIONS" {
                let options = options_with_preview(8);
                return Script::new().send(tagged(options.as_bytes(), &plan.tag));
            }
            plan.seen.push(seen(request));
            respond(&mut plan, request)
        });
        let server = server.unwrap();
        Self { server, plan }
    }

    pub(crate) fn set_tag(&self, tag: &str) {
        self.plan.lock().unwrap().tag = tag.to_owned();
    }

    pub(crate) fn set_finds(&self, finds: bool) {
        self.plan.lock().unwrap().finds = finds;
    }

    /// What it has seen since the last call.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        std::mem::take(&mut self.plan.lock().unwrap().seen)
    }

    pub(crate) fn builder(&self) -> (ScannerBuilder, ManualClock) {
        let clock = ManualClock::new();
        let builder = Scanner::builder(self.server.uri()).canary(EVERY);
        (builder.clock(clock.clone()), clock)
    }

    pub(crate) fn scanner(&self) -> (Scanner, ManualClock) {
        let (builder, clock) = self.builder();
        (builder.build().unwrap(), clock)
    }
}

/// A response with another state tag.
pub(crate) fn tagged(response: &[u8], tag: &str) -> Vec<u8> {
    let text = String::from_utf8(response.to_vec()).unwrap();
    text.replace("icap-client-testing", tag).into_bytes()
}

pub(crate) fn verdict(scanner: &Scanner) -> Verdict {
    scanner.scan("hello").unwrap().verdict().clone()
}
