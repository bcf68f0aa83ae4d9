//! Columns of tiles: what each key of a tile contributes to a running aggregate, in as few bytes as its values need.
//!
//! Tiles are most of a table's memory: a day of five-minute tiles holds tens of millions of rows. Nearly all of them are
//! counts below 256 and sums of what rarely happens, so a column is stored at the width of its widest value, or as the
//! rows that are not empty when these are few.

/// How contributions add up: the same for events, tiles and cells. All values are 64-bit words; floats are their bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Combine {
    /// Integers, wrapping.
    Add,
    /// Floats.
    AddFloat,
    /// The largest integer; other orders are mapped onto it, see [`super::extreme`].
    Largest,
}

impl Combine {
    /// The value that changes nothing.
    pub(super) fn empty(self) -> i64 {
        match self {
            Self::Add | Self::AddFloat => 0,
            Self::Largest => i64::MIN,
        }
    }

    /// Takes `part` into `total`.
    pub(super) fn combine(self, total: &mut i64, part: i64) {
        *total = match self {
            Self::Add => total.wrapping_add(part),
            Self::AddFloat => to_word(as_float(*total) + as_float(part)),
            Self::Largest => (*total).max(part),
        };
    }
}

/// The float of a word. Zero bits are zero, so that an empty word is right for integers and floats.
pub(super) fn as_float(word: i64) -> f64 {
    f64::from_bits(word.cast_unsigned())
}

/// The word of a float.
pub(super) fn to_word(float: f64) -> i64 {
    float.to_bits().cast_signed()
}

/// One value per row.
#[derive(Debug)]
pub(super) enum Column {
    /// Every row is empty.
    Empty,
    Bytes(Vec<u8>),
    Shorts(Vec<i16>),
    Integers(Vec<i32>),
    Longs(Vec<i64>),
    /// The rows that are not empty, ascending, and their values.
    Sparse {
        rows: Vec<u32>,
        values: Vec<i64>,
    },
}

impl Column {
    /// The smallest form of these values; `empty` is the value that changes nothing.
    pub(super) fn encode(values: Vec<i64>, empty: i64) -> Self {
        let (mut least, mut most, mut filled) = (0, 0, 0);
        for value in &values {
            least = least.min(*value);
            most = most.max(*value);
            filled += usize::from(*value != empty);
        }
        if filled == 0 {
            return Self::Empty;
        }
        let width = match () {
            () if least >= 0 && most <= i64::from(u8::MAX) => 1,
            () if i16::try_from(least).is_ok() && i16::try_from(most).is_ok() => 2,
            () if i32::try_from(least).is_ok() && i32::try_from(most).is_ok() => 4,
            () => 8,
        };
        // By reference: a vector that is turned into one of narrower values would keep its room.
        if 12 * filled < width * values.len() {
            let (mut rows, mut kept) = (Vec::with_capacity(filled), Vec::with_capacity(filled));
            for (row, value) in values.iter().enumerate().filter(|(_, value)| **value != empty) {
                rows.push(row as u32);
                kept.push(*value);
            }
            return Self::Sparse { rows, values: kept };
        }
        match width {
            1 => Self::Bytes(values.iter().map(|value| *value as u8).collect()),
            2 => Self::Shorts(values.iter().map(|value| *value as i16).collect()),
            4 => Self::Integers(values.iter().map(|value| *value as i32).collect()),
            _ => {
                let mut values = values;
                values.shrink_to_fit();
                Self::Longs(values)
            }
        }
    }

    /// The value of one row.
    pub(super) fn get(&self, row: usize, empty: i64) -> i64 {
        match self {
            Self::Empty => empty,
            Self::Bytes(values) => values[row].into(),
            Self::Shorts(values) => values[row].into(),
            Self::Integers(values) => values[row].into(),
            Self::Longs(values) => values[row],
            Self::Sparse { rows, values } => rows.binary_search(&(row as u32)).map_or(empty, |place| values[place]),
        }
    }

    /// Writes the values of a range of rows into `decoded`.
    pub(super) fn decode(&self, range: std::ops::Range<usize>, empty: i64, decoded: &mut Vec<i64>) {
        decoded.clear();
        match self {
            Self::Empty => decoded.resize(range.len(), empty),
            Self::Bytes(values) => decoded.extend(values[range].iter().map(|value| i64::from(*value))),
            Self::Shorts(values) => decoded.extend(values[range].iter().map(|value| i64::from(*value))),
            Self::Integers(values) => decoded.extend(values[range].iter().map(|value| i64::from(*value))),
            Self::Longs(values) => decoded.extend_from_slice(&values[range]),
            Self::Sparse { rows, values } => {
                decoded.resize(range.len(), empty);
                let first = rows.partition_point(|row| (*row as usize) < range.start);
                for (row, value) in rows[first..].iter().zip(&values[first..]) {
                    let Some(place) = decoded.get_mut(*row as usize - range.start) else { break };
                    *place = *value;
                }
            }
        }
    }

    /// Memory held, bytes.
    pub(super) fn size(&self) -> usize {
        match self {
            Self::Empty => 0,
            Self::Bytes(values) => values.len(),
            Self::Shorts(values) => 2 * values.len(),
            Self::Integers(values) => 4 * values.len(),
            Self::Longs(values) => 8 * values.len(),
            Self::Sparse { rows, .. } => 12 * rows.len(),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_form_gives_back_its_values(
            values in prop_oneof![
                prop::collection::vec(0_i64..200, 1..50),
                prop::collection::vec(-300_i64..300, 1..50),
                prop::collection::vec(-100_000_i64..100_000, 1..50),
                prop::collection::vec(any::<i64>(), 1..50),
                prop::collection::vec(prop_oneof![20 => Just(0_i64), 1 => any::<i64>()], 1..200),
                prop::collection::vec(prop_oneof![20 => Just(i64::MIN), 1 => any::<i64>()], 1..200),
            ],
            empty in prop_oneof![Just(0_i64), Just(i64::MIN)],
            from in any::<prop::sample::Index>(),
        ) {
            let column = Column::encode(values.clone(), empty);
            prop_assert!(column.size() <= 8 * values.len());
            let from = from.index(values.len());
            let mut decoded = Vec::new();
            column.decode(from..values.len(), empty, &mut decoded);
            prop_assert_eq!(&decoded, &values[from..]);
            for (row, value) in values.iter().enumerate() {
                prop_assert_eq!(column.get(row, empty), *value);
            }
        }
    }
}
