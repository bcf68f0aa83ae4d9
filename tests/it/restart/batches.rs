//! The same events as JSON messages, as Arrow messages and as columns, in the same steps: what comes out and what is remembered
//! are the same.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{RecordBatch, StringArray};
use arrow::compute::concat_batches;
use arrow::datatypes::Schema;
use arrow::ipc::writer::StreamWriter;
use arrow_json::ReaderBuilder;
use proptest::prelude::*;
use proptest::sample::Index;
use serde_json::{Value, json};
use tidewheel::bus::{Encoding, Message};
use tidewheel::event::Contract;
use tidewheel::pipeline::{Pipeline, StreamIndex};
use tidewheel::step::{EventBatch, Subjects};

use super::folders::{ALL, WINDOWS};
use super::passage::{Out, Parts, Passage};
use super::shop::messages;

/// How events come.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Form {
    Json,
    Arrow,
    Columns,
}

/// The events of a message as columns; none where JSON is broken or of other types.
fn rows(message: &Message, contract: &Contract) -> Option<RecordBatch> {
    let fields = contract.schema().fields().iter().map(|field| field.as_ref().clone().with_nullable(true));
    let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    let mut decoder = ReaderBuilder::new(schema).build_decoder().unwrap();
    decoder.decode(&message.payload).ok()?;
    decoder.flush().ok()?
}

fn as_arrow(message: &Message, contract: &Contract) -> Message {
    let rows = rows(message, contract).unwrap();
    let mut writer = StreamWriter::try_new(Vec::new(), &rows.schema()).unwrap();
    writer.write(&rows).unwrap();
    let payload = writer.into_inner().unwrap().into();
    Message { payload, encoding: Encoding::ArrowStream, ..message.clone() }
}

fn as_columns(messages: &[Message], contract: &Contract) -> EventBatch {
    let parts: Vec<RecordBatch> = messages.iter().map(|message| rows(message, contract).unwrap()).collect();
    let (mut sequences, mut published, mut subjects) = (Vec::new(), Vec::new(), Vec::new());
    for (message, part) in messages.iter().zip(&parts) {
        sequences.extend(vec![message.sequence.0; part.num_rows()]);
        published.extend(vec![message.published_micros; part.num_rows()]);
        subjects.extend(vec![message.subject.as_str(); part.num_rows()]);
    }
    let subjects = match messages.iter().all(|message| message.subject == messages[0].subject) {
        true => Subjects::One(messages[0].subject.clone()),
        false => Subjects::Each(StringArray::from(subjects)),
    };
    let rows = concat_batches(&parts[0].schema(), &parts).unwrap();
    EventBatch::new(rows, sequences, published, subjects).unwrap()
}

/// Gives some events a value that their contract or the bounds of time refuse.
fn spoil(messages: &mut [(usize, Message)]) {
    for (number, (_, message)) in messages.iter_mut().enumerate() {
        let (name, value) = match number % 30 {
            3 => ("price", json!(-1.5)),
            9 => ("ts", json!(3)),
            14 => ("event_id", json!("")),
            21 => ("kind", json!("sell")),
            _ => continue,
        };
        let text = String::from_utf8(message.payload.to_vec()).unwrap();
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        let Ok(mut event) = serde_json::from_str::<Value>(&lines[0]) else { continue };
        event[name] = value;
        lines[0] = event.to_string();
        message.payload = lines.join("\n").into();
    }
}

/// The messages of a stream that are one step, or less where a silence begins.
type Chunk<'a> = (usize, Vec<&'a Message>);

/// Steps of these sizes. A message that can't be columns is alone in its step.
fn chunks<'a>(messages: &'a [(usize, Message)], contracts: &[&Contract], sizes: &[usize]) -> Vec<Chunk<'a>> {
    let mut chunks: Vec<Chunk<'a>> = Vec::new();
    let (mut is_open, mut size, mut sizes) = (false, 0, sizes.iter().copied().cycle());
    for (stream, message) in messages {
        let is_broken = rows(message, contracts[*stream]).is_none();
        match chunks.last_mut().filter(|(last, chunk)| is_open && !is_broken && last == stream && chunk.len() < size) {
            Some((_, chunk)) => chunk.push(message),
            None => {
                chunks.push((*stream, vec![message]));
                size = sizes.next().unwrap();
            }
        }
        is_open = !is_broken;
    }
    chunks
}

