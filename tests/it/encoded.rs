//! Events as their producers send them: in Avro, compressed, with times of a zone, in one stream; and what `check` says where
//! the schemas of a stream are wrong.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tidewheel::bus::{Outgoing, Subject};
use tidewheel::config::Folder;
use tidewheel::engine::serve_status;
use tidewheel::pipeline::output_spec;

use crate::broker::{server, start, stored, through};
use crate::taobao::PATIENCE;

const SETTINGS: &str = r#"name = "encoded"

[streams.visits]
subjects = ["shop.visits"]
contract = "visit.json"
avro = { record = "visit.avsc" }
time = "at"
time_zone = "Asia/Tokyo"
disorder = "0s"
"#;

const CONTRACT: &str = r#"{"type": "object", "properties": {
    "at": {"type": "string", "format": "date-time"}, "user": {"type": "string"}}, "required": ["at", "user"]}"#;

const SCHEMA: &str = r#"{"type": "record", "name": "Visit", "fields": [
    {"name": "at", "type": {"type": "long", "logicalType": "timestamp-micros"}}, {"name": "user", "type": "string"}]}"#;

fn write(folder: &Path, settings: &str) {
    for (file, text) in [("pipeline.toml", settings), ("visit.json", CONTRACT), ("visit.avsc", SCHEMA)] {
        fs::write(folder.join(file), text).unwrap();
    }
    fs::create_dir_all(folder.join("features")).unwrap();
    let select = "SELECT \"user\", count(*) FILTER (WHERE within(at, '1 hour')) AS n FROM visits GROUP BY \"user\"";
    fs::write(folder.join("features/person.sql"), select).unwrap();
}

/// A record of the schema, as the specification of Avro has it.
fn record(micros: i64, user: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for number in [micros, user.len() as i64] {
        let mut rest = ((number << 1) ^ (number >> 63)).cast_unsigned();
        while rest > 0x7f {
            bytes.push((rest & 0x7f) as u8 | 0x80);
            rest >>= 7;
        }
        bytes.push(rest as u8);
    }
    [bytes, user.as_bytes().to_vec()].concat()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_stream_takes_avro_and_json_compressed_and_plain_and_names_what_it_can_t_read() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), SETTINGS);
    let pipeline = Arc::new(Folder::read(folder.path()).unwrap().assemble().unwrap());
    let (server, bus) = server(&folder.path().join("store")).await;
    let run = start(&pipeline, &bus).await;
    let _door = serve_status(&bus, &pipeline, &run, None, Duration::ZERO).await.unwrap();

    let now = time::OffsetDateTime::now_utc();
    let micros = (now.unix_timestamp_nanos() / 1_000) as i64;
    let local = now + time::Duration::hours(9);
    let local =
        format!("{}T{:02}{:02}{:02}", local.date(), local.hour(), local.minute(), local.second()).replace('-', "");
    let event = |user: &str| format!(r#"{{"at": "{local}", "user": "{user}"}}"#);
    let (plain, json) = ("application/octet-stream", "application/json");
    let cut = gzip(&record(micros, "a"))[1..].to_vec();
    let two = format!("[{}, {}]", event("a"), event("b"));
    let block = snap::raw::Encoder::new().compress_vec(format!("\u{feff}{}", event("b")).as_bytes()).unwrap();
    let messages: [(&str, &str, Vec<u8>); 8] = [
        (plain, "", record(micros, "a")),
        (plain, "gzip", gzip(&record(micros, "b"))),
        (json, "", event("a").into_bytes()),
        (json, "zstd", zstd::stream::encode_all(two.as_bytes(), 3).unwrap()),
        (json, "snappy", block),
        (plain, "gzip", cut.clone()),
        (plain, "br", vec![7]),
        (plain, "", b"{}".to_vec()),
    ];
    let mut publisher = bus.publisher(100).await.unwrap();
    for (content, encoding, payload) in messages {
        let mut message =
            Outgoing::new(Subject::new("shop.visits").unwrap(), payload.into()).header("Content-Type", content);
        if !encoding.is_empty() {
            message = message.header("Content-Encoding", encoding);
        }
        publisher.publish(message).await.unwrap();
    }
    publisher.settle().await.unwrap();
    through(&run, &bus, &pipeline).await;

    let subject = Subject::new("tidewheel.status.encoded").unwrap();
    let status: Value = serde_json::from_slice(&bus.request(&subject, "".into(), PATIENCE).await.unwrap()).unwrap();
    assert_eq!(status["events"], json!({ "counted": 6, "late": 0, "rejected": 3, "duplicate": 0 }), "{status}");
    let counts = ["invalid_encoding", "invalid_avro"].map(|reason| status["dead_letters"][reason]["count"].clone());
    assert_eq!(counts, [json!(2), json!(1)], "{status}");
    let outputs = stored(&bus, &output_spec(&pipeline).name).await;
    let dead: Vec<_> = outputs.iter().filter(|message| message.subject.as_str() == "encoded.dead").collect();
    let letters: Vec<&[u8]> = dead.iter().map(|letter| letter.payload.as_ref()).collect();
    assert_eq!(letters, [cut.as_slice(), &[7], b"{}"], "letters have the bytes as they came");
    run.stop().await.unwrap();
    server.stop().await.unwrap();
}

