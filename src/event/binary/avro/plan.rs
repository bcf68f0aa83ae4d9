//! A schema beside a contract: for each field of each record whether it is written, and how.

use std::sync::Arc;

use super::schema::{Meaning, Schema, Type};
use crate::event::binary::wanted::{Form, Wanted};
use crate::event::contract::Contract;
use crate::event::rule::FieldType;

/// A schema of events that are to keep a contract.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) schema: Arc<Schema>,
    pub(super) root: Records,
}

/// The records that may stand at a place, by their types.
#[derive(Debug)]
pub(super) struct Records(Vec<(usize, Vec<FieldPlan>)>);

/// A field of a record.
#[derive(Debug)]
pub(super) struct FieldPlan {
    /// Its name as the key of a JSON object.
    pub(super) key: Vec<u8>,
    pub(super) of: usize,
    pub(super) step: Step,
}

/// What becomes of a field.
#[derive(Debug)]
pub(super) enum Step {
    Skip,
    Value { form: Form, nullable: bool },
    Object(Records),
    Anything,
}

impl Records {
    pub(super) fn fields(&self, of: usize) -> Option<&[FieldPlan]> {
        self.0.iter().find(|(known, _)| *known == of).map(|(_, fields)| fields.as_slice())
    }

    /// Whether each record has a field at the end of these names.
    fn have(&self, path: &[String]) -> bool {
        let Some((name, below)) = path.split_first() else { return true };
        self.0.iter().all(|(_, fields)| {
            fields.iter().any(|field| {
                field.key == crate::event::quoted(name)
                    && match &field.step {
                        Step::Object(records) => records.have(below),
                        _ => true,
                    }
            })
        })
    }
}

impl Plan {
    /// # Errors
    /// What the schema and the contract disagree on.
    pub(super) fn new(schema: &Arc<Schema>, contract: &Contract) -> Result<Self, String> {
        let root = records(schema, schema.root, contract, &mut Vec::new())?;
        if let Some(field) = contract.fields().iter().find(|field| field.is_required() && !root.have(field.path())) {
            return Err(format!(
                "the contract requires \"{}\", which the schema has no field for",
                field.path().join(".")
            ));
        }
        Ok(Self { schema: Arc::clone(schema), root })
    }
}

/// The records among the types that may stand at a place, which `path` leads to.
fn records(schema: &Schema, at: usize, contract: &Contract, path: &mut Vec<String>) -> Result<Records, String> {
    let alone = [at];
    let branches = if let Type::Union(branches) = schema.of(at) { branches.as_slice() } else { &alone };
    let mut found = Vec::new();
    for branch in branches {
        let Type::Record(declared) = schema.of(*branch) else { continue };
        let mut fields = Vec::with_capacity(declared.len());
        for field in declared {
            path.push(field.name.clone());
            let step = step(schema, field.of, contract, path)?;
            path.pop();
            fields.push(FieldPlan { key: crate::event::quoted(&field.name), of: field.of, step });
        }
        found.push((*branch, fields));
    }
    if found.is_empty() {
        return Err(format!("field \"{}\": the contract has an object, and the schema no record", path.join(".")));
    }
    Ok(Records(found))
}

fn step(schema: &Schema, of: usize, contract: &Contract, path: &mut Vec<String>) -> Result<Step, String> {
    match Wanted::at(contract, path) {
        Wanted::Nothing if contract.is_closed() && path.len() == 1 => {
            Err(format!("field \"{}\" is not in the contract, which allows no others", path.join(".")))
        }
        Wanted::Nothing => Ok(Step::Skip),
        Wanted::Anything => Ok(Step::Anything),
        Wanted::Object => Ok(Step::Object(records(schema, of, contract, path)?)),
        Wanted::Value(field) => {
            // What the contract wants to have written in a text is one here too.
            let wanted = if field.written().is_some() { FieldType::Text } else { field.field_type() };
            if !fits(schema, of, &wanted) {
                let name = path.join(".");
                return Err(format!("field \"{name}\" is of another type in the schema than the contract's {wanted}"));
            }
            Ok(Step::Value { form: Form::of(&wanted), nullable: field.is_nullable() })
        }
    }
}

/// Whether some values of a type can be of a contract's.
fn fits(schema: &Schema, of: usize, wanted: &FieldType) -> bool {
    let found = schema.of(of);
    if let Type::Union(branches) = found {
        return branches.iter().any(|branch| fits(schema, *branch, wanted));
    }
    match wanted {
        FieldType::Integer | FieldType::Number => matches!(
            found,
            Type::Integer(_)
                | Type::Float
                | Type::Double
                | Type::Bytes(Meaning::Decimal(_))
                | Type::Fixed(_, Meaning::Decimal(_))
        ),
        FieldType::Text => matches!(found, Type::Text | Type::Bytes(_) | Type::Fixed(..) | Type::Enum(_)),
        FieldType::DateTime => {
            matches!(found, Type::Text | Type::Integer(Meaning::Date | Meaning::Instant(_) | Meaning::Local(_)))
        }
        FieldType::Boolean => matches!(found, Type::Boolean),
        FieldType::List(wanted) => matches!(found, Type::List(item) if fits(schema, *item, wanted)),
    }
}
