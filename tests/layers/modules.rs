//! The modules of the crate, and which file a path leads to.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crate::graph::Edge;
use crate::paths::{self, Module};

/// More steps from re-export to re-export than there are.
const MAX_STEPS: usize = 16;

/// All modules of the library.
pub(crate) struct Crate {
    modules: Vec<Module>,
}

impl Crate {
    pub(crate) fn read(src: &Path) -> Self {
        let mut modules = Vec::new();
        read_folder(src, src, &mut modules);
        Self { modules }
    }

    /// Which file names something in which other one.
    pub(crate) fn edges(&self) -> Vec<Edge> {
        let mut edges = BTreeSet::new();
        for module in &self.modules {
            for path in &module.named {
                let target = self.absolute(module, path);
                let target = target.and_then(|path| self.resolve(path, MAX_STEPS));
                if let Some(target) = target.filter(|target| target.file != module.file) {
                    edges.insert(Edge {
                        from: module.file.clone(),
                        to: target.file.clone(),
                        is_test: module.is_test,
                    });
                }
            }
        }
        edges.into_iter().collect()
    }

    fn module(&self, path: &[String]) -> Option<&Module> {
        self.modules.iter().find(|module| module.path == path)
    }

    /// The path from the root of what `module` names; `None` if that is no part of this crate.
    fn absolute(&self, module: &Module, path: &[String]) -> Option<Vec<String>> {
        let (first, rest) = path.split_first()?;
        match first.as_str() {
            "crate" => Some(rest.to_vec()),
            "self" => Some([&module.path[..], rest].concat()),
            "super" => {
                let supers = path.iter().take_while(|name| *name == "super").count();
                let parent = &module.path[..module.path.len().checked_sub(supers)?];
                Some([parent, &path[supers..]].concat())
            }
            name => {
                if let Some(imported) = self.imported(module, name) {
                    return Some([imported, rest.to_vec()].concat());
                }
                let child = [&module.path[..], std::slice::from_ref(first)].concat();
                let is_child = self.module(&child).is_some();
                is_child.then(|| [child, rest.to_vec()].concat())
            }
        }
    }

    /// What an imported name stands for; `None` if it is another crate's.
    fn imported(&self, module: &Module, name: &str) -> Option<Vec<String>> {
        let mut imports = module.imported.iter();
        let (_, target) = imports.find(|(imported, _)| imported == name)?;
        let is_foreign = target.first().is_some_and(|first| first == name);
        let target = (!is_foreign).then_some(target)?;
        self.absolute(module, target)
    }

    /// The module that defines what a path leads to.
    fn resolve(&self, path: Vec<String>, steps: usize) -> Option<&Module> {
        let lengths = (0..=path.len()).rev();
        let prefixes = lengths.filter_map(|len| Some((len, self.module(&path[..len])?)));
        let (len, module) = prefixes.into_iter().next()?;
        let Some(name) = path.get(len) else {
            return Some(module);
        };
        if module.defined.contains(name) || steps == 0 {
            return Some(module);
        }
        let imported = module.imported.iter().find(|(import, _)| import == name);
        let target = imported.and_then(|(_, target)| self.absolute(module, target));
        if let Some(target) = target {
            let rest = path[len + 1..].to_vec();
            return self.resolve([target, rest].concat(), steps - 1);
        }
        let through_glob = module.globs.iter().find_map(|glob| {
            let target = self.absolute(module, glob)?;
            let found = self.resolve([target, path[len..].to_vec()].concat(), steps - 1)?;
            found.defined.contains(name).then_some(found)
        });
        Some(through_glob.unwrap_or(module))
    }
}

fn read_folder(src: &Path, folder: &Path, modules: &mut Vec<Module>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let file = path.strip_prefix(src).unwrap().to_str().unwrap().to_owned();
        if file == "bin" {
            // A crate of its own.
        } else if path.is_dir() {
            read_folder(src, &path, modules);
        } else if let Some(name) = file.strip_suffix(".rs") {
            let names = name
                .split('/')
                .filter(|name| !["lib", "mod"].contains(name));
            let names: Vec<String> = names.map(str::to_owned).collect();
            let is_test = names.last().is_some_and(|name| name == "tests");
            let code = syn::parse_file(&fs::read_to_string(&path).unwrap());
            let code = code.unwrap_or_else(|error| panic!("{file}: {error}"));
            modules.extend(paths::modules(&file, names, is_test, &code));
        }
    }
}

#[test]
fn edges_follow_exports_globs_and_children() {
    let dir = tempfile::tempdir().unwrap();
    let write = |file: &str, code: &str| {
        let path = dir.path().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, code).unwrap();
    };
    write(
        "lib.rs",
        "pub use scan::A; pub mod limits { pub use crate::net::*; }",
    );
    write("scan/mod.rs", "mod part; pub struct A; use part::B;");
    write("scan/part.rs", "use super::A; pub struct B(A, log::Level);");
    write("net.rs", "pub const MAX: u8 = 0;");
    write("proto.rs", "fn f() { vec![crate::A, crate::limits::MAX] }");
    let edges = Crate::read(dir.path()).edges();
    let edges: Vec<_> = edges.iter().map(|edge| (&*edge.from, &*edge.to)).collect();
    let expected = [
        ("lib.rs", "net.rs"),
        ("lib.rs", "scan/mod.rs"),
        ("proto.rs", "net.rs"),
        ("proto.rs", "scan/mod.rs"),
        ("scan/mod.rs", "scan/part.rs"),
        ("scan/part.rs", "scan/mod.rs"),
    ];
    assert_eq!(edges, expected);
}
