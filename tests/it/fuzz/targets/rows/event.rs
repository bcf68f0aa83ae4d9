//! An event full of zeros, ends of ranges and texts that are no numbers.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int64Array, StringArray};

use super::choices::Choices;

const INTEGERS: [i64; 12] = [0, 1, -1, 2, 7, 100, 3_000_000_000, i64::MAX, i64::MIN, i64::MAX - 1, (1 << 53) + 1, -40];
const FLOATS: [f64; 12] = [0.0, -0.0, 1.0, -1.0, 0.5, 1e39, -1e39, 1e308, 5e-324, 9.5, -7.25, 1e15];
const TEXTS: [&str; 8] = ["", "7", "many", "-0", "9223372036854775808", "1e3", "ü", "2024-02-30"];

/// What expressions read of an event that keeps its contract.
#[derive(Debug, Clone)]
pub struct Values {
    pub user: i64,
    pub a: i64,
    pub b: i64,
    pub x: f64,
    pub t: String,
}

impl Values {
    pub fn of(choices: &mut Choices<'_>) -> Self {
        let (user, a, b) = (i64::from(choices.byte() % 4), choices.of(&INTEGERS), choices.of(&INTEGERS));
        Self { user, a, b, x: choices.of(&FLOATS), t: choices.of(&TEXTS).to_owned() }
    }

    /// As a row of plain DataFusion. A zero has one sign here, and the oracle is told so.
    pub fn columns(&self) -> [(&'static str, ArrayRef); 5] {
        let integers = |value: i64| -> ArrayRef { Arc::new(Int64Array::from(vec![value])) };
        [
            ("user_id", integers(self.user)),
            ("a", integers(self.a)),
            ("b", integers(self.b)),
            ("x", Arc::new(Float64Array::from(vec![self.x + 0.0]))),
            ("t", Arc::new(StringArray::from(vec![self.t.as_str()]))),
        ]
    }
}
