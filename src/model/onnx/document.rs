//! A whole ONNX file in memory.

use std::collections::BTreeMap;

use prost::Message;

use super::{
    FileError, appearance, policy,
    proto::{GraphProto, ModelProto, OperatorSetIdProto, StringStringEntryProto},
    wire,
};
use crate::model::ModelError;

/// The largest file that is read by default, in bytes: 256 MiB.
pub(crate) const MAX_FILE_BYTES: u64 = 256 << 20;

/// The format and operator set that new models are written in: old enough for every ONNX Runtime that is supported.
const IR_VERSION: i64 = 8;
const OPSET: i64 = 17;

/// An ONNX model in memory that can be written back without loss.
#[derive(Debug, Clone, PartialEq)]
pub struct Document {
    pub(super) model: ModelProto,
}

/// The model in the bytes of a file, with functions and names of other files where it has them.
pub(super) fn decode(bytes: &[u8], limit: u64) -> Result<ModelProto, ModelError> {
    if bytes.len() as u64 > limit {
        return Err(ModelError::TooLarge { limit });
    }
    wire::check(bytes).map_err(|error| appearance::refusal(bytes, error))?;
    let model = ModelProto::decode(bytes).map_err(|error| ModelError::NotOnnx { reason: error.to_string() })?;
    // Any bytes that happen to parse, such as an empty file, decode to a model with an empty graph.
    if model.graph.output.is_empty() {
        let reason = appearance::look(bytes).unwrap_or(appearance::NO_GRAPH).to_owned();
        return Err(ModelError::NotOnnx { reason });
    }
    Ok(model)
}

impl Document {
    /// A new model around `graph`: format 8, operator set 17 of the standard domain, no metadata.
    #[must_use]
    pub fn new(graph: GraphProto) -> Self {
        Self {
            model: ModelProto {
                ir_version: Some(IR_VERSION),
                producer_name: Some("tidewheel".to_owned()),
                producer_version: Some(env!("CARGO_PKG_VERSION").to_owned()),
                graph,
                opset_import: vec![OperatorSetIdProto { domain: Some(String::new()), version: Some(OPSET) }],
                ..Default::default()
            },
        }
    }

    /// Reads the bytes of an ONNX file of at most [`MAX_FILE_BYTES`].
    ///
    /// Refused with a [`ModelError`]: what is not an ONNX file, what would not survive [`write`](Self::write)
    /// (unknown fields), functions, weights in other files, and operators that a stock ONNX Runtime does not bring.
    /// [`read_file`](super::read_file) makes bytes without functions and other files of what has them.
    pub fn read(bytes: &[u8]) -> Result<Self, ModelError> {
        Self::read_within(bytes, MAX_FILE_BYTES)
    }

    /// [`read`](Self::read) with a limit of one's own, in bytes.
    pub fn read_within(bytes: &[u8], limit: u64) -> Result<Self, ModelError> {
        let model = decode(bytes, limit)?;
        if !model.functions.is_empty() {
            return Err(FileError::NotInlined.into());
        }
        policy::check(&model.graph)?;
        Ok(Self { model })
    }

    /// The bytes of the file. The same document always gives the same bytes.
    #[must_use]
    pub fn write(&self) -> Vec<u8> {
        self.model.encode_to_vec()
    }

    /// The computation.
    #[must_use]
    pub fn graph(&self) -> &GraphProto {
        &self.model.graph
    }

    /// The computation, to be edited.
    pub fn graph_mut(&mut self) -> &mut GraphProto {
        &mut self.model.graph
    }

    /// The version of an operator set that the model was written for; the standard domain is `""`.
    #[must_use]
    pub fn opset(&self, domain: &str) -> Option<i64> {
        self.model.opset_import.iter().find(|set| set.domain() == domain).map(OperatorSetIdProto::version)
    }

