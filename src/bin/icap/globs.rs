//! `--include` and `--exclude`.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use globset::{Glob, GlobBuilder, GlobSet, GlobSetBuilder};

/// Which files in directories are scanned. Clones share which globs have matched.
#[derive(Debug, Clone, Default)]
pub(crate) struct Globs {
    /// Without any, every file is selected.
    include: Rules,
    exclude: Rules,
}

/// The globs of one option.
#[derive(Debug, Clone, Default)]
struct Rules {
    set: GlobSet,
    /// Each glob, and whether it has matched.
    globs: Arc<[(String, AtomicBool)]>,
}

impl Globs {
    pub(crate) fn new(include: &[Glob], exclude: &[Glob]) -> Result<Self, globset::Error> {
        Ok(Self {
            include: Rules::new(include)?,
            exclude: Rules::new(exclude)?,
        })
    }

    /// Whether the file at `path`, below the directory that is scanned, is to be scanned.
    pub(crate) fn selects(&self, path: &Path) -> bool {
        let is_excluded = self.excludes(path);
        (self.include.globs.is_empty() || self.include.matches(path)) && !is_excluded
    }

    /// Whether the file or directory at `path` is excluded.
    pub(crate) fn excludes(&self, path: &Path) -> bool {
        self.exclude.matches(path)
    }

    /// The options that have matched nothing, as they were given.
    pub(crate) fn unused(&self) -> Vec<String> {
        let options = [("--include", &self.include), ("--exclude", &self.exclude)];
        let unused = options.iter().flat_map(|(option, rules)| {
            let globs = rules.globs.iter().filter(|(_, used)| !used.load(Relaxed));
            globs.map(move |(glob, _)| format!("{option} '{glob}'"))
        });
        unused.collect()
    }
}

impl Rules {
    fn new(globs: &[Glob]) -> Result<Self, globset::Error> {
        let mut builder = GlobSetBuilder::new();
        for glob in globs {
            builder.add(glob.clone());
        }
        let text = |glob: &Glob| glob.glob().trim_start_matches(ANYWHERE).to_owned();
        let globs = globs.iter().map(|it| (text(it), AtomicBool::new(false)));
        Ok(Self {
            set: builder.build()?,
            globs: globs.collect(),
        })
    }

    fn matches(&self, path: &Path) -> bool {
        let matches = self.set.matches(path);
        for index in &matches {
            self.globs[*index].1.store(true, Relaxed);
        }
        !matches.is_empty()
    }
}

/// Before the name of a file in any directory.
const ANYWHERE: &str = "**/";

/// Parses a glob. One without `/` is about the name of a file, another one about its path below the directory that
/// is scanned, as one that begins with `./` or `/`. A `/` at the end, as shells complete it, is left out.
pub(crate) fn glob(text: &str) -> Result<Glob, String> {
    let path = text.strip_suffix('/').unwrap_or(text);
    let below = path.strip_prefix("./").or(path.strip_prefix('/'));
    let full = match below {
        Some(below) => below.to_owned(),
        None if path.contains('/') => path.to_owned(),
        None => format!("{ANYWHERE}{path}"),
    };
    GlobBuilder::new(&full)
        .literal_separator(true)
        .backslash_escape(true)
        .build()
        .map_err(|error| error.kind().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn globs(include: &[&str], exclude: &[&str]) -> Globs {
        let parse = |texts: &[&str]| texts.iter().map(|text| glob(text).unwrap()).collect();
        let (include, exclude): (Vec<_>, Vec<_>) = (parse(include), parse(exclude));
        Globs::new(&include, &exclude).unwrap()
    }

    #[test]
    fn glob_without_slash_is_about_the_name() {
        let globs = globs(&["*.zip"], &["old.*"]);
        for (path, is_selected) in [
            ("a.zip", true),
            ("x/y/a.zip", true),
            ("a.zip/b", false),
            ("x/old.zip", false),
            ("a.pdf", false),
        ] {
            assert_eq!(globs.selects(Path::new(path)), is_selected, "{path}");
        }
    }

    #[test]
    fn glob_with_slash_is_about_the_path() {
        let globs = globs(&[], &["tmp/*", "/top", "./here", "./in/", "cache/"]);
        for (path, is_selected) in [
            ("tmp/a", false),
            ("x/tmp/a", true),
            ("tmp/x/a", true),
            ("top", false),
            ("x/top", true),
            ("here", false),
            ("x/here", true),
            ("in", false),
            ("x/in", true),
            ("cache", false),
            ("x/cache", false),
        ] {
            assert_eq!(globs.selects(Path::new(path)), is_selected, "{path}");
        }
        assert!(glob("[a").is_err());
    }
}
