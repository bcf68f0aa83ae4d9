//! Examples: what a model trains on, column by column.

use std::collections::HashSet;

use super::{ExampleError, Provenance};
use crate::feature::Inputs;

/// How an example came by its label.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ExampleKind {
    /// Feedback while the window was open.
    Positive,
    /// The window closed without feedback.
    Negative,
    /// Feedback after the window had closed: the same vector may have been given out as a negative before.
    Correction,
}

impl ExampleKind {
    /// 1 for feedback, 0 for none.
    #[must_use]
    pub fn label(self) -> f32 {
        match self {
            Self::Positive | Self::Correction => 1.0,
            Self::Negative => 0.0,
        }
    }

    /// The kind in a message: `positive`, `negative` or `correction`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Positive => "positive",
            Self::Negative => "negative",
            Self::Correction => "correction",
        }
    }

    /// The kind of this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Positive, Self::Negative, Self::Correction].into_iter().find(|kind| kind.name() == name)
    }
}

/// One row of [`Examples`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Example<'a> {
    /// The vector that was scored.
    pub vector: &'a [f32],
    /// How it was labelled; the label follows from it.
    pub kind: ExampleKind,
    /// The probability with which an example like this is kept, above 0 and at most 1.
    pub sampling: f32,
    /// When it was shown, microseconds of event time.
    pub shown_micros: i64,
    /// When its label was known, microseconds of event time: that of the feedback, or the window's end.
    pub labelled_micros: i64,
    /// The place in the ranking at which it was shown.
    pub place: u32,
    /// Who was shown what, by which model.
    pub provenance: &'a Provenance,
}

/// A batch of labelled vectors. All columns have [`Examples::len`] rows, the vectors `len × width` words, row-major: numbers,
/// where they hold nothing else.
#[derive(Debug, Clone, PartialEq)]
pub struct Examples {
    inputs: Inputs,
    vectors: Vec<f32>,
    labels: Vec<f32>,
    kinds: Vec<ExampleKind>,
    sampling: Vec<f32>,
    shown_micros: Vec<i64>,
    labelled_micros: Vec<i64>,
    places: Vec<u32>,
    provenances: Vec<Provenance>,
}

impl Examples {
    /// No examples yet, of vectors of these types: so many float32, say.
    #[must_use]
    pub fn new(inputs: impl Into<Inputs>) -> Self {
        Self {
            inputs: inputs.into(),
            vectors: Vec::new(),
            labels: Vec::new(),
            kinds: Vec::new(),
            sampling: Vec::new(),
            shown_micros: Vec::new(),
            labelled_micros: Vec::new(),
            places: Vec::new(),
            provenances: Vec::new(),
        }
    }

    /// How many examples.
    #[must_use]
    pub fn len(&self) -> usize {
        self.kinds.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.kinds.is_empty()
    }

    /// The types of the vectors' columns.
    #[must_use]
    pub fn inputs(&self) -> &Inputs {
        &self.inputs
    }

    /// Words of a vector.
    #[must_use]
    pub fn width(&self) -> usize {
        self.inputs.width()
    }

    /// The whole numbers of a column of ids, by its number from 0; none where it holds others.
    #[must_use]
    pub fn wholes(&self, column: usize) -> Vec<i64> {
        let place = self.inputs.place(column).filter(|place| place.most.is_none());
        let rows = self.vectors.chunks_exact(self.width().max(1));
        place.map(|place| rows.filter_map(|row| place.number(row, 0).int64()).collect()).unwrap_or_default()
    }

    /// The vectors, one after the other.
    #[must_use]
    pub fn vectors(&self) -> &[f32] {
        &self.vectors
    }

    /// 1 for feedback, 0 for none.
    #[must_use]
    pub fn labels(&self) -> &[f32] {
        &self.labels
    }

    /// How each was labelled.
    #[must_use]
    pub fn kinds(&self) -> &[ExampleKind] {
        &self.kinds
    }

    /// The probability with which each was kept; its inverse is the example's weight in an estimate.
    #[must_use]
    pub fn sampling(&self) -> &[f32] {
        &self.sampling
    }

    /// When each was shown, microseconds of event time.
    #[must_use]
    pub fn shown_micros(&self) -> &[i64] {
        &self.shown_micros
    }

