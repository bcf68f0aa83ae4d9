//! The publishing task: replies at once, rankings and dead letters with acknowledgement, then the position moves.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{mpsc, watch};

use super::EngineError;
use super::label::ExampleMessage;
use super::pipeline::Pipeline;
use super::position::Position;
use super::scoring::Publication;
use super::serving::now_micros;
use super::streams::{examples_subject, impressions_subject};
use crate::bus::{Outgoing, Publisher, Subject};

/// The header that names where the streams stood before the step of an output.
pub(super) const POSITION: &str = "Tidewheel-Position";
const REASON: &str = "Tidewheel-Reason";
const DETAIL: &str = "Tidewheel-Detail";
const SEQUENCE: &str = "Tidewheel-Sequence";
const STREAM: &str = "Tidewheel-Stream";

/// The longest detail in a header.
const LONGEST_DETAIL: usize = 500;

/// Publishes until the steps end; `settled` follows what is safely in the broker.
pub(super) async fn publish_all(
    pipeline: Arc<Pipeline>,
    mut publisher: Publisher,
    mut publications: mpsc::Receiver<Publication>,
    settled: watch::Sender<Position>,
) -> Result<(), EngineError> {
    let ranked = pipeline.score.as_ref().and_then(|score| score.publish.clone());
    let subjects = Subjects::of(&pipeline.name)?;
    let (started, mut shown) = (now_micros(), 0_u64);
    while let Some(publication) = publications.recv().await {
        let Publication { rankings, replies, dead: letters, labelled, emitted, before, after } = publication;
        // Before the reply: feedback on what is not yet remembered would be lost by a crash in between.
        for impressions in labelled.impressions {
            // They are never made again, but a message without an answer is sent again.
            shown += 1;
            let message = Outgoing::new(subjects.impressions.clone(), impressions)
                .message_id(format!("shown-{started}-{shown}"))
                .header(POSITION, before.as_ref());
            publisher.publish(message).await?;
        }
        for (request, reply) in replies {
            if let Err(error) = request.respond(reply).await {
                tracing::warn!(%error, "reply not sent");
            }
        }
        if let Some(ranked) = &ranked {
            for (request_id, payload) in rankings {
                let id = request_id.replace(['\r', '\n'], " ");
                let message = Outgoing::new(ranked.clone(), payload).message_id(id).header(POSITION, before.as_ref());
                publisher.publish(message).await?;
            }
        }
        for ExampleMessage { id, payload } in labelled.examples {
            let message =
                Outgoing::new(subjects.examples.clone(), payload).message_id(id).header(POSITION, before.as_ref());
            publisher.publish(message).await?;
        }
        for row in emitted {
            publisher.publish(row.header(POSITION, before.as_ref())).await?;
        }
        for letter in letters {
            let stream = &pipeline.streams[letter.stream].name;
            let id = format!("dead-{stream}-{}-{}", letter.sequence, letter.ordinal);
            let message = Outgoing::new(subjects.dead.clone(), shortened(letter.bytes))
                .message_id(id)
                .header(POSITION, before.as_ref())
                .header(STREAM, stream)
                .header(SEQUENCE, letter.sequence.to_string())
                .header(REASON, letter.reason)
                .header(DETAIL, one_line(&letter.detail));
            publisher.publish(message).await?;
        }
        if publications.is_empty() {
            publisher.settle().await?;
            settled.send_replace(after);
        }
    }
    publisher.settle().await?;
    Ok(())
}

/// A pipeline's own subjects.
struct Subjects {
    dead: Subject,
    examples: Subject,
    impressions: Subject,
}

impl Subjects {
    fn of(pipeline: &str) -> Result<Self, EngineError> {
        Ok(Self {
            dead: Subject::new(format!("{pipeline}.dead"))?,
            examples: Subject::new(examples_subject(pipeline))?,
            impressions: Subject::new(impressions_subject(pipeline))?,
        })
    }
}

/// A dead letter carries the original bytes; headers must fit beside them.
fn shortened(bytes: Bytes) -> Bytes {
    const MOST: usize = (1 << 20) - 4_096;
    if bytes.len() > MOST { bytes.slice(..MOST) } else { bytes }
}

fn one_line(detail: &str) -> String {
    let line: String = detail.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect();
    let end = line.char_indices().map(|(index, _)| index).take_while(|index| *index <= LONGEST_DETAIL).last();
    if line.len() > LONGEST_DETAIL { line[..end.unwrap_or(0)].to_owned() } else { line }
}
