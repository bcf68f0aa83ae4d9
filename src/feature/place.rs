//! Where in a row of words a column is, and as what.

use std::ops::Range;

use super::number::Number;
use super::words::{put_double, put_text, put_whole, read_double, read_text, read_whole};

/// Bytes of the longest text that a vector holds.
pub(crate) const MOST_TEXT_BYTES: usize = 124;

/// The type of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Float32,
    Float64,
    Int64,
    Text,
}

/// Where a column is in a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    /// The type of its values.
    pub(crate) kind: Kind,
    /// Of lists, the most values that one has.
    pub(crate) most: Option<usize>,
    /// Its first word.
    pub(crate) start: usize,
}

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Float32 => "float32",
            Self::Float64 => "float64",
            Self::Int64 => "int64",
            Self::Text => "text",
        }
    }

    /// Words of one value.
    fn words(self) -> usize {
        match self {
            Self::Float32 => 1,
            Self::Float64 | Self::Int64 => 2,
            // Its length, and its bytes.
            Self::Text => 1 + MOST_TEXT_BYTES / size_of::<f32>(),
        }
    }
}

impl Place {
    /// Words of the column: of a list, its length and all the values that there may be.
    pub(super) fn words(self) -> usize {
        self.most.map_or_else(|| self.kind.words(), |most| 1 + most * self.kind.words())
    }

    /// How many values the column has in a row.
    pub(crate) fn length(self, row: &[f32]) -> usize {
        match self.most {
            // What was read from elsewhere may say anything.
            Some(most) => row.get(self.start).map_or(0, |length| length.to_bits() as usize).min(most),
            None => 1,
        }
    }

    pub(crate) fn put_length(self, row: &mut [f32], length: usize) {
        row.iter_mut().skip(self.start).take(1).for_each(|word| *word = f32::from_bits(length as u32));
    }

    /// A number; zero where there is none.
    pub(crate) fn number(self, row: &[f32], nth: usize) -> Number {
        let words = self.words_of(nth).and_then(|words| row.get(words)).unwrap_or_default();
        match self.kind {
            Kind::Float32 => Number::Float32(words.first().copied().unwrap_or_default()),
            Kind::Float64 => Number::Float64(read_double(words)),
            Kind::Int64 | Kind::Text => Number::Int64(read_whole(words)),
        }
    }

    pub(crate) fn put(self, row: &mut [f32], nth: usize, number: Number) {
        let Some(words) = self.words_of(nth).and_then(|words| row.get_mut(words)) else { return };
        match number {
            Number::Float32(number) => words.iter_mut().take(1).for_each(|word| *word = number),
            Number::Float64(number) => put_double(words, number),
            Number::Int64(number) => put_whole(words, number),
        }
    }

    /// A text; empty where there is none.
    pub(crate) fn text(self, row: &[f32], nth: usize) -> String {
        read_text(self.words_of(nth).and_then(|words| row.get(words)).unwrap_or_default())
    }

    /// Whether a text was short enough to be put there.
    pub(crate) fn put_text(self, row: &mut [f32], nth: usize, text: &str) -> bool {
        let words = self.words_of(nth).and_then(|words| row.get_mut(words));
        words.is_some_and(|words| text.len() <= MOST_TEXT_BYTES && put_text(words, text))
    }

    /// The words of a value.
    fn words_of(self, nth: usize) -> Option<Range<usize>> {
        let (first, count) = (self.start + usize::from(self.most.is_some()), self.kind.words());
        (nth < self.most.unwrap_or(1)).then(|| first + nth * count..first + (nth + 1) * count)
    }
}
