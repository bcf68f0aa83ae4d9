//! What expressions fail on, as dead letters: an event that a table leaves out, a row that can't be made, a condition that
//! does not say whether it holds.

use arrow::array::RecordBatch;
use arrow::json::LineDelimitedWriter;
use bytes::Bytes;

use super::arrival::Arrival;
use super::deadletter::{DeadLetter, FAILED, FailingPlace, Owner, RowId};
use super::incoming::Incoming;
use super::output::StepOutput;
use crate::bus::StreamSequence;
use crate::pipeline::Pipeline;
use crate::sql::{Failed, Failures};
use crate::time::EventTime;

/// What a person can do.
const ADVICE: &str = "guard it with CASE, nullif or WHERE, or tighten the contract";

impl StepOutput {
    /// Makes dead letters of the events that an expression of `owner` fails on, unless the state is only being rebuilt.
    /// `effect` says what becomes of them.
    pub(super) fn note_failed(
        &mut self,
        owner: &Owner,
        effect: &str,
        failures: &Failures,
        incoming: Incoming<'_>,
        arrival: &Arrival,
    ) {
        if self.is_replay {
            return;
        }
        for (row, failed) in failures.iter() {
            let Some(origin) = arrival.origin.get(row).copied() else { continue };
            self.dead.push(DeadLetter {
                stream: incoming.stream,
                sequence: incoming.sequence(origin),
                reason: FAILED,
                detail: detail(owner, failed, effect),
                bytes: incoming.message(origin),
                place: Some(FailingPlace { owner: owner.clone(), expression: failed.expression.clone(), row: None }),
            });
        }
    }

    /// Makes dead letters of the rows of tables of windows that can't be made, unless the state is only being rebuilt.
    pub(super) fn note_failed_rows(&mut self, pipeline: &Pipeline, incoming: Incoming<'_>, arrival: &Arrival) {
        if self.is_replay {
            return;
        }
        for emission in self.emissions.iter().filter(|emission| !emission.failed.is_empty()) {
            let owner = Owner::Table(pipeline.table(emission.table).plan.name().to_owned());
            let sequence = due(emission.at, incoming, arrival);
            self.dead.extend(emission.failed.iter().map(|row| DeadLetter {
                stream: incoming.stream,
                sequence,
                reason: FAILED,
                detail: detail(&owner, &row.failed, "the row is left out"),
                bytes: json(&row.values),
                place: Some(FailingPlace {
                    owner: owner.clone(),
                    expression: row.failed.expression.clone(),
                    row: Some(RowId {
                        kind: emission.kind,
                        at: emission.at,
                        keys: row.keys.clone(),
                        window: row.window,
                    }),
                }),
            }));
        }
    }
}

fn detail(owner: &Owner, failed: &Failed, effect: &str) -> String {
    let Failed { expression, reason } = failed;
    format!("{owner}: `{expression}` fails with {reason}: {effect}; {ADVICE}")
}

/// The message with which the watermark came so far: where a row stands among dead letters does not depend on how messages
/// are cut into steps.
fn due(at: EventTime, incoming: Incoming<'_>, arrival: &Arrival) -> StreamSequence {
    let event = arrival.watermarks.partition_point(|watermark| *watermark < at);
    let sequence = arrival.origin.get(event).map(|origin| incoming.sequence(*origin));
    sequence.or(incoming.last()).unwrap_or(StreamSequence(0))
}

/// A row as JSON; nothing where JSON has no form for it.
fn json(row: &RecordBatch) -> Bytes {
    let mut writer = LineDelimitedWriter::new(Vec::new());
    match writer.write(row).and_then(|()| writer.finish()) {
        Ok(()) => writer.into_inner().trim_ascii_end().to_vec().into(),
        Err(_) => Bytes::new(),
    }
}
