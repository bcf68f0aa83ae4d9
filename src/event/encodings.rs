//! The same rows as JSON and as Arrow, in whatever encoding a library writes them, are the same events.

use std::sync::Arc;

use arrow::array::types::Decimal128Type;
use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, AsArray, BinaryArray, BooleanArray, Date32Array, Decimal128Array,
    Float64Array, Int64Array, ListArray, PrimitiveArray, RecordBatch, StringArray, TimestampMicrosecondArray,
    TimestampNanosecondArray, UInt64Array, new_null_array,
};
use arrow::compute::cast;
use arrow::datatypes::{
    DataType, Field, Float64Type, TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType,
    TimestampSecondType,
};
use arrow::ipc::CompressionType;
use arrow::ipc::writer::{IpcWriteOptions, StreamWriter};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::testing::{Encoding, Message, PUBLISHED, arrow, json as json_message, message};
use super::{Contract, DecodeSettings, Decoded, Decoder};

const CONTRACT: &str = r#"{"type": "object", "properties": {
    "ts": {"type": "integer", "minimum": 1},
    "user": {"type": "string"},
    "count": {"type": "integer"},
    "price": {"type": "number"},
    "at": {"type": "string", "format": "date-time"},
    "gift": {"type": "boolean"},
    "tags": {"type": "array", "items": {"type": "string"}},
    "sizes": {"type": "array", "items": {"type": ["integer", "null"]}}
}, "required": ["ts", "user"]}"#;

#[derive(Debug, Clone)]
struct Row {
    /// Whole seconds before the message.
    ts: i64,
    user: String,
    count: Option<i64>,
    quarters: Option<i64>,
    at: Option<i64>,
    gift: Option<bool>,
    tags: Option<Vec<String>>,
    sizes: Option<Vec<Option<i64>>>,
}

fn decoder() -> Decoder {
    let contract = Arc::new(Contract::parse(CONTRACT).expect("a contract"));
    Decoder::new(contract, &DecodeSettings::new("ts")).expect("a decoder")
}

fn decode(messages: &[Message]) -> Decoded {
    decoder().decode(messages).expect("decoded")
}

/// Decodes rows that came with one message as columns.
fn decode_rows(rows: &RecordBatch) -> Decoded {
    decoder().decode_rows(rows, &vec![0; rows.num_rows()], &[PUBLISHED]).expect("decoded")
}

fn rows() -> impl Strategy<Value = Vec<Row>> {
    let text = || "[a-cäß]{0,3}|[a-z]{14}";
    let row = (
        0..100_000_i64,
        text(),
        option::of(0..100_i64),
        option::of(-400..400_i64),
        option::of(0..100_000_i64),
        option::of(any::<bool>()),
        option::of(vec(text(), 0..4)),
        option::of(vec(option::of(0..100_i64), 0..4)),
    );
    let row = row.prop_map(|(ts, user, count, quarters, at, gift, tags, sizes)| {
        let ts = PUBLISHED / 1_000 - ts * 1_000;
        Row { ts, user, count, quarters, at: at.map(|at| at * 1_000_000), gift, tags, sizes }
    });
    vec(row, 1..12)
}

fn as_json(row: &Row) -> String {
    let mut fields = Map::new();
    let mut put = |name: &str, value: Option<Value>| value.map(|value| fields.insert(name.to_owned(), value));
    put("ts", Some(json!(row.ts)));
    put("user", Some(json!(row.user)));
    put("count", row.count.map(|count| json!(count)));
    put("price", row.quarters.map(|quarters| json!(quarters as f64 / 4.0)));
    put("at", row.at.map(|at| json!(crate::time::EventTime(at).to_string())));
    put("gift", row.gift.map(|gift| json!(gift)));
    put("tags", row.tags.as_ref().map(|tags| json!(tags)));
    put("sizes", row.sizes.as_ref().map(|sizes| json!(sizes)));
    Value::Object(fields).to_string()
}

fn dictionary(key: DataType, values: DataType) -> DataType {
    DataType::Dictionary(Box::new(key), Box::new(values))
}

fn chosen(types: &[DataType], choice: usize) -> DataType {
    types[choice % types.len()].clone()
}

