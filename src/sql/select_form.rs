//! A select in its normal form, taken apart: so that what one column means can be told from what the others do.
//!
//! ```text
//!   SELECT user_id, count(*) FILTER (WHERE within(ts, '60m')) AS views_1h FROM clicks GROUP BY user_id
//!          └─ item ┘└─ item: views_1h, count ( * ) filter ( ... ) ──────┘ └─ the rest ──────────────┘
//! ```
//!
//! Durations are written in one way: `'60 minutes'` is `'1 hour'` where a function takes a duration.

use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};

use super::duration::parse_duration;
use super::normal::word;
use super::planner::PlanError;

/// The functions of this program that take a duration.
const TIMED: [&str; 7] = ["within", "tumble", "hop", "cumulate", "session", "decay", "decayed_sum"];

/// Words that can end an expression and are no name of a column.
const NO_NAMES: [&str; 6] = ["end", "null", "true", "false", "unknown", "distinct"];

/// A select, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SelectForm {
    /// What is selected, in order.
    pub(crate) items: Vec<Item>,
    /// From FROM on; of a select that can't be taken apart, all of it.
    pub(crate) rest: String,
}

/// One column of a select.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Item {
    /// Its name, where the text gives one.
    pub(crate) name: Option<String>,
    /// What it is.
    pub(crate) form: String,
}

impl SelectForm {
    /// Takes a select apart. One that has its columns in another way than as a plain list, such as `SELECT *` or several selects,
    /// stays one piece.
    ///
    /// # Errors
    /// When the text is not made of SQL's words.
    pub(crate) fn of(sql: &str) -> Result<Self, PlanError> {
        let words = words(sql)?;
        Ok(apart(&words).unwrap_or_else(|| Self { items: Vec::new(), rest: words.join(" ") }))
    }

    /// Whether the rest names a column of the list, as GROUP BY and HAVING can.
    pub(crate) fn rest_names(&self, name: &str) -> bool {
        self.rest.split(' ').any(|word| unquoted(word).as_deref() == Some(name))
    }
}

/// The words of a statement in normal form, with durations in microseconds.
fn words(sql: &str) -> Result<Vec<String>, PlanError> {
    let tokens = Tokenizer::new(&GenericDialect {}, sql).tokenize();
    let tokens = tokens.map_err(|error| PlanError::new(error.to_string()))?;
    let mut words: Vec<String> = Vec::new();
    // For each open parenthesis, whether it is of a function that takes durations.
    let mut open: Vec<bool> = Vec::new();
    for token in &tokens {
        let Some(mut text) = word(token) else { continue };
        match token {
            Token::LParen => open.push(words.last().is_some_and(|name| TIMED.contains(&name.as_str()))),
            Token::RParen => drop(open.pop()),
            Token::SingleQuotedString(duration) if open.last() == Some(&true) => {
                if let Ok(duration) = parse_duration(duration) {
                    text = format!("'{} us'", duration.as_micros());
                }
            }
            _ => {}
        }
        words.push(text);
    }
    while words.last().is_some_and(|word| word == ";") {
        words.pop();
    }
    Ok(words)
}

fn apart(words: &[String]) -> Option<SelectForm> {
    let (first, list) = words.split_first()?;
    if first != "select" || list.first().is_some_and(|word| matches!(word.as_str(), "distinct" | "all" | "top")) {
        return None;
    }
    let (mut depth, mut items, mut item) = (0_usize, Vec::new(), Vec::new());
    let mut rest = None;
    for (place, word) in list.iter().enumerate() {
        match word.as_str() {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => depth = depth.saturating_sub(1),
            "," if depth == 0 => {
                items.push(std::mem::take(&mut item));
                continue;
            }
            // IS DISTINCT FROM is an operator.
            "from" if depth == 0 && item.last().is_none_or(|before| *before != "distinct") => {
                items.push(std::mem::take(&mut item));
                rest = list.get(place..);
                break;
            }
            _ => {}
        }
        item.push(word.as_str());
    }
    let rest = rest?;
    let is_all = |item: &Vec<&str>| item.last() == Some(&"*");
    if items.iter().any(is_all) || has_other_selects(rest) || has_ordinals(rest) {
        return None;
    }
    Some(SelectForm { items: items.iter().map(|item| named(item)).collect(), rest: rest.join(" ") })
}

/// Whether another select follows on the same level.
fn has_other_selects(rest: &[String]) -> bool {
    let mut depth = 0_usize;
    rest.iter().any(|word| {
        match word.as_str() {
            "(" => depth += 1,
            ")" => depth = depth.saturating_sub(1),
            _ => {}
        }
        depth == 0 && matches!(word.as_str(), "union" | "except" | "intersect")
    })
}

