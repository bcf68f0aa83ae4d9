//! JSON Schema by a naive model for the tests: a validator over `serde_json::Value`, and events that are mostly valid.

use proptest::prelude::*;
use serde_json::{Map, Value, json};

/// Whether a value is valid: what JSON Schema says of the keywords that contracts have.
pub(super) fn is_valid(schema: &Value, value: &Value) -> bool {
    let has_type = |name: &str| match name {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "string" => value.is_string(),
        "number" => value.is_number(),
        "integer" => value.as_f64().is_some_and(|number| number.fract() == 0.0),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("type {other}"),
    };
    let of_type = match &schema["type"] {
        Value::String(name) => has_type(name),
        Value::Array(names) => names.iter().filter_map(Value::as_str).any(has_type),
        _ => true,
    };
    let low = schema["minimum"].as_f64().is_none_or(|low| value.as_f64().is_none_or(|number| number >= low));
    let listed = schema["enum"].as_array().is_none_or(|listed| listed.contains(value));
    let items = value.as_array().is_none_or(|items| {
        schema.get("items").is_none_or(|schema| items.iter().all(|item| is_valid(schema, item)))
            && schema["maxItems"].as_u64().is_none_or(|most| items.len() as u64 <= most)
    });
    of_type && low && listed && items && value.as_object().is_none_or(|object| has_valid_members(schema, object))
}

fn has_valid_members(schema: &Value, object: &Map<String, Value>) -> bool {
    let known = schema["properties"].as_object();
    let required = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
    required.into_iter().all(|name| object.contains_key(name))
        && object.iter().all(|(name, value)| match known.and_then(|known| known.get(name)) {
            Some(schema) => is_valid(schema, value),
            None => schema["additionalProperties"] != json!(false),
        })
}

/// A small generator of numbers, so that a whole event follows from one seed.
pub(super) struct Chance(u64);

impl Chance {
    /// A number below `most`: splitmix64, by Steele, Lea and Flood, "Fast Splittable Pseudorandom Number Generators" (2014).
    pub(super) fn below(&mut self, most: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % most as u64) as usize
    }

    fn one_in(&mut self, many: usize) -> bool {
        self.below(many) == 0
    }
}

/// The text of a value that is mostly valid. The property `ts` is always `now`.
fn text(schema: &Value, now: i64, chance: &mut Chance) -> String {
    const OTHERS: [&str; 9] = ["null", "7", "-1", "2.5", "\"x\"", "[]", "[1]", "{}", "true"];
    if chance.one_in(60) {
        return OTHERS[chance.below(OTHERS.len())].to_owned();
    }
    if let Some(listed) = schema["enum"].as_array() {
        return listed[chance.below(listed.len())].to_string();
    }
    let names: Vec<&str> = match &schema["type"] {
        Value::Array(names) => names.iter().filter_map(Value::as_str).collect(),
        name => name.as_str().into_iter().collect(),
    };
    match names[chance.below(names.len())] {
        "null" => "null".to_owned(),
        "boolean" => chance.one_in(2).to_string(),
        "string" => ["\"\"", "\"ann\"", "\"\\u00e9 \\\"q\\\"\"", "\"日本\""][chance.below(4)].to_owned(),
        "integer" => chance.below(1_000).to_string(),
        "number" => format!("{}.{}", chance.below(100), [0, 25, 5][chance.below(3)]),
        "array" => {
            let items: Vec<String> = (0..chance.below(4)).map(|_| text(&schema["items"], now, chance)).collect();
            format!("[{}]", items.join(", "))
        }
        "object" => object(schema, now, chance),
        other => panic!("type {other}"),
    }
}

fn object(schema: &Value, now: i64, chance: &mut Chance) -> String {
    let required = schema["required"].as_array().cloned().unwrap_or_default();
    let mut members = Vec::new();
    for (name, of) in schema["properties"].as_object().into_iter().flatten() {
        let seldom_left_out = required.contains(&json!(name));
        if name == "ts" {
            members.push(format!("\"ts\":{now}"));
        } else if !chance.one_in(if seldom_left_out { 60 } else { 5 }) {
            let name =
                if chance.one_in(8) { format!("\\u{:04x}{}", name.as_bytes()[0], &name[1..]) } else { name.clone() };
            members.push(format!("\"{name}\" :{}", text(of, now, chance)));
        }
    }
    if chance.one_in(30) {
        members.push("\"other\": {\"ts\": [{}], \"price\": null}".to_owned());
    }
    if chance.one_in(3) && !members.is_empty() {
        let turn = chance.below(members.len());
        members.rotate_left(turn);
    }
    format!("{{{}}}", members.join(","))
}

/// The texts of events that mostly keep a contract.
pub(super) fn events(schema: &str, now: i64) -> impl Strategy<Value = Vec<String>> + use<> {
    let schema: Value = serde_json::from_str(schema).expect("a schema");
    any::<u64>().prop_map(move |seed| {
        let mut chance = Chance(seed);
        (0..chance.below(20)).map(|_| object(&schema, now, &mut chance)).collect()
    })
}
