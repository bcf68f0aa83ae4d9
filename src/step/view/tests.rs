//! Views beside a step that goes on.

use std::fs;

use arrow::array::{Array, AsArray};
use arrow::datatypes::Int64Type;

use super::lease::LEAST_LIMIT;
use super::*;
use crate::bus::{Encoding, Message, StreamSequence, Subject};
use crate::config::Folder;

const CONTRACT: &str = r#"{"type": "object", "properties": {"id": {"type": "integer"}, "user_id": {"type": "integer"},
    "item_id": {"type": "integer"}, "ts": {"type": "integer"}}, "required": ["id", "user_id", "item_id", "ts"]}"#;

const SETTINGS: &str = "name = 'b'\n[streams.clicks]\nsubjects = ['b.clicks']\ncontract = 'schemas/c.json'\ntime = 'ts'\n\
    time_unit = 's'\nid = 'id'\n";

fn step() -> Step {
    let folder = tempfile::tempdir().unwrap();
    let write = |file: &str, text: &str| {
        let file = folder.path().join(file);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, text).unwrap();
    };
    write("schemas/c.json", CONTRACT);
    write("pipeline.toml", SETTINGS);
    for key in ["user", "item"] {
        let sql = format!("SELECT {key}_id, count(*) AS n FROM clicks GROUP BY {key}_id");
        write(&format!("features/{key}.sql"), &sql);
    }
    let pipeline = Folder::read(folder.path()).and_then(|folder| folder.assemble_without_model());
    Step::new(Arc::new(pipeline.unwrap_or_else(|problems| panic!("{problems}")))).unwrap()
}

/// Applies the events from one number to another.
fn pass(step: &mut Step, events: Range<u64>) {
    let messages: Vec<Message> = events
        .map(|event| Message {
            payload: format!(
                r#"{{"id":{event},"user_id":{},"item_id":{},"ts":{}}}"#,
                event * 7_919 % 5_000,
                event % 11,
                1_700_000_000 + event / 1_000
            )
            .into(),
            sequence: StreamSequence(event + 1),
            published_micros: 1_800_000_000_000_000,
            encoding: Encoding::Json,
            subject: Subject::new("b.clicks").unwrap(),
        })
        .collect();
    let output = step.events(StreamIndex(0), &messages, true).unwrap();
    assert_eq!(output.counts.counted, messages.len() as u64);
}

fn names() -> [String; 2] {
    ["user".to_owned(), "item".to_owned()]
}

/// How many events each table has, over all its keys.
fn events(view: StepView) -> Result<[i64; 2], StepError> {
    let mut sums = [0; 2];
    for rows in view.into_batches()? {
        let (table, rows) = rows?;
        let counts = rows.column_by_name("n").unwrap().as_primitive::<Int64Type>();
        assert_eq!(counts.null_count(), 0);
        sums[usize::from(table == "item")] += counts.values().iter().sum::<i64>();
    }
    Ok(sums)
}

#[test]
fn a_view_that_is_read_while_events_go_on_is_one_cut() {
    let mut step = step();
    for round in 0..30 {
        let end = (round + 1) * 400;
        pass(&mut step, round * 400..end - 200);
        let views = [0, 1].map(|_| step.view(&names()).unwrap());
        let read = std::thread::spawn(move || views.map(|view| events(view).unwrap()));
        pass(&mut step, end - 200..end);
        let cut = i64::try_from(end - 200).unwrap();
        assert_eq!(read.join().unwrap(), [[cut; 2]; 2]);
    }
}

#[test]
fn over_the_limit_the_oldest_view_ends_and_the_step_goes_on() {
    let mut step = step();
    pass(&mut step, 0..100);
    let oldest = step.view_of_parts().unwrap();
    pass(&mut step, 100..200);
    // Beside what the events have made it copy.
    let nearly = LEAST_LIMIT - (1 << 20);
    step.views.note(nearly);
    let newest = step.view(&names()).unwrap();
    let settled = step.settle_views();
    assert_eq!((settled.held.views, settled.given_up), (2, 0));
    assert!(settled.held.bytes > nearly, "{:?}", settled.held);

    pass(&mut step, 200..300);
    step.views.note(1 << 20);
    let settled = step.settle_views();
    assert_eq!((settled.held.views, settled.given_up, settled.ended.is_empty()), (1, 1, false));
    let error = oldest.save_part("table user", &mut Vec::new()).unwrap_err().to_string();
    assert!(
        error.starts_with("the view of the state was given up: events have changed more than 67108864 "),
        "{error}"
    );
    assert!(matches!(events(oldest), Err(StepError::ViewEnded { limit: LEAST_LIMIT, .. })));
    assert_eq!(events(newest).unwrap(), [200; 2]);
    pass(&mut step, 300..400);
    assert_eq!(events(step.view(&names()).unwrap()).unwrap(), [400; 2]);
    assert_eq!(step.settle_views().held, HeldViews::default());
}

#[test]
fn whoever_writes_a_part_hears_in_between_that_the_view_is_given_up() {
    struct Ending<'a>(&'a StepView);
    impl Write for Ending<'_> {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.end();
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let mut step = step();
    pass(&mut step, 0..100);
    let view = step.view_of_parts().unwrap();
    let error = view.save_part("stream clicks", &mut Ending(&view)).unwrap_err();
    assert!(matches!(error, StepError::ViewEnded { .. }), "{error}");
}
