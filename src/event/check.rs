//! Holds one JSON object to a contract, without allocating unless it fails.

use std::sync::Arc;

use super::check_value::{Place, ValueCheck};
use super::column::Column;
use super::contract::{Contract, ContractField};
use super::instant::TimeZone;
use super::key::Key;
use super::nested_check::NestedCheck;
use super::reject::{Flaw, RejectReason, excerpt};
use super::scan::Scanner;

/// How large and how deep an event may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one event's JSON text.
    pub max_event_bytes: usize,
    /// Levels of nesting; the event's own object is the first.
    pub max_depth: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_event_bytes: 64 * 1024, max_depth: 16 }
    }
}

/// Checks JSON objects against one contract, one after another.
///
/// Types are exact: `"12"` is no integer, though `1.0` is one, as JSON Schema says. A field of the contract may appear
/// once; fields that it does not have are skipped, or refused when the contract is closed.
#[derive(Debug)]
pub(super) struct ObjectCheck {
    contract: Arc<Contract>,
    max_event_bytes: usize,
    /// How many fields are required.
    required: usize,
    /// Per field its name as most producers write it; none when the name would need escapes.
    keys: Vec<Option<Key>>,
    /// Per field whether the event at hand has it.
    seen: Vec<bool>,
    name: Vec<u8>,
    values: ValueCheck,
    /// What checks instead where objects are in the contract, or columns have other names than their properties.
    nested: Option<NestedCheck>,
}

impl ObjectCheck {
    /// A check of objects against `contract`; times without an offset from UTC are of `zone`.
    pub(super) fn new(contract: Arc<Contract>, limits: Limits, zone: Option<TimeZone>) -> Self {
        Self {
            required: contract.fields().iter().filter(|field| field.is_required()).count(),
            keys: contract.fields().iter().map(|field| Key::new(field.name())).collect(),
            seen: vec![false; contract.fields().len()],
            name: Vec::new(),
            values: ValueCheck::new(limits.max_depth, zone),
            max_event_bytes: limits.max_event_bytes,
            nested: contract.nested().map(|event| NestedCheck::new(event, contract.fields().len())),
            contract,
        }
    }

    /// Checks bytes that must hold exactly one object, and appends a row as [`next_object`](Self::next_object) does.
    ///
    /// # Errors
    /// The first fault that was found.
    pub(super) fn object(&mut self, bytes: &[u8], columns: &mut [Column]) -> Result<(), Flaw> {
        let mut scanner = Scanner::new(bytes);
        self.next_object(&mut scanner, columns)?;
        match scanner.peek() {
            None => Ok(()),
            Some(_) => Err(scanner.error("the end of the object").into()),
        }
    }

    /// Checks the object that begins at the scanner's next value, leaves the scanner behind it and appends a row to the
    /// columns, one per field or none at all. After an error the scanner is anywhere within the object, and some columns
    /// may have a value of it.
    #[inline]
    pub(super) fn next_object(&mut self, scanner: &mut Scanner<'_>, columns: &mut [Column]) -> Result<(), Flaw> {
        let first = scanner.peek();
        let start = scanner.offset();
        if first != Some(b'{') {
            self.values.skip(scanner, 0)?;
            let detail = format!("expected an object, got {}", excerpt(scanner.since(start)));
            return Err(Flaw::new(RejectReason::WrongType, detail));
        }
        match &mut self.nested {
            None => self.members(scanner, columns)?,
            Some(nested) => nested.event(&mut self.values, scanner, columns)?,
        }
        let event = scanner.since(start);
        if event.len() > self.max_event_bytes {
            let detail = format!("expected at most {} bytes, got {}", self.max_event_bytes, event.len());
            return Err(Flaw::new(RejectReason::TooLarge, detail));
        }
        if scanner.is_utf8() {
            return Ok(());
        }
        match str::from_utf8(event) {
            Ok(_) => Ok(()),
            Err(error) => {
                let detail = format!("not UTF-8 at byte {} of the event", error.valid_up_to());
                Err(Flaw::new(RejectReason::InvalidJson, detail))
            }
        }
    }

    /// Passes a value that nests at most `most` levels deep, without checking it.
    pub(super) fn skip(&mut self, scanner: &mut Scanner<'_>, most: usize) -> Result<(), Flaw> {
        self.values.skip_within(scanner, 0, most)
    }

