//! One random change of an input.

use rand::{Rng, RngExt};

/// Numbers at which something changes: ends of types, powers of two, sizes of pages.
const NUMBERS: [i64; 18] = [
    0,
    1,
    -1,
    7,
    16,
    127,
    128,
    255,
    256,
    32_767,
    65_535,
    65_536,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
    i64::MAX,
    i64::MIN,
    1 << 53,
];

/// Changes `input` in one of fourteen ways; `other` is another input to take from.
pub fn mutate(input: &mut Vec<u8>, other: &[u8], dictionary: &[&str], random: &mut impl Rng) {
    match random.random_range(0..14) {
        0 => {
            if let Some(byte) = any(input, random) {
                *byte ^= 1 << random.random_range(0..8);
            }
        }
        1 => {
            if let Some(byte) = any(input, random) {
                *byte = random.random();
            }
        }
        2 => {
            if let Some(byte) = any(input, random) {
                *byte = byte.wrapping_add(random.random_range(-8_i8..=8).cast_unsigned());
            }
        }
        3 => overwrite_number(input, random),
        4 => replace_decimal(input, random),
        5 => {
            let range = range(input.len(), random);
            input.drain(range);
        }
        6 => {
            let piece = input[range(input.len(), random)].to_vec();
            insert(input, &piece, random);
        }
        7 => {
            let times = 1 << random.random_range(1..10);
            let start = random.random_range(0..=input.len());
            let piece = &input[start..(start + random.random_range(1..16)).min(input.len())];
            insert(input, &piece.repeat(times), random);
        }
        8 => {
            let piece = &other[range(other.len(), random)];
            insert(input, piece, random);
        }
        9 => {
            // Both keep to their own places, as the parts of a format do.
            let place = random.random_range(0..=input.len().min(other.len()));
            input.truncate(place);
            input.extend_from_slice(&other[place..]);
        }
        10 => input.truncate(random.random_range(0..=input.len())),
        11 | 12 if !dictionary.is_empty() => {
            let word = dictionary[random.random_range(0..dictionary.len())];
            insert(input, word.as_bytes(), random);
        }
        13 if !dictionary.is_empty() => {
            let word = dictionary[random.random_range(0..dictionary.len())];
            let range = word_at(input, random.random_range(0..=input.len()));
            input.splice(range, word.bytes());
        }
        _ => {
            let piece: Vec<u8> = (0..random.random_range(1..9)).map(|_| random.random()).collect();
            insert(input, &piece, random);
        }
    }
}

fn any<'a>(input: &'a mut [u8], random: &mut impl Rng) -> Option<&'a mut u8> {
    let length = input.len();
    if length == 0 { None } else { input.get_mut(random.random_range(0..length)) }
}

/// A range that is mostly short.
fn range(length: usize, random: &mut impl Rng) -> std::ops::Range<usize> {
    let start = random.random_range(0..=length);
    let longest = if random.random_bool(0.8) { 16 } else { length };
    start..(start + random.random_range(0..=longest)).min(length)
}

fn insert(input: &mut Vec<u8>, piece: &[u8], random: &mut impl Rng) {
    let place = random.random_range(0..=input.len());
    input.splice(place..place, piece.iter().copied());
}

/// Puts a number in place of one, two, four or eight bytes.
fn overwrite_number(input: &mut [u8], random: &mut impl Rng) {
    let number = NUMBERS[random.random_range(0..NUMBERS.len())];
    let width = 1 << random.random_range(0..4);
    let bytes = if random.random_bool(0.7) {
        number.to_le_bytes()[..width].to_vec()
    } else {
        number.to_be_bytes()[8 - width..].to_vec()
    };
    if input.len() >= width {
        let place = random.random_range(0..=input.len() - width);
        input[place..place + width].copy_from_slice(&bytes);
    }
}

/// Puts a number in place of digits.
fn replace_decimal(input: &mut Vec<u8>, random: &mut impl Rng) {
    let from = random.random_range(0..=input.len());
    let Some(start) = input[from..].iter().position(u8::is_ascii_digit).map(|place| from + place) else { return };
    let end =
        input[start..].iter().position(|byte| !byte.is_ascii_digit()).map_or(input.len(), |length| start + length);
    let number = NUMBERS[random.random_range(0..NUMBERS.len())];
    let text = match random.random_range(0..8) {
        0 => format!("{number}.5"),
        1 => format!("1e{}", number % 1_000),
        2 => random.random::<u128>().to_string(),
        3..5 => random.random_range(0..100).to_string(),
        _ => number.to_string(),
    };
    input.splice(start..end, text.bytes());
}

/// The word around a place.
fn word_at(input: &[u8], place: usize) -> std::ops::Range<usize> {
    let is_end = |byte: &u8| !byte.is_ascii_alphanumeric() && *byte != b'_';
    let start = input[..place].iter().rposition(is_end).map_or(0, |before| before + 1);
    let end = input[place..].iter().position(is_end).map_or(input.len(), |length| place + length);
    start..end
}
