//! Graphs from scratch, one line per value.

use super::proto::{
    AttributeProto, GraphProto, NodeProto, TensorProto, TensorShapeProto, TypeProto, ValueInfoProto, attribute_type,
    data_type::{DOUBLE, FLOAT, INT32, INT64, STRING, UINT8},
    tensor_shape_proto::{self, dimension},
    type_proto,
};

/// Puts a graph together in the order in which it computes; names are taken as given.
///
/// ```text
/// graph.input("x", FLOAT, &[Dimension::Named("batch"), Dimension::Fixed(3)]);
/// graph.initializer("w", &[3, 1], &weights);
/// graph.node("MatMul", &["x", "w"], "y");
/// graph.output("y", FLOAT, &[Dimension::Named("batch"), Dimension::Fixed(1)]);
/// ```
#[derive(Debug)]
pub struct GraphBuilder {
    graph: GraphProto,
}

/// One dimension of an input or output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dimension<'a> {
    /// Always this size.
    Fixed(u32),
    /// Any size; the same name means the same size.
    Named(&'a str),
}

/// The value of an attribute.
#[derive(Debug, Clone, PartialEq)]
pub enum Attribute {
    /// A whole number, such as an axis or a switch.
    Int(i64),
    /// A number.
    Float(f32),
    /// Whole numbers, such as a permutation.
    Ints(Vec<i64>),
    /// A word from a closed list.
    Text(&'static str),
    /// What a node such as `Scan` repeats.
    Graph(Box<GraphProto>),
    /// Numbers or texts of any type.
    Tensor(Box<TensorProto>),
}

impl GraphBuilder {
    /// An empty graph.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self { graph: GraphProto { name: Some(name.to_owned()), ..Default::default() } }
    }

    /// Declares an input; `element` is one of [`data_type`](super::proto::data_type).
    pub fn input(&mut self, name: &str, element: i32, dimensions: &[Dimension]) {
        self.graph.input.push(value_info(name, element, dimensions));
    }

    /// Declares that the value `name`, computed by a node, is an output.
    pub fn output(&mut self, name: &str, element: i32, dimensions: &[Dimension]) {
        self.graph.output.push(value_info(name, element, dimensions));
    }

    /// Adds constant float32 values, row-major. `values` must hold as many as the product of `dims`.
    pub fn initializer(&mut self, name: &str, dims: &[usize], values: &[f32]) {
        self.graph.initializer.push(float_tensor(name, dims, values));
    }

    /// Adds constant int64 values, row-major, such as axes. `values` must hold as many as the product of `dims`.
    pub fn whole_initializer(&mut self, name: &str, dims: &[usize], values: &[i64]) {
        self.graph.initializer.push(int_tensor(name, dims, values));
    }

    /// Adds constant float64 values, row-major. `values` must hold as many as the product of `dims`.
    pub fn double_initializer(&mut self, name: &str, dims: &[usize], values: &[f64]) {
        self.graph.initializer.push(double_tensor(name, dims, values));
    }

    /// Adds an operator of the standard domain that computes `output` from `inputs`.
    pub fn node(&mut self, operator: &str, inputs: &[&str], output: &str) {
        self.node_with(operator, inputs, output, &[]);
    }

    /// [`node`](Self::node) with attributes that are whole numbers, such as an axis.
    pub fn node_with(&mut self, operator: &str, inputs: &[&str], output: &str, attributes: &[(&str, i64)]) {
        let attributes: Vec<_> = attributes.iter().map(|&(name, value)| (name, Attribute::Int(value))).collect();
        self.node_of(operator, inputs, &[output], &attributes);
    }

    /// [`node`](Self::node) with any number of outputs and attributes of any kind.
    pub fn node_of(&mut self, operator: &str, inputs: &[&str], outputs: &[&str], attributes: &[(&str, Attribute)]) {
        self.graph.node.push(node(operator, inputs, outputs, attributes));
    }

    /// [`node_of`](Self::node_of) of another domain.
    pub fn node_in(
        &mut self,
        domain: &str,
        operator: &str,
        inputs: &[&str],
        outputs: &[&str],
        attributes: &[(&str, Attribute)],
    ) {
        let node = NodeProto { domain: Some(domain.to_owned()), ..node(operator, inputs, outputs, attributes) };
        self.graph.node.push(node);
    }

    /// The graph.
    #[must_use]
    pub fn finish(self) -> GraphProto {
        self.graph
    }
}

/// A node of the standard domain, named like its first output. An empty name leaves an optional input or output out.
#[must_use]
pub(crate) fn node(operator: &str, inputs: &[&str], outputs: &[&str], attributes: &[(&str, Attribute)]) -> NodeProto {
    NodeProto {
        input: inputs.iter().map(|&input| input.to_owned()).collect(),
        output: outputs.iter().map(|&output| output.to_owned()).collect(),
        name: outputs.first().map(|&output| output.to_owned()),
        op_type: Some(operator.to_owned()),
        attribute: attributes.iter().map(|(name, value)| attribute(name, value)).collect(),
        ..Default::default()
    }
}

/// A float32 tensor; `values` are row-major and as many as the product of `dims`.
#[must_use]
pub(crate) fn float_tensor(name: &str, dims: &[usize], values: &[f32]) -> TensorProto {
    tensor(name, FLOAT, dims, values.len(), values.iter().flat_map(|value| value.to_le_bytes()).collect())
}

