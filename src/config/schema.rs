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
/// reported too, and their places returned: the deserializer would take one for the table's values in the order of its
/// fields.
pub(super) fn check_section(
    source: &Source,
    schema: &Value,
    value: &DeValue<'_>,
    span: Range<usize>,
    problems: &mut Vec<Problem>,
) -> Vec<Range<usize>> {
    let table = match value {
        DeValue::Table(table) => table,
        DeValue::Array(_) if is_of_tables(schema) => {
            problems.push(source.problem_at(span.clone(), "invalid type: array, expected a table"));
            return vec![span];
        }
        _ => return Vec::new(),
    };
    let schema = match tagged_by(schema) {
        None => schema,
        Some(tag) => match (table.get(tag), variant(schema, tag, table)) {
            (_, Some(variant)) => variant,
            // The deserializer will say that there is no such variant.
            (Some(_), None) => return Vec::new(),
            (None, None) => {
                let known = list(variants(schema).filter_map(|variant| variant_name(variant, tag)));
                let problem = source.problem_at(span, format!("missing field `{tag}`"));
                problems.push(problem.suggest(format!("{tag}: one of {known}")));
                return Vec::new();
            }
        },
    };
    check_keys(source, schema, table, Some(span), problems);
    let mut arrays = Vec::new();
    for (key, entry) in table {
        if let Some(inner) = schema.pointer("/properties").and_then(|properties| properties.get(key.get_ref().as_ref()))
        {
            arrays.extend(check_section(source, inner, entry.get_ref(), entry.span(), problems));
        }
    }
    arrays
}

/// Reports the unknown and missing keys of one table; a missing key is reported at `span`.
#[expect(clippy::needless_pass_by_value, reason = "callers have it to give")]
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

/// Whether a table is expected, of one form or of several.
fn is_of_tables(schema: &Value) -> bool {
    tagged_by(schema).is_some() || schema.get("type").is_some_and(|kind| kind == "object")
}

/// The forms that a value may have, where there are several.
fn variants(schema: &Value) -> impl Iterator<Item = &Value> {
    schema.get("oneOf").and_then(Value::as_array).into_iter().flatten()
}

/// The key by whose value a table's form is told, where there are several.
fn tagged_by(schema: &Value) -> Option<&str> {
    let properties = variants(schema).find_map(|variant| variant.get("properties")?.as_object())?;
    properties.iter().find(|(_, field)| field.get("const").is_some()).map(|(key, _)| key.as_str())
}

/// The form that the table's tag names.
fn variant<'a>(schema: &'a Value, tag: &str, table: &DeTable<'_>) -> Option<&'a Value> {
    let name = table.get(tag)?.get_ref().as_str()?;
    variants(schema).find(|variant| variant_name(variant, tag) == Some(name))
}

fn variant_name<'a>(variant: &'a Value, tag: &str) -> Option<&'a str> {
    variant.get("properties")?.get(tag)?.get("const")?.as_str()
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
    if object.get("default").is_some_and(Value::is_null) {
        object.remove("default");
    }
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
                // A tag is described by what it tells apart.
                let is_described = |field: &Value| field.get("description").or(field.get("const")).is_some();
                found.extend(properties.iter().filter(|(_, field)| !is_described(field)).map(|(name, _)| name.clone()));
            }
            match value {
                Value::Object(inner) => inner.values().for_each(|value| fields_without_description(value, found)),
                Value::Array(inner) => inner.iter().for_each(|value| fields_without_description(value, found)),
                _ => {}
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

    fn defaults(schema: &Value) -> String {
        let fields = schema["properties"].as_object().unwrap().iter();
        let defaults: Vec<String> =
            fields.filter_map(|(name, field)| Some(format!("{name} = {}", field.get("default")?))).collect();
        defaults.join("\n")
    }

    #[test]
    fn defaults_are_shown_as_a_person_would_write_them() {
        let stream = section_schema::<super::super::stream::Stream>();
        insta::assert_snapshot!(defaults(&stream), @r#"
        time_unit = "ms"
        clock = "event"
        remember_ids = 1000000
        disorder = "5s"
        partition = "stream"
        idle = "30s"
        late = "dead-letter"
        earliest = "2000-01-01T00:00:00Z"
        ahead = "1m"
        max_event_bytes = "64 KiB"
        max_depth = 16
        retain = "7d"
        max_bytes = "2 GiB"
        "#);
        assert_eq!(stream["required"], serde_json::json!(["subjects", "contract", "time"]));
    }

    #[test]
    fn defaults_of_learning_are_shown_too() {
        let labels = section_schema::<super::super::labels::Labels>();
        insta::assert_snapshot!(defaults(&labels), @r#"
        window = "15m"
        negatives = 1.0
        max_rows = 1000000
        max_bytes = "512 MB"
        retain = "7d"
        "#);
        assert_eq!(labels["required"], serde_json::json!(["join", "positive"]));
        let train = section_schema::<super::super::train::Train>();
        insta::assert_snapshot!(defaults(&train), @r#"
        optimizer = {"type":"adamw","learning_rate":0.001}
        loss = "binary_cross_entropy"
        batch = 256
        linger = "500ms"
        replay = 20000
        replay_share = 1.0
        freeze = []
        unfreeze = []
        dropout = true
        checkpoint = "10s"
        keep = 20
        threads = 1
        "#);
        assert_eq!(train.get("required"), None);
        insta::assert_snapshot!(defaults(&train["properties"]["promote"]), @r#"
        every = "30s"
        metric = "auc"
        holdout = 4000
        tolerance = 0.002
        least_positives = 20
        label_rate_jump = 4.0
        "#);
    }

    #[test]
    fn each_optimizer_has_the_defaults_of_its_own() {
        let schema = section_schema::<super::super::optimizer::Optimizer>();
        let shown = |variant: &Value| {
            assert_eq!(variant["required"], serde_json::json!(["type"]));
            let name = variant_name(variant, "type").unwrap();
            format!("{name}: {}", defaults(variant).replace('\n', ", "))
        };
        insta::assert_snapshot!(variants(&schema).map(shown).collect::<Vec<_>>().join("\n"), @"
        sgd: learning_rate = 0.01, momentum = 0.9, nesterov = false
        adamw: learning_rate = 0.001, beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8, weight_decay = 0.01
        adagrad: learning_rate = 0.01, epsilon = 1e-10, initial_accumulator = 0.1
        ftrl: learning_rate = 0.1, beta = 1.0, l1 = 0.0, l2 = 0.0
        ");
    }
}
