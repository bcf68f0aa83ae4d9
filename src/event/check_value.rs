//! Holds one JSON value to the rule of its field.

use arrow::array::timezone::Tz;
use arrow::compute::kernels::cast_utils::string_to_datetime;
use arrow::error::ArrowError;

use super::reject::{Flaw, RejectReason, excerpt};
use super::rule::{ListRule, Shape, UTC, ValueRule};
use super::scan::{Bracket, Scanner, SkipError, SyntaxError};

/// Checks values one after another, in space that is reused.
#[derive(Debug)]
pub(super) struct ValueCheck {
    max_depth: usize,
    open: Vec<Bracket>,
    text: Vec<u8>,
    utc: Tz,
}

impl ValueCheck {
    pub(super) fn new(max_depth: usize) -> Result<Self, ArrowError> {
        Ok(Self { max_depth, open: Vec::new(), text: Vec::new(), utc: UTC.parse()? })
    }

    /// Passes a value inside of `depth` levels without checking more than its nesting.
    pub(super) fn skip(&mut self, scanner: &mut Scanner<'_>, depth: usize) -> Result<(), Flaw> {
        self.skip_within(scanner, depth, self.max_depth)
    }

    /// Passes a value inside of `depth` levels that may reach the level `most`.
    pub(super) fn skip_within(&mut self, scanner: &mut Scanner<'_>, depth: usize, most: usize) -> Result<(), Flaw> {
        scanner.skip(&mut self.open, most.saturating_sub(depth)).map_err(|error| match error {
            SkipError::Syntax(error) => error.into(),
            SkipError::TooDeep => too_deep(most),
        })
    }

    /// Checks the next value, which is one of the event's own fields or an item of one, and passes it.
    pub(super) fn check(&mut self, scanner: &mut Scanner<'_>, rule: &ValueRule, place: Place<'_>) -> Result<(), Flaw> {
        let first = scanner.peek();
        let start = scanner.offset();
        let outcome = match (first, &rule.shape) {
            (Some(b'['), Shape::List(list)) => {
                let items = self.items(scanner, list, place)?;
                if list.permits(items) { Ok(()) } else { Err(Unfit::Value(RejectReason::Constraint)) }
            }
            (Some(first), _) => self.scalar(scanner, first, rule),
            (None, _) => return Err(scanner.error("a value").into()),
        };
        match outcome {
            Ok(()) => Ok(()),
            Err(Unfit::Syntax(error)) => Err(error.into()),
            Err(Unfit::Value(reason)) => {
                scanner.move_to(start);
                self.skip(scanner, 1)?;
                Err(place.unfit(reason, rule, &excerpt(scanner.since(start))))
            }
        }
    }

    /// Checks the items of a list and returns how many there are.
    fn items(&mut self, scanner: &mut Scanner<'_>, rule: &ListRule, place: Place<'_>) -> Result<usize, Flaw> {
        if self.max_depth < 2 {
            return Err(too_deep(self.max_depth));
        }
        scanner.expect(b'[', "a list")?;
        if scanner.take(b']') {
            return Ok(0);
        }
        let mut count = 0;
        loop {
            self.check(scanner, &rule.item, Place { item: Some(count), ..place })?;
            count += 1;
            if !scanner.take(b',') {
                scanner.expect(b']', "`,` or `]`")?;
                return Ok(count);
            }
        }
    }

