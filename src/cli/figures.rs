//! Figures for people: numbers of a few digits, moments, and nested ones by name.

use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// More numbers of a list are only counted.
const SHOWN: usize = 4;

/// A number in a few digits, whatever its size.
pub(super) fn short(number: f64) -> String {
    let size = number.abs();
    if number == 0.0 || (1e-3..1e6).contains(&size) || !number.is_finite() {
        format!("{number:.5}")
    } else {
        format!("{number:.3e}")
    }
}

/// A size in the largest unit of which there is one.
pub(super) fn bytes(bytes: u64) -> String {
    let units = [("GiB", 1_u64 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    match units.into_iter().find(|(_, size)| bytes >= *size) {
        Some((unit, size)) => format!("{:.1} {unit}", bytes as f64 / size as f64),
        None => format!("{bytes} B"),
    }
}

/// A moment in microseconds since 1970.
pub(super) fn at(micros: i64) -> String {
    let time = OffsetDateTime::from_unix_timestamp(micros.div_euclid(1_000_000));
    time.ok().and_then(|time| time.format(&Rfc3339).ok()).unwrap_or_else(|| "-".to_owned())
}

/// Every figure of a JSON value under its path (`gate.auc`).
pub(super) fn named(value: &Value) -> Vec<(String, String)> {
    let mut figures = Vec::new();
    name("", value, &mut figures);
    figures
}

fn name(path: &str, value: &Value, figures: &mut Vec<(String, String)>) {
    match value {
        Value::Object(members) => {
            for (member, value) in members {
                let path = if path.is_empty() { member.clone() } else { format!("{path}.{member}") };
                name(&path, value, figures);
            }
        }
        other => figures.push((path.to_owned(), text(other))),
    }
}

fn text(value: &Value) -> String {
    match value {
        Value::Number(number) if !number.is_f64() => number.to_string(),
        Value::Number(number) => number.as_f64().map_or_else(|| number.to_string(), short),
        Value::Array(values) if values.len() > SHOWN => format!("{} values", values.len()),
        Value::Array(values) => format!("[{}]", values.iter().map(text).collect::<Vec<_>>().join(", ")),
        Value::String(text) => text.clone(),
        Value::Null => "-".to_owned(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn numbers_of_any_size_have_a_few_digits() {
        let texts = [0.0, -0.25, 0.001, 123_456.789, 1e6, 1e300, -4.2e-7, f64::NAN, f64::INFINITY].map(short);
        let expected =
            ["0.00000", "-0.25000", "0.00100", "123456.78900", "1.000e6", "1.000e300", "-4.200e-7", "NaN", "inf"];
        assert_eq!(texts, expected);
    }

    #[test]
    fn sizes_have_the_largest_unit_that_they_reach() {
        let texts = [0, 1_023, 1_024, 3 << 20, (29 << 30) / 2, 5 << 40].map(bytes);
        assert_eq!(texts, ["0 B", "1023 B", "1.0 KiB", "3.0 MiB", "14.5 GiB", "5120.0 GiB"]);
    }

    #[test]
    fn figures_have_the_path_as_their_name_and_long_lists_are_counted() {
        let value = json!({ "auc": 0.7, "gate": { "examples": 500, "interval": [0.69, 0.71] }, "bins": [1, 2, 3, 4, 5],
            "best": null });
        let expected = [
            ("auc", "0.70000"),
            ("gate.examples", "500"),
            ("gate.interval", "[0.69000, 0.71000]"),
            ("bins", "5 values"),
            ("best", "-"),
        ];
        let mut expected = expected.map(|(name, text)| (name.to_owned(), text.to_owned())).to_vec();
        let mut sorted = named(&value);
        sorted.sort();
        expected.sort();
        assert_eq!(sorted, expected);
    }
}
