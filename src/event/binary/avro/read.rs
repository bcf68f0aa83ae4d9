//! One record of Avro's binary encoding, written as a JSON object.

use super::plan::{FieldPlan, Records, Step};
use super::schema::{Field, Meaning, Schema, Type, Unit};
use super::wire::broken;
use crate::event::binary::json_text;
use crate::event::binary::wanted::Form;
use crate::event::instant;
use crate::event::reject::{Flaw, RejectReason};

/// Levels of types in each other that are followed.
const DEEPEST: usize = 64;

/// The bytes of a message while they are read.
pub(super) struct Reader<'r> {
    pub(super) schema: &'r Schema,
    pub(super) bytes: &'r [u8],
    /// Whether times without a zone are of one that the stream has; else they are of UTC.
    pub(super) has_zone: bool,
    pub(super) out: &'r mut Vec<u8>,
    pub(super) depth: usize,
    pub(super) empty_items: usize,
}

/// How a value is wanted.
#[derive(Clone, Copy)]
enum Wish<'p> {
    Form(Form),
    Object(&'p Records),
}

/// Whether there is a value. Nothing is written for a null.
#[derive(PartialEq, Eq)]
enum Wrote {
    Value,
    Null,
}

impl<'r> Reader<'r> {
    /// Reads the event, which is all of the bytes.
    pub(super) fn event(&mut self, root: &'r Records) -> Result<(), Flaw> {
        if self.value(self.schema.root, Wish::Object(root))? == Wrote::Null {
            return Err(broken("expected a record, got null"));
        }
        match self.bytes.len() {
            0 => Ok(()),
            more => Err(broken(&format!("{more} bytes are left behind the record: it is of another schema"))),
        }
    }

    fn value(&mut self, of: usize, wish: Wish<'r>) -> Result<Wrote, Flaw> {
        let schema = self.schema;
        self.enter()?;
        let form = if let Wish::Form(form) = wish { form } else { Form::Natural };
        match schema.of(of) {
            Type::Null => {
                self.depth -= 1;
                return Ok(Wrote::Null);
            }
            Type::Boolean => {
                let value = self.boolean()?;
                json_text::boolean(value, self.out);
            }
            Type::Integer(meaning) => {
                let value = self.integer()?;
                self.write_integer(value, *meaning, form)?;
            }
            Type::Float => {
                let value = f64::from(f32::from_le_bytes(self.array()?));
                self.write_number(value)?;
            }
            Type::Double => {
                let value = f64::from_le_bytes(self.array()?);
                self.write_number(value)?;
            }
            Type::Bytes(meaning) => {
                let bytes = self.counted()?;
                self.write_bytes(bytes, *meaning, form)?;
            }
            Type::Text => {
                let bytes = self.counted()?;
                self.write_bytes(bytes, Meaning::Plain, form)?;
            }
            Type::Fixed(size, meaning) => {
                let bytes = self.take(*size)?;
                self.write_bytes(bytes, *meaning, form)?;
            }
            Type::Enum(symbols) => {
                let at = self.index("a symbol")?;
                let symbol = symbols.get(at).ok_or_else(|| broken(&format!("symbol {at} is not in the schema")))?;
                self.write_bytes(symbol.as_bytes(), Meaning::Plain, form)?;
            }
            Type::List(item) => self.list(*item, wish)?,
            Type::Map(values) => self.map(*values)?,
            Type::Union(branches) => {
                let branch = self.branch(branches)?;
                let wrote = self.value(branch, wish)?;
                self.depth -= 1;
                return Ok(wrote);
            }
            Type::Record(fields) => match wish {
                Wish::Object(records) => match records.fields(of) {
                    Some(plans) => self.record(plans)?,
                    None => return Err(broken("a record that the contract has no object for")),
                },
                Wish::Form(_) => self.whole_record(fields)?,
            },
        }
        self.depth -= 1;
        Ok(Wrote::Value)
    }

