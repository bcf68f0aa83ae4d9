//! `[tables.NAME] emit`: `"on close"`, `"on update"`, `{ update = "10s" }` or `{ early = "10s" }`.

use std::fmt;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};

use super::duration;
use super::nearest::did_you_mean;
use super::text::Refusal;

const EXPECTING: &str = "\"on close\", \"on update\", { update = \"10s\" } or { early = \"10s\" }";
const ON_CLOSE: &str = "on close";
const ON_UPDATE: &str = "on update";

/// When rows of a table of windows are emitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Emit {
    /// When the watermark passes the end of the window.
    OnClose,
    /// Whenever a row has changed, at most once in so much event time.
    OnUpdate(Duration),
    /// What has changed, once in so much event time, and the final row at the close.
    Early(Duration),
}

impl Emit {
    /// The engine's form of it.
    pub(super) fn rule(self) -> crate::window::Emit {
        let every = |duration: Duration| i64::try_from(duration.as_micros()).unwrap_or(i64::MAX).max(1);
        match self {
            Self::OnClose => crate::window::Emit::OnClose,
            Self::OnUpdate(interval) => crate::window::Emit::OnUpdate { every: every(interval) },
            Self::Early(interval) => crate::window::Emit::Early { every: every(interval) },
        }
    }
}

impl<'de> Deserialize<'de> for Emit {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(EmitVisitor)
    }
}

struct EmitVisitor;

impl<'de> Visitor<'de> for EmitVisitor {
    type Value = Emit;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(EXPECTING)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Emit, E> {
        match text {
            ON_CLOSE => Ok(Emit::OnClose),
            ON_UPDATE => Ok(Emit::OnUpdate(Duration::from_secs(1))),
            other => {
                let suggestion = did_you_mean(other, [ON_CLOSE, ON_UPDATE]);
                let suggestion = suggestion.unwrap_or_else(|| format!("write {EXPECTING}"));
                Err(Refusal::new(format!("{other:?} is no time to emit rows"), suggestion).into_serde())
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Emit, A::Error> {
        let interval = Interval::deserialize(MapAccessDeserializer::new(map))?;
        match (interval.update, interval.early) {
            (Some(update), None) => Ok(Emit::OnUpdate(update)),
            (None, Some(early)) => Ok(Emit::Early(early)),
            (Some(_), Some(_)) => {
                Err(Refusal::new("both `update` and `early` are given", "keep one of them").into_serde())
            }
            (None, None) => Err(Refusal::new("the interval is missing", format!("write {EXPECTING}")).into_serde()),
        }
    }
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table such as { early = \"10s\" }")]
struct Interval {
    #[serde(default, deserialize_with = "duration::positive_if_given")]
    update: Option<Duration>,
    #[serde(default, deserialize_with = "duration::positive_if_given")]
    early: Option<Duration>,
}

impl JsonSchema for Emit {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Emit".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let interval = |key: &str, description: &str, generator: &mut SchemaGenerator| {
            let mut interval = duration::schema(generator);
            interval.insert("description".to_owned(), description.into());
            json_schema!({
                "type": "object",
                "properties": { key: interval },
                "required": [key],
                "additionalProperties": false,
            })
        };
        let update = interval("update", "Rows that have changed, at most once in so much event time.", generator);
        let early = interval("early", "Event time between two looks at a window that is still open.", generator);
        json_schema!({ "anyOf": [{ "type": "string", "enum": [ON_CLOSE, ON_UPDATE] }, update, early] })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, serde::Deserialize)]
    struct Section {
        emit: Emit,
    }

    fn read(text: &str) -> Result<Emit, String> {
        let section: Result<Section, _> = toml::from_str(&format!("emit = {text}"));
        section.map(|section| section.emit).map_err(|error| error.message().replace('\n', ": "))
    }

    #[test]
    fn words_and_intervals_are_read() {
        assert_eq!(read("'on close'"), Ok(Emit::OnClose));
        assert_eq!(read("'on update'"), Ok(Emit::OnUpdate(Duration::from_secs(1))));
        assert_eq!(read("{ update = '250ms' }"), Ok(Emit::OnUpdate(Duration::from_millis(250))));
        assert_eq!(read("{ early = '10s' }"), Ok(Emit::Early(Duration::from_secs(10))));
    }

    #[test]
    fn refusals_say_what_to_write() {
        let refusals = ["'on_close'", "'never'", "{ early = '0s' }", "{ early = '1s', update = '1s' }", "{}", "5"]
            .map(|text| read(text).unwrap_err());
        insta::assert_snapshot!(refusals.join("\n"), @r#"
        "on_close" is no time to emit rows: did you mean `on close`?
        "never" is no time to emit rows: write "on close", "on update", { update = "10s" } or { early = "10s" }
        the duration "0s" is zero: it must be longer than that
        both `update` and `early` are given: keep one of them
        the interval is missing: write "on close", "on update", { update = "10s" } or { early = "10s" }
        invalid type: integer `5`, expected "on close", "on update", { update = "10s" } or { early = "10s" }
        "#);
    }
}
