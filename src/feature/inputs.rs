//! What vectors hold and where: columns of several types in rows of one width.
//!
//! ```text
//!   price float32 · user int64 · recent int64[2], of which one is there
//!  ┌───────┬───────────┬────────┬───────────┬───────────┐
//!  │ price │   user    │ length │   newest  │  padding  │      7 words of 32 bits
//!  └───────┴───────────┴────────┴───────────┴───────────┘
//! ```
//!
//! A row is a slice of float32 words: what is a float32 is itself, all else lies in as many words as it has bits, which are
//! copied and never computed with. So vectors that hold nothing but float32 are the matrix that a model takes, rows of any types
//! are kept, copied and saved alike, and what waits for its label takes a memory that is known ahead. A row of zeros is a row
//! of every type: zeros, empty texts, empty lists.
//!
//! Which type a column has is decided where a model is known: by the input that it goes into. An id is kept as an int64 all the
//! way, because float32 holds whole numbers up to 2^24 only.

use std::sync::Arc;

use super::Fingerprint;
use super::number::Number;
use super::place::{Kind, Place};

/// The columns of vectors, and where in a row each is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Inputs {
    /// So many float32.
    Numbers(usize),
    /// Columns of other types, or lists, among them.
    Typed(Arc<Typed>),
}

/// Columns of several types.
#[derive(Debug, PartialEq, Eq)]
pub struct Typed {
    columns: Vec<TypedColumn>,
    width: usize,
}

/// A column among others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TypedColumn {
    /// Its name.
    pub(crate) name: String,
    /// Where in a row, and as what.
    pub(crate) place: Place,
}

impl From<usize> for Inputs {
    fn from(columns: usize) -> Self {
        Self::Numbers(columns)
    }
}

impl From<&Self> for Inputs {
    fn from(inputs: &Self) -> Self {
        inputs.clone()
    }
}

impl Inputs {
    /// Columns of these names and types, in their order; of a list, with the most values that it has.
    pub(crate) fn of(columns: impl IntoIterator<Item = (String, Kind, Option<usize>)>) -> Self {
        let mut width = 0;
        let columns: Vec<TypedColumn> = columns
            .into_iter()
            .map(|(name, kind, most)| {
                let place = Place { kind, most, start: width };
                width += place.words();
                TypedColumn { name, place }
            })
            .collect();
        let is_number = |column: &TypedColumn| column.place.kind == Kind::Float32 && column.place.most.is_none();
        if columns.iter().all(is_number) {
            return Self::Numbers(columns.len());
        }
        Self::Typed(Arc::new(Typed { columns, width }))
    }

    /// Words of a row.
    #[must_use]
    pub fn width(&self) -> usize {
        match self {
            Self::Numbers(columns) => *columns,
            Self::Typed(typed) => typed.width,
        }
    }

    /// How many columns.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Numbers(columns) => *columns,
            Self::Typed(typed) => typed.columns.len(),
        }
    }

    /// The columns, where not all of them are numbers.
    pub(crate) fn typed(&self) -> Option<&[TypedColumn]> {
        match self {
            Self::Numbers(_) => None,
            Self::Typed(typed) => Some(&typed.columns),
        }
    }

    /// The columns with their types, where not all of them are numbers: `user int64, recent int64[20]`.
    #[must_use]
    pub fn types(&self) -> Option<String> {
        match self {
            Self::Numbers(_) => None,
            Self::Typed(typed) => Some(typed.to_string()),
        }
    }

    /// Where a column is, by its number from 0.
    pub(crate) fn place(&self, column: usize) -> Option<Place> {
        match self {
            Self::Numbers(columns) => {
                (column < *columns).then_some(Place { kind: Kind::Float32, most: None, start: column })
            }
            Self::Typed(typed) => typed.columns.get(column).map(|column| column.place),
        }
    }

    /// The fingerprint of examples of a vector with this one: it tells the types, too, where there are others than float32.
    pub(crate) fn fingerprint(&self, of_vector: &str) -> String {
        match self {
            Self::Numbers(_) => of_vector.to_owned(),
            Self::Typed(typed) => Fingerprint::of([of_vector, &typed.to_string()]).as_str().to_owned(),
        }
    }

    /// Whether every column is one number.
    pub(crate) fn are_numbers(&self) -> bool {
        let is_number = |column: &TypedColumn| column.place.kind != Kind::Text && column.place.most.is_none();
        self.typed().is_none_or(|columns| columns.iter().all(is_number))
    }

    /// The first column of ids whose number, one of each column's, is not whole.
    pub(crate) fn not_whole(&self, numbers: &[f32]) -> Option<(&str, f32)> {
        let columns = self.typed().unwrap_or_default().iter().zip(numbers);
        let mut ids = columns.filter(|(column, _)| column.place.kind == Kind::Int64);
        let (column, number) = ids.find(|(_, number)| number.fract() != 0.0)?;
        Some((&column.name, *number))
    }

    /// Appends a row that has one of these numbers in each column: as it is, as all values of a list, as a text.
    pub(crate) fn append_row(&self, numbers: &[f32], rows: &mut Vec<f32>) {
        let Self::Typed(typed) = self else { return rows.extend_from_slice(numbers) };
        let first = rows.len();
        rows.resize(first + typed.width, 0.0);
        let row = rows.get_mut(first..).unwrap_or_default();
        for (column, number) in typed.columns.iter().zip(numbers) {
            let Place { kind, most, .. } = column.place;
            if let Some(most) = most {
                column.place.put_length(row, most);
            }
            for nth in 0..most.unwrap_or(1) {
                match kind {
                    Kind::Float32 => column.place.put(row, nth, Number::Float32(*number)),
                    Kind::Float64 => column.place.put(row, nth, Number::Float64(f64::from(*number))),
                    Kind::Int64 => column.place.put(row, nth, Number::Int64(*number as i64)),
                    Kind::Text => drop(column.place.put_text(row, nth, &number.to_string())),
                }
            }
        }
    }
}

