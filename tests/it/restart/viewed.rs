//! A view that is held while the step goes on: it stays what it was, and what is saved from it goes on as the step did.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch};
use tidewheel::step::StepView;

use super::folders::ALL;
use super::passage::{Out, Passage, lines, restore, saved};
use super::shop::messages;

/// All rows of all tables of a view.
fn rows(view: StepView) -> Vec<String> {
    let rows = view.into_batches().unwrap().flat_map(|batch| {
        let (table, rows) = batch.unwrap();
        lines(&rows).into_iter().map(|line| format!("{table}: {line}")).collect::<Vec<_>>()
    });
    rows.collect()
}

#[test]
fn a_view_is_the_state_at_its_moment_whatever_comes_after() {
    for (files, seed) in ALL.into_iter().flat_map(|files| [1, 2].map(|seed| (files, seed))) {
        let pipeline = files.pipeline();
        let messages = messages(seed, 600, pipeline.streams.len());
        let (before, after) = messages.split_at(250);
        let names: Vec<String> = pipeline.tables.iter().map(|table| table.plan.name().to_owned()).collect();
        let mut passage = Passage::new(&pipeline);
        passage.pass(before, 20).unwrap();
        let (state, tables) = (passage.step.view_of_parts().unwrap(), passage.step.view(&names).unwrap());
        assert_eq!((tables.tables(), tables.parts().len()), (names.clone(), names.len()));
        let (parts, read) = (saved(&state), rows(passage.step.view(&names).unwrap()));

        // From here on what comes out is compared.
        passage.out = Out::default();
        passage.vectors = 0;
        passage.pass(after, 20).unwrap();
        passage.look(seed, after.last().unwrap().1.published_micros / 1_000);
        assert!(saved(&state) == parts, "{}: what is saved", files.name);
        assert_eq!(rows(tables), read, "{}", files.name);
        assert_ne!(rows(passage.step.view(&names).unwrap()), read, "{}: the step has gone on", files.name);

        // On another thread, as a snapshot is written.
        let parts = std::thread::spawn(move || saved(&state)).join().unwrap();
        let mut again = Passage { step: restore(&pipeline, &parts).unwrap(), ..Passage::new(&pipeline) };
        again.pass(after, 20).unwrap();
        again.look(seed, after.last().unwrap().1.published_micros / 1_000);
        assert!(again.end() == passage.end(), "{}: what was saved goes on as the step did", files.name);
    }
}

#[test]
fn a_view_is_read_by_key_while_the_step_goes_on() {
    for (files, seed) in ALL.into_iter().zip(3..) {
        let pipeline = files.pipeline();
        let messages = messages(seed, 600, pipeline.streams.len());
        let names: Vec<String> = pipeline.tables.iter().map(|table| table.plan.name().to_owned()).collect();
        let mut passage = Passage::new(&pipeline);
        passage.pass(&messages[..400], 20).unwrap();
        let scanned = passage.step.view(&names).unwrap().into_batches().unwrap();
        let scanned: Vec<(String, RecordBatch)> = scanned.collect::<Result<_, _>>().unwrap();
        let view = passage.step.view(&names).unwrap();
        passage.pass(&messages[400..], 20).unwrap();
        std::thread::spawn(move || {
            for (name, rows) in scanned {
                let table = pipeline.tables.iter().find(|table| table.plan.name() == name).unwrap();
                let keys = table.plan.keys().unwrap().into_iter().map(|(_, column)| Arc::clone(rows.column(column)));
                let keys: Vec<ArrayRef> = keys.collect();
                let read = view.read(&name, &keys).unwrap().unwrap();
                assert!(rows.num_rows() > 0, "{}: {name} has rows", files.name);
                for (row, (read, scanned)) in lines(&read).into_iter().zip(lines(&rows)).enumerate() {
                    // NULL equals no key.
                    let is_found = keys.iter().all(|key| key.is_valid(row));
                    assert!(!is_found || read == scanned, "{}: {name}: {read} is {scanned}", files.name);
                }
            }
            assert!(view.read("nobody", &[]).unwrap().is_none());
        })
        .join()
        .unwrap();
    }
}

#[test]
fn names_that_are_none_have_no_rows_and_no_part() {
    for files in ALL {
        let mut passage = Passage::new(&files.pipeline());
        let view = passage.step.view(&["nobody".to_owned()]).unwrap();
        assert!(view.tables().is_empty() && view.parts().is_empty());
        let mut bytes = Vec::new();
        view.save_part("table nobody", &mut bytes).unwrap();
        assert!(bytes.is_empty());
        assert_eq!(view.into_batches().unwrap().count(), 0);
    }
}

#[test]
fn a_table_without_keys_has_its_columns() {
    for files in ALL {
        let pipeline = files.pipeline();
        let names: Vec<String> = pipeline.tables.iter().map(|table| table.plan.name().to_owned()).collect();
        let view = Passage::new(&pipeline).step.view(&names).unwrap();
        let batches: Result<Vec<_>, _> = view.into_batches().unwrap().collect();
        let batches = batches.unwrap();
        assert_eq!(batches.len(), names.len());
        for ((name, rows), table) in batches.iter().zip(&pipeline.tables) {
            let expected = (table.plan.name(), 0, table.plan.schema().fields().len());
            assert_eq!((name.as_str(), rows.num_rows(), rows.num_columns()), expected);
        }
    }
}
