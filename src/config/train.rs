//! `[train]`: how examples train the model, and when what was learnt is served.

use std::num::NonZeroUsize;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer};
use toml::Spanned;

use super::optimizer::Optimizer;
use super::text::Refusal;
use super::{count, duration, number};

/// How the examples of `[labels]` train the model of `[model]` while it serves, and when what was learnt is served.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a section [train]")]
pub struct Train {
    /// How a gradient moves the weights. `{ type = "adamw", learning_rate = 1e-3 }` unless given.
    #[serde(default)]
    #[schemars(extend("default" = { "type": "adamw", "learning_rate": 0.001 }))]
    pub optimizer: Optimizer,
    /// What is minimised. `binary_cross_entropy` unless given.
    #[serde(default)]
    #[schemars(extend("default" = "binary_cross_entropy"))]
    pub loss: Loss,
    /// How many new examples a step of training waits for. 256 unless given.
    #[serde(default = "default::batch", deserialize_with = "count::positive")]
    pub batch: NonZeroUsize,
    /// The longest wait of the first of them; then the step goes on with fewer. 500 milliseconds unless given.
    #[serde(default = "default::linger", deserialize_with = "duration::any")]
    #[schemars(schema_with = "duration::schema", extend("default" = "500ms"))]
    pub linger: Duration,
    /// How many older examples are kept to be learnt again, a uniform sample of all so far: a model that sees only new
    /// ones forgets. 0 turns it off. 20000 unless given.
    #[serde(default = "default::replay", deserialize_with = "count::any")]
    pub replay: usize,
    /// How many of those come with each new example, from 0 to 4. 1.0 unless given: then half of a step's rows are older.
    #[serde(default = "default::replay_share", deserialize_with = "replay_share")]
    #[schemars(range(min = 0, max = 4), extend("default" = 1.0))]
    pub replay_share: f64,
    /// The longest gradient, over all weights together: a longer one is shortened to this. No limit unless given.
    #[serde(default, deserialize_with = "number::above_zero_if_given")]
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub clip_norm: Option<f64>,
    /// The weights of the graph that are not trained: names, or how names begin followed by `*`, as in `normalise.*`.
    #[serde(default)]
    #[schemars(with = "Vec<String>", extend("default" = []))]
    pub freeze: Vec<Spanned<String>>,
    /// The numbers of the graph that are trained although they look like constants, named likewise; `check` lists both. What
    /// `freeze` names too stays frozen.
    #[serde(default)]
    #[schemars(with = "Vec<String>", extend("default" = []))]
    pub unfreeze: Vec<Spanned<String>>,
    /// Whether the graph's Dropout nodes drop while training, as they never do while serving. True unless given.
    #[serde(default = "default::dropout")]
    pub dropout: bool,
    /// When the trained weights take over from those that serve.
    #[serde(default, deserialize_with = "promote")]
    pub promote: Promote,
    /// How often weights, optimiser and position in the examples are saved: so much is learnt again after a crash. 10
    /// seconds unless given.
    #[serde(default = "default::checkpoint", deserialize_with = "duration::positive")]
    #[schemars(schema_with = "duration::schema", extend("default" = "10s"))]
    pub checkpoint: Duration,
    /// How many trained versions of the model the registry keeps, and how many that were given as files, besides the first
    /// and those that serve. 20 unless given.
    #[serde(default = "default::keep", deserialize_with = "count::positive")]
    pub keep: NonZeroUsize,
    /// How many threads compute a step. 1 unless given.
    #[serde(default = "default::threads", deserialize_with = "count::positive")]
    pub threads: NonZeroUsize,
}

/// What training minimises.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum Loss {
    /// For scores that are probabilities.
    #[default]
    BinaryCrossEntropy,
    /// For scores that are amounts.
    MeanSquaredError,
}

/// When the trained weights take over from those that serve: they are compared on the newest examples, which neither has
/// learnt from yet.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default, expecting = "a table such as { every = \"30s\", metric = \"auc\" }")]
#[schemars(inline)]
pub struct Promote {
    /// How often they are compared. 30 seconds unless given.
    #[serde(deserialize_with = "duration::positive")]
    #[schemars(schema_with = "duration::schema", extend("default" = "30s"))]
    pub every: Duration,
    /// By what they are compared. `auc` unless given.
    #[schemars(extend("default" = "auc"))]
    pub metric: Metric,
    /// On how many of the newest examples they are compared. 4000 unless given.
    #[serde(deserialize_with = "count::positive")]
    #[schemars(extend("default" = 4000))]
    pub holdout: NonZeroUsize,
    /// How much worse the trained weights may be and still take over, in units of the metric. 0.002 unless given.
    #[serde(deserialize_with = "number::zero_or_more")]
    #[schemars(range(min = 0), extend("default" = 0.002))]
    pub tolerance: f64,
    /// How many of those examples must be positives before anything is decided. 20 unless given.
    #[serde(deserialize_with = "count::positive")]
    #[schemars(extend("default" = 20))]
    pub least_positives: NonZeroUsize,
    /// Training stops when the share of positives grows or shrinks so many times: then something is wrong with the
    /// events, and learning from them would ruin the model. Above 1; 4.0 unless given.
    #[serde(deserialize_with = "number::factor")]
    #[schemars(extend("exclusiveMinimum" = 1, "default" = 4.0))]
    pub label_rate_jump: f64,
}

/// By what two sets of weights are compared.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum Metric {
    /// The area under the ROC curve: how often a positive is ranked above a negative. Higher is better.
    #[default]
    Auc,
    /// The mean of -ln of the probability given to what happened. Lower is better.
    LogLoss,
}

impl Default for Promote {
    fn default() -> Self {
        Self {
            every: Duration::from_secs(30),
            metric: Metric::default(),
            holdout: default::HOLDOUT,
            tolerance: 0.002,
            least_positives: default::LEAST_POSITIVES,
            label_rate_jump: 4.0,
        }
    }
}

fn replay_share<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    number::within(deserializer, "a number from 0 to 4", |share| (0.0..=4.0).contains(&share))
}

/// Weights that could never take over are refused.
fn promote<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Promote, D::Error> {
    let promote = Promote::deserialize(deserializer)?;
    let Promote { holdout, least_positives, .. } = promote;
    if least_positives > holdout {
        let message = format!("a holdout of {holdout} examples never has {least_positives} positives");
        return Err(Refusal::new(message, "raise `holdout` above `least_positives`, or lower that").into_serde());
    }
    Ok(promote)
}

mod default {
    use std::num::NonZeroUsize;
    use std::time::Duration;

    pub(super) const HOLDOUT: NonZeroUsize = NonZeroUsize::new(4000).unwrap();
    pub(super) const LEAST_POSITIVES: NonZeroUsize = NonZeroUsize::new(20).unwrap();
    const BATCH: NonZeroUsize = NonZeroUsize::new(256).unwrap();
    const KEEP: NonZeroUsize = NonZeroUsize::new(20).unwrap();
    const THREADS: NonZeroUsize = NonZeroUsize::MIN;

    pub(super) fn batch() -> NonZeroUsize {
        BATCH
    }

    pub(super) fn linger() -> Duration {
        Duration::from_millis(500)
    }

    pub(super) fn replay() -> usize {
        20_000
    }

    pub(super) fn replay_share() -> f64 {
        1.0
    }

    pub(super) fn dropout() -> bool {
        true
    }

    pub(super) fn checkpoint() -> Duration {
        Duration::from_secs(10)
    }

    pub(super) fn keep() -> NonZeroUsize {
        KEEP
    }

    pub(super) fn threads() -> NonZeroUsize {
        THREADS
    }
}
