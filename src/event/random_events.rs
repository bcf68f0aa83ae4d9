//! Messages for the tests: events of every type, mostly good, then a few bytes changed anywhere.

use proptest::prelude::*;

/// A contract with a field of every type and every kind of constraint.
pub(super) const CONTRACT: &str = r#"{"type": "object", "properties": {
    "ts": {"type": "integer"},
    "user": {"type": "string"},
    "kind": {"type": "string", "enum": ["view", "b\u00fcy"]},
    "price": {"type": ["number", "null"], "minimum": 0},
    "count": {"type": "integer", "minimum": -5, "maximum": 5},
    "size_of_the_last_basket": {"type": "number"},
    "at": {"type": "string", "format": "date-time"},
    "gift": {"type": "boolean"},
    "note": {"type": ["string", "null"], "minLength": 1, "maxLength": 12},
    "tags": {"type": "array", "items": {"type": "string"}, "maxItems": 3},
    "sizes": {"type": "array", "items": {"type": ["integer", "null"]}}
}, "required": ["ts", "user", "note"]}"#;

/// Payloads of messages whose event times are around `now`, in milliseconds.
pub(super) fn payloads(now: i64) -> impl Strategy<Value = Vec<Vec<u8>>> {
    prop::collection::vec(payload(now), 0..6)
}

fn payload(now: i64) -> impl Strategy<Value = Vec<u8>> {
    let events = || prop::collection::vec(event(now), 1..6);
    let whole = prop_oneof![
        2 => event(now),
        3 => events().prop_map(|events| events.join("\n")),
        1 => events().prop_map(|events| events.concat()),
        1 => events().prop_map(|events| format!(" [{}] ", events.join(" ,"))),
    ];
    let changes = prop_oneof![
        2 => Just(Vec::new()),
        1 => prop::collection::vec((any::<prop::sample::Index>(), change()), 1..4),
    ];
    (whole, changes).prop_map(|(whole, changes)| {
        let mut bytes = whole.into_bytes();
        for (index, (removed, added)) in changes {
            let at = index.index(bytes.len() + 1);
            let end = (at + removed).min(bytes.len());
            bytes.splice(at..end, added);
        }
        bytes
    })
}

/// How many bytes go, and which ones come in their place.
fn change() -> impl Strategy<Value = (usize, Vec<u8>)> {
    let pieces = vec![
        "",
        "\"",
        "\\",
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        " ",
        "\n",
        "-",
        ".",
        "0",
        "1",
        "e",
        "E+",
        "null",
        "true",
        "é",
        "\\u00e9",
        "\\ud83d",
        "\\ude00",
        "{\"ts\":1}",
        "\"user\":",
        "\u{1}",
        "9999999999",
    ];
    let piece = prop::sample::select(pieces).prop_map(|piece| piece.as_bytes().to_vec());
    (0_usize..4, prop_oneof![4 => piece, 1 => any::<u8>().prop_map(|byte| vec![byte])])
}

