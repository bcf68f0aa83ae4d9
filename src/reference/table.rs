//! One immutable state of a reference table.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, UInt32Array};
use arrow::compute::take;
use arrow::datatypes::{DataType, SchemaRef};
use arrow::util::display::array_value_to_string;

use super::bad_rows::BadRows;
use super::column_type::{is_key, micros, normal, normalise, normalise_batch};
use super::error::ReferenceError;
use super::index::{Clash, KeyIndex, Periods};
use super::place::Places;
use super::settings::{ReferenceSpec, Validity};
use crate::bus::ContentDigest;
use crate::time::EventTime;

/// Rows that a stream is left-joined with, found by key and, where they have a validity, by time.
#[derive(Debug)]
pub struct ReferenceTable {
    name: String,
    batch: RecordBatch,
    /// Positions of the key columns.
    key: Vec<usize>,
    has_validity: bool,
    index: KeyIndex,
    digest: Option<ContentDigest>,
    bad_rows: BadRows,
}

impl ReferenceTable {
    /// A table of these rows, with their columns in their normal types: `Int64` for all integers, `Float64`, `Utf8`,
    /// `Timestamp(Microsecond, "+00:00")`; all nullable.
    ///
    /// # Errors
    /// When a key or validity column is missing or of a type that can't be one, when two rows have one key, or when two
    /// rows of one key hold at one time.
    pub fn new(
        name: &str,
        batch: &RecordBatch,
        key: &[String],
        validity: Option<&Validity>,
    ) -> Result<Self, ReferenceError> {
        Self::with_places(name, batch, key, validity, &Places::Rows, BadRows::refused())
    }

    /// A table without rows, with the columns of its contract: for planning, before its bucket can be read.
    ///
    /// # Errors
    /// As [`new`](Self::new), and when there is no contract.
    pub fn empty(spec: &ReferenceSpec) -> Result<Self, ReferenceError> {
        let Some(contract) = &spec.contract else {
            return Err(ReferenceError::Unspecified {
                table: spec.name.clone(),
                what: "contract",
                fix: "one, for without rows it alone tells the columns",
            });
        };
        Self::new(&spec.name, &RecordBatch::new_empty(Arc::clone(contract.schema())), &spec.key, spec.validity.as_ref())
    }

    /// As [`new`](Self::new), for rows whose places in their source are known. Of two rows that can't be told apart the one
    /// that begins to hold first counts, or else the first in the source's order, unless bad rows are refused.
    pub(super) fn with_places(
        name: &str,
        batch: &RecordBatch,
        key: &[String],
        validity: Option<&Validity>,
        places: &Places,
        mut bad_rows: BadRows,
    ) -> Result<Self, ReferenceError> {
        let unspecified = |what, fix| ReferenceError::Unspecified { table: name.to_owned(), what, fix };
        if key.is_empty() {
            return Err(unspecified("key", "at least one key column"));
        }
        let batch = normalise_batch(batch)?;
        let table = Unindexed { name, batch: &batch, places };
        let key: Vec<usize> = key.iter().map(|column| table.position(column)).collect::<Result<_, _>>()?;
        for column in &key {
            table.check_key(*column)?;
        }
        let periods = match validity {
            None => None,
            Some(Validity { from: None, to: None }) => {
                return Err(unspecified("validity column", "one that says from when or until when a row holds"));
            }
            Some(validity) => Some(table.periods(validity)?),
        };
        let keys: Vec<ArrayRef> = key.iter().map(|at| Arc::clone(batch.column(*at))).collect();
        let (index, clashes) = KeyIndex::new(&keys, periods.as_ref())?;
        for clash in &clashes {
            bad_rows.add(|| table.clash(clash, &key))?;
        }
        let has_validity = validity.is_some();
        Ok(Self { name: name.to_owned(), key, has_validity, index, digest: None, bad_rows, batch })
    }

    pub(super) fn with_digest(self, digest: ContentDigest) -> Self {
        Self { digest: Some(digest), ..self }
    }

    /// The table's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The columns, all nullable.
    pub fn schema(&self) -> SchemaRef {
        self.batch.schema()
    }

    /// The key columns' names, in the order in which [`match_rows`](Self::match_rows) takes them.
    pub fn key(&self) -> Vec<&str> {
        let fields = self.batch.schema_ref().fields();
        self.key.iter().filter_map(|at| fields.get(*at)).map(|field| field.name().as_str()).collect()
    }

    /// The rows of its source that it leaves out.
    pub(crate) fn bad_rows(&self) -> &BadRows {
        &self.bad_rows
    }

