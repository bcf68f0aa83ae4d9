//! Whether a trained candidate takes the active model's place: a decision from facts alone.
//!
//! ```text
//!  label rate jumped? ─yes─▶ Stop      the stream is broken or has changed; training on would ruin the model
//!         │ no
//!  not finite? ────────yes─▶ Refuse
//!         │ no
//!  too few examples? ──yes─▶ Wait
//!         │ no
//!  worse by more than the tolerance? ─yes─▶ Refuse
//!         │ no
//!      Promote
//! ```

use super::Metrics;

/// The figure by which candidate and active model are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GateMetric {
    /// Area under the ROC curve: higher is better.
    Auc,
    /// Mean negative log-likelihood in nats: lower is better.
    LogLoss,
}

impl GateMetric {
    /// The metric in a sentence.
    fn name(self) -> &'static str {
        match self {
            Self::Auc => "AUC",
            Self::LogLoss => "log-loss",
        }
    }

    fn of(self, metrics: &Metrics) -> Option<f64> {
        match self {
            Self::Auc => metrics.auc,
            Self::LogLoss => Some(metrics.log_loss),
        }
    }

    /// How much worse the candidate is; negative when it is better.
    fn loss(self, candidate: f64, active: f64) -> f64 {
        match self {
            Self::Auc => active - candidate,
            Self::LogLoss => candidate - active,
        }
    }
}

/// What a candidate must pass.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct GateSettings {
    /// What is compared.
    pub metric: GateMetric,
    /// Held-out examples that are needed.
    pub holdout: usize,
    /// How much worse than the active model a candidate may be, in the metric's unit; 0 or more.
    pub tolerance: f64,
    /// Examples of each label that are needed among those held out; also how many positives the newest examples must have, or
    /// should have had, before their label rate counts as a jump.
    pub least_positives: usize,
    /// By what factor, either way, the label rate may change; above 1.
    pub label_rate_factor: f64,
    /// Examples that a label rate needs before it is believed.
    pub label_rate_examples: u64,
}

/// The share of positives in a part of the stream.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct LabelRate {
    /// Examples it was taken from.
    pub examples: u64,
    /// Positives among them by all examples, from 0 to 1.
    pub rate: f64,
}

/// What is known about a candidate.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct GateFacts {
    /// The candidate on the held-out examples; `None` when there are none.
    pub candidate: Option<Metrics>,
    /// The active model on the same examples.
    pub active: Option<Metrics>,
    /// The newest examples, which the candidate has not trained on.
    pub examples_in_holdout: usize,
    /// Positives among them.
    pub positives: usize,
    /// Whether all of the candidate's weights are finite.
    pub weights_finite: bool,
    /// Whether all of its predictions on the held-out examples are finite.
    pub outputs_finite: bool,
    /// The label rate of the newest examples.
    pub label_rate_recent: LabelRate,
    /// The label rate of those before them.
    pub label_rate_before: LabelRate,
}

/// Why a candidate is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// Weights that are not finite.
    Weights,
    /// Predictions that are not finite, or no probabilities.
    Outputs,
    /// A figure that is not a number.
    Figures,
    /// The active model does better.
    Worse,
}

/// What happens to a candidate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GateDecision {
    /// It becomes the active model.
    Promote,
    /// It is not good enough; training goes on.
    Refuse {
        /// Of what kind the reason is.
        because: Refusal,
        /// Why, with the figures.
        reason: String,
    },
    /// Training stops until a person has looked; the active model stays.
    Stop {
        /// Why, with the figures.
        reason: String,
    },
    /// Nothing can be said yet; training goes on.
    Wait {
        /// What is missing, with the figures.
        reason: String,
    },
}

/// Decides about a candidate.
#[must_use]
pub(crate) fn decide(facts: &GateFacts, settings: &GateSettings) -> GateDecision {
    if let Some(reason) = label_rate_jump(facts, settings) {
        return GateDecision::Stop { reason };
    }
    if !facts.weights_finite {
        let reason = "the candidate has weights that are NaN or infinite".to_owned();
        return GateDecision::Refuse { because: Refusal::Weights, reason };
    }
    if !facts.outputs_finite {
        let reason =
            "the candidate gives predictions on the newest examples that are NaN, infinite or no probabilities";
        return GateDecision::Refuse { because: Refusal::Outputs, reason: reason.to_owned() };
    }
    if let Some(reason) = too_few(facts, settings) {
        return GateDecision::Wait { reason };
    }
    compare(facts, settings)
}

