//! Graphs from scratch, one line per value.

use super::proto::{
    ATTRIBUTE_INT, AttributeProto, GraphProto, NodeProto, TensorProto, TensorShapeProto, TypeProto, ValueInfoProto,
    data_type::FLOAT,
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
        debug_assert_eq!(dims.iter().product::<usize>(), values.len(), "initializer {name}");
        self.graph.initializer.push(TensorProto {
            dims: dims.iter().map(|dim| *dim as i64).collect(),
            data_type: Some(FLOAT),
            name: Some(name.to_owned()),
            raw_data: Some(values.iter().flat_map(|value| value.to_le_bytes()).collect()),
            ..Default::default()
        });
    }

    /// Adds an operator of the standard domain that computes `output` from `inputs`.
    pub fn node(&mut self, operator: &str, inputs: &[&str], output: &str) {
        self.node_with(operator, inputs, output, &[]);
    }

    /// [`node`](Self::node) with attributes that are whole numbers, such as an axis.
    pub fn node_with(&mut self, operator: &str, inputs: &[&str], output: &str, attributes: &[(&str, i64)]) {
        self.graph.node.push(NodeProto {
            input: inputs.iter().map(|&input| input.to_owned()).collect(),
            output: vec![output.to_owned()],
            name: Some(output.to_owned()),
            op_type: Some(operator.to_owned()),
            attribute: attributes.iter().map(|&(name, value)| integer(name, value)).collect(),
            ..Default::default()
        });
    }

    /// The graph.
    #[must_use]
    pub fn finish(self) -> GraphProto {
        self.graph
    }
}

fn integer(name: &str, value: i64) -> AttributeProto {
    AttributeProto { name: Some(name.to_owned()), i: Some(value), r#type: Some(ATTRIBUTE_INT), ..Default::default() }
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
