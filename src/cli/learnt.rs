//! What a replay learns: all examples of a file in their order, evaluated before each is learnt from.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use serde::Serialize;

use super::output::say;
use super::run::interrupted;
use crate::bus::Bus;
use crate::clock;
use crate::engine::{Training, TrainingOptions};
use crate::learn::{EvaluationReport, Interval, LabelCounts};
use crate::pipeline::{Pipeline, output_spec};

/// The share of the examples after which a copy of the model is frozen; all figures are about the rest.
const FROZEN_AFTER: f64 = 0.2;
/// How often it is looked whether everything is learnt.
const LOOK: Duration = Duration::from_millis(20);

/// How well the model did on what it had not learnt yet.
#[derive(Debug, Serialize)]
pub(super) struct Learnt {
    auc: Auc,
    auc_intervals: Intervals,
    log_loss: Auc,
    examples: u64,
    positives: u64,
    /// Examples that the figures are about.
    evaluated: usize,
    versions: u64,
    labels: LabelCounts,
    learning_seconds: f64,
}

/// A figure of three predictors.
#[derive(Debug, Serialize)]
struct Auc {
    learning: Option<f64>,
    frozen: Option<f64>,
    constant: Option<f64>,
}

/// 95 % bootstrap intervals.
#[derive(Debug, Serialize)]
struct Intervals {
    learning: Option<Interval>,
    frozen: Option<Interval>,
    /// Of the difference.
    lift: Option<Interval>,
}

/// Learns from the examples that a replay has made, freezing a copy after the first fifth.
pub(super) async fn learn(pipeline: &Arc<Pipeline>, bus: &Bus, labels: LabelCounts) -> anyhow::Result<Learnt> {
    let last = bus.last_message(&output_spec(pipeline).name, &pipeline.names.examples()).await?;
    let last = last.context("the pipeline made no examples")?.sequence;
    let examples = labels.examples();
    let options = TrainingOptions {
        copies: None,
        freeze_after: Some((examples as f64 * FROZEN_AFTER).ceil() as u64),
        remembered: Some(usize::try_from(examples)?),
    };
    let start = clock::now();
    let training = Training::start(Arc::clone(pipeline), bus, options).await?;
    while training.progress().position < last.0 {
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            error = training.stopped() => return Err(error.into()),
            () = interrupted() => bail!("interrupted"),
        }
    }
    let learning_seconds = start.elapsed().as_secs_f64();
    let report = training.report().await?;
    training.stop().await?;
    let evaluation: EvaluationReport = report.evaluation.context("nothing was evaluated")?;
    let all = evaluation.horizons.last().context("nothing was evaluated")?;
    let (learning, frozen) = (&all.learning, &all.reference);
    Ok(Learnt {
        auc: Auc { learning: learning.metrics.auc, frozen: frozen.metrics.auc, constant: all.constant.auc },
        auc_intervals: Intervals {
            learning: learning.auc_interval,
            frozen: frozen.auc_interval,
            lift: all.lift.as_ref().and_then(|lift| lift.interval),
        },
        log_loss: Auc {
            learning: Some(learning.metrics.log_loss),
            frozen: Some(frozen.metrics.log_loss),
            constant: Some(all.constant.log_loss),
        },
        examples: report.examples,
        positives: labels.positives + labels.corrections,
        evaluated: all.rows,
        versions: report.promoted + 1,
        labels,
        learning_seconds,
    })
}

impl Learnt {
    /// For people.
    pub(super) fn print(&self) {
        say!("\nexamples   {:>10}   {} positive", self.examples, self.positives);
        say!("versions   {:>10}", self.versions);
        say!("\nOn the last {} examples, each scored before it was learnt from:", self.evaluated);
        say!("            AUC                        log-loss");
        let rows = [
            ("learning", self.auc.learning, self.auc_intervals.learning, self.log_loss.learning),
            ("frozen", self.auc.frozen, self.auc_intervals.frozen, self.log_loss.frozen),
            ("constant", self.auc.constant, None, self.log_loss.constant),
        ];
        for (name, auc, interval, log_loss) in rows {
            let auc = auc.map_or_else(|| "-".to_owned(), |auc| format!("{auc:.4}"));
            let interval =
                interval.map_or_else(String::new, |interval| format!("({:.4} to {:.4})", interval.low, interval.high));
            let log_loss = log_loss.map_or_else(|| "-".to_owned(), |log_loss| format!("{log_loss:.4}"));
            say!("{name:<10}  {auc:<7} {interval:<18}  {log_loss}");
        }
    }
}
