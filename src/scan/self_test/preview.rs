//! The probe that looks for a service that decides on the preview.

use super::finding::{Outcome, Probe};
use super::{Run, SMALL};
use crate::error::Error;
use crate::proto::limits::MAX_PREVIEW;
use crate::scan::builder::ScannerBuilder;
use crate::scan::preview::Preview;
use crate::scan::sample::Sample;

impl Run<'_> {
    /// An archive with EICAR after the preview, with the scanner's own setting or with all that is offered.
    pub(super) fn preview(&mut self) -> Result<(), Error> {
        let rules = &self.shared.rules;
        let is_used = rules.preview != Preview::Off;
        let preview = if is_used {
            rules.preview
        } else {
            Preview::Limit(MAX_PREVIEW)
        };
        let options = self.options.as_ref();
        let is_unknown = options.is_none() && !is_used;
        let size = match preview.size_if_any(options) {
            _ if !rules.allow_204 => Err("the scanner does not allow 204, so it sends no preview"),
            Some(size) if !is_unknown => Ok(size),
            _ if options.is_none() => Err("what the service offers is not known"),
            _ => Err("the service offers none, or for no type of file"),
        };
        let size = match size {
            Ok(size) => size,
            Err(why) => {
                self.not_applicable(Probe::Preview, why);
                return Ok(());
            }
        };
        if let Some(why) = self.pointless() {
            self.unknown(Probe::Preview, why);
            return Ok(());
        }
        let builder = ScannerBuilder::like(self.shared, self.endpoint).preview(preview);
        let began = self.scanner.now_for_waits();
        let own = std::mem::replace(&mut self.scanner, builder.assemble()?.0);
        let sample = Sample::archive(size as u64 + SMALL).with_any_preview();
        let mut scanned = self.scan(sample);
        self.scanner = own;
        // Of no consequence for a scanner without previews.
        if !is_used && !scanned.outcome.is_good() {
            scanned.outcome = Outcome::Improvable;
        }
        self.note_scan(Probe::Preview, scanned, began);
        Ok(())
    }
}