    /// Says that the graph uses operators of another domain, in a version of its set that needs at least this format.
    pub(crate) fn require(&mut self, (domain, version, format): (&str, i64, i64)) {
        let set = OperatorSetIdProto { domain: Some(domain.to_owned()), version: Some(version) };
        self.model.opset_import.push(set);
        self.model.ir_version = self.model.ir_version.max(Some(format));
    }

    /// The model's own key-value pairs.
    #[must_use]
    pub fn metadata(&self) -> BTreeMap<String, String> {
        let entries = self.model.metadata_props.iter();
        entries.map(|entry| (entry.key().to_owned(), entry.value().to_owned())).collect()
    }

    /// Adds a key-value pair, or replaces the value of a key that is there.
    pub fn set_metadata(&mut self, key: &str, value: &str) {
        let value = Some(value.to_owned());
        let entries = &mut self.model.metadata_props;
        match entries.iter_mut().find(|entry| entry.key() == key) {
            Some(entry) => entry.value = value,
            None => entries.push(StringStringEntryProto { key: Some(key.to_owned()), value }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::onnx::{
        Dimension, GraphBuilder,
        proto::{AttributeProto, TensorProto, data_type::FLOAT},
    };

    fn document() -> Document {
        let mut graph = GraphBuilder::new("double");
        graph.input("x", FLOAT, &[Dimension::Named("rows")]);
        graph.output("y", FLOAT, &[Dimension::Named("rows")]);
        graph.initializer("two", &[1], &[2.0]);
        graph.node("Mul", &["x", "two"], "y");
        Document::new(graph.finish())
    }

    #[test]
    fn a_document_reads_back_as_it_was_written() {
        let mut document = document();
        document.set_metadata("a", "1");
        document.set_metadata("b", "2");
        document.set_metadata("a", "3");
        let read = Document::read(&document.write()).unwrap();
        assert_eq!(read, document);
        assert_eq!(read.metadata(), BTreeMap::from([("a".into(), "3".into()), ("b".into(), "2".into())]));
        assert_eq!((read.opset(""), read.opset("ai.onnx.ml")), (Some(17), None));
    }

    #[test]
    fn an_attribute_set_to_zero_stays_different_from_an_absent_one() {
        let mut document = document();
        let zero = AttributeProto { name: Some("axis".to_owned()), i: Some(0), ..Default::default() };
        document.graph_mut().node[0].attribute.push(zero.clone());
        let read = Document::read(&document.write()).unwrap();
        assert_eq!(read.graph().node[0].attribute, [zero]);
    }

    #[test]
    fn numbers_packed_by_another_writer_are_read() {
        // dims as proto3 writers pack them: field 1, length 2, then 2 and 3.
        let tensor = TensorProto::decode(&[0x0a, 2, 2, 3][..]).unwrap();
        assert_eq!(tensor.dims, [2, 3]);
        assert_eq!(tensor.encode_to_vec(), [0x08, 2, 0x08, 3]);
    }

    #[test]
    fn a_file_over_the_limit_is_refused_unread() {
        let bytes = document().write();
        let error = Document::read_within(&bytes, bytes.len() as u64 - 1).unwrap_err();
        assert!(matches!(error, ModelError::TooLarge { .. }));
        assert!(Document::read_within(&bytes, bytes.len() as u64).is_ok());
    }

    #[test]
    fn bytes_that_are_not_a_model_are_refused() {
        insta::assert_snapshot!(Document::read(b"").unwrap_err(), @"not a readable ONNX file: it is empty");
        assert!(Document::read(b"<html>not found</html>").is_err());
    }

    proptest::proptest! {
        #[test]
        fn damaged_bytes_never_panic(position in 0_usize..200, value: u8) {
            let mut bytes = document().write();
            let position = position % bytes.len();
            bytes[position] = value;
            if let Ok(read) = Document::read(&bytes) {
                proptest::prop_assert_eq!(Document::read(&read.write()).unwrap(), read);
            }
        }
    }
}
