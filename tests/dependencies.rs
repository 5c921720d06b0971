//! All dependencies, those of the tests included, are as `.cargo/deny.toml` allows: licences, banned crates,
//! sources. `cargo deny` checks the same and more; it takes long to build, and this needs nothing.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value as Json;
use spdx::{Expression, Licensee};
use toml::Table;

const CRATES_IO: &str = "registry+https://github.com/rust-lang/crates.io-index";

fn settings() -> Table {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(".cargo/deny.toml");
    fs::read_to_string(file).unwrap().parse().unwrap()
}

/// Every package of the lock file.
fn packages() -> Vec<Json> {
    let output = Command::new(env!("CARGO"))
        .args([
            "metadata",
            "--locked",
            "--all-features",
            "--format-version",
            "1",
        ])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    let metadata: Json = serde_json::from_slice(&output.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    assert!(packages.len() > 50, "only {} packages", packages.len());
    packages.clone()
}

fn name(package: &Json) -> &str {
    package["name"].as_str().unwrap()
}

#[test]
fn licence_of_each_dependency_is_allowed() {
    let settings = settings();
    let allowed = settings["licenses"]["allow"].as_array().unwrap();
    let allowed = allowed
        .iter()
        .map(|id| Licensee::parse(id.as_str().unwrap()).unwrap());
    let allowed: Vec<Licensee> = allowed.collect();
    let mut refused = Vec::new();
    for package in packages() {
        let licence = package["license"].as_str().unwrap_or("none");
        let expression = Expression::parse_mode(licence, spdx::ParseMode::LAX);
        let is_allowed = expression.is_ok_and(|expression| {
            expression.evaluate(|wanted| allowed.iter().any(|licence| licence.satisfies(wanted)))
        });
        if !is_allowed {
            refused.push(format!("{}: {licence}", name(&package)));
        }
    }
    assert!(refused.is_empty(), "not in `licenses.allow`: {refused:#?}");
}

#[test]
fn no_dependency_is_banned_or_of_another_source() {
    let settings = settings();
    let banned = settings["bans"]["deny"].as_array().unwrap();
    let is_banned = |package: &Json| {
        banned
            .iter()
            .any(|ban| ban["crate"].as_str() == Some(name(package)))
    };
    for package in packages() {
        assert!(!is_banned(&package), "{} is banned", name(&package));
        let source = package["source"].as_str();
        let is_own = source.is_none() && name(&package) == "icap-client";
        assert!(
            is_own || source == Some(CRATES_IO),
            "{}: {source:?}",
            name(&package)
        );
    }
}

#[test]
fn no_dependency_of_the_crate_takes_any_version() {
    let packages = packages();
    let own = packages
        .iter()
        .find(|package| name(package) == "icap-client")
        .unwrap();
    for dependency in own["dependencies"].as_array().unwrap() {
        let is_path = dependency["path"].is_string();
        assert!(is_path || dependency["req"] != "*", "{}", name(dependency));
    }
}