    fn record(&mut self, plans: &'r [FieldPlan]) -> Result<(), Flaw> {
        self.out.push(b'{');
        for plan in plans {
            let before = self.out.len();
            let wish = match &plan.step {
                Step::Skip => {
                    self.skip(plan.of).map_err(|flaw| flaw.in_field(&plan.key))?;
                    continue;
                }
                Step::Value { form, .. } => Wish::Form(*form),
                Step::Object(records) => Wish::Object(records),
                Step::Anything => Wish::Form(Form::Natural),
            };
            json_text::comma(self.out);
            self.out.extend_from_slice(&plan.key);
            let wrote = self.value(plan.of, wish).map_err(|flaw| flaw.in_field(&plan.key))?;
            match (wrote, &plan.step) {
                (Wrote::Value, _) => {}
                (Wrote::Null, Step::Value { nullable: true, .. } | Step::Anything) => json_text::null(self.out),
                // What is null where the contract has no null is missing.
                (Wrote::Null, _) => self.out.truncate(before),
            }
        }
        self.out.push(b'}');
        Ok(())
    }

    /// A record of which everything is wanted.
    fn whole_record(&mut self, fields: &[Field]) -> Result<(), Flaw> {
        self.out.push(b'{');
        for field in fields {
            json_text::comma(self.out);
            json_text::text(field.name.as_bytes(), self.out).ok_or_else(|| broken("a name is not UTF-8"))?;
            self.out.push(b':');
            self.value_or_null(field.of, Wish::Form(Form::Natural))?;
        }
        self.out.push(b'}');
        Ok(())
    }

    fn value_or_null(&mut self, of: usize, wish: Wish<'r>) -> Result<(), Flaw> {
        if self.value(of, wish)? == Wrote::Null {
            json_text::null(self.out);
        }
        Ok(())
    }

    fn list(&mut self, item: usize, wish: Wish<'r>) -> Result<(), Flaw> {
        self.out.push(b'[');
        while let Some(count) = self.block()? {
            for _ in 0..count {
                let before = self.bytes.len();
                json_text::comma(self.out);
                self.value_or_null(item, wish)?;
                self.note_item(before)?;
            }
        }
        self.out.push(b']');
        Ok(())
    }

    fn map(&mut self, values: usize) -> Result<(), Flaw> {
        self.out.push(b'{');
        while let Some(count) = self.block()? {
            for _ in 0..count {
                json_text::comma(self.out);
                let key = self.counted()?;
                json_text::text(key, self.out).ok_or_else(|| broken("a key is not UTF-8"))?;
                self.out.push(b':');
                self.value_or_null(values, Wish::Form(Form::Natural))?;
            }
        }
        self.out.push(b'}');
        Ok(())
    }

    /// Goes a level down in the types.
    fn enter(&mut self) -> Result<(), Flaw> {
        self.depth += 1;
        if self.depth > DEEPEST {
            let told = format!("expected at most {DEEPEST} levels of types, got more");
            return Err(Flaw::new(RejectReason::TooDeep, told));
        }
        Ok(())
    }

    /// Passes a value that nobody wants.
    fn skip(&mut self, of: usize) -> Result<(), Flaw> {
        let schema = self.schema;
        self.enter()?;
        match schema.of(of) {
            Type::Null => {}
            Type::Boolean => drop(self.boolean()?),
            Type::Integer(_) | Type::Enum(_) => drop(self.integer()?),
            Type::Float => drop(self.take(4)?),
            Type::Double => drop(self.take(8)?),
            Type::Bytes(_) | Type::Text => drop(self.counted()?),
            Type::Fixed(size, _) => drop(self.take(*size)?),
            Type::List(item) => {
                while let Some(count) = self.block()? {
                    for _ in 0..count {
                        let before = self.bytes.len();
                        self.skip(*item)?;
                        self.note_item(before)?;
                    }
                }
            }
            Type::Map(values) => {
                while let Some(count) = self.block()? {
                    for _ in 0..count {
                        self.counted()?;
                        self.skip(*values)?;
                    }
                }
            }
            Type::Union(branches) => {
                let branch = self.branch(branches)?;
                self.skip(branch)?;
            }
            Type::Record(fields) => {
                for field in fields {
                    self.skip(field.of)?;
                }
            }
        }
        self.depth -= 1;
        Ok(())
    }

