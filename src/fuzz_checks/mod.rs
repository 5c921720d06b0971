//! What must hold for any bytes whatever, as functions that panic where it does not.
//!
//! A fuzz target (`fuzz/fuzz_targets`) is one line that calls one of them, and the tests below call the
//! same functions with every committed seed, so that plain `cargo test` replays what was ever found.
//! They are compiled for these two and are part of no other build.
//!
//! A check does not ask the code under test what is right: it asks a reference that is written from the
//! RFC as plainly as can be (and may be slow), another parser, or it asks for a property, for example
//! that what is written is read again the same.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a check says what is wrong by panicking"
)]

mod chunks;
mod circuit_breaker;
mod encapsulated;
mod evidence;
mod exchange;
mod headers;
mod input;
pub mod measured;
mod odd_reader;
mod options;
#[cfg(test)]
pub mod other_parser;
mod reference_chunks;
mod request;
mod response;
mod said;
mod sent;
mod status_line;
mod uri;
mod worsening;
mod worst;

pub use chunks::{chunk_decode, chunk_roundtrip};
pub use circuit_breaker::circuit_breaker;
pub use encapsulated::encapsulated;
pub use evidence::evidence;
pub use exchange::exchange;
pub use headers::{FieldParser, headers};
pub use options::options;
pub use request::request;
pub use response::response;
pub use status_line::{StatusParser, status_line};
pub use uri::uri;

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::{Path, PathBuf};

    type Check = fn(&[u8]);

    /// Every target, by the name of its file in `fuzz/fuzz_targets`.
    const TARGETS: &[(&str, Check)] = &[
        ("chunk_decode", chunk_decode),
        ("chunk_roundtrip", chunk_roundtrip),
        ("circuit_breaker", circuit_breaker),
        ("encapsulated", encapsulated),
        ("evidence", evidence),
        ("exchange", exchange),
        ("headers", |data| headers(data, other_parser::fields)),
        ("options", options),
        ("request", request),
        ("response", response),
        ("status_line", |data| {
            status_line(data, other_parser::status);
        }),
        ("uri", uri),
    ];

    fn fuzz_folder() -> Option<PathBuf> {
        let crate_folder = Path::new(env!("CARGO_MANIFEST_DIR"));
        // The crate as it is published comes without `fuzz/`.
        let is_published = crate_folder.join(".cargo_vcs_info.json").exists();
        (!is_published).then(|| crate_folder.join("fuzz"))
    }

    fn names_in(folder: &Path) -> Vec<String> {
        let files = std::fs::read_dir(folder).unwrap_or_else(|e| panic!("{folder:?}: {e}"));
        let stem = |path: PathBuf| path.file_stem().unwrap().to_string_lossy().into_owned();
        let mut names: Vec<String> = files.map(|file| stem(file.unwrap().path())).collect();
        names.sort_unstable();
        names
    }

    #[test]
    fn every_target_has_a_check_and_seeds() {
        let Some(fuzz) = fuzz_folder() else { return };
        let checks: Vec<&str> = TARGETS.iter().map(|(name, _)| *name).collect();
        assert_eq!(names_in(&fuzz.join("fuzz_targets")), checks);
        assert_eq!(names_in(&fuzz.join("seeds")), checks);
    }

    #[test]
    fn every_check_holds_for_every_seed() {
        let Some(fuzz) = fuzz_folder() else { return };
        for (target, check) in TARGETS {
            let seeds = std::fs::read_dir(fuzz.join("seeds").join(target)).expect(target);
            let mut count = 0;
            for seed in seeds {
                let path = seed.unwrap().path();
                let data = std::fs::read(&path).unwrap();
                // Shown by the test harness only if the check fails.
                println!("{}", path.display());
                check(&data);
                count += 1;
            }
            assert!(count > 0, "{target} has no seeds");
        }
    }
}
