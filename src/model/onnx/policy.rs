//! Which models this program agrees to run, judged on the decoded file.
//!
//! Weights must be inside the file, so that its digest says everything about it and loading reads no other path.
//! Operators must come from the domains that a stock ONNX Runtime brings, because others need a library of their own.

use super::proto::{AttributeProto, DATA_LOCATION_EXTERNAL, GraphProto, NodeProto, SparseTensorProto, TensorProto};
use crate::model::ModelError;

/// The operator sets of a stock ONNX Runtime: the standard one under both its names, the classical machine learning
/// operators (trees, encoders, scalers) and Microsoft's fused operators.
const DOMAINS: [&str; 4] = ["", "ai.onnx", "ai.onnx.ml", "com.microsoft"];

/// Refuses a graph, or a graph inside one of its nodes, that breaks a rule above.
pub(super) fn check(graph: &GraphProto) -> Result<(), ModelError> {
    for tensor in &graph.initializer {
        inside_the_file(tensor)?;
    }
    for tensor in &graph.sparse_initializer {
        sparse(tensor)?;
    }
    for node in &graph.node {
        known_domain(node)?;
        for attribute in &node.attribute {
            check_attribute(attribute)?;
        }
    }
    Ok(())
}

fn check_attribute(attribute: &AttributeProto) -> Result<(), ModelError> {
    for tensor in attribute.t.as_deref().into_iter().chain(&attribute.tensors) {
        inside_the_file(tensor)?;
    }
    for tensor in attribute.sparse_tensor.as_deref().into_iter().chain(&attribute.sparse_tensors) {
        sparse(tensor)?;
    }
    // As deep as the file is nested, which `wire` has bounded.
    for graph in attribute.g.as_deref().into_iter().chain(&attribute.graphs) {
        check(graph)?;
    }
    Ok(())
}

fn sparse(tensor: &SparseTensorProto) -> Result<(), ModelError> {
    for part in tensor.values.iter().chain(&tensor.indices) {
        inside_the_file(part)?;
    }
    Ok(())
}

fn inside_the_file(tensor: &TensorProto) -> Result<(), ModelError> {
    if tensor.data_location() == DATA_LOCATION_EXTERNAL || !tensor.external_data.is_empty() {
        return Err(ModelError::ExternalData { tensor: tensor.name().to_owned() });
    }
    Ok(())
}

fn known_domain(node: &NodeProto) -> Result<(), ModelError> {
    if DOMAINS.contains(&node.domain()) {
        return Ok(());
    }
    Err(ModelError::UnknownDomain {
        operator: node.op_type().to_owned(),
        domain: node.domain().to_owned(),
        node: node.name().to_owned(),
        known: DOMAINS.iter().filter(|domain| !domain.is_empty()).copied().collect::<Vec<_>>().join(", "),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(domain: &str, attribute: Vec<AttributeProto>) -> NodeProto {
        NodeProto {
            name: Some("look_up".to_owned()),
            op_type: Some("Lookup".to_owned()),
            domain: Some(domain.to_owned()),
            attribute,
            ..Default::default()
        }
    }

    #[test]
    fn a_domain_that_needs_its_own_library_is_refused_also_inside_a_branch() {
        let inner = GraphProto { node: vec![node("my.company", Vec::new())], ..Default::default() };
        let branch = AttributeProto { g: Some(Box::new(inner)), ..Default::default() };
        let graph = GraphProto { node: vec![node("ai.onnx", vec![branch])], ..Default::default() };
        insta::assert_snapshot!(
            check(&graph).unwrap_err(),
            @r#"operator "Lookup" of node "look_up" is from domain "my.company": only ai.onnx, ai.onnx.ml, com.microsoft are supported"#
        );
    }

    #[test]
    fn every_domain_of_a_stock_runtime_is_accepted() {
        let node = DOMAINS.iter().map(|domain| node(domain, Vec::new())).collect();
        assert!(check(&GraphProto { node, ..Default::default() }).is_ok());
    }

    #[test]
    fn external_data_is_refused_in_initializers_and_in_constants() {
        let outside = TensorProto {
            name: Some("weights".to_owned()),
            data_location: Some(DATA_LOCATION_EXTERNAL),
            ..Default::default()
        };
        let initializer = GraphProto { initializer: vec![outside.clone()], ..Default::default() };
        insta::assert_snapshot!(
            check(&initializer).unwrap_err(),
            @r#"tensor "weights" has its values in another file: save the model with all weights inside"#
        );
        let constant = AttributeProto { t: Some(Box::new(outside)), ..Default::default() };
        let graph = GraphProto { node: vec![node("", vec![constant])], ..Default::default() };
        assert!(matches!(check(&graph), Err(ModelError::ExternalData { tensor }) if tensor == "weights"));
    }
}
