//! Universal Binary JSON, the other form of XGBoost's files: read into what the text form would have been.
//!
//! Source: <https://ubjson.org>, with the typed arrays that XGBoost writes (`src/common/json.cc`).

use serde_json::{Map, Number, Value};

use crate::model::import::error::{Faulty, ImportError};

/// Lists and objects inside one another.
const DEEPEST: usize = 64;

/// Reads a file.
pub(in crate::model::import) fn read(bytes: &[u8]) -> Result<Value, ImportError> {
    let mut reader = Reader { rest: bytes };
    let value = reader.marker().and_then(|marker| reader.value(marker, 0));
    let value = value.map_err(|fault| fault.at(format!("byte {}", bytes.len() - reader.rest.len())))?;
    if !reader.rest.is_empty() {
        let reason = format!("the file goes on for {} bytes after its end", reader.rest.len());
        return Err(Faulty::new(reason).at(format!("byte {}", bytes.len() - reader.rest.len())));
    }
    Ok(value)
}

struct Reader<'a> {
    rest: &'a [u8],
}

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], Faulty> {
        let (taken, rest) = self.rest.split_first_chunk::<N>().ok_or_else(cut_off)?;
        self.rest = rest;
        Ok(*taken)
    }

    fn marker(&mut self) -> Result<u8, Faulty> {
        self.take::<1>().map(|[marker]| marker)
    }

    /// The marker, where it is this one.
    fn skip(&mut self, marker: u8) -> bool {
        match self.rest.split_first() {
            Some((first, rest)) if *first == marker => {
                self.rest = rest;
                true
            }
            _ => false,
        }
    }

    fn value(&mut self, marker: u8, depth: usize) -> Result<Value, Faulty> {
        if depth > DEEPEST {
            return Err(Faulty::new(format!("lists and objects are nested more than {DEEPEST} deep")));
        }
        Ok(match marker {
            b'Z' => Value::Null,
            b'T' => Value::Bool(true),
            b'F' => Value::Bool(false),
            b'd' => Number::from_f64(f64::from(f32::from_be_bytes(self.take()?))).map_or(Value::Null, Value::Number),
            b'D' => Number::from_f64(f64::from_be_bytes(self.take()?)).map_or(Value::Null, Value::Number),
            b'S' => Value::String(self.text()?),
            b'C' => Value::String(char::from(self.marker()?).to_string()),
            b'[' => Value::Array(self.list(depth)?),
            b'{' => Value::Object(self.object(depth)?),
            _ => Value::Number(self.whole(marker)?.into()),
        })
    }

    fn whole(&mut self, marker: u8) -> Result<i64, Faulty> {
        Ok(match marker {
            b'i' => i64::from(i8::from_be_bytes(self.take()?)),
            b'U' => i64::from(u8::from_be_bytes(self.take()?)),
            b'I' => i64::from(i16::from_be_bytes(self.take()?)),
            b'l' => i64::from(i32::from_be_bytes(self.take()?)),
            b'L' => i64::from_be_bytes(self.take()?),
            _ => return Err(Faulty::new(format!("marker {:?} is not known", char::from(marker)))),
        })
    }

    fn count(&mut self) -> Result<usize, Faulty> {
        let marker = self.marker()?;
        let count = self.whole(marker)?;
        usize::try_from(count).map_err(|_| Faulty::new(format!("a length is {count}")))
    }

    fn text(&mut self) -> Result<String, Faulty> {
        let length = self.count()?;
        let (text, rest) = self.rest.split_at_checked(length).ok_or_else(cut_off)?;
        self.rest = rest;
        String::from_utf8(text.to_vec()).map_err(|_| Faulty::new("a text is no UTF-8"))
    }

    /// The type and the number of items, where they are said before these.
    fn header(&mut self) -> Result<(Option<u8>, Option<usize>), Faulty> {
        let kind = if self.skip(b'$') { Some(self.marker()?) } else { None };
        let count = if self.skip(b'#') { Some(self.count()?) } else { None };
        match (kind, count) {
            (Some(_), None) => Err(Faulty::new("a list has a type and no length")),
            // What is given no byte each could be any number of items.
            (Some(b'Z' | b'T' | b'F'), _) => Err(Faulty::new("a list has a type without values")),
            both => Ok(both),
        }
    }

    fn list(&mut self, depth: usize) -> Result<Vec<Value>, Faulty> {
        let (kind, count) = self.header()?;
        let mut items = Vec::new();
        while count.map_or_else(|| !self.skip(b']'), |count| items.len() < count) {
            let marker = kind.map_or_else(|| self.marker(), Ok)?;
            items.push(self.value(marker, depth + 1)?);
        }
        Ok(items)
    }

    fn object(&mut self, depth: usize) -> Result<Map<String, Value>, Faulty> {
        let (kind, count) = self.header()?;
        let mut members = Map::new();
        let mut read = 0;
        while count.map_or_else(|| !self.skip(b'}'), |count| read < count) {
            let key = self.text()?;
            let marker = kind.map_or_else(|| self.marker(), Ok)?;
            members.insert(key, self.value(marker, depth + 1)?);
            read += 1;
        }
        Ok(members)
    }
}

fn cut_off() -> Faulty {
    Faulty::new("the file is cut off")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_of_every_kind_are_read() {
        let bytes = b"{i\x01aD\x3f\xe0\0\0\0\0\0\0i\x01b[$d#i\x02\x3f\x80\0\0\xbf\0\0\0i\x01c[Si\x02hiTZl\xff\xff\xff\xfe]i\x01d{#i\x01U\x01kU\xc8}";
        let expected = json!({ "a": 0.5, "b": [1.0, -0.5], "c": ["hi", true, null, -2], "d": { "k": 200 } });
        assert_eq!(read(bytes).unwrap(), expected);
    }

    #[test]
    fn damage_is_refused_with_the_byte_where_it_shows() {
        for (bytes, error) in [
            (&b"{i\x01aSi\x09hi}"[..], "byte 7: the file is cut off"),
            (b"[#l\x7f\xff\xff\xff", "byte 7: the file is cut off"),
            (b"[$Z#l\x7f\xff\xff\xff", "byte 9: a list has a type without values"),
            (b"{i\x01ax}", "byte 5: marker 'x' is not known"),
            (b"{}}", "byte 2: the file goes on for 1 bytes after its end"),
            (&[b'['; 100], "byte 66: lists and objects are nested more than 64 deep"),
        ] {
            assert_eq!(read(bytes).unwrap_err().to_string(), error);
        }
    }
}
