//! `tidewheel check`: every problem of a folder at once.

use std::path::PathBuf;

use clap::Args;

use super::{Format, observe};
use crate::config::Folder;

/// Arguments of `check`.
#[derive(Args)]
pub(super) struct Arguments {
    /// The pipeline's folder.
    folder: PathBuf,
    /// How to print.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<bool> {
    match (Folder::check(&arguments.folder), arguments.format) {
        (Ok(pipeline), Format::Text) => {
            let tables = pipeline.tables.len();
            println!("{}: {} stream(s), {tables} feature table(s)", pipeline.name, pipeline.streams.len());
            for table in &pipeline.tables {
                for horizon in table.plan.horizons() {
                    let seconds = |micros: i64| micros / 1_000_000;
                    println!(
                        "  {}: looks back {} s, in steps of {} s",
                        table.plan.name(),
                        seconds(horizon.width_micros()),
                        seconds(horizon.step_micros())
                    );
                }
            }
            if let Some(vector) = &pipeline.vector {
                println!("  vector: {} columns, fingerprint {}", vector.columns().len(), vector.fingerprint());
            }
            println!("no problems");
            Ok(true)
        }
        (Ok(_), Format::Json) => {
            println!("[]");
            Ok(true)
        }
        (Err(problems), Format::Json) => observe::print_json(&problems).map(|()| false),
        (Err(problems), Format::Text) => Err(problems.into()),
    }
}
