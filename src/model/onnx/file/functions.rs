//! Functions that a file brings, inlined: a node that calls one becomes the function's nodes.
//!
//! ```text
//!   graph:     r ──▶ [pkg.dense] ──▶ p           r ──▶ Gemm ──▶ dense_1/g ──▶ Sigmoid ──▶ p
//!   function:  dense(a) -> o:
//!                a ──▶ Gemm ──▶ g ──▶ Sigmoid ──▶ o
//! ```
//!
//! Functions may call others and be called from graphs inside nodes, but never themselves. What they add up to is bounded
//! while it is made, because a few functions that call each other twice make a graph without end. A function is written for
//! operator sets of its own; where the model has others, no operator in it may have changed between the two.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use super::{
    FileError,
    call::{Room, expand},
};
use crate::model::onnx::{
    document::MAX_FILE_BYTES,
    names::{all_names, graphs, graphs_mut},
    operator_sets::{changed_between, domain},
    policy::STOCK_DOMAINS,
    proto::{FunctionProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto},
};

/// Calls inside calls, and graphs inside nodes, in all. A file may be nested about as deep.
const MAX_DEPTH: usize = 20;

/// Inlines every function; whether there were any. Those that nobody calls go too.
pub(super) fn inline(model: &mut ModelProto) -> Result<bool, FileError> {
    let functions = std::mem::take(&mut model.functions);
    if functions.is_empty() {
        return Ok(false);
    }
    let mut inlining = Inlining::new(&functions, model)?;
    inlining.graph(&mut model.graph)?;
    let versions = inlining.versions;
    let mut used = HashSet::new();
    collect_domains(&model.graph.node, &mut used);
    let own: HashSet<&str> = functions.iter().map(|function| domain(function.domain())).collect();
    // The set of a domain that had functions only is of no use to anybody now.
    model.opset_import.retain(|set| used.contains(domain(set.domain())) || !own.contains(domain(set.domain())));
    for (name, version) in versions {
        if used.contains(name.as_str()) && !model.opset_import.iter().any(|set| domain(set.domain()) == name) {
            model.opset_import.push(OperatorSetIdProto { domain: Some(name), version: Some(version) });
        }
    }
    Ok(true)
}

/// What a node calls a function by: domain, name, overload.
type Key<'a> = (&'a str, &'a str, &'a str);

struct Inlining<'a> {
    functions: HashMap<Key<'a>, &'a FunctionProto>,
    /// Every name of the model's own graph: none of the new names begins like one of these.
    names: BTreeSet<String>,
    /// The version of each domain's operator set, in a fixed order.
    versions: BTreeMap<String, i64>,
    /// The functions that are being inlined, each called by the one before.
    stack: Vec<&'a FunctionProto>,
    /// Calls and graphs that what is looked at stands in.
    depth: usize,
    calls: usize,
    room: Room,
}

impl<'a> Inlining<'a> {
    fn new(functions: &'a [FunctionProto], model: &ModelProto) -> Result<Self, FileError> {
        let mut by_key = HashMap::new();
        for function in functions {
            let key = (domain(function.domain()), function.name(), function.overload());
            if by_key.insert(key, function).is_some() {
                return Err(refuse(function, "there are two of that name".to_owned()));
            }
        }
        let mut names = HashSet::new();
        all_names(&model.graph, &mut names);
        let versions = model.opset_import.iter().map(|set| (domain(set.domain()).to_owned(), set.version()));
        Ok(Self {
            functions: by_key,
            names: names.into_iter().collect(),
            versions: versions.collect(),
            stack: Vec::new(),
            depth: 0,
            calls: 0,
            room: Room::of(MAX_FILE_BYTES),
        })
    }

    fn graph(&mut self, graph: &mut GraphProto) -> Result<(), FileError> {
        graph.node = self.nodes(std::mem::take(&mut graph.node))?;
        Ok(())
    }

