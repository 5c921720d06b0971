//! For which scans a verdict is the same.

use std::fmt::Debug;

use super::keyed_hash::{Hash, KeyedHash};
use crate::client::Client;
use crate::proto::request::Request;
use crate::scan::metadata::{About, Details};

/// What a verdict depends on besides the bytes of the content and the state of the server.
pub(in crate::scan) struct Subject<'s> {
    /// What goes to the server before the content: method, preview, fields, identity, HTTP heads. It is the same in each
    /// attempt of a scan, and wherever the output goes.
    pub(in crate::scan) request: &'s Request,
    pub(in crate::scan) about: &'s About,
    /// The length of the content, if it is known.
    pub(in crate::scan) length: Option<u64>,
    /// The settings by which the response is judged.
    pub(in crate::scan) rules: &'s dyn Debug,
}

impl Subject<'_> {
    /// The key of the verdict of this server. `None` if the content has no id.
    ///
    /// All of the request is in it, byte for byte, so what changes the request changes the key. The name and the type are
    /// in it also where they are not sent.
    pub(super) fn key(&self, hash: &KeyedHash, client: &Client) -> Option<Hash> {
        let name = &self.about.name;
        let Details {
            id, content_type, ..
        } = self.about.details()?;
        let id = id.as_ref()?;
        let [uri, address, credentials, head] = client.identify(self.request);
        let rules = format!("{:?}", self.rules);
        let optional = |text: &Option<String>| text.as_ref().map(|text| format!("={text}"));
        let name = optional(name).unwrap_or_default();
        let content_type = optional(content_type).unwrap_or_default();
        let length = self.length.map_or(String::new(), |len| len.to_string());
        let parts: [&[u8]; 9] = [
            id,
            &uri,
            &address,
            &credentials,
            &head,
            rules.as_bytes(),
            name.as_bytes(),
            content_type.as_bytes(),
            length.as_bytes(),
        ];
        Some(hash.hash("key", &parts))
    }
}
