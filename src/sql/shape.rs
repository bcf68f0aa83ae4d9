//! How deep the tree of a statement can become, told from its words before it is parsed.
//!
//! A tree is built, rewritten and dropped by recursion, and what overflows the stack ends the process. The parser bounds
//! what it nests itself; it does not bound chains such as `a OR a OR a`, whose tree is as deep as the chain is long.

use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};

/// Levels of WITH inside WITH. DataFusion walks each level twice to find the tables, so the work doubles with every one.
pub(crate) const MAX_NESTED_WITH: usize = 10;

/// Measures of a statement.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Shape {
    /// Levels of parentheses, brackets and CASE inside each other.
    pub(crate) depth: usize,
    /// Levels of WITH inside WITH.
    pub(crate) nested_withs: usize,
    /// Operators and keywords: each can deepen a tree by one (`a OR a OR a`, `UNION ALL`, `NOT NOT`, `::INT::INT`); names,
    /// literals and commas can't.
    pub(crate) terms: usize,
    /// Whether a part of a WITH may read itself.
    pub(crate) is_recursive: bool,
    /// The most of them on one way down the tree: columns beside each other don't add up.
    pub(super) chain: usize,
}

impl Shape {
    /// Needs no recursion itself, so it is safe on any stack.
    ///
    /// # Errors
    /// With what the tokenizer says of a text that is not made of SQL's words.
    pub(crate) fn of(sql: &str) -> Result<Self, String> {
        let tokens = Tokenizer::new(&GenericDialect {}, sql).tokenize().map_err(|error| error.to_string())?;
        let mut shape = Self::default();
        let mut walk = Walk { outermost: Level::default(), open: Vec::new(), withs: 0 };
        for token in &tokens {
            walk.follow(token);
            shape.depth = shape.depth.max(walk.open.len());
            shape.nested_withs = shape.nested_withs.max(walk.withs);
            shape.terms += usize::from(can_chain(token));
        }
        while !walk.open.is_empty() {
            walk.close();
        }
        shape.chain = walk.outermost.chain();
        shape.is_recursive = is_recursive(&tokens);
        Ok(shape)
    }
}

/// Where in the nested parts of a statement a token is.
struct Walk {
    outermost: Level,
    open: Vec<Level>,
    /// How many of the open parts have a WITH of their own.
    withs: usize,
}

/// One part of a statement.
#[derive(Default)]
struct Level {
    has_with: bool,
    /// Terms that join what is on both sides, commas or not.
    joining: usize,
    /// Other terms since the last comma, with those of the parts inside.
    current: usize,
    /// The most of these between two commas.
    longest: usize,
}

impl Level {
    fn chain(&self) -> usize {
        self.joining + self.longest.max(self.current)
    }
}

impl Walk {
    fn follow(&mut self, token: &Token) {
        match token {
            Token::LParen | Token::LBracket | Token::LBrace => self.term(token, true),
            Token::RParen | Token::RBracket | Token::RBrace => self.close(),
            Token::Word(word) if word.keyword == Keyword::CASE => self.term(token, true),
            Token::Word(word) if word.keyword == Keyword::END => self.close(),
            Token::Word(word) if word.keyword == Keyword::WITH => {
                self.term(token, false);
                if let Some(level) = self.open.last_mut() {
                    self.withs += usize::from(!level.has_with);
                    level.has_with = true;
                }
            }
            Token::Comma => {
                let level = self.level();
                level.longest = level.longest.max(level.current);
                level.current = 0;
            }
            _ => self.term(token, false),
        }
    }

    fn level(&mut self) -> &mut Level {
        self.open.last_mut().unwrap_or(&mut self.outermost)
    }

    fn term(&mut self, token: &Token, opens: bool) {
        if can_chain(token) {
            match joins(token) {
                true => self.level().joining += 1,
                false => self.level().current += 1,
            }
        }
        if opens {
            self.open.push(Level::default());
        }
    }

    fn close(&mut self) {
        if let Some(level) = self.open.pop() {
            self.withs -= usize::from(level.has_with);
            self.level().current += level.chain();
        }
    }
}

/// Whether WITH RECURSIVE is among the words.
fn is_recursive(tokens: &[Token]) -> bool {
    let words: Vec<&Token> = tokens.iter().filter(|token| !matches!(token, Token::Whitespace(_))).collect();
    let is = |token: &Token, keyword| matches!(token, Token::Word(word) if word.keyword == keyword);
    words.windows(2).any(|pair| matches!(pair, [with, word] if is(with, Keyword::WITH) && is(word, Keyword::RECURSIVE)))
}

/// Whether a token joins selects or relations, each of which may have commas.
fn joins(token: &Token) -> bool {
    let Token::Word(word) = token else { return false };
    matches!(word.keyword, Keyword::UNION | Keyword::EXCEPT | Keyword::INTERSECT | Keyword::JOIN)
}

/// Whether a sequence of such tokens can become a deep tree.
fn can_chain(token: &Token) -> bool {
    match token {
        Token::Word(word) => word.keyword != Keyword::NoKeyword,
        Token::EOF
        | Token::Number(..)
        | Token::SingleQuotedString(_)
        | Token::DoubleQuotedString(_)
        | Token::Whitespace(_)
        | Token::Comma
        | Token::Period
        | Token::SemiColon
        | Token::LParen
        | Token::RParen
        | Token::RBracket
        | Token::RBrace => false,
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chain(sql: &str) -> usize {
        Shape::of(sql).unwrap().chain
    }

    #[test]
    fn columns_beside_each_other_do_not_make_a_chain() {
        let one = "count(*) FILTER (WHERE kind = 'view' AND price > 1)";
        let alone = chain(&format!("SELECT {one} FROM clicks"));
        let list = vec![one; 200].join(", ");
        assert!(chain(&format!("SELECT {list} FROM clicks")) <= alone);
    }

    #[test]
    fn a_recursion_is_told_from_a_column_of_that_name() {
        let is_recursive = |sql: &str| Shape::of(sql).unwrap().is_recursive;
        assert!(is_recursive("SELECT * FROM (with /* a part */ Recursive n AS (SELECT 1) SELECT * FROM n)"));
        for sql in ["WITH n AS (SELECT recursive FROM t) SELECT * FROM n", "SELECT 'WITH RECURSIVE'", "SELECT 1"] {
            assert!(!is_recursive(sql), "{sql}");
        }
    }

    #[test]
    fn terms_on_one_way_down_add_up() {
        assert_eq!(chain("a OR b OR c, d"), 2);
        assert_eq!(chain("a OR (b AND (c AND d, e)) OR f"), 4);
        assert_eq!(chain("a OR (b AND (c AND d"), 3, "open to the end");
        assert!(
            chain(&vec!["SELECT a, b FROM c"; 50].join(" UNION ALL ")) >= 49,
            "commas do not hide a chain of selects"
        );
    }
}
