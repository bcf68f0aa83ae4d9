//! What a demo has shown, once it is over.

use std::sync::PoisonError;

use serde::Serialize;

use super::Street;
use crate::cli::output::say;
use crate::engine::TrainingReport;
use crate::step::Counts;

#[derive(Serialize)]
pub(super) struct Summary {
    events: u64,
    pub(super) rankings: u64,
    late: u64,
    rejected: u64,
    duplicate: u64,
    seconds: f64,
    events_per_second: f64,
    rankings_per_second: f64,
    latency_ms: Latency,
    /// Clicks per ranking after the change of tastes, by who was served by which model.
    click_rate: Option<Comparison>,
    model_versions: u64,
    /// On the examples after the change, each scored before it was learnt from.
    auc: Option<Comparison>,
    examples: u64,
}

#[derive(Clone, Copy, Serialize)]
struct Comparison {
    learning: f64,
    frozen: f64,
}

#[derive(Clone, Copy, Default, Serialize)]
pub(super) struct Latency {
    pub(super) p50: f64,
    pub(super) p99: f64,
}

pub(super) fn summarise(counts: &Counts, street: &Street, learnt: &TrainingReport, seconds: f64) -> Summary {
    let latencies = street.latencies.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let rankings = latencies.len() as u64;
    Summary {
        events: counts.counted,
        rankings,
        late: counts.late,
        rejected: counts.rejected,
        duplicate: counts.duplicate,
        seconds,
        events_per_second: counts.counted as f64 / seconds.max(1e-9),
        rankings_per_second: rankings as f64 / seconds.max(1e-9),
        latency_ms: percentiles(latencies),
        click_rate: street.learning.rate().zip(street.frozen.rate()).map(Comparison::from),
        model_versions: learnt.promoted + 1,
        auc: auc(learnt),
        examples: learnt.examples,
    }
}

/// Over all examples that are remembered since the copy was frozen.
fn auc(learnt: &TrainingReport) -> Option<Comparison> {
    let horizon = learnt.evaluation.as_ref()?.horizons.last()?;
    horizon.learning.metrics.auc.zip(horizon.reference.metrics.auc).map(Comparison::from)
}

impl From<(f64, f64)> for Comparison {
    fn from((learning, frozen): (f64, f64)) -> Self {
        Self { learning, frozen }
    }
}

pub(super) fn print(summary: &Summary) {
    say!("events     {:>10}   {:.0}/s", summary.events, summary.events_per_second);
    say!("rankings   {:>10}   {:.0}/s, 20 candidates each", summary.rankings, summary.rankings_per_second);
    say!("late       {:>10}", summary.late);
    say!("rejected   {:>10}", summary.rejected);
    say!("latency    p50 {:.2} ms, p99 {:.2} ms from request to reply", summary.latency_ms.p50, summary.latency_ms.p99);
    if let (Some(clicks), Some(auc)) = (&summary.click_rate, &summary.auc) {
        say!("\nHalfway everybody's tastes changed, and a copy of the model was frozen. Since then:");
        say!("            learning    frozen");
        say!(
            "clicks      {:>8.3}  {:>8.3}   per ranking: {:.2} times as many",
            clicks.learning,
            clicks.frozen,
            clicks.learning / clicks.frozen.max(1e-9)
        );
        say!("AUC         {:>8.3}  {:>8.3}   on examples that neither had learnt from", auc.learning, auc.frozen);
        say!("{} versions of the model, {} examples learnt from", summary.model_versions, summary.examples);
    }
}

pub(super) fn percentiles(mut latencies: Vec<u32>) -> Latency {
    latencies.sort_unstable();
    let at = |share: f64| {
        let index = ((latencies.len() as f64 * share).ceil() as usize).saturating_sub(1);
        latencies.get(index).map_or(0.0, |micros| f64::from(*micros) / 1e3)
    };
    Latency { p50: at(0.5), p99: at(0.99) }
}
