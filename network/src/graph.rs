//! What a network computes: nodes, constants, inputs and outputs, in an order in which every value is made before it is read.
//!
//! It knows no file, no sizes that are open and no plan.

mod modules;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::operator::Operator;
use crate::tensor::{ElementType, Tensor};

/// The number of a value within its graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ValueId(pub(crate) usize);

/// A length of an input along an axis.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Dimension {
    /// A length that the network demands.
    Fixed(usize),
    /// A length that is open. Lengths of one name are equal.
    Named(String),
    /// A length that is open.
    Any,
}

/// An input of a network.
#[derive(Clone, Debug, PartialEq)]
pub struct Input {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: ValueId,
    /// The type of its elements.
    pub element: ElementType,
    /// Its lengths; `None` where even their number is open.
    pub dimensions: Option<Vec<Dimension>>,
}

/// One operator in its place.
#[derive(Clone, Debug)]
pub struct Node {
    /// Its name, for messages.
    pub name: String,
    /// What it computes.
    pub operator: Arc<dyn Operator>,
    /// What it reads; optional inputs may be absent.
    pub inputs: Vec<Option<ValueId>>,
    /// What it makes.
    pub outputs: Vec<ValueId>,
}

/// A network: what is computed, whatever the sizes.
#[derive(Clone, Debug)]
pub struct Graph {
    pub(crate) names: Vec<String>,
    pub(crate) constants: HashMap<ValueId, Tensor>,
    pub(crate) nodes: Vec<Node>,
    pub(crate) inputs: Vec<Input>,
    pub(crate) outputs: Vec<(String, ValueId)>,
}

impl Graph {
    /// The inputs, in their order.
    #[must_use]
    pub fn inputs(&self) -> &[Input] {
        &self.inputs
    }

    /// Names and values of the outputs, in their order.
    #[must_use]
    pub fn outputs(&self) -> &[(String, ValueId)] {
        &self.outputs
    }

    /// The nodes: each after those whose outputs it reads.
    #[must_use]
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The constant that a value is, if it is one.
    #[must_use]
    pub fn constant(&self, value: ValueId) -> Option<&Tensor> {
        self.constants.get(&value)
    }

    /// Names and tensors of the constants, in the order in which they were added.
    pub fn constants(&self) -> impl Iterator<Item = (&str, &Tensor)> {
        let mut all: Vec<(&ValueId, &Tensor)> = self.constants.iter().collect();
        all.sort_by_key(|(value, _)| **value);
        all.into_iter().map(|(value, tensor)| (self.name(*value), tensor))
    }

    /// The name of a value.
    #[must_use]
    pub fn name(&self, value: ValueId) -> &str {
        self.names.get(value.0).map_or("", String::as_str)
    }

    /// Elements of all constants with a fraction: the parameters.
    #[must_use]
    pub fn parameters(&self) -> usize {
        self.constants.values().filter(|tensor| tensor.element() == ElementType::Float).map(Tensor::len).sum()
    }
}

/// Builds a [`Graph`], value after value.
#[derive(Debug, Default)]
pub struct GraphBuilder {
    names: Vec<String>,
    constants: HashMap<ValueId, Tensor>,
    nodes: Vec<Node>,
    inputs: Vec<Input>,
    outputs: Vec<(String, ValueId)>,
}

impl GraphBuilder {
    /// A graph without anything.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A value of a name, which nothing makes yet.
    pub fn value(&mut self, name: impl Into<String>) -> ValueId {
        self.names.push(name.into());
        ValueId(self.names.len() - 1)
    }

    /// An input.
    pub fn input(
        &mut self,
        name: impl Into<String>,
        element: ElementType,
        dimensions: Option<Vec<Dimension>>,
    ) -> ValueId {
        let name = name.into();
        let value = self.value(name.clone());
        self.inputs.push(Input { name, value, element, dimensions });
        value
    }

    /// A constant.
    pub fn constant(&mut self, name: impl Into<String>, tensor: impl Into<Tensor>) -> ValueId {
        let value = self.value(name);
        self.constants.insert(value, tensor.into());
        value
    }

    /// A node with one output, which has the node's name.
    pub fn node(
        &mut self,
        name: impl Into<String>,
        operator: impl Operator,
        inputs: impl IntoIterator<Item = ValueId>,
    ) -> ValueId {
        let name = name.into();
        let output = self.value(name.clone());
        let inputs = inputs.into_iter().map(Some).collect();
        self.push(Node { name, operator: Arc::new(operator), inputs, outputs: vec![output] });
        output
    }

