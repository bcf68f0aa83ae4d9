//! How much a statement may ask for, and the check that comes before parsing.

use std::time::Duration;

use super::QueryError;
use crate::sql::{MAX_NESTED_WITH, Shape};

/// Levels that the parser follows before it gives up; a pair of parentheses can take more than one.
pub(super) const PARSER_DEPTH: usize = 50;

/// Rows of an answer that is one message, and of one that is shown to people.
pub const MOST_ROWS: usize = 10_000;

/// What one statement may use.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Bytes of text.
    pub max_sql_bytes: usize,
    /// Levels of parentheses, brackets and CASE inside each other.
    pub max_depth: usize,
    /// Operators and keywords. Each can deepen the plan by one (`a OR a OR a`, `UNION ALL`, `NOT NOT`, `::INT::INT`);
    /// names, literals and commas can't, so an IN list may be long.
    pub max_terms: usize,
    /// Steps of the plan before it is optimised.
    pub max_plan_steps: usize,
    /// Bytes that its sorts, joins and groups may keep.
    pub memory_bytes: usize,
    /// Rows of the answer; more are cut off.
    pub rows: usize,
    /// Bytes of all parts of an answer, where it comes in parts.
    pub answer_bytes: usize,
    /// Time from the call to the answer.
    pub timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_sql_bytes: 64 * 1024,
            max_depth: 100,
            max_terms: 1_000,
            max_plan_steps: 5_000,
            memory_bytes: 256 * 1024 * 1024,
            rows: MOST_ROWS,
            answer_bytes: 256 * 1024 * 1024,
            timeout: Duration::from_secs(10),
        }
    }
}

impl Limits {
    /// Refuses text whose tree would be too deep, and tells its shape. Needs no recursion itself, so it is safe on any stack.
    pub(super) fn check(&self, sql: &str) -> Result<Shape, QueryError> {
        if sql.len() > self.max_sql_bytes {
            return Err(QueryError::TooLong { bytes: sql.len(), limit: self.max_sql_bytes });
        }
        let shape = Shape::of(sql).map_err(QueryError::Plan)?;
        if shape.depth > self.max_depth {
            return Err(QueryError::TooDeep { limit: self.max_depth });
        }
        if shape.nested_withs > MAX_NESTED_WITH {
            return Err(QueryError::NestedWith { limit: MAX_NESTED_WITH });
        }
        if shape.terms > self.max_terms {
            return Err(QueryError::TooManyTerms { terms: shape.terms, limit: self.max_terms });
        }
        Ok(shape)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(sql: &str) -> Result<(), QueryError> {
        Limits::default().check(sql).map(|_| ())
    }

    #[test]
    fn long_text_is_refused() {
        let error = check(&" ".repeat(64 * 1024 + 1)).expect_err("too long");
        assert!(matches!(error, QueryError::TooLong { bytes: 65_537, limit: 65_536 }));
    }

    #[test]
    fn nesting_is_counted_not_the_number_of_parentheses() {
        let nested = format!("SELECT {}1{}", "(".repeat(101), ")".repeat(101));
        assert!(matches!(check(&nested), Err(QueryError::TooDeep { limit: 100 })));
        let cases = format!("SELECT {}1{}", "CASE WHEN a THEN 1 ELSE ".repeat(101), " END".repeat(101));
        assert!(matches!(check(&cases), Err(QueryError::TooDeep { limit: 100 })));
        check(&format!("SELECT {}1", "(1), ".repeat(2_000))).expect("flat");
    }

    #[test]
    fn parts_of_one_with_do_not_nest() {
        let nested = format!("{}SELECT 1{}", "WITH a AS (".repeat(12), ") SELECT * FROM a".repeat(12));
        assert!(matches!(check(&nested), Err(QueryError::NestedWith { limit: 10 })));
        let listed = format!("WITH z AS (SELECT 1){} SELECT 1", ", a AS (WITH b AS (SELECT 1) SELECT 1)".repeat(50));
        check(&listed).expect("two levels");
    }

    #[test]
    fn chains_are_refused_and_lists_are_not() {
        for chain in [" OR a", " UNION ALL SELECT 1", " + 1", "::INT", " IS NULL", "[1]"] {
            let error = check(&format!("SELECT a{}", chain.repeat(1_001))).expect_err(chain);
            assert!(matches!(error, QueryError::TooManyTerms { .. }), "{chain}: {error}");
        }
        check(&format!("SELECT a IN (1{})", ", 1".repeat(5_000))).expect("a list");
    }

    #[test]
    fn operators_in_strings_and_comments_do_not_count() {
        let ors = " OR ( ".repeat(2_000);
        check(&format!("SELECT '{ors}', \"{ors}\" /* {ors} */")).expect("one string, one name, one comment");
    }
}