    #[inline]
    fn scalar(&mut self, scanner: &mut Scanner<'_>, first: u8, rule: &ValueRule) -> Result<(), Unfit> {
        let permitted = match (first, &rule.shape) {
            (b'"', Shape::Text(rule)) => {
                let text = scanner.string()?;
                rule.allows_all() || rule.permits(text.resolve(&mut self.text))
            }
            (b'-' | b'0'..=b'9', Shape::Integer(rule)) => {
                let number = scanner.number()?;
                match number.as_i64() {
                    Some(value) => rule.permits(value),
                    None if number.is_finite() => return Err(Unfit::Value(RejectReason::WrongType)),
                    None => return Err(Unfit::Value(RejectReason::NotFinite)),
                }
            }
            (b'-' | b'0'..=b'9', Shape::Number(rule)) => {
                let number = scanner.number()?;
                if !number.is_finite() {
                    return Err(Unfit::Value(RejectReason::NotFinite));
                }
                rule.allows_all() || rule.permits(number.as_f64())
            }
            (b'"', Shape::DateTime) => {
                let text = scanner.string()?;
                if !is_date_time(text.resolve(&mut self.text), self.utc) {
                    return Err(Unfit::Value(RejectReason::WrongType));
                }
                true
            }
            (b't', Shape::Boolean(allowed)) => {
                scanner.literal("true")?;
                allowed.is_empty() || allowed.contains(&true)
            }
            (b'f', Shape::Boolean(allowed)) => {
                scanner.literal("false")?;
                allowed.is_empty() || allowed.contains(&false)
            }
            (b'n', _) if rule.nullable => {
                scanner.literal("null")?;
                true
            }
            _ => return Err(Unfit::Value(RejectReason::WrongType)),
        };
        if permitted { Ok(()) } else { Err(Unfit::Value(RejectReason::Constraint)) }
    }
}

/// Where a value stands, for messages.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) field: &'a str,
    /// Position in a list, from 0.
    pub(super) item: Option<usize>,
}

impl Place<'_> {
    /// The fault that the value here is not what the rule asks for.
    pub(super) fn unfit(self, reason: RejectReason, rule: &ValueRule, got: &str) -> Flaw {
        let item = self.item.map(|item| format!(" item {item}")).unwrap_or_default();
        Flaw::new(reason, format!("field \"{}\"{item}: expected {}, got {got}", self.field, rule.expected()))
    }
}

/// Why a value is refused, before its place and text are put into words.
enum Unfit {
    Syntax(SyntaxError),
    Value(RejectReason),
}

impl From<SyntaxError> for Unfit {
    fn from(error: SyntaxError) -> Self {
        Self::Syntax(error)
    }
}

fn too_deep(most: usize) -> Flaw {
    Flaw::new(RejectReason::TooDeep, format!("expected at most {most} levels of nesting, got more"))
}

/// Whether a text is an RFC 3339 date-time. The columns are decoded by a more lenient reader, which takes a time without
/// an offset for UTC; a producer that leaves the offset out usually means something else.
fn is_date_time(text: &[u8], utc: Tz) -> bool {
    let [_, _, _, _, b'-', _, _, b'-', _, _, b'T' | b't' | b' ', _, _, b':', _, _, b':', _, _, rest @ ..] = text else {
        return false;
    };
    let rest = match rest {
        [b'.', fraction @ ..] => {
            let digits = fraction.iter().take_while(|byte| byte.is_ascii_digit()).count();
            if digits == 0 { rest } else { fraction.get(digits..).unwrap_or_default() }
        }
        rest => rest,
    };
    let has_offset = matches!(rest, [b'Z' | b'z'] | [b'+' | b'-', _, _, b':', _, _]);
    // Only ASCII goes on: the reader cuts the text at byte positions.
    has_offset && text.is_ascii() && str::from_utf8(text).is_ok_and(|text| string_to_datetime(&utc, text).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_time_needs_an_offset_and_a_day_that_exists() {
        let utc = UTC.parse().expect("a time zone");
        for (text, good) in [
            ("2026-02-28T23:59:59Z", true),
            ("2026-02-28t23:59:59.5-11:30", true),
            ("2026-02-30T00:00:00Z", false),
            ("2026-02-28T23:59:59", false),
            ("2026-02-28", false),
            ("2026-02-28T23:59:59.Z", false),
            ("2026-02-28T23:59:59+0200", false),
            ("2026-02-28T23:59:59.123é:00", false),
        ] {
            assert_eq!(is_date_time(text.as_bytes(), utc), good, "{text}");
        }
    }
}
