//! Opening a regular file, and nothing else.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io;
use std::path::Path;

use crate::client::body::Body;

/// Opens a regular file.
///
/// What it is shows the handle: what a path names can be exchanged between a look and the call that opens it. So a pipe or
/// a device is opened too, and closed at once. Opening one can wait past every deadline, unless it is told not to.
pub(crate) fn open(path: &Path) -> io::Result<Body<'static>> {
    let file = match open_without_waiting(path) {
        Ok(file) => file,
        Err(error) => {
            // A socket cannot be opened, and the error of the system does not say why.
            fs::metadata(path).and_then(|metadata| check_kind(&metadata))?;
            return Err(error);
        }
    };
    let metadata = file.metadata()?;
    check_kind(&metadata)?;
    Ok(match metadata.len() {
        // Files in `/proc` have content all the same.
        0 => Body::seekable(file),
        _ => Body::file(file, &metadata),
    })
}

/// An error for anything but a regular file.
fn check_kind(metadata: &Metadata) -> io::Result<()> {
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

fn open_without_waiting(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        // A regular file is read the same with the flag and without it.
        options.custom_flags(O_NONBLOCK);
    }
    options.open(path)
}

/// `O_NONBLOCK` of `fcntl.h`, for the platforms that std knows. On others, opening a pipe waits for its writer.
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

    /// The result of opening it, which must not wait.
    fn opened(path: &Path) -> Result<(), io::ErrorKind> {
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
        assert_eq!(opened(&path("file")), Ok(()));
        assert_eq!(opened(&path("link")), Ok(()));
        let not_regular = Err(io::ErrorKind::InvalidInput);
        for name in ["fifo", "link-to-fifo", "socket"] {
            assert_eq!(opened(&path(name)), not_regular, "{name}");
        }
        assert_eq!(opened(Path::new("/dev/null")), not_regular);
        assert_eq!(opened(dir.path()), Err(io::ErrorKind::IsADirectory));
        assert_eq!(opened(&path("none")), Err(io::ErrorKind::NotFound));
    }
}
