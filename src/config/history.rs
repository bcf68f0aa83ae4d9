//! `[tables.NAME] history`: `true`, `false` or `{ retain = "90 days" }`.

use std::fmt;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};

use super::duration;
use super::text::Refusal;
use crate::pipeline::HistoryPlan;

const EXPECTING: &str = "true, false or { retain = \"90 days\" }";

/// Whether emitted rows of a table are appended to a Delta table, and for how long they are kept there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum History {
    /// They are not.
    No,
    /// They are, for ever.
    ForEver,
    /// They are, for so long after their date.
    For(Duration),
}

impl History {
    /// The engine's form of it.
    pub(super) fn plan(self) -> Option<HistoryPlan> {
        match self {
            Self::No => None,
            Self::ForEver => Some(HistoryPlan { retain: None }),
            Self::For(retain) => Some(HistoryPlan { retain: Some(retain) }),
        }
    }
}

impl<'de> Deserialize<'de> for History {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(HistoryVisitor)
    }
}

struct HistoryVisitor;

impl<'de> Visitor<'de> for HistoryVisitor {
    type Value = History;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(EXPECTING)
    }

    fn visit_bool<E: Error>(self, is_kept: bool) -> Result<History, E> {
        Ok(if is_kept { History::ForEver } else { History::No })
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<History, A::Error> {
        let retention = Retention::deserialize(MapAccessDeserializer::new(map))?;
        let missing = || Refusal::new("`retain` is missing", format!("write {EXPECTING}")).into_serde();
        retention.retain.map(History::For).ok_or_else(missing)
    }
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table such as { retain = \"90 days\" }")]
struct Retention {
    #[serde(default, deserialize_with = "duration::positive_if_given")]
    retain: Option<Duration>,
}

impl JsonSchema for History {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "History".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let mut retain = duration::schema(generator);
        let description = "For how long rows are kept after their date, by the machine's clock.";
        retain.insert("description".to_owned(), description.into());
        let kept = json_schema!({
            "type": "object",
            "properties": { "retain": retain },
            "required": ["retain"],
            "additionalProperties": false,
        });
        json_schema!({ "anyOf": [{ "type": "boolean" }, kept] })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, serde::Deserialize)]
    struct Section {
        history: History,
    }

    fn read(text: &str) -> Result<History, String> {
        let section: Result<Section, _> = toml::from_str(&format!("history = {text}"));
        section.map(|section| section.history).map_err(|error| error.message().replace('\n', ": "))
    }

    #[test]
    fn yes_no_and_a_retention_are_read() {
        assert_eq!(read("false"), Ok(History::No));
        assert_eq!(read("true"), Ok(History::ForEver));
        assert_eq!(read("{ retain = '90 days' }"), Ok(History::For(Duration::from_secs(90 * 86_400))));
    }

    #[test]
    fn refusals_say_what_to_write() {
        let refusals = ["{ retain = '0s' }", "{}", "'30 days'"].map(|text| read(text).unwrap_err());
        insta::assert_snapshot!(refusals.join("\n"), @r#"
        the duration "0s" is zero: it must be longer than that
        `retain` is missing: write true, false or { retain = "90 days" }
        invalid type: string "30 days", expected true, false or { retain = "90 days" }
        "#);
    }
}