fn feed(passage: &mut Passage, stream: usize, messages: Vec<Message>, form: Form) {
    let pipeline = Arc::clone(&passage.pipeline);
    let contract = pipeline.streams[stream].contract.as_ref();
    let index = StreamIndex(stream);
    let is_broken = rows(&messages[0], contract).is_none();
    if form == Form::Columns && !is_broken {
        let mut rest = as_columns(&messages, contract);
        while rest.num_rows() > 0 {
            let count = passage.step.until_silence(index, &rest);
            passage.take(stream, &rest.slice(0..count)).unwrap();
            rest = rest.slice(count..rest.num_rows());
        }
        return;
    }
    let messages: Vec<Message> = match form {
        Form::Arrow if !is_broken => messages.iter().map(|message| as_arrow(message, contract)).collect(),
        _ => messages,
    };
    let mut rest = messages.as_slice();
    while !rest.is_empty() {
        let (part, after) = rest.split_at(passage.step.until_silence(index, rest));
        passage.take(stream, part).unwrap();
        rest = after;
    }
}

/// What comes out, without the bytes of dead letters, which are as the events were; and what is remembered at the end.
fn run(pipeline: &Arc<Pipeline>, chunks: &[Chunk<'_>], form: Form, present: usize, looks: Option<u64>) -> (Out, Parts) {
    let mut passage = Passage::new(pipeline);
    for (number, (stream, messages)) in chunks.iter().enumerate() {
        if number == present {
            passage.step.reach_present();
        }
        feed(&mut passage, *stream, messages.iter().copied().cloned().collect(), form);
        if let Some(seed) = looks.filter(|seed| (number as u64 + seed).is_multiple_of(7)) {
            passage.look(seed ^ number as u64, messages[0].published_micros / 1_000);
        }
    }
    let parts = passage.save();
    let mut out = passage.end();
    for letter in &mut out.dead {
        let end = letter.find(" b\"").unwrap();
        letter.truncate(end);
    }
    (out, parts)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 20, max_shrink_iters: 40, ..ProptestConfig::default() })]

    #[test]
    fn columns_give_what_messages_give(
        which in 0..ALL.len(),
        seed in any::<u64>(),
        count in 20_usize..250,
        sizes in prop::collection::vec(1_usize..40, 1..6),
        other_sizes in prop::collection::vec(1_usize..40, 1..6),
        present in any::<Index>(),
        looks in 0_u64..7,
    ) {
        let pipeline = ALL[which].pipeline();
        let contracts: Vec<&Contract> = pipeline.streams.iter().map(|stream| stream.contract.as_ref()).collect();
        let mut messages = messages(seed, count, pipeline.streams.len());
        spoil(&mut messages);
        let steps = chunks(&messages, &contracts, &sizes);
        let present = present.index(steps.len());
        let (json, json_parts) = run(&pipeline, &steps, Form::Json, present, Some(looks));
        for form in [Form::Arrow, Form::Columns] {
            let (out, parts) = run(&pipeline, &steps, form, present, Some(looks));
            prop_assert_eq!(&out, &json, "{:?}", form);
            let differing: Vec<_> = parts.iter().filter(|(name, part)| json_parts.get(*name) != Some(*part)).collect();
            prop_assert!(differing.is_empty(), "{:?}: {:?}", form, differing.iter().map(|(name, _)| name).collect::<Vec<_>>());
            prop_assert_eq!(parts.len(), json_parts.len());
        }
        // How sums of floats in as-of tables are rounded depends on where steps end; in windows it does not.
        if ALL[which].name == WINDOWS.name {
            let steps = chunks(&messages, &contracts, &other_sizes);
            let (out, _) = run(&pipeline, &steps, Form::Columns, 0, None);
            // In which order keys came to a table, of those that changed at one moment, follows from the steps.
            let in_order = |rows: &String| rows.lines().map(str::to_owned).collect::<BTreeSet<_>>();
            let rows = |out: &Out| out.rows.iter().map(in_order).collect::<Vec<_>>();
            let without_looks = |out: &Out| (out.counts.clone(), out.dead.clone(), out.emissions.clone(), rows(out));
            prop_assert_eq!(without_looks(&out), without_looks(&json));
        }
    }
}

/// What the property is worth: all four fates of events are in what it compares.
#[test]
fn events_such_as_are_compared_are_counted_late_refused_and_repeated() {
    let mut fates = BTreeMap::new();
    for files in ALL {
        let pipeline = files.pipeline();
        let contracts: Vec<&Contract> = pipeline.streams.iter().map(|stream| stream.contract.as_ref()).collect();
        let mut messages = messages(5, 250, pipeline.streams.len());
        spoil(&mut messages);
        let steps = chunks(&messages, &contracts, &[20]);
        assert!(steps.iter().any(|(_, step)| step.len() > 3), "{}", files.name);
        let (out, _) = run(&pipeline, &steps, Form::Columns, 0, None);
        for counts in out.counts.values() {
            for (fate, count) in ["counted", "late", "rejected", "duplicate"].into_iter().zip(counts) {
                *fates.entry(fate).or_insert(0) += count;
            }
        }
    }
    assert!(fates.values().all(|count| *count > 0), "{fates:?}");
}
