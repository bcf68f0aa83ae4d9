//! The canonical form of a schema and its fingerprint, by which a message in single-object encoding says what it is of (Apache
//! Avro 1.12 specification, "Parsing Canonical Form for Schemas" and "Schema Fingerprints").

use serde_json::Value;

/// CRC-64-AVRO of nothing.
const EMPTY: u64 = 0xc15d_213a_a4d7_a795;

/// The 64-bit Rabin fingerprint of a text.
pub(super) fn fingerprint(text: &str) -> u64 {
    text.bytes().fold(EMPTY, |print, byte| {
        let mut low = (print ^ u64::from(byte)) & 0xff;
        for _ in 0..8 {
            low = (low >> 1) ^ (EMPTY & (low & 1).wrapping_neg());
        }
        (print >> 8) ^ low
    })
}

/// A schema that is known to be one, without all that does not count for reading it. `namespace` is that of names without one.
pub(super) fn canonical(schema: &Value, namespace: &str) -> String {
    let mut out = String::new();
    write_schema(schema, namespace, &mut out);
    out
}

/// A name with its namespace, and that namespace.
pub(super) fn full_name(name: &str, own: Option<&str>, namespace: &str) -> (String, String) {
    match (name.rsplit_once('.'), own) {
        (Some((space, _)), _) => (name.to_owned(), space.to_owned()),
        (None, Some("")) => (name.to_owned(), String::new()),
        (None, Some(space)) => (format!("{space}.{name}"), space.to_owned()),
        (None, None) if namespace.is_empty() => (name.to_owned(), String::new()),
        (None, None) => (format!("{namespace}.{name}"), namespace.to_owned()),
    }
}

/// The types that have no name of their own.
pub(super) const PRIMITIVES: [&str; 8] = ["null", "boolean", "int", "long", "float", "double", "bytes", "string"];

fn write_schema(schema: &Value, namespace: &str, out: &mut String) {
    match schema {
        Value::String(name) if PRIMITIVES.contains(&name.as_str()) => quote(name, out),
        Value::String(name) => quote(&full_name(name, None, namespace).0, out),
        Value::Array(branches) => list(branches, out, |branch, out| write_schema(branch, namespace, out)),
        Value::Object(fields) => {
            let text = |key: &str| fields.get(key).and_then(Value::as_str);
            let Some(kind) = text("type") else {
                // A schema within a schema says nothing of its own.
                return fields.get("type").map_or((), |inner| write_schema(inner, namespace, out));
            };
            match kind {
                "array" | "map" => {
                    let of = if kind == "array" { "items" } else { "values" };
                    out.push_str("{\"type\":");
                    quote(kind, out);
                    out.push_str(if kind == "array" { ",\"items\":" } else { ",\"values\":" });
                    write_schema(fields.get(of).unwrap_or(&Value::Null), namespace, out);
                    out.push('}');
                }
                "record" | "error" | "enum" | "fixed" => {
                    let (name, inner) = full_name(text("name").unwrap_or_default(), text("namespace"), namespace);
                    out.push_str("{\"name\":");
                    quote(&name, out);
                    out.push_str(",\"type\":");
                    quote(kind, out);
                    named(kind, fields, &inner, out);
                    out.push('}');
                }
                primitive => write_schema(&Value::from(primitive), namespace, out),
            }
        }
        _ => {}
    }
}

/// What a named type has behind its name.
fn named(kind: &str, fields: &serde_json::Map<String, Value>, namespace: &str, out: &mut String) {
    let members = |key: &str| fields.get(key).and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    match kind {
        "enum" => {
            out.push_str(",\"symbols\":");
            list(members("symbols"), out, |symbol, out| quote(symbol.as_str().unwrap_or_default(), out));
        }
        "fixed" => {
            let size = fields.get("size").and_then(Value::as_u64).unwrap_or_default();
            out.push_str(",\"size\":");
            out.push_str(&size.to_string());
        }
        _ => {
            out.push_str(",\"fields\":");
            list(members("fields"), out, |field, out| {
                out.push_str("{\"name\":");
                quote(field.get("name").and_then(Value::as_str).unwrap_or_default(), out);
                out.push_str(",\"type\":");
                write_schema(field.get("type").unwrap_or(&Value::Null), namespace, out);
                out.push('}');
            });
        }
    }
}

fn list(items: &[Value], out: &mut String, write: impl Fn(&Value, &mut String)) {
    out.push('[');
    for (at, item) in items.iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        write(item, out);
    }
    out.push(']');
}

/// A text as it is but for its quotes: names and symbols need no escapes.
fn quote(text: &str, out: &mut String) {
    out.push('"');
    out.push_str(text);
    out.push('"');
}
