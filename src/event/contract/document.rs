//! A JSON document that remembers where its values stand, so that problems can be pointed at.

use crate::event::scan::{Scanner, SyntaxError};
use crate::event::token::Number;

/// A value and the byte offset of its first character.
#[derive(Debug)]
pub(super) struct Node<'a> {
    pub(super) offset: usize,
    pub(super) value: Value<'a>,
}

#[derive(Debug)]
pub(super) enum Value<'a> {
    Null,
    Boolean(bool),
    Number(Number<'a>),
    Text(String),
    List(Vec<Node<'a>>),
    Object(Vec<Member<'a>>),
}

/// One `"name": value` of an object.
#[derive(Debug)]
pub(super) struct Member<'a> {
    pub(super) name: String,
    /// Byte offset of the name.
    pub(super) offset: usize,
    pub(super) node: Node<'a>,
}

/// Reads a whole document. Nested deeper than 64 levels it is refused: no contract needs it, and reading is recursive.
pub(super) fn parse(text: &str) -> Result<Node<'_>, SyntaxError> {
    let mut scanner = Scanner::new(text.as_bytes());
    let root = node(&mut scanner, 64)?;
    match scanner.peek() {
        None => Ok(root),
        Some(_) => Err(scanner.error("the end of the document")),
    }
}

fn node<'a>(scanner: &mut Scanner<'a>, levels: usize) -> Result<Node<'a>, SyntaxError> {
    let first = scanner.peek();
    let offset = scanner.offset();
    if levels == 0 {
        return Err(scanner.error("at most 64 levels"));
    }
    let value = match first {
        Some(b'{') => Value::Object(members(scanner, levels)?),
        Some(b'[') => Value::List(items(scanner, levels)?),
        Some(b'"') => Value::Text(text(scanner)?),
        Some(b't') => scanner.literal("true").map(|()| Value::Boolean(true))?,
        Some(b'f') => scanner.literal("false").map(|()| Value::Boolean(false))?,
        Some(b'n') => scanner.literal("null").map(|()| Value::Null)?,
        Some(b'-' | b'0'..=b'9') => Value::Number(scanner.number()?),
        _ => return Err(scanner.error("a value")),
    };
    Ok(Node { offset, value })
}

fn members<'a>(scanner: &mut Scanner<'a>, levels: usize) -> Result<Vec<Member<'a>>, SyntaxError> {
    let mut members = Vec::new();
    scanner.expect(b'{', "an object")?;
    if scanner.take(b'}') {
        return Ok(members);
    }
    loop {
        scanner.peek();
        let offset = scanner.offset();
        let name = text(scanner)?;
        scanner.expect(b':', "`:`")?;
        members.push(Member { name, offset, node: node(scanner, levels - 1)? });
        if !scanner.take(b',') {
            scanner.expect(b'}', "`,` or `}`")?;
            return Ok(members);
        }
    }
}

fn items<'a>(scanner: &mut Scanner<'a>, levels: usize) -> Result<Vec<Node<'a>>, SyntaxError> {
    let mut items = Vec::new();
    scanner.expect(b'[', "a list")?;
    if scanner.take(b']') {
        return Ok(items);
    }
    loop {
        items.push(node(scanner, levels - 1)?);
        if !scanner.take(b',') {
            scanner.expect(b']', "`,` or `]`")?;
            return Ok(items);
        }
    }
}

fn text(scanner: &mut Scanner<'_>) -> Result<String, SyntaxError> {
    let mut scratch = Vec::new();
    let text = scanner.string()?;
    Ok(String::from_utf8_lossy(text.resolve(&mut scratch)).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_remember_where_they_stand() {
        let text = r#"{"a": [1, "x"]}"#;
        let Value::Object(members) = parse(text).expect("a document").value else { panic!("not an object") };
        let Value::List(items) = &members[0].node.value else { panic!("not a list") };
        assert_eq!((members[0].offset, members[0].node.offset, items[1].offset), (1, 6, 10));
    }

    #[test]
    fn deep_documents_are_refused_not_overflowed() {
        assert!(parse(&("[".repeat(63) + &"]".repeat(63))).is_ok());
        assert!(parse(&"[".repeat(100_000)).is_err());
    }
}