    /// When each label was known, microseconds of event time.
    #[must_use]
    pub fn labelled_micros(&self) -> &[i64] {
        &self.labelled_micros
    }

    /// The place at which each was shown.
    #[must_use]
    pub fn places(&self) -> &[u32] {
        &self.places
    }

    /// Where each is from.
    #[must_use]
    pub fn provenances(&self) -> &[Provenance] {
        &self.provenances
    }

    /// The example in this row.
    #[must_use]
    pub fn get(&self, row: usize) -> Option<Example<'_>> {
        let from = row.checked_mul(self.width())?;
        Some(Example {
            kind: *self.kinds.get(row)?,
            vector: self.vectors.get(from..from + self.width())?,
            sampling: *self.sampling.get(row)?,
            shown_micros: *self.shown_micros.get(row)?,
            labelled_micros: *self.labelled_micros.get(row)?,
            place: *self.places.get(row)?,
            provenance: self.provenances.get(row)?,
        })
    }

    /// Adds an example.
    ///
    /// # Errors
    /// [`ExampleError::Width`] when its vector is of another width.
    pub fn push(&mut self, example: Example<'_>) -> Result<(), ExampleError> {
        self.expect_width(example.vector.len())?;
        self.append(example);
        Ok(())
    }

    /// Puts an example in the place of the one in `row`, which must be there already.
    ///
    /// # Errors
    /// [`ExampleError::Width`] when its vector is of another width, [`ExampleError::NoRow`] when there is no such row.
    pub fn replace(&mut self, row: usize, example: Example<'_>) -> Result<(), ExampleError> {
        self.expect_width(example.vector.len())?;
        let (rows, width) = (self.len(), self.width());
        let missing = || ExampleError::NoRow { row, rows };
        let from = row.checked_mul(width).ok_or_else(missing)?;
        *self.kinds.get_mut(row).ok_or_else(missing)? = example.kind;
        self.vectors.get_mut(from..from + width).ok_or_else(missing)?.copy_from_slice(example.vector);
        *self.labels.get_mut(row).ok_or_else(missing)? = example.kind.label();
        *self.sampling.get_mut(row).ok_or_else(missing)? = example.sampling;
        *self.shown_micros.get_mut(row).ok_or_else(missing)? = example.shown_micros;
        *self.labelled_micros.get_mut(row).ok_or_else(missing)? = example.labelled_micros;
        *self.places.get_mut(row).ok_or_else(missing)? = example.place;
        self.provenances.get_mut(row).ok_or_else(missing)?.clone_from(example.provenance);
        Ok(())
    }

    /// Adds all examples of another batch.
    ///
    /// # Errors
    /// [`ExampleError::Width`] when its vectors are of another width.
    pub fn extend(&mut self, other: &Self) -> Result<(), ExampleError> {
        self.expect_width(other.width())?;
        self.vectors.extend_from_slice(&other.vectors);
        self.labels.extend_from_slice(&other.labels);
        self.kinds.extend_from_slice(&other.kinds);
        self.sampling.extend_from_slice(&other.sampling);
        self.shown_micros.extend_from_slice(&other.shown_micros);
        self.labelled_micros.extend_from_slice(&other.labelled_micros);
        self.places.extend_from_slice(&other.places);
        self.provenances.extend_from_slice(&other.provenances);
        Ok(())
    }

    /// The same examples of numbers as columns of these types.
    ///
    /// # Errors
    /// [`ExampleError::Unreadable`] where an id is not whole; none otherwise where there are as many columns.
    pub(super) fn in_types(&self, inputs: &Inputs) -> Result<Self, ExampleError> {
        let mut typed = Self::new(inputs);
        for (row, example) in (0..self.len()).map_while(|row| Some((row, self.get(row)?))) {
            if let Some((column, number)) = inputs.not_whole(example.vector) {
                let reason = format!("column {column:?} of example {row} is {number}, an id is a whole number");
                return Err(ExampleError::Unreadable { reason });
            }
            let mut vector = Vec::with_capacity(inputs.width());
            inputs.append_row(example.vector, &mut vector);
            typed.push(Example { vector: &vector, ..example })?;
        }
        Ok(typed)
    }

    /// Takes the examples in these rows out, in their order. Those that stay keep theirs.
    pub(super) fn take_out(&mut self, rows: &[usize]) -> Self {
        let (mut taken, mut kept) = (Self::new(&self.inputs), Self::new(&self.inputs));
        let rows: HashSet<usize> = rows.iter().copied().collect();
        for row in 0..self.len() {
            let side = if rows.contains(&row) { &mut taken } else { &mut kept };
            if let Some(example) = self.get(row) {
                side.append(example);
            }
        }
        *self = kept;
        taken
    }

    /// Adds an example whose vector has the width of the others.
    fn append(&mut self, example: Example<'_>) {
        self.vectors.extend_from_slice(example.vector);
        self.labels.push(example.kind.label());
        self.kinds.push(example.kind);
        self.sampling.push(example.sampling);
        self.shown_micros.push(example.shown_micros);
        self.labelled_micros.push(example.labelled_micros);
        self.places.push(example.place);
        self.provenances.push(example.provenance.clone());
    }

    /// Forgets all rows and keeps the memory for the next ones.
    pub fn clear(&mut self) {
        self.vectors.clear();
        self.labels.clear();
        self.kinds.clear();
        self.sampling.clear();
        self.shown_micros.clear();
        self.labelled_micros.clear();
        self.places.clear();
        self.provenances.clear();
    }

    /// Refuses vectors of another width.
    pub(super) fn expect_width(&self, found: usize) -> Result<(), ExampleError> {
        let expected = self.width();
        if found == expected { Ok(()) } else { Err(ExampleError::Width { found, expected }) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example(vector: &[f32], kind: ExampleKind) -> Example<'_> {
        Example {
            vector,
            kind,
            sampling: 0.5,
            shown_micros: 1,
            labelled_micros: 2,
            place: 3,
            provenance: Provenance::unknown(),
        }
    }

    #[test]
    fn rows_read_back_as_they_were_added_replaced_or_joined() {
        let mut examples = Examples::new(2);
        examples.push(example(&[1.0, 2.0], ExampleKind::Positive)).unwrap();
        examples.push(example(&[3.0, 4.0], ExampleKind::Negative)).unwrap();
        examples.replace(0, example(&[5.0, 6.0], ExampleKind::Correction)).unwrap();
        let mut both = examples.clone();
        both.extend(&examples).unwrap();
        assert_eq!(both.vectors(), [5.0, 6.0, 3.0, 4.0, 5.0, 6.0, 3.0, 4.0]);
        assert_eq!(both.labels(), [1.0, 0.0, 1.0, 0.0]);
        assert_eq!(both.get(2), Some(example(&[5.0, 6.0], ExampleKind::Correction)));
        assert_eq!(both.get(4), None);
        both.clear();
        assert_eq!((both.len(), both.width()), (0, 2));
    }

    #[test]
    fn rows_that_are_taken_out_leave_the_others_as_they_were() {
        let mut examples = Examples::new(1);
        for number in 0..5 {
            let kind = if number % 2 == 0 { ExampleKind::Positive } else { ExampleKind::Negative };
            examples.push(example(&[number as f32], kind)).unwrap();
        }
        let taken = examples.take_out(&[3, 0]);
        assert_eq!((taken.vectors(), taken.labels()), (&[0.0, 3.0][..], &[1.0, 0.0][..]));
        assert_eq!((examples.vectors(), examples.labels()), (&[1.0, 2.0, 4.0][..], &[0.0, 1.0, 1.0][..]));
        assert!(examples.take_out(&[]).is_empty());
    }

    #[test]
    fn other_widths_and_absent_rows_are_refused_and_change_nothing() {
        let mut examples = Examples::new(2);
        examples.push(example(&[1.0, 2.0], ExampleKind::Positive)).unwrap();
        let before = examples.clone();
        let wide = example(&[1.0, 2.0, 3.0], ExampleKind::Positive);
        let error = examples.push(wide).unwrap_err();
        insta::assert_snapshot!(error, @"the vector has 3 columns, 2 are expected");
        assert!(examples.replace(0, wide).is_err());
        assert!(examples.extend(&Examples::new(1)).is_err());
        let error = examples.replace(1, example(&[1.0, 2.0], ExampleKind::Negative)).unwrap_err();
        insta::assert_snapshot!(error, @"there is no example 1, there are 1");
        assert_eq!(examples, before);
    }
}
