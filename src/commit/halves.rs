//! Messages of many examples or impressions in two halves, and those again, until a message has one row.
//!
//! ```text
//!   example-clicks-12-0 ──▶ example-clicks-12-0/0 ──▶ ...
//!                      └──▶ example-clicks-12-0/1 ──▶ example-clicks-12-0/1/0, example-clicks-12-0/1/1
//! ```
//!
//! Which rows a part has follows from its name and from nothing else: whoever finds one stored knows which are left.

use bytes::Bytes;

use crate::feature::{Inputs, VectorPlan};
use crate::learn::{ExampleError, Examples, Impressions, VectorName, decode, encode};

/// What stands in the name of a part before its number.
pub(super) const PART: char = '/';

/// What examples and impressions of a pipeline are made of.
#[derive(Debug, Clone)]
pub(super) struct Vectors {
    inputs: Inputs,
    fingerprint: String,
    columns: Vec<String>,
}

impl Vectors {
    pub(super) fn of(plan: &VectorPlan) -> Self {
        let fingerprint = plan.fingerprint().as_str().to_owned();
        Self { inputs: plan.inputs().clone(), fingerprint, columns: plan.columns().to_vec() }
    }

    /// The halves of a message of examples; nothing where it has only one.
    pub(super) fn of_examples(&self, message: &[u8]) -> Result<Option<[Bytes; 2]>, ExampleError> {
        let mut all = Examples::new(&self.inputs);
        decode(message, &self.inputs, &self.fingerprint, &mut all)?;
        let name = VectorName { fingerprint: &self.fingerprint, columns: &self.columns };
        let half = |rows: std::ops::Range<usize>| {
            let mut half = Examples::new(&self.inputs);
            rows.filter_map(|row| all.get(row)).try_for_each(|example| half.push(example))?;
            encode(&half, name).map(Bytes::from)
        };
        let rows = all.len();
        if rows < 2 { Ok(None) } else { Ok(Some([half(0..rows / 2)?, half(rows / 2..rows)?])) }
    }

    /// The halves of a message of impressions; nothing where it has only one.
    pub(super) fn of_impressions(&self, message: &[u8]) -> Result<Option<[Bytes; 2]>, ExampleError> {
        let (all, made) = Impressions::decode(message, &self.inputs, &self.fingerprint)?;
        let half = |rows: std::ops::Range<usize>| {
            let mut half = Impressions::new(&self.inputs);
            all.iter().skip(rows.start).take(rows.len()).try_for_each(|impression| half.push(impression))?;
            half.encode(&self.fingerprint, &made).map(Bytes::from)
        };
        let rows = all.len();
        if rows < 2 { Ok(None) } else { Ok(Some([half(0..rows / 2)?, half(rows / 2..rows)?])) }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::learn::{Example, ExampleKind, Impression, Provenance};
    use crate::time::EventTime;

    pub(in crate::commit) fn vectors() -> Vectors {
        Vectors { inputs: 2.into(), fingerprint: "f".to_owned(), columns: Vec::new() }
    }

    fn example(row: usize) -> Example<'static> {
        const VECTOR: [f32; 2] = [0.5, 1.5];
        let (kind, at) = (ExampleKind::Positive, row as i64);
        Example {
            vector: &VECTOR,
            kind,
            sampling: 1.0,
            shown_micros: at,
            labelled_micros: at,
            place: row as u32,
            provenance: Provenance::unknown(),
        }
    }

    /// A message of examples whose places count from 0.
    pub(in crate::commit) fn examples(rows: usize) -> Bytes {
        let mut examples = Examples::new(2);
        (0..rows).try_for_each(|row| examples.push(example(row))).unwrap();
        encode(&examples, "f").unwrap().into()
    }

    pub(in crate::commit) fn places(message: &[u8]) -> Vec<u32> {
        let mut examples = Examples::new(2);
        decode(message, 2, "f", &mut examples).unwrap();
        examples.places().to_vec()
    }

    #[test]
    fn the_halves_have_every_example_in_order() {
        let [first, second] = vectors().of_examples(&examples(5)).unwrap().unwrap();
        assert_eq!((places(&first), places(&second)), (vec![0, 1], vec![2, 3, 4]));
        assert!(vectors().of_examples(&examples(1)).unwrap().is_none());
    }

    #[test]
    fn the_halves_of_impressions_were_made_when_the_whole_was() {
        let mut shown = Impressions::new(2);
        let impression = |key| Impression {
            key,
            at: EventTime(7),
            arrived: EventTime(7),
            place: 0,
            vector: &[0.5, 1.5],
            provenance: Provenance::unknown(),
        };
        (0..3).try_for_each(|key| shown.push(impression(key))).unwrap();
        let message = shown.encode("f", "clicks=4@w:1").unwrap();
        let halves = vectors().of_impressions(&message).unwrap().unwrap();
        let read = halves.map(|half| {
            let (impressions, made) = Impressions::decode(&half, 2, "f").unwrap();
            (impressions.iter().map(|impression| impression.key).collect::<Vec<_>>(), made)
        });
        assert_eq!(read, [vec![0], vec![1, 2]].map(|keys| (keys, "clicks=4@w:1".to_owned())));
    }
}
