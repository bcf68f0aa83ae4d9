//! Events in Avro's binary encoding, one record a message.
//!
//! | setting | the message |
//! |---|---|
//! | `record` | the record alone, of the one schema |
//! | `single_object` | `C3 01`, the fingerprint of its schema, the record |
//! | `confluent` | a zero byte, the four bytes of its schema's number in the registry, the record |
//!
//! A record becomes the JSON object that it would be, and is then an event like any other: it is held to the same contract,
//! which finds fields by their names and what it doesn't name is passed over. A null where the contract has no null is a field
//! that is missing. An enum is the text of its symbol, bytes and `fixed` are texts, a decimal its digits, a UUID its text; a
//! time is a text where the contract has a `date-time`, and the number that was sent where it has a number.
//!
//! **Why not by a library.** `arrow-avro` builds a batch of many records at once: one that is broken leaves the columns of all
//! others cut in different places, and what the contract refuses would have to be found again in columns. Here each event is
//! by itself, in buffers that are reused.
//!
//! **It does not** ask a registry, resolve a reader's schema, or read container files: which schemas there may be is set.

mod canonical;
mod plan;
mod read;
mod schema;
mod wire;

use std::fmt;
use std::sync::Arc;

use self::plan::Plan;
use self::read::Reader;
use self::schema::Schema;
use crate::event::contract::Contract;
use crate::event::reject::{Flaw, RejectReason};

/// How single-object encoding begins.
const SINGLE_OBJECT: [u8; 2] = [0xc3, 0x01];

/// A schema of records.
#[derive(Clone, PartialEq, Eq)]
pub struct AvroSchema(Arc<Schema>);

/// How messages say which schema they are of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AvroFraming {
    /// Not at all: there is one.
    Record(AvroSchema),
    /// By its fingerprint.
    SingleObject(Vec<AvroSchema>),
    /// By its number in a registry.
    Confluent(Vec<(u32, AvroSchema)>),
}

impl AvroSchema {
    /// Reads the text of a schema file.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        Schema::parse(text).map(|schema| Self(Arc::new(schema)))
    }
}

impl fmt::Debug for AvroSchema {
    /// What is said of one in fingerprints of streams.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0.fingerprint)
    }
}

/// Writes messages of a stream as JSON.
#[derive(Debug)]
pub(super) struct AvroReader {
    framing: Framing,
    has_zone: bool,
}

#[derive(Debug)]
enum Framing {
    Record(Plan),
    SingleObject(Vec<(u64, Plan)>),
    Confluent(Vec<(u32, Plan)>),
}

impl AvroReader {
    /// # Errors
    /// What a schema and the contract disagree on.
    pub(super) fn new(framing: &AvroFraming, contract: &Contract, has_zone: bool) -> Result<Self, String> {
        let plan = |schema: &AvroSchema| Plan::new(&schema.0, contract);
        let framing = match framing {
            AvroFraming::Record(schema) => Framing::Record(plan(schema)?),
            AvroFraming::SingleObject(schemas) => {
                let plans = schemas.iter().map(|schema| Ok((schema.0.fingerprint, plan(schema)?)));
                Framing::SingleObject(plans.collect::<Result<_, String>>()?)
            }
            AvroFraming::Confluent(schemas) => {
                let plans = schemas.iter().map(|(id, schema)| Ok((*id, plan(schema)?)));
                Framing::Confluent(plans.collect::<Result<_, String>>()?)
            }
        };
        Ok(Self { framing, has_zone })
    }

    /// Appends the event of a message as JSON.
    ///
    /// # Errors
    /// Why there is none; some of it may be there.
    pub(super) fn write(&self, message: &[u8], out: &mut Vec<u8>) -> Result<(), Flaw> {
        let (plan, bytes) = self.schema_of(message)?;
        let has_zone = self.has_zone;
        let mut reader = Reader { schema: &plan.schema, bytes, has_zone, out, depth: 0, empty_items: 0 };
        reader.event(&plan.root)
    }

    /// The schema that a message is of, and its record.
    fn schema_of<'m>(&self, message: &'m [u8]) -> Result<(&Plan, &'m [u8]), Flaw> {
        match &self.framing {
            Framing::Record(plan) => Ok((plan, message)),
            Framing::SingleObject(plans) => {
                let Some((print, record)) = message.strip_prefix(&SINGLE_OBJECT).and_then(<[u8]>::split_first_chunk)
                else {
                    return Err(unframed("c3 01 and a fingerprint, as in single-object encoding", message));
                };
                let print = u64::from_le_bytes(*print);
                let known = plans.iter().find(|(known, _)| *known == print).map(|(_, plan)| (plan, record));
                known.ok_or_else(|| other(&format!("fingerprint {print:016x} is that of no schema in `avro`")))
            }
            Framing::Confluent(plans) => {
                let Some((id, record)) = message.strip_prefix(&[0]).and_then(<[u8]>::split_first_chunk) else {
                    return Err(unframed("a zero byte and four of a schema's number", message));
                };
                let id = u32::from_be_bytes(*id);
                let known = plans.iter().find(|(known, _)| *known == id).map(|(_, plan)| (plan, record));
                known.ok_or_else(|| other(&format!("schema {id} is not in `avro`: add its file")))
            }
        }
    }
}

fn unframed(expected: &str, message: &[u8]) -> Flaw {
    let begins = message.get(..5).unwrap_or(message);
    other(&format!("expected {expected}, got {begins:02x?}"))
}

fn other(detail: &str) -> Flaw {
    Flaw::new(RejectReason::InvalidAvro, detail)
}

#[cfg(test)]
mod tests;
