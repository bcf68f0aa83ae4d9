//! Holds a JSON object with objects in it to a contract, and appends their values to the columns.
//!
//! ```text
//!   {"user": "ann", "properties": {"price": 9.5}}
//!     └ column 0      └ object      └ column 1          what has no value by the end of the event is null
//! ```
//!
//! It does for all levels what [`ObjectCheck`](super::check::ObjectCheck) does by itself for a contract whose properties are
//! columns as they are: that one pays nothing for what it does not have.

use super::check_value::{Place, ValueCheck};
use super::column::Column;
use super::contract::{Kinds, Member, MemberValue, ObjectShape};
use super::key::Key;
use super::reject::{Flaw, RejectReason, excerpt};
use super::rule::{Shape, ValueRule};
use super::scan::Scanner;
use super::written::Written;

/// Checks events of one nested contract, one after another, in space that is reused.
#[derive(Debug)]
pub(super) struct NestedCheck {
    event: Object,
    /// Per member of any object whether the one at hand has it.
    seen: Vec<bool>,
    /// Per column whether the event at hand has a value for it.
    filled: Vec<bool>,
    name: Vec<u8>,
    spare: Vec<Vec<u8>>,
}

/// An object of the contract.
#[derive(Debug)]
struct Object {
    members: Vec<Field>,
    /// How many members are required.
    required: usize,
    closed: bool,
    /// Where its members stand among those of all objects.
    first: usize,
    /// The names that lead to its members, with a point at the end.
    prefix: String,
    /// What it has by its kind instead, with an object for each kind.
    kinds: Option<(Kinds, Vec<Object>)>,
}

/// A member of an object.
#[derive(Debug)]
struct Field {
    name: String,
    /// The name as most producers write it; none when it would need escapes.
    key: Option<Key>,
    path: String,
    required: bool,
    holds: Holds,
}

/// What a member holds.
#[derive(Debug)]
enum Holds {
    Value {
        rule: ValueRule,
        column: usize,
    },
    /// A string that holds a number.
    Written {
        written: Written,
        rule: ValueRule,
        column: usize,
    },
    Object {
        object: Object,
        nullable: bool,
    },
    /// A string that holds the JSON of an object.
    ObjectText {
        object: Object,
        nullable: bool,
    },
}

/// What is at hand while an event is read.
struct Walk<'w, 's> {
    values: &'w mut ValueCheck,
    columns: &'w mut [Column],
    scanner: &'w mut Scanner<'s>,
    seen: &'w mut [bool],
    filled: &'w mut [bool],
    name: &'w mut Vec<u8>,
    /// Space for texts of objects that are strings.
    spare: &'w mut Vec<Vec<u8>>,
}

impl NestedCheck {
    pub(super) fn new(shape: &ObjectShape, columns: usize) -> Self {
        let mut members = 0;
        let event = Object::new(shape, String::new(), &mut members);
        Self { event, seen: vec![false; members], filled: vec![false; columns], name: Vec::new(), spare: Vec::new() }
    }

    /// Checks the object that the scanner is at, and leaves it behind the object. See
    /// [`ObjectCheck::next_object`](super::check::ObjectCheck::next_object).
    pub(super) fn event(
        &mut self,
        values: &mut ValueCheck,
        scanner: &mut Scanner<'_>,
        columns: &mut [Column],
    ) -> Result<(), Flaw> {
        let Self { event, seen, filled, name, spare } = self;
        filled.fill(false);
        Walk { values, columns: &mut *columns, scanner, seen, filled, name, spare }.object(event, 1)?;
        let unfilled = columns.iter_mut().zip(filled.iter()).filter(|(_, filled)| !**filled);
        unfilled.for_each(|(column, _)| column.push_null());
        Ok(())
    }
}

impl Object {
    fn new(shape: &ObjectShape, prefix: String, members: &mut usize) -> Self {
        let first = *members;
        *members += shape.members.len();
        let of_kind = |kinds: &Kinds, members: &mut usize| {
            kinds.kinds.iter().map(|(_, kind)| Self::new(kind, prefix.clone(), members)).collect()
        };
        let kinds = shape.kinds.as_ref().map(|kinds| (kinds.clone(), of_kind(kinds, members)));
        Self {
            kinds,
            members: shape.members.iter().map(|member| Field::new(member, members)).collect(),
            required: shape.members.iter().filter(|member| member.required).count(),
            closed: shape.closed,
            first,
            prefix,
        }
    }

    /// The member of a name, looked for from the one at `likely` on: members are left out more often than their order changes.
    fn named(&self, likely: usize, name: &[u8]) -> Option<usize> {
        let places = (likely..self.members.len()).chain(0..likely);
        places.into_iter().find(|at| self.members.get(*at).is_some_and(|member| member.name.as_bytes() == name))
    }

    fn missing(&self, seen: &[bool]) -> Flaw {
        let absent = self.members.iter().zip(seen).find(|(member, seen)| member.required && !**seen);
        let path = absent.map_or("", |(member, _)| member.path.as_str());
        Flaw::new(RejectReason::MissingField, format!("field \"{path}\" is required and missing"))
    }
}

