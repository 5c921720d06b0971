//! Opening a regular file, and nothing else.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io;
use std::path::Path;

/// Opens a regular file for reading. Returns its metadata as well.
///
/// Opening a pipe waits for a writer, past every deadline, and opening a device may do anything. So the kind is
/// checked first. The file may be exchanged after this check. Therefore opening does not wait, and the handle is
/// checked again.
pub(crate) fn open(path: &Path) -> io::Result<(File, Metadata)> {
    check(&fs::metadata(path)?)?;
    open_without_waiting(path)
}

fn open_without_waiting(path: &Path) -> io::Result<(File, Metadata)> {
    let mut options = OpenOptions::new();
    options.read(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.custom_flags(O_NONBLOCK);
    }
    let file = options.open(path)?;
    // A regular file is read the same with the flag and without it.
    let metadata = file.metadata()?;
    check(&metadata)?;
    Ok((file, metadata))
}

fn check(metadata: &Metadata) -> io::Result<()> {
    if metadata.is_file() {
        Ok(())
    } else if metadata.is_dir() {
        Err(io::ErrorKind::IsADirectory.into())
    } else {
        Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "not a regular file (a pipe or a device can be scanned with `Content::reader`)",
        ))
    }
}

/// `O_NONBLOCK` of `fcntl.h`, for the platforms that std knows. On others, opening may wait if the file is
/// exchanged for a pipe right after the first check.
#[cfg(unix)]
const O_NONBLOCK: i32 = if cfg!(any(target_os = "linux", target_os = "android")) {
    if cfg!(any(target_arch = "mips", target_arch = "mips64")) {
        0x80
    } else if cfg!(any(target_arch = "sparc", target_arch = "sparc64")) {
        0x4000
    } else {
        0x800
    }
} else if cfg!(any(
    target_vendor = "apple",
    target_os = "freebsd",
    target_os = "dragonfly",
    target_os = "netbsd",
    target_os = "openbsd",
    target_os = "aix"
)) {
    0x4
} else if cfg!(any(
    target_os = "solaris",
    target_os = "illumos",
    target_os = "haiku"
)) {
    0x80
} else {
    0
};

#[cfg(unix)]
#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixListener;
    use std::process::Command;
    use std::sync::mpsc;
    use std::thread;
    use std::time::Duration;

    /// The result of `open` for a path. It must not wait.
    fn kind_of(
        path: &Path,
        open: fn(&Path) -> io::Result<(File, Metadata)>,
    ) -> Result<(), io::ErrorKind> {
        let (sender, opened) = mpsc::channel();
        let path = path.to_owned();
        thread::spawn(move || sender.send(open(&path).map(drop)));
        let opened = opened.recv_timeout(Duration::from_secs(10));
        opened
            .expect("it does not wait")
            .map_err(|error| error.kind())
    }

    #[test]
    fn other_than_a_regular_file_is_refused_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        fs::write(path("file"), b"hello").unwrap();
        std::os::unix::fs::symlink(path("file"), path("link")).unwrap();
        let made = Command::new("mkfifo").arg(path("fifo")).status().unwrap();
        assert!(made.success());
        std::os::unix::fs::symlink(path("fifo"), path("link-to-fifo")).unwrap();
        let _socket = UnixListener::bind(path("socket")).unwrap();
        // The second function is the case that the file was exchanged after the first check.
        for open in [open, open_without_waiting] {
            assert_eq!(kind_of(&path("file"), open), Ok(()));
            assert_eq!(kind_of(&path("link"), open), Ok(()));
            let not_regular = Err(io::ErrorKind::InvalidInput);
            assert_eq!(kind_of(&path("fifo"), open), not_regular);
            assert_eq!(kind_of(&path("link-to-fifo"), open), not_regular);
            assert_eq!(kind_of(Path::new("/dev/null"), open), not_regular);
            let directory = Err(io::ErrorKind::IsADirectory);
            assert_eq!(kind_of(dir.path(), open), directory);
            assert_eq!(kind_of(&path("none"), open), Err(io::ErrorKind::NotFound));
        }
        let not_regular = Err(io::ErrorKind::InvalidInput);
        assert_eq!(kind_of(&path("socket"), open), not_regular);
    }
}