    fn nodes(&mut self, nodes: Vec<NodeProto>) -> Result<Vec<NodeProto>, FileError> {
        let mut inlined = Vec::with_capacity(nodes.len());
        for mut node in nodes {
            let key = (domain(node.domain()), node.op_type(), node.overload());
            self.depth += 1;
            if let Some(function) = self.functions.get(&key).copied() {
                self.enter(function)?;
                let prefix = self.prefix(function);
                let called = expand(&node, function, &prefix, &self.room).map_err(|reason| refuse(function, reason))?;
                if self.room.is_used_up() {
                    return Err(FileError::Grown { limit: MAX_FILE_BYTES });
                }
                inlined.extend(self.nodes(called)?);
                self.stack.pop();
            } else {
                for graph in node.attribute.iter_mut().flat_map(graphs_mut) {
                    self.deep_enough()?;
                    self.graph(graph)?;
                }
                inlined.push(node);
            }
            self.depth -= 1;
        }
        Ok(inlined)
    }

    /// Looks whether a function may stand where it is called.
    fn enter(&mut self, function: &'a FunctionProto) -> Result<(), FileError> {
        if self.stack.iter().any(|outer| std::ptr::eq(*outer, function)) {
            return Err(refuse(function, "it calls itself: export it without recursion".to_owned()));
        }
        self.deep_enough()?;
        if STOCK_DOMAINS.contains(&domain(function.domain())) {
            return Err(refuse(
                function,
                "its domain has operators of its own: export it under a domain of your own".to_owned(),
            ));
        }
        let own = function.opset_import.iter().map(|set| (domain(set.domain()), set.version()));
        let own: HashMap<&str, i64> = own.collect();
        self.fits(function, &function.node, &own)?;
        self.stack.push(function);
        Ok(())
    }

    fn deep_enough(&self) -> Result<(), FileError> {
        match self.stack.last() {
            Some(function) if self.depth > MAX_DEPTH => Err(refuse(
                function,
                format!("calls and graphs are nested more than {MAX_DEPTH} deep: export it flatter"),
            )),
            _ => Ok(()),
        }
    }

    /// Refuses nodes of a function that mean something else in the model's operator sets.
    fn fits(
        &mut self,
        function: &FunctionProto,
        nodes: &[NodeProto],
        own: &HashMap<&str, i64>,
    ) -> Result<(), FileError> {
        for node in nodes {
            let (domain, operator) = (domain(node.domain()), node.op_type());
            if !self.functions.contains_key(&(domain, operator, node.overload())) {
                let Some(version) = own.get(domain).copied() else {
                    let set = if domain.is_empty() { "ai.onnx" } else { domain };
                    return Err(refuse(function, format!("it uses {operator} without importing operator set {set}")));
                };
                let models = *self.versions.entry(domain.to_owned()).or_insert(version);
                let (low, high) = (version.min(models), version.max(models));
                let changed = low != high && (!domain.is_empty() || changed_between(operator, low, high));
                if changed {
                    return Err(refuse(
                        function,
                        format!(
                            "it uses {operator} of operator set {version}, the model has {models}, where it is another: export \
                             model and functions with one opset_version"
                        ),
                    ));
                }
            }
            for graph in node.attribute.iter().flat_map(graphs) {
                self.fits(function, &graph.node, own)?;
            }
        }
        Ok(())
    }

    /// What the names inside a call begin with: nothing else's do.
    fn prefix(&mut self, function: &FunctionProto) -> String {
        loop {
            self.calls += 1;
            let prefix = format!("{}_{}/", function.name(), self.calls);
            let next = self.names.range(prefix.clone()..).next();
            if !next.is_some_and(|name| name.starts_with(&prefix)) {
                return prefix;
            }
        }
    }
}

fn refuse(function: &FunctionProto, reason: String) -> FileError {
    let name = function.name();
    let function = if function.domain().is_empty() { name.to_owned() } else { format!("{}.{name}", function.domain()) };
    FileError::Function { function, reason }
}

fn collect_domains<'a>(nodes: &'a [NodeProto], domains: &mut HashSet<&'a str>) {
    for node in nodes {
        domains.insert(domain(node.domain()));
        node.attribute.iter().flat_map(graphs).for_each(|graph| collect_domains(&graph.node, domains));
    }
}