impl Field {
    fn new(member: &Member, members: &mut usize) -> Self {
        let holds = match &member.value {
            MemberValue::Column { index, rule, written: None } => Holds::Value { rule: rule.clone(), column: *index },
            MemberValue::Column { index, rule, written: Some(written) } => {
                Holds::Written { written: *written, rule: rule.clone(), column: *index }
            }
            MemberValue::Object { shape, nullable, is_text } => {
                let object = Object::new(shape, format!("{}.", member.path), members);
                let nullable = *nullable;
                if *is_text { Holds::ObjectText { object, nullable } } else { Holds::Object { object, nullable } }
            }
        };
        Self {
            key: Key::new(&member.name),
            name: member.name.clone(),
            path: member.path.clone(),
            required: member.required,
            holds,
        }
    }
}

impl Walk<'_, '_> {
    /// Checks the object that the scanner is at, which is on level `depth` of the event.
    fn object(&mut self, object: &Object, depth: usize) -> Result<(), Flaw> {
        match &object.kinds {
            None => self.members(object, depth),
            Some((kinds, objects)) => match self.kind(kinds, depth)? {
                Some(kind) => self.object(objects.get(kind).unwrap_or(object), depth),
                None => self.members(object, depth),
            },
        }
    }

    /// The kind of the object that the scanner is at and stays at: its members are passed until one tells.
    fn kind(&mut self, kinds: &Kinds, depth: usize) -> Result<Option<usize>, Flaw> {
        let start = self.scanner.offset();
        self.scanner.expect(b'{', "an object")?;
        let mut ended = self.scanner.take(b'}');
        while !ended {
            let name = self.scanner.string()?;
            let tells = name.resolve(self.name) == kinds.by.as_bytes();
            self.scanner.expect(b':', "`:`")?;
            if tells {
                return self.kind_told(kinds, start, depth);
            }
            self.values.skip(self.scanner, depth)?;
            if !self.scanner.take(b',') {
                self.scanner.expect(b'}', "`,` or `}`")?;
                ended = true;
            }
        }
        if kinds.is_open {
            self.scanner.move_to(start);
            return Ok(None);
        }
        Err(Flaw::new(RejectReason::MissingField, format!("field \"{}\" is required and missing", kinds.path)))
    }

    /// The kind that the value tells which the scanner is at.
    fn kind_told(&mut self, kinds: &Kinds, start: usize, depth: usize) -> Result<Option<usize>, Flaw> {
        let first = self.scanner.peek();
        let value = self.scanner.offset();
        let kind = match first {
            Some(b'"') => kinds.of(self.scanner.string()?.resolve(self.name)),
            _ => None,
        };
        if kind.is_none() && !kinds.is_open {
            self.scanner.move_to(value);
            self.values.skip(self.scanner, depth)?;
            let reason = if first == Some(b'"') { RejectReason::Constraint } else { RejectReason::WrongType };
            return Err(Flaw::new(reason, kinds.unknown(&excerpt(self.scanner.since(value)))));
        }
        self.scanner.move_to(start);
        Ok(kind)
    }

    fn members(&mut self, object: &Object, depth: usize) -> Result<(), Flaw> {
        if let Some(seen) = self.seen.get_mut(object.first..object.first + object.members.len()) {
            seen.fill(false);
        }
        let mut missing = object.required;
        // Producers repeat the order of their fields: the next one is tried before the others are searched.
        let mut likely = 0;
        self.scanner.expect(b'{', "an object")?;
        let mut ended = self.scanner.take(b'}');
        while !ended {
            match self.next_member(object, likely)? {
                Some((at, field)) => {
                    match self.seen.get_mut(object.first + at) {
                        Some(seen) if !*seen => *seen = true,
                        _ => {
                            let detail = format!("field \"{}\" appears twice", field.path);
                            return Err(Flaw::new(RejectReason::DuplicateField, detail));
                        }
                    }
                    missing -= usize::from(field.required);
                    likely = at + 1;
                    self.member(field, depth)?;
                }
                None => self.values.skip(self.scanner, depth)?,
            }
            if !self.scanner.take(b',') {
                self.scanner.expect(b'}', "`,` or `}`")?;
                ended = true;
            }
        }
        if missing == 0 { Ok(()) } else { Err(object.missing(self.seen.get(object.first..).unwrap_or_default())) }
    }

