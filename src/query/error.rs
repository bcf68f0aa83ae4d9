//! What can go wrong with a query.

use std::io;
use std::time::Duration;

use datafusion::common::{Column, SchemaError};
use datafusion::error::DataFusionError;
use datafusion::sql::sqlparser::parser::ParserError;

use super::known::Known;
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
    #[error("only SELECT, EXPLAIN, SHOW TABLES, SHOW COLUMNS FROM and DESCRIBE are possible here, got: {found}")]
    NotReadOnly {
        /// What was found.
        found: String,
    },
    /// A SHOW or DESCRIBE with more to it than a name.
    #[error("`{found}` is not possible here: write {instead}")]
    Shown {
        /// The statement.
        found: String,
        /// What is possible, and how the rest can be had.
        instead: &'static str,
    },
    /// A relation that can't be a table.
    #[error(
        "relation \"{relation}\" is not in schema live: write NAME or live.NAME, information_schema.tables or \
         information_schema.columns"
    )]
    OtherSchema {
        /// The relation as written.
        relation: String,
    },
    /// A table that the pipeline doesn't have.
    #[error("no table is named \"{name}\": {known}")]
    UnknownTable {
        /// The name.
        name: String,
        /// Those that there are, the nearest first.
        known: Known,
    },
    /// A stream, whose events are in the broker.
    #[error("\"{name}\" is a stream, and its events are in no table: {known}")]
    Stream {
        /// The name.
        name: String,
        /// The tables that there are, the nearest first.
        known: Known,
    },
    /// A column that none of the tables has.
    #[error("no column is named \"{name}\" there: {known}")]
    UnknownColumn {
        /// The name.
        name: String,
        /// Those that there are, the nearest first.
        known: Known,
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
    #[error("no answer within {after:?}, the time that a statement may take: {}", faster(*is_recursive))]
    Timeout {
        /// Time allowed.
        after: Duration,
        /// Whether a part of the statement reads itself.
        is_recursive: bool,
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
    #[error(
        "the answer has {bytes} bytes, the limit of a message is {limit}: select fewer rows or columns, or ask for parts"
    )]
    AnswerTooLarge {
        /// Bytes of the answer.
        bytes: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// A part of an answer can't be less than a row.
    #[error(
        "a row of the answer has {bytes} bytes, the limit of a message is {limit}: select fewer columns, or raise \
         `max_payload` of the server"
    )]
    RowTooLarge {
        /// Bytes of the row, as a message.
        bytes: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// All parts of the answer together are too much.
    #[error("the answer has more than {limit} bytes: select fewer rows or columns, or group them")]
    TooManyParts {
        /// Bytes allowed.
        limit: usize,
    },

    /// The door understands SQL, and two kinds of JSON.
    #[error("not a question: {0}; send SQL, {{\"sql\": \"SELECT ...\"}} or {{\"more\": \"...\"}}")]
    Question(String),

    // Not the author's to mend.
    /// Too much of other answers waits to be fetched.
    #[error("answers to others wait to be fetched, and more than {limit} bytes of them are not kept: ask again later")]
    TooMuchKept {
        /// Bytes allowed.
        limit: usize,
    },
    /// The rest of an answer was dropped, or never was.
    #[error("no more of this answer is kept: ask the whole statement again, and for each part within {within:?}")]
    Gone {
        /// How long a part is kept.
        within: Duration,
    },
    /// Rows can't be written to where they are to go.
    #[error("rows can't be written")]
    Write(#[from] io::Error),
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
    /// The file has no form for a type.
    #[error(
        "this format has no form for a column of the answer: {0}; cast it, to a text for example, or write another format"
    )]
    NoForm(String),
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
            DataFusionError::SchemaError(schema, _) => match &**schema {
                SchemaError::FieldNotFound { field, valid_fields } => Self::unknown_column(field, valid_fields),
                _ => Self::Plan(error.strip_backtrace()),
            },
            _ => Self::Plan(error.strip_backtrace()),
        }
    }

    /// Columns are named with their tables where there are several.
    fn unknown_column(name: &Column, columns: &[Column]) -> Self {
        let has_several = columns.windows(2).any(|pair| matches!(pair, [a, b] if a.relation != b.relation));
        let shown = |column: &Column| if has_several { column.flat_name() } else { column.name.clone() };
        let candidates = columns.iter().map(|column| (column.name.clone(), shown(column)));
        Self::UnknownColumn { name: name.flat_name(), known: Known::of(&name.name, candidates) }
    }

    /// What a fault of running means, with `memory_bytes` in the pool.
    pub(super) fn running(error: &DataFusionError, memory_bytes: usize) -> Self {
        match error.find_root() {
            DataFusionError::ResourcesExhausted(_) => Self::Memory { limit: memory_bytes },
            _ => Self::Failed(error.strip_backtrace()),
        }
    }

    /// The same of a statement whose shape is known.
    pub(super) fn of_recursion(self, is_recursive: bool) -> Self {
        match self {
            Self::Timeout { after, .. } => Self::Timeout { after, is_recursive },
            other => other,
        }
    }
}

fn faster(is_recursive: bool) -> &'static str {
    if is_recursive {
        "end the recursion with a condition"
    } else {
        "filter before joins and sorts, or read fewer tables"
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
            | Self::Shown { .. }
            | Self::OtherSchema { .. }
            | Self::UnknownTable { .. }
            | Self::Stream { .. }
            | Self::UnknownColumn { .. }
            | Self::Plan(_)
            | Self::RepeatedColumn { .. }
            | Self::Timeout { .. }
            | Self::Memory { .. }
            | Self::AnswerTooLarge { .. }
            | Self::RowTooLarge { .. }
            | Self::TooManyParts { .. }
            | Self::NoForm(_)
            | Self::Question(_) => Judgement::OPERATOR,
            Self::TooMuchKept { .. } | Self::Gone { .. } => Judgement::PASSES,
            Self::Tables(error) => error.judgement(),
            Self::Failed(_) | Self::Unreadable(_) => Judgement::DATA,
            // Of one statement, which another process answers no better.
            Self::Crashed | Self::Render(_) => Judgement::DEFECT,
            Self::Start(error) | Self::Write(error) => Judgement::of_io(error),
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
            (QueryError::Timeout { after: Duration::ZERO, is_recursive: false }, Judgement::OPERATOR),
            (QueryError::Gone { within: Duration::ZERO }, Judgement::PASSES),
            (QueryError::Write(io::ErrorKind::StorageFull.into()), Judgement::OUTSIDE),
            (QueryError::Failed("division by zero".to_owned()), Judgement::DATA),
            (QueryError::Crashed, Judgement::DEFECT),
            (StepError::ViewEnded { of: String::new(), limit: 1 }.into(), Judgement::PASSES),
            (QueryError::Start(io::ErrorKind::WouldBlock.into()), Judgement::OUTSIDE),
        ] {
            assert_eq!(error.judgement(), judgement, "{error}");
        }
    }
}
