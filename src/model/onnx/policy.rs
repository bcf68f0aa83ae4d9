//! Which models this program agrees to run, judged on the decoded file.
//!
//! Weights must be inside the file, so that its digest says everything about it and loading reads no other path.
//! Operators must come from the domains that a stock ONNX Runtime brings, because others need a library of their own.
//! A `Loop` must say in the file how often it runs at most, because nothing can stop a session that does not end. `Scan`
//! goes through a tensor, and ends with it.

use super::{
    FileError, division,
    proto::{AttributeProto, DATA_LOCATION_EXTERNAL, GraphProto, NodeProto, SparseTensorProto, TensorProto},
    whole_values,
};
use crate::model::ModelError;

/// The operator sets of a stock ONNX Runtime: the standard one under both its names, the classical machine learning
/// operators (trees, encoders, scalers) and Microsoft's fused operators.
pub(super) const STOCK_DOMAINS: [&str; 4] = ["", "ai.onnx", "ai.onnx.ml", "com.microsoft"];

/// How often the innermost of nested loops may run. A sequence model loops over its steps: thousands.
const MOST_ROUNDS: u64 = 1_000_000;

/// Refuses a graph, or a graph inside one of its nodes, that breaks a rule above.
pub(super) fn check(graph: &GraphProto) -> Result<(), ModelError> {
    check_within(&Scope { graph, around: None, rounds: 1 })?;
    division::check(graph)
}

/// A graph, and the graphs that it stands in: their values can be used in it.
struct Scope<'a> {
    graph: &'a GraphProto,
    around: Option<&'a Scope<'a>>,
    /// How often it may run at most, for one run of the model.
    rounds: u64,
}

impl Scope<'_> {
    /// The constant of this name: an initializer, or what a `Constant` gives.
    fn constant(&self, name: &str) -> Option<i64> {
        let initializer = self.graph.initializer.iter().find(|tensor| tensor.name() == name);
        let node = || {
            let node = self.graph.node.iter().find(|node| node.output.iter().any(|output| output == name))?;
            node.attribute.iter().filter(|_| node.op_type() == "Constant").find_map(|attribute| {
                match attribute.name() {
                    "value" => first(attribute.t.as_deref()?),
                    "value_int" => attribute.i,
                    _ => None,
                }
            })
        };
        let here = initializer.map_or_else(node, first);
        here.or_else(|| self.around.and_then(|scope| scope.constant(name)))
    }

    /// How often the graphs inside this node run at most.
    fn rounds_of(&self, node: &NodeProto) -> Result<u64, ModelError> {
        if node.op_type() != "Loop" {
            return Ok(self.rounds);
        }
        let trips = node.input.first().and_then(|name| self.constant(name));
        let rounds = trips.map(|trips| self.rounds.saturating_mul(u64::try_from(trips).unwrap_or(0)));
        rounds
            .filter(|rounds| *rounds <= MOST_ROUNDS)
            .ok_or_else(|| ModelError::UnboundedLoop { node: node.name().to_owned(), limit: MOST_ROUNDS })
    }
}

fn first(tensor: &TensorProto) -> Option<i64> {
    whole_values(tensor)?.first().copied()
}

fn check_within(scope: &Scope<'_>) -> Result<(), ModelError> {
    for tensor in &scope.graph.initializer {
        inside_the_file(tensor)?;
    }
    for tensor in &scope.graph.sparse_initializer {
        sparse(tensor)?;
    }
    for node in &scope.graph.node {
        known_domain(node)?;
        let rounds = scope.rounds_of(node)?;
        for attribute in &node.attribute {
            check_attribute(attribute, scope, rounds)?;
        }
    }
    Ok(())
}

fn check_attribute(attribute: &AttributeProto, scope: &Scope<'_>, rounds: u64) -> Result<(), ModelError> {
    for tensor in attribute.t.as_deref().into_iter().chain(&attribute.tensors) {
        inside_the_file(tensor)?;
    }
    for tensor in attribute.sparse_tensor.as_deref().into_iter().chain(&attribute.sparse_tensors) {
        sparse(tensor)?;
    }
    // As deep as the file is nested, which `wire` has bounded.
    for graph in attribute.g.as_deref().into_iter().chain(&attribute.graphs) {
        check_within(&Scope { graph, around: Some(scope), rounds })?;
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
        return Err(FileError::LeftOutside { tensor: tensor.name().to_owned() }.into());
    }
    Ok(())
}

fn known_domain(node: &NodeProto) -> Result<(), ModelError> {
    if STOCK_DOMAINS.contains(&node.domain()) {
        return Ok(());
    }
    Err(ModelError::UnknownDomain {
        operator: node.op_type().to_owned(),
        domain: node.domain().to_owned(),
        node: node.name().to_owned(),
        known: STOCK_DOMAINS.iter().filter(|domain| !domain.is_empty()).copied().collect::<Vec<_>>().join(", "),
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

    fn looping(trips: &str, inside: Vec<NodeProto>) -> NodeProto {
        let body = GraphProto { node: inside, ..Default::default() };
        NodeProto {
            name: Some("steps".to_owned()),
            op_type: Some("Loop".to_owned()),
            input: vec![trips.to_owned(), String::new()],
            attribute: vec![AttributeProto { g: Some(Box::new(body)), ..Default::default() }],
            ..Default::default()
        }
    }

    #[test]
    fn a_loop_must_say_how_often_it_runs_at_most() {
        let number = |name: &str, value| crate::model::onnx::int_tensor(name, &[], &[value]);
        let with = |node: NodeProto| {
            let initializer = vec![number("thousand", 1_000), number("huge", i64::MAX), number("below", -1)];
            check(&GraphProto { node: vec![node], initializer, ..Default::default() })
        };
        assert!(
            with(looping("thousand", vec![looping("thousand", Vec::new())])).is_ok(),
            "a value of the graph around"
        );
        assert!(with(looping("below", vec![looping("thousand", Vec::new())])).is_ok(), "it does not run");
        let endless = ["", "computed", "huge"].map(|trips| looping(trips, Vec::new()));
        let nested = looping("thousand", vec![looping("thousand", vec![looping("thousand", Vec::new())])]);
        for node in endless.into_iter().chain([nested]) {
            assert!(matches!(with(node), Err(ModelError::UnboundedLoop { .. })));
        }
        insta::assert_snapshot!(
            with(looping("", Vec::new())).unwrap_err(),
            @r#"loop "steps" may never end: its trip count must be a constant in the file, and loops together at most 1000000 rounds"#
        );
    }

    #[test]
    fn every_domain_of_a_stock_runtime_is_accepted() {
        let node = STOCK_DOMAINS.iter().map(|domain| node(domain, Vec::new())).collect();
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
            @r#"tensor "weights" has its values in another file: save the model with all weights inside, with external_data=False in torch.onnx.export or save_as_external_data=False in onnx.save_model"#
        );
        let constant = AttributeProto { t: Some(Box::new(outside)), ..Default::default() };
        let graph = GraphProto { node: vec![node("", vec![constant])], ..Default::default() };
        let outside =
            |error| matches!(error, ModelError::File(FileError::LeftOutside { tensor }) if tensor == "weights");
        assert!(outside(check(&graph).unwrap_err()));
    }
}
