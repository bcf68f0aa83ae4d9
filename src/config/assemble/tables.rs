//! Feature tables: each select planned as what it is, read as of a moment or by windows that close.

use std::sync::Arc;
use std::time::Duration;

use super::{Assembly, in_sql};
use crate::bus::Subject;
use crate::config::folder::SqlFile;
use crate::config::nearest::{nearest, question};
use crate::config::table::Table;
use crate::feature::{LivePlan, TableText};
use crate::history::History;
use crate::pipeline::{StreamIndex, TablePlan, kept_schema};
use crate::sql::PlanError;
use crate::window::{FeaturePlan, Horizon, TableForm, WindowPlan};

impl Assembly<'_> {
    pub(super) fn features(&mut self) {
        let folder = self.folder;
        for feature in &folder.features {
            let settings = folder.settings.table(feature.name.as_str());
            let publish = settings.publish.as_ref().and_then(|subject| self.subject(subject));
            let planned = match self.is_readable(&feature.source.text) {
                true => self.reads_no_table(feature).and_then(|()| self.feature(feature, &settings, publish)).map(Some),
                false => Ok(None),
            };
            match planned {
                Ok(Some((table, canonical))) => {
                    self.check_form(feature, &settings, &table.plan);
                    self.sources.push(TableText {
                        file: format!("features/{}.sql", feature.name),
                        sql: feature.source.text.clone(),
                        settings: table.plan.settings_form(),
                        earlier: canonical,
                    });
                    self.tables.push(table);
                    continue;
                }
                Ok(None) => {}
                Err(error) => self.problems.push(in_sql(&feature.source, self.with_nearest_column(error))),
            }
            self.unsound.insert(feature.name.as_str().to_owned());
        }
        for table in &self.tables {
            let registered = self.planner.add_relation(table.plan.name(), Arc::clone(table.plan.schema()));
            if let Err(error) = registered {
                self.problems.push(self.folder.source.problem(error.message));
            }
        }
    }

    /// Settings that the table's form cannot follow.
    fn check_form(&mut self, feature: &SqlFile, settings: &Table, plan: &LivePlan) {
        let name = &feature.name;
        if let Some(windows) = plan.windows() {
            self.check_history(feature, settings, windows);
        } else {
            for (key, place) in settings.only_for_windows() {
                let message = format!("`{key}` is about windows, and features/{name}.sql has none in its GROUP BY");
                let problem = self.folder.source.problem_at(place, message);
                self.problems.push(
                    problem.suggest("remove it, or group by tumble(...), hop(...), cumulate(...) or session(...)"),
                );
            }
        }
    }

    /// Its columns must be ones that a Delta table can have, and rows that may still change must be in the history that says so.
    fn check_history(&mut self, feature: &SqlFile, settings: &Table, windows: &WindowPlan) {
        let Some(history) = &settings.history else { return };
        let Some(plan) = history.get_ref().plan() else { return };
        if let Err(error) = History::check(feature.name.as_str(), &kept_schema(windows.schema())) {
            self.problems.push(self.folder.source.problem_at(history.span(), error.to_string()));
        }
        let Some(retain) = plan.retain else { return };
        let micros = windows.spec().size().saturating_add(windows.settings().lateness);
        let open = Duration::from_micros(micros.max(0).cast_unsigned());
        if retain < open {
            let [retain, open] = [retain, open].map(humantime::format_duration);
            let message = format!(
                "`retain` of the history is {retain}, and windows of features/{}.sql take events for {open}",
                feature.name
            );
            let problem = self.folder.source.problem_at(history.span(), message);
            self.problems.push(problem.suggest("keep rows for as long as their window and its lateness, or longer"));
        }
    }

    /// That a table reads streams alone: others are not known while it is planned.
    fn reads_no_table(&self, feature: &SqlFile) -> Result<(), PlanError> {
        let is_stream = |name: &str| self.folder.settings.streams.contains_key(name);
        let is_reference = |name: &str| self.folder.settings.references.contains_key(name);
        let relations = self.planner.relations(&feature.source.text)?;
        let tables = self.folder.features.iter().map(|feature| feature.name.as_str());
        let mut read = tables.filter(|name| relations.iter().any(|relation| relation == name));
        match read.find(|name| !is_stream(name) && !is_reference(name)) {
            Some(name) => Err(PlanError::new(format!("`{name}` is a feature table, and one can't read another"))
                .near(format!("FROM {name}"))
                .suggest("select from the streams that it is made of; vector.sql joins tables")),
            None => Ok(()),
        }
    }

    fn feature(
        &self,
        feature: &SqlFile,
        settings: &Table,
        publish: Option<Subject>,
    ) -> Result<(TablePlan, String), PlanError> {
        let sql = &feature.source.text;
        // The stream decides the time column, so that streams may name theirs differently. Of the errors, that of a stream
        // which the text names says most.
        let mut failure: Option<(bool, PlanError)> = None;
        for (index, stream) in self.streams.iter().enumerate() {
            let time = &stream.decode.time_column;
            let form = TableForm::plan(
                &self.planner,
                feature.name.as_str(),
                sql,
                time,
                horizon(settings),
                settings.window_settings(),
            );
            let planned = match form {
                Ok(TableForm::AsOf(plan)) if plan.stream() == stream.name => self.as_of(index, plan, sql),
                Ok(TableForm::Windows(plan)) if plan.source().streams().next() == Some(&stream.name) => {
                    self.windows(plan)
                }
                Ok(_) => continue,
                Err(error) => {
                    let is_named = sql.contains(stream.name.as_str());
                    if failure.as_ref().is_none_or(|(was_named, _)| is_named && !was_named) {
                        failure = Some((is_named, error));
                    }
                    continue;
                }
            };
            let (plan, streams, canonical) = planned?;
            let table = TablePlan {
                logical: plan.windows().map_or_else(|| canonical.clone(), |plan| plan.logical().to_owned()),
                plan,
                streams,
                retention: settings.retention,
                publish,
                history: settings.history.as_ref().and_then(|history| history.get_ref().plan()),
                budget: settings.budget(),
            };
            return Ok((table, canonical));
        }
        let nothing = || PlanError::new("the select is not over a stream of this pipeline");
        Err(failure.map_or_else(nothing, |(_, error)| error))
    }

    fn as_of(
        &self,
        stream: usize,
        plan: FeaturePlan,
        sql: &str,
    ) -> Result<(LivePlan, Vec<StreamIndex>, String), PlanError> {
        let disorder = self.streams[stream].disorder.as_micros() as i64;
        if let Some(horizon) = plan.horizons().find(|horizon| horizon.width_micros() < disorder) {
            let seconds = horizon.width_micros() / 1_000_000;
            return Err(PlanError::new(format!("a horizon of {seconds} s is shorter than the stream's disorder"))
                .suggest("widen it, or lower `disorder`"));
        }
        let canonical = self.planner.canonical(sql)?;
        Ok((LivePlan::AsOf(Arc::new(plan)), vec![StreamIndex(stream)], canonical))
    }

    fn windows(&self, plan: WindowPlan) -> Result<(LivePlan, Vec<StreamIndex>, String), PlanError> {
        let mut streams = Vec::new();
        for name in plan.source().streams() {
            let Some(index) = self.streams.iter().position(|stream| stream.name == name) else {
                return Err(PlanError::new(format!("`{name}` is not a stream of this pipeline"))
                    .suggest("a table is computed from streams"));
            };
            streams.push(StreamIndex(index));
        }
        let canonical = format!("{:?} {:?}\n{}", plan.spec(), plan.settings(), plan.logical());
        Ok((LivePlan::Windows(Arc::new(plan)), streams, canonical))
    }

    /// The planner lists the columns that there are; the one that was meant is among them.
    pub(super) fn with_nearest_column(&self, error: PlanError) -> PlanError {
        let unknown = error.message.split_once("No field named ").map(|(_, rest)| rest);
        let unknown = unknown
            .and_then(|rest| rest.split([' ', ',']).next())
            .map(|name| name.trim_end_matches('.').replace('"', ""));
        let Some(unknown) = unknown.filter(|_| error.suggestion.is_none()) else { return error };
        let columns =
            || self.schemas.iter().flat_map(|schema| schema.fields().iter().map(|field| field.name().as_str()));
        let column = unknown.rsplit_once('.').map_or(unknown.as_str(), |(_, column)| column);
        match nearest(&unknown, columns()).or_else(|| nearest(column, columns())) {
            Some(meant) => error.suggest(question(&in_sql_text(meant))),
            None => error,
        }
    }
}

/// A column as SQL has it: in quotes unless it is a plain name in lower case.
fn in_sql_text(column: &str) -> String {
    let is_plain = |letter: char| letter == '_' || letter.is_ascii_lowercase() || letter.is_ascii_digit();
    match column.chars().all(is_plain) && !column.starts_with(|first: char| first.is_ascii_digit()) {
        true => column.to_owned(),
        false => format!("\"{}\"", column.replace('"', "\"\"")),
    }
}

fn horizon(settings: &Table) -> Horizon {
    Horizon::new(i64::try_from(settings.retention.as_micros()).unwrap_or(i64::MAX))
}
