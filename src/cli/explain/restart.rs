//! What the next start keeps of a pipeline's state: its newest snapshot against the folder as it is now.

use std::path::Path;
use std::sync::Arc;

use crate::cli::kept::kept_columns;
use crate::commit::Reading;
use crate::history::Changes;
use crate::pipeline::{Pipeline, TableIndex};
use crate::snapshot::{Generation, Location, SnapshotStore};
use crate::step::{Labeller, Misfit, Step, StepError, tables_gone};

/// What becomes of the state at the next start.
#[derive(Debug)]
pub(in crate::cli) struct Restart {
    /// The number of the snapshot.
    number: u64,
    /// What it takes to read again all that is in it.
    reading: Reading,
    kept: Kept,
    /// Why what waits for feedback is forgotten, if it is.
    forgotten: Option<String>,
    /// Tables that the pipeline has no more.
    gone: Vec<String>,
    /// What becomes of the columns of Delta tables, by table.
    history: Vec<(String, Changes)>,
}

#[derive(Debug)]
enum Kept {
    /// All tables but these.
    AllBut(Vec<Misfit>),
    /// Nothing, for this reason.
    Nothing(String),
}

impl Restart {
    /// Whether a table is as it was saved.
    pub(in crate::cli) fn keeps(&self, table: TableIndex) -> bool {
        match &self.kept {
            Kept::Nothing(_) => false,
            Kept::AllBut(misfits) => !misfits.iter().any(|misfit| misfit.tables.contains(&table)),
        }
    }

    /// What becomes of a table, in words.
    pub(in crate::cli) fn of(&self, pipeline: &Pipeline, table: TableIndex) -> String {
        match &self.kept {
            Kept::Nothing(reason) => {
                format!("made again from the streams ({}), as everything is: {reason}", self.messages())
            }
            Kept::AllBut(misfits) => match misfits.iter().find(|misfit| misfit.tables.contains(&table)) {
                Some(misfit) => {
                    let all: Vec<TableIndex> = misfits.iter().flat_map(|misfit| &misfit.tables).copied().collect();
                    let meanwhile = match (pipeline.state.answers_while_rebuilding, pipeline.goes_on_without(&all)) {
                        (true, true) => "while requests are answered as if it had never seen anything",
                        (true, false) => "and requests wait for it, as tables of windows are made again too",
                        (false, _) => "and requests wait for it",
                    };
                    format!("made again from the streams ({}), {meanwhile}: {misfit}", self.messages())
                }
                None => format!("kept, from snapshot {}", self.number),
            },
        }
    }
}

impl Restart {
    /// What becomes of what is no table's own, in words.
    pub(super) fn of_all(&self) -> Vec<String> {
        let forgotten = self.forgotten.iter().map(|reason| {
            format!(
                "what waits for feedback is forgotten, and examples are made of what is shown from then on: {reason}"
            )
        });
        let gone = self.gone.iter().map(|table| format!("table {table} is gone: its state is dropped"));
        let history = self.history.iter().flat_map(|(table, Changes { added, unfilled })| {
            let added = added.iter().map(move |column| {
                format!("history of {table}: column {column} is added, NULL in the rows that are there")
            });
            let unfilled = unfilled
                .iter()
                .map(move |column| format!("history of {table}: column {column} stays, NULL in the rows from then on"));
            added.chain(unfilled)
        });
        forgotten.chain(gone).chain(history).collect()
    }

    fn messages(&self) -> String {
        let messages = match self.reading.messages {
            1 => "1 message".to_owned(),
            messages => format!("{messages} messages"),
        };
        match self.reading.seconds() {
            Some(seconds) => format!("{messages}, about {seconds} s"),
            None => messages,
        }
    }
}

/// What the next start keeps; nothing where there is no snapshot that can be read. `state` is the folder of the pipeline's own
/// files.
///
/// # Errors
/// When the place of the snapshots can't be reached.
pub(in crate::cli) async fn at_restart(pipeline: &Arc<Pipeline>, state: &Path) -> anyhow::Result<Option<Restart>> {
    let folder = state.join("snapshots");
    let location = match &pipeline.state.snapshots {
        Some(location) => location.clone(),
        // Looking must not make it.
        None if !folder.is_dir() => return Ok(None),
        None => Location::folder(folder),
    };
    let generations = SnapshotStore::open(&location).await?.generations().await?;
    let Some(newest) = generations.into_iter().flatten().next() else { return Ok(None) };
    let mut history = Vec::new();
    for (table, changes) in kept_columns(pipeline, state).await {
        history.push((table, changes?));
    }
    let (pipeline, number) = (Arc::clone(pipeline), newest.number());
    let reading = Reading::of(newest.head());
    let gone = tables_gone(&pipeline, newest.parts().map(|(part, _)| part));
    let judged = tokio::task::spawn_blocking(move || {
        let forgotten = Labeller::restore(&pipeline, &newest).err().as_ref().and_then(Labeller::forgets);
        judge(&pipeline, &newest).map(|kept| (kept, forgotten))
    });
    let (kept, forgotten) = judged.await??;
    Ok(Some(Restart { number, reading, kept, forgotten, gone, history }))
}

