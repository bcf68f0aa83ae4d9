//! Who was shown what, by which model: the last columns of a message, and back.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float32Array, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Float32Type, Int64Type};

use crate::learn::{Asked, Provenance};
use crate::model::ModelVersion;
use crate::score::Id;

/// The columns in their order.
const REQUEST: &str = "request_id";
const USER: &str = "user";
const ITEM: &str = "item";
const MODEL: &str = "model";
const PROPENSITY: &str = "propensity";

/// The columns of these rows, with their values.
pub(super) fn write(provenances: &[Provenance]) -> Vec<(Field, ArrayRef)> {
    let asked = || provenances.iter().map(|provenance| provenance.asked.as_deref());
    let requests = asked().map(|asked| asked?.request.as_deref()).collect::<StringArray>();
    let users = ids(asked().map(|asked| asked?.user.as_ref()).collect());
    let items = ids(provenances.iter().map(|provenance| provenance.item.as_ref()).collect());
    let models = asked().map(|asked| asked?.model.as_ref().map(ModelVersion::as_str)).collect::<StringArray>();
    let propensities = provenances.iter().map(|provenance| provenance.propensity).collect::<Float32Array>();
    let columns: [(&str, ArrayRef); 5] = [
        (REQUEST, Arc::new(requests)),
        (USER, users),
        (ITEM, items),
        (MODEL, Arc::new(models)),
        (PROPENSITY, Arc::new(propensities)),
    ];
    columns.into_iter().map(|(name, values)| (Field::new(name, values.data_type().clone(), true), values)).collect()
}

/// The columns of a message that has them, in the types that it has: ids are integers or texts.
pub(super) fn fields(batch: &RecordBatch) -> Vec<Field> {
    let id = |name: &str| match batch.column_by_name(name).map(Array::data_type) {
        Some(DataType::Int64) => DataType::Int64,
        _ => DataType::Utf8,
    };
    let columns = [
        (REQUEST, DataType::Utf8),
        (USER, id(USER)),
        (ITEM, id(ITEM)),
        (MODEL, DataType::Utf8),
        (PROPENSITY, DataType::Float32),
    ];
    columns.into_iter().map(|(name, data_type)| Field::new(name, data_type, true)).collect()
}

/// Where the rows of a batch are from whose [`fields`] are checked; nothing is known where it has none of them.
pub(super) fn read(batch: &RecordBatch) -> Vec<Provenance> {
    let text = |name: &str| batch.column_by_name(name).and_then(|column| column.as_string_opt::<i32>());
    let (requests, models) = (text(REQUEST), text(MODEL));
    let (users, items) = (batch.column_by_name(USER), batch.column_by_name(ITEM));
    let propensities = batch.column_by_name(PROPENSITY).and_then(|column| column.as_primitive_opt::<Float32Type>());
    let mut read: Vec<Provenance> = Vec::with_capacity(batch.num_rows());
    for row in 0..batch.num_rows() {
        let (request, model) = (text_at(requests, row), text_at(models, row));
        let user = users.and_then(|users| id(users, row));
        let before = read.last().and_then(|last| last.asked.as_ref());
        let is_same = |asked: &&Arc<Asked>| {
            asked.request.as_deref() == request
                && asked.user == user
                && asked.model.as_ref().map(ModelVersion::as_str) == model
        };
        let asked = match before.filter(is_same) {
            Some(asked) => Some(Arc::clone(asked)),
            None if request.is_none() && user.is_none() && model.is_none() => None,
            None => Some(Arc::new(Asked {
                request: request.map(Into::into),
                user,
                model: model.and_then(ModelVersion::parse),
            })),
        };
        read.push(Provenance {
            asked,
            item: items.and_then(|items| id(items, row)),
            propensity: propensities.filter(|shares| shares.is_valid(row)).map(|shares| shares.value(row)),
        });
    }
    read
}

fn text_at(texts: Option<&StringArray>, row: usize) -> Option<&str> {
    texts.filter(|texts| texts.is_valid(row)).map(|texts| texts.value(row))
}

/// Integers where all that are known are, texts otherwise: a column has one type.
fn ids(ids: Vec<Option<&Id>>) -> ArrayRef {
    if ids.iter().flatten().any(|id| matches!(id, Id::Whole(_))) {
        let whole = |id: Option<&Id>| match id {
            Some(Id::Whole(number)) => Some(*number),
            _ => None,
        };
        return Arc::new(ids.into_iter().map(whole).collect::<Int64Array>());
    }
    let text = |id: Option<&'_ Id>| match id {
        Some(Id::Text(text)) => Some(text.to_string()),
        _ => None,
    };
    Arc::new(ids.into_iter().map(text).collect::<StringArray>())
}

fn id(ids: &ArrayRef, row: usize) -> Option<Id> {
    if ids.is_null(row) {
        return None;
    }
    match ids.data_type() {
        DataType::Int64 => Some(Id::Whole(ids.as_primitive::<Int64Type>().value(row))),
        _ => ids.as_string_opt::<i32>().map(|texts| Id::Text(texts.value(row).into())),
    }
}