fn text_type(choice: usize) -> DataType {
    chosen(
        &[
            DataType::Utf8,
            DataType::LargeUtf8,
            DataType::Utf8View,
            DataType::Binary,
            DataType::BinaryView,
            dictionary(DataType::Int8, DataType::Utf8),
            dictionary(DataType::UInt32, DataType::LargeUtf8),
            dictionary(DataType::UInt32, DataType::Utf8View),
        ],
        choice,
    )
}

fn integer_type(choice: usize) -> DataType {
    chosen(
        &[
            DataType::Int64,
            DataType::Int8,
            DataType::Int16,
            DataType::Int32,
            DataType::UInt8,
            DataType::UInt16,
            DataType::UInt32,
            DataType::UInt64,
            DataType::Float16,
            DataType::Float32,
            DataType::Float64,
            DataType::Decimal128(38, 0),
            DataType::Decimal128(12, 3),
            dictionary(DataType::Int16, DataType::Int32),
        ],
        choice,
    )
}

fn number_type(choice: usize, is_whole: bool) -> DataType {
    let types = [DataType::Float64, DataType::Float32, DataType::Float16, DataType::Decimal128(12, 2)];
    let whole = [DataType::Int16, DataType::Int32, DataType::Int64, DataType::Decimal128(10, 0)];
    if is_whole && choice.is_multiple_of(2) { chosen(&whole, choice / 2) } else { chosen(&types, choice / 2) }
}

/// Times in another unit and another zone, which is the same instant.
fn times(micros: &[Option<i64>], choice: usize) -> ArrayRef {
    fn of<T: ArrowPrimitiveType<Native = i64>>(values: impl Iterator<Item = Option<i64>>) -> PrimitiveArray<T> {
        values.collect()
    }
    let zone = [None, Some("+00:00"), Some("+05:30"), Some("Europe/Berlin")][choice / 4 % 4];
    let values = micros.iter().copied();
    match choice % 4 {
        0 => Arc::new(of::<TimestampSecondType>(values.map(|at| at.map(|at| at / 1_000_000))).with_timezone_opt(zone)),
        1 => Arc::new(of::<TimestampMillisecondType>(values.map(|at| at.map(|at| at / 1_000))).with_timezone_opt(zone)),
        2 => Arc::new(of::<TimestampMicrosecondType>(values).with_timezone_opt(zone)),
        _ => Arc::new(of::<TimestampNanosecondType>(values.map(|at| at.map(|at| at * 1_000))).with_timezone_opt(zone)),
    }
}

fn list_type(item: DataType, choice: usize) -> DataType {
    let item = Arc::new(Field::new("element", item, true));
    match choice % 4 {
        0 => DataType::List(item),
        1 => DataType::LargeList(item),
        2 => DataType::ListView(item),
        _ => DataType::LargeListView(item),
    }
}

fn column(values: &ArrayRef, wanted: &DataType) -> ArrayRef {
    if values.null_count() == values.len() {
        return new_null_array(&DataType::Null, values.len());
    }
    cast(values, wanted).unwrap_or_else(|error| panic!("{} as {wanted}: {error}", values.data_type()))
}

fn lists<T>(rows: &[Row], of: impl Fn(&Row) -> Option<&Vec<T>>, items: impl FnOnce(Vec<&T>) -> ArrayRef) -> ArrayRef {
    let lengths = rows.iter().map(|row| of(row).map_or(0, Vec::len));
    let offsets = arrow::buffer::OffsetBuffer::from_lengths(lengths);
    let nulls = rows.iter().map(|row| of(row).is_some()).collect::<Vec<_>>();
    let items = items(rows.iter().filter_map(&of).flatten().collect());
    let field = Arc::new(Field::new_list_field(items.data_type().clone(), true));
    Arc::new(ListArray::try_new(field, offsets, items, Some(nulls.into())).expect("lists"))
}

