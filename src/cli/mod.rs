//! The command line: a file per verb, and what several of them need.
//!
//! ```text
//!   demo run replay pub ask sql status check explain test train examples doctor model      a file each, with its arguments
//!     │        │                                          │               └─▶ registry, brought, import      the verbs of `model`
//!     │        └─▶ source, learnt                         └─▶ finding, durability    what there is, here and on a server
//!     │            events of a file, what was learnt   versions; verify, verified      how they are shown; a model beside its owner's predictions
//!     └─▶ broker, observe, progress, exit   of all: the server to use; logs, problems, metrics; what is shown; error ─▶ exit code
//! ```
//!
//! Results go to standard output, everything else (progress, logs, problems) to standard error.
//!
//! It does not compute: a verb reads its arguments, calls a room, and prints what comes back. How it fails: with whatever a
//! room fails with, in a line for people; the exit code follows from whose fault that is, and `exit.rs` lists the codes.

mod ask;
mod broker;
mod brought;
mod check;
mod client;
mod demo;
mod doctor;
mod durability;
mod examples;
mod exit;
mod explain;
mod figures;
mod finding;
mod foreseen;
mod import;
mod kept;
mod learnt;
mod model;
mod observe;
mod out_file;
mod output;
mod progress;
mod publish;
mod registry;
mod replay;
mod run;
mod schema;
mod source;
mod sql;
mod status;
mod test;
mod train;
mod verified;
mod verify;
mod versions;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand, ValueEnum};

use self::output::tell;
use crate::config::{Folder, Problems};

/// Personalisation that learns from a clickstream: events in, windowed features, ONNX scores out, on NATS.
#[derive(Parser)]
#[command(name = "tidewheel", version, arg_required_else_help = true, after_help = exit::CODES)]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Shows the main job on a synthetic shop for a while.
    #[command(
        after_help = "Examples:\n  tidewheel demo\n  tidewheel demo --seconds 10 --format json\n  tidewheel demo --seconds 20 --keep shop"
    )]
    Demo(demo::Arguments),
    /// Runs a pipeline in the foreground until Ctrl-C.
    #[command(
        after_help = "Examples:\n  tidewheel run pipelines/intent\n  tidewheel run pipelines/recommend --nats nats://localhost:4222 --metrics 127.0.0.1:9090"
    )]
    Run(run::Arguments),
    /// Publishes a file of events with their own times and runs the pipeline over them.
    #[command(
        after_help = "Examples:\n  tidewheel replay pipelines/intent log.csv.gz\n  tidewheel replay pipelines/intent log.jsonl --speed 60x --format json"
    )]
    Replay(replay::Arguments),
    /// Publishes events to a pipeline: JSON, one on each line of standard input or of a file.
    #[command(
        after_help = "Examples:\n  echo '{\"user_id\":7,\"item_id\":3,\"category_id\":2,\"behavior\":\"pv\",\"ts\":1511658000}' | tidewheel pub pipelines/intent\n  tidewheel pub pipelines/recommend events.jsonl --subject shop.clicks.web --nats nats://localhost:4222\n\nAn event whose stream has an `id` is stored once, however often it is published within ten minutes."
    )]
    Pub(publish::Arguments),
    /// Asks a running pipeline for rankings.
    #[command(
        after_help = "Examples:\n  tidewheel ask pipelines/recommend '{\"request_id\":\"r1\",\"user_id\":7,\"items\":[3,14,15]}'\n  tidewheel ask pipelines/recommend - --format json < requests.jsonl"
    )]
    Ask(ask::Arguments),
    /// Queries the live feature tables and the reference tables of a running pipeline.
    #[command(
        after_help = "Examples:\n  tidewheel sql pipelines/intent \"SHOW TABLES\"\n  tidewheel sql pipelines/intent \"DESCRIBE item_trend\"\n  tidewheel sql pipelines/intent \"SELECT * FROM item_trend ORDER BY views_30m DESC LIMIT 10\"\n  tidewheel sql pipelines/intent \"SELECT * FROM user_activity\" --out users.parquet\n  tidewheel sql pipelines/intent --format csv < query.sql | head\n\nIt ends with 1 when not all rows are shown."
    )]
    Sql(sql::Arguments),
    /// Tells how a running pipeline does: events, tables, requests, model, training.
    #[command(
        after_help = "Examples:\n  tidewheel status pipelines/recommend\n  tidewheel status pipelines/recommend --watch\n  tidewheel status pipelines/recommend --nats nats://localhost:4222 --format json\n\nEnds with 1 where the pipeline does not run."
    )]
    Status(status::Arguments),
    /// Reports every problem of a pipeline's folder, and what a start would find on a server.
    #[command(
        after_help = "Examples:\n  tidewheel check pipelines/intent\n  tidewheel check pipelines/intent --format json\n  tidewheel check pipelines/intent --nats nats://localhost:4222\n\nWith --nats it also tells what `tidewheel run` would find on that server: streams that it takes, extends or refuses, the model that serves, and what becomes of the state. Nothing is changed there."
    )]
    Check(check::Arguments),
    /// Tells how each table of a pipeline is kept: plan, panes and tiles, state, memory, emission.
    #[command(
        after_help = "Examples:\n  tidewheel explain pipelines/trends\n  tidewheel explain pipelines/intent user_activity --format json"
    )]
    Explain(explain::Arguments),
    /// Runs the test cases of pipelines, without a broker, on a manual clock.
    #[command(after_help = "Examples:\n  tidewheel test pipelines/\n  tidewheel test pipelines/intent")]
    Test(test::Arguments),
    /// Trains a pipeline's model on its examples, in a process of its own, until Ctrl-C.
    #[command(
        after_help = "Examples:\n  tidewheel train pipelines/recommend --nats nats://localhost:4222\n\nStart the pipeline itself with `tidewheel run --no-train`."
    )]
    Train(train::Arguments),
    /// Writes a pipeline's examples to a file: Parquet, CSV, or JSON lines.
    #[command(
        after_help = "Examples:\n  tidewheel examples pipelines/recommend --out examples.parquet\n  tidewheel examples pipelines/recommend --out today.csv --since \"1 day\"\n  tidewheel examples pipelines/recommend --out - --limit 10\n\nA column for each column of the vector, and who was shown what, when, by which model, with which label. Only examples of the vector of now; others are counted."
    )]
    Examples(examples::Arguments),
    /// Makes models, and looks after the versions of a pipeline's model.
    #[command(subcommand)]
    Model(model::Verb),
    /// Prints the JSON Schema of pipeline.toml, for editors, or a ready contract for events of others' tools.
    #[command(
        after_help = "Examples:\n  tidewheel schema > pipeline.schema.json\n  tidewheel schema segment-track > schemas/track.json\n\nA ready contract is a file to begin with: add your own properties, take out what no feature reads."
    )]
    Schema(schema::Arguments),
    /// Tells what this machine has and lacks, and how safely a server keeps a pipeline's streams.
    #[command(
        after_help = "Examples:\n  tidewheel doctor\n  tidewheel doctor --nats nats://localhost:4222 --pipeline pipelines/intent\n\nWith a server, and a pipeline that has run there, it also tells how safely that server keeps what it acknowledges."
    )]
    Doctor(doctor::Arguments),
}