fn event(now: i64) -> impl Strategy<Value = String> {
    let ts = prop_oneof![
        20 => (now - 100_000..now + 61_000).prop_map(|ts| ts.to_string()),
        2 => (now - 100..now).prop_map(|ts| format!("{ts}.0")),
        1 => number(),
    ];
    let text = || prop_oneof![6 => "\"[a-zA-Z 0-9é日]{0,20}\"", 1 => "\"(a|\\\\n|\\\\\"|\\\\u00e9|\\\\ud83d\\\\ude00|\\\\/|~){0,6}\""];
    let own = |values: &'static [&'static str]| prop::sample::select(values).prop_map(str::to_owned);
    let mostly = |good: BoxedStrategy<String>, bad: BoxedStrategy<String>| prop_oneof![24 => good, 1 => bad];
    let kind = mostly(own(&["\"view\"", "\"büy\"", "\"b\\u00fcy\""]).boxed(), text().boxed());
    let price = prop_oneof![3 => "[0-9]{1,3}\\.[0-9]{1,4}", 1 => Just("null".to_owned())];
    let price = mostly(price.boxed(), number().boxed());
    let count = prop_oneof![6 => "[0-5]", 1 => "-[1-5]", 1 => own(&["3.0", "5e0", "-0", "-0.0", "0.2e1"])];
    let count = mostly(count.boxed(), own(&["2.5", "6", "01", "1e999", "9223372036854775808", "-6.0"]).boxed());
    let at = mostly(
        own(&[
            "\"2026-01-31T12:00:00Z\"",
            "\"1969-12-31t23:59:59.999999999-11:30\"",
            "\"9999-12-31 23:59:59.5+02:00\"",
            "\"0000-01-01T00:00:00\\u005a\"",
        ])
        .boxed(),
        own(&["\"2026-01-31T12:00:00\"", "\"2026-02-30T12:00:00Z\"", "\"2016-12-31T23:59:60Z\"", "7"]).boxed(),
    );
    let gift = mostly(own(&["true", "false"]).boxed(), own(&["null", "tru", "\"true\""]).boxed());
    let note = prop_oneof![3 => "\"[a-zé日]{1,12}\"", 1 => Just("null".to_owned())];
    let note = mostly(note.boxed(), text().boxed());
    let tags = prop::collection::vec(text(), 0..4).prop_map(|tags| format!("[{}]", tags.join(",")));
    let sizes = prop::collection::vec(prop_oneof!["-?[1-9][0-9]{0,18}", Just("null".to_owned())], 0..5)
        .prop_map(|sizes| format!("[ {} ]", sizes.join(" , ")));
    let other = own(&["1", "{\"ts\":{},\"ts\":2}", "[[]]", "\"x\"", "1e999"]);
    let other = mostly(other.boxed(), own(&["[[[]]]", "{\"a\"}", "nul"]).boxed());
    let values = (ts, text(), kind, price, count, number(), at, gift, (note, tags, sizes, other));
    let present = prop::collection::vec(prop::bool::weighted(0.85), 12);
    let order = prop_oneof![3 => Just(None), 1 => any::<u64>().prop_map(Some)];
    (values, present, order, prop::sample::select(vec!["", " "])).prop_map(
        |((ts, user, kind, price, count, size, at, gift, (note, tags, sizes, other)), present, order, space)| {
            let named = [
                ("ts", ts),
                ("user", user),
                ("kind", kind),
                ("price", price),
                ("count", count),
                ("size_of_the_last_basket", size),
                ("at", at),
                ("gift", gift),
                ("n\\u006fte", note),
                ("tags", tags),
                ("other", other),
                ("sizes", sizes),
            ];
            // Without the required ones nothing of an event is kept.
            let kept = |name: &str, present: bool| present || ["ts", "user", "n\\u006fte"].contains(&name);
            let mut members: Vec<_> = named
                .into_iter()
                .zip(present)
                .filter(|((name, _), present)| kept(name, *present))
                .map(|((name, value), _)| format!("\"{name}\"{space}:{space}{value}"))
                .collect();
            if let Some(order) = order {
                let turn = (order % 12) as usize % members.len();
                members.rotate_left(turn);
                members.swap(0, (order / 12 % 3) as usize);
            }
            format!("{{{}}}", members.join(&format!("{space},")))
        },
    )
}

fn number() -> impl Strategy<Value = String> {
    prop_oneof![
        2 => "-?(0|[1-9][0-9]{0,20})",
        3 => r"-?(0|[1-9][0-9]{0,20})\.[0-9]{1,20}",
        1 => r"-?(0|[1-9][0-9]{0,2})(\.[0-9]{1,3})?[eE][+-]?[0-9]{1,3}",
        1 => any::<f64>().prop_filter("finite", |value| value.is_finite()).prop_map(|value| format!("{value:e}")),
    ]
}
