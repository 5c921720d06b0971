//! The public API is the one of `tests/data/public_api.txt`, so that a break is seen.
//!
//! The listing is made of the JSON that rustdoc writes, and that has another form in each version of Rust. With
//! a Rust of another form the test is shown as ignored, or fails where `ICAP_PUBLIC_API` is set, as `tests/run`
//! does. tests/README.md says how to update the listing and the reader of the JSON.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use libtest_mimic::{Arguments, Trial};
use serde_json::Value;

/// The form of the JSON that `listing` reads.
const JSON_FORMAT: u64 = 57;

const UPDATE: &str = "UPDATE_PUBLIC_API";

/// A target folder that this test has for itself.
const TARGET: &str = "target/public-api";

fn main() {
    let arguments = Arguments::from_args();
    if arguments.list {
        let trial = Trial::test("public_api_is_the_listed_one", || Ok(()));
        libtest_mimic::run(&arguments, vec![trial]).exit();
    }
    let json = rustdoc_json();
    let format = json_format(&json);
    let is_readable = format == JSON_FORMAT;
    let is_demanded = std::env::var_os("ICAP_PUBLIC_API").is_some();
    let name = if is_readable {
        "public_api_is_the_listed_one".to_owned()
    } else {
        format!(
            "public_api_is_the_listed_one (this Rust's JSON has format {format}, not {JSON_FORMAT})"
        )
    };
    let trial = Trial::test(name, move || {
        if is_readable {
            compare(&json)
        } else {
            Err("update `listing/Cargo.toml` and JSON_FORMAT, see tests/README.md".into())
        }
    });
    let trial = trial.with_ignored_flag(!is_readable && !is_demanded);
    libtest_mimic::run(&arguments, vec![trial]).exit();
}

/// Documents the library with all features that add to its API.
fn rustdoc_json() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let target = root.join(TARGET);
    let status = Command::new(env!("CARGO"))
        .args([
            "rustdoc",
            "--quiet",
            "--locked",
            "--lib",
            "--features",
            "override,rustls,testing",
        ])
        .arg("--target-dir")
        .arg(&target)
        .args([
            "--",
            "-Z",
            "unstable-options",
            "--output-format",
            "json",
            "--cap-lints",
            "allow",
        ])
        // Stable rustdoc writes JSON only so.
        .env("RUSTC_BOOTSTRAP", "1")
        .env_remove("RUSTDOCFLAGS")
        .env_remove("RUSTFLAGS")
        .current_dir(root)
        .status();
    assert!(status.expect("cargo starts").success(), "rustdoc failed");
    target.join("doc/icap_client.json")
}

fn json_format(json: &Path) -> u64 {
    let text = fs::read_to_string(json).expect("rustdoc has written it");
    let value: Value = serde_json::from_str(&text).expect("it is JSON");
    value["format_version"].as_u64().expect("it has a format")
}

fn compare(json: &Path) -> Result<(), libtest_mimic::Failed> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/public_api.txt");
    let found = listing(json)?;
    if std::env::var_os(UPDATE).is_some() {
        fs::write(&file, found)?;
        return Ok(());
    }
    let listed = fs::read_to_string(&file)?;
    if listed == found {
        return Ok(());
    }
    Err(difference(&listed, &found).into())
}

/// Runs the program that reads the JSON. It has a workspace of its own, because it needs a newer Rust.
fn listing(json: &Path) -> Result<String, libtest_mimic::Failed> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let output = Command::new(env!("CARGO"))
        .args(["run", "--quiet", "--locked", "--manifest-path"])
        .arg(root.join("tests/public_api/listing/Cargo.toml"))
        // Its own folder: with and without RUSTC_BOOTSTRAP, some dependencies are built differently.
        .arg("--target-dir")
        .arg(root.join(TARGET).join("listing"))
        .arg(json)
        .stderr(Stdio::inherit())
        .output()?;
    if !output.status.success() {
        return Err("the listing program failed".into());
    }
    Ok(String::from_utf8(output.stdout)?)
}

fn difference(listed: &str, found: &str) -> String {
    let (listed, found): (BTreeSet<_>, BTreeSet<_>) =
        (listed.lines().collect(), found.lines().collect());
    let mut text = String::from("the public API differs from tests/data/public_api.txt:\n");
    for (sign, lines) in [
        ("-", listed.difference(&found)),
        ("+", found.difference(&listed)),
    ] {
        for line in lines {
            let _ = writeln!(text, "{sign} {line}");
        }
    }
    let _ = write!(
        text,
        "A line with - breaks programs that use it. If the change is meant, run\n    \
         {UPDATE}=1 cargo test --test public_api\nand say in CHANGELOG.md what changes for them."
    );
    text
}
