//! The types of a vector's columns: decided by the inputs of the model that they go into.
//!
//! ```text
//!   column ╲ input   float32    float64    float16    int64, int32, bool    string
//!   id               float32    int64      int64      int64
//!   other whole      float32    int64      float32    int64
//!   other number     float32    float64    float32    float32
//!   list of whole    int64      int64      int64      int64
//!   other list       float32    float64    float32    float32
//!   text                                                                     text
//!
//!   where NULL is to be NaN      float64 for float64, float32 for other floats
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
use crate::feature::{ColumnForm, IfNull, Inputs, Kind, VectorColumn};

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
    let mut typed = Vec::with_capacity(columns.len());
    for (number, column) in columns.iter().enumerate() {
        let (element, width) = way(number);
        check_missing(column, element).map_err(|reason| does_not_fit(reason, &signature, &names))?;
        let is_position = position == Some(column.name.as_str());
        let kind = if is_position { Kind::Float32 } else { kind(column, element) };
        typed.push((column.name.clone(), kind, matches!(column.form, ColumnForm::List { .. }).then_some(width)));
    }
    Ok(Inputs::of(typed))
}

/// Refuses a column that is to be NaN where its input has none, or can't tell ids apart.
fn check_missing(column: &VectorColumn, element: ElementType) -> Result<(), String> {
    let VectorColumn { name, is_id, if_null, .. } = column;
    match element {
        _ if *if_null != (IfNull::Nan { is_needed: true }) => Ok(()),
        ElementType::Float32 | ElementType::Float64 => Ok(()),
        ElementType::Float16 if !is_id => Ok(()),
        ElementType::Float16 => Err(format!(
            "column {name:?} is an id that may be missing, and its input is float16, which holds whole numbers up to 2048: export \
             it as float64"
        )),
        _ => Err(format!(
            "column {name:?} is NaN where it is NULL (missing under [model]), and its input is {element}, which has no NaN: write \
             coalesce(...) in vector.sql and take the column out of missing, or export the input as float32"
        )),
    }
}

fn kind(column: &VectorColumn, element: ElementType) -> Kind {
    let takes_nan = column.if_null.is_nan();
    match (column.form, element) {
        (ColumnForm::Text, _) => Kind::Text,
        (ColumnForm::Number { .. }, ElementType::Float64) if takes_nan => Kind::Float64,
        (ColumnForm::Number { .. }, ElementType::Float16) if takes_nan || !column.is_id => Kind::Float32,
        (ColumnForm::Number { is_whole: true }, ElementType::Float32) => Kind::Float32,
        (ColumnForm::Number { is_whole: true } | ColumnForm::List { is_whole: true }, _) => Kind::Int64,
        (_, ElementType::Float64) => Kind::Float64,
        _ => Kind::Float32,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::onnx::{
        Dimension::{Fixed, Named},
        GraphBuilder,
        proto::data_type::{DOUBLE, FLOAT, FLOAT16, INT64},
    };

    /// The type that a whole column `user` gets in an input of this type.
    fn kind(element: i32, is_id: bool, if_null: IfNull) -> Result<Kind, String> {
        let mut graph = GraphBuilder::new("layout");
        graph.input("user", element, &[Named("batch"), Fixed(1)]);
        graph.node("Identity", &["user"], "score");
        graph.output("score", element, &[Named("batch"), Fixed(1)]);
        let form = ColumnForm::Number { is_whole: true };
        let column = VectorColumn { name: "user".to_owned(), form, is_id, if_null };
        let inputs = lay_out(&Document::new(graph.finish()).write(), &[column], None);
        inputs.map(|inputs| inputs.place(0).unwrap().kind).map_err(|error| error.to_string())
    }

    #[test]
    fn a_column_that_may_be_missing_is_of_floats() {
        let nan = IfNull::Nan { is_needed: true };
        assert_eq!((kind(FLOAT, true, nan), kind(DOUBLE, true, nan)), (Ok(Kind::Float32), Ok(Kind::Float64)));
        assert_eq!(
            (kind(FLOAT16, false, nan), kind(DOUBLE, true, IfNull::Refused)),
            (Ok(Kind::Float32), Ok(Kind::Int64))
        );
        // Where all columns may be missing, one that never is can be whole.
        assert_eq!(kind(INT64, true, IfNull::Nan { is_needed: false }), Ok(Kind::Int64));
        insta::assert_snapshot!(kind(INT64, false, nan).unwrap_err(), @r#"the model does not fit the vector: column "user" is NaN where it is NULL (missing under [model]), and its input is int64, which has no NaN: write coalesce(...) in vector.sql and take the column out of missing, or export the input as float32; the vector gives 1 columns (user); the model wants user int64 [?, 1]"#);
        let refused = kind(FLOAT16, true, nan).unwrap_err();
        assert!(refused.contains("which holds whole numbers up to 2048: export it as float64"), "{refused}");
    }
}
