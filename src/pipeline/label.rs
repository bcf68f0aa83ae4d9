//! How what people do becomes labels.

use std::time::Duration;

use super::index::StreamIndex;
use crate::feature::Inputs;
use crate::learn::JoinSettings;
use crate::sql::Condition;

/// How what people do becomes labels of what they were shown.
pub struct LabelPlan {
    /// Index of the stream whose events are feedback.
    pub stream: StreamIndex,
    /// Columns that feedback and the rows that were scored share.
    pub join: Vec<String>,
    /// The condition over the stream's columns that makes an event positive feedback.
    pub positive: Condition,
    /// How long, how many and which candidates are remembered.
    pub settings: JoinSettings,
    /// How long the broker keeps examples.
    pub retain: Duration,
}

impl LabelPlan {
    /// The same plan for vectors whose columns are in these types; `position` is the column that is replaced by the place.
    pub(crate) fn set_inputs(&mut self, inputs: &Inputs, position: Option<usize>) {
        self.settings.columns = inputs.width();
        self.settings.position = position.and_then(|column| inputs.place(column)).map(|place| place.start);
    }
}