    /// How many rows there are.
    pub fn rows(&self) -> usize {
        self.batch.num_rows()
    }

    /// All rows, in the order of their source.
    pub fn batch(&self) -> &RecordBatch {
        &self.batch
    }

    /// The digest of the bytes that the table was made of, for whoever records which table was in force; `None` for one
    /// that was not loaded.
    pub fn digest(&self) -> Option<ContentDigest> {
        self.digest
    }

    /// Whether columns of a stream, each with its name and type, can be compared with the key columns: to be asked when a
    /// join is planned.
    ///
    /// # Errors
    /// [`ReferenceError::KeyCount`], or [`ReferenceError::KeyMismatch`] with both types.
    pub fn check_keys(&self, stream: &[(&str, &DataType)]) -> Result<(), ReferenceError> {
        if stream.len() != self.key.len() {
            return Err(self.key_count(stream.len()));
        }
        for (at, (name, found)) in self.key.iter().zip(stream) {
            let column = self.batch.column(*at).data_type();
            if normal(found) != *column {
                return Err(ReferenceError::KeyMismatch {
                    table: self.name.clone(),
                    column: self.batch.schema_ref().field(*at).name().clone(),
                    expected: column.clone(),
                    stream: (*name).to_owned(),
                    found: (*found).clone(),
                });
            }
        }
        Ok(())
    }

    /// Per row of the key columns the row of this table that has the key and holds at the row's time, NULL where there is
    /// none. `keys` has one array per key column, of any width of its kind; `times` has a time per row in microseconds
    /// since 1970 in UTC, and may be empty for a table without validity.
    ///
    /// # Errors
    /// As [`check_keys`](Self::check_keys), or when arrays and times differ in length.
    pub fn match_rows(&self, keys: &[ArrayRef], times: &[i64]) -> Result<UInt32Array, ReferenceError> {
        let stream: Vec<(&str, &DataType)> = self.key().into_iter().zip(keys.iter().map(Array::data_type)).collect();
        if keys.len() != self.key.len() {
            return Err(self.key_count(keys.len()));
        }
        self.check_keys(&stream)?;
        let rows = keys.first().map_or(0, Array::len);
        if keys.iter().any(|key| key.len() != rows) || (self.has_validity && times.len() != rows) {
            return Err(ReferenceError::Content {
                origin: format!("the join with reference table {:?}", self.name),
                reason: format!("keys and times differ in length: {rows} keys, {} times", times.len()),
            });
        }
        let keys: Vec<ArrayRef> = keys.iter().map(normalise).collect::<Result<_, _>>()?;
        Ok(UInt32Array::from(self.index.find(&keys, times)?))
    }

    /// All columns at rows that [`match_rows`](Self::match_rows) found, NULL where it found none.
    ///
    /// # Errors
    /// For rows beyond the table's end, which it never finds.
    pub fn columns(&self, rows: &UInt32Array) -> Result<Vec<ArrayRef>, ReferenceError> {
        let taken = self.batch.columns().iter().map(|column| take(column, rows, None));
        Ok(taken.collect::<Result<_, _>>()?)
    }

    /// The table with its columns in the order of another one that has the same.
    pub(super) fn in_order_of(self, other: &Self) -> Result<Self, ReferenceError> {
        let schema = self.batch.schema();
        let order = other.batch.schema_ref().fields().iter().map(|field| schema.index_of(field.name()));
        let batch = self.batch.project(&order.collect::<Result<Vec<_>, _>>()?)?;
        let key = self.key().into_iter().map(|column| batch.schema_ref().index_of(column));
        let key = key.collect::<Result<Vec<_>, _>>()?;
        Ok(Self { batch, key, ..self })
    }

    /// The columns in which another table of this name differs, whatever their order.
    pub(super) fn differences(&self, other: &Self) -> Vec<String> {
        let (old, new) = (self.batch.schema_ref(), other.batch.schema_ref());
        let gone = old.fields().iter().filter(|field| new.field_with_name(field.name()).is_err());
        let gone = gone.map(|field| format!("{:?} is gone", field.name()));
        let others = new.fields().iter().filter_map(|field| match old.field_with_name(field.name()) {
            Err(_) => Some(format!("{:?} is new", field.name())),
            Ok(was) if was.data_type() != field.data_type() => {
                Some(format!("{:?} is {} and was {}", field.name(), field.data_type(), was.data_type()))
            }
            Ok(_) => None,
        });
        gone.chain(others).collect()
    }