    fn members(&mut self, scanner: &mut Scanner<'_>, columns: &mut [Column]) -> Result<(), Flaw> {
        let Self { contract, required, keys, seen, name: scratch, values, .. } = self;
        let fields = contract.fields();
        seen.fill(false);
        let mut missing = *required;
        let mut absent = fields.len();
        // Producers repeat the order of their fields: the next one is tried before the others are searched.
        let mut likely = 0;

        scanner.expect(b'{', "an object")?;
        let mut ended = scanner.take(b'}');
        while !ended {
            let found = match (keys.get(likely), fields.get(likely)) {
                (Some(Some(key)), Some(field)) if scanner.take_key(key) => Some((likely, field)),
                _ => {
                    let name = scanner.string()?;
                    scanner.expect(b':', "`:`")?;
                    let name = name.resolve(scratch);
                    let found = field_named(fields, likely, name);
                    if found.is_none() && contract.is_closed() {
                        let detail = format!("field \"{}\" is not in the contract", excerpt(name));
                        return Err(Flaw::new(RejectReason::UnknownField, detail));
                    }
                    found
                }
            };
            if let Some((index, field)) = found {
                match seen.get_mut(index) {
                    Some(seen) if !*seen => *seen = true,
                    _ => {
                        let detail = format!("field \"{}\" appears twice", field.name());
                        return Err(Flaw::new(RejectReason::DuplicateField, detail));
                    }
                }
                missing -= usize::from(field.is_required());
                absent -= 1;
                likely = index + 1;
                let place = Place { field: field.name(), item: None };
                values.check(scanner, field.rule(), place, columns.get_mut(index))?;
            } else {
                values.skip(scanner, 1)?;
            }
            if !scanner.take(b',') {
                scanner.expect(b'}', "`,` or `}`")?;
                ended = true;
            }
        }
        if missing > 0 {
            return Err(missing_field(fields, seen));
        }
        if absent > 0 {
            let unseen = columns.iter_mut().zip(seen.iter()).filter(|(_, seen)| !**seen);
            unseen.for_each(|(column, _)| column.push_null());
        }
        Ok(())
    }
}

/// The field of a name, looked for from the one at `likely` on: fields are left out more often than their order changes.
fn field_named<'f>(fields: &'f [ContractField], likely: usize, name: &[u8]) -> Option<(usize, &'f ContractField)> {
    let (before, after) = fields.split_at_checked(likely).unwrap_or((fields, &[]));
    let after = after.iter().enumerate().map(|(index, field)| (likely + index, field));
    after.chain(before.iter().enumerate()).find(|(_, field)| field.name().as_bytes() == name)
}

