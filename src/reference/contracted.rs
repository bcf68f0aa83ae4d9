//! Rows with a contract: JSON objects that are checked as events are, and become its columns.

use std::sync::Arc;

use super::bad_rows::BadRows;
use super::error::ReferenceError;
use super::load::Loaded;
use super::place::Places;
use crate::event::{Contract, Limits, ObjectRows, RejectReason};

/// Levels of nesting that a row may have.
const MAX_DEPTH: usize = 16;

/// Checks each row and turns those that keep the contract into its columns.
pub(super) fn columns(
    origin: &str,
    contract: &Arc<Contract>,
    rows: &[impl AsRef<[u8]>],
    places: Places,
    mut bad_rows: BadRows,
) -> Result<Loaded, ReferenceError> {
    let limits = Limits { max_event_bytes: usize::MAX, max_depth: MAX_DEPTH };
    let mut kept = ObjectRows::new(Arc::clone(contract), limits, None);
    let mut broken = Vec::new();
    for (row, object) in rows.iter().enumerate() {
        kept.flush_if_full()?;
        let Err(flaw) = kept.push(object.as_ref()) else { continue };
        let error =
            || ReferenceError::Row { origin: origin.to_owned(), place: places.of(row), reason: flaw.to_string() };
        if flaw.reason == RejectReason::InvalidJson && places.may_be_cut() {
            return Err(error());
        }
        bad_rows.add(error)?;
        broken.push(row);
    }
    let places = if broken.is_empty() { places } else { places.without(&broken) };
    Ok(Loaded { batch: kept.finish()?, places, bad_rows })
}

#[cfg(test)]
mod tests {
    use arrow::array::AsArray;
    use arrow::datatypes::Int64Type;

    use super::*;

    fn contract() -> Arc<Contract> {
        let text = r#"{"type": "object", "required": ["id"], "properties": {
            "id": {"type": "integer", "minimum": 1}, "name": {"type": "string"}, "since": {"type": "string", "format": "date-time"}}}"#;
        Arc::new(Contract::parse(text).unwrap())
    }

    #[test]
    fn values_in_objects_become_columns() {
        let text = r#"{"type": "object", "required": ["id"], "properties": {"id": {"type": "integer"}, "shop": {
            "type": "object", "required": ["name"], "properties": {"name": {"type": "string"}}}}}"#;
        let contract = Arc::new(Contract::parse(text).unwrap());
        let rows = [r#"{"id": 1, "shop": {"name": "a"}}"#, r#"{"id": 2}"#, r#"{"id": 3, "shop": {}}"#];
        let read = |rows: &[&str]| columns("shops.jsonl", &contract, rows, Places::Rows, BadRows::refused());
        let batch = read(&rows[..2]).unwrap().batch;
        assert_eq!(batch.schema().field(1).name(), "shop.name");
        assert_eq!(batch.column(1).as_string::<i32>().iter().collect::<Vec<_>>(), [Some("a"), None]);
        let refused = "shops.jsonl, row 3: field \"shop.name\" is required and missing";
        assert_eq!(read(&rows).err().unwrap().to_string(), refused);
    }

    /// A name of a Japanese customer was read as another one, where its file had been written with escapes.
    #[test]
    fn an_escaped_character_beyond_the_first_planes_is_itself() {
        let rows = [r#"{"id": 1, "name": "\ud842\udfb7\u91ce"}"#, r#"{"id": 2, "name": "𠮷野"}"#];
        let batch = columns("people.jsonl", &contract(), &rows, Places::Rows, BadRows::refused()).unwrap().batch;
        let names = batch.column(1).as_string::<i32>();
        assert_eq!((names.value(0), names.value(1)), ("𠮷野", "𠮷野"));
    }

    #[test]
    fn a_row_that_breaks_the_contract_is_named_with_its_field_and_value() {
        let rows = [r#"{"id": 1}"#, r#"{"id": 0}"#];
        let error = |rows: &[&str], places| {
            columns("items.jsonl", &contract(), rows, places, BadRows::refused()).err().unwrap().to_string()
        };
        let error_of = error(&rows, Places::Lines(vec![1, 4]));
        insta::assert_snapshot!(error_of, @r#"items.jsonl, line 4: field "id": expected an integer of at least 1, got 0"#);
        let error_of = error(&[r#"{"name": "x"}"#], Places::Rows);
        insta::assert_snapshot!(error_of, @r#"items.jsonl, row 1: field "id" is required and missing"#);
    }

    #[test]
    fn bad_rows_are_left_out_by_name_and_half_a_line_refuses_the_file() {
        let rows = [r#"{"id": 0}"#, r#"{"id": 1}"#, "{", r#"{"id": 3}"#];
        let load = |places| columns("items", &contract(), &rows, places, BadRows::left_out());
        let keys = Places::Keys(["a", "b", "c", "d"].map(str::to_owned).to_vec());
        let loaded = load(keys).unwrap();
        assert_eq!(loaded.batch.column(0).as_primitive::<Int64Type>().values(), &[1, 3]);
        assert_eq!((loaded.places.of(1).as_str(), loaded.bad_rows.count()), ("key \"d\"", 2));
        insta::assert_snapshot!(loaded.bad_rows.named().join("\n"), @r#"
        items, key "a": field "id": expected an integer of at least 1, got 0
        items, key "c": expected a string at byte 1, found the end
        "#);
        let error = load(Places::Lines(vec![1, 2, 3, 4])).err().unwrap();
        insta::assert_snapshot!(error, @"items, line 3: expected a string at byte 1, found the end");
    }
}