/// Messages and ways out of what is wrong with this `avro`.
fn problems(avro: &str, schema: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), &SETTINGS.replace("{ record = \"visit.avsc\" }", avro));
    fs::write(folder.path().join("visit.avsc"), schema).unwrap();
    let problems = Folder::check(folder.path()).err();
    let shown = problems.iter().flat_map(|problems| problems.iter()).map(|problem| {
        let file = Path::new(&problem.file).file_name().unwrap().to_string_lossy().into_owned();
        let line = problem.line.map(|line| format!(":{line}")).unwrap_or_default();
        let suggestion = problem.suggestion.as_ref().map(|suggestion| format!("; {suggestion}")).unwrap_or_default();
        format!("{file}{line}: {}{suggestion}", problem.message)
    });
    shown.collect::<Vec<_>>().join("\n")
}

#[test]
fn schemas_that_can_t_be_are_reported_at_their_place() {
    let record = "{ record = \"visit.avsc\" }";
    let found = [
        problems(record, SCHEMA),
        problems("{}", SCHEMA),
        problems("{ record = \"visit.avsc\", single_object = [\"visit.avsc\"] }", SCHEMA),
        problems("{ single_object = [] }", SCHEMA),
        problems("{ record = \"visits.avsc\" }", SCHEMA),
        problems("{ confluent = { seven = \"visit.avsc\" } }", SCHEMA),
        problems("{ confluent = { 7 = \"visit.avsc\" } }", SCHEMA),
        problems("{ recrod = \"visit.avsc\" }", SCHEMA),
        problems(record, "\"string\""),
        problems(record, &SCHEMA.replace("\"name\": \"user\"", "\"name\": \"user_id\"")),
    ];
    insta::assert_snapshot!(found.join("\n"), @r#"

    pipeline.toml:6: a stream in Avro has its schemas in one of three ways; give one of `record`, `single_object` and `confluent`
    pipeline.toml:6: a stream in Avro has its schemas in one of three ways; give one of `record`, `single_object` and `confluent`
    pipeline.toml:6: a stream in Avro has its schemas in one of three ways; give one of `record`, `single_object` and `confluent`
    pipeline.toml:6: schema "visits.avsc" not found
    pipeline.toml:6: "seven" is no number of a schema; write the number that the registry has for it

    pipeline.toml:6: unknown field `recrod`; did you mean `record`?
    visit.avsc: no Avro schema of events: an event is a record, or one of a union of records
    pipeline.toml:6: the stream's schema doesn't fit its contract: the contract requires "user", which the schema has no field for
    "#);
}
