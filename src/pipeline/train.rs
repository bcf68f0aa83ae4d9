//! How the model learns.

use std::time::Duration;

use crate::learn::LearnerSettings;
use crate::model::train::{Inventory, TrainSettings};

/// How the model learns.
#[derive(Clone)]
pub struct TrainPlan {
    /// Loss, optimiser and what is left as it is.
    pub settings: TrainSettings,
    /// Which numbers of the model are trained, and which are not.
    pub inventory: Inventory,
    /// What a learner does beside single steps.
    pub learner: LearnerSettings,
    /// How long the first new example waits for others.
    pub linger: Duration,
    /// How often weights and position are saved.
    pub checkpoint: Duration,
    /// Versions that the registry keeps.
    pub keep: usize,
}