/// How results are printed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people.
    #[default]
    Text,
    /// For programs.
    Json,
}

/// The broker to use.
#[derive(Args, Clone, Default)]
struct BrokerArguments {
    /// Address of a NATS server with JetStream; without it, `run` starts one for the pipeline, and other verbs find that one.
    #[arg(long, value_name = "URL", env = "NATS_URL")]
    nats: Option<String>,
    #[command(flatten)]
    identity: Identity,
}

/// Who somebody is to a NATS server, and whom they trust.
#[derive(Args, Clone, Default)]
struct Identity {
    /// Credentials file (.creds).
    #[arg(long, value_name = "FILE")]
    creds: Option<PathBuf>,
    /// Certificates of the authorities to trust, PEM.
    #[arg(long, value_name = "FILE")]
    tls_ca: Option<PathBuf>,
    /// Client certificate, PEM; goes with --tls-key.
    #[arg(long, value_name = "FILE")]
    tls_cert: Option<PathBuf>,
    /// Key of the client certificate, PEM.
    #[arg(long, value_name = "FILE")]
    tls_key: Option<PathBuf>,
}

/// Runs the command line.
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    // A pipeline that runs tells its story; the other verbs speak through their results.
    let story = match &arguments.verb {
        Verb::Run(arguments) => Some(arguments.log_format),
        Verb::Train(arguments) => Some(arguments.log_format),
        _ => None,
    };
    let tells_its_story = story.is_some();
    if let Err(error) = observe::start_logs(if tells_its_story { "info" } else { "warn" }, story.unwrap_or_default()) {
        tell!("error: {error:#}");
        return ExitCode::from(2);
    }
    let outcome = match arguments.verb {
        Verb::Demo(arguments) => demo::run(&arguments),
        Verb::Run(arguments) => run::run(&arguments),
        Verb::Replay(arguments) => replay::run(&arguments),
        Verb::Pub(arguments) => publish::run(&arguments),
        Verb::Ask(arguments) => ask::run(&arguments),
        Verb::Sql(arguments) => sql::run(&arguments),
        Verb::Status(arguments) => status::run(&arguments),
        Verb::Check(arguments) => check::run(&arguments),
        Verb::Explain(arguments) => explain::run(&arguments),
        Verb::Test(arguments) => test::run(&arguments),
        Verb::Train(arguments) => train::run(&arguments),
        Verb::Examples(arguments) => examples::run(&arguments),
        Verb::Model(verb) => model::run(&verb),
        Verb::Schema(arguments) => schema::run(&arguments),
        Verb::Doctor(arguments) => doctor::run(&arguments),
    };
    match outcome.and_then(|all_is_well| output::check().map(|()| all_is_well)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            if tells_its_story && let Some(judgement) = exit::judgement(&error) {
                tracing::error!(fault = %judgement.fault(), remedy = %judgement.remedy(), "stopped because of an error");
            }
            match error.downcast_ref::<Problems>() {
                Some(problems) => observe::print_problems(problems),
                None => tell!("error: {error:#}"),
            }
            ExitCode::from(exit::exit_code(&error))
        }
    }
}

/// The pipeline in a folder, with all its problems as the error.
fn assemble(folder: &std::path::Path) -> anyhow::Result<(Folder, crate::pipeline::Pipeline)> {
    let folder = Folder::read(folder)?;
    let pipeline = folder.assemble()?;
    Ok((folder, pipeline))
}
