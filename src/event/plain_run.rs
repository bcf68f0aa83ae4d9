//! How far the text of a JSON string goes without anything special, eight bytes at a time.

/// Length of the longest prefix without quote, backslash or control character. Looks at eight bytes at a time.
#[inline]
pub(super) fn plain_run(bytes: &[u8]) -> usize {
    let (words, rest) = bytes.as_chunks::<8>();
    for (index, word) in words.iter().enumerate() {
        let marks = special_bytes(u64::from_le_bytes(*word));
        if marks != 0 {
            return index * 8 + marks.trailing_zeros() as usize / 8;
        }
    }
    let special = rest.iter().position(|&byte| byte < 0x20 || byte == b'"' || byte == b'\\');
    bytes.len() - rest.len() + special.unwrap_or(rest.len())
}

/// Sets the high bit of the first byte that is a quote, a backslash or a control character; those above it may have theirs
/// set for no reason (Anderson, "Bit Twiddling Hacks": determine if a word has a byte less than n).
#[inline]
fn special_bytes(word: u64) -> u64 {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGHS: u64 = 0x8080_8080_8080_8080;
    let quotes = word ^ (ONES * u64::from(b'"'));
    let backslashes = word ^ (ONES * u64::from(b'\\'));
    let less = |word: u64, limit: u64| word.wrapping_sub(ONES * limit) & !word;
    (less(word, 0x20) | less(quotes, 1) | less(backslashes, 1)) & HIGHS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_run_ends_at_the_first_special_byte_wherever_it_stands() {
        for special in (0..0x20).chain([b'"', b'\\']) {
            for before in 0..20 {
                for plain in [b'a', b'!', b'#', b'[', b']', 0x7f, 0x80, 0xa2, 0xdc, 0xff] {
                    let bytes = [vec![plain; before], vec![special], vec![b'"'; 9]].concat();
                    assert_eq!(plain_run(&bytes), before, "{special:#x} after {plain:#x}");
                    assert_eq!(plain_run(&bytes[..before]), before);
                }
            }
        }
    }
}
