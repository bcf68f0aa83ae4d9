//! A table whose feature file has changed is made again by itself: what follows is what a fresh pipeline gives that has read
//! everything from the start.
//!
//! ```text
//!  before ─▶ the first half ─▶ save ─▶ restore, changed ──┐ without the table
//!            the first half ─▶ the changed table alone ───┴─▶ the second half ─▶ everything that came out
//!                                                                                          ‖
//!  changed ─▶ the first half ─────────────────────────────▶ the second half ─▶ everything that came out
//! ```

use std::ops::Range;
use std::sync::Arc;

use proptest::prelude::*;
use tidewheel::bus::Message;
use tidewheel::pipeline::{Pipeline, StreamIndex, TableIndex};
use tidewheel::step::{Resumed, Step};

use super::folders::{ALL, AS_OF, BOTH, Files, WINDOWS};
use super::passage::{Out, Parts, Passage, references, resume};
use super::shop::messages;

/// The pipeline with one more column in a table.
fn changed(files: &Files, table: &str) -> Arc<Pipeline> {
    files.with_features(|name, sql| {
        Some(match name == table {
            true => sql.replacen(" FROM ", ", count(*) AS changed FROM ", 1),
            false => sql.to_owned(),
        })
    })
}

/// What is read, and how.
struct Reading {
    messages: Vec<(usize, Message)>,
    /// How many of them were read before the restart.
    before: usize,
    /// After how many of these silence means silence.
    present: usize,
    /// Messages of a step at most.
    size: usize,
}

impl Reading {
    /// The parts of a range before and after silence means silence.
    fn parts(&self, range: Range<usize>) -> impl Iterator<Item = (Range<usize>, bool)> + use<> {
        let present = self.present.clamp(range.start, range.end);
        let parts = [(range.start..present, false), (present..range.end, true)];
        parts.into_iter().filter(|(part, _)| !part.is_empty())
    }

    fn pass(&self, passage: &mut Passage, range: Range<usize>) {
        for (part, is_present) in self.parts(range) {
            if is_present {
                passage.step.reach_present();
            }
            passage.pass(&self.messages[part], self.size).unwrap();
        }
    }

    /// The step once it has read a range, in the steps of then.
    fn again(&self, mut step: Step, range: Range<usize>) -> Step {
        for (part, is_present) in self.parts(range) {
            if is_present {
                step.reach_present();
            }
            for run in self.messages[part].chunk_by(|left, right| left.0 == right.0) {
                for part in run.chunks(self.size) {
                    let batch: Vec<Message> = part.iter().map(|(_, message)| message.clone()).collect();
                    step.events(StreamIndex(part[0].0), &batch, false).unwrap();
                }
            }
        }
        step
    }

    /// What comes out of a range.
    fn stretch(&self, passage: &mut Passage, range: Range<usize>) -> Out {
        (passage.out, passage.vectors) = (Out::default(), 0);
        let last = self.messages[range.end - 1].1.published_micros;
        self.pass(passage, range);
        passage.look(5, last / 1_000);
        std::mem::take(&mut passage.out)
    }

    /// What comes out after the first messages, and the end of it.
    fn rest(&self, mut passage: Passage, from: usize) -> Out {
        passage.out = self.stretch(&mut passage, from..self.messages.len());
        let mut out = passage.end();
        for rows in &mut out.rows {
            // Keys are found in the order they came in, and one whose only event was late for every table came in nowhere.
            let mut lines: Vec<&str> = rows.lines().collect();
            lines.sort_unstable();
            *rows = lines.join("\n");
        }
        out
    }
}

/// The tables that are made again when one of them has changed.
fn restart(reading: &Reading, parts: &Parts, pipeline: &Arc<Pipeline>) -> (Vec<TableIndex>, Passage) {
    let Resumed { mut step, misfits } = resume(pipeline, parts).unwrap();
    let tables: Vec<TableIndex> = misfits.iter().flat_map(|misfit| misfit.tables.clone()).collect();
    let alone = Step::of_tables(pipeline, references(pipeline), &tables).unwrap();
    step.take_over(&mut reading.again(alone, 0..reading.before), &tables);
    (tables, Passage { step, ..Passage::new(pipeline) })
}

fn names(pipeline: &Pipeline, tables: &[TableIndex]) -> Vec<String> {
    tables.iter().map(|table| pipeline.table(*table).plan.name().to_owned()).collect()
}

