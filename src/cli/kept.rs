//! What the next start does to the columns of the Delta tables that a folder has kept.

use std::path::Path;

use super::run::runtime;
use crate::config::{Folder, Problem, Problems};
use crate::history::{Changes, History, HistoryError};
use crate::pipeline::{Pipeline, kept_schema};

/// What becomes of the columns of each Delta table below the folder of the pipeline's own files.
pub(super) async fn kept_columns(pipeline: &Pipeline, state: &Path) -> Vec<(String, Result<Changes, HistoryError>)> {
    let folder = state.join("history");
    let mut all = Vec::new();
    for table in pipeline.tables.iter().filter(|table| table.history.is_some()) {
        let (name, schema) = (table.plan.name(), kept_schema(table.plan.schema()));
        all.push((name.to_owned(), History::changes(&folder, name, &schema).await));
    }
    all
}

/// The pipeline, where the next start does not refuse what its tables select.
///
/// # Errors
/// With each table that has a column of another type than its Delta table.
pub(super) fn check_kept(path: &Path, pipeline: Pipeline) -> Result<Pipeline, Problems> {
    let state = Folder::read(path)?.settings.state_folder();
    let in_folder = |error: &dyn std::fmt::Display| Problems::from(Problem::new(path, error.to_string()));
    let found = runtime().map_err(|error| in_folder(&error))?.block_on(kept_columns(&pipeline, &state));
    let refused = |(table, changes): (String, Result<Changes, HistoryError>)| {
        let file = path.join("features").join(format!("{table}.sql"));
        changes.err().map(|error| Problem::new(&file, error.to_string()))
    };
    Problems::check(found.into_iter().filter_map(refused).collect())?;
    Ok(pipeline)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::PathBuf;

    use super::*;

    /// The shipped pipeline with a history of minutes, whose select is written anew.
    fn folder(root: &Path, events: &str) -> PathBuf {
        let from = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
        let folder = root.join("pipeline");
        for part in ["features", "schemas"] {
            fs::create_dir_all(folder.join(part)).unwrap();
        }
        fs::copy(from.join("schemas/click.json"), folder.join("schemas/click.json")).unwrap();
        let settings = "name = \"kept\"\n[streams.clicks]\nsubjects = [\"kept.clicks\"]\ncontract = \"schemas/click.json\"\n\
            time = \"ts\"\n[tables.minute]\nhistory = true\n[state]\nfolder = ";
        let state = root.join("state");
        fs::write(folder.join("pipeline.toml"), format!("{settings}{state:?}\n")).unwrap();
        let sql =
            format!("SELECT item_id, window_start, {events} FROM clicks GROUP BY item_id, tumble(ts, '1 minute')");
        fs::write(folder.join("features/minute.sql"), sql).unwrap();
        folder
    }

    fn checked(path: &Path) -> Result<(), String> {
        let pipeline = Folder::check(path).unwrap();
        check_kept(path, pipeline).map(drop).map_err(|problems| problems.to_string())
    }

    #[test]
    fn a_column_of_another_type_than_its_delta_table_is_a_problem_before_a_start_refuses_it() {
        let root = tempfile::tempdir().unwrap();
        let path = folder(root.path(), "count(*) AS events");
        checked(&path).unwrap();
        let read = Folder::read(&path).unwrap();
        let pipeline = read.assemble().unwrap();
        let schema = kept_schema(pipeline.tables[0].plan.schema());
        let history = read.settings.state_folder().join("history");
        runtime().unwrap().block_on(History::open(&history, "minute", &schema)).unwrap();
        folder(root.path(), "count(*) AS events, sum(price) AS spend");
        checked(&path).unwrap();
        folder(root.path(), "sum(price) AS events");
        let problems = checked(&path).unwrap_err();
        assert!(problems.contains("features/minute.sql"), "{problems}");
        assert!(problems.contains("\"events\" is Float64 now and Int64 there; cast each to the type"), "{problems}");
    }
}