    /// Passes the name of the next member; none when the contract does not have it.
    #[inline]
    fn next_member<'o>(&mut self, object: &'o Object, likely: usize) -> Result<Option<(usize, &'o Field)>, Flaw> {
        if let Some(field) = object.members.get(likely)
            && let Some(key) = &field.key
            && self.scanner.take_key(key)
        {
            return Ok(Some((likely, field)));
        }
        let name = self.scanner.string()?;
        self.scanner.expect(b':', "`:`")?;
        let name = name.resolve(self.name);
        let found = object.named(likely, name);
        if found.is_none() && object.closed {
            let detail = format!("field \"{}{}\" is not in the contract", object.prefix, excerpt(name));
            return Err(Flaw::new(RejectReason::UnknownField, detail));
        }
        Ok(found.and_then(|at| Some((at, object.members.get(at)?))))
    }

    /// Checks the value of a member of an object on level `depth`.
    #[inline]
    fn member(&mut self, field: &Field, depth: usize) -> Result<(), Flaw> {
        match &field.holds {
            Holds::Value { rule, column } => {
                if depth > 1 && matches!(rule.shape, Shape::List(_)) && self.scanner.peek() == Some(b'[') {
                    self.values.check_depth(depth + 1)?;
                }
                self.value(field, rule, *column)
            }
            Holds::Written { written, rule, column } => match self.scanner.peek() {
                Some(b'"') => self.number_text(field, (*written, rule), *column),
                Some(b'-' | b'0'..=b'9') if written.or_bare => self.value(field, rule, *column),
                Some(b'n') if rule.nullable => self.value(field, rule, *column),
                _ => Err(self.unfit(field, &written.expected(rule.nullable), depth)),
            },
            Holds::Object { object, nullable } => match self.scanner.peek() {
                Some(b'{') => {
                    self.values.check_depth(depth + 1)?;
                    self.object(object, depth + 1)
                }
                Some(b'n') if *nullable => Ok(self.scanner.literal("null")?),
                _ => Err(self.unfit(field, if *nullable { "an object or null" } else { "an object" }, depth)),
            },
            Holds::ObjectText { object, nullable } => match self.scanner.peek() {
                Some(b'"') => self.object_text(field, object, depth),
                Some(b'n') if *nullable => Ok(self.scanner.literal("null")?),
                _ => {
                    let or_null = if *nullable { " or null" } else { "" };
                    Err(self.unfit(field, &format!("a string that holds a JSON object{or_null}"), depth))
                }
            },
        }
    }

    #[inline]
    fn value(&mut self, field: &Field, rule: &ValueRule, column: usize) -> Result<(), Flaw> {
        let place = Place { field: &field.path, item: None };
        self.values.check(self.scanner, rule, place, self.columns.get_mut(column))?;
        self.fill(column);
        Ok(())
    }

    fn fill(&mut self, column: usize) {
        if let Some(filled) = self.filled.get_mut(column) {
            *filled = true;
        }
    }

    /// Takes a number out of a string.
    fn number_text(&mut self, field: &Field, rule: (Written, &ValueRule), column: usize) -> Result<(), Flaw> {
        let (written, rule) = rule;
        let text = self.scanner.string()?.resolve(self.name);
        match written.append(text, self.columns.get_mut(column)) {
            Ok(()) => {
                if let Some(filled) = self.filled.get_mut(column) {
                    *filled = true;
                }
                Ok(())
            }
            Err(reason) => {
                let (expected, got) = (written.expected(rule.nullable), excerpt(text));
                Err(Flaw::new(reason, format!("field \"{}\": expected {expected}, got \"{got}\"", field.path)))
            }
        }
    }

    /// Checks the object whose JSON a string holds.
    fn object_text(&mut self, field: &Field, object: &Object, depth: usize) -> Result<(), Flaw> {
        self.values.check_depth(depth + 1)?;
        let text = self.scanner.string()?;
        let mut space = self.spare.pop().unwrap_or_default();
        let mut scanner = Scanner::new(text.resolve(&mut space));
        let mut inside = Walk {
            values: &mut *self.values,
            columns: &mut *self.columns,
            scanner: &mut scanner,
            seen: &mut *self.seen,
            filled: &mut *self.filled,
            name: &mut *self.name,
            spare: &mut *self.spare,
        };
        let outcome = inside.whole_object(object, depth + 1);
        self.spare.push(space);
        outcome.map_err(|flaw| match flaw.reason {
            // The event itself is JSON.
            RejectReason::InvalidJson => {
                let detail = format!("field \"{}\": no JSON object in the string: {}", field.path, flaw.detail);
                Flaw::new(RejectReason::WrongType, detail)
            }
            _ => flaw,
        })
    }

    /// Checks the one object that there is.
    fn whole_object(&mut self, object: &Object, depth: usize) -> Result<(), Flaw> {
        self.object(object, depth)?;
        match self.scanner.peek() {
            None => Ok(()),
            Some(_) => Err(self.scanner.error("the end of the object").into()),
        }
    }

    /// That something else than what is expected stands here.
    #[cold]
    fn unfit(&mut self, field: &Field, expected: &str, depth: usize) -> Flaw {
        self.scanner.peek();
        let start = self.scanner.offset();
        if let Err(flaw) = self.values.skip(self.scanner, depth) {
            return flaw;
        }
        let got = excerpt(self.scanner.since(start));
        Flaw::new(RejectReason::WrongType, format!("field \"{}\": expected {expected}, got {got}", field.path))
    }
}
