//! The events of a script: lines of text → columns.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};

use super::show::parse_time;

/// All events of a script, in its order, whatever their stream.
#[derive(Default)]
pub struct Events {
    pub times: Vec<i64>,
    users: Vec<Option<i64>>,
    items: Vec<Option<i64>>,
    kinds: Vec<Option<String>>,
    prices: Vec<Option<f64>>,
    notes: Vec<Option<String>>,
}

impl Events {
    /// Adds the event of a line `ts, user_id, item_id, kind, price, note`.
    pub fn push(&mut self, line: &str) {
        let mut fields = split(line).into_iter();
        let mut next = || fields.next().flatten();
        self.times.push(parse_time(&next().unwrap_or_else(|| panic!("`{line}` has no time"))));
        let integer =
            |text: Option<String>| text.map(|text| text.parse().unwrap_or_else(|_| panic!("`{text}` in `{line}`")));
        self.users.push(integer(next()));
        self.items.push(integer(next()));
        self.kinds.push(next());
        let price = |text: String| text.parse::<f64>().unwrap_or_else(|_| panic!("`{text}` in `{line}`"));
        // As messages are read: zero has no sign.
        self.prices.push(next().map(|text| price(text) + 0.0));
        self.notes.push(next());
        assert!(fields.next().is_none(), "`{line}` has more than six fields");
    }

    /// The columns of some events. With `numbered`, also `seq`: their places in the script.
    pub fn batch(&self, rows: Range<usize>, numbered: bool) -> RecordBatch {
        let times = TimestampMicrosecondArray::from_iter_values(self.times[rows.clone()].iter().copied());
        let mut columns: Vec<(&str, ArrayRef)> = vec![
            ("user_id", Arc::new(Int64Array::from_iter(self.users[rows.clone()].iter().copied()))),
            ("item_id", Arc::new(Int64Array::from_iter(self.items[rows.clone()].iter().copied()))),
            ("kind", Arc::new(StringArray::from_iter(self.kinds[rows.clone()].iter()))),
            ("price", Arc::new(Float64Array::from_iter(self.prices[rows.clone()].iter().copied()))),
            ("ts", Arc::new(times.with_timezone("+00:00"))),
            ("note", Arc::new(StringArray::from_iter(self.notes[rows.clone()].iter()))),
        ];
        if numbered {
            columns.push(("seq", Arc::new(Int64Array::from_iter_values(rows.map(|row| row as i64)))));
        }
        RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, column)| (name, column, true)))
            .unwrap()
    }
}

/// Fields between commas; an empty one is NULL, `'...'` is a text as it stands.
fn split(line: &str) -> Vec<Option<String>> {
    let (mut fields, mut field, mut quoted, mut in_quotes) = (Vec::new(), String::new(), false, false);
    let end = |field: &mut String, quoted: bool| {
        let text = std::mem::take(field);
        let text = if quoted { text } else { text.trim().to_owned() };
        (quoted || !text.is_empty()).then_some(text)
    };
    for letter in line.chars() {
        match letter {
            '\'' => {
                if !quoted {
                    field.clear();
                }
                (quoted, in_quotes) = (true, !in_quotes);
            }
            ',' if !in_quotes => fields.push(end(&mut field, std::mem::take(&mut quoted))),
            _ if quoted && !in_quotes => {}
            letter => field.push(letter),
        }
    }
    fields.push(end(&mut field, quoted));
    fields
}

/// The text of event `i` of a `repeat`: each `{...}` replaced by its value.
pub fn fill(template: &str, i: i64) -> String {
    let (mut text, mut rest) = (String::new(), template);
    while let Some((before, after)) = rest.split_once('{') {
        let (formula, after) = after.split_once('}').unwrap_or_else(|| panic!("`{template}` has an open brace"));
        text.push_str(before);
        text.push_str(&sum(formula, i).to_string());
        rest = after;
    }
    text + rest
}

/// `term + term - ...`, where a term is factors with `*`, `/` and `%` from left to right; `i` is a factor.
fn sum(formula: &str, i: i64) -> i64 {
    let (mut total, mut sign, mut start) = (0, 1, 0);
    for (place, letter) in formula.char_indices().chain([(formula.len(), '+')]) {
        if matches!(letter, '+' | '-') && place > start {
            total += sign * product(&formula[start..place], i);
            sign = if letter == '-' { -1 } else { 1 };
            start = place + 1;
        } else if letter == '-' {
            (sign, start) = (-sign, place + 1);
        }
    }
    total
}

fn product(term: &str, i: i64) -> i64 {
    let factor = |text: &str| -> i64 {
        let text = text.trim();
        if text == "i" { i } else { text.parse().unwrap_or_else(|_| panic!("`{text}` is no number")) }
    };
    let first = term.find(['*', '/', '%']).unwrap_or(term.len());
    let (mut value, mut rest) = (factor(&term[..first]), &term[first..]);
    while let Some(operator) = rest.chars().next() {
        let end = rest[1..].find(['*', '/', '%']).map_or(rest.len(), |end| end + 1);
        let other = factor(&rest[1..end]);
        value = match operator {
            '*' => value * other,
            '/' => value.div_euclid(other),
            _ => value.rem_euclid(other),
        };
        rest = &rest[end..];
    }
    value
}

#[test]
fn fields_and_formulas_are_read_as_written() {
    assert_eq!(split("1s, , 'a, b', ''"), [Some("1s".into()), None, Some("a, b".into()), Some(String::new())]);
    assert_eq!(fill("{1000+i*2}ms, {i%3}, {-i}, {i/4*10-1}", 7), "1014ms, 1, -7, 9");
}
