//! Opening a regular file, and nothing else.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::Path;

use crate::client::body::{Body, check_kind};

/// Opens a regular file.
///
/// Opening a pipe waits for a writer, past every deadline; without waiting, it releases a writer that waits, and to close
/// it again ends that program with SIGPIPE. Opening a device may do anything: a terminal becomes that of a daemon. So the
/// kind is checked first. The file may be exchanged after this check. Therefore opening does not wait, and the handle is
/// checked again: when its length is found, which must be done in any case.
pub(crate) fn open(path: &Path) -> io::Result<Body<'static>> {
    let by_path = fs::metadata(path)?;
    check_kind(&by_path)?;
    let file = open_without_waiting(path)?;
    if by_path.len() > 0 {
        return Ok(Body::file(file));
    }
    // Files in `/proc` have content all the same, so this length says nothing. It is that of the path: if the file was
    // exchanged for one of `/proc` since, the scan is an error.
    check_kind(&file.metadata()?)?;
    Ok(Body::seekable(file))
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
    use crate::error::ContentError;
    use std::io::Read;
    use std::os::unix::net::UnixListener;
    use std::process::{Command, Stdio};
    use std::sync::mpsc;
    use std::thread;
    use std::time::Duration;

    /// As if the file was exchanged after the first check.
    fn open_exchanged(path: &Path) -> io::Result<Body<'static>> {
        open_without_waiting(path).map(Body::file)
    }

    /// The result of `open` for a path, and of finding the length. It must not wait.
    fn kind_of(
        path: &Path,
        open: fn(&Path) -> io::Result<Body<'static>>,
    ) -> Result<(), io::ErrorKind> {
        let (sender, opened) = mpsc::channel();
        let path = path.to_owned();
        thread::spawn(move || {
            let found = open(&path).and_then(|mut body| {
                let kind = |error: ContentError| error.io_error().unwrap().kind();
                body.find_length().map_err(|error| kind(error).into())
            });
            sender.send(found.map(drop))
        });
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
        for open in [open, open_exchanged] {
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

    #[test]
    fn pipe_is_refused_and_its_writer_goes_on_waiting() {
        let dir = tempfile::tempdir().unwrap();
        let fifo = dir.path().join("fifo");
        assert!(
            Command::new("mkfifo")
                .arg(&fifo)
                .status()
                .unwrap()
                .success()
        );
        let write = "echo started; echo content > \"$0\"";
        let mut writer = Command::new("sh")
            .args(["-c", write])
            .arg(&fifo)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let started = writer.stdout.as_mut().unwrap().read(&mut [0]);
        assert_eq!(started.unwrap(), 1);
        // It waits for a reader during some of these.
        for _ in 0..50_000 {
            assert!(open(&fifo).is_err());
        }
        let (sender, read) = mpsc::channel();
        thread::spawn(move || sender.send(fs::read(&fifo)));
        let read = read.recv_timeout(Duration::from_secs(10));
        let _ = writer.kill();
        writer.wait().unwrap();
        assert_eq!(read.expect("the writer is gone").unwrap(), b"content\n");
    }
}