    fn write_integer(&mut self, value: i64, meaning: Meaning, form: Form) -> Result<(), Flaw> {
        let zone = if self.has_zone { "" } else { "Z" };
        let (micros, zone) = match (meaning, form) {
            (Meaning::Date, Form::Natural) => (value.checked_mul(86_400_000_000), zone),
            (Meaning::Instant(unit), Form::Natural) => (unit.micros(value)?, "Z"),
            (Meaning::Local(unit), Form::Natural) => (unit.micros(value)?, zone),
            (_, Form::Text) => {
                self.out.push(b'"');
                json_text::integer(i128::from(value), self.out);
                self.out.push(b'"');
                return Ok(());
            }
            _ => {
                json_text::integer(i128::from(value), self.out);
                return Ok(());
            }
        };
        let micros = micros.ok_or_else(|| Flaw::new(RejectReason::TimeOutOfBounds, format!("{value} is no time")))?;
        self.out.push(b'"');
        instant::write(micros, zone, self.out);
        self.out.push(b'"');
        Ok(())
    }

    fn write_number(&mut self, value: f64) -> Result<(), Flaw> {
        let finite = json_text::number(value, self.out);
        finite.ok_or_else(|| Flaw::new(RejectReason::NotFinite, format!("expected a finite number, got {value}")))
    }

    fn write_bytes(&mut self, bytes: &[u8], meaning: Meaning, form: Form) -> Result<(), Flaw> {
        match meaning {
            Meaning::Decimal(scale) => {
                let unscaled = unscaled(bytes)?;
                let quote = if form == Form::Text { &b"\""[..] } else { b"" };
                self.out.extend_from_slice(quote);
                json_text::decimal(unscaled, scale, self.out);
                self.out.extend_from_slice(quote);
            }
            Meaning::Uuid => {
                self.out.push(b'"');
                for (at, byte) in bytes.iter().enumerate() {
                    if matches!(at, 4 | 6 | 8 | 10) {
                        self.out.push(b'-');
                    }
                    let digit = |nibble: u8| if nibble < 10 { b'0' + nibble } else { b'a' + nibble - 10 };
                    self.out.extend_from_slice(&[digit(byte >> 4), digit(byte & 15)]);
                }
                self.out.push(b'"');
            }
            _ => {
                let not_text = || Flaw::new(RejectReason::WrongType, "expected a string, got bytes that are not UTF-8");
                json_text::text(bytes, self.out).ok_or_else(not_text)?;
            }
        }
        Ok(())
    }
}

impl Unit {
    /// So many as microseconds, if there is room for them.
    fn micros(self, value: i64) -> Result<Option<i64>, Flaw> {
        match self {
            Self::Milliseconds => Ok(value.checked_mul(1_000)),
            Self::Microseconds => Ok(Some(value)),
            Self::Nanoseconds if value % 1_000 == 0 => Ok(Some(value / 1_000)),
            Self::Nanoseconds => {
                let detail = format!("expected a time, got {value} nanoseconds, which whole microseconds can't hold");
                Err(Flaw::new(RejectReason::WrongType, detail))
            }
        }
    }
}

/// The integer that bytes write in two's complement, the highest first.
fn unscaled(bytes: &[u8]) -> Result<i128, Flaw> {
    if bytes.len() > 16 {
        let detail = format!("expected a decimal of at most 16 bytes, got {}", bytes.len());
        return Err(Flaw::new(RejectReason::TooLarge, detail));
    }
    let negative = bytes.first().is_some_and(|byte| *byte >= 0x80);
    Ok(bytes.iter().fold(if negative { -1 } else { 0 }, |value, byte| (value << 8) | i128::from(*byte)))
}