fn saved(files: &Files) -> Parts {
    let pipeline = files.pipeline();
    let mut passage = Passage::new(&pipeline);
    passage.pass(&messages(9, 100, pipeline.streams.len()), 20).unwrap();
    passage.save()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, max_shrink_iters: 60, ..ProptestConfig::default() })]

    #[test]
    fn a_changed_table_that_is_made_again_is_what_a_fresh_pipeline_has(
        which in 0..ALL.len(),
        table in any::<prop::sample::Index>(),
        seed in any::<u64>(),
        (first, second) in (10_usize..300, 10_usize..150),
        present in any::<prop::sample::Index>(),
        size in 1_usize..60,
    ) {
        let files = ALL[which];
        let name = files.features[table.index(files.features.len())].0;
        let (before, after) = (files.pipeline(), changed(files, name));
        let reading = Reading {
            messages: messages(seed, first + second, before.streams.len()),
            before: first,
            present: present.index(first + second),
            size,
        };
        let mut ran = Passage::new(&before);
        reading.pass(&mut ran, 0..first);
        let (tables, resumed) = restart(&reading, &ran.save(), &after);
        prop_assert!(names(&after, &tables).iter().any(|made| made == name), "{name}: {tables:?}");
        let mut fresh = Passage::new(&after);
        reading.pass(&mut fresh, 0..first);
        let (resumed, fresh) = (reading.rest(resumed, first), reading.rest(fresh, first));
        prop_assert_eq!(&resumed.rows, &fresh.rows);
        prop_assert_eq!(&resumed.emissions, &fresh.emissions);
        prop_assert_eq!(&resumed.tables, &fresh.tables);
        prop_assert_eq!(&resumed.vectors, &fresh.vectors);
        prop_assert!(resumed == fresh, "counts, dead letters, feedback, requests, or what vectors are of");
    }
}

/// As-of tables of all kinds.
const AS_OF_TABLES: [(&Files, &str); 7] = [
    (&AS_OF, "person"),
    (&AS_OF, "liking"),
    (&AS_OF, "shelf"),
    (&AS_OF, "item"),
    (&WINDOWS, "activity"),
    (&BOTH, "buyer"),
    (&BOTH, "seen"),
];

/// The pipeline with one more column in a table, which fails on some events.
fn failing(files: &Files, table: &str) -> Arc<Pipeline> {
    files.with_features(|name, sql| {
        Some(match name == table {
            true => sql.replacen(" FROM ", ", sum(1 / item_id) AS changed FROM ", 1),
            false => sql.to_owned(),
        })
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, max_shrink_iters: 60, ..ProptestConfig::default() })]

    #[test]
    fn a_table_that_is_made_again_beside_the_step_was_never_seen_and_then_is_what_a_fresh_pipeline_has(
        which in 0..AS_OF_TABLES.len(),
        seed in any::<u64>(),
        lengths in (10_usize..200, 10_usize..100, 10_usize..100),
        present in any::<prop::sample::Index>(),
        size in 1_usize..60,
    ) {
        make_beside(which, seed, lengths, present.index(lengths.0 + lengths.1 + lengths.2), size)?;
    }
}

/// Steps of one message instead of fifteen gave another last bit of a sum.
#[test]
fn a_table_that_is_made_again_in_the_steps_of_then_has_the_same_sums() {
    make_beside(0, 374_332_032_289_462_740, (157, 90, 66), 192, 15).unwrap();
}

