//! Where something stands in the text of a select.

use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan, Tokenizer};

/// Line and column, from one, of the first place where the words of `fragment` stand one after another, whatever the white
/// space between them and the case of names.
pub(crate) fn place_of(sql: &str, fragment: &str) -> Option<(usize, usize)> {
    places_of(sql, fragment).first().copied()
}

/// The same where they stand once and nowhere else.
pub(crate) fn only_place_of(sql: &str, fragment: &str) -> Option<(usize, usize)> {
    if let [place] = places_of(sql, fragment).as_slice() { Some(*place) } else { None }
}

fn places_of(sql: &str, fragment: &str) -> Vec<(usize, usize)> {
    let (Some(text), Some(wanted)) = (words(sql), words(fragment)) else { return Vec::new() };
    if wanted.is_empty() {
        return Vec::new();
    }
    let is_here =
        |here: &&[TokenWithSpan]| here.iter().zip(&wanted).all(|(found, wanted)| is_same(&found.token, &wanted.token));
    let found = text.windows(wanted.len()).filter(is_here).filter_map(|found| found.first());
    found.map(|first| (first.span.start.line as usize, first.span.start.column as usize)).collect()
}

fn words(text: &str) -> Option<Vec<TokenWithSpan>> {
    let mut tokens = Tokenizer::new(&GenericDialect {}, text).tokenize_with_location().ok()?;
    tokens.retain(|token| !matches!(token.token, Token::Whitespace(_) | Token::EOF));
    Some(tokens)
}

fn is_same(one: &Token, other: &Token) -> bool {
    match (one, other) {
        (Token::Word(one), Token::Word(other)) => one.value.eq_ignore_ascii_case(&other.value),
        _ => one == other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_found_and_parts_of_words_are_not() {
        let sql = "SELECT user_id, -- 'lik'\n  count(*) FILTER (WHERE Kind = 'lik')\nFROM visits";
        assert_eq!(place_of(sql, "'lik'"), Some((2, 33)));
        assert_eq!(place_of(sql, "kind='lik'"), Some((2, 26)));
        assert_eq!(place_of(sql, "visits"), Some((3, 6)));
        for absent in ["visit", "lik", "", "'lik", "SELECT FROM"] {
            assert_eq!(place_of(sql, absent), None, "{absent}");
        }
        assert_eq!(place_of("SELECT 'open", "SELECT"), None);
        assert_eq!((place_of("a, b, a", "a"), only_place_of("a, b, a", "a")), (Some((1, 1)), None));
        assert_eq!(only_place_of("a, b, a", "B"), Some((1, 4)));
    }
}
