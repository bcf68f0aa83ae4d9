//! The gradient of some rows of a table, every row once.

use crate::model::ModelError;

/// No place: the row has not been met in this step.
const NOWHERE: u32 = u32::MAX;

/// Sums the gradients that a batch gives for the same row of a table; its memory is kept from one batch to the next.
///
/// Four bytes per row of the table say where a row's sum is, so each gradient costs one look-up and the order of sums
/// is that in which rows first appear: the same batch gives the same bits.
#[derive(Debug)]
pub struct RowGradient {
    /// Where the sum of each row of the table is.
    places: Vec<u32>,
    width: usize,
    rows: Vec<u32>,
    sums: Vec<f32>,
}

impl RowGradient {
    /// For a table of `height` rows of `width` values; at most 2^32 - 2 rows.
    #[must_use]
    pub fn new(height: usize, width: usize) -> Self {
        Self { places: vec![NOWHERE; height], width, rows: Vec::new(), sums: Vec::new() }
    }

    /// Replaces what is held by a batch of gradients: the values of `rows[i]` start at `i × width` of `values`.
    ///
    /// # Errors
    /// [`ModelError::GradientRow`] for a row that the table does not have, [`ModelError::GradientSize`] when `values`
    /// are not `rows × width`; then nothing is held.
    pub fn collect(&mut self, rows: &[i64], values: &[f32]) -> Result<(), ModelError> {
        self.clear();
        if rows.len().checked_mul(self.width) != Some(values.len()) {
            return Err(ModelError::GradientSize { values: values.len(), rows: rows.len(), width: self.width });
        }
        if self.width == 0 {
            return Ok(());
        }
        for (&row, gradient) in rows.iter().zip(values.chunks_exact(self.width)) {
            if let Err(error) = self.add(row, gradient) {
                self.clear();
                return Err(error);
            }
        }
        Ok(())
    }

    /// The rows that have a gradient, each once, with the sums of their gradients, `[rows, width]` row-major.
    #[must_use]
    pub fn sums(&self) -> &[f32] {
        &self.sums
    }

    /// Each row with its gradient.
    pub fn iter(&self) -> impl Iterator<Item = (usize, &[f32])> {
        self.rows.iter().map(|row| *row as usize).zip(self.sums.chunks_exact(self.width.max(1)))
    }

    fn add(&mut self, row: i64, gradient: &[f32]) -> Result<(), ModelError> {
        let missing = ModelError::GradientRow { row, height: self.places.len() };
        let Some(place) = usize::try_from(row).ok().and_then(|row| self.places.get_mut(row)) else {
            return Err(missing);
        };
        if *place == NOWHERE {
            *place = self.rows.len() as u32;
            self.rows.push(row as u32);
            self.sums.extend_from_slice(gradient);
            return Ok(());
        }
        let start = *place as usize * self.width;
        for (sum, value) in self.sums.iter_mut().skip(start).zip(gradient) {
            *sum += value;
        }
        Ok(())
    }

    fn clear(&mut self) {
        for row in self.rows.drain(..) {
            if let Some(place) = self.places.get_mut(row as usize) {
                *place = NOWHERE;
            }
        }
        self.sums.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    proptest! {
        #[test]
        fn each_row_is_there_once_with_the_sum_of_its_gradients(
            batches in prop::collection::vec(prop::collection::vec((0_i64..7, [-8_i8..8, -8..8]), 0..30), 1..4)
        ) {
            let mut gradient = RowGradient::new(7, 2);
            for batch in batches {
                let rows: Vec<i64> = batch.iter().map(|(row, _)| *row).collect();
                let values: Vec<f32> = batch.iter().flat_map(|(_, values)| values.map(f32::from)).collect();
                gradient.collect(&rows, &values).unwrap();
                // Whole numbers, so that sums are exact in any order.
                let mut expected = BTreeMap::<usize, [f32; 2]>::new();
                for (row, values) in &batch {
                    let sums = expected.entry(*row as usize).or_default();
                    sums[0] += f32::from(values[0]);
                    sums[1] += f32::from(values[1]);
                }
                prop_assert_eq!(gradient.iter().count(), expected.len());
                let found: BTreeMap<usize, [f32; 2]> = gradient.iter().map(|(row, sums)| (row, [sums[0], sums[1]])).collect();
                prop_assert_eq!(found, expected);
            }
        }
    }

    #[test]
    fn a_row_outside_the_table_is_refused_and_leaves_nothing_behind() {
        let mut gradient = RowGradient::new(3, 1);
        insta::assert_snapshot!(
            gradient.collect(&[0, 3], &[1.0, 1.0]).unwrap_err(),
            @"the gradient names row 3 of a table of 3 rows"
        );
        assert!(gradient.collect(&[-1], &[1.0]).is_err());
        assert_eq!(gradient.iter().count(), 0);
        gradient.collect(&[0, 0], &[1.0, 2.0]).unwrap();
        assert_eq!(gradient.sums(), [3.0]);
    }

    #[test]
    fn values_of_another_size_are_refused() {
        insta::assert_snapshot!(
            RowGradient::new(3, 2).collect(&[0], &[1.0]).unwrap_err(),
            @"the gradient has 1 values for 1 rows of width 2"
        );
    }
}