/// Why training must stop: the label rate left the range that the factor allows, and chance does not explain it.
fn label_rate_jump(facts: &GateFacts, settings: &GateSettings) -> Option<String> {
    let (recent, before) = (facts.label_rate_recent, facts.label_rate_before);
    if recent.examples < settings.label_rate_examples || before.examples < settings.label_rate_examples {
        return None;
    }
    // With a handful of positives on both sides any factor happens by chance.
    let expected = before.rate.max(recent.rate) * recent.examples as f64;
    if expected < settings.least_positives as f64 {
        return None;
    }
    // Products, so that a rate of 0 needs no case of its own.
    let factor = settings.label_rate_factor;
    let direction = if recent.rate > before.rate * factor {
        "rose"
    } else if recent.rate * factor < before.rate {
        "fell"
    } else {
        return None;
    };
    Some(format!(
        "the label rate {direction} from {:.4} in {} examples to {:.4} in the newest {}, more than by the factor {factor}: \
         look at the feedback stream before training goes on",
        before.rate, before.examples, recent.rate, recent.examples,
    ))
}

/// What is missing before models can be compared.
fn too_few(facts: &GateFacts, settings: &GateSettings) -> Option<String> {
    let rows = facts.examples_in_holdout;
    let negatives = rows.saturating_sub(facts.positives);
    if rows < settings.holdout {
        return Some(format!("{rows} examples are held out, {} are needed", settings.holdout));
    }
    for (found, what) in [(facts.positives, "positives"), (negatives, "negatives")] {
        if found < settings.least_positives {
            let needed = settings.least_positives;
            return Some(format!("the {rows} held-out examples have {found} {what}, {needed} are needed"));
        }
    }
    None
}

