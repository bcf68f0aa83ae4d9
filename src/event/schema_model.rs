//! JSON Schema by a naive model for the tests: a validator over `serde_json::Value`, and events that are mostly valid.

use proptest::prelude::*;
use serde_json::{Map, Value, json};

/// A schema with the file that its references lead into.
#[derive(Debug, Clone, Copy)]
pub(super) struct Model<'m> {
    file: &'m Value,
    schema: &'m Value,
}

impl<'m> Model<'m> {
    pub(super) fn of(file: &'m Value) -> Self {
        Self { file, schema: file }
    }

    fn at(self, schema: &'m Value) -> Self {
        Self { schema, ..self }
    }

    fn get(self, keyword: &str) -> Option<Self> {
        Some(self.at(self.schema.get(keyword)?))
    }

    /// The schema that a reference leads to.
    fn followed(self) -> Self {
        match self.schema["$ref"].as_str().and_then(|reference| reference.strip_prefix('#')) {
            Some(pointer) => self.at(self.file.pointer(pointer).expect("a schema")).followed(),
            None => self,
        }
    }

    fn each(self, keyword: &str) -> Vec<Self> {
        self.schema[keyword].as_array().into_iter().flatten().map(|schema| self.at(schema)).collect()
    }

    /// Whether a value is valid: what JSON Schema says of the keywords that contracts have, with what `format` and
    /// `contentSchema` add to it here.
    pub(super) fn accepts(self, value: &Value) -> bool {
        let Self { schema, .. } = self.followed();
        let model = self.at(schema);
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
        if schema["nullable"] == json!(true) && value.is_null() {
            return true;
        }
        let of_type = match &schema["type"] {
            Value::String(name) => has_type(name),
            Value::Array(names) => names.iter().filter_map(Value::as_str).any(has_type),
            _ => true,
        };
        let any = |keyword| schema.get(keyword).is_none() || model.each(keyword).iter().any(|one| one.accepts(value));
        let low = schema["minimum"].as_f64().is_none_or(|low| value.as_f64().is_none_or(|number| number >= low));
        let listed = schema["enum"].as_array().is_none_or(|listed| listed.contains(value))
            && schema.get("const").is_none_or(|only| only == value);
        let items = value.as_array().is_none_or(|items| {
            model.get("items").is_none_or(|model| items.iter().all(|item| model.accepts(item)))
                && schema["maxItems"].as_u64().is_none_or(|most| items.len() as u64 <= most)
        });
        let text = value.as_str().is_none_or(|text| model.accepts_text(text));
        let members = value.as_object().is_none_or(|object| model.accepts_members(object));
        let all = model.each("allOf").iter().all(|one| one.accepts(value));
        let then = model.get("if").is_none_or(|condition| {
            model.get(if condition.accepts(value) { "then" } else { "else" }).is_none_or(|then| then.accepts(value))
        });
        of_type && any("anyOf") && any("oneOf") && all && then && low && listed && items && text && members
    }

    fn accepts_text(self, text: &str) -> bool {
        let number = match self.schema["format"].as_str() {
            Some("int64") => serde_json::from_str(text).is_ok_and(|number: Value| number.is_i64()),
            Some("decimal") => {
                text.trim() == text && serde_json::from_str(text).is_ok_and(|number: Value| number.is_number())
            }
            _ => true,
        };
        let content = self.get("contentSchema");
        let content = content.is_none_or(|model| serde_json::from_str(text).is_ok_and(|value| model.accepts(&value)));
        number && content
    }

    fn accepts_members(self, object: &Map<String, Value>) -> bool {
        let known = self.schema["properties"].as_object();
        let required = self.schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
        required.into_iter().all(|name| object.contains_key(name))
            && object.iter().all(|(name, value)| match known.and_then(|known| known.get(name)) {
                Some(schema) => self.at(schema).accepts(value),
                None => self.schema["additionalProperties"] != json!(false),
            })
    }

    /// The text of a value that is mostly valid. The property `ts` is always `now`.
    fn text(self, now: i64, chance: &mut Chance) -> String {
        const OTHERS: [&str; 11] = ["null", "7", "-1", "2.5", "\"x\"", "\"7\"", "\"{}\"", "[]", "[1]", "{}", "true"];
        if chance.one_in(60) {
            return OTHERS[chance.below(OTHERS.len())].to_owned();
        }
        let model = self.followed();
        let Self { schema, .. } = model;
        if schema["nullable"] == json!(true) && chance.one_in(3) {
            return "null".to_owned();
        }
        let union = ["anyOf", "oneOf", "allOf"].map(|keyword| model.each(keyword)).concat();
        if !union.is_empty() {
            return union[chance.below(union.len())].text(now, chance);
        }
        if let Some(only) = schema.get("const") {
            return only.to_string();
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
            "string" => model.string(now, chance),
            "integer" => chance.below(1_000).to_string(),
            "number" => format!("{}.{}", chance.below(100), [0, 25, 5][chance.below(3)]),
            "array" => {
                let items = model.get("items").expect("items");
                let items: Vec<String> = (0..chance.below(4)).map(|_| items.text(now, chance)).collect();
                format!("[{}]", items.join(", "))
            }
            "object" => model.object(now, chance),
            other => panic!("type {other}"),
        }
    }

