//! Edges between files, and which of them are part of a circle.

use std::collections::{BTreeMap, BTreeSet};

/// A file of `src` names something in another.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Edge {
    pub(crate) from: String,
    pub(crate) to: String,
    /// Only unit tests do so.
    pub(crate) is_test: bool,
}

/// The edges that lie on a circle, unit tests left out.
///
/// A `mod.rs` declares the files of its folder and may use them; those edges are the tree itself.
pub(crate) fn edges_in_circles(edges: &[Edge]) -> Vec<(&str, &str)> {
    let mut next: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for edge in edges {
        if !edge.is_test && !is_parent(&edge.from, &edge.to) && top(&edge.from) == top(&edge.to) {
            next.entry(&edge.from).or_default().insert(&edge.to);
        }
    }
    let reached: BTreeMap<&str, BTreeSet<&str>> = next
        .keys()
        .map(|&file| (file, reach(file, &next)))
        .collect();
    let is_back = |from: &str, to: &str| reached.get(to).is_some_and(|files| files.contains(from));
    let edges = next
        .iter()
        .flat_map(|(&from, files)| files.iter().map(move |&to| (from, to)));
    edges.filter(|(from, to)| is_back(from, to)).collect()
}

fn top(file: &str) -> &str {
    file.split('/').next().unwrap_or_default()
}

fn is_parent(from: &str, to: &str) -> bool {
    let folder = from.strip_suffix("mod.rs");
    from == "lib.rs" || folder.is_some_and(|folder| to.starts_with(folder))
}

/// All that can be reached from a file.
fn reach<'f>(file: &'f str, next: &BTreeMap<&'f str, BTreeSet<&'f str>>) -> BTreeSet<&'f str> {
    let mut reached = BTreeSet::new();
    let mut left = vec![file];
    while let Some(file) = left.pop() {
        let files = next.get(file).into_iter().flatten();
        left.extend(files.filter(|&&file| reached.insert(file)));
    }
    reached
}

#[test]
fn only_edges_on_a_circle_are_found() {
    let edge = |from: &str, to: &str, is_test| Edge {
        from: from.to_owned(),
        to: to.to_owned(),
        is_test,
    };
    let edges = [
        edge("a/x.rs", "a/y.rs", false),
        edge("a/y.rs", "a/z.rs", false),
        edge("a/z.rs", "a/x.rs", false),
        edge("a/z.rs", "a/w.rs", false),
        edge("a/w.rs", "a/x.rs", true),
        edge("a/mod.rs", "a/x.rs", false),
        edge("a/x.rs", "a/mod.rs", false),
    ];
    let circle = [
        ("a/x.rs", "a/y.rs"),
        ("a/y.rs", "a/z.rs"),
        ("a/z.rs", "a/x.rs"),
    ];
    assert_eq!(edges_in_circles(&edges), circle);
}
