//! `--include` and `--exclude`.

use std::path::Path;

use globset::{Glob, GlobBuilder, GlobSet, GlobSetBuilder};

/// Which files in directories are scanned.
#[derive(Debug, Clone, Default)]
pub(crate) struct Globs {
    /// `None` selects every file.
    include: Option<GlobSet>,
    exclude: GlobSet,
}

impl Globs {
    pub(crate) fn new(include: &[Glob], exclude: &[Glob]) -> Result<Self, globset::Error> {
        let include = (!include.is_empty()).then(|| set(include)).transpose()?;
        let exclude = set(exclude)?;
        Ok(Self { include, exclude })
    }

    /// Whether the file at `path`, below the directory that is scanned, is to be scanned.
    pub(crate) fn selects(&self, path: &Path) -> bool {
        let is_included = |include: &GlobSet| include.is_match(path);
        self.include.as_ref().is_none_or(is_included) && !self.excludes(path)
    }

    /// Whether the file or directory at `path` is excluded.
    pub(crate) fn excludes(&self, path: &Path) -> bool {
        self.exclude.is_match(path)
    }
}

fn set(globs: &[Glob]) -> Result<GlobSet, globset::Error> {
    let mut builder = GlobSetBuilder::new();
    for glob in globs {
        builder.add(glob.clone());
    }
    builder.build()
}

/// Parses a glob. One without `/` is about the name of a file, another one about its path below the directory that
/// is scanned.
pub(crate) fn glob(text: &str) -> Result<Glob, String> {
    let anywhere = if text.contains('/') {
        let below = text.strip_prefix('/').unwrap_or(text);
        below.to_owned()
    } else {
        format!("**/{text}")
    };
    GlobBuilder::new(&anywhere)
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
        let globs = globs(&[], &["tmp/*", "/top"]);
        for (path, is_selected) in [
            ("tmp/a", false),
            ("x/tmp/a", true),
            ("tmp/x/a", true),
            ("top", false),
            ("x/top", true),
        ] {
            assert_eq!(globs.selects(Path::new(path)), is_selected, "{path}");
        }
        assert!(glob("[a").is_err());
    }
}