fn compare(facts: &GateFacts, settings: &GateSettings) -> GateDecision {
    let metric = settings.metric;
    let (name, rows, tolerance) = (metric.name(), facts.examples_in_holdout, settings.tolerance);
    let figure = |metrics: Option<Metrics>| metrics.and_then(|metrics| metric.of(&metrics));
    let (Some(candidate), Some(active)) = (figure(facts.candidate), figure(facts.active)) else {
        let reason = format!("there is no {name} of both models on the {rows} held-out examples");
        return GateDecision::Wait { reason };
    };
    let loss = metric.loss(candidate, active);
    if loss <= tolerance {
        return GateDecision::Promote;
    }
    if loss.is_nan() {
        let reason = format!("the {name} is {candidate} for the candidate and {active} for the active model");
        return GateDecision::Refuse { because: Refusal::Figures, reason };
    }
    GateDecision::Refuse {
        because: Refusal::Worse,
        reason: format!(
            "the candidate's {name} on the newest {rows} examples is {candidate:.4}, the active model's is {active:.4}: \
             worse by {loss:.4}, {tolerance} is tolerated"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTINGS: GateSettings = GateSettings {
        metric: GateMetric::Auc,
        holdout: 4_000,
        tolerance: 0.25,
        least_positives: 20,
        label_rate_factor: 3.0,
        label_rate_examples: 1_000,
    };

    /// Figures that a f64 holds exactly, so that edges are edges.
    fn metrics(auc: f64, log_loss: f64) -> Metrics {
        Metrics { auc: Some(auc), log_loss }
    }

    fn facts() -> GateFacts {
        GateFacts {
            candidate: Some(metrics(0.5, 0.75)),
            active: Some(metrics(0.75, 0.5)),
            examples_in_holdout: 4_000,
            positives: 20,
            weights_finite: true,
            outputs_finite: true,
            label_rate_recent: rate(1_000, 0.0625),
            label_rate_before: rate(1_000, 0.0625),
        }
    }

    fn rate(examples: u64, rate: f64) -> LabelRate {
        LabelRate { examples, rate }
    }

    fn told(facts: GateFacts, metric: GateMetric) -> String {
        match decide(&facts, &GateSettings { metric, ..SETTINGS }) {
            GateDecision::Promote => "promote".to_owned(),
            GateDecision::Refuse { reason, .. } => format!("refuse: {reason}"),
            GateDecision::Stop { reason } => format!("stop: {reason}"),
            GateDecision::Wait { reason } => format!("wait: {reason}"),
        }
    }

    #[test]
    fn a_candidate_may_be_worse_by_the_tolerance_and_no_more() {
        assert_eq!(told(facts(), GateMetric::Auc), "promote");
        assert_eq!(told(facts(), GateMetric::LogLoss), "promote");
        let better = GateFacts { candidate: Some(metrics(1.0, 0.0)), ..facts() };
        assert_eq!(told(better, GateMetric::Auc), "promote");
        assert_eq!(told(better, GateMetric::LogLoss), "promote");
        let worse = GateFacts { candidate: Some(metrics(0.4375, 0.8125)), ..facts() };
        insta::assert_snapshot!(
            told(worse, GateMetric::Auc),
            @"refuse: the candidate's AUC on the newest 4000 examples is 0.4375, the active model's is 0.7500: worse by 0.3125, 0.25 is tolerated"
        );
        insta::assert_snapshot!(
            told(worse, GateMetric::LogLoss),
            @"refuse: the candidate's log-loss on the newest 4000 examples is 0.8125, the active model's is 0.5000: worse by 0.3125, 0.25 is tolerated"
        );
    }

    #[test]
    fn what_is_not_finite_is_refused() {
        insta::assert_snapshot!(
            told(GateFacts { weights_finite: false, ..facts() }, GateMetric::Auc),
            @"refuse: the candidate has weights that are NaN or infinite"
        );
        insta::assert_snapshot!(
            told(GateFacts { outputs_finite: false, candidate: None, ..facts() }, GateMetric::Auc),
            @"refuse: the candidate gives predictions on the newest examples that are NaN, infinite or no probabilities"
        );
        insta::assert_snapshot!(
            told(GateFacts { candidate: Some(metrics(0.5, f64::NAN)), ..facts() }, GateMetric::LogLoss),
            @"refuse: the log-loss is NaN for the candidate and 0.5 for the active model"
        );
    }

    #[test]
    fn too_few_examples_wait() {
        insta::assert_snapshot!(
            told(GateFacts { examples_in_holdout: 3_999, ..facts() }, GateMetric::Auc),
            @"wait: 3999 examples are held out, 4000 are needed"
        );
        insta::assert_snapshot!(
            told(GateFacts { positives: 19, ..facts() }, GateMetric::Auc),
            @"wait: the 4000 held-out examples have 19 positives, 20 are needed"
        );
        insta::assert_snapshot!(
            told(GateFacts { positives: 3_981, ..facts() }, GateMetric::Auc),
            @"wait: the 4000 held-out examples have 19 negatives, 20 are needed"
        );
        assert_eq!(told(GateFacts { positives: 3_980, ..facts() }, GateMetric::Auc), "promote");
        insta::assert_snapshot!(
            told(GateFacts { active: None, ..facts() }, GateMetric::Auc),
            @"wait: there is no AUC of both models on the 4000 held-out examples"
        );
    }

    #[test]
    fn a_label_rate_beyond_the_factor_stops_training_whatever_the_candidate_is() {
        let with = |recent, before| {
            let facts = GateFacts { label_rate_recent: recent, label_rate_before: before, ..facts() };
            told(GateFacts { weights_finite: false, ..facts }, GateMetric::Auc)
        };
        let goes_on = "refuse: the candidate has weights that are NaN or infinite";
        insta::assert_snapshot!(
            with(rate(1_000, 0.25), rate(1_000, 0.0625)),
            @"stop: the label rate rose from 0.0625 in 1000 examples to 0.2500 in the newest 1000, more than by the factor 3: look at the feedback stream before training goes on"
        );
        insta::assert_snapshot!(
            with(rate(1_000, 0.0), rate(5_000, 0.0625)),
            @"stop: the label rate fell from 0.0625 in 5000 examples to 0.0000 in the newest 1000, more than by the factor 3: look at the feedback stream before training goes on"
        );
        assert!(with(rate(1_000, 0.25), rate(1_000, 0.0)).starts_with("stop: the label rate rose from 0.0000"));
        for (recent, before) in [
            // Exactly by the factor, both ways.
            (rate(1_000, 0.1875), rate(1_000, 0.0625)),
            (rate(1_000, 0.0625), rate(1_000, 0.1875)),
            // Too few examples on one side.
            (rate(999, 0.25), rate(1_000, 0.0625)),
            (rate(1_000, 0.25), rate(999, 0.0625)),
            // So few positives that chance explains it.
            (rate(1_000, 0.0), rate(100_000, 0.0195)),
            (rate(1_000, 0.0195), rate(100_000, 0.001)),
            (rate(0, 0.0), rate(0, 0.0)),
        ] {
            assert_eq!(with(recent, before), goes_on, "{recent:?} after {before:?}");
        }
    }
}
