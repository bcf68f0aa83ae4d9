//! What a step gives, as messages of the output stream, each named by what identifies it.
//!
//! The name does not depend on how events were grouped into steps, so that a step which is done again after a crash can
//! leave out what is stored already.

use std::sync::atomic::AtomicU64;

use bytes::Bytes;

use super::emitted::{TABLE, name_row};
use super::halves::Vectors;
use super::letter::COLUMN;
use crate::bus::{Outgoing, StreamSequence, Subject};
use crate::pipeline::{Pipeline, StreamIndex};
use crate::step::{DeadLetter, ExampleMessage, FailingPlace, Owner, Tick};

/// The header that names an output.
pub(super) const ID: &str = "Tidewheel-Id";
/// What the names of messages of examples begin with.
pub(super) const EXAMPLE: &str = "example-";
pub(super) const REASON: &str = "Tidewheel-Reason";
pub(super) const DETAIL: &str = "Tidewheel-Detail";
const SEQUENCE: &str = "Tidewheel-Sequence";
const STREAM: &str = "Tidewheel-Stream";

/// The longest detail in a header.
const LONGEST_DETAIL: usize = 500;

/// The subjects of a pipeline's outputs.
pub(super) struct Outputs {
    pub(super) pipeline: String,
    streams: Vec<String>,
    ranked: Option<Subject>,
    pub(super) dead: Subject,
    pub(super) examples: Subject,
    /// Of what examples and impressions are made, where there are any.
    pub(super) vectors: Option<Vectors>,
    /// How many dead letters stand for outputs that were too large: not each is worth a line in the log.
    pub(super) replaced: AtomicU64,
}

/// What of one step goes to the output stream.
#[derive(Default)]
pub(crate) struct Given {
    /// Rankings with their names.
    pub(crate) rankings: Vec<(String, Bytes)>,
    pub(crate) examples: Vec<ExampleMessage>,
    /// Rows of tables of windows, and dead letters about rows.
    pub(crate) emitted: Vec<Outgoing>,
    pub(crate) dead: Vec<DeadLetter>,
    /// The names of rankings that the model failed to make, as a restart has to know them.
    pub(crate) unscored: Vec<String>,
    /// The tick that gave the examples, if it was one.
    pub(crate) tick: Option<Tick>,
}

impl Outputs {
    pub(super) fn of(pipeline: &Pipeline) -> Self {
        let names = &pipeline.names;
        Self {
            pipeline: pipeline.name.clone(),
            streams: pipeline.streams.iter().map(|stream| stream.name.clone()).collect(),
            ranked: pipeline.score.as_ref().and_then(|score| score.publish.clone()),
            dead: names.dead_letters(),
            examples: names.examples(),
            vectors: pipeline.vector.as_deref().map(Vectors::of),
            replaced: AtomicU64::new(0),
        }
    }

    /// The messages of whatever size, appended to `messages`.
    pub(super) fn append(&self, given: Given, messages: &mut Vec<Outgoing>) {
        if let Some(ranked) = &self.ranked {
            messages.extend(given.rankings.into_iter().map(|(id, payload)| {
                let id = id.replace(['\r', '\n'], " ");
                Outgoing::new(ranked.clone(), payload).header(ID, id)
            }));
        }
        messages.extend(given.examples.into_iter().map(|ExampleMessage { id, payload }| {
            Outgoing::new(self.examples.clone(), payload).header(ID, format!("{EXAMPLE}{id}"))
        }));
        messages.extend(given.emitted);
        self.append_dead(given.dead, messages);
    }

    /// Dead letters in the order of their stream; those of one message are counted.
    fn append_dead(&self, mut letters: Vec<DeadLetter>, messages: &mut Vec<Outgoing>) {
        letters.sort_by_key(|letter| (letter.stream, letter.sequence));
        let (mut last, mut ordinal) = ((StreamIndex(usize::MAX), StreamSequence(0)), 0_u32);
        for letter in letters {
            let stream = self.streams.get(letter.stream.0).map_or("", String::as_str);
            let message = Outgoing::new(self.dead.clone(), letter.bytes);
            let row = letter.place.as_ref().and_then(|place| place.row.as_ref());
            let message = match (row, &letter.place) {
                (Some(row), Some(FailingPlace { owner: Owner::Table(table), .. })) => name_row(message, table, row),
                _ => {
                    let place = (letter.stream, letter.sequence);
                    ordinal = if place == last { ordinal + 1 } else { 0 };
                    last = place;
                    message.header(ID, format!("dead-{stream}-{}-{ordinal}", letter.sequence))
                }
            };
            let message = match &letter.place {
                Some(FailingPlace { owner: Owner::Table(table), expression, .. }) => {
                    message.header(TABLE, table.clone()).header(COLUMN, one_line(expression))
                }
                Some(FailingPlace { expression, .. }) => message.header(COLUMN, one_line(expression)),
                None => message,
            };
            messages.push(
                message
                    .header(STREAM, stream)
                    .header(SEQUENCE, letter.sequence.to_string())
                    .header(REASON, letter.reason)
                    .header(DETAIL, one_line(&letter.detail)),
            );
        }
    }
}

/// The name of an output.
pub(super) fn id(message: &Outgoing) -> Option<&str> {
    message.headers.iter().find(|(name, _)| *name == ID).map(|(_, id)| id.as_str())
}

pub(super) fn one_line(detail: &str) -> String {
    let line: String = detail.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect();
    let end = line.char_indices().map(|(index, _)| index).take_while(|index| *index <= LONGEST_DETAIL).last();
    if line.len() > LONGEST_DETAIL { line[..end.unwrap_or(0)].to_owned() } else { line }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letter(sequence: u64, reason: &'static str) -> DeadLetter {
        DeadLetter {
            stream: StreamIndex(0),
            sequence: StreamSequence(sequence),
            reason,
            detail: "two\nlines".to_owned(),
            bytes: Bytes::from_static(b"{}"),
            place: None,
        }
    }

    impl Outputs {
        /// Of a pipeline `shop` with a stream `clicks`.
        pub(in crate::commit) fn testing(vectors: Option<Vectors>) -> Self {
            Self {
                pipeline: "shop".to_owned(),
                streams: vec!["clicks".to_owned()],
                ranked: None,
                dead: Subject::new("shop.dead").unwrap(),
                examples: Subject::new("shop.examples").unwrap(),
                vectors,
                replaced: AtomicU64::new(0),
            }
        }
    }

    #[test]
    fn dead_letters_are_named_alike_however_they_were_grouped() {
        let outputs = Outputs::testing(None);
        let names = |groups: &[&[DeadLetter]]| -> Vec<String> {
            let mut messages = Vec::new();
            groups.iter().for_each(|group| outputs.append_dead(group.to_vec(), &mut messages));
            messages.iter().map(|message| format!("{} {}", id(message).unwrap(), message.headers[3].1)).collect()
        };
        let (bad, late) = (letter(4, "malformed"), letter(4, "late"));
        let together = names(&[&[bad.clone(), letter(5, "malformed"), late.clone()]]);
        assert_eq!(together, ["dead-clicks-4-0 malformed", "dead-clicks-4-1 late", "dead-clicks-5-0 malformed"]);
        assert_eq!(names(&[&[bad, late], &[letter(5, "malformed")]]), together);
    }

    #[test]
    fn a_long_detail_is_cut_between_letters() {
        let long = "ä".repeat(400);
        assert!(one_line(&long).len() <= LONGEST_DETAIL);
        assert_eq!(one_line("two\nlines"), "two lines");
    }
}