fn as_arrow(rows: &[Row], choices: &[usize]) -> RecordBatch {
    let integers = |of: fn(&Row) -> Option<i64>| Arc::new(rows.iter().map(of).collect::<Int64Array>()) as ArrayRef;
    let users: ArrayRef = Arc::new(rows.iter().map(|row| Some(row.user.as_str())).collect::<StringArray>());
    let quarters = rows.iter().map(|row| row.quarters.map(|quarters| quarters as f64 / 4.0));
    let prices: ArrayRef = Arc::new(quarters.collect::<Float64Array>());
    let is_whole = rows.iter().filter_map(|row| row.quarters).all(|quarters| quarters % 4 == 0);
    let gifts: ArrayRef = Arc::new(rows.iter().map(|row| row.gift).collect::<BooleanArray>());
    let tags = lists(rows, |row| row.tags.as_ref(), |items| Arc::new(StringArray::from_iter_values(items)));
    let sizes =
        lists(rows, |row| row.sizes.as_ref(), |items| Arc::new(items.into_iter().copied().collect::<Int64Array>()));
    let at: Vec<Option<i64>> = rows.iter().map(|row| row.at).collect();
    let ts = match choices[0] % 3 {
        0 => column(&integers(|row| Some(row.ts)), &DataType::UInt64),
        _ => times(&rows.iter().map(|row| Some(row.ts * 1_000)).collect::<Vec<_>>(), choices[0] / 3),
    };
    let at = times(&at, choices[4]);
    let columns = [
        ("sizes", column(&sizes, &list_type(integer_type(choices[7]), choices[8]))),
        ("user", column(&users, &text_type(choices[1]))),
        ("count", column(&integers(|row| row.count), &integer_type(choices[2]))),
        ("price", column(&prices, &number_type(choices[3], is_whole))),
        ("at", column(&at, at.data_type())),
        ("gift", column(&gifts, &DataType::Boolean)),
        ("ts", ts),
        ("tags", column(&tags, &list_type(text_type(choices[5]), choices[6]))),
    ];
    RecordBatch::try_from_iter_with_nullable(columns.map(|(name, column)| (name, column, true))).expect("a batch")
}

proptest! {
    #[test]
    fn rows_are_the_same_events_in_every_encoding(rows in rows(), choices in vec(0..1000_usize, 9)) {
        let lines: Vec<String> = rows.iter().map(as_json).collect();
        let expected = decode(&[json_message(&lines.join("\n"))]);
        prop_assert_eq!(expected.rejects, []);
        let columns = as_arrow(&rows, &choices);
        for found in [decode(&[arrow(&columns)]), decode_rows(&columns)] {
            prop_assert_eq!(found.rejects, []);
            prop_assert_eq!(&found.batch, &expected.batch);
        }
    }
}

/// What becomes of three rows, of which the one in the middle has a value that can't be held.
fn refused(name: &str, values: &ArrayRef) -> String {
    let ts: ArrayRef = Arc::new(Int64Array::from(vec![PUBLISHED / 1_000; 3]));
    let users: ArrayRef = Arc::new(StringArray::from(vec!["a", "b", "c"]));
    let mut columns = vec![("ts", ts), ("user", users)];
    columns.retain(|(other, _)| *other != name);
    columns.push((name, Arc::clone(values)));
    let batch = RecordBatch::try_from_iter(columns).expect("a batch");
    let decoded = decode(&[arrow(&batch)]);
    assert_eq!(decode_rows(&batch).rejects, decoded.rejects, "columns are held to what a message is");
    assert_eq!((decoded.batch.num_rows(), decoded.rejects.len()), (2, 1), "{name}: {:?}", decoded.rejects);
    let reject = &decoded.rejects[0];
    let alone = super::ipc::read(&reject.bytes).expect("a stream");
    let shown = |values: &dyn Array| arrow::util::display::array_value_to_string(values, 0).expect("a value");
    if !values.data_type().is_nested() {
        let written = alone[0].column_by_name(name).expect("the column");
        assert_eq!(shown(written), shown(&values.slice(1, 1)), "the letter has the row as it was written");
    }
    format!("{}: {}", reject.reason, reject.detail)
}

