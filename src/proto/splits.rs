//! For tests: the same bytes in every way in which they can arrive.

/// Calls `check` with the input as a whole, byte by byte, and cut in two at every place.
pub(crate) fn each_split(input: &[u8], mut check: impl FnMut(&[&[u8]])) {
    check(&[input]);
    let bytes: Vec<&[u8]> = input.chunks(1).collect();
    check(&bytes);
    for at in 1..input.len() {
        let (first, second) = input.split_at(at);
        check(&[first, second]);
    }
}