/// The values of a float32 tensor, in either of the format's two forms.
#[must_use]
pub(crate) fn float_values(tensor: &TensorProto) -> Vec<f32> {
    match &tensor.raw_data {
        Some(raw) => raw.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect(),
        None => tensor.float_data.clone(),
    }
}

/// The values of an int64 or int32 tensor, in either of the format's two forms.
#[must_use]
pub(crate) fn whole_values(tensor: &TensorProto) -> Option<Vec<i64>> {
    let raw = tensor.raw_data.as_deref();
    match tensor.data_type() {
        INT64 => Some(raw.map_or_else(
            || tensor.int64_data.clone(),
            |raw| raw.as_chunks::<8>().0.iter().map(|bytes| i64::from_le_bytes(*bytes)).collect(),
        )),
        INT32 => Some(raw.map_or_else(
            || tensor.int32_data.iter().copied().map(i64::from).collect(),
            |raw| raw.as_chunks::<4>().0.iter().map(|bytes| i64::from(i32::from_le_bytes(*bytes))).collect(),
        )),
        _ => None,
    }
}

/// An int64 tensor; `values` are row-major and as many as the product of `dims`.
#[must_use]
pub(crate) fn int_tensor(name: &str, dims: &[usize], values: &[i64]) -> TensorProto {
    tensor(name, INT64, dims, values.len(), values.iter().flat_map(|value| value.to_le_bytes()).collect())
}

/// A float64 tensor; `values` are row-major and as many as the product of `dims`.
#[must_use]
pub(crate) fn double_tensor(name: &str, dims: &[usize], values: &[f64]) -> TensorProto {
    tensor(name, DOUBLE, dims, values.len(), values.iter().flat_map(|value| value.to_le_bytes()).collect())
}

/// A list of uint8.
#[must_use]
pub(crate) fn byte_tensor(name: &str, values: &[u8]) -> TensorProto {
    tensor(name, UINT8, &[values.len()], values.len(), values.to_vec())
}

/// A list of texts.
#[must_use]
pub(crate) fn text_tensor(name: &str, values: &[String]) -> TensorProto {
    TensorProto {
        dims: vec![values.len() as i64],
        data_type: Some(STRING),
        name: Some(name.to_owned()),
        string_data: values.iter().map(|value| value.as_bytes().to_vec()).collect(),
        ..Default::default()
    }
}

/// The declaration of a tensor; `element` is one of [`data_type`](super::proto::data_type), no dimensions leave the
/// shape open.
#[must_use]
pub(crate) fn declaration(name: &str, element: i32, dimensions: Option<&[Dimension]>) -> ValueInfoProto {
    let Some(dimensions) = dimensions else {
        let tensor = type_proto::Tensor { elem_type: Some(element), shape: None };
        let value = Some(type_proto::Value::TensorType(tensor));
        let r#type = Some(TypeProto { value, denotation: None });
        return ValueInfoProto { name: Some(name.to_owned()), r#type, ..Default::default() };
    };
    value_info(name, element, dimensions)
}

fn tensor(name: &str, element: i32, dims: &[usize], values: usize, raw: Vec<u8>) -> TensorProto {
    debug_assert_eq!(dims.iter().product::<usize>(), values, "tensor {name}");
    TensorProto {
        dims: dims.iter().map(|dim| *dim as i64).collect(),
        data_type: Some(element),
        name: Some(name.to_owned()),
        raw_data: Some(raw),
        ..Default::default()
    }
}

fn attribute(name: &str, value: &Attribute) -> AttributeProto {
    let named = AttributeProto { name: Some(name.to_owned()), ..Default::default() };
    match value {
        Attribute::Int(value) => AttributeProto { i: Some(*value), r#type: Some(attribute_type::INT), ..named },
        Attribute::Float(value) => AttributeProto { f: Some(*value), r#type: Some(attribute_type::FLOAT), ..named },
        Attribute::Ints(values) => AttributeProto { ints: values.clone(), r#type: Some(attribute_type::INTS), ..named },
        Attribute::Text(text) => {
            AttributeProto { s: Some(text.as_bytes().to_vec()), r#type: Some(attribute_type::STRING), ..named }
        }
        Attribute::Graph(graph) => {
            AttributeProto { g: Some(graph.clone()), r#type: Some(attribute_type::GRAPH), ..named }
        }
        Attribute::Tensor(tensor) => {
            AttributeProto { t: Some(tensor.clone()), r#type: Some(attribute_type::TENSOR), ..named }
        }
    }
}

fn value_info(name: &str, element: i32, dimensions: &[Dimension]) -> ValueInfoProto {
    let dim = dimensions.iter().map(|dimension| tensor_shape_proto::Dimension {
        value: Some(match *dimension {
            Dimension::Fixed(size) => dimension::Value::DimValue(i64::from(size)),
            Dimension::Named(name) => dimension::Value::DimParam(name.to_owned()),
        }),
        denotation: None,
    });
    let tensor = type_proto::Tensor { elem_type: Some(element), shape: Some(TensorShapeProto { dim: dim.collect() }) };
    ValueInfoProto {
        name: Some(name.to_owned()),
        r#type: Some(TypeProto { value: Some(type_proto::Value::TensorType(tensor)), denotation: None }),
        ..Default::default()
    }
}