    fn key_count(&self, found: usize) -> ReferenceError {
        let key = self.key().into_iter().map(str::to_owned).collect();
        ReferenceError::KeyCount { table: self.name.clone(), key, found }
    }
}

/// Rows that are about to become a table.
struct Unindexed<'a> {
    name: &'a str,
    batch: &'a RecordBatch,
    places: &'a Places,
}

impl Unindexed<'_> {
    fn position(&self, column: &str) -> Result<usize, ReferenceError> {
        let schema = self.batch.schema_ref();
        schema.index_of(column).map_err(|_| ReferenceError::NoColumn {
            table: self.name.to_owned(),
            column: column.to_owned(),
            columns: schema.fields().iter().map(|field| field.name().clone()).collect(),
        })
    }

    fn check_key(&self, at: usize) -> Result<(), ReferenceError> {
        let field = self.batch.schema_ref().field(at).clone();
        if is_key(field.data_type()) {
            return Ok(());
        }
        let (table, column) = (self.name.to_owned(), field.name().clone());
        Err(ReferenceError::KeyType { table, column, found: field.data_type().clone() })
    }

    fn periods(&self, validity: &Validity) -> Result<Periods, ReferenceError> {
        let from = self.instants(validity.from.as_deref(), i64::MIN)?;
        let to = self.instants(validity.to.as_deref(), i64::MAX)?;
        Ok(Periods { from, to })
    }

    /// A validity column as microseconds, with `open` for NULL.
    fn instants(&self, column: Option<&str>, open: i64) -> Result<Option<Vec<i64>>, ReferenceError> {
        let Some(column) = column else { return Ok(None) };
        let values = self.batch.column(self.position(column)?);
        let instants = micros(values).ok_or_else(|| ReferenceError::ValidityType {
            table: self.name.to_owned(),
            column: column.to_owned(),
            found: values.data_type().clone(),
        })?;
        Ok(Some(instants.into_iter().map(|instant| instant.unwrap_or(open)).collect()))
    }

    fn clash(&self, clash: &Clash, key: &[usize]) -> ReferenceError {
        let table = self.name.to_owned();
        match *clash {
            Clash::Repeated(first, second) => ReferenceError::RepeatedKey {
                table,
                key: self.shown_key(key, first),
                first: self.places.of(first),
                second: self.places.of(second),
            },
            Clash::Overlapping(first, second, at) => ReferenceError::Overlap {
                table,
                key: self.shown_key(key, first),
                first: self.places.of(first),
                second: self.places.of(second),
                at: shown(at),
            },
            Clash::Never(row, from, to) => {
                ReferenceError::NeverValid { table, place: self.places.of(row), from: shown(from), to: shown(to) }
            }
        }
    }

    fn shown_key(&self, key: &[usize], row: usize) -> String {
        let parts = key.iter().map(|at| {
            let value = array_value_to_string(self.batch.column(*at), row).unwrap_or_default();
            format!("{} = {value}", self.batch.schema_ref().field(*at).name())
        });
        parts.collect::<Vec<_>>().join(", ")
    }
}

fn shown(micros: i64) -> String {
    if matches!(micros, i64::MIN | i64::MAX) { "any time".to_owned() } else { EventTime(micros).to_string() }
}

#[cfg(test)]
mod tests {
    use arrow::array::{AsArray, Float64Array, Int32Array, Int64Array, StringArray, TimestampMillisecondArray};
    use arrow::datatypes::Float64Type;

    use super::*;

    fn items() -> RecordBatch {
        let columns: [(&str, ArrayRef); 4] = [
            ("item_id", Arc::new(Int32Array::from(vec![Some(1), Some(2), Some(1), None]))),
            ("price", Arc::new(Float64Array::from(vec![1.5, 2.5, 3.5, 9.0]))),
            ("from", Arc::new(TimestampMillisecondArray::from(vec![Some(0), None, Some(10), None]))),
            ("to", Arc::new(TimestampMillisecondArray::from(vec![Some(10), None, Some(12), None]))),
        ];
        RecordBatch::try_from_iter_with_nullable(columns.map(|(name, column)| (name, column, true))).unwrap()
    }

    fn validity() -> Validity {
        Validity { from: Some("from".into()), to: Some("to".into()) }
    }

    fn table(key: &[&str], validity: Option<&Validity>) -> Result<ReferenceTable, ReferenceError> {
        let key: Vec<String> = key.iter().map(|column| (*column).to_owned()).collect();
        ReferenceTable::new("items", &items(), &key, validity)
    }

