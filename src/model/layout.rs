//! The types of a vector's columns: decided by the inputs of the model that they go into.
//!
//! ```text
//!   column ╲ input   float32    float64    int64, int32, bool    string
//!   whole number     float32    int64      int64
//!   other number     float32    float64    float32
//!   list of whole    int64      int64      int64
//!   other list       float32    float64    float32
//!   text                                                          text
//! ```
//!
//! What is whole stays whole as far as a float32 does not ask for its nearest number, as counts do. An id in there is refused
//! row by row where float32 does not hold it.

use super::{
    ModelError, Signature,
    fit::{does_not_fit, same_columns},
    onnx::Document,
    route::{Column, Gives, find},
    signature::ElementType,
};
use crate::feature::{ColumnForm, Inputs, Kind, VectorColumn};

/// The types of columns for a model file. The column `position`, if any, is written by the label join and stays a float32.
///
/// # Errors
/// When the bytes are no ONNX model, or its inputs do not take these columns.
pub(crate) fn lay_out(bytes: &[u8], columns: &[VectorColumn], position: Option<&str>) -> Result<Inputs, ModelError> {
    let document = Document::read(bytes)?;
    let signature = Signature::of(document.graph())?;
    let names: Vec<String> = columns.iter().map(|column| column.name.clone()).collect();
    let routes = find(&signature.inputs, &Column::asked(columns))
        .and_then(|routes| same_columns(&routes, &document.metadata(), &names).map(|()| routes))
        .map_err(|reason| does_not_fit(reason, &signature, &names))?;
    let way = |column: usize| {
        let parts = routes.iter().flat_map(|route| route.parts.iter().map(move |part| (route.element, part)));
        let mut parts = parts.filter(|(_, part)| part.column == column && part.gives == Gives::Values);
        parts.next().map_or((ElementType::Float32, 1), |(element, part)| (element, part.width))
    };
    let typed = columns.iter().enumerate().map(|(number, column)| {
        let (element, width) = way(number);
        let is_position = position == Some(column.name.as_str());
        let kind = if is_position { Kind::Float32 } else { kind(column.form, element) };
        (column.name.clone(), kind, matches!(column.form, ColumnForm::List { .. }).then_some(width))
    });
    Ok(Inputs::of(typed))
}

fn kind(form: ColumnForm, element: ElementType) -> Kind {
    match (form, element) {
        (ColumnForm::Text, _) => Kind::Text,
        (ColumnForm::Number { is_whole: true }, ElementType::Float32) => Kind::Float32,
        (ColumnForm::Number { is_whole: true } | ColumnForm::List { is_whole: true }, _) => Kind::Int64,
        (_, ElementType::Float64) => Kind::Float64,
        _ => Kind::Float32,
    }
}