fn missing_field(fields: &[ContractField], seen: &[bool]) -> Flaw {
    let absent = fields.iter().zip(seen).find(|(field, seen)| field.is_required() && !**seen);
    let name = absent.map_or("", |(field, _)| field.name());
    Flaw::new(RejectReason::MissingField, format!("field \"{name}\" is required and missing"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONTRACT: &str = r#"{"type": "object", "properties": {
        "id": {"type": "integer", "minimum": 1},
        "kind": {"type": "string", "enum": ["view", "b\u00fcy"]},
        "price": {"type": ["number", "null"], "exclusiveMinimum": 0},
        "at": {"type": "string", "format": "date-time"},
        "gift": {"type": "boolean"},
        "tags": {"type": "array", "items": {"type": "string", "maxLength": 3}, "maxItems": 2}
    }, "required": ["id"]}"#;

    fn check_with(contract: &str, event: &[u8]) -> Result<(), (RejectReason, String)> {
        let contract = Contract::parse(contract).expect("a contract");
        let limits = Limits { max_event_bytes: 200, max_depth: 3 };
        let mut check = ObjectCheck::new(Arc::new(contract), limits, None);
        // Twice: nothing of the first may stay behind for the second.
        let first = check.object(event, &mut []);
        assert_eq!(check.object(event, &mut []), first);
        first.map_err(|flaw| (flaw.reason, flaw.detail))
    }

    fn check(event: &str) -> Result<(), (RejectReason, String)> {
        check_with(CONTRACT, event.as_bytes())
    }

    #[test]
    fn good_events_pass() {
        for event in [
            r#"{"id":1}"#,
            r#" { "id" : 1.0 , "price" : null , "gift" : true , "tags" : [ ] } "#,
            r#"{"\u0069d":12,"kind":"b\u00fcy","price":0.5,"tags":["ab","äöü"]}"#,
            r#"{"other":{"deep":[1]},"id":3,"at":"2026-01-31T12:00:00.123456+02:00"}"#,
        ] {
            assert_eq!(check(event), Ok(()), "{event}");
        }
    }

    #[test]
    fn every_fault_names_the_field_the_value_and_the_expectation() {
        use RejectReason::{Constraint, DuplicateField, InvalidJson, MissingField, NotFinite, TooDeep, WrongType};
        for (event, reason, detail) in [
            (r#"{"id":"12"}"#, WrongType, r#"field "id": expected an integer of at least 1, got "12""#),
            (r#"{"id":1.5}"#, WrongType, r#"field "id": expected an integer of at least 1, got 1.5"#),
            (r#"{"id":0}"#, Constraint, r#"field "id": expected an integer of at least 1, got 0"#),
            (r#"{"id":1e999}"#, NotFinite, r#"field "id": expected an integer of at least 1, got 1e999"#),
            (r#"{"id":1,"id":1}"#, DuplicateField, r#"field "id" appears twice"#),
            (r#"{"kind":"view"}"#, MissingField, r#"field "id" is required and missing"#),
            ("{}", MissingField, r#"field "id" is required and missing"#),
            (r#"{"id":null}"#, WrongType, r#"field "id": expected an integer of at least 1, got null"#),
            (r#"{"id":1,"kind":"buy"}"#, Constraint, r#"field "kind": expected one of "view", "büy", got "buy""#),
            (r#"{"id":1,"price":1e999}"#, NotFinite, r#"field "price": expected a number above 0 or null, got 1e999"#),
            (r#"{"id":1,"price":0}"#, Constraint, r#"field "price": expected a number above 0 or null, got 0"#),
            (r#"{"id":1,"price":NaN}"#, InvalidJson, "expected a value at byte 16, found `N`"),
            (r#"{"id":1,"gift":1}"#, WrongType, r#"field "gift": expected true or false, got 1"#),
            (
                r#"{"id":1,"tags":["a",1]}"#,
                WrongType,
                r#"field "tags" item 1: expected a string of at most 3 characters, got 1"#,
            ),
            (
                r#"{"id":1,"tags":["a","b","c"]}"#,
                Constraint,
                r#"field "tags": expected an array of string of at most 2 items, got ["a","b","c"]"#,
            ),
            (r#"{"id":1,"x":[[[]]]}"#, TooDeep, "expected at most 3 levels of nesting, got more"),
            ("[1]", WrongType, "expected an object, got [1]"),
            ("", InvalidJson, "expected a value at byte 0, found the end"),
            (r#"{"id":1} x"#, InvalidJson, "expected the end of the object at byte 9, found `x`"),
        ] {
            assert_eq!(check(event), Err((reason, detail.into())), "{event}");
        }
    }

    /// What a browser cuts in the middle of a character is half a pair in JSON: whole events were lost over titles of pages that
    /// no feature reads.
    #[test]
    fn half_a_surrogate_pair_costs_nothing_where_it_is_not_read() {
        assert_eq!(check(r#"{"id":1,"x":"\ud83d","y":{"\ude00":["a\ud800"]}}"#), Ok(()));
        for broken in [r#"{"id":1,"x":"\ud83"}"#, r#"{"id":1,"x":"\x"}"#, r#"{"id":1,"kind":"\ud83d"}"#] {
            assert_eq!(check(broken).map_err(|(reason, _)| reason), Err(RejectReason::InvalidJson), "{broken}");
        }
    }

    #[test]
    fn a_closed_contract_refuses_other_fields() {
        let closed = CONTRACT.replace(r#""required""#, r#""additionalProperties": false, "required""#);
        let refused = (RejectReason::UnknownField, "field \"x\" is not in the contract".to_owned());
        assert_eq!(check_with(&closed, br#"{"id":1,"x":2}"#), Err(refused));
    }

    #[test]
    fn limits_hold_at_their_edge() {
        let sized = |bytes: usize| format!(r#"{{"id":1,"x":"{}"}}"#, "x".repeat(bytes - 15));
        assert_eq!(sized(200).len(), 200);
        assert_eq!(check(&sized(200)), Ok(()));
        assert_eq!(check(&sized(201)).map_err(|(reason, _)| reason), Err(RejectReason::TooLarge));
        assert_eq!(check(r#"{"id":1,"x":[[]]}"#), Ok(()));
        assert_eq!(check(r#"{"id":1,"x":[[[]]]}"#).map_err(|(reason, _)| reason), Err(RejectReason::TooDeep));
    }

    #[test]
    fn bytes_that_are_not_utf8_are_refused() {
        let refused = (RejectReason::InvalidJson, "not UTF-8 at byte 13 of the event".to_owned());
        assert_eq!(check_with(CONTRACT, b"{\"id\":1,\"x\":\"\xff\"}"), Err(refused));
    }
}