#[test]
fn a_value_that_would_be_lost_costs_its_own_row() {
    let sizes = [Some(vec![Some(1.0)]), Some(vec![None, Some(0.5)]), None];
    let day = PUBLISHED / 86_400_000_000;
    let times = [PUBLISHED * 1_000, PUBLISHED * 1_000 + 1, PUBLISHED * 1_000];
    let columns: [(&str, ArrayRef); 10] = [
        ("count", Arc::new(UInt64Array::from(vec![1, u64::MAX, 3]))),
        ("count", Arc::new(Float64Array::from(vec![1.0, 2.5, 3.0]))),
        ("count", Arc::new(Float64Array::from(vec![1.0, f64::NAN, 3.0]))),
        ("price", Arc::new(Int64Array::from(vec![1, 9_007_199_254_740_993, 3]))),
        ("price", Arc::new(decimals(&[100, 12_345_678_901_234_567_891, 300]))),
        ("at", Arc::new(TimestampNanosecondArray::from(times.to_vec()))),
        ("user", Arc::new(BinaryArray::from_vec(vec![b"a", b"\xff", b"c"]))),
        ("ts", Arc::new(Date32Array::from(vec![day as i32, day as i32 + 2, day as i32 - 1]))),
        ("at", Arc::new(StringArray::from(vec!["2026-01-31T12:00:00Z", "2026-01-31", "2026-01-31T12:00:00+01:00"]))),
        ("sizes", Arc::new(ListArray::from_iter_primitive::<Float64Type, _, _>(sizes))),
    ];
    let expected = [
        "wrong_type: field \"count\": expected an integer, got 18446744073709551615",
        "wrong_type: field \"count\": expected an integer, got 2.5",
        "not_finite: field \"count\": expected an integer, got NaN",
        "wrong_type: field \"price\": expected a number, got 9007199254740993, which 64-bit floating point can't hold exactly",
        "wrong_type: field \"price\": expected a number, got 123456789012345678.91, which 64-bit floating point can't hold exactly",
        "wrong_type: field \"at\": expected a time such as \"2026-01-31T12:00:00Z\", got 2026-01-01T00:00:00.000000001, which whole microseconds can't hold",
        "wrong_type: field \"user\": expected a string, got bytes that are not UTF-8",
        "time_out_of_bounds: field \"ts\": expected a time from 2000-01-01T00:00:00Z to 2026-01-01T00:01:00Z, got 2026-01-03T00:00:00Z",
        "wrong_type: field \"at\": expected a time such as \"2026-01-31T12:00:00Z\", got \"2026-01-31\", which has no offset from UTC: write one, or set `time_zone` in the stream",
        "wrong_type: field \"sizes\" item 1: expected an integer or null, got 0.5",
    ];
    for ((name, values), expected) in columns.iter().zip(expected) {
        assert_eq!(refused(name, values), expected);
    }
}

fn decimals(hundredths: &[i128]) -> Decimal128Array {
    PrimitiveArray::<Decimal128Type>::from_iter_values(hundredths.iter().copied())
        .with_precision_and_scale(38, 2)
        .expect("decimals")
}

#[test]
fn a_time_of_half_a_millisecond_is_kept_where_the_contract_counts_milliseconds() {
    let times = TimestampMicrosecondArray::from(vec![PUBLISHED + 500]);
    let batch = RecordBatch::try_from_iter([
        ("ts", Arc::new(times) as ArrayRef),
        ("user", Arc::new(StringArray::from(vec!["a"]))),
    ]);
    let decoded = decode(&[arrow(&batch.expect("a batch"))]);
    assert_eq!(decoded.batch.column(0).as_primitive::<TimestampMicrosecondType>().values(), &[PUBLISHED + 500]);
}

#[test]
fn compressed_streams_are_read() {
    let ts: ArrayRef = Arc::new(Int64Array::from(vec![PUBLISHED / 1_000; 100]));
    let users: ArrayRef = Arc::new(StringArray::from(vec!["a"; 100]));
    let batch = RecordBatch::try_from_iter([("ts", ts), ("user", users)]).expect("a batch");
    for codec in [CompressionType::LZ4_FRAME, CompressionType::ZSTD] {
        let options = IpcWriteOptions::default().try_with_compression(Some(codec)).expect("options");
        let mut writer = StreamWriter::try_new_with_options(Vec::new(), batch.schema_ref(), options).expect("a stream");
        writer.write(&batch).expect("a batch is written");
        let stream = writer.into_inner().expect("a stream ends").into();
        assert_eq!(decode(&[message(stream, Encoding::ArrowStream)]).batch.num_rows(), 100);
    }
}