    fn string(self, now: i64, chance: &mut Chance) -> String {
        if let Some(content) = self.get("contentSchema") {
            let text = content.text(now, chance);
            let cut = if chance.one_in(20) { text.len() / 2 } else { text.len() };
            return json!(text.get(..cut).unwrap_or(&text)).to_string();
        }
        let texts = match self.schema["format"].as_str() {
            Some("int64") => ["\"0\"", "\"-17\"", "\"900\"", "\"1.5\""],
            Some("decimal") => ["\"12.50\"", "\"-0.25\"", "\"3\"", "\" 3\""],
            _ => ["\"\"", "\"ann\"", "\"\\u00e9 \\\"q\\\"\"", "\"日本\""],
        };
        let most = if chance.one_in(10) { 4 } else { 3 };
        texts[chance.below(most)].to_owned()
    }

    fn object(self, now: i64, chance: &mut Chance) -> String {
        let mut members = Vec::new();
        self.members(now, chance, &mut members);
        if chance.one_in(30) {
            members.push(("other".to_owned(), "{\"ts\": [{}], \"price\": null}".to_owned()));
        }
        if chance.one_in(3) && !members.is_empty() {
            let turn = chance.below(members.len());
            members.rotate_left(turn);
        }
        let written = members.iter().map(|(name, value)| {
            let escaped = || format!("\\u{:04x}{}", name.as_bytes()[0], &name[1..]);
            let key = if name != "ts" && chance.one_in(8) { escaped() } else { name.clone() };
            format!("\"{key}\" :{value}")
        });
        format!("{{{}}}", written.collect::<Vec<_>>().join(","))
    }

    /// Members with their texts: those of a kind, where there are kinds, seldom some of another one, and those beside it.
    fn members(self, now: i64, chance: &mut Chance, found: &mut Vec<(String, String)>) {
        let kinds = ["oneOf", "allOf"].map(|keyword| self.each(keyword)).concat();
        if !kinds.is_empty() {
            let (one, other) = (chance.below(kinds.len()), chance.below(kinds.len()));
            for kind in [Some(one), chance.one_in(6).then_some(other)].into_iter().flatten() {
                for part in [kinds[kind].get("if"), kinds[kind].get("then"), Some(kinds[kind])].into_iter().flatten() {
                    part.followed().members(now, chance, found);
                }
            }
        }
        let required = self.schema["required"].as_array().cloned().unwrap_or_default();
        for (name, of) in self.schema["properties"].as_object().into_iter().flatten() {
            let is_seldom_left_out = required.contains(&json!(name));
            if found.iter().any(|(known, _)| known == name) {
                continue;
            }
            if name == "ts" {
                found.push((name.clone(), now.to_string()));
            } else if !chance.one_in(if is_seldom_left_out { 60 } else { 5 }) {
                found.push((name.clone(), self.at(of).text(now, chance)));
            }
        }
    }

    /// Whether the schema, with the kinds that accept an event, has the property that some names lead to.
    pub(super) fn declares(self, path: &[String], event: &Value) -> bool {
        let model = self.followed();
        let Some((name, below)) = path.split_first() else { return true };
        let own = model.get("properties").and_then(|properties| properties.get(name));
        let is_declared = own.is_some_and(|own| {
            let inside = match (event.get(name), own.followed().get("contentSchema")) {
                (Some(Value::String(text)), Some(content)) => {
                    return content.declares(below, &serde_json::from_str(text).unwrap_or_default());
                }
                (found, _) => found.cloned().unwrap_or_default(),
            };
            own.declares(below, &inside)
        });
        let of_kind = |kind: &Self| match kind.get("if") {
            Some(condition) => {
                condition.accepts(event) && kind.get("then").is_some_and(|then| then.declares(path, event))
            }
            None => kind.accepts(event) && kind.declares(path, event),
        };
        is_declared || ["anyOf", "oneOf", "allOf"].iter().any(|keyword| model.each(keyword).iter().any(of_kind))
    }
}

/// A small generator of numbers, so that a whole event follows from one seed.
struct Chance(u64);

impl Chance {
    /// A number below `most`: splitmix64, by Steele, Lea and Flood, "Fast Splittable Pseudorandom Number Generators" (2014).
    fn below(&mut self, most: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % most as u64) as usize
    }

    fn one_in(&mut self, many: usize) -> bool {
        self.below(many) == 0
    }
}

/// The texts of events that mostly keep a contract.
pub(super) fn events(contract: &str, now: i64) -> impl Strategy<Value = Vec<String>> + use<> {
    let schema: Value = serde_json::from_str(contract).expect("a schema");
    any::<u64>().prop_map(move |seed| {
        let mut chance = Chance(seed);
        (0..chance.below(20)).map(|_| Model::of(&schema).followed().object(now, &mut chance)).collect()
    })
}
