//! Does a model fit a vector? A decision on declared names, types and shapes; nothing is run.
//!
//! How the columns find their inputs, `route.rs` says; which number is the score, `output.rs`; and what follows where the file fixes
//! the number of rows, `batches.rs`.

use std::collections::BTreeMap;

use super::{
    ModelError, ScoreOutput,
    batches::{FixedBatch, fixed_batch},
    changes::UNKNOWN_CHANGE,
    metadata,
    output::find_output,
    route::{Column, Gives, Route, find},
    signature::{ElementType, Signature, list},
};
use crate::feature::Inputs;

/// What a model is to be bound to.
#[derive(Debug, Clone, Copy)]
pub struct Binding<'a> {
    /// The vector's columns in order.
    pub columns: &'a [String],
    /// Their types; `None` where all are float32.
    pub inputs: Option<&'a Inputs>,
    /// The vector's fingerprint; a model that names another one is refused, a model that names none is not.
    pub fingerprint: Option<&'a str>,
    /// Where the score is; not needed when only one number per row can be it.
    pub output: Option<ScoreOutput<'a>>,
}

/// How the vector goes in and where the score comes out.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Fit {
    pub(super) routes: Vec<Route>,
    pub(super) output: String,
    /// Its type.
    pub(super) element: ElementType,
    /// The column of the output that is the score, where somebody has said so.
    pub(super) class: Option<usize>,
    /// How many rows the model takes, where that is not free.
    pub(super) batch: Option<FixedBatch>,
}

impl Binding<'_> {
    /// The types of the columns.
    pub(super) fn inputs(&self) -> Inputs {
        self.inputs.map_or_else(|| Inputs::from(self.columns.len()), Inputs::from)
    }
}

/// Decides how a model and a vector go together, or says with both shapes why they don't.
pub(super) fn decide(
    signature: &Signature,
    model_metadata: &BTreeMap<String, String>,
    binding: &Binding,
) -> Result<Fit, ModelError> {
    let routes = check_inputs(signature, model_metadata, binding.columns, &binding.inputs())?;
    let batch = fixed_batch(&signature.inputs).map_err(|reason| does_not_fit(reason, signature, binding.columns))?;
    let wanted = binding.output.unwrap_or_default();
    let (output, class) = find_output(signature, &wanted, batch.as_ref().map(|batch| batch.rows))
        .map_err(|reason| ModelError::OutputDoesNotFit { reason, model: list(&signature.outputs) })?;
    match (model_metadata.get(metadata::FINGERPRINT), binding.fingerprint) {
        (Some(model), Some(vector)) if model != vector => {
            let changed = UNKNOWN_CHANGE.to_owned();
            Err(ModelError::FingerprintDiffers { model: model.clone(), vector: vector.to_owned(), changed })
        }
        _ => Ok(Fit { routes, output: output.name.clone(), element: output.element, class, batch }),
    }
}

/// How a vector of these columns goes in.
pub(super) fn check_inputs(
    signature: &Signature,
    model_metadata: &BTreeMap<String, String>,
    columns: &[String],
    inputs: &Inputs,
) -> Result<Vec<Route>, ModelError> {
    find(&signature.inputs, &Column::of(columns, inputs))
        .and_then(|routes| same_columns(&routes, model_metadata, columns).map(|()| routes))
        .map_err(|reason| does_not_fit(reason, signature, columns))
}

/// The refusal of a model whose inputs do not take these columns.
pub(super) fn does_not_fit(reason: String, signature: &Signature, columns: &[String]) -> ModelError {
    ModelError::InputsDoNotFit {
        reason,
        vector: format!("{} columns ({})", columns.len(), columns.join(", ")),
        model: list(&signature.inputs),
    }
}

