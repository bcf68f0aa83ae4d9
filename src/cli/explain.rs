//! `tidewheel explain`: how each table of a pipeline is kept, and what that costs.

mod restart;
mod text;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use serde::Serialize;

use self::restart::Restart;
pub(super) use self::restart::at_restart;
use self::text::text;
use super::exit::misuse;
use super::output::say;
use super::run::runtime;
use super::{Format, observe};
use crate::config::{Folder, nearest};
use crate::feature::LivePlan;
use crate::pipeline::{Pipeline, ReferenceSource, StreamIndex, TablePlan};
use crate::window::{AtLimit, Emit, FeaturePlan, WindowPlan, WindowSpec};

/// Bytes of what finds a key: its hash, place and slot, beside the key itself.
const KEY_BYTES: usize = 32;

/// Arguments of `explain`.
#[derive(Args)]
pub(super) struct Arguments {
    /// The pipeline's folder.
    folder: PathBuf,
    /// One table; all of them unless given.
    table: Option<String>,
    /// How to print.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<bool> {
    let folder = Folder::read(&arguments.folder)?;
    // With a model it is known which types what waits for feedback has; a model that does not fit is for `check` to say.
    let pipeline = Arc::new(folder.assemble().or_else(|_| folder.assemble_without_model())?);
    let mut explained = explain(&pipeline, arguments.table.as_deref())?;
    if let Some(restart) = runtime()?.block_on(at_restart(&pipeline, &folder.settings.state_folder()))? {
        explained.tell(&pipeline, &restart);
    }
    match arguments.format {
        Format::Json => observe::print_json(&explained)?,
        Format::Text => say!("{}", text(&explained).trim_end()),
    }
    Ok(true)
}

/// What is told of a pipeline.
#[derive(Debug, Serialize)]
struct Explained {
    pipeline: String,
    streams: Vec<Stream>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    references: Vec<Reference>,
    /// What becomes at the next start of what is no table's own, where there is a snapshot.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    at_restart: Vec<String>,
    tables: Vec<Table>,
}

#[derive(Debug, Serialize)]
struct Stream {
    name: String,
    /// How its watermark moves.
    watermark: String,
}

#[derive(Debug, Serialize)]
struct Reference {
    name: String,
    key: Vec<String>,
    source: String,
    refresh: String,
}

