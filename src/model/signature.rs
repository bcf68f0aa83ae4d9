//! What goes into a model and what comes out, as its file declares it.
//!
//! Read from the document rather than from ONNX Runtime, so that types which the binding to the library cannot represent
//! (it would panic, or worse) are refused before it meets them.

use std::fmt;

use super::{
    ModelError,
    onnx::{
        attribute_labels,
        proto::{
            GraphProto, TensorShapeProto, TypeProto, ValueInfoProto, data_type,
            tensor_shape_proto::dimension,
            type_proto::{Sequence, Value},
        },
    },
};

/// The inputs and outputs of a model, in the file's order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Signature {
    /// What must be given on each run: graph inputs without a default value.
    pub inputs: Vec<TensorSpec>,
    /// What a run can give.
    pub outputs: Vec<TensorSpec>,
    /// The names of classes that nodes of the graph give, once for each node that gives some.
    pub classes: Vec<Vec<String>>,
}

/// The name, type and shape of one input or output. Shown as `features float32 [?, 20]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorSpec {
    /// Its name.
    pub name: String,
    /// The type of one element.
    pub element: ElementType,
    /// The size of each dimension, `None` where it is only known on a run; no shape at all when the file gives none.
    pub dims: Option<Vec<Option<u64>>>,
}

/// The type of the elements of a tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ElementType {
    /// 32-bit floating point.
    Float32,
    /// 64-bit floating point.
    Float64,
    /// 16-bit floating point.
    Float16,
    /// 64-bit integer.
    Int64,
    /// 32-bit integer.
    Int32,
    /// True or false.
    Bool,
    /// Texts.
    Text,
    /// Any other type, by name; also `sequence` and `map`, which are not tensors.
    Other(&'static str),
}

impl Signature {
    pub(super) fn of(graph: &GraphProto) -> Result<Self, ModelError> {
        let has_default = |input: &&ValueInfoProto| {
            let dense = graph.initializer.iter().any(|tensor| tensor.name() == input.name());
            let sparse = graph.sparse_initializer.iter().flat_map(|tensor| &tensor.values);
            dense || sparse.into_iter().any(|tensor| tensor.name() == input.name())
        };
        let inputs = graph.input.iter().filter(|input| !has_default(input));
        Ok(Self {
            inputs: inputs.map(TensorSpec::of).collect::<Result<_, _>>()?,
            outputs: graph.output.iter().map(TensorSpec::of).collect::<Result<_, _>>()?,
            classes: graph.node.iter().filter_map(|node| attribute_labels(&node.attribute)).collect(),
        })
    }
}

impl TensorSpec {
    pub(super) fn of(info: &ValueInfoProto) -> Result<Self, ModelError> {
        let value = info.r#type.as_ref().and_then(|r#type| r#type.value.as_ref());
        let (element, dims) = match value {
            Some(Value::TensorType(tensor)) => {
                (ElementType::of(tensor.elem_type())?, tensor.shape.as_ref().map(dimensions))
            }
            Some(Value::SequenceType(sequence)) => {
                simple_sequence(sequence)?;
                (ElementType::Other("sequence"), None)
            }
            Some(Value::MapType(map)) => {
                simple_map(map.value_type.as_deref())?;
                (ElementType::Other("map"), None)
            }
            _ => return Err(unsupported()),
        };
        Ok(Self { name: info.name().to_owned(), element, dims })
    }
}

impl ElementType {
    /// From `TensorProto.DataType`.
    pub(super) fn of(code: i32) -> Result<Self, ModelError> {
        /// By number from 1, up to those that every supported ONNX Runtime knows.
        const NAMES: [&str; 16] = [
            "float32",
            "uint8",
            "int8",
            "uint16",
            "int16",
            "int32",
            "int64",
            "string",
            "bool",
            "float16",
            "float64",
            "uint32",
            "uint64",
            "complex64",
            "complex128",
            "bfloat16",
        ];
        match code {
            data_type::FLOAT => Ok(Self::Float32),
            data_type::DOUBLE => Ok(Self::Float64),
            data_type::FLOAT16 => Ok(Self::Float16),
            data_type::INT64 => Ok(Self::Int64),
            data_type::INT32 => Ok(Self::Int32),
            data_type::BOOL => Ok(Self::Bool),
            data_type::STRING => Ok(Self::Text),
            _ => {
                let name = usize::try_from(code).ok().and_then(|code| NAMES.get(code.checked_sub(1)?));
                name.map(|name| Self::Other(name)).ok_or_else(unsupported)
            }
        }
    }
}

impl fmt::Display for Signature {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} -> {}", list(&self.inputs), list(&self.outputs))
    }
}

impl fmt::Display for TensorSpec {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {}", self.name, self.element)?;
        let Some(dims) = &self.dims else { return Ok(()) };
        let dims = dims.iter().map(|dim| dim.map_or_else(|| "?".to_owned(), |dim| dim.to_string()));
        write!(formatter, " [{}]", dims.collect::<Vec<_>>().join(", "))
    }
}