/// ```text
///  before ─▶ first ─▶ save ─▶ restore, without the table ─▶ meanwhile ─┐
///            first ─▶ meanwhile ─▶ the changed table alone ────────────┴─▶ rest
/// ```
fn make_beside(
    which: usize,
    seed: u64,
    (first, second, third): (usize, usize, usize),
    present: usize,
    size: usize,
) -> Result<(), TestCaseError> {
    let (files, name) = AS_OF_TABLES[which];
    let (before, after) = (files.pipeline(), failing(files, name));
    let messages = messages(seed, first + second + third, before.streams.len());
    let reading = Reading { messages, before: first, present, size };
    let mut ran = Passage::new(&before);
    reading.pass(&mut ran, 0..first);
    let Resumed { mut step, misfits } = resume(&after, &ran.save()).unwrap();
    let tables: Vec<TableIndex> = misfits.iter().flat_map(|misfit| misfit.tables.clone()).collect();
    prop_assert_eq!(names(&after, &tables), [name]);
    step.leave_empty(&tables);
    let mut beside = Passage { step, ..Passage::new(&after) };
    let (mut unseen, mut fresh) = (Passage::new(&after), Passage::new(&after));
    unseen.step.leave_empty(&tables);
    reading.pass(&mut unseen, 0..first);
    reading.pass(&mut fresh, 0..first);

    let meanwhile = |passage| reading.stretch(passage, first..first + second);
    let (found, unseen, whole) = (meanwhile(&mut beside), meanwhile(&mut unseen), meanwhile(&mut fresh));
    prop_assert_eq!(&found.vectors, &unseen.vectors);
    prop_assert_eq!(&found.unscorable, &unseen.unscorable);
    prop_assert_eq!(&found.failed, &whole.failed, "dead letters about the table do not wait for it");
    prop_assert_eq!(&found.counts, &whole.counts);
    prop_assert_eq!(&found.emissions, &whole.emissions);
    prop_assert_eq!(&found.feedback, &whole.feedback);

    let mut alone = Step::of_tables(&after, references(&after), &tables).unwrap();
    for range in [0..first, first..first + second] {
        alone = reading.again(alone, range);
    }
    beside.step.take_over(&mut alone, &tables);
    let (found, whole) = (reading.rest(beside, first + second), reading.rest(fresh, first + second));
    prop_assert_eq!(&found.rows, &whole.rows);
    prop_assert_eq!(&found.vectors, &whole.vectors);
    prop_assert_eq!(&found.tables, &whole.tables);
    prop_assert!(found == whole, "counts, dead letters, feedback, requests, or what vectors are of");
    Ok(())
}

#[test]
fn an_event_that_a_table_fails_on_is_a_dead_letter_before_the_table_is_there() {
    let pipeline = failing(&BOTH, "seen");
    let table = pipeline.tables.iter().position(|table| table.plan.name() == "seen").unwrap();
    let mut passage = Passage::new(&pipeline);
    passage.step.leave_empty(&[TableIndex(table)]);
    passage.pass(&messages(9, 100, 2), 20).unwrap();
    assert!(passage.out.failed.values().sum::<u64>() > 3, "{:?}", passage.out.failed);
    assert_eq!(passage.step.tables_mut()[table].scan().unwrap().num_rows(), 0);
}

#[test]
fn a_changed_table_is_made_again_alone() {
    for (files, table) in
        [(&AS_OF, "liking"), (&WINDOWS, "person"), (&WINDOWS, "visit"), (&BOTH, "both"), (&BOTH, "seen")]
    {
        let pipeline = changed(files, table);
        let misfits = resume(&pipeline, &saved(files)).unwrap().misfits;
        let tables: Vec<TableIndex> = misfits.iter().flat_map(|misfit| misfit.tables.clone()).collect();
        assert_eq!(names(&pipeline, &tables), [table], "{misfits:?}");
    }
}

#[test]
fn a_table_that_is_written_in_other_words_of_one_meaning_is_kept() {
    for files in ALL {
        let pipeline =
            files.with_features(|_, sql| Some(format!("-- as before\n{}\n;", sql.replace("SELECT", "select  "))));
        let misfits = resume(&pipeline, &saved(files)).unwrap().misfits;
        assert!(misfits.is_empty(), "{}: {misfits:?}", files.name);
    }
}

#[test]
fn a_table_that_is_new_is_made_and_one_that_is_gone_is_left_out() {
    let without = BOTH.with_features(|name, sql| (name != "together").then(|| sql.to_owned()));
    assert!(resume(&without, &saved(&BOTH)).unwrap().misfits.is_empty());
    let mut passage = Passage::new(&without);
    passage.pass(&messages(9, 100, 2), 20).unwrap();
    let with = BOTH.pipeline();
    let misfits = resume(&with, &passage.save()).unwrap().misfits;
    let tables: Vec<TableIndex> = misfits.iter().flat_map(|misfit| misfit.tables.clone()).collect();
    assert_eq!(names(&with, &tables), ["together"]);
    assert_eq!(misfits[0].to_string(), "part windows together of the state: it was saved without it");
}