#[derive(Debug, Serialize)]
struct Table {
    name: String,
    streams: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    references: Vec<String>,
    keys: Vec<String>,
    columns: Vec<Column>,
    /// What an event is put into.
    kept: Kept,
    /// Tables that share its panes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    shares_panes_with: Vec<String>,
    state: State,
    memory: String,
    emission: String,
    late: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    publish: Option<String>,
    history: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    history_retain: Option<String>,
    /// What becomes of its state at the next start, where there is a snapshot.
    #[serde(skip_serializing_if = "Option::is_none")]
    at_restart: Option<String>,
    /// DataFusion's logical plan.
    plan: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Column {
    name: String,
    #[serde(rename = "type")]
    data_type: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case")]
enum Kept {
    /// Horizons over tiles.
    AsOf { horizons: Vec<Horizon>, tiles: Vec<String> },
    /// Windows over panes.
    Windows { window: String, pane: Option<String>, panes_per_window: Option<i64> },
}

#[derive(Debug, Serialize)]
struct Horizon {
    width: String,
    step: String,
}

/// What is kept of a key.
#[derive(Debug, Serialize)]
struct State {
    /// Counts and sums: per pane, or per horizon.
    counts_and_sums: usize,
    /// Sets of distinct integers.
    distinct_counts: usize,
    /// States of other aggregates, merged when they are wanted.
    merged: usize,
    /// Rows of state per key: panes with its events, or tiles.
    rows_per_key: i64,
    /// About how many bytes a key takes that is in all of them, distinct values and merged states aside.
    bytes_per_key: i64,
}

fn explain(pipeline: &Pipeline, only: Option<&str>) -> anyhow::Result<Explained> {
    let names = || pipeline.tables.iter().map(|table| table.plan.name());
    if let Some(wanted) = only.filter(|wanted| !names().any(|name| name == *wanted)) {
        match nearest(wanted, names()) {
            Some(name) => misuse!("no table `{wanted}`: did you mean `{name}`?"),
            None => misuse!("no table `{wanted}`: there are {}", names().collect::<Vec<_>>().join(", ")),
        }
    }
    let tables = pipeline.tables.iter().filter(|table| only.is_none_or(|only| table.plan.name() == only));
    Ok(Explained {
        pipeline: pipeline.name.clone(),
        streams: pipeline
            .streams
            .iter()
            .map(|stream| Stream { name: stream.name.clone(), watermark: watermark(stream) })
            .collect(),
        references: pipeline
            .references
            .iter()
            .map(|reference| Reference {
                name: reference.spec.name.clone(),
                key: reference.spec.key.clone(),
                source: match &reference.source {
                    ReferenceSource::File(path) => format!("file {}", path.display()),
                    ReferenceSource::Bucket(bucket) => format!("bucket {bucket}"),
                },
                refresh: match &reference.source {
                    ReferenceSource::File(_) => format!("looked at every {}", words(reference.refresh)),
                    ReferenceSource::Bucket(_) => "when it changes".to_owned(),
                },
            })
            .collect(),
        at_restart: Vec::new(),
        tables: tables.map(|table| table_of(pipeline, table)).collect(),
    })
}

impl Explained {
    /// Adds what becomes of the tables at the next start.
    fn tell(&mut self, pipeline: &Pipeline, restart: &Restart) {
        self.at_restart = restart.of_all();
        for table in &mut self.tables {
            table.at_restart = pipeline.table_named(&table.name).map(|index| restart.of(pipeline, index));
        }
    }
}

fn watermark(stream: &crate::pipeline::StreamPlan) -> String {
    let disorder = words(stream.disorder);
    match stream.partition_by_subject {
        false => format!("newest event time, at most the broker's, less {disorder}"),
        true => format!(
            "least newest event time of its subjects, at most the broker's, less {disorder}; a subject that is silent for {} takes no part",
            words(stream.idle)
        ),
    }
}

fn table_of(pipeline: &Pipeline, table: &TablePlan) -> Table {
    let name = |stream: &StreamIndex| pipeline.stream(*stream).name.clone();
    let (kept, state) = match &table.plan {
        LivePlan::AsOf(plan) => as_of(plan),
        LivePlan::Windows(plan) => windows(plan, shared_pane(pipeline, plan)),
    };
    let windows = table.plan.windows();
    let shares = |other: &&TablePlan| match (windows, other.plan.windows()) {
        (Some(one), Some(two)) => one.name() != two.name() && one.shares_panes_with(two),
        _ => false,
    };
    Table {
        name: table.plan.name().to_owned(),
        streams: table.streams.iter().map(name).collect(),
        references: windows.map_or_else(Vec::new, |plan| plan.source().references().map(str::to_owned).collect()),
        keys: match &table.plan {
            LivePlan::AsOf(plan) => plan.keys().iter().map(|key| key.name.clone()).collect(),
            LivePlan::Windows(plan) => plan.keys().iter().map(|key| key.name.clone()).collect(),
        },
        columns: table
            .plan
            .schema()
            .fields()
            .iter()
            .map(|field| Column { name: field.name().clone(), data_type: field.data_type().to_string() })
            .collect(),
        kept,
        shares_panes_with: pipeline.tables.iter().filter(shares).map(|other| other.plan.name().to_owned()).collect(),
        state,
        memory: match (table.budget.bytes, table.budget.at_limit) {
            (usize::MAX, _) => "no limit".to_owned(),
            (bytes, AtLimit::Stop) => format!("at most {bytes} bytes, then the pipeline stops"),
            (bytes, AtLimit::Evict) => format!("at most {bytes} bytes, then keys that are silent for longest go"),
        },
        emission: windows.map_or_else(|| "none: read as of any moment".to_owned(), |plan| emission(plan)),
        late: match &table.plan {
            LivePlan::AsOf(plan) => format!("older than the watermark by more than {}", length(plan.reach_micros())),
            LivePlan::Windows(plan) => late(plan),
        },
        publish: table.publish.as_ref().map(|subject| subject.as_str().to_owned()),
        history: table.history.is_some(),
        history_retain: table.history.and_then(|history| history.retain).map(words),
        at_restart: None,
        plan: table.logical.lines().map(str::to_owned).collect(),
    }
}

fn as_of(plan: &FeaturePlan) -> (Kept, State) {
    let (cells, distinct, merged) = plan.kept();
    let tiles = plan.level_widths();
    let horizons = plan
        .horizons()
        .map(|horizon| Horizon { width: length(horizon.width_micros()), step: length(horizon.step_micros()) });
    let kept = Kept::AsOf { horizons: horizons.collect(), tiles: tiles.iter().map(|width| length(*width)).collect() };
    // A tile of one level is rolled up into the next: at most as many are held as the next is wide, and those of the last
    // for the widest horizon.
    let widest = plan.horizons().map(crate::window::Horizon::width_micros).max().unwrap_or(0);
    let wider = tiles.iter().skip(1).copied().chain(std::iter::once(widest));
    let rows_per_key = tiles.iter().zip(wider).map(|(width, wider)| wider / width + 1).sum();
    let cell_bytes = 8 * (cells + distinct) as i64;
    let bytes_per_key = KEY_BYTES as i64 + cell_bytes + rows_per_key * (8 + 8 * cells as i64);
    (kept, State { counts_and_sums: cells, distinct_counts: distinct, merged, rows_per_key, bytes_per_key })
}

fn windows(plan: &WindowPlan, pane: i64) -> (Kept, State) {
    let (additive, distinct, merged) = plan.kept();
    let is_session = matches!(plan.spec(), WindowSpec::Session { .. });
    let panes = if is_session { 1 } else { (plan.spec().size() + plan.settings().lateness) / pane };
    let kept = Kept::Windows {
        window: window(plan),
        pane: (!is_session).then(|| length(pane)),
        panes_per_window: (!is_session).then(|| plan.spec().size() / pane),
    };
    // A pane has the slot and its values, the running window the values with what rounding lost.
    let bytes_per_key = KEY_BYTES as i64 + 16 * additive as i64 + panes * (8 + 8 * additive as i64);
    (kept, State { counts_and_sums: additive, distinct_counts: distinct, merged, rows_per_key: panes, bytes_per_key })
}

/// The width of the panes of a table and those that share them.
fn shared_pane(pipeline: &Pipeline, plan: &WindowPlan) -> i64 {
    let sharing = pipeline.tables.iter().filter_map(|table| table.plan.windows());
    let sharing = sharing.filter(|other| other.name() == plan.name() || other.shares_panes_with(plan));
    sharing.map(|other| other.spec().slide()).min().unwrap_or_else(|| plan.spec().slide()).max(1)
}

/// The window of a table, in words.
pub(super) fn window(plan: &WindowPlan) -> String {
    match plan.spec() {
        WindowSpec::Tumble { size } => format!("windows of {}, one after the other", length(size)),
        WindowSpec::Hop { slide, size } => format!("windows of {}, one every {}", length(size), length(slide)),
        WindowSpec::Cumulate { step, size } => format!("windows that grow by {} up to {}", length(step), length(size)),
        WindowSpec::Session { gap } => format!("sessions that end after {} of silence", length(gap)),
    }
}

/// When a table emits rows, in words.
pub(super) fn emission(plan: &WindowPlan) -> String {
    let settings = plan.settings();
    let first = match settings.emit {
        Emit::OnClose => "emitted when the watermark passes the end of the window".to_owned(),
        Emit::OnUpdate { every } => format!("emitted when a row has changed, at most once per {}", length(every)),
        Emit::Early { every } => format!("emitted every {} where changed, and when the window closes", length(every)),
    };
    match settings.lateness {
        0 => first,
        lateness => format!("{first}; again when events come up to {} late", length(lateness)),
    }
}

fn late(plan: &WindowPlan) -> String {
    match plan.settings().lateness {
        0 => "when the last window that holds the event has closed".to_owned(),
        lateness => format!("when the last window that holds the event has been closed for {}", length(lateness)),
    }
}

/// Microseconds, in words.
pub(super) fn length(micros: i64) -> String {
    words(Duration::from_micros(micros.max(0).cast_unsigned()))
}

fn words(duration: Duration) -> String {
    humantime::format_duration(duration).to_string()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn shipped(name: &str) -> Pipeline {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("pipelines").join(name);
        Folder::read(&folder).unwrap().assemble_without_model().unwrap()
    }

    /// Without the folder that the tree is in.
    fn here(text: &str) -> String {
        text.replace(&format!("{}/", env!("CARGO_MANIFEST_DIR")), "")
    }

    #[test]
    fn tables_of_windows_are_explained() {
        insta::assert_snapshot!(here(&text(&explain(&shipped("trends"), None).unwrap())));
    }

    #[test]
    fn an_as_of_table_is_explained() {
        let explained = explain(&shipped("intent"), Some("item_trend")).unwrap();
        insta::assert_snapshot!(serde_json::to_string_pretty(&explained).unwrap());
    }

    #[test]
    fn an_unknown_table_is_told_with_the_nearest_name() {
        let error = explain(&shipped("intent"), Some("item_trends")).unwrap_err().to_string();
        assert_eq!(error, "no table `item_trends`: did you mean `item_trend`?");
    }
}
