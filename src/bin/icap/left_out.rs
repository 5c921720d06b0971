//! What was left out of directories and lists.

use std::fmt;
use std::path::Path;

use crate::name::Name;

/// Why it was left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A symbolic link in a directory.
    Link,
    /// A pipe, a socket or a device.
    Special,
    /// By `--include` and `--exclude`.
    Excluded,
}

impl Kind {
    const ALL: [Self; 3] = [Self::Link, Self::Special, Self::Excluded];

    pub(crate) fn singular(self) -> &'static str {
        match self {
            Self::Link => "a symbolic link",
            Self::Special => "a special file",
            Self::Excluded => "excluded",
        }
    }

    fn noun(self, count: u64) -> &'static str {
        match (self, count) {
            (Self::Link, 1) => "symbolic link",
            (Self::Link, _) => "symbolic links",
            (Self::Special, 1) => "special file",
            (Self::Special, _) => "special files",
            (Self::Excluded, _) => "excluded",
        }
    }
}

/// The number of each kind, and the first name.
#[derive(Debug, Default)]
pub(crate) struct LeftOut {
    kinds: [(u64, Option<Name>); Kind::ALL.len()],
}

impl LeftOut {
    pub(crate) fn add(&mut self, kind: Kind, path: &Path) {
        let (count, first) = &mut self.kinds[kind as usize];
        *count += 1;
        first.get_or_insert_with(|| Name::of(path));
    }

    /// Without what the user wanted to be left out.
    pub(crate) fn unasked(&self) -> Self {
        let mut kinds = self.kinds.clone();
        kinds[Kind::Excluded as usize] = (0, None);
        Self { kinds }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.kinds.iter().all(|(count, _)| *count == 0)
    }
}

/// `left out: 2 symbolic links (first: in/link), 1 special file (in/pipe)`
impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "left out: ";
        for kind in Kind::ALL {
            if let (count, Some(first)) = &self.kinds[kind as usize] {
                let label = if *count == 1 { "" } else { "first: " };
                write!(
                    f,
                    "{separator}{count} {} ({label}{first})",
                    kind.noun(*count)
                )?;
                separator = ", ";
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_has_its_number_and_first_name() {
        let mut left_out = LeftOut::default();
        assert!(left_out.is_empty());
        for (kind, path) in [
            (Kind::Special, "pipe"),
            (Kind::Link, "b\n"),
            (Kind::Link, "c"),
        ] {
            left_out.add(kind, Path::new(path));
        }
        assert_eq!(
            left_out.to_string(),
            "left out: 2 symbolic links (first: b\\n), 1 special file (pipe)"
        );
    }
}