    #[test]
    fn rows_are_joined_as_of_their_time_and_missing_ones_are_null() {
        let table = table(&["item_id"], Some(&validity())).unwrap();
        let keys: ArrayRef = Arc::new(Int64Array::from(vec![Some(1), Some(1), Some(1), Some(2), Some(3), None]));
        let rows = table.match_rows(&[keys], &[9_999, 10_000, 12_000, i64::MIN, 0, 0]).unwrap();
        assert_eq!(rows, UInt32Array::from(vec![Some(0), Some(2), None, Some(1), None, None]));
        let prices = table.columns(&rows).unwrap().remove(1);
        let expected = Float64Array::from(vec![Some(1.5), Some(3.5), None, Some(2.5), None, None]);
        assert_eq!(prices.as_primitive::<Float64Type>(), &expected);
        assert_eq!((table.rows(), table.key(), table.has_validity), (4, vec!["item_id"], true));
    }

    #[test]
    fn a_table_is_shared_between_threads() {
        fn shared<T: Send + Sync>() {}
        shared::<ReferenceTable>();
    }

    #[test]
    fn a_join_on_other_kinds_or_numbers_of_keys_says_what_both_sides_have() {
        let table = table(&["item_id"], Some(&validity())).unwrap();
        assert!(table.check_keys(&[("item", &DataType::UInt8)]).is_ok());
        let error = table.check_keys(&[("item", &DataType::Utf8)]).unwrap_err();
        insta::assert_snapshot!(error, @r#""item" is Utf8 but "item_id" of reference table "items" is Int64: cast one of them, or give the table a contract"#);
        let texts: ArrayRef = Arc::new(StringArray::from(vec!["1"]));
        assert!(matches!(table.match_rows(&[texts], &[0]), Err(ReferenceError::KeyMismatch { .. })));
        let error = table.match_rows(&[], &[]).unwrap_err();
        insta::assert_snapshot!(error, @r#"reference table "items" is joined on item_id but 0 columns of the stream are compared with it: compare each key column once"#);
        let keys: ArrayRef = Arc::new(Int64Array::from(vec![1]));
        assert!(table.match_rows(&[keys], &[]).is_err(), "a time is missing");
    }

    #[test]
    fn rows_that_cannot_be_told_apart_are_refused_with_both_places() {
        let error = table(&["item_id"], None).unwrap_err();
        insta::assert_snapshot!(error, @r#"reference table "items": row 1 and row 3 have one key, item_id = 1: remove one, or name validity columns"#);
        let twice = Validity { from: None, to: Some("until".into()) };
        let mut columns = items().columns().to_vec();
        columns[2] = Arc::new(TimestampMillisecondArray::from(vec![10_000, 1, 10_000, 1]));
        let fields =
            ["item_id", "price", "until", "to"].into_iter().zip(columns).map(|(name, column)| (name, column, true));
        let batch = RecordBatch::try_from_iter_with_nullable(fields).unwrap();
        let error = ReferenceTable::new("items", &batch, &["item_id".to_owned()], Some(&twice)).unwrap_err();
        insta::assert_snapshot!(error, @r#"reference table "items": row 1 and row 3 of key item_id = 1 hold both at 1970-01-01T00:00:09.999999Z: end the first before the second begins"#);
        let backwards = Validity { from: Some("to".into()), to: Some("from".into()) };
        let error = table(&["item_id"], Some(&backwards)).unwrap_err();
        insta::assert_snapshot!(error, @r#"reference table "items": row 1 is valid from 1970-01-01T00:00:00.01Z to 1970-01-01T00:00:00Z, which is never: the end must be later"#);
    }

    #[test]
    fn columns_that_cannot_be_what_they_are_named_for_are_refused() {
        insta::assert_snapshot!(table(&["item"], None).unwrap_err(), @r#"reference table "items" has no column "item": it has item_id, price, from, to"#);
        insta::assert_snapshot!(table(&["price"], None).unwrap_err(), @r#"column "price" of reference table "items" is Float64 and can't be a key: use an integer, a text, a boolean, a date or a time"#);
        insta::assert_snapshot!(table(&[], None).unwrap_err(), @r#"reference table "items" has no key: name at least one key column"#);
        let wrong = Validity { from: Some("price".into()), to: None };
        insta::assert_snapshot!(table(&["item_id"], Some(&wrong)).unwrap_err(), @r#"validity column "price" of reference table "items" is Float64: use a date or a time such as "2026-01-31T12:00:00Z""#);
        let none = Validity { from: None, to: None };
        insta::assert_snapshot!(table(&["item_id"], Some(&none)).unwrap_err(), @r#"reference table "items" has no validity column: name one that says from when or until when a row holds"#);
    }
}
