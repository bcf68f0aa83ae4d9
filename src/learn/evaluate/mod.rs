//! Prequential evaluation: every example is scored before it trains, and those scores are judged.
//!
//! ```text
//!                       ┌ learning model  0.31 ┐
//!  example, unlabelled ─┤ reference model 0.22 ├─▶ recorded with the label ─▶ the newest 1,000 / 10,000 / 100,000 / all
//!                       └ running label rate   ┘                                 │
//!                                     AUC and its interval, log-loss, calibration, lift of learning over reference
//! ```
//!
//! All figures weigh an example by 1 / sampling, so they are those of the stream before negatives were sampled. A correction
//! is an example like any other: the negative that it corrects stays in.
//!
//! A model that gives logits is judged by them, in float64: what is sure is not rounded to certain.
//!
//! A figure that has no meaning is `None`, never a guess: there is no AUC without both labels. Everything is a function of
//! what was recorded; the resampling behind the intervals starts from a fixed seed.

mod bootstrap;
mod metrics;
mod prediction;
mod prequential;
mod sorted;

#[cfg(test)]
mod naive;

pub(crate) use bootstrap::Interval;
pub(crate) use metrics::{EvaluationError, Metrics};
pub(crate) use prediction::Prediction;
pub(crate) use prequential::{EvaluationReport, HorizonReport, Prequential};
