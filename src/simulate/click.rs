//! What a person did with an item, and how it is written for the bus.

use std::fmt;

use serde::{Serialize, Serializer};

use super::visit::RequestId;

/// One event of the stream of clicks; the JSON form follows `schemas/click.json`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Click {
    /// Unlike that of every other click of the shop.
    #[serde(serialize_with = "as_text")]
    pub event_id: EventId,
    /// Who.
    pub user_id: u64,
    /// What.
    pub item_id: u64,
    /// The item's category.
    pub category_id: u64,
    /// What was done.
    pub kind: Kind,
    /// The item's price, in whole cents.
    pub price: f64,
    /// When, in microseconds since 1970; written in whole milliseconds.
    #[serde(rename = "ts", serialize_with = "as_millis")]
    pub ts_micros: i64,
    /// The request whose ranking led to it; none when the person found the item alone.
    #[serde(serialize_with = "as_text_if_any", skip_serializing_if = "Option::is_none")]
    pub request_id: Option<RequestId>,
}

/// What a person does with an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Looks at it; from a ranking, clicks it.
    View,
    /// Puts it into the cart.
    Cart,
    /// Marks it as a favourite.
    Fav,
    /// Buys it.
    Buy,
}

/// The id of an event, as text `b17` or `q17.2`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EventId {
    /// The n-th event of somebody browsing.
    Browsed(u64),
    /// The n-th thing done with the ranking that answered a request.
    Reaction(RequestId, u32),
}

impl Click {
    /// Appends the click as one JSON object, without a line end.
    pub fn write_json(&self, out: &mut Vec<u8>) {
        write_json(self, out);
    }
}

/// Appends a value as JSON, allocating nothing but room in `out`.
pub(super) fn write_json(value: &impl Serialize, out: &mut Vec<u8>) {
    // A vector takes every write, and the values of this module have no part that JSON cannot express.
    serde_json::to_writer(out, value).unwrap_or_default();
}

/// Writes an id in its text form.
pub(super) fn as_text<S: Serializer>(value: &impl fmt::Display, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

/// Writes a time of microseconds in milliseconds.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes fields by reference")]
pub(super) fn as_millis<S: Serializer>(micros: &i64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_i64(micros.div_euclid(1_000))
}

#[expect(clippy::ref_option, reason = "serde passes fields by reference")]
fn as_text_if_any<S: Serializer>(value: &Option<RequestId>, serializer: S) -> Result<S::Ok, S::Error> {
    match value {
        Some(value) => serializer.collect_str(value),
        None => serializer.serialize_none(),
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Browsed(number) => write!(formatter, "b{number}"),
            Self::Reaction(request, step) => write!(formatter, "{request}.{step}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn a_click_without_a_request_has_no_such_field() {
        let click = Click {
            event_id: EventId::Browsed(7),
            user_id: 3,
            item_id: 41,
            category_id: 5,
            kind: Kind::Fav,
            price: 19.99,
            ts_micros: 1_511_658_000_123_999,
            request_id: None,
        };
        let mut out = b"kept ".to_vec();
        click.write_json(&mut out);
        let expected = r#"kept {"event_id":"b7","user_id":3,"item_id":41,"category_id":5,"kind":"fav","price":19.99,"#;
        assert_eq!(String::from_utf8(out).unwrap(), format!("{expected}\"ts\":1511658000123}}"));
    }

    proptest! {
        #[test]
        fn json_decodes_to_the_same_values(
            event in any::<u64>(), request in any::<u64>(), step in any::<u32>(), is_reaction in any::<bool>(),
            user_id in any::<u64>(), item_id in any::<u64>(), category_id in any::<u64>(),
            kind in prop::sample::select(vec![Kind::View, Kind::Cart, Kind::Fav, Kind::Buy]),
            cents in 0_u32..10_000_000, millis in 0_i64..4_000_000_000_000,
        ) {
            let request_id = is_reaction.then_some(RequestId(request));
            let click = Click {
                event_id: request_id.map_or(EventId::Browsed(event), |request| EventId::Reaction(request, step)),
                user_id, item_id, category_id, kind,
                price: f64::from(cents) / 100.0,
                ts_micros: millis * 1_000,
                request_id,
            };
            let mut out = Vec::new();
            click.write_json(&mut out);
            let mut expected = json!({
                "event_id": click.event_id.to_string(), "user_id": user_id, "item_id": item_id,
                "category_id": category_id, "kind": format!("{kind:?}").to_lowercase(),
                "price": click.price, "ts": millis,
            });
            if is_reaction {
                expected["request_id"] = json!(format!("q{request}"));
            }
            prop_assert_eq!(serde_json::from_slice::<Value>(&out).unwrap(), expected);
        }
    }
}
