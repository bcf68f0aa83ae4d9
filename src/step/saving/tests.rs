//! The fingerprints that what is kept of a pipeline is known by.

use std::fmt::Write;
use std::path::Path;

use crate::config::Folder;
use crate::feature::LivePlan;
use crate::step::label::saving::settings_fingerprint;
use crate::step::saving::counts::counters_fingerprint;
use crate::step::saving::stream::stream_fingerprint;
use xxhash_rust::xxh3::xxh3_64;

/// Everything by which snapshots, examples and models of a pipeline are told from those of another.
fn fingerprints(name: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("pipelines").join(name);
    let pipeline = Folder::read(&folder).unwrap().assemble_without_model().unwrap();
    let mut text = format!("{name}\n");
    for stream in &pipeline.streams {
        writeln!(text, "  stream {}: {:016x}", stream.name, stream_fingerprint(stream)).unwrap();
    }
    for table in &pipeline.tables {
        let fingerprint = match &table.plan {
            LivePlan::AsOf(plan) => plan.fingerprint(),
            LivePlan::Windows(plan) => xxh3_64(plan.meaning().as_bytes()),
        };
        writeln!(text, "  table {}: {fingerprint:016x}", table.plan.name()).unwrap();
    }
    writeln!(text, "  counters: {:016x}", counters_fingerprint(&pipeline)).unwrap();
    if let Some(vector) = &pipeline.vector {
        let vector = vector.fingerprint();
        writeln!(text, "  vector: {vector}").unwrap();
        writeln!(text, "  labels: {:016x}", settings_fingerprint(&pipeline, vector.as_str())).unwrap();
    }
    text
}

/// Where one of them changes, every snapshot, example and model that anybody has of the pipeline is an orphan: so they change
/// with what the pipeline computes, and never with a dependency or a name in the code.
#[test]
fn the_fingerprints_of_the_shipped_pipelines_stay_what_they_are() {
    insta::assert_snapshot!(["intent", "recommend", "trends"].map(fingerprints).concat());
}

/// What a table computes in the words that its fingerprint is made of: where they change, every state of the table is made
/// again from the streams.
#[test]
fn the_normal_forms_of_the_shipped_pipelines_stay_what_they_are() {
    for name in ["intent", "recommend", "trends"] {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("pipelines").join(name);
        let pipeline = Folder::read(&folder).unwrap().assemble_without_model().unwrap();
        let meanings = pipeline.tables.iter().map(|table| match &table.plan {
            LivePlan::AsOf(plan) => format!("{}: {}\n", plan.name(), plan.meaning()),
            LivePlan::Windows(plan) => format!("{}: {}\n", plan.name(), plan.meaning()),
        });
        insta::assert_snapshot!(format!("normal_forms_of_{name}"), meanings.collect::<String>());
    }
}
