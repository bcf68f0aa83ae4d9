//! Decimal digits become numbers while they are passed, eight at a time.

/// The digits at the start of some bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Digits {
    /// How many they are.
    pub(super) count: usize,
    /// The number that they continue, modulo 2^64.
    pub(super) value: u64,
}

/// Reads digits that continue the number `value`. How many there are decides no branch but every eighth: lengths of
/// identifiers can't be foretold.
#[inline]
pub(super) fn digits(bytes: &[u8], mut value: u64) -> Digits {
    let mut rest = bytes;
    while let Some(word) = rest.first_chunk() {
        let word = u64::from_le_bytes(*word) ^ (ONES * u64::from(b'0'));
        let count = leading_digits(word);
        if count == 0 {
            break;
        }
        // Those that follow are pushed out, and zeros come in before the first one.
        let eight = eight_digits(word << (64 - 8 * count));
        value = value.wrapping_mul(POWERS_OF_TEN.get(count).copied().unwrap_or(0)).wrapping_add(eight);
        rest = rest.get(count..).unwrap_or_default();
        if count < 8 {
            return Digits { count: bytes.len() - rest.len(), value };
        }
    }
    while let [digit @ b'0'..=b'9', after @ ..] = rest {
        value = value.wrapping_mul(10).wrapping_add(u64::from(digit - b'0'));
        rest = after;
    }
    Digits { count: bytes.len() - rest.len(), value }
}

const ONES: u64 = 0x0101_0101_0101_0101;

const POWERS_OF_TEN: [u64; 9] = [1, 10, 100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000];

/// How many bytes of a word, from the lowest on, are at most 9.
#[inline]
fn leading_digits(word: u64) -> usize {
    // The high bit marks what is above 9. A mark may be carried upwards, which leaves the lowest one where it belongs.
    let above = (word | word.wrapping_add(ONES * (0x80 - 10))) & (ONES * 0x80);
    above.trailing_zeros() as usize / 8
}

/// The number that eight digits from 0 to 9 write, the first one in the lowest byte. Neighbours are joined three times: to
/// pairs, to fours, to eight (Lemire, "Quickly parsing eight digits", 2018).
#[inline]
fn eight_digits(ones: u64) -> u64 {
    let pairs = (ones.wrapping_mul(1 + (10 << 8)) >> 8) & 0x00ff_00ff_00ff_00ff;
    let fours = (pairs.wrapping_mul(1 + (100 << 16)) >> 16) & 0x0000_ffff_0000_ffff;
    fours.wrapping_mul(1 + (10_000 << 32)) >> 32
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn any_byte_that_is_no_digit_ends_the_number() {
        for other in (0..=u8::MAX).filter(|byte| !byte.is_ascii_digit()) {
            for before in 0..18 {
                let bytes = [vec![b'7'; before], vec![other], vec![b'9'; 9]].concat();
                let value = "7".repeat(before).parse().unwrap_or(0);
                assert_eq!(digits(&bytes, 0), Digits { count: before, value }, "{other:#x} after {before}");
            }
        }
    }

    proptest! {
        #[test]
        fn digits_mean_what_the_standard_library_reads(value: u64, zeros in 0_usize..20, rest in "[,}. ]{0,9}") {
            let text = format!("{}{value}", "0".repeat(zeros));
            let expected = Digits { count: text.len(), value };
            prop_assert_eq!(digits(format!("{text}{rest}").as_bytes(), 0), expected);
        }

        #[test]
        fn a_number_goes_on_where_it_was_left(value in 0_u64..1_000_000_000, text in "[0-9]{1,10}") {
            let whole: u64 = format!("{value}{text}").parse().expect("a number");
            prop_assert_eq!(digits(text.as_bytes(), value).value, whole);
        }
    }
}
