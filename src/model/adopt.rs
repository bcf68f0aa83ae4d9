//! Tying a model to another vector that has the same values: its weights stay, its metadata changes.

use super::{ModelError, ModelVersion, Signature, fit, metadata, onnx::Document};
use crate::feature::{Inputs, VectorPlan};

/// A file that is tied to the vector of now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Adopted {
    pub(crate) bytes: Vec<u8>,
    /// The version that the file had.
    pub(crate) from: ModelVersion,
    /// The fingerprint that it named, if any.
    pub(crate) made_for: Option<String>,
}

/// The vector that a file is tied to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tie<'a> {
    /// Its columns.
    pub(crate) columns: &'a [String],
    /// Their types.
    pub(crate) inputs: &'a Inputs,
    /// Its fingerprint.
    pub(crate) fingerprint: &'a str,
    /// What it is made of, as digests.
    pub(crate) meaning: &'a str,
}

impl<'a> Tie<'a> {
    /// To this vector, of which these are the digests.
    pub(crate) fn to(vector: &'a VectorPlan, meaning: &'a str) -> Self {
        let fingerprint = vector.fingerprint().as_str();
        Self { columns: vector.columns(), inputs: vector.inputs(), fingerprint, meaning }
    }
}

/// Ties a file to a vector. The same file always gives the same bytes.
///
/// # Errors
/// When the bytes are no ONNX model, or its inputs are not these columns: then they are not the same by value.
pub(crate) fn adopt(bytes: &[u8], tie: Tie<'_>) -> Result<Adopted, ModelError> {
    let Tie { columns, inputs, fingerprint, meaning } = tie;
    let mut document = Document::read(bytes)?;
    let mut entries = document.metadata();
    fit::check_inputs(&Signature::of(document.graph())?, &entries, columns, inputs)?;
    let from = ModelVersion::of(bytes);
    let made_for = entries.remove(metadata::FINGERPRINT);
    let before = entries.remove(metadata::ADOPTED).filter(|before| !before.is_empty());
    let adopted = before.map_or_else(|| from.to_string(), |before| format!("{before},{from}"));
    document.set_metadata(metadata::FINGERPRINT, fingerprint);
    document.set_metadata(metadata::COLUMNS, &columns.join(","));
    if !meaning.is_empty() {
        document.set_metadata(metadata::MEANING, meaning);
    }
    document.set_metadata(metadata::ADOPTED, &adopted);
    Ok(Adopted { bytes: document.write(), from, made_for })
}

/// The versions that a file had while it was tied to earlier vectors.
///
/// # Errors
/// When the bytes are no ONNX model.
pub(crate) fn adopted_from(bytes: &[u8]) -> Result<Vec<ModelVersion>, ModelError> {
    let metadata = Document::read(bytes)?.metadata();
    let adopted = metadata.get(metadata::ADOPTED).map_or("", String::as_str);
    Ok(adopted.split(',').filter_map(ModelVersion::parse).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::onnx::weight_changes;
    use crate::model::{Binding, MlpSpec, Session, build_mlp};

    fn columns(names: &[&str]) -> Vec<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    fn model() -> Vec<u8> {
        let columns = columns(&["a", "b"]);
        let spec = MlpSpec { columns, hidden: vec![4], dropout: 0.0, seed: 1, fingerprint: "8a21".to_owned() };
        build_mlp(&spec).unwrap()
    }

    fn tied(bytes: &[u8], names: &[&str], fingerprint: &str) -> Result<Adopted, ModelError> {
        let (columns, inputs) = (columns(names), Inputs::from(2));
        adopt(bytes, Tie { columns: &columns, inputs: &inputs, fingerprint, meaning: "" })
    }

    fn fits(bytes: &[u8], fingerprint: &str) -> bool {
        let columns = columns(&["a", "b"]);
        let binding = Binding { inputs: None, columns: &columns, fingerprint: Some(fingerprint), output: None };
        Session::from_bytes(bytes, 1).unwrap().bind(&binding).is_ok()
    }

    /// Any change of SQL made a trained model unusable.
    #[test]
    fn an_adopted_model_fits_the_vector_of_now_and_has_every_weight() {
        let before = model();
        let adopted = tied(&before, &["a", "b"], "07fe").unwrap();
        assert_eq!((adopted.from.clone(), adopted.made_for.as_deref()), (ModelVersion::of(&before), Some("8a21")));
        assert_eq!(
            [fits(&before, "07fe"), fits(&adopted.bytes, "07fe"), fits(&adopted.bytes, "8a21")],
            [false, true, false]
        );
        let changes = weight_changes(&Document::read(&before).unwrap(), &Document::read(&adopted.bytes).unwrap());
        assert!(!changes.is_empty() && changes.iter().all(|change| change.largest == Some(0.0)), "{changes:?}");
        assert_eq!(tied(&before, &["a", "b"], "07fe").unwrap(), adopted, "always the same bytes");
    }

    #[test]
    fn a_file_remembers_every_version_that_it_was() {
        let first = model();
        let second = tied(&first, &["a", "b"], "07fe").unwrap().bytes;
        let third = tied(&second, &["a", "b"], "8a21").unwrap().bytes;
        assert_eq!(adopted_from(&first).unwrap(), []);
        assert_eq!(adopted_from(&third).unwrap(), [ModelVersion::of(&first), ModelVersion::of(&second)]);
        assert!(fits(&third, "8a21"));
    }

    #[test]
    fn other_columns_are_not_the_same_by_value() {
        let error = tied(&model(), &["b", "a"], "07fe").unwrap_err();
        assert!(matches!(error, ModelError::InputsDoNotFit { .. }), "{error}");
    }
}
