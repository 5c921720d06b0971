//! Completing a 206, which refers to a part of the original instead of sending it back
//! (draft-icap-ext-partial-content).

use std::io;

use super::Client;
use super::body::Body;
use super::body_encoder::BodyEncoder;
use super::outcome::{CompleteResponse, protocol_error};
use super::output::Output;
use crate::error::{ContentError, Error, Violation};
use crate::net::deadline::Deadline;

impl Client {
    /// Writes the part of the original that a 206 refers to after the part that came.
    pub(crate) fn append_original(
        &self,
        complete: &CompleteResponse,
        deadline: &Deadline,
        body: &mut Body<'_>,
        output: &mut Output<'_>,
    ) -> Result<(), Error> {
        let sent = complete.content_sent;
        let Some(offset) = complete.response.use_original_body() else {
            return Ok(());
        };
        if !body.can_rewind() {
            let why = "a 206 refers to the original, which can be read only once";
            let source = io::Error::other(why);
            return Err(ContentError::read(sent, source).into());
        }
        body.rewind()?;
        if offset > body.declared_len().unwrap_or(sent) {
            let violation = Violation::BadUseOriginalBody;
            return Err(protocol_error(self.name(), violation, String::new()));
        }
        BodyEncoder::new(body, None, deadline).copy_from(offset, output, self.name())
    }
}
