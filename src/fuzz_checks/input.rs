//! From the bytes a fuzzer gives to what a check is called with.

/// Takes choices and texts from the front of some bytes.
///
/// Bytes that are used up give zeros and empty texts, so every input means something, and a small
/// change of the bytes is a small change of what they mean.
pub(super) struct Input<'d> {
    rest: &'d [u8],
}

impl<'d> Input<'d> {
    pub(super) fn new(data: &'d [u8]) -> Self {
        Self { rest: data }
    }

    pub(super) fn byte(&mut self) -> u8 {
        let Some((&byte, rest)) = self.rest.split_first() else {
            return 0;
        };
        self.rest = rest;
        byte
    }

    pub(super) fn choose<T: Copy>(&mut self, from: &[T]) -> T {
        from[usize::from(self.byte()) % from.len()]
    }

    /// A length of one byte, then as many bytes.
    pub(super) fn text(&mut self) -> &'d [u8] {
        let len = usize::from(self.byte()).min(self.rest.len());
        let (text, rest) = self.rest.split_at(len);
        self.rest = rest;
        text
    }

    /// All that is left.
    pub(super) fn rest(&mut self) -> &'d [u8] {
        std::mem::take(&mut self.rest)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }
}

/// Calls `check` with the bytes as they may arrive: one by one, cut in two, and cut in three around
/// each line end. All places are tried in short inputs, and so many that a long one takes no longer.
pub(super) fn each_split(data: &[u8], mut check: impl FnMut(&[&[u8]])) {
    const PLACES: usize = 32;
    check(&data.chunks(1).collect::<Vec<_>>());
    for at in (1..data.len()).step_by(data.len() / PLACES + 1) {
        let (first, second) = data.split_at(at);
        check(&[first, second]);
    }
    let line_ends = memchr::memchr_iter(b'\n', data).filter(|&lf| lf > 0);
    for lf in line_ends.take(PLACES) {
        check(&[&data[..lf - 1], &data[lf - 1..lf], &data[lf..]]);
    }
}

/// The places of `sub` in `whole`, which it must be a part of.
pub(super) fn assert_part_of(sub: &[u8], whole: &[u8]) {
    let (sub, whole) = (sub.as_ptr_range(), whole.as_ptr_range());
    assert!(whole.start <= sub.start && sub.end <= whole.end);
}

/// What may be shown to people: bounded, and no character that does more than show itself.
pub(super) fn assert_displayable(shown: &str) {
    use crate::proto::limits::MAX_DISPLAY;
    // The longest escape is `\u{10ffff}`.
    assert!(shown.chars().count() <= MAX_DISPLAY * 10 + 1, "{shown:?}");
    assert!(
        shown.chars().all(crate::protocol::is_displayable),
        "{shown:?}"
    );
}
