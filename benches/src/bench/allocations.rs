//! What a scan allocates, after the first ones have filled pools and caches.

use std::io;

use icap_client::{Body, Client, Content, Request};

use super::Setting;
use crate::table::Table;
use crate::{Result, counting, ours, work};

const SCANS: usize = 1000;
const WARMING: usize = 20;

pub(super) fn run(setting: &Setting) -> Result<()> {
    let mut table = Table::new(&["work", "allocations", "bytes", "wanted"]);
    for size in [4 << 10, 1 << 20] {
        let content = work::content(size);
        let path = work::make_file(&setting.folder, size)?;
        let scanner = ours::scanner(&setting.uri("204"))?;
        let client = Client::new(setting.uri("204"))?;
        let request = Request::respmod().http_response(b"HTTP/1.1 200 OK\r\n\r\n")?;
        let scan = |content| {
            assert!(scanner.scan(content)?.verdict().is_clean());
            Ok(())
        };
        let size = work::size(size);
        let mut row = |what: &str, wanted: &str, run: &mut dyn FnMut() -> Result<()>| {
            let name = format!("{size} {what}");
            if setting.is_wanted(&name) {
                let (allocations, bytes) = count(run)?;
                let [allocations, bytes] = [allocations, bytes].map(|it| format!("{it:.1}"));
                table.row([name, allocations, bytes, wanted.to_owned()]);
            }
            Result::Ok(())
        };
        row("bytes", "≤ 4", &mut || scan(Content::bytes(&content)))?;
        row("file", "", &mut || scan(Content::file(&path)?))?;
        row("reader", "", &mut || scan(Content::reader(&content[..])))?;
        row("bytes with `Client::send`", "", &mut || {
            client.send(&request, Body::from(&content[..]), io::sink())?;
            Ok(())
        })?;
    }
    table.print();
    Ok(())
}

/// Allocations and bytes of one run.
fn count(run: &mut dyn FnMut() -> Result<()>) -> Result<(f64, f64)> {
    for _ in 0..WARMING {
        run()?;
    }
    let before = (counting::allocations(), counting::bytes());
    for _ in 0..SCANS {
        run()?;
    }
    let each = |now: usize, before: usize| (now - before) as f64 / SCANS as f64;
    Ok((
        each(counting::allocations(), before.0),
        each(counting::bytes(), before.1),
    ))
}
