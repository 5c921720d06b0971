//! The documents at the top of the repository are short, their links lead somewhere, and the code map of
//! ARCHITECTURE.md names every file.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap()
}

#[test]
fn documents_stay_short() {
    for (path, most) in [("README.md", 150), ("ARCHITECTURE.md", 250)] {
        let lines = read(path).lines().count();
        assert!(
            lines < most,
            "{path} has {lines} lines, and fewer than {most} are allowed"
        );
    }
}

#[test]
fn links_between_documents_lead_to_files() {
    let documents = [
        "README.md",
        "ARCHITECTURE.md",
        "CHANGELOG.md",
        ".github/CONTRIBUTING.md",
        ".github/SECURITY.md",
        "tests/README.md",
        "fuzz/README.md",
        "benches/README.md",
    ];
    for document in documents {
        let folder = root().join(document);
        let folder = folder.parent().unwrap();
        for link in read(document).split("](").skip(1) {
            let target = link.split([')', '#']).next().unwrap_or_default();
            let is_elsewhere = target.is_empty() || target.contains("://");
            assert!(
                is_elsewhere || folder.join(target).exists(),
                "{document} links to {target}, which does not exist"
            );
        }
    }
}

#[test]
fn paths_in_documents_exist() {
    let folders = [
        "src/",
        "tests/",
        "fuzz/",
        "benches/",
        "examples/",
        ".cargo/",
        ".ci/",
    ];
    // Made by runs, and not committed.
    let made = ["fuzz/corpus", "fuzz/artifacts"];
    for document in [
        "README.md",
        "ARCHITECTURE.md",
        ".github/CONTRIBUTING.md",
        "src/manual/fuzzing.md",
        "src/manual/threads.md",
    ] {
        for name in read(document).split('`').skip(1).step_by(2) {
            let is_path = folders.iter().any(|folder| name.starts_with(folder));
            let path = name.split(' ').next().unwrap_or_default();
            let is_found = made.contains(&path) || root().join(path).exists();
            assert!(
                !is_path || is_found,
                "{document} names {path}, which does not exist"
            );
        }
    }
}

/// What the code map names below `src/`: files, and folders with a slash at the end.
fn mapped() -> BTreeSet<String> {
    let text = read("ARCHITECTURE.md");
    let (_, map) = text.split_once("## The code map").unwrap();
    let (map, _) = map.split_once("\n## ").unwrap();
    let mut folder = "";
    let mut named = BTreeSet::new();
    for line in map.lines() {
        if line.starts_with("**") {
            let heading = line.strip_prefix("**`").unwrap_or_default();
            folder = heading.split('`').next().unwrap();
        } else if let Some(row) = line.strip_prefix("| `") {
            let (names, _) = row.split_once(" |").unwrap();
            let names = names.split('`').step_by(2);
            named.extend(
                names
                    .filter(|name| !name.is_empty())
                    .map(|name| format!("{folder}{name}")),
            );
        }
    }
    named
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn functions_in_architecture_exist() {
    let mut files = Vec::new();
    sources(&root().join("src"), &mut files);
    let code: String = files
        .iter()
        .map(|file| fs::read_to_string(file).unwrap())
        .collect();
    let text = read("ARCHITECTURE.md");
    for name in text.split('`').skip(1).step_by(2) {
        let Some((_, function)) = name.split_once("::") else {
            continue;
        };
        // Methods of std's traits are declared in std.
        let is_of_std = function == "write";
        let is_function = function.starts_with(|c: char| c.is_ascii_lowercase());
        let is_found = code.contains(&format!("fn {function}"));
        assert!(
            !is_function || is_of_std || is_found,
            "no function {name} is in src/"
        );
    }
}

#[test]
fn code_map_names_every_source_file() {
    let named = mapped();
    for name in &named {
        assert!(
            root().join(name).exists(),
            "the code map names {name}, which does not exist"
        );
    }
    let mut files = Vec::new();
    sources(&root().join("src"), &mut files);
    for file in files {
        let path = file
            .strip_prefix(root())
            .unwrap()
            .to_str()
            .unwrap()
            .to_owned();
        let is_in_folder = named
            .iter()
            .any(|name| name.ends_with('/') && path.starts_with(name));
        let is_tests = path.ends_with("/tests.rs");
        assert!(
            is_tests || is_in_folder || named.contains(&path),
            "the code map of ARCHITECTURE.md does not name {path}"
        );
    }
}
