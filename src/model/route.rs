//! Which columns of a vector go into which input of a model: by name, and what has no input of its own into the one that is left.
//!
//! ```text
//!   vector               model
//!   user_id  ──────────▶ user_id      int64   [batch]        an input of the column's name: float32, float64, float16, int64,
//!   recent   ──────────▶ recent       int64   [batch, 20]    int32, bool, and string for a text; a list is padded with zeros
//!      └───────────────▶ recent_mask  bool    [batch, 20]    1 where a list has a value (`_length`: how many it has)
//!   price, views  ─────▶ dense        float32 [batch, 2]     the columns without an input of their own, in their order
//! ```

use super::signature::{ElementType, TensorSpec};
use crate::feature::{ColumnForm, Inputs, Kind, VectorColumn};

/// What ends the name of an input that says which values of a list there are.
const MASK: &str = "_mask";
/// What ends the name of an input that says how many values a list has.
const LENGTH: &str = "_length";
/// Values of the longest list.
const MOST_VALUES: u64 = 65_536;

/// A column as far as it says into which inputs it can go.
#[derive(Debug, Clone, Copy)]
pub(super) struct Column<'a> {
    pub(super) name: &'a str,
    pub(super) form: Form,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Number,
    Text,
    /// With the most values that it has, where that is known.
    List(Option<usize>),
}

/// The way into one input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Route {
    pub(super) input: String,
    pub(super) element: ElementType,
    /// What stands side by side in it.
    pub(super) parts: Vec<Part>,
    /// Whether it is `[batch]` and not `[batch, width]`.
    pub(super) is_flat: bool,
}

/// What one column gives an input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Part {
    /// Which column of the vector, from 0.
    pub(super) column: usize,
    pub(super) gives: Gives,
    /// How many numbers.
    pub(super) width: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Gives {
    Values,
    Mask,
    Length,
}

impl<'a> Column<'a> {
    /// The columns of a vector whose types are known: numbers, unless `inputs` says otherwise.
    pub(super) fn of(names: &'a [String], inputs: &Inputs) -> Vec<Self> {
        let form = |column: usize| match inputs.place(column) {
            Some(place) if place.most.is_some() => Form::List(place.most),
            Some(place) if place.kind == Kind::Text => Form::Text,
            _ => Form::Number,
        };
        names.iter().enumerate().map(|(column, name)| Self { name, form: form(column) }).collect()
    }

    /// The columns of a select list, whose types are to be decided.
    pub(super) fn asked(columns: &'a [VectorColumn]) -> Vec<Self> {
        let form = |column: &VectorColumn| match column.form {
            ColumnForm::Number { .. } => Form::Number,
            ColumnForm::Text => Form::Text,
            ColumnForm::List { .. } => Form::List(None),
        };
        columns.iter().map(|column| Self { name: &column.name, form: form(column) }).collect()
    }
}

