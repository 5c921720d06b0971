//! Calls of a caller's writer, which may be slow, full or broken.

use std::io::{self, ErrorKind, Write};

/// How often in a row a writer may return `Interrupted`. A signal interrupts a call now and then, not always.
const MAX_INTERRUPTED: u32 = 1_000;

/// Why not all bytes were written.
#[derive(Debug)]
pub(super) enum WriteError<T> {
    /// The writer was not called any more.
    Stopped(T),
    /// The writer failed.
    Failed(io::Error),
}

/// Writes all of `data`, and asks before each call whether there is a reason to stop.
///
/// Unlike [`Write::write_all`] it ends in time if a writer takes a byte a call or is always interrupted, and it
/// does not panic if a writer claims more than it was given.
pub(super) fn write_all<T>(
    writer: &mut impl Write,
    mut data: &[u8],
    reason_to_stop: impl Fn() -> Option<T>,
) -> Result<(), WriteError<T>> {
    let failed = |what| {
        let error = io::Error::new(ErrorKind::WriteZero, what);
        Err(WriteError::Failed(error))
    };
    let mut interrupted = 0;
    while !data.is_empty() {
        if let Some(reason) = reason_to_stop() {
            return Err(WriteError::Stopped(reason));
        }
        match writer.write(data) {
            Ok(0) => return failed("the writer takes no more bytes"),
            Ok(len) if len > data.len() => {
                return failed("the writer claims more bytes than it was given");
            }
            Ok(len) => {
                data = &data[len..];
                interrupted = 0;
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {
                interrupted += 1;
                if interrupted == MAX_INTERRUPTED {
                    return Err(WriteError::Failed(error));
                }
            }
            Err(error) => return Err(WriteError::Failed(error)),
        }
    }
    Ok(())
}

/// Flushes, also if that is interrupted now and then.
pub(super) fn flush(writer: &mut (impl Write + ?Sized)) -> io::Result<()> {
    let mut interrupted = 0;
    loop {
        match writer.flush() {
            Err(error) if error.kind() == ErrorKind::Interrupted => {
                interrupted += 1;
                if interrupted == MAX_INTERRUPTED {
                    return Err(error);
                }
            }
            result => return result,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    /// Each call returns what the function makes of the bytes.
    struct Writer<F>(F);

    impl<F: FnMut(&[u8]) -> io::Result<usize>> Write for Writer<F> {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            (self.0)(bytes)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn written(reply: impl FnMut(&[u8]) -> io::Result<usize>) -> Result<(), WriteError<()>> {
        write_all(&mut Writer(reply), b"hello", || None)
    }

    #[test]
    fn writer_of_single_bytes_gets_all_in_order() {
        let mut got = Vec::new();
        written(|bytes| {
            got.push(bytes[0]);
            Ok(1)
        })
        .unwrap();
        assert_eq!(got, b"hello");
    }

    #[test]
    fn writer_that_claims_too_much_or_nothing_is_an_error() {
        for len in [0, 6, usize::MAX] {
            let error = written(|_| Ok(len)).unwrap_err();
            assert!(matches!(error, WriteError::Failed(_)), "{len}: {error:?}");
        }
        assert!(written(|bytes| Ok(bytes.len())).is_ok());
    }

    #[test]
    fn writer_that_is_always_interrupted_is_an_error() {
        let mut calls = 0;
        let error = written(|_| {
            calls += 1;
            Err(ErrorKind::Interrupted.into())
        });
        assert!(matches!(error, Err(WriteError::Failed(_))));
        assert_eq!(calls, MAX_INTERRUPTED);
        let mut is_second = false;
        let mut got = 0;
        let each_other_time = |_: &[u8]| {
            is_second = !is_second;
            if !is_second {
                return Err(ErrorKind::Interrupted.into());
            }
            got += 1;
            Ok(1)
        };
        assert!(written(each_other_time).is_ok());
        assert_eq!(got, 5);
    }

    #[test]
    fn writer_that_is_slow_is_stopped_between_two_calls() {
        let calls = Cell::new(0);
        let mut writer = Writer(|_: &[u8]| {
            calls.set(calls.get() + 1);
            Ok(1)
        });
        let time_is_up = || (calls.get() == 2).then_some("time is up");
        let result = write_all(&mut writer, b"hello", time_is_up);
        assert!(matches!(result, Err(WriteError::Stopped(_))), "{result:?}");
        assert_eq!(calls.get(), 2);
    }
}
