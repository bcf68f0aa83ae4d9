//! Holds one JSON value to the rule of its field.

use super::column::Column;
use super::instant::{self, NoInstant, TimeZone};
use super::reject::{Flaw, RejectReason, excerpt};
use super::rule::{ListRule, Shape, ValueRule};
use super::scan::{Bracket, Scanner, SkipError, SyntaxError};
use super::token::Number;

/// Checks values one after another, in space that is reused.
#[derive(Debug)]
pub(super) struct ValueCheck {
    max_depth: usize,
    open: Vec<Bracket>,
    text: Vec<u8>,
    /// That of times without an offset from UTC.
    zone: Option<TimeZone>,
}

impl ValueCheck {
    pub(super) fn new(max_depth: usize, zone: Option<TimeZone>) -> Self {
        Self { max_depth, open: Vec::new(), text: Vec::new(), zone }
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

    /// Refuses an event that nests so deep.
    pub(super) fn check_depth(&self, depth: usize) -> Result<(), Flaw> {
        if depth > self.max_depth { Err(too_deep(self.max_depth)) } else { Ok(()) }
    }

    /// Checks the next value, which is one of the event's own fields or an item of one, passes it and appends it to the
    /// column, if there is one. What was appended of a value that is refused is for the caller to take back.
    #[inline]
    pub(super) fn check(
        &mut self,
        scanner: &mut Scanner<'_>,
        rule: &ValueRule,
        place: Place<'_>,
        column: Option<&mut Column>,
    ) -> Result<(), Flaw> {
        let first = scanner.peek();
        let start = scanner.offset();
        let outcome = match (first, &rule.shape) {
            (Some(b'['), Shape::List(list)) => {
                let items = self.items(scanner, list, place, column)?;
                if list.permits(items) { Ok(()) } else { Err(Unfit::Value(RejectReason::Constraint)) }
            }
            (Some(first), _) => self.scalar(scanner, first, rule, column),
            (None, _) => return Err(scanner.error("a value").into()),
        };
        match outcome {
            Ok(()) => Ok(()),
            Err(unfit) => Err(self.refuse(scanner, start, unfit, rule, place)),
        }
    }

    /// Puts into words why the value that begins at `start` is refused.
    #[cold]
    fn refuse(
        &mut self,
        scanner: &mut Scanner<'_>,
        start: usize,
        unfit: Unfit,
        rule: &ValueRule,
        place: Place<'_>,
    ) -> Flaw {
        let (reason, remark) = match unfit {
            Unfit::Syntax(error) => return error.into(),
            Unfit::Value(reason) => (reason, ""),
            Unfit::Time(why) => (RejectReason::WrongType, why.remark()),
        };
        scanner.move_to(start);
        match self.skip(scanner, 1) {
            Ok(()) => place.unfit(reason, rule, &format!("{}{remark}", excerpt(scanner.since(start)))),
            Err(flaw) => flaw,
        }
    }

    /// Checks the items of a list and returns how many there are.
    fn items(
        &mut self,
        scanner: &mut Scanner<'_>,
        rule: &ListRule,
        place: Place<'_>,
        mut column: Option<&mut Column>,
    ) -> Result<usize, Flaw> {
        if self.max_depth < 2 {
            return Err(too_deep(self.max_depth));
        }
        scanner.expect(b'[', "a list")?;
        let mut count = 0;
        if !scanner.take(b']') {
            loop {
                let items = column.as_deref_mut().and_then(Column::items);
                self.check(scanner, &rule.item, Place { item: Some(count), ..place }, items)?;
                count += 1;
                if !scanner.take(b',') {
                    scanner.expect(b']', "`,` or `]`")?;
                    break;
                }
            }
        }
        if let Some(column) = column {
            column.end_list();
        }
        Ok(count)
    }

    #[inline]
    fn scalar(
        &mut self,
        scanner: &mut Scanner<'_>,
        first: u8,
        rule: &ValueRule,
        column: Option<&mut Column>,
    ) -> Result<(), Unfit> {
        let permitted = match (first, &rule.shape) {
            (b'"', Shape::Text(rule)) => {
                let text = scanner.string()?.resolve(&mut self.text);
                if let Some(column) = column {
                    column.push_text(text);
                }
                rule.allows_all() || rule.permits(text)
            }
            (b'-' | b'0'..=b'9', shape @ (Shape::Integer(_) | Shape::Number(_))) => {
                number(scanner.number()?, shape, column)?
            }
            (b'"', Shape::DateTime) => {
                let text = scanner.string()?.resolve(&mut self.text);
                let micros = instant::micros(text, self.zone).map_err(Unfit::Time)?;
                if let Some(column) = column {
                    column.push_date_time(micros);
                }
                true
            }
            (b't' | b'f', Shape::Boolean(allowed)) => {
                let value = first == b't';
                scanner.literal(if value { "true" } else { "false" })?;
                if let Some(column) = column {
                    column.push_boolean(value);
                }
                allowed.is_empty() || allowed.contains(&value)
            }
            (b'n', _) if rule.nullable => {
                scanner.literal("null")?;
                if let Some(column) = column {
                    column.push_null();
                }
                true
            }
            _ => return Err(Unfit::Value(RejectReason::WrongType)),
        };
        if permitted { Ok(()) } else { Err(Unfit::Value(RejectReason::Constraint)) }
    }
}

/// Whether a number is permitted; it is appended to the column, if there is one.
#[inline]
fn number(number: Number<'_>, shape: &Shape, column: Option<&mut Column>) -> Result<bool, Unfit> {
    match shape {
        Shape::Integer(rule) => {
            let Some(value) = number.as_i64() else {
                let finite = number.is_finite();
                return Err(Unfit::Value(if finite { RejectReason::WrongType } else { RejectReason::NotFinite }));
            };
            if let Some(column) = column {
                column.push_integer(value);
            }
            Ok(rule.permits(value))
        }
        Shape::Number(rule) if column.is_none() && rule.allows_all() && number.is_surely_finite() => Ok(true),
        Shape::Number(rule) => {
            let value = number.as_f64();
            if !value.is_finite() {
                return Err(Unfit::Value(RejectReason::NotFinite));
            }
            if let Some(column) = column {
                column.push_number(value);
            }
            Ok(rule.permits(value))
        }
        _ => Err(Unfit::Value(RejectReason::WrongType)),
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
#[derive(Debug, Clone, Copy)]
enum Unfit {
    Syntax(SyntaxError),
    Value(RejectReason),
    Time(NoInstant),
}

impl From<SyntaxError> for Unfit {
    fn from(error: SyntaxError) -> Self {
        Self::Syntax(error)
    }
}

fn too_deep(most: usize) -> Flaw {
    Flaw::new(RejectReason::TooDeep, format!("expected at most {most} levels of nesting, got more"))
}
