//! A lower layer never names a higher one, and the files of a layer do not use one another in a circle.
//!
//! The sources are parsed: every `use` and every path with `crate`, `self`, `super`, an imported name or a
//! child module counts, also in macros. A re-export counts as a use of what is re-exported. Imports for the
//! documentation (`cfg(doc)`) do not count.
//!
//! Unit tests obey the same order of layers, except that they may use `fuzz_checks` and `testing`. In circles
//! they do not count: the tests of a file may use its neighbours.

mod graph;
mod modules;
mod paths;

use std::collections::BTreeSet;
use std::path::Path;

use graph::Edge;
use modules::Crate;

/// The layers, the lowest first. `proto` and `evidence` are pure: they use no clock, no lock and nothing random.
const LAYERS: [&str; 8] = [
    "proto", "evidence", "seam", "error", "stats", "net", "client", "scan",
];

/// Beside the layers: these may use every layer, and no layer may use them.
const BESIDE: [&str; 4] = ["fuzz_checks", "lib.rs", "manual", "testing"];

/// Wrong edges that are known. The list may only shrink.
const KNOWN: &[(&str, &str)] = &[];

fn rank(file: &str) -> usize {
    let top = file.split('/').next().unwrap_or_default();
    let top = top.strip_suffix(".rs").unwrap_or(top);
    let layer = LAYERS.iter().position(|layer| *layer == top);
    let is_beside = BESIDE.contains(&top) || BESIDE.contains(&file);
    layer.unwrap_or_else(|| {
        assert!(is_beside, "src/{file} belongs to no layer: see LAYERS");
        LAYERS.len()
    })
}

fn is_upward(edge: &Edge) -> bool {
    let serves_tests = ["fuzz_checks/", "testing/"]
        .iter()
        .any(|folder| edge.to.starts_with(folder));
    rank(&edge.from) < rank(&edge.to) && !(edge.is_test && serves_tests)
}

#[test]
fn layers_are_used_downward_and_without_circles() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let edges = Crate::read(&src).edges();
    assert!(edges.len() > 100, "only {} edges were found", edges.len());
    let upward = edges.iter().filter(|edge| is_upward(edge));
    let upward = upward.map(|edge| (edge.from.as_str(), edge.to.as_str()));
    let circles = graph::edges_in_circles(&edges);
    let wrong: BTreeSet<_> = upward.chain(circles).collect();
    let known: BTreeSet<_> = KNOWN.iter().copied().collect();
    let list = |edges: Vec<&(&str, &str)>| -> String {
        let lines = edges.iter().map(|edge| format!("    {edge:?},\n"));
        lines.collect()
    };
    let added = list(wrong.difference(&known).collect());
    let gone = list(known.difference(&wrong).collect());
    assert!(
        added.is_empty() && gone.is_empty(),
        "\nthese uses go upward or are part of a circle of files:\n{added}\
         \nthese are repaired; delete them from KNOWN:\n{gone}"
    );
}