/// On a thread that may wait for parts to be read.
fn judge(pipeline: &Arc<Pipeline>, snapshot: &Generation) -> Result<Kept, StepError> {
    let step = Step::new(Arc::clone(pipeline))?;
    let read = |part: &str| Ok(snapshot.find(part));
    if let Err(error) = step.check_streams(&read) {
        return Ok(Kept::Nothing(error.to_string()));
    }
    let misfits = step.misfits(&read)?;
    let is_shown = |misfit: &&Misfit| misfit.tables.iter().any(|table| pipeline.shows(*table));
    Ok(match misfits.iter().find(is_shown) {
        Some(misfit) if pipeline.labels_what_it_scores() => {
            Kept::Nothing(format!("{misfit}; events that wait for feedback were scored with it"))
        }
        _ => Kept::AllBut(misfits),
    })
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::config::Folder;

    /// The shipped pipeline whose windows nobody scores, and one of its files written anew.
    fn trends(changed: Option<(&str, &str, &str)>) -> Arc<Pipeline> {
        let from = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
        let folder = tempfile::tempdir().unwrap();
        for part in ["features", "schemas"] {
            std::fs::create_dir_all(folder.path().join(part)).unwrap();
        }
        std::fs::copy(from.join("schemas/click.json"), folder.path().join("schemas/click.json")).unwrap();
        for file in [
            "features/item_minute.sql",
            "features/category_trend.sql",
            "features/visit.sql",
            "categories.csv",
            "pipeline.toml",
        ] {
            let text = std::fs::read_to_string(from.join("pipelines/trends").join(file)).unwrap();
            let text = match changed {
                Some((name, from, to)) if name == file => text.replace(from, to),
                _ => text,
            };
            std::fs::write(folder.path().join(file), text).unwrap();
        }
        Arc::new(Folder::read(folder.path()).unwrap().assemble_without_model().unwrap())
    }

    /// Without one of its tables.
    fn trends_without(table: &str) -> Arc<Pipeline> {
        let pipeline = trends(None);
        let mut pipeline = Arc::try_unwrap(pipeline).unwrap_or_else(|_| panic!("nobody else has it"));
        pipeline.tables.retain(|kept| kept.plan.name() != table);
        Arc::new(pipeline)
    }

    async fn save(pipeline: &Arc<Pipeline>, state: &Path) {
        let store = SnapshotStore::open(&Location::folder(state.join("snapshots"))).await.unwrap();
        let view = Step::new(Arc::clone(pipeline)).unwrap().view_of_parts().unwrap();
        let mut draft = store.begin().unwrap();
        let draft = tokio::task::spawn_blocking(move || {
            for name in view.parts() {
                let mut part = draft.part(name).unwrap();
                view.save_part(name, &mut part).unwrap();
                part.finish().unwrap();
            }
            draft
        });
        let written = draft.await.unwrap().write(Vec::new()).await.unwrap();
        store.publish(&written).await.unwrap();
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_changed_file_is_told_before_it_costs_a_rebuild() {
        let state = tempfile::tempdir().unwrap();
        let told = async |pipeline: &Arc<Pipeline>| {
            let restart = at_restart(pipeline, state.path()).await.unwrap()?;
            let tables = pipeline.tables.iter().enumerate();
            Some(
                tables
                    .map(|(index, table)| format!("{}: {}", table.plan.name(), restart.of(pipeline, TableIndex(index))))
                    .collect(),
            )
        };
        let before = trends(None);
        assert_eq!(told(&before).await, None::<Vec<String>>, "there is no snapshot");
        save(&before, state.path()).await;
        let kept = "kept, from snapshot 1";
        assert_eq!(
            told(&before).await.unwrap(),
            ["category_trend", "item_minute", "visit"].map(|name| format!("{name}: {kept}"))
        );
        let after = trends(Some(("features/visit.sql", "AS dearest", "AS most")));
        let told_then = told(&after).await.unwrap();
        assert_eq!(told_then[..2], [format!("category_trend: {kept}"), format!("item_minute: {kept}")]);
        let made = "visit: made again from the streams (0 messages), and requests wait for it: the SQL or settings of part windows visit of \
                    the state have changed since it was saved (the plan fingerprint";
        assert!(told_then[2].starts_with(made), "{told_then:?}");
        let restart = at_restart(&trends_without("visit"), state.path()).await.unwrap().unwrap();
        assert_eq!(restart.of_all(), ["table visit is gone: its state is dropped"]);
        let slower = trends(Some(("pipeline.toml", "disorder", "# disorder")));
        let all = told(&slower).await.unwrap();
        assert!(all.iter().all(|told| told.contains("as everything is: part stream clicks of the state")), "{all:?}");
    }
}