/// `price float32, user int64, recent int64[20]`
impl std::fmt::Display for Typed {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (nth, TypedColumn { name, place }) in self.columns.iter().enumerate() {
            let separator = if nth == 0 { "" } else { ", " };
            write!(formatter, "{separator}{name} {}", place.kind.name())?;
            if let Some(most) = place.most {
                write!(formatter, "[{most}]")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::feature::place::MOST_TEXT_BYTES;

    fn inputs() -> Inputs {
        let columns = [
            ("price", Kind::Float32, None),
            ("user", Kind::Int64, None),
            ("recent", Kind::Int64, Some(3)),
            ("spend", Kind::Float64, None),
            ("kind", Kind::Text, None),
            ("prices", Kind::Float32, Some(2)),
        ];
        Inputs::of(columns.map(|(name, kind, most)| (name.to_owned(), kind, most)))
    }

    #[test]
    fn vectors_of_float32_alone_are_the_matrix_of_a_model() {
        let columns = ["a", "b"].map(|name| (name.to_owned(), Kind::Float32, None));
        let flat = Inputs::of(columns);
        assert_eq!((flat.clone(), flat.width(), flat.fingerprint("8a21")), (2.into(), 2, "8a21".to_owned()));
        let mut rows = vec![1.0];
        flat.append_row(&[2.0, 3.0], &mut rows);
        assert_eq!(rows, [1.0, 2.0, 3.0]);
    }

    #[test]
    fn a_fingerprint_of_examples_tells_names_types_and_lengths() {
        let of = |name: &str, kind, most| Inputs::of([(name.to_owned(), kind, most)]).fingerprint("8a21");
        let all = [of("a", Kind::Int64, None), of("b", Kind::Int64, None), of("a", Kind::Float64, None)];
        let lists = [of("a", Kind::Int64, Some(2)), of("a", Kind::Int64, Some(3))];
        let different: std::collections::BTreeSet<String> = all.into_iter().chain(lists).collect();
        assert_eq!(different.len(), 5);
    }

    #[test]
    fn a_row_of_zeros_has_zeros_empty_texts_and_empty_lists() {
        let (inputs, row) = (inputs(), vec![0.0; inputs().width()]);
        let place = |column| inputs.place(column).unwrap();
        assert_eq!((place(0).number(&row, 0), place(1).number(&row, 0)), (Number::Float32(0.0), Number::Int64(0)));
        assert_eq!((place(2).length(&row), place(4).text(&row, 0).as_str()), (0, ""));
        assert!(inputs.place(6).is_none());
    }

    proptest! {
        #[test]
        fn what_is_put_into_a_row_is_read_from_it_bit_for_bit_and_nothing_else_moves(
            price: u32, user: i64, recent in prop::collection::vec(any::<i64>(), 0..4), spend: u64, kind in "\\PC{0,30}",
        ) {
            let inputs = inputs();
            let mut row = vec![0.0; inputs.width()];
            let place = |column: usize| inputs.place(column).unwrap();
            place(0).put(&mut row, 0, Number::Float32(f32::from_bits(price)));
            place(1).put(&mut row, 0, Number::Int64(user));
            place(2).put_length(&mut row, recent.len());
            recent.iter().enumerate().for_each(|(nth, id)| place(2).put(&mut row, nth, Number::Int64(*id)));
            place(3).put(&mut row, 0, Number::Float64(f64::from_bits(spend)));
            let fits = place(4).put_text(&mut row, 0, &kind);
            prop_assert_eq!(fits, kind.len() <= MOST_TEXT_BYTES);
            let row = row.clone();
            prop_assert_eq!(row[0].to_bits(), price);
            prop_assert_eq!(place(1).number(&row, 0), Number::Int64(user));
            let found: Vec<_> = (0..place(2).length(&row)).map(|nth| place(2).number(&row, nth)).collect();
            prop_assert_eq!(found, recent.into_iter().map(Number::Int64).collect::<Vec<_>>());
            let Number::Float64(found) = place(3).number(&row, 0) else { panic!("no float64") };
            prop_assert_eq!(found.to_bits(), spend);
            prop_assert_eq!(place(4).text(&row, 0), if fits { kind } else { String::new() });
            prop_assert_eq!(place(5).length(&row), 0);
        }
    }
}
