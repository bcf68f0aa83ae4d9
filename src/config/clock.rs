//! `[streams.NAME] clock`: `"event"`, `"broker"` or `{ sent = "sent_at" }`.

use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};
use toml::Spanned;

use super::nearest::did_you_mean;
use super::text::Refusal;
use crate::event;

const EXPECTING: &str = "\"event\", \"broker\" or { sent = \"COLUMN\" }";
const EVENT: &str = "event";
const BROKER: &str = "broker";

/// Whose clock tells when an event happened.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Clock {
    /// That of whoever made the event.
    #[default]
    Event,
    /// The broker's.
    Broker,
    /// The event's, corrected by the property that says when it was sent.
    Sent(Spanned<String>),
}

impl Clock {
    /// The engine's form of it.
    pub(super) fn rule(&self) -> event::Clock {
        match self {
            Self::Event => event::Clock::Event,
            Self::Broker => event::Clock::Broker,
            Self::Sent(column) => event::Clock::Sent { column: column.get_ref().clone() },
        }
    }
}

impl<'de> Deserialize<'de> for Clock {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ClockVisitor)
    }
}

struct ClockVisitor;

impl<'de> Visitor<'de> for ClockVisitor {
    type Value = Clock;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(EXPECTING)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Clock, E> {
        match text {
            EVENT => Ok(Clock::Event),
            BROKER => Ok(Clock::Broker),
            other => {
                let suggestion = did_you_mean(other, [EVENT, BROKER]);
                let suggestion = suggestion.unwrap_or_else(|| format!("write {EXPECTING}"));
                Err(Refusal::new(format!("{other:?} is no clock"), suggestion).into_serde())
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Clock, A::Error> {
        let Sent { sent } = Sent::deserialize(MapAccessDeserializer::new(map))?;
        Ok(Clock::Sent(sent))
    }
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table such as { sent = \"sent_at\" }")]
struct Sent {
    sent: Spanned<String>,
}

impl JsonSchema for Clock {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Clock".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let sent = json_schema!({
            "type": "object",
            "properties": { "sent": {
                "type": "string",
                "description": "The property that says when the event was sent, by the clock that its time is of.",
            } },
            "required": ["sent"],
            "additionalProperties": false,
        });
        json_schema!({ "anyOf": [{ "type": "string", "enum": [EVENT, BROKER] }, sent] })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, serde::Deserialize)]
    struct Section {
        clock: Clock,
    }

    fn read(text: &str) -> Result<event::Clock, String> {
        let section: Result<Section, _> = toml::from_str(&format!("clock = {text}"));
        section.map(|section| section.clock.rule()).map_err(|error| error.message().replace('\n', ": "))
    }

    #[test]
    fn words_and_a_column_are_read() {
        assert_eq!(read("'event'"), Ok(event::Clock::Event));
        assert_eq!(read("'broker'"), Ok(event::Clock::Broker));
        assert_eq!(read("{ sent = 'sent_at' }"), Ok(event::Clock::Sent { column: "sent_at".to_owned() }));
    }

    #[test]
    fn refusals_say_what_to_write() {
        let refusals = ["'borker'", "'received'", "{}", "{ sent = 5 }", "5"].map(|text| read(text).unwrap_err());
        insta::assert_snapshot!(refusals.join("\n"), @r#"
        "borker" is no clock: did you mean `broker`?
        "received" is no clock: write "event", "broker" or { sent = "COLUMN" }
        missing field `sent`
        invalid type: integer `5`, expected a string
        invalid type: integer `5`, expected "event", "broker" or { sent = "COLUMN" }
        "#);
    }
}