/// The way of every column into every input, in the order of the inputs, or why there is none.
pub(super) fn find(inputs: &[TensorSpec], columns: &[Column<'_>]) -> Result<Vec<Route>, String> {
    let place = |name: &str| columns.iter().position(|column| column.name == name);
    // A single input takes them all, unless it is the one column of the vector by name.
    if let [input] = inputs
        && !matches!(columns, [column] if column.name == input.name)
    {
        let all: Vec<usize> = (0..columns.len()).collect();
        return Ok(vec![block(input, columns, &all)?]);
    }
    let has_input = |column: &Column<'_>| inputs.iter().any(|input| input.name == column.name);
    let left: Vec<usize> = (0..columns.len()).filter(|column| !has_input(&columns[*column])).collect();
    let is_of_list = |input: &TensorSpec| list_of(input, columns).is_some();
    let is_open = |input: &&TensorSpec| place(&input.name).is_none() && !is_of_list(input) && may_be_block(input);
    let mut open = inputs.iter().filter(is_open);
    let taking = match (open.next(), open.next()) {
        (Some(one), Some(other)) => {
            return Err(format!(
                "inputs {:?} and {:?} have no columns of their names: only one can take the columns that have no input of \
                 their own",
                one.name, other.name
            ));
        }
        (taking, _) => taking.filter(|_| !left.is_empty()),
    };
    if let (None, Some(unused)) = (taking, left.first()) {
        return Err(format!("column {:?} has no input", columns[*unused].name));
    }
    let mut routes = Vec::with_capacity(inputs.len());
    for input in inputs {
        if let Some(column) = place(&input.name) {
            routes.push(own(input, columns[column], column)?);
        } else if taking.is_some_and(|taking| taking.name == input.name) {
            routes.push(block(input, columns, &left)?);
        }
    }
    // Lists have their lengths now.
    let mut all = Vec::with_capacity(inputs.len());
    for input in inputs {
        match routes.iter().find(|route| route.input == input.name) {
            Some(route) => all.push(route.clone()),
            None => all.push(about_list(input, columns, &routes)?),
        }
    }
    Ok(all)
}

/// An input of a column's own.
fn own(input: &TensorSpec, column: Column<'_>, number: usize) -> Result<Route, String> {
    let name = &input.name;
    let (wanted, takes) = match column.form {
        Form::Text => ("string", input.element == ElementType::Text),
        Form::Number => (
            "float32, float64, float16, int64, int32 or bool",
            is_number(input.element) || input.element == ElementType::Bool,
        ),
        Form::List(_) => ("float32, float64, float16, int64 or int32", is_number(input.element)),
    };
    if !takes {
        return Err(format!("input {name:?} is {}, not {wanted}", input.element));
    }
    let (width, is_flat) = match (column.form, input.dims.as_deref()) {
        (Form::List(most), Some([_, Some(length)])) => (list_width(name, most, *length)?, false),
        (Form::List(_), Some([_, None])) => {
            return Err(format!(
                "input {name:?} has no fixed length: export it with the most values that a list has, [batch, 20] for example"
            ));
        }
        (Form::List(_), _) => {
            return Err(format!("input {name:?} is not of shape [batch, length], column {name:?} is a list"));
        }
        (_, Some([_])) => (1, true),
        (_, Some([_, Some(1) | None])) => (1, false),
        _ => return Err(format!("input {name:?} is not of shape [batch] or [batch, 1]")),
    };
    let parts = vec![Part { column: number, gives: Gives::Values, width }];
    Ok(Route { input: name.clone(), element: input.element, parts, is_flat })
}

fn list_width(input: &str, most: Option<usize>, length: u64) -> Result<usize, String> {
    match most {
        Some(most) if most as u64 != length => {
            Err(format!("input {input:?} takes lists of {length} values, those of the vector have {most}"))
        }
        _ if (1..=MOST_VALUES).contains(&length) => Ok(length as usize),
        _ => Err(format!("input {input:?} takes lists of {length} values: 1 to {MOST_VALUES} are possible")),
    }
}

/// The input that takes these columns side by side.
fn block(input: &TensorSpec, columns: &[Column<'_>], taken: &[usize]) -> Result<Route, String> {
    let name = &input.name;
    if !is_number(input.element) {
        return Err(format!("input {name:?} is {}, not float32, float64, float16, int64 or int32", input.element));
    }
    let taken: Vec<(usize, Column<'_>)> =
        taken.iter().filter_map(|column| Some((*column, *columns.get(*column)?))).collect();
    if let Some((_, text)) = taken.iter().find(|(_, column)| column.form == Form::Text) {
        return Err(format!("input {name:?} is {}, column {:?} is a text", input.element, text.name));
    }
    let has_all = taken.len() == columns.len();
    let width = match input.dims.as_deref() {
        Some([_, width]) => *width,
        _ if has_all => return Err(format!("input {name:?} is not of shape [batch, {}]", columns.len())),
        _ => return Err(format!("input {name:?} is not of shape [batch, columns]")),
    };
    // One list takes what the others leave.
    let known = taken.iter().map(|(_, column)| match column.form {
        Form::List(most) => most,
        _ => Some(1),
    });
    let fixed: usize = known.clone().flatten().sum();
    let unknown = known.clone().filter(Option::is_none).count();
    let rest = width.and_then(|width| usize::try_from(width).ok()?.checked_sub(fixed)).filter(|rest| *rest > 0);
    let list = match (unknown, rest) {
        (0, _) => 0,
        (1, Some(rest)) if rest as u64 <= MOST_VALUES => rest,
        _ => {
            return Err(format!(
                "input {name:?} leaves the length of a list open: give each list an input of its own, of its name and with \
                 shape [batch, length]"
            ));
        }
    };
    let parts: Vec<Part> = taken
        .iter()
        .zip(known)
        .map(|((column, _), known)| Part { column: *column, gives: Gives::Values, width: known.unwrap_or(list) })
        .collect();
    let found = parts.iter().map(|part| part.width as u64).sum::<u64>();
    match width {
        // A width that is free is tried when the model is first run.
        Some(width) if width != found && has_all => return Err(format!("input {name:?} is {width} wide")),
        Some(width) if width != found => {
            let names: Vec<&str> = taken.iter().map(|(_, column)| column.name).collect();
            return Err(format!(
                "input {name:?} is {width} wide, the columns that have no input of their own ({}) are {found}",
                names.join(", ")
            ));
        }
        _ => {}
    }
    Ok(Route { input: name.clone(), element: input.element, parts, is_flat: false })
}

/// An input that is about a list: its mask or its length.
fn about_list(input: &TensorSpec, columns: &[Column<'_>], routes: &[Route]) -> Result<Route, String> {
    let name = &input.name;
    let (column, gives) = list_of(input, columns).ok_or_else(|| format!("input {name:?} has no column"))?;
    let mut values = routes.iter().flat_map(|route| &route.parts);
    let length = values.find(|part| part.column == column).map_or(0, |part| part.width);
    let takes = match gives {
        Gives::Mask => is_number(input.element) || input.element == ElementType::Bool,
        _ => is_number(input.element),
    };
    if !takes {
        return Err(format!("input {name:?} is {}, not a number", input.element));
    }
    let (width, is_flat) = match (gives, input.dims.as_deref()) {
        (Gives::Mask, Some([_, Some(width)])) if *width == length as u64 => (length, false),
        (Gives::Mask, Some([_, None])) => (length, false),
        (Gives::Length, Some([_])) => (1, true),
        (Gives::Length, Some([_, Some(1) | None])) => (1, false),
        (Gives::Mask, _) => return Err(format!("input {name:?} is not of shape [batch, {length}]")),
        _ => return Err(format!("input {name:?} is not of shape [batch] or [batch, 1]")),
    };
    Ok(Route { input: name.clone(), element: input.element, parts: vec![Part { column, gives, width }], is_flat })
}

/// The list that an input is about, by its name.
fn list_of(input: &TensorSpec, columns: &[Column<'_>]) -> Option<(usize, Gives)> {
    let (list, gives) = match (input.name.strip_suffix(MASK), input.name.strip_suffix(LENGTH)) {
        (Some(list), _) => (list, Gives::Mask),
        (None, Some(list)) => (list, Gives::Length),
        (None, None) => return None,
    };
    let is_list = |column: &Column<'_>| column.name == list && matches!(column.form, Form::List(_));
    Some((columns.iter().position(is_list)?, gives))
}

/// Whether several columns can go into an input: one that is one wide is a column's own.
fn may_be_block(input: &TensorSpec) -> bool {
    matches!(input.dims.as_deref(), Some([_, width]) if *width != Some(1))
}

fn is_number(element: ElementType) -> bool {
    use ElementType::{Float16, Float32, Float64, Int32, Int64};
    matches!(element, Float32 | Float64 | Float16 | Int64 | Int32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ElementType::{Bool, Float32, Float64, Int64, Text};

    fn input(name: &str, element: ElementType, dims: &[Option<u64>]) -> TensorSpec {
        TensorSpec { name: name.to_owned(), element, dims: Some(dims.to_vec()) }
    }

    type Way = (String, Vec<(usize, usize)>);

    /// The ways of numbers a to d, the list `recent` and the text `device` into inputs: for each, its columns and widths.
    fn ways(inputs: &[TensorSpec], list: Option<usize>) -> Result<Vec<Way>, String> {
        let forms = [("a", Form::Number), ("b", Form::Number), ("recent", Form::List(list)), ("device", Form::Text)];
        let columns = forms.map(|(name, form)| Column { name, form });
        let routes = find(inputs, &columns)?.into_iter();
        let parts = |route: &Route| route.parts.iter().map(|part| (part.column, part.width)).collect();
        Ok(routes.map(|route| (route.input.clone(), parts(&route))).collect())
    }

    fn device() -> TensorSpec {
        input("device", Text, &[None])
    }

    #[test]
    fn columns_without_an_input_of_their_own_go_into_the_one_that_is_left_in_their_order() {
        let found =
            ways(&[device(), input("recent", Int64, &[None, Some(20)]), input("x", Float32, &[None, Some(2)])], None);
        let is = |name: &str, parts: &[(usize, usize)]| (name.to_owned(), parts.to_vec());
        assert_eq!(found.unwrap(), [is("device", &[(3, 1)]), is("recent", &[(2, 20)]), is("x", &[(0, 1), (1, 1)])]);
        let found = ways(&[input("x", Float64, &[None, Some(7)]), device()], None).unwrap();
        assert_eq!(found[0], is("x", &[(0, 1), (1, 1), (2, 5)]));
    }

    #[test]
    fn masks_and_lengths_follow_their_list() {
        let given = [
            input("recent_mask", Bool, &[None, Some(20)]),
            input("recent", Int64, &[None, Some(20)]),
            input("recent_length", Int64, &[None]),
            input("a", Float32, &[None]),
            input("b", Float32, &[None, Some(1)]),
            device(),
        ];
        let found = ways(&given, None).unwrap();
        assert_eq!((found[0].1.as_slice(), found[2].1.as_slice()), (&[(2, 20)][..], &[(2, 1)][..]));
        let mut other = given;
        other[0] = input("recent_mask", Bool, &[None, Some(19)]);
        assert_eq!(ways(&other, None).unwrap_err(), "input \"recent_mask\" is not of shape [batch, 20]");
    }

    #[test]
    fn what_does_not_go_together_is_refused_with_the_names() {
        let matrix = |width| input("x", Float32, &[None, Some(width)]);
        let list = |length| input("recent", Int64, &[None, length]);
        let refused = |inputs: &[TensorSpec], most| ways(inputs, most).unwrap_err();
        insta::assert_snapshot!(refused(&[matrix(4)], None), @r#"input "x" is float32, column "device" is a text"#);
        insta::assert_snapshot!(refused(&[matrix(3), list(Some(20)), device()], None), @r#"input "x" is 3 wide, the columns that have no input of their own (a, b) are 2"#);
        insta::assert_snapshot!(refused(&[matrix(2), list(None), device()], None), @r#"input "recent" has no fixed length: export it with the most values that a list has, [batch, 20] for example"#);
        insta::assert_snapshot!(refused(&[matrix(2), list(Some(20)), device()], Some(10)), @r#"input "recent" takes lists of 20 values, those of the vector have 10"#);
        insta::assert_snapshot!(refused(&[matrix(2), device()], None), @r#"input "x" leaves the length of a list open: give each list an input of its own, of its name and with shape [batch, length]"#);
        insta::assert_snapshot!(refused(&[matrix(2), input("y", Float32, &[None, Some(2)])], None), @r#"inputs "x" and "y" have no columns of their names: only one can take the columns that have no input of their own"#);
        let text = input("device", Float32, &[None]);
        insta::assert_snapshot!(refused(&[matrix(2), list(Some(20)), text], None), @r#"input "device" is float32, not string"#);
    }
}
