//! A JSON scanner: moves over bytes value by value, holds them to RFC 8259, and copies nothing.
//!
//! Checking an event needs three things that `serde_json` does not offer: the exact end of a value among others, the text
//! of a number before it is rounded (`1e999` is a number too large to hold, not broken syntax), and no allocation for
//! strings with escapes. The grammar itself is small; that it agrees with `serde_json` is a property test.

use std::fmt;

use super::digits::digits;
use super::key::Key;
use super::plain_run::plain_run;
use super::token::{Number, NumberForm, Text, escaped_char};

/// A position that moves forward over JSON text.
#[derive(Debug, Clone)]
pub(super) struct Scanner<'a> {
    bytes: &'a [u8],
    at: usize,
    is_utf8: bool,
}

impl<'a> Scanner<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0, is_utf8: str::from_utf8(bytes).is_ok() }
    }

    /// Bytes passed so far.
    pub(super) fn offset(&self) -> usize {
        self.at
    }

    /// Whether all bytes are UTF-8, those passed and those to come.
    pub(super) fn is_utf8(&self) -> bool {
        self.is_utf8
    }

    /// Goes back to, or jumps forward to, an offset.
    pub(super) fn move_to(&mut self, offset: usize) {
        self.at = offset.min(self.bytes.len());
    }

    /// The bytes from `start` to here.
    pub(super) fn since(&self, start: usize) -> &'a [u8] {
        self.bytes.get(start..self.at).unwrap_or_default()
    }

    /// Skips white space and shows the next byte without passing it.
    #[inline]
    pub(super) fn peek(&mut self) -> Option<u8> {
        match self.bytes.get(self.at) {
            Some(&byte) if byte > b' ' => Some(byte),
            _ => self.peek_behind_space(),
        }
    }

    fn peek_behind_space(&mut self) -> Option<u8> {
        loop {
            match self.bytes.get(self.at) {
                Some(b' ' | b'\n' | b'\r' | b'\t') => self.at += 1,
                other => return other.copied(),
            }
        }
    }

    /// Passes `byte` if it is the next one after white space.
    #[inline]
    pub(super) fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    /// Passes `byte` or fails, saying that `expected` was.
    #[inline]
    pub(super) fn expect(&mut self, byte: u8, expected: &'static str) -> Result<(), SyntaxError> {
        if self.take(byte) { Ok(()) } else { Err(self.error(expected)) }
    }

    /// Passes `key` if it stands here, after white space.
    #[inline]
    pub(super) fn take_key(&mut self, key: &Key) -> bool {
        self.peek();
        let found = key.begins(self.rest());
        self.at += found.unwrap_or(0);
        found.is_some()
    }

    /// Passes a string.
    #[inline]
    pub(super) fn string(&mut self) -> Result<Text<'a>, SyntaxError> {
        self.expect(b'"', "a string")?;
        let start = self.at;
        let mut escaped = false;
        loop {
            self.at += plain_run(self.rest());
            match self.bytes.get(self.at) {
                Some(b'"') => {
                    let raw = self.since(start);
                    self.at += 1;
                    return Ok(Text::new(raw, escaped));
                }
                Some(b'\\') => {
                    self.at += 1;
                    self.escape()?;
                    escaped = true;
                }
                _ => return Err(self.error("the end of a string")),
            }
        }
    }

    /// Passes a number.
    #[inline]
    pub(super) fn number(&mut self) -> Result<Number<'a>, SyntaxError> {
        self.peek();
        let start = self.at;
        self.at += usize::from(self.bytes.get(start) == Some(&b'-'));
        let mut value = 0;
        match self.bytes.get(self.at) {
            Some(b'0') => self.at += 1,
            _ => value = self.digits(0)?,
        }
        let mut form = NumberForm::Whole;
        let mut places = 0;
        if self.bytes.get(self.at) == Some(&b'.') {
            self.at += 1;
            let point = self.at;
            value = self.digits(value)?;
            places = self.at - point;
            form = NumberForm::Fraction;
        }
        if let Some(b'e' | b'E') = self.bytes.get(self.at) {
            self.at += 1;
            self.at += usize::from(matches!(self.bytes.get(self.at), Some(b'+' | b'-')));
            self.digits(0)?;
            form = NumberForm::Exponent;
        }
        Ok(Number::new(self.since(start), form, value, places))
    }

    /// Passes the literal `word`: `true`, `false` or `null`.
    pub(super) fn literal(&mut self, word: &'static str) -> Result<(), SyntaxError> {
        self.peek();
        let end = self.at + word.len();
        if self.bytes.get(self.at..end) != Some(word.as_bytes()) {
            return Err(self.error(word));
        }
        self.at = end;
        Ok(())
    }

    /// Passes one value of any kind that nests at most `most` levels deep: a scalar has none, `[1]` has one.
    ///
    /// Works without recursion, so that no nesting can exhaust the stack; `open` is scratch space.
    pub(super) fn skip(&mut self, open: &mut Vec<Bracket>, most: usize) -> Result<(), SkipError> {
        open.clear();
        loop {
            let opened = match self.peek() {
                Some(b'{') => Some(Bracket::Object),
                Some(b'[') => Some(Bracket::List),
                _ => None,
            };
            if let Some(bracket) = opened {
                if open.len() >= most {
                    return Err(SkipError::TooDeep);
                }
                self.at += 1;
                open.push(bracket);
                if !self.take(bracket.closing()) {
                    if bracket == Bracket::Object {
                        self.key()?;
                    }
                    continue;
                }
                open.pop();
            } else {
                self.scalar()?;
            }
            // A value ends here, and with it perhaps what contains it.
            loop {
                let Some(&bracket) = open.last() else { return Ok(()) };
                if self.take(b',') {
                    if bracket == Bracket::Object {
                        self.key()?;
                    }
                    break;
                }
                self.expect(bracket.closing(), bracket.expected())?;
                open.pop();
            }
        }
    }

    /// The error that something else than `expected` stands here.
    pub(super) fn error(&self, expected: &'static str) -> SyntaxError {
        SyntaxError { offset: self.at, expected, found: self.bytes.get(self.at).copied() }
    }

    fn key(&mut self) -> Result<(), SyntaxError> {
        self.skip_string()?;
        self.expect(b':', "`:`")
    }

    /// Passes a string that nobody wants. Half a surrogate pair is not text, but JSON by its grammar: where it is not read it
    /// costs nothing.
    fn skip_string(&mut self) -> Result<(), SyntaxError> {
        self.expect(b'"', "a string")?;
        loop {
            self.at += plain_run(self.rest());
            match self.bytes.get(self.at) {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(());
                }
                Some(b'\\') => {
                    self.at += 1;
                    match self.rest() {
                        [b'u', a, b, c, d, ..] if [a, b, c, d].iter().all(|digit| digit.is_ascii_hexdigit()) => {
                            self.at += 5
                        }
                        _ => self.escape()?,
                    }
                }
                _ => return Err(self.error("the end of a string")),
            }
        }
    }

    fn scalar(&mut self) -> Result<(), SyntaxError> {
        match self.peek() {
            Some(b'"') => self.skip_string(),
            Some(b'-' | b'0'..=b'9') => self.skip_number(),
            Some(b't') => self.literal("true"),
            Some(b'f') => self.literal("false"),
            Some(b'n') => self.literal("null"),
            _ => Err(self.error("a value")),
        }
    }

    /// Passes a number that nobody wants. Apart, so that [`number`](Self::number) becomes one with its other caller.
    #[inline(never)]
    fn skip_number(&mut self) -> Result<(), SyntaxError> {
        self.number().map(drop)
    }

    /// Passes at least one digit and returns the number that the digits continue, modulo 2^64.
    #[inline]
    fn digits(&mut self, value: u64) -> Result<u64, SyntaxError> {
        let found = digits(self.rest(), value);
        if found.count == 0 {
            return Err(self.error("a digit"));
        }
        self.at += found.count;
        Ok(found.value)
    }

    #[inline]
    fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    /// Passes what follows a backslash. A half of a surrogate pair alone is not text and is refused.
    fn escape(&mut self) -> Result<(), SyntaxError> {
        match self.bytes.get(self.at) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => {
                self.at += 1;
                Ok(())
            }
            Some(b'u') => {
                let mut following = self.bytes.get(self.at + 1..).unwrap_or_default().iter().copied();
                let before = following.len();
                escaped_char(&mut following).ok_or_else(|| self.error("a Unicode escape"))?;
                self.at += 1 + before - following.len();
                Ok(())
            }
            _ => Err(self.error("an escape")),
        }
    }
}

/// What is wrong with a JSON text, and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SyntaxError {
    /// Offset in bytes from the start of the text.
    pub(super) offset: usize,
    expected: &'static str,
    found: Option<u8>,
}

impl fmt::Display for SyntaxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "expected {} at byte {}, found ", self.expected, self.offset)?;
        match self.found {
            Some(byte) => write!(f, "`{}`", byte.escape_ascii()),
            None => f.write_str("the end"),
        }
    }
}

/// Why a value was not passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SkipError {
    Syntax(SyntaxError),
    TooDeep,
}

impl From<SyntaxError> for SkipError {
    fn from(error: SyntaxError) -> Self {
        Self::Syntax(error)
    }
}

/// What a nested value is inside of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bracket {
    Object,
    List,
}

impl Bracket {
    fn closing(self) -> u8 {
        match self {
            Self::Object => b'}',
            Self::List => b']',
        }
    }

    fn expected(self) -> &'static str {
        match self {
            Self::Object => "`,` or `}`",
            Self::List => "`,` or `]`",
        }
    }
}

#[cfg(test)]
mod tests;
