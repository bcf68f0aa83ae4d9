//! Avro schemas: the text of a file becomes types, each of which knows how it is written.

use std::collections::HashMap;

use serde_json::{Map, Value};

use super::canonical::{canonical, fingerprint, full_name};

/// A schema of records.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Schema {
    pub(super) types: Vec<Type>,
    pub(super) root: usize,
    /// CRC-64-AVRO of its canonical form.
    pub(super) fingerprint: u64,
}

/// A type; others are meant by their places among all types.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Type {
    Null,
    Boolean,
    /// `int` and `long`, which are written alike.
    Integer(Meaning),
    Float,
    Double,
    Bytes(Meaning),
    Text,
    Fixed(usize, Meaning),
    Enum(Vec<String>),
    List(usize),
    Map(usize),
    Union(Vec<usize>),
    Record(Vec<Field>),
}

/// A field of a record.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Field {
    pub(super) name: String,
    pub(super) of: usize,
}

/// What a value means beyond its type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meaning {
    /// Itself.
    Plain,
    /// Days since 1970.
    Date,
    /// So many of these a microsecond, or microseconds of these, since 1970, in UTC.
    Instant(Unit),
    /// The same by a clock whose zone is not said.
    Local(Unit),
    /// Digits, so many of them behind the point.
    Decimal(u32),
    Uuid,
}

/// What a time counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    Milliseconds,
    Microseconds,
    Nanoseconds,
}

impl Schema {
    /// Reads the text of a schema file.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let document: Value = serde_json::from_str(text).map_err(|error| format!("not JSON: {error}"))?;
        let mut reader = Reader::default();
        let root = reader.schema(&document, "")?;
        let is_of_records = match reader.types.get(root) {
            Some(Type::Record(_)) => true,
            Some(Type::Union(branches)) => {
                branches.iter().all(|branch| matches!(reader.types.get(*branch), Some(Type::Record(_))))
            }
            _ => false,
        };
        if !is_of_records {
            return Err("an event is a record, or one of a union of records".to_owned());
        }
        Ok(Self { types: reader.types, root, fingerprint: fingerprint(&canonical(&document, "")) })
    }

    pub(super) fn of(&self, at: usize) -> &Type {
        self.types.get(at).unwrap_or(&Type::Null)
    }
}

#[derive(Default)]
struct Reader {
    types: Vec<Type>,
    named: HashMap<String, usize>,
}

impl Reader {
    fn add(&mut self, found: Type) -> usize {
        self.types.push(found);
        self.types.len() - 1
    }

    fn schema(&mut self, schema: &Value, namespace: &str) -> Result<usize, String> {
        match schema {
            Value::String(name) => self.by_name(name, namespace, Meaning::Plain),
            Value::Array(branches) => {
                let mut found = Vec::with_capacity(branches.len());
                for branch in branches {
                    found.push(self.schema(branch, namespace)?);
                }
                if found.is_empty() {
                    return Err("a union has at least one type".to_owned());
                }
                Ok(self.add(Type::Union(found)))
            }
            Value::Object(fields) => match fields.get("type") {
                Some(Value::String(kind)) => self.complex(kind, fields, namespace),
                Some(inner) => self.schema(inner, namespace),
                None => Err(format!("\"type\" is missing in {}", shown(schema))),
            },
            other => Err(format!("{} is no schema", shown(other))),
        }
    }

    fn by_name(&mut self, name: &str, namespace: &str, meaning: Meaning) -> Result<usize, String> {
        let found = match name {
            "null" => Type::Null,
            "boolean" => Type::Boolean,
            "int" | "long" => Type::Integer(meaning),
            "float" => Type::Float,
            "double" => Type::Double,
            "bytes" => Type::Bytes(meaning),
            "string" => Type::Text,
            other => {
                let full = full_name(other, None, namespace).0;
                let known = self.named.get(&full).or_else(|| self.named.get(other));
                return known.copied().ok_or_else(|| format!("type \"{other}\" is not defined before it is used"));
            }
        };
        Ok(self.add(found))
    }