/// Whether a list such as GROUP BY names columns by their number.
fn has_ordinals(rest: &[String]) -> bool {
    let is_number = |word: &String| word.bytes().all(|byte| byte.is_ascii_digit());
    let mut by = false;
    rest.windows(2).any(|pair| {
        let [before, word] = pair else { return false };
        by = by || before == "by";
        by && (before == "by" || before == ",") && is_number(word)
    })
}

fn named(item: &[&str]) -> Item {
    let join = |words: &[&str]| words.join(" ");
    let name = |word: &str| unquoted(word).filter(|name| !NO_NAMES.contains(&name.as_str()));
    match item {
        [form @ .., "as", alias] => Item { name: unquoted(alias), form: join(form) },
        // A column as it is, perhaps with its relation.
        [column] | [_, ".", column] => Item { name: name(column), form: join(item) },
        // A name without AS comes behind a whole expression.
        [form @ .., ")", alias] if name(alias).is_some() => {
            Item { name: name(alias), form: format!("{} )", join(form)) }
        }
        _ => Item { name: None, form: join(item) },
    }
}

/// The name that a word is, if it is one.
fn unquoted(word: &str) -> Option<String> {
    if let Some(quoted) = word.strip_prefix('"').and_then(|word| word.strip_suffix('"')) {
        return Some(quoted.replace("\"\"", "\""));
    }
    let is_name = word.chars().next().is_some_and(|first| first.is_alphabetic() || first == '_');
    is_name.then(|| word.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(sql: &str) -> String {
        let SelectForm { items, rest } = SelectForm::of(sql).unwrap();
        let items = items.into_iter().map(|Item { name, form }| format!("{}: {form}\n", name.unwrap_or_default()));
        items.collect::<String>() + &rest
    }

    #[test]
    fn a_select_is_taken_apart_where_its_commas_and_its_from_are() {
        insta::assert_snapshot!(
            shown("SELECT User_ID, c.item, count(*) FILTER (WHERE within(ts, '60m')) AS \"Views\", a IS DISTINCT FROM b AS d, \
                   extract(year from ts) y, CASE WHEN a THEN 1 END FROM clicks c WHERE x IN (1, 2) GROUP BY user_id;"),
            @r#"
        user_id: user_id
        item: c . item
        Views: count ( * ) filter ( where within ( ts , '3600000000 us' ) )
        d: a is distinct from b
        y: extract ( year from ts )
        : case when a then 1 end
        from clicks c where x in ( 1 , 2 ) group by user_id
        "#
        );
    }

    #[test]
    fn durations_are_one_where_a_function_takes_one_and_texts_elsewhere() {
        let form = |duration: &str| {
            let sql = format!(
                "SELECT k, count(*) FILTER (WHERE within(ts, '{duration}')) AS n FROM t GROUP BY k, hop(ts, '{duration}', '1m')"
            );
            SelectForm::of(&sql).unwrap()
        };
        assert_eq!(form("1 hour"), form("60 minutes"));
        assert_eq!(form("1 hour"), form("3600s"));
        assert_ne!(form("1 hour"), form("61 minutes"));
        let text = |value: &str| SelectForm::of(&format!("SELECT a FROM t WHERE kind = '{value}'")).unwrap();
        assert_ne!(text("1 hour"), text("60 minutes"));
        let filter = |value: &str| {
            SelectForm::of(&format!("SELECT count(*) FILTER (WHERE within(ts, '1h') AND kind = '{value}') AS n FROM t"))
                .unwrap()
        };
        assert_ne!(filter("1h"), filter("60m"));
    }

    #[test]
    fn what_is_no_plain_list_stays_in_one_piece() {
        for sql in [
            "SELECT * FROM t",
            "SELECT t.* FROM t",
            "SELECT DISTINCT a FROM t",
            "SELECT a FROM t UNION ALL SELECT a FROM u",
            "SELECT a, count(*) AS n FROM t GROUP BY 1",
            "WITH u AS (SELECT a FROM t) SELECT a FROM u",
        ] {
            assert!(SelectForm::of(sql).unwrap().items.is_empty(), "{sql}");
        }
        let within = SelectForm::of("SELECT a FROM (SELECT a FROM t UNION ALL SELECT a FROM u)").unwrap();
        assert_eq!(within.items.len(), 1);
    }

    #[test]
    fn names_in_group_by_and_having_are_seen() {
        let form =
            SelectForm::of("SELECT lower(x) AS key, count(*) AS n FROM t GROUP BY key HAVING \"N\" > 1").unwrap();
        assert_eq!([form.rest_names("key"), form.rest_names("n"), form.rest_names("N")], [true, false, true]);
    }
}
