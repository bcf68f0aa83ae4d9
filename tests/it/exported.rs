//! `tidewheel examples`: what a running pipeline has learnt from comes out as a file that other programs read.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Output};

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Float32Type, Int32Type, Int64Type, TimeUnit, TimestampMicrosecondType};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::Value;
use tidewheel::bus::{Bus, Outgoing, Subject};
use tidewheel::learn::{Example, ExampleKind, Examples, Provenance, decode, encode};
use tidewheel::pipeline::{Names, Pipeline, output_spec};

use crate::broker::{pipeline, publish, server, start, stored, through};
use crate::learning::{a_minute_ago, items, request, rows, view};
use crate::taobao::{PATIENCE, root};

const SUBJECT: &str = "shop.clicks.web";

fn export(url: &str, out: &str, more: &[&str]) -> Output {
    let folder = root().join("pipelines/recommend");
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidewheel"));
    command.args(["examples", folder.to_str().unwrap(), "--nats", url, "--out", out]).args(more);
    command.env_remove("TIDEWHEEL_LOG").output().unwrap()
}

fn good(output: &Output) -> String {
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{words}");
    words
}

fn read(path: &Path) -> RecordBatch {
    let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(path).unwrap()).unwrap();
    let schema = reader.schema().clone();
    let batches: Vec<RecordBatch> = reader.build().unwrap().map(Result::unwrap).collect();
    concat_batches(&schema, &batches).unwrap()
}

/// Two rankings and a click: seven negatives and a positive. Gives what the first showed, and the model.
async fn make(bus: &Bus) -> (Vec<u64>, String) {
    let began = a_minute_ago();
    let ask = async |id: &str, user, candidates: &[u64]| {
        let asked = request(id, user, candidates, Some(began + 100));
        let reply = bus.request(&Subject::new("recommend.score").unwrap(), asked.into(), PATIENCE).await.unwrap();
        serde_json::from_slice::<Value>(&reply).unwrap()
    };
    let first = ask("r1", 7, &[0, 1, 2, 77]).await;
    ask("r2", 8, &[3, 4, 5, 6]).await;
    publish(bus, SUBJECT, [view("c1", (7, 1), began + 600, Some("r1"))]).await;
    publish(bus, SUBJECT, [view("later", (2, 9), began + 30_000, None)]).await;
    (items(&first), first["model"].as_str().unwrap().to_owned())
}

