//! Comparing runs with the file and with each other, and values with the oracle's.

use std::collections::BTreeMap;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{DataType, Float64Type, Int64Type};

use super::functions::Comparison;
use super::run::{Mode, Transcript};
use super::script::Script;
use super::show::show;

/// The lines that a run has and the file does not, and the other way round.
pub fn differences_from_file(script: &Script, run: &Transcript) -> Vec<String> {
    let mut problems = Vec::new();
    for (step, found) in script.steps.iter().zip(&run.steps) {
        for (line, found) in step.lines.iter().zip(found) {
            let text = script.text.lines().nth(line.number).unwrap_or_default().trim();
            differ(&format!("line {} `{text}`", line.number + 1), &line.expected, found, &mut problems);
        }
    }
    problems
}

/// The lines that differ between two runs, step by step.
pub fn differences_between(script: &Script, straight: &Transcript, other: &Transcript, mode: Mode) -> Vec<String> {
    let mut problems = Vec::new();
    for ((step, one), two) in script.steps.iter().zip(&straight.steps).zip(&other.steps) {
        let place = step.lines.first().map_or(0, |line| line.number + 1);
        differ(&format!("{mode}, step at line {place}"), &one.concat(), &two.concat(), &mut problems);
    }
    if straight.late != other.late {
        problems.push(format!("{mode}: late rows are {:?}, expected {:?}", other.late, straight.late));
    }
    differ(&format!("{mode}, after the last step"), &straight.rest, &other.rest, &mut problems);
    problems
}

fn differ(place: &str, expected: &[String], found: &[String], problems: &mut Vec<String>) {
    let mut counts: BTreeMap<&str, i64> = BTreeMap::new();
    expected.iter().for_each(|line| *counts.entry(line).or_default() -= 1);
    found.iter().for_each(|line| *counts.entry(line).or_default() += 1);
    let lines: Vec<String> = counts
        .iter()
        .filter(|(_, count)| **count != 0)
        .flat_map(|(line, count)| {
            let sign = if *count < 0 { '-' } else { '+' };
            std::iter::repeat_n(format!("\n    {sign} {line}"), count.unsigned_abs() as usize)
        })
        .collect();
    if !lines.is_empty() {
        problems.push(format!("{place}{}", lines.concat()));
    }
}

/// Whether a value of a table is what the oracle says.
pub fn is_same((one, one_row): (&ArrayRef, usize), (two, two_row): (&ArrayRef, usize), comparison: Comparison) -> bool {
    let values = |two: &ArrayRef| if two.is_null(two_row) { None } else { Some(two.as_list::<i32>().value(two_row)) };
    match comparison {
        Comparison::Same => is_same_value((one, one_row), (two, two_row)),
        Comparison::Top(k) => {
            let values = values(two);
            let expected = values.map_or("[]".to_owned(), |values| top(&values, k));
            let found = show(one, one_row);
            (if found == "NULL" { "[]".to_owned() } else { found }) == expected
        }
        Comparison::Quantile(q) => match values(two).filter(|values| !values.is_empty()) {
            None => one.is_null(one_row),
            Some(values) => {
                let values = values.as_primitive::<Float64Type>().values().to_vec();
                let rank = q * (values.len() - 1) as f64;
                let found = one.as_primitive::<Float64Type>().value(one_row);
                [rank.floor(), rank.ceil()].iter().any(|rank| {
                    let value = values[*rank as usize];
                    one.is_valid(one_row) && (found - value).abs() <= 0.010_001 * value.abs()
                })
            }
        },
        Comparison::Count => {
            let exact = two.as_primitive::<Int64Type>().value(two_row) as f64;
            let found: f64 = show(one, one_row).parse().unwrap_or(f64::NAN);
            (found - exact).abs() <= (0.03 * exact).max(0.0)
        }
    }
}

fn is_same_value((one, one_row): (&ArrayRef, usize), (two, two_row): (&ArrayRef, usize)) -> bool {
    match (one.data_type(), two.data_type()) {
        (DataType::Float64, DataType::Float64) if one.is_valid(one_row) && two.is_valid(two_row) => {
            let (one, two) =
                (one.as_primitive::<Float64Type>().value(one_row), two.as_primitive::<Float64Type>().value(two_row));
            one == two || (one.is_nan() && two.is_nan()) || (one - two).abs() <= 1e-9 * two.abs().max(1.0)
        }
        (DataType::List(_), DataType::List(_)) => {
            let values = |list: &ArrayRef, row: usize| list.is_valid(row).then(|| list.as_list::<i32>().value(row));
            let (one, two) = (values(one, one_row), values(two, two_row));
            let length = |values: &Option<ArrayRef>| values.as_ref().map_or(0, arrow::array::Array::len);
            length(&one) == length(&two)
                && one
                    .zip(two)
                    .is_none_or(|(one, two)| (0..one.len()).all(|place| is_same_value((&one, place), (&two, place))))
        }
        _ => show(one, one_row) == show(two, two_row),
    }
}

/// The most frequent of sorted values as `top_k` shows them.
fn top(values: &ArrayRef, k: usize) -> String {
    let mut counted: Vec<(usize, usize)> = Vec::new();
    for place in 0..values.len() {
        match counted.last_mut() {
            Some((first, count)) if show(values, *first) == show(values, place) => *count += 1,
            _ => counted.push((place, 1)),
        }
    }
    counted.sort_by_key(|(first, count)| (std::cmp::Reverse(*count), *first));
    let shown =
        counted.iter().take(k).map(|(first, count)| format!("{{value: {}, count: {count}}}", show(values, *first)));
    format!("[{}]", shown.collect::<Vec<_>>().join(", "))
}
