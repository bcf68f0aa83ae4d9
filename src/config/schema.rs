//! The JSON Schema of `pipeline.toml`, and the check of a document's keys against it.

use std::ops::Range;

use schemars::generate::SchemaSettings;
use schemars::transform::RecursiveTransform;
use schemars::{JsonSchema, Schema};
use serde_json::{Map, Value};
use toml::de::{DeTable, DeValue};

use super::nearest::{nearest, question};
use super::problem::Problem;
use super::settings::Settings;
use super::source::Source;

/// The JSON Schema (draft-07) of `pipeline.toml`, for editors.
pub fn schema() -> Value {
    draft07().into_generator().into_root_schema_for::<Settings>().to_value()
}

/// The schema of one section, with everything that it refers to written out in its place.
pub(super) fn section_schema<T: JsonSchema>() -> Value {
    let settings = draft07().with(|settings| settings.inline_subschemas = true);
    settings.into_generator().into_root_schema_for::<T>().to_value()
}

/// Reports every unknown and every missing key of a section and of the tables in it. Arrays in the place of tables are
/// reported too: the deserializer would take one for the table's values in the order of its fields.
pub(super) fn check_section(
    source: &Source,
    schema: &Value,
    value: &DeValue<'_>,
    span: Range<usize>,
    problems: &mut Vec<Problem>,
) {
    let table = match value {
        DeValue::Table(table) => table,
        DeValue::Array(_) if schema.get("type").is_some_and(|kind| kind == "object") => {
            problems.push(source.problem_at(span, "invalid type: array, expected a table"));
            return;
        }
        _ => return,
    };
    check_keys(source, schema, table, Some(span), problems);
    for (key, entry) in table {
        if let Some(inner) = schema.pointer("/properties").and_then(|properties| properties.get(key.get_ref().as_ref()))
        {
            check_section(source, inner, entry.get_ref(), entry.span(), problems);
        }
    }
}

/// Reports the unknown and missing keys of one table; a missing key is reported at `span`.
pub(super) fn check_keys(
    source: &Source,
    schema: &Value,
    table: &DeTable<'_>,
    span: Option<Range<usize>>,
    problems: &mut Vec<Problem>,
) {
    let Some(properties) = schema.get("properties").and_then(Value::as_object) else { return };
    let mut meant = Vec::new();
    for key in table.keys().filter(|key| !properties.contains_key(key.get_ref().as_ref())) {
        let known = properties.keys().map(String::as_str);
        let close = nearest(key.get_ref(), known.clone());
        let suggestion = close.map_or_else(|| format!("known are {}", list(known)), question);
        meant.extend(close);
        let message = format!("unknown field `{}`", key.get_ref().escape_debug());
        problems.push(source.problem_at(key.span(), message).suggest(suggestion));
    }
    let required = schema.get("required").and_then(Value::as_array).into_iter().flatten();
    let missing = required.filter_map(Value::as_str).filter(|name| !table.contains_key(*name));
    // A mistyped key is one mistake, not an unknown one and a missing one.
    for name in missing.filter(|name| !meant.contains(name)) {
        let message = format!("missing field `{name}`");
        let problem = match &span {
            Some(span) => source.problem_at(span.clone(), message),
            None => source.problem(message),
        };
        problems.push(problem.suggest_some(description(properties, name)));
    }
}

/// Nulls go first: what is left of an optional field is then written as draft-07 wants it.
fn draft07() -> SchemaSettings {
    SchemaSettings::draft07().with(|settings| settings.transforms.insert(0, Box::new(RecursiveTransform(without_null))))
}

fn list<'a>(names: impl Iterator<Item = &'a str>) -> String {
    names.map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

/// The first sentence of the manual on a field.
fn description(properties: &Map<String, Value>, name: &str) -> Option<String> {
    let text = properties.get(name)?.get("description")?.as_str()?.replace('\n', " ");
    let end = text.find(". ").map_or(text.len(), |end| end + 1);
    Some(format!("{name}: {}", text.get(..end)?.trim_end_matches('.')))
}

/// TOML has no null: an optional field is one that may be left out.
fn without_null(schema: &mut Schema) {
    let Some(object) = schema.as_object_mut() else { return };
    if let Some(Value::Array(types)) = object.get_mut("type") {
        types.retain(|kind| kind != "null");
        if let [only] = types.as_slice() {
            let only = only.clone();
            object.insert("type".to_owned(), only);
        }
    }
    if let Some(Value::Array(choices)) = object.get_mut("anyOf") {
        choices.retain(|choice| choice.get("type").is_none_or(|kind| kind != "null"));
        if let [Value::Object(only)] = choices.as_mut_slice() {
            let only = std::mem::take(only);
            object.remove("anyOf");
            object.extend(only);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schema_describes_every_field_and_knows_no_null() {
        fn fields_without_description(value: &Value, found: &mut Vec<String>) {
            if let Some(properties) = value.get("properties").and_then(Value::as_object) {
                found.extend(
                    properties
                        .iter()
                        .filter(|(_, field)| field.get("description").is_none())
                        .map(|(name, _)| name.clone()),
                );
            }
            if let Some(inner) = value.as_object() {
                inner.values().for_each(|value| fields_without_description(value, found));
            }
        }
        let schema = schema();
        let mut found = Vec::new();
        fields_without_description(&schema, &mut found);
        assert_eq!(found, Vec::<String>::new());
        assert!(!schema.to_string().contains("null"), "{schema:#}");
    }

    #[test]
    fn a_reference_stands_alone_as_draft_07_wants_it() {
        let score = &schema()["properties"]["score"];
        assert_eq!(score["allOf"], serde_json::json!([{ "$ref": "#/definitions/Score" }]));
        assert!(score.get("$ref").is_none());
    }

    #[test]
    fn defaults_are_shown_as_a_person_would_write_them() {
        let stream = section_schema::<super::super::Stream>();
        let defaults: Vec<String> = stream["properties"]
            .as_object()
            .unwrap()
            .iter()
            .filter_map(|(name, field)| Some(format!("{name} = {}", field.get("default")?)))
            .collect();
        insta::assert_snapshot!(defaults.join("\n"), @r#"
        time_unit = "ms"
        remember_ids = 1000000
        disorder = "5s"
        late = "dead-letter"
        earliest = "2000-01-01T00:00:00Z"
        ahead = "1m"
        max_event_bytes = "64 KiB"
        max_depth = 16
        retain = "7d"
        max_bytes = "10 GiB"
        "#);
        assert_eq!(stream["required"], serde_json::json!(["subjects", "contract", "time"]));
    }
}
