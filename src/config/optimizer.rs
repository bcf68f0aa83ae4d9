//! `[train] optimizer`: how a gradient moves the weights.
//!
//! The variants are one schema each, and so are their unknown keys. They are read through one table of all their keys:
//! serde's own reading of such an enum would lose the places of bad values.

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer};

use super::number;

/// How a gradient moves the weights.
#[derive(Debug, Clone, Copy, PartialEq, JsonSchema)]
#[schemars(inline, tag = "type", rename_all = "lowercase", deny_unknown_fields)]
pub enum Optimizer {
    /// Stochastic gradient descent with momentum.
    Sgd {
        /// The size of a step. 0.01 unless given.
        #[schemars(default, extend("exclusiveMinimum" = 0, "default" = 0.01))]
        learning_rate: f64,
        /// How much of the last step is taken again, from 0 up to, but not, 1. 0.9 unless given.
        #[schemars(default, range(min = 0), extend("exclusiveMaximum" = 1, "default" = 0.9))]
        momentum: f64,
        /// Whether the gradient counts as if the momentum had moved the weights already (Nesterov). False unless given.
        #[schemars(default)]
        nesterov: bool,
    },
    /// Adam with decoupled weight decay (Loshchilov and Hutter 2019): a step of its own for each weight.
    AdamW {
        /// The size of a step. 0.001 unless given.
        #[schemars(default, extend("exclusiveMinimum" = 0, "default" = 0.001))]
        learning_rate: f64,
        /// How slowly the mean of the gradients forgets, from 0 up to, but not, 1. 0.9 unless given.
        #[schemars(default, range(min = 0), extend("exclusiveMaximum" = 1, "default" = 0.9))]
        beta1: f64,
        /// How slowly the mean of their squares forgets, from 0 up to, but not, 1. 0.999 unless given.
        #[schemars(default, range(min = 0), extend("exclusiveMaximum" = 1, "default" = 0.999))]
        beta2: f64,
        /// What keeps the division by the root of that mean from failing. 1e-8 unless given.
        #[schemars(default, extend("exclusiveMinimum" = 0, "default" = 1e-8))]
        epsilon: f64,
        /// The share of a weight that a step of size 1 would take away. 0.01 unless given.
        #[schemars(default, range(min = 0), extend("default" = 0.01))]
        weight_decay: f64,
    },
    /// Adagrad (Duchi and others 2011): the more a weight has moved, the smaller its steps.
    Adagrad {
        /// The size of a step. 0.01 unless given.
        #[schemars(default, extend("exclusiveMinimum" = 0, "default" = 0.01))]
        learning_rate: f64,
        /// What keeps the division by the root of the accumulator from failing. 1e-10 unless given.
        #[schemars(default, extend("exclusiveMinimum" = 0, "default" = 1e-10))]
        epsilon: f64,
        /// What the accumulator of squared gradients begins with. 0.1 unless given: the first steps stay small.
        #[schemars(default, range(min = 0), extend("default" = 0.1))]
        initial_accumulator: f64,
    },
    /// FTRL-proximal (McMahan and others 2013), which makes weights that don't matter exactly zero.
    Ftrl {
        /// The size of a step: alpha of the paper. 0.1 unless given.
        #[schemars(default, extend("exclusiveMinimum" = 0, "default" = 0.1))]
        learning_rate: f64,
        /// What the first steps are damped by: beta of the paper. 1.0 unless given.
        #[schemars(default, range(min = 0), extend("default" = 1.0))]
        beta: f64,
        /// The penalty on the size of weights, which makes zeros. 0 unless given.
        #[schemars(default, range(min = 0), extend("default" = 0.0))]
        l1: f64,
        /// The penalty on the square of weights, which makes small ones. 0 unless given.
        #[schemars(default, range(min = 0), extend("default" = 0.0))]
        l2: f64,
    },
}

impl Default for Optimizer {
    fn default() -> Self {
        Fields { kind: Kind::AdamW, ..Fields::default() }.into()
    }
}

impl<'de> Deserialize<'de> for Optimizer {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Fields::deserialize(deserializer).map(Self::from)
    }
}

/// The keys of all variants. Those that are not the variant's have been reported from the schema.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table such as { type = \"adamw\", learning_rate = 1e-3 }")]
struct Fields {
    #[serde(rename = "type")]
    kind: Kind,
    #[serde(default, deserialize_with = "number::above_zero_if_given")]
    learning_rate: Option<f64>,
    #[serde(default, deserialize_with = "number::decay_if_given")]
    momentum: Option<f64>,
    nesterov: Option<bool>,
    #[serde(default, deserialize_with = "number::decay_if_given")]
    beta1: Option<f64>,
    #[serde(default, deserialize_with = "number::decay_if_given")]
    beta2: Option<f64>,
    #[serde(default, deserialize_with = "number::above_zero_if_given")]
    epsilon: Option<f64>,
    #[serde(default, deserialize_with = "number::zero_or_more_if_given")]
    weight_decay: Option<f64>,
    #[serde(default, deserialize_with = "number::zero_or_more_if_given")]
    initial_accumulator: Option<f64>,
    #[serde(default, deserialize_with = "number::zero_or_more_if_given")]
    beta: Option<f64>,
    #[serde(default, deserialize_with = "number::zero_or_more_if_given")]
    l1: Option<f64>,
    #[serde(default, deserialize_with = "number::zero_or_more_if_given")]
    l2: Option<f64>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Sgd,
    #[default]
    AdamW,
    Adagrad,
    Ftrl,
}

/// What is not given: as in PyTorch, but with the usual momentum, Keras's accumulator and the beta of FTRL's paper.
impl From<Fields> for Optimizer {
    fn from(fields: Fields) -> Self {
        let learning_rate = |default| fields.learning_rate.unwrap_or(default);
        match fields.kind {
            Kind::Sgd => Self::Sgd {
                learning_rate: learning_rate(0.01),
                momentum: fields.momentum.unwrap_or(0.9),
                nesterov: fields.nesterov.unwrap_or(false),
            },
            Kind::AdamW => Self::AdamW {
                learning_rate: learning_rate(0.001),
                beta1: fields.beta1.unwrap_or(0.9),
                beta2: fields.beta2.unwrap_or(0.999),
                epsilon: fields.epsilon.unwrap_or(1e-8),
                weight_decay: fields.weight_decay.unwrap_or(0.01),
            },
            Kind::Adagrad => Self::Adagrad {
                learning_rate: learning_rate(0.01),
                epsilon: fields.epsilon.unwrap_or(1e-10),
                initial_accumulator: fields.initial_accumulator.unwrap_or(0.1),
            },
            Kind::Ftrl => Self::Ftrl {
                learning_rate: learning_rate(0.1),
                beta: fields.beta.unwrap_or(1.0),
                l1: fields.l1.unwrap_or(0.0),
                l2: fields.l2.unwrap_or(0.0),
            },
        }
    }
}
