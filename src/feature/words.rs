//! Values of 64 bits and texts as 32-bit words of a row, least significant first.

/// Bytes of a word.
const BYTES: usize = size_of::<f32>();

/// Puts an int64 into two words.
pub(super) fn put_whole(words: &mut [f32], value: i64) {
    let bits = value.cast_unsigned();
    for (word, bits) in words.iter_mut().zip([bits as u32, (bits >> 32) as u32]) {
        *word = f32::from_bits(bits);
    }
}

/// The int64 in two words.
pub(super) fn read_whole(words: &[f32]) -> i64 {
    let [low, high, ..] = words else { return 0 };
    (u64::from(low.to_bits()) | u64::from(high.to_bits()) << 32).cast_signed()
}

/// Puts a float64 into two words.
pub(super) fn put_double(words: &mut [f32], value: f64) {
    put_whole(words, value.to_bits().cast_signed());
}

/// The float64 in two words.
pub(super) fn read_double(words: &[f32]) -> f64 {
    f64::from_bits(read_whole(words).cast_unsigned())
}

/// Puts the length of a text and its bytes into words; says whether they were enough.
pub(super) fn put_text(words: &mut [f32], text: &str) -> bool {
    let Some((length, room)) = words.split_first_mut() else { return false };
    if text.len() > room.len() * BYTES {
        return false;
    }
    *length = f32::from_bits(text.len() as u32);
    for (word, part) in room.iter_mut().zip(text.as_bytes().chunks(BYTES)) {
        let mut bytes = [0; BYTES];
        bytes.iter_mut().zip(part).for_each(|(byte, part)| *byte = *part);
        *word = f32::from_bits(u32::from_le_bytes(bytes));
    }
    true
}

/// The text in words.
pub(super) fn read_text(words: &[f32]) -> String {
    let Some((length, room)) = words.split_first() else { return String::new() };
    let bytes = room.iter().flat_map(|word| word.to_bits().to_le_bytes()).take(length.to_bits() as usize).collect();
    String::from_utf8(bytes).unwrap_or_default()
}