    /// A node whose values are known by number.
    pub fn push(&mut self, node: Node) {
        self.nodes.push(node);
    }

    /// Makes a value an output.
    pub fn output(&mut self, name: impl Into<String>, value: ValueId) {
        self.outputs.push((name.into(), value));
    }

    /// The graph, with its nodes in order.
    ///
    /// # Errors
    /// [`Error::Graph`] for a value that is made twice or never, a cycle, two inputs or outputs of one name, or no output.
    pub fn build(self) -> Result<Graph> {
        let Self { names, constants, nodes, inputs, outputs } = self;
        let name = |value: &ValueId| names.get(value.0).cloned().unwrap_or_default();
        let mut made: HashSet<ValueId> = HashSet::new();
        let own = inputs.iter().map(|input| input.value).chain(constants.keys().copied());
        let of_nodes = nodes.iter().flat_map(|node| node.outputs.iter().copied());
        for value in own.clone().chain(of_nodes) {
            if value.0 >= names.len() {
                return Err(Error::Graph(format!("value {} belongs to another graph", value.0)));
            }
            if !made.insert(value) {
                return Err(Error::Graph(format!("value {} is made twice", name(&value))));
            }
        }
        if outputs.is_empty() {
            return Err(Error::Graph("a network without outputs".into()));
        }
        if let Some(name) = twice(inputs.iter().map(|input| &input.name)) {
            return Err(Error::Graph(format!("two inputs are called {name}")));
        }
        if let Some(name) = twice(outputs.iter().map(|(name, _)| name)) {
            return Err(Error::Graph(format!("two outputs are called {name}")));
        }
        if let Some((_, value)) = outputs.iter().find(|(_, value)| !made.contains(value)) {
            return Err(Error::Graph(format!("nothing makes output {}", name(value))));
        }
        for node in &nodes {
            if let Some(value) = node.inputs.iter().flatten().find(|value| !made.contains(value)) {
                let error = Error::Graph(format!("nothing makes its input {}", name(value)));
                return Err(error.at(&node.name, node.operator.name()));
            }
        }
        let nodes = sorted(nodes, own.collect())?;
        Ok(Graph { names, constants, nodes, inputs, outputs })
    }
}

/// A name that occurs twice, if one does.
fn twice<'a>(mut names: impl Iterator<Item = &'a String>) -> Option<&'a String> {
    let mut known = HashSet::new();
    names.find(|&name| !known.insert(name))
}

/// The nodes in an order in which values are made before they are read: theirs, as far as possible.
fn sorted(nodes: Vec<Node>, mut made: HashSet<ValueId>) -> Result<Vec<Node>> {
    let is_in_order = {
        let mut made = made.clone();
        nodes.iter().all(|node| {
            let is_ready = node.inputs.iter().flatten().all(|value| made.contains(value));
            made.extend(&node.outputs);
            is_ready
        })
    };
    if is_in_order {
        return Ok(nodes);
    }
    // Kahn's algorithm: a node is ready once all that it waits for are made.
    let mut readers: HashMap<ValueId, Vec<usize>> = HashMap::new();
    let mut waits = vec![0usize; nodes.len()];
    for (number, node) in nodes.iter().enumerate() {
        let inputs: HashSet<ValueId> = node.inputs.iter().flatten().copied().filter(|v| !made.contains(v)).collect();
        waits[number] = inputs.len();
        inputs.into_iter().for_each(|value| readers.entry(value).or_default().push(number));
    }
    let mut ready: std::collections::BTreeSet<usize> = (0..nodes.len()).filter(|&number| waits[number] == 0).collect();
    let mut left: Vec<Option<Node>> = nodes.into_iter().map(Some).collect();
    let mut order = Vec::with_capacity(left.len());
    while let Some(number) = ready.pop_first() {
        let Some(node) = left[number].take() else { continue };
        for value in &node.outputs {
            made.insert(*value);
            for &reader in readers.get(value).map_or(&[][..], Vec::as_slice) {
                waits[reader] -= 1;
                if waits[reader] == 0 {
                    ready.insert(reader);
                }
            }
        }
        order.push(node);
    }
    match left.into_iter().flatten().next() {
        None => Ok(order),
        Some(node) => {
            let error = Error::Graph("it waits for its own output: the nodes form a cycle".into());
            Err(error.at(&node.name, node.operator.name()))
        }
    }
}