/// Refuses a matrix whose columns are not those that the model names in its metadata, in that order. Inputs of their own are
/// found by name, in any order, and are not among these.
pub(super) fn same_columns(
    routes: &[Route],
    model_metadata: &BTreeMap<String, String>,
    columns: &[String],
) -> Result<(), String> {
    let Some(named) = model_metadata.get(metadata::COLUMNS).filter(|named| !named.is_empty()) else { return Ok(()) };
    let names_of = |route: &Route| -> Vec<&str> {
        route.parts.iter().filter_map(|part| columns.get(part.column)).map(String::as_str).collect()
    };
    let is_block = |route: &&Route| {
        names_of(route) != [route.input.as_str()] && route.parts.iter().all(|part| part.gives == Gives::Values)
    };
    match routes.iter().find(is_block) {
        Some(route) if *named != names_of(route).join(",") => Err(format!(
            "the columns of input {:?} are ({}): vector.sql must select them in this order, under these names",
            route.input,
            named.replace(',', ", ")
        )),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{route::Part, signature::TensorSpec};

    fn spec(name: &str, element: ElementType, dims: &[Option<u64>]) -> TensorSpec {
        TensorSpec { name: name.to_owned(), element, dims: Some(dims.to_vec()) }
    }

    fn float(name: &str, dims: &[Option<u64>]) -> TensorSpec {
        spec(name, ElementType::Float32, dims)
    }

    /// A way of numbers into an input.
    fn route(input: &str, element: ElementType, columns: &[usize], is_flat: bool) -> Route {
        let parts = columns.iter().map(|column| Part { column: *column, gives: Gives::Values, width: 1 }).collect();
        Route { input: input.to_owned(), element, parts, is_flat }
    }

    /// Binds columns a and b.
    fn try_inputs(inputs: Vec<TensorSpec>) -> Result<Fit, ModelError> {
        let signature = Signature { inputs, outputs: vec![float("score", &[None, Some(1)])], ..Signature::default() };
        let columns = ["a".to_owned(), "b".to_owned()];
        decide(
            &signature,
            &BTreeMap::new(),
            &Binding { inputs: None, columns: &columns, fingerprint: None, output: None },
        )
    }

    #[test]
    fn one_matrix_as_wide_as_the_vector_fits() {
        // Also when the matrix happens to be called like a column.
        for (name, width) in [("x", Some(2)), ("x", None), ("b", Some(2))] {
            let fit = try_inputs(vec![float(name, &[None, width])]).unwrap();
            assert_eq!(fit.routes, [route(name, ElementType::Float32, &[0, 1], false)]);
        }
    }

    #[test]
    fn the_only_column_of_a_vector_fits_an_input_of_its_name() {
        let signature = Signature {
            inputs: vec![spec("a", ElementType::Int64, &[None])],
            outputs: vec![float("score", &[None])],
            ..Signature::default()
        };
        let columns = ["a".to_owned()];
        let binding = Binding { inputs: None, columns: &columns, fingerprint: None, output: None };
        let fit = decide(&signature, &BTreeMap::new(), &binding).unwrap();
        assert_eq!(fit.routes, [route("a", ElementType::Int64, &[0], true)]);
    }

    #[test]
    fn inputs_named_like_columns_fit_in_any_order() {
        let inputs = vec![float("b", &[None, Some(1)]), spec("a", ElementType::Int64, &[None])];
        let (b, a) = (route("b", ElementType::Float32, &[1], false), route("a", ElementType::Int64, &[0], true));
        assert_eq!(try_inputs(inputs).unwrap().routes, [b, a]);
    }

    #[test]
    fn a_matrix_of_another_width_is_refused_with_both_shapes() {
        insta::assert_snapshot!(
            try_inputs(vec![float("x", &[None, Some(3)])]).unwrap_err(),
            @r#"the model does not fit the vector: input "x" is 3 wide; the vector gives 2 columns (a, b); the model wants x float32 [?, 3]"#
        );
    }

    #[test]
    fn a_fixed_batch_is_told_with_its_input() {
        let fit = try_inputs(vec![float("x", &[Some(1), Some(2)])]).unwrap();
        assert_eq!(fit.batch, Some(FixedBatch { input: "x".to_owned(), rows: 1 }));
        assert_eq!(fit.routes, [route("x", ElementType::Float32, &[0, 1], false)]);
        assert_eq!(try_inputs(vec![float("x", &[None, Some(2)])]).unwrap().batch, None);
    }

    #[test]
    fn an_input_without_a_column_and_a_column_without_an_input_are_refused() {
        insta::assert_snapshot!(
            try_inputs(vec![float("a", &[None]), float("c", &[None])]).unwrap_err(),
            @r#"the model does not fit the vector: column "b" has no input; the vector gives 2 columns (a, b); the model wants a float32 [?], c float32 [?]"#
        );
        insta::assert_snapshot!(
            try_inputs(vec![float("a", &[None]), float("b", &[None]), float("c", &[None])]).unwrap_err(),
            @r#"the model does not fit the vector: input "c" has no column; the vector gives 2 columns (a, b); the model wants a float32 [?], b float32 [?], c float32 [?]"#
        );
    }

    #[test]
    fn a_type_that_the_vector_cannot_give_is_refused() {
        insta::assert_snapshot!(
            try_inputs(vec![spec("x", ElementType::Other("uint8"), &[None, Some(2)])]).unwrap_err(),
            @r#"the model does not fit the vector: input "x" is uint8, not float32, float64, float16, int64 or int32; the vector gives 2 columns (a, b); the model wants x uint8 [?, 2]"#
        );
        assert!(try_inputs(vec![float("a", &[None]), spec("b", ElementType::Text, &[None])]).is_err());
        assert!(try_inputs(Vec::new()).is_err());
    }

    #[test]
    fn a_model_of_another_fingerprint_is_refused_and_one_without_is_not() {
        let signature = Signature {
            inputs: vec![float("x", &[None, Some(1)])],
            outputs: vec![float("score", &[None])],
            ..Signature::default()
        };
        let columns = ["a".to_owned()];
        let bind = |model: Option<&str>, vector| {
            let key = metadata::FINGERPRINT.to_owned();
            let metadata = model.map(|model| (key, model.to_owned())).into_iter().collect();
            decide(
                &signature,
                &metadata,
                &Binding { inputs: None, columns: &columns, fingerprint: vector, output: None },
            )
        };
        assert!(bind(Some("8a21"), Some("8a21")).is_ok());
        assert!(bind(None, Some("8a21")).is_ok());
        assert!(bind(Some("8a21"), None).is_ok());
        insta::assert_snapshot!(
            bind(Some("8a21"), Some("07fe")).unwrap_err(),
            @r#"the model was made for vector 8a21, the pipeline's is now 07fe: vector.sql, or the SQL of a table that it joins, has changed. Where every value stays what it was, "tidewheel model adopt FOLDER" goes on with the same weights; otherwise put a model for the vector of now in its place"#
        );
    }

    /// The columns of a brought model were taken in the vector's order, whatever they were called.
    #[test]
    fn a_matrix_of_columns_in_another_order_than_the_models_is_refused_with_both_lists() {
        let signature = Signature {
            inputs: vec![float("x", &[None, Some(2)])],
            outputs: vec![float("score", &[None])],
            ..Signature::default()
        };
        let columns = ["a", "b"].map(str::to_owned);
        let bind = |named: &str| {
            let metadata = BTreeMap::from([(metadata::COLUMNS.to_owned(), named.to_owned())]);
            decide(&signature, &metadata, &Binding { inputs: None, columns: &columns, fingerprint: None, output: None })
        };
        assert!(bind("a,b").is_ok() && bind("").is_ok());
        insta::assert_snapshot!(
            bind("b,a").unwrap_err(),
            @r#"the model does not fit the vector: the columns of input "x" are (b, a): vector.sql must select them in this order, under these names; the vector gives 2 columns (a, b); the model wants x float32 [?, 2]"#
        );
        assert!(bind("a,c").is_err());

        let inputs = vec![float("b", &[None]), float("a", &[None])];
        let signature = Signature { inputs, outputs: vec![float("score", &[None])], ..Signature::default() };
        let metadata = BTreeMap::from([(metadata::COLUMNS.to_owned(), "b,a".to_owned())]);
        let binding = Binding { inputs: None, columns: &columns, fingerprint: None, output: None };
        assert!(decide(&signature, &metadata, &binding).is_ok(), "inputs of their own are found by name");
    }
}
