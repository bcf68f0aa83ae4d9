//! Values and times as scripts write them.

use arrow::array::{Array, ArrayRef, AsArray, TimestampMicrosecondArray};
use arrow::compute::kernels::cast_utils::string_to_timestamp_nanos;
use arrow::datatypes::{DataType, Float64Type, TimeUnit, TimestampMicrosecondType};
use arrow::util::display::{ArrayFormatter, FormatOptions};

const UNITS: [(&str, i128); 6] =
    [("us", 1), ("ms", 1_000), ("s", 1_000_000), ("m", 60_000_000), ("h", 3_600_000_000), ("d", 86_400_000_000)];

/// Times nearer to 1970 are written in seconds, others as dates.
const IN_SECONDS: u64 = 10 * 86_400_000_000;

/// Microseconds of a time or length such as `12.5s`, `-3ms`, `2d` or `2026-03-29T01:00:00Z`.
pub fn parse_time(text: &str) -> i64 {
    if text.contains('T') {
        return string_to_timestamp_nanos(text).unwrap_or_else(|error| panic!("`{text}`: {error}")).div_euclid(1_000);
    }
    let split = text.find(|letter: char| letter.is_ascii_alphabetic()).unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let unit = UNITS.iter().find(|(name, _)| *name == unit).unwrap_or_else(|| panic!("`{text}` has no known unit")).1;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits: i128 = format!("{whole}{fraction}").parse().unwrap_or_else(|_| panic!("`{text}` is no time"));
    (digits * unit / 10_i128.pow(fraction.len() as u32)) as i64
}

/// A time as text.
pub fn show_time(micros: i64) -> String {
    if micros == i64::MAX {
        return "end".to_owned();
    }
    if micros.unsigned_abs() >= IN_SECONDS {
        let time: ArrayRef = std::sync::Arc::new(TimestampMicrosecondArray::from(vec![micros]).with_timezone("+00:00"));
        let options = FormatOptions::default();
        let text =
            ArrayFormatter::try_new(time.as_ref(), &options).ok().and_then(|one| one.value(0).try_to_string().ok());
        return text.unwrap_or_else(|| format!("{micros}us"));
    }
    let (sign, micros) = (if micros < 0 { "-" } else { "" }, micros.unsigned_abs());
    let (seconds, rest) = (micros / 1_000_000, micros % 1_000_000);
    match rest {
        0 => format!("{sign}{seconds}s"),
        _ => format!("{sign}{seconds}.{}s", format!("{rest:06}").trim_end_matches('0')),
    }
}

/// A value as text: floats with all their digits, texts in quotes unless they are plain words.
pub fn show(column: &ArrayRef, row: usize) -> String {
    if column.is_null(row) {
        return "NULL".to_owned();
    }
    match column.data_type() {
        DataType::Float64 => format!("{:?}", column.as_primitive::<Float64Type>().value(row)),
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            show_time(column.as_primitive::<TimestampMicrosecondType>().value(row))
        }
        DataType::Utf8 => show_text(column.as_string::<i32>().value(row)),
        DataType::Utf8View => show_text(column.as_string_view().value(row)),
        DataType::List(_) => {
            let values = column.as_list::<i32>().value(row);
            let values: Vec<String> = (0..values.len()).map(|place| show(&values, place)).collect();
            format!("[{}]", values.join(", "))
        }
        DataType::Struct(fields) => {
            let columns = column.as_struct().columns();
            let values: Vec<String> = fields
                .iter()
                .zip(columns)
                .map(|(field, column)| format!("{}: {}", field.name(), show(column, row)))
                .collect();
            format!("{{{}}}", values.join(", "))
        }
        _ => {
            let options = FormatOptions::default();
            ArrayFormatter::try_new(column.as_ref(), &options).unwrap().value(row).to_string()
        }
    }
}

fn show_text(text: &str) -> String {
    let is_plain = |letter: char| letter.is_alphanumeric() || letter == '_';
    if !text.is_empty() && text != "NULL" && text.chars().all(is_plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\n', "\\n"))
}

#[test]
fn times_are_read_and_written_alike() {
    for text in ["12.5s", "-3s", "0s", "0.000001s", "-0.25s", "2026-03-29T01:00:00Z", "1901-01-01T00:00:00Z"] {
        assert_eq!(show_time(parse_time(text)), text);
    }
    assert_eq!(parse_time("250ms"), 250_000);
    assert_eq!(parse_time("1.5h"), 5_400_000_000);
}
