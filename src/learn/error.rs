//! What can go wrong with examples, and with learning from them.

use super::EvaluationError;
use crate::fault::{Judged, Judgement};
use crate::model::ModelError;

/// Why examples cannot be taken, written or read.
#[derive(Debug, thiserror::Error, PartialEq)]
pub enum ExampleError {
    // A caller's mistake.
    /// A vector of another width.
    #[error("the vector has {found} columns, {expected} are expected")]
    Width {
        /// Its width.
        found: usize,
        /// The width of this batch.
        expected: usize,
    },
    /// A row that is not there.
    #[error("there is no example {row}, there are {rows}")]
    NoRow {
        /// The row, from 0.
        row: usize,
        /// How many there are.
        rows: usize,
    },
    /// The Arrow library could not write a batch.
    #[error("the examples can't be written: {reason}")]
    Write {
        /// What it said.
        reason: String,
    },

    // The message: data that this pipeline cannot use.
    /// The bytes are no message of examples.
    #[error("not a message of examples: {reason}")]
    Unreadable {
        /// What is wrong with them.
        reason: String,
    },
    /// A message of another version of this format.
    #[error(
        "the examples are in format {found:?}, this program reads {earlier:?} and {newest:?}: use one version on both sides"
    )]
    Version {
        /// The version in the message; empty when there is none.
        found: String,
        /// The earlier version that is read.
        earlier: &'static str,
        /// The version that is written.
        newest: &'static str,
    },
    /// Examples of another vector.
    #[error(
        "the examples are of vector {found:?}, the pipeline's is {expected:?}: they were written before vector.sql or a feature changed"
    )]
    Fingerprint {
        /// The fingerprint in the message; empty when there is none.
        found: String,
        /// The pipeline's.
        expected: String,
        /// How many they are.
        examples: usize,
    },
    /// A column of another name or type.
    #[error("column {index} of the examples is {found}, {expected} is expected")]
    Column {
        /// Which one, from 0.
        index: usize,
        /// What is there.
        found: String,
        /// What should be.
        expected: String,
    },
    /// A value that must be there is NULL.
    #[error("column {column:?} of the examples has {count} NULL values, none are allowed")]
    Null {
        /// The column.
        column: &'static str,
        /// How many.
        count: usize,
    },
    /// A value that means nothing in its column.
    #[error("column {column:?} of the examples is {value} in row {row}, it must be {rule}")]
    Value {
        /// The column.
        column: &'static str,
        /// The row, from 0.
        row: usize,
        /// The value.
        value: String,
        /// What it may be.
        rule: &'static str,
    },
}

impl Judged for ExampleError {
    fn judgement(&self) -> Judgement {
        match self {
            Self::Width { .. } | Self::NoRow { .. } | Self::Write { .. } => Judgement::DEFECT,
            Self::Unreadable { .. } | Self::Column { .. } | Self::Null { .. } | Self::Value { .. } => Judgement::DATA,
            Self::Version { .. } | Self::Fingerprint { .. } => Judgement::OPERATOR,
        }
    }
}

/// Why learning ends.
#[derive(Debug, thiserror::Error)]
pub enum LearnError {
    /// The model.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// Examples.
    #[error(transparent)]
    Example(#[from] ExampleError),
    /// Predictions that do not match the examples, a bug.
    #[error(transparent)]
    Evaluation(#[from] EvaluationError),
    /// A checkpoint that does not fit.
    #[error("the checkpoint can't be used: {reason}")]
    Checkpoint {
        /// What is wrong with it.
        reason: String,
    },
}

impl Judged for LearnError {
    fn judgement(&self) -> Judgement {
        match self {
            Self::Model(error) => error.judgement(),
            Self::Example(error) => error.judgement(),
            Self::Evaluation(error) => error.judgement(),
            Self::Checkpoint { .. } => Judgement::DATA,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::learn::JoinError;

    #[test]
    fn examples_that_break_the_format_are_the_datas_those_of_another_vector_the_operators() {
        for (error, judgement) in [
            (ExampleError::Width { found: 1, expected: 2 }, Judgement::DEFECT),
            (ExampleError::Unreadable { reason: String::new() }, Judgement::DATA),
            (ExampleError::Null { column: "label", count: 1 }, Judgement::DATA),
            (
                ExampleError::Fingerprint { found: String::new(), expected: String::new(), examples: 1 },
                Judgement::OPERATOR,
            ),
        ] {
            assert_eq!(error.judgement(), judgement, "{error}");
        }
        assert_eq!(JoinError::Window { micros: 0 }.judgement(), Judgement::OPERATOR);
    }

    #[test]
    fn learning_says_what_the_error_inside_says() {
        let learn = |error: EvaluationError| LearnError::from(error).judgement();
        assert_eq!(learn(EvaluationError::Length { what: "labels", found: 1, expected: 2 }), Judgement::DEFECT);
        assert_eq!(learn(EvaluationError::Prediction { row: 0, value: 2.0 }), Judgement::OPERATOR);
        assert_eq!(learn(EvaluationError::Label { row: 0, value: 2.0 }), Judgement::DATA);
        let damaged = ExampleError::Unreadable { reason: String::new() };
        assert_eq!(LearnError::from(damaged).judgement(), Judgement::DATA);
        assert_eq!(LearnError::Checkpoint { reason: String::new() }.judgement(), Judgement::DATA);
    }
}
