//! What can go wrong with a query.

use std::io;
use std::time::Duration;

use datafusion::error::DataFusionError;
use datafusion::sql::sqlparser::parser::ParserError;

use super::limits::PARSER_DEPTH;
use crate::fault::{Judged, Judgement};
use crate::step::StepError;

/// Why a statement has no answer.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    // The statement. Its author's to mend.
    /// More text than is read.
    #[error("the statement has {bytes} bytes, the limit is {limit}: shorten it")]
    TooLong {
        /// Bytes of the statement.
        bytes: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// Parentheses, brackets or CASE inside each other.
    #[error("the statement nests deeper than {limit} levels: name its parts with WITH")]
    TooDeep {
        /// Levels allowed.
        limit: usize,
    },
    /// WITH in a part of WITH, and so on.
    #[error("WITH is nested deeper than {limit} levels: list all parts in one WITH")]
    NestedWith {
        /// Levels allowed.
        limit: usize,
    },
    /// Operators and keywords, which can all chain.
    #[error("the statement has {terms} operators and keywords, the limit is {limit}: use IN lists or fewer columns")]
    TooManyTerms {
        /// Operators and keywords found.
        terms: usize,
        /// How many are allowed.
        limit: usize,
    },
    /// A short text can name a large plan, by reading a WITH part twice in the next one, and so on.
    #[error("the statement needs a plan of more than {limit} steps: read its WITH parts fewer times")]
    PlanTooLarge {
        /// Steps allowed.
        limit: usize,
    },
    /// None, or several.
    #[error("expected one statement, got {found}")]
    NotOneStatement {
        /// Statements found.
        found: usize,
    },
    /// Something that is not a query.
    #[error("only SELECT and EXPLAIN are possible here, got: {found}")]
    NotReadOnly {
        /// What was found.
        found: String,
    },
    /// A relation that can't be a feature table.
    #[error("relation \"{relation}\" is not in schema live: write NAME or live.NAME")]
    OtherSchema {
        /// The relation as written.
        relation: String,
    },
    /// DataFusion can't parse or plan the statement.
    #[error("can't plan the statement: {0}")]
    Plan(String),
    /// The answer has two columns of one name.
    #[error("two columns are named \"{name}\": rename one with AS")]
    RepeatedColumn {
        /// The name.
        name: String,
    },

    // The run. The statement is too large for the data, or the data for the statement.
    /// The deadline has passed.
    #[error("no answer within {after:?}: read less, or end the recursion with a condition")]
    Timeout {
        /// Time allowed.
        after: Duration,
    },
    /// The memory pool is used up.
    #[error("the statement needs more than {limit} bytes of memory: filter earlier or group by fewer values")]
    Memory {
        /// Bytes allowed.
        limit: usize,
    },
    /// A fault while running, such as a division by zero.
    #[error("the statement failed: {0}")]
    Failed(String),
    /// The answer does not fit into one message.
    #[error("the answer has {bytes} bytes, the limit is {limit}: select fewer rows or columns")]
    AnswerTooLarge {
        /// Bytes of the answer.
        bytes: usize,
        /// Bytes allowed.
        limit: usize,
    },

    // Not the author's to mend.
    /// The tables could not be read.
    #[error(transparent)]
    Tables(#[from] StepError),
    /// The thread ended without a result: a bug in the engine, kept to this statement.
    #[error("the query engine stopped unexpectedly on this statement: write it in another way")]
    Crashed,
    /// No thread or runtime for the statement.
    #[error("can't start a query: {0}")]
    Start(io::Error),
    /// The answer has a type that the format can't show.
    #[error("can't render the answer: {0}")]
    Render(String),
    /// Bytes that are not an answer.
    #[error("not a readable answer: {0}")]
    Unreadable(String),
}

impl QueryError {
    /// What a fault of parsing or planning means.
    pub(super) fn planning(error: &DataFusionError) -> Self {
        match error.find_root() {
            DataFusionError::SQL(parser, _) if matches!(**parser, ParserError::RecursionLimitExceeded) => {
                Self::TooDeep { limit: PARSER_DEPTH }
            }
            _ => Self::Plan(error.strip_backtrace()),
        }
    }

    /// What a fault of running means, with `memory_bytes` in the pool.
    pub(super) fn running(error: &DataFusionError, memory_bytes: usize) -> Self {
        match error.find_root() {
            DataFusionError::ResourcesExhausted(_) => Self::Memory { limit: memory_bytes },
            _ => Self::Failed(error.strip_backtrace()),
        }
    }
}

impl Judged for QueryError {
    fn judgement(&self) -> Judgement {
        match self {
            Self::TooLong { .. }
            | Self::TooDeep { .. }
            | Self::NestedWith { .. }
            | Self::TooManyTerms { .. }
            | Self::PlanTooLarge { .. }
            | Self::NotOneStatement { .. }
            | Self::NotReadOnly { .. }
            | Self::OtherSchema { .. }
            | Self::Plan(_)
            | Self::RepeatedColumn { .. }
            | Self::Timeout { .. }
            | Self::Memory { .. }
            | Self::AnswerTooLarge { .. } => Judgement::OPERATOR,
            Self::Tables(error) => error.judgement(),
            Self::Failed(_) | Self::Unreadable(_) => Judgement::DATA,
            // Of one statement, which another process answers no better.
            Self::Crashed | Self::Render(_) => Judgement::DEFECT,
            Self::Start(error) => Judgement::of_io(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_is_its_authors_unless_the_data_or_the_machine_fail_it() {
        for (error, judgement) in [
            (QueryError::TooLong { bytes: 2, limit: 1 }, Judgement::OPERATOR),
            (QueryError::Timeout { after: Duration::ZERO }, Judgement::OPERATOR),
            (QueryError::Failed("division by zero".to_owned()), Judgement::DATA),
            (QueryError::Crashed, Judgement::DEFECT),
            (StepError::ViewEnded { of: String::new(), limit: 1 }.into(), Judgement::PASSES),
            (QueryError::Start(io::ErrorKind::WouldBlock.into()), Judgement::OUTSIDE),
        ] {
            assert_eq!(error.judgement(), judgement, "{error}");
        }
    }
}
