//! The manual: how to set up, use and operate a scanner. It has only text.
//!
//! | page | answers |
//! | --- | --- |
//! | [`verdicts`] | What does each verdict mean, and what do I do with the file? |
//! | [`errors`] | What does each error mean, and who can correct it? |
//! | [`content`] | What do I tell the service about the content? What do I log of a report? |
//! | [`spooling`] | How is a file fetched once, and delivered as it was scanned? |
//! | [`caching`] | How is the same content not scanned again? What must an id be? |
//! | [`notices`] | What is a person told about a file that is not delivered? |
//! | [`gateway`] | How do the parts work together in an application? |
//! | [`limitations`] | What does a verdict not promise? |
//! | [`timeouts`] | What limits the time of a scan? When is another server asked? |
//! | [`threads`] | How many threads, connections and scanners do I need? |
//! | [`operating`] | What do I watch, which alerts do I set, and what is logged? |
//! | [`self_test`](mod@self_test) | Does a service really scan, and up to which size? |
//! | [`c_icap`] | How do I set up c-icap with ClamAV? |
//! | [`haproxy`] | How do I share the work between several servers? |
//! | [`icaps`] | How do I encrypt the connection? |
//! | [`testing`] | How do I test the code that calls this crate? |
//! | [`fuzzing`] | How do I fuzz this crate in my own CI? |

// The links of the pages.
#[cfg(all(doc, feature = "rustls"))]
#[allow(unused_imports)]
use crate::tls::*;
#[cfg(doc)]
#[allow(unused_imports)]
use crate::{error::*, protocol::*, transport::*, *};

macro_rules! pages {
    ($($page:ident)+) => {$(
        #[doc = include_str!(concat!(stringify!($page), ".md"))]
        pub mod $page {}
    )+};
}

pages! {
    verdicts errors content spooling caching notices gateway limitations timeouts threads operating c_icap haproxy icaps self_test
    testing fuzzing
}