impl fmt::Display for ElementType {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Float32 => "float32",
            Self::Float64 => "float64",
            Self::Float16 => "float16",
            Self::Int64 => "int64",
            Self::Int32 => "int32",
            Self::Bool => "bool",
            Self::Text => "string",
            Self::Other(name) => name,
        })
    }
}

/// `a float32 [?], b int64 [?]`, or `nothing`.
pub(super) fn list(specs: &[TensorSpec]) -> String {
    if specs.is_empty() {
        return "nothing".to_owned();
    }
    specs.iter().map(TensorSpec::to_string).collect::<Vec<_>>().join(", ")
}

fn dimensions(shape: &TensorShapeProto) -> Vec<Option<u64>> {
    let size = |dimension: &dimension::Value| match dimension {
        // Some exporters write -1 for a dimension that varies.
        dimension::Value::DimValue(size) => u64::try_from(*size).ok(),
        dimension::Value::DimParam(_) => None,
    };
    shape.dim.iter().map(|dim| dim.value.as_ref().and_then(size)).collect()
}

fn simple_sequence(sequence: &Sequence) -> Result<(), ModelError> {
    match sequence.elem_type.as_deref().and_then(|element| element.value.as_ref()) {
        Some(Value::TensorType(tensor)) => ElementType::of(tensor.elem_type()).map(drop),
        Some(Value::MapType(map)) => simple_map(map.value_type.as_deref()),
        _ => Err(unsupported()),
    }
}

fn simple_map(value: Option<&TypeProto>) -> Result<(), ModelError> {
    match value.and_then(|value| value.value.as_ref()) {
        Some(Value::TensorType(tensor)) => ElementType::of(tensor.elem_type()).map(drop),
        _ => Err(unsupported()),
    }
}

fn unsupported() -> ModelError {
    ModelError::Unsupported {
        what: "inputs or outputs of unusual types (nested, sparse, optional, 8-bit floats and smaller)",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::onnx::{
        Dimension, GraphBuilder,
        proto::{AttributeProto, type_proto},
    };

    #[test]
    fn an_input_with_a_default_value_is_not_asked_for() {
        let mut graph = GraphBuilder::new("scale");
        graph.input("x", data_type::FLOAT, &[Dimension::Named("rows"), Dimension::Fixed(3)]);
        graph.input("w", data_type::FLOAT, &[Dimension::Fixed(1)]);
        graph.initializer("w", &[1], &[2.0]);
        graph.node("Mul", &["x", "w"], "y");
        graph.output("y", data_type::INT64, &[]);
        let signature = Signature::of(&graph.finish()).unwrap();
        assert_eq!(signature.to_string(), "x float32 [?, 3] -> y int64 []");
    }

    #[test]
    fn the_names_of_classes_are_those_that_nodes_give() {
        let named = |name: &str| AttributeProto { name: Some(name.to_owned()), ..Default::default() };
        let mut graph = GraphBuilder::new("classes");
        graph.input("x", data_type::FLOAT, &[Dimension::Named("rows")]);
        for output in ["a", "b", "c", "d"] {
            graph.node("Identity", &["x"], output);
        }
        let mut graph = graph.finish();
        let texts = ["no", "yes"].map(|text| text.as_bytes().to_vec()).to_vec();
        graph.node[0].attribute = vec![AttributeProto { strings: texts, ..named("classlabels_strings") }];
        graph.node[1].attribute =
            vec![named("classlabels_strings"), AttributeProto { ints: vec![3, -1, 9], ..named("classlabels_int64s") }];
        graph.node[2].attribute = vec![AttributeProto { ints: vec![0, 1], ..named("classlabels_ints") }];
        let classes = Signature::of(&graph).unwrap().classes;
        assert_eq!(classes, [vec!["no", "yes"], vec!["3", "-1", "9"], vec!["0", "1"]]);
    }

    #[test]
    fn types_that_the_binding_cannot_represent_are_refused() {
        let mut graph = GraphBuilder::new("odd");
        graph.input("x", 28, &[]);
        assert!(matches!(Signature::of(&graph.finish()), Err(ModelError::Unsupported { .. })));

        let nested = Sequence { elem_type: Some(Box::new(sequence_of(None))) };
        let output = ValueInfoProto { r#type: Some(sequence_of(Some(nested))), ..Default::default() };
        let graph = GraphProto { output: vec![output], ..Default::default() };
        assert!(matches!(Signature::of(&graph), Err(ModelError::Unsupported { .. })));
    }

    fn sequence_of(element: Option<Sequence>) -> TypeProto {
        let elem_type =
            element.map(|element| Box::new(TypeProto { value: Some(Value::SequenceType(element)), denotation: None }));
        TypeProto { value: Some(Value::SequenceType(type_proto::Sequence { elem_type })), denotation: None }
    }
}