/// What is not of the vector of now: an example of another one, and what is none.
async fn spoil(bus: &Bus, pipeline: &Pipeline) {
    let mut other = Examples::new(1);
    let kind = ExampleKind::Negative;
    let provenance = Provenance::unknown();
    let example =
        Example { vector: &[1.0], kind, sampling: 1.0, shown_micros: 0, labelled_micros: 0, place: 0, provenance };
    other.push(example).unwrap();
    let mut publisher = bus.publisher(10).await.unwrap();
    let subject = Names::of(&pipeline.name).examples();
    for payload in [encode(&other, "07fe").unwrap(), b"no message".to_vec()] {
        publisher.publish(Outgoing::new(subject.clone(), payload.into())).await.unwrap();
    }
    publisher.settle().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn examples_come_out_with_who_was_shown_what_by_which_model_and_every_column_of_the_vector() {
    let folder = tempfile::tempdir().unwrap();
    let (server, bus) = server(&folder.path().join("broker")).await;
    let url = server.url();
    let out = folder.path().join("examples.parquet");
    let out = out.to_str().unwrap();
    let nothing = export(&url, out, &[]);
    let words = String::from_utf8_lossy(&nothing.stderr).into_owned();
    assert!(words.contains("pipeline `recommend` has never run on this server"), "{words}");
    assert!(!nothing.status.success() && fs::read_dir(folder.path()).unwrap().count() == 1, "nothing is left");

    let pipeline = pipeline("recommend");
    let run = start(&pipeline, &bus).await;
    publish(&bus, SUBJECT, (0..30).map(|id| view(&format!("w{id}"), (7, id % 3), a_minute_ago(), None))).await;
    through(&run, &bus, &pipeline).await;
    let (places, model) = make(&bus).await;
    through(&run, &bus, &pipeline).await;
    run.stop().await.unwrap();
    spoil(&bus, &pipeline).await;

    let words = good(&export(&url, out, &[]));
    assert!(words.contains("1 examples of another vector (07fe) are left out"), "{words}");
    assert!(words.contains("1 messages can't be read") && words.contains("8 examples; what comes next"), "{words}");
    let found = read(Path::new(out));
    check(&found, &examples_of_now(&bus, &pipeline).await, &pipeline, (&places, &model));

    // The same as text, and as lines on standard output.
    let csv = folder.path().join("examples.csv");
    good(&export(&url, csv.to_str().unwrap(), &["--limit", "3"]));
    let lines: Vec<String> = fs::read_to_string(csv).unwrap().lines().map(str::to_owned).collect();
    assert_eq!(lines.len(), 4, "{lines:?}");
    assert!(lines[0].starts_with("request_id,user_id,item_id,position,shown_at,"), "{lines:?}");
    let printed = export(&url, "-", &[]);
    good(&printed);
    let objects: Vec<Value> =
        String::from_utf8(printed.stdout).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(objects.len(), 8);
    let positive = objects.iter().find(|object| object["kind"] == "positive").unwrap();
    assert_eq!(
        (&positive["request_id"], &positive["user_id"], &positive["item_id"]),
        (&"r1".into(), &7.into(), &1.into())
    );
    good(&export(&url, out, &["--since", "1 second"]));
    assert_eq!(read(Path::new(out)).num_rows(), 0, "they were shown a minute ago");
    let left: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(left.iter().all(|name| !name.to_string_lossy().ends_with(".part")), "{left:?}");
    server.stop().await.unwrap();
}

/// The examples of the vector of now, as the library reads them.
async fn examples_of_now(bus: &Bus, pipeline: &Pipeline) -> Examples {
    let vector = pipeline.vector.as_ref().unwrap();
    let mut examples = Examples::new(vector.inputs());
    let subject = Names::of(&pipeline.name).examples();
    let outputs = stored(bus, &output_spec(pipeline).name).await;
    for message in outputs.into_iter().filter(|message| message.subject == subject) {
        // Of the two that are none of these, nothing is taken.
        let fingerprint = vector.fingerprint().as_str();
        let _other = decode(&message.payload, vector.inputs(), fingerprint, &mut examples).is_err();
    }
    examples
}

fn check(found: &RecordBatch, expected: &Examples, pipeline: &Pipeline, (places, model): (&[u64], &str)) {
    let column = |name: &str| found.column_by_name(name).unwrap_or_else(|| panic!("{name} in {:?}", found.schema()));
    let time = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    assert_eq!((found.num_rows(), expected.len(), column("shown_at").data_type()), (8, 8, &time));
    let names = pipeline.vector.as_ref().unwrap().columns();
    let by_row: BTreeMap<usize, Example<'_>> = rows(expected).into_iter().enumerate().collect();
    for (row, example) in by_row {
        for (nth, name) in names.iter().enumerate() {
            assert_eq!(column(name).as_primitive::<Float32Type>().value(row), example.vector[nth], "{name} of {row}");
        }
        let position = column("position").as_primitive::<Int32Type>().value(row);
        assert_eq!(position as u32, example.place);
        let shown = column("shown_at").as_primitive::<TimestampMicrosecondType>().value(row);
        assert_eq!(shown, example.shown_micros);
        assert_eq!(column("label").as_primitive::<Float32Type>().value(row), example.kind.label());
        let (request, user) = (column("request_id").as_string::<i32>().value(row), column("user_id"));
        assert_eq!(user.as_primitive::<Int64Type>().value(row), if request == "r1" { 7 } else { 8 });
        if request == "r1" {
            let item = column("item_id").as_primitive::<Int64Type>().value(row);
            assert_eq!(item as u64, places[position as usize]);
        }
        assert_eq!(column("model").as_string::<i32>().value(row), model);
        assert_eq!(column("propensity").as_primitive::<Float32Type>().value(row), 1.0);
        assert_eq!(column("weight").as_primitive::<Float32Type>().value(row), 1.0);
    }
    assert_eq!(column("request_id").null_count(), 0);
}
