//! Decimal digits become numbers while they are passed, eight at a time.

/// The digits at the start of some bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Digits {
    /// How many they are.
    pub(super) count: usize,
    /// The number that they continue, modulo 2^64.
    pub(super) value: u64,
}

/// Reads digits that continue the number `value`.
#[inline]
pub(super) fn digits(bytes: &[u8], mut value: u64) -> Digits {
    let mut rest = bytes;
    while let Some((word, after)) = rest.split_first_chunk()
        && let Some(eight) = eight_digits(u64::from_le_bytes(*word))
    {
        value = value.wrapping_mul(100_000_000).wrapping_add(eight);
        rest = after;
    }
    while let [digit @ b'0'..=b'9', after @ ..] = rest {
        value = value.wrapping_mul(10).wrapping_add(u64::from(digit - b'0'));
        rest = after;
    }
    Digits { count: bytes.len() - rest.len(), value }
}

/// The number that eight digits write, the first one in the lowest byte. Neighbours are joined three times: to pairs, to
/// fours, to eight (Lemire, "Quickly parsing eight digits", 2018).
#[inline]
fn eight_digits(word: u64) -> Option<u64> {
    const ONES: u64 = 0x0101_0101_0101_0101;
    // Adding 6 carries into the high half for whatever is above '9'; the high half of a digit is 3.
    let above = word | word.wrapping_add(6 * ONES);
    let high_halves = 0xf0 * ONES;
    if word & high_halves != 0x30 * ONES || above & high_halves != 0x30 * ONES {
        return None;
    }
    let ones = word & (0x0f * ONES);
    let pairs = (ones.wrapping_mul(1 + (10 << 8)) >> 8) & 0x00ff_00ff_00ff_00ff;
    let fours = (pairs.wrapping_mul(1 + (100 << 16)) >> 16) & 0x0000_ffff_0000_ffff;
    Some(fours.wrapping_mul(1 + (10_000 << 32)) >> 32)
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
