//! Writing to the caller's writer, which may be slow, full or wrong.

use std::io::{self, ErrorKind, Write};

use crate::error::Error;

/// How often in a row a writer may say `Interrupted`: a signal interrupts a call now and then, not
/// always.
const MAX_INTERRUPTED: u32 = 1_000;

/// Writes all of `data`, and asks `is_in_time` before each call.
///
/// Unlike [`Write::write_all`] it ends in time for a writer that takes a byte a call or is always
/// interrupted, and it does not panic where a writer claims more than it was given.
pub(super) fn write_all(
    writer: &mut dyn Write,
    mut data: &[u8],
    is_in_time: impl Fn() -> Result<(), Error>,
) -> Result<(), Error> {
    let mut interrupted = 0;
    while !data.is_empty() {
        is_in_time()?;
        match writer.write(data) {
            Ok(0) => return Err(failed("the writer takes no more bytes")),
            Ok(len) if len > data.len() => {
                return Err(failed("the writer claims more bytes than it was given"));
            }
            Ok(len) => {
                data = &data[len..];
                interrupted = 0;
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {
                interrupted += 1;
                if interrupted == MAX_INTERRUPTED {
                    return Err(Error::Output(error));
                }
            }
            Err(error) => return Err(Error::Output(error)),
        }
    }
    Ok(())
}

fn failed(what: &str) -> Error {
    Error::Output(io::Error::new(ErrorKind::WriteZero, what))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{InputError, InvalidInput};
    use std::cell::Cell;

    /// Each call comes to what `reply` says of the bytes that it is given.
    struct Writer<F>(F);

    impl<F: FnMut(&[u8]) -> io::Result<usize>> Write for Writer<F> {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            (self.0)(bytes)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn written(reply: impl FnMut(&[u8]) -> io::Result<usize>) -> Result<(), Error> {
        write_all(&mut Writer(reply), b"hello", || Ok(()))
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
            assert!(matches!(error, Error::Output(_)), "{len}: {error:?}");
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
        assert!(matches!(error, Err(Error::Output(_))));
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
        let in_time = || match calls.get() {
            2 => Err(InputError::new(InvalidInput::Zero, "time").into()),
            _ => Ok(()),
        };
        assert!(write_all(&mut writer, b"hello", in_time).is_err());
        assert_eq!(calls.get(), 2);
    }
}