    fn complex(&mut self, kind: &str, fields: &Map<String, Value>, namespace: &str) -> Result<usize, String> {
        match kind {
            "array" | "map" => {
                let key = if kind == "array" { "items" } else { "values" };
                let inner = fields.get(key).ok_or_else(|| format!("\"{key}\" is missing in a type \"{kind}\""))?;
                let of = self.schema(inner, namespace)?;
                Ok(self.add(if kind == "array" { Type::List(of) } else { Type::Map(of) }))
            }
            "record" | "error" | "enum" | "fixed" => self.named(kind, fields, namespace),
            primitive => self.by_name(primitive, namespace, meaning(primitive, fields)),
        }
    }

    fn named(&mut self, kind: &str, fields: &Map<String, Value>, namespace: &str) -> Result<usize, String> {
        let text = |key: &str| fields.get(key).and_then(Value::as_str);
        let name = text("name").ok_or_else(|| format!("\"name\" is missing in a type \"{kind}\""))?;
        let (full, inner) = full_name(name, text("namespace"), namespace);
        // Its place is known before its fields are, which may be of its own type.
        let at = self.add(Type::Null);
        if self.named.insert(full.clone(), at).is_some() {
            return Err(format!("type \"{full}\" is defined twice"));
        }
        let missing = |key: &str| format!("\"{key}\" is missing in type \"{full}\"");
        let found = match kind {
            "enum" => {
                let symbols = fields.get("symbols").and_then(Value::as_array).ok_or_else(|| missing("symbols"))?;
                let symbols = symbols.iter().map(|symbol| symbol.as_str().map(str::to_owned));
                Type::Enum(symbols.collect::<Option<_>>().ok_or_else(|| missing("symbols"))?)
            }
            "fixed" => {
                let size = fields.get("size").and_then(Value::as_u64).ok_or_else(|| missing("size"))?;
                Type::Fixed(usize::try_from(size).map_err(|_| missing("size"))?, meaning(kind, fields))
            }
            _ => {
                let declared = fields.get("fields").and_then(Value::as_array).ok_or_else(|| missing("fields"))?;
                let mut members: Vec<Field> = Vec::with_capacity(declared.len());
                for field in declared {
                    let name = field.get("name").and_then(Value::as_str).ok_or_else(|| missing("name"))?;
                    if members.iter().any(|member| member.name == name) {
                        return Err(format!("field \"{name}\" is in type \"{full}\" twice"));
                    }
                    let of = field.get("type").ok_or_else(|| missing("type"))?;
                    let of = self.schema(of, &inner).map_err(|error| format!("field \"{name}\": {error}"))?;
                    members.push(Field { name: name.to_owned(), of });
                }
                Type::Record(members)
            }
        };
        if let Some(place) = self.types.get_mut(at) {
            *place = found;
        }
        Ok(at)
    }
}

/// A logical type that doesn't fit its type means nothing, as the specification says.
fn meaning(kind: &str, fields: &Map<String, Value>) -> Meaning {
    let number = |key: &str| fields.get(key).and_then(Value::as_u64);
    match (kind, fields.get("logicalType").and_then(Value::as_str).unwrap_or_default()) {
        ("int", "date") => Meaning::Date,
        ("long", "timestamp-millis") => Meaning::Instant(Unit::Milliseconds),
        ("long", "timestamp-micros") => Meaning::Instant(Unit::Microseconds),
        ("long", "timestamp-nanos") => Meaning::Instant(Unit::Nanoseconds),
        ("long", "local-timestamp-millis") => Meaning::Local(Unit::Milliseconds),
        ("long", "local-timestamp-micros") => Meaning::Local(Unit::Microseconds),
        ("long", "local-timestamp-nanos") => Meaning::Local(Unit::Nanoseconds),
        ("fixed", "uuid") if number("size") == Some(16) => Meaning::Uuid,
        ("bytes" | "fixed", "decimal") => {
            Meaning::Decimal(number("scale").unwrap_or_default().try_into().unwrap_or_default())
        }
        _ => Meaning::Plain,
    }
}

fn shown(value: &Value) -> String {
    let mut text = value.to_string();
    if text.len() > 60 {
        text = text.chars().take(60).chain(['…']).collect();
    }
    text
}
