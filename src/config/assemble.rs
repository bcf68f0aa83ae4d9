//! A folder → a pipeline that can run: contracts parsed, selects planned, the model tried.
//!
//! Every part is looked at, so that all problems are reported together; a part that depends on a faulty one is left out.

use std::path::Path;
use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};

use super::folder::Folder;
use super::learning;
use super::problem::{Problem, Problems};
use super::source::{Place, Source};
use super::stream::{Late, Stream, TimeUnit};
use crate::bus::Subject;
use crate::engine::{LabelPlan, ModelPlan, Pipeline, ScorePlan, StreamPlan, TablePlan, TrainPlan, Trigger};
use crate::event::{self, Contract, DecodeSettings, Decoder, Limits};
use crate::feature::{REQUESTS, VectorPlan};
use crate::model::{Binding, Session, onnx::Document, train::Trainer};
use crate::score::RequestDecoder;
use crate::window::{FeaturePlan, Horizon, PlanError, Planner};

impl Folder {
    /// The executable pipeline.
    ///
    /// # Errors
    /// With everything that is wrong with contracts, SQL and model.
    pub fn assemble(&self) -> Result<Pipeline, Problems> {
        let mut assembly = Assembly::new(self);
        assembly.plan();
        assembly.model();
        assembly.training();
        assembly.finish()
    }

    /// The pipeline without its model: what is needed to make one.
    ///
    /// # Errors
    /// As [`Self::assemble`].
    pub fn assemble_without_model(&self) -> Result<Pipeline, Problems> {
        let mut assembly = Assembly::new(self);
        assembly.plan();
        assembly.finish()
    }
}

struct Assembly<'a> {
    folder: &'a Folder,
    problems: Vec<Problem>,
    planner: Planner,
    streams: Vec<StreamPlan>,
    schemas: Vec<SchemaRef>,
    tables: Vec<TablePlan>,
    /// Canonical text of each table's select.
    sources: Vec<String>,
    vector: Option<Arc<VectorPlan>>,
    score: Option<ScorePlan>,
    model: Option<ModelPlan>,
    labels: Option<LabelPlan>,
    train: Option<TrainPlan>,
}

impl<'a> Assembly<'a> {
    fn new(folder: &'a Folder) -> Self {
        Self {
            folder,
            problems: Vec::new(),
            planner: Planner::new(),
            streams: Vec::new(),
            schemas: Vec::new(),
            tables: Vec::new(),
            sources: Vec::new(),
            vector: None,
            score: None,
            model: None,
            labels: None,
            train: None,
        }
    }

    fn plan(&mut self) {
        for (name, stream) in &self.folder.settings.streams {
            self.stream(name.as_str(), stream);
        }
        if self.problems.is_empty() {
            self.features();
        }
        if self.problems.is_empty() {
            self.scoring();
        }
        if self.problems.is_empty() {
            self.labels();
        }
    }

    fn finish(self) -> Result<Pipeline, Problems> {
        Problems::check(self.problems)?;
        Ok(Pipeline {
            name: self.folder.settings.name.as_str().to_owned(),
            streams: self.streams,
            tables: self.tables,
            vector: self.vector,
            model: self.model,
            score: self.score,
            labels: self.labels,
            train: self.train,
        })
    }

    fn contract(&mut self, path: &toml::Spanned<std::path::PathBuf>) -> Option<Arc<Contract>> {
        let Some(file) = self.folder.find_above(path.get_ref()) else {
            let message = format!("contract \"{}\" not found", path.get_ref().display());
            self.problems.push(self.folder.source.problem_at(path.span(), message));
            return None;
        };
        let source = Source::read(&file).map_err(|problem| self.problems.push(problem)).ok()?;
        match Contract::parse(&source.text) {
            Ok(contract) => Some(Arc::new(contract)),
            Err(found) => {
                self.problems.extend(found.into_iter().map(|problem| {
                    let place = Place { line: problem.line, column: problem.column };
                    source.problem_in(place, problem.message).suggest_some(problem.suggestion)
                }));
                None
            }
        }
    }

    fn stream(&mut self, name: &str, stream: &Stream) {
        let Some(contract) = self.contract(&stream.contract) else { return };
        let decode = DecodeSettings {
            time_column: stream.time.get_ref().clone(),
            time_unit: unit(stream.time_unit),
            earliest_micros: stream.earliest_micros,
            ahead_micros: stream.ahead.as_micros() as i64,
            limits: Limits {
                max_event_bytes: stream.max_event_bytes as usize,
                max_depth: u64::try_from(stream.max_depth.get()).unwrap_or(u64::MAX) as usize,
            },
        };
        let schema = match Decoder::new(Arc::clone(&contract), &decode) {
            Ok(decoder) => Arc::clone(decoder.schema()),
            Err(error) => {
                self.problems.push(self.folder.source.problem_at(stream.time.span(), error.to_string()));
                return;
            }
        };
        for column in stream.id.iter().chain(&stream.key) {
            if contract.field(column.get_ref()).is_none() {
                let message = format!("column \"{}\" is not in the contract of stream `{name}`", column.get_ref());
                self.problems.push(self.folder.source.problem_at(column.span(), message));
            }
        }
        if let Err(error) = self.planner.add_relation(name, Arc::clone(&schema)) {
            self.problems.push(self.folder.source.problem(error.message));
        }
        self.schemas.push(schema);
        self.streams.push(StreamPlan {
            name: name.to_owned(),
            subjects: stream.subjects.get_ref().iter().map(|subject| subject.get_ref().as_str().to_owned()).collect(),
            contract,
            decode,
            ids: stream.id.as_ref().map(|id| (id.get_ref().clone(), stream.remember_ids.get())),
            disorder: stream.disorder,
            dead_letter_late: stream.late == Late::DeadLetter,
            retain: stream.retain,
            max_bytes: stream.max_bytes,
        });
    }

    fn features(&mut self) {
        for feature in &self.folder.features {
            let retention = self.folder.settings.retention(feature.name.as_str());
            let horizon = Horizon::new(i64::try_from(retention.as_micros()).unwrap_or(i64::MAX));
            match self.feature(feature.name.as_str(), &feature.source, horizon) {
                Ok((table, canonical)) => {
                    self.tables.push(table);
                    self.sources.push(canonical);
                }
                Err(error) => self.problems.push(in_sql(&feature.source, error)),
            }
        }
        for table in &self.tables {
            let registered = self.planner.add_relation(table.plan.name(), Arc::clone(table.plan.schema()));
            if let Err(error) = registered {
                self.problems.push(self.folder.source.problem(error.message));
            }
        }
    }

    fn feature(&self, name: &str, source: &Source, retention: Horizon) -> Result<(TablePlan, String), PlanError> {
        // The stream decides the time column, so that streams may name theirs differently.
        let mut failure = None;
        for (index, stream) in self.streams.iter().enumerate() {
            match FeaturePlan::new(&self.planner, name, &source.text, &stream.decode.time_column, retention) {
                Ok(plan) if plan.stream() == stream.name => {
                    let narrow =
                        plan.horizons().find(|horizon| horizon.width_micros() < stream.disorder.as_micros() as i64);
                    if let Some(horizon) = narrow {
                        let seconds = horizon.width_micros() / 1_000_000;
                        return Err(PlanError::new(format!(
                            "a horizon of {seconds} s is shorter than the stream's disorder"
                        ))
                        .suggest("widen it, or lower `disorder`"));
                    }
                    let canonical = self.planner.canonical(&source.text)?;
                    return Ok((TablePlan { plan: Arc::new(plan), stream: index }, canonical));
                }
                Ok(_) => {}
                Err(error) => failure = failure.or(Some(error)),
            }
        }
        Err(failure.unwrap_or_else(|| PlanError::new("the select is not over a stream of this pipeline")))
    }

    fn scoring(&mut self) {
        let (Some(settings), Some(vector)) = (&self.folder.settings.score, &self.folder.vector) else { return };
        let service = match (&settings.service, &settings.request) {
            (Some(subject), Some(request)) => {
                let Some(contract) = self.contract(request) else { return };
                match Subject::new(subject.get_ref().as_str()) {
                    Ok(subject) => Some((subject, contract)),
                    Err(error) => {
                        self.problems.push(self.folder.source.problem_at(subject.span(), error.to_string()));
                        return;
                    }
                }
            }
            (Some(subject), None) => {
                let problem =
                    self.folder.source.problem_at(subject.span(), "a service needs the contract of its requests");
                self.problems.push(problem.suggest("request = \"schemas/ranking_request.json\""));
                return;
            }
            _ => None,
        };
        let trigger = self.folder.settings.trigger().and_then(|(stream, condition)| {
            let index = self.streams.iter().position(|plan| plan.name == stream.as_str())?;
            Some((index, condition))
        });
        let time_stream = trigger.map_or(0, |(index, _)| index);
        let Some(stream) = self.streams.get(time_stream) else { return };
        let user = self.folder.settings.streams.get(stream.name.as_str()).and_then(|stream| stream.key.as_ref());
        let mut score = ScorePlan {
            service,
            trigger: None,
            publish: settings.publish.as_ref().and_then(|subject| Subject::new(subject.get_ref().as_str()).ok()),
            item: settings.item.get_ref().clone(),
            user: user.map(|user| user.get_ref().clone()),
            time: (stream.decode.time_column.clone(), stream.decode.time_unit),
            batch_rows: settings.batch.rows.get(),
            linger: settings.batch.linger,
            queue: settings.queue.get(),
            max_items: settings.max_items.get(),
        };
        let Some(requests) = self.requests(&score, trigger.map(|(index, _)| index)) else { return };
        if let Some((index, condition)) = trigger {
            match self.planner.expression(condition.get_ref(), &self.schemas[index]) {
                Ok(expression) => match expression.data_type(&self.schemas[index]) {
                    Ok(arrow::datatypes::DataType::Boolean) => {
                        score.trigger = Some(Trigger { stream: index, condition: expression });
                    }
                    _ => self.problems.push(self.folder.source.problem_at(condition.span(), "`on` is not a condition")),
                },
                Err(error) => self.problems.push(self.folder.source.problem_at(condition.span(), error.message)),
            }
        }
        let planned = self.planner.add_relation(REQUESTS, Arc::clone(&requests)).and_then(|()| {
            let plans: Vec<_> = self.tables.iter().map(|table| Arc::clone(&table.plan)).collect();
            VectorPlan::new(&self.planner, &vector.text, requests, &plans, &self.sources)
        });
        match planned {
            Ok(plan) => {
                if let (Some(_), Some(table)) = (&score.trigger, plan.first_chained_table()) {
                    let name = self.tables[table].plan.name();
                    let error = PlanError::new(format!("`{name}` is joined on a column of another table"))
                        .suggest("events are scored one by one: join on the event's own columns");
                    self.problems.push(in_sql(vector, error));
                }
                self.vector = Some(Arc::new(plan));
                self.score = Some(score);
            }
            Err(error) => self.problems.push(in_sql(vector, error)),
        }
    }

    /// Columns of the relation `requests`.
    fn requests(&mut self, score: &ScorePlan, trigger: Option<usize>) -> Option<SchemaRef> {
        let time = (score.time.0.as_str(), score.time.1);
        let of_service = match &score.service {
            Some((_, contract)) => {
                let decoder = RequestDecoder::new(Arc::clone(contract), &score.item, time, None, score.max_items);
                Some(decoder.map_err(|error| self.problems.push(self.folder.source.problem(error.to_string()))).ok()?)
            }
            None => None,
        };
        Some(match (trigger, of_service) {
            (Some(stream), None) => Arc::clone(&self.schemas[stream]),
            (None, Some(decoder)) => Arc::clone(decoder.schema()),
            (Some(stream), Some(_)) => {
                // A request need not have every column of an event.
                let fields = self.schemas[stream].fields().iter();
                Arc::new(Schema::new(
                    fields.map(|field| field.as_ref().clone().with_nullable(true)).collect::<Vec<_>>(),
                ))
            }
            (None, None) => return None,
        })
    }

    fn labels(&mut self) {
        let (Some((name, labels)), Some(vector)) = (self.folder.settings.feedback(), &self.vector) else { return };
        let Some(stream) = self.streams.iter().position(|plan| plan.name == name.as_str()) else { return };
        match learning::label_plan(&self.planner, labels, vector, (stream, &self.schemas[stream])) {
            Ok(plan) => self.labels = Some(plan),
            Err(refused) => self.problems.extend(refused.into_iter().map(|refused| {
                self.folder.source.problem_at(refused.span, refused.message).suggest_some(refused.suggestion)
            })),
        }
    }

    fn training(&mut self) {
        let (Some(train), Some(labels), Some(model), Some(vector)) =
            (&self.folder.settings.train, &self.labels, &self.model, &self.vector)
        else {
            return;
        };
        let plan = learning::train_plan(train, labels, model.output.clone());
        let binding = Binding {
            columns: vector.columns(),
            fingerprint: Some(vector.fingerprint().as_str()),
            output: model.output.as_deref(),
        };
        // What cannot be trained is said now, not when the first example comes.
        let document = Document::read(&model.bytes);
        match document.and_then(|document| Trainer::new(document, &binding, &plan.settings)) {
            Ok(_) => self.train = Some(plan),
            Err(error) => {
                let place = self.folder.settings.model.as_ref().map_or(0..0, |model| model.graph.span());
                let message = format!("the model can't be trained: {error}");
                self.problems.push(self.folder.source.problem_at(place, message));
            }
        }
    }

    fn model(&mut self) {
        let (Some(model), Some(vector)) = (&self.folder.settings.model, &self.vector) else { return };
        let path = self.folder.path.join(model.graph.get_ref());
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) => {
                let advice = format!(
                    "tidewheel model new --kind mlp --hidden 64,32 --out {} {}",
                    path.display(),
                    self.folder.path.display()
                );
                let problem = self.folder.source.problem_at(model.graph.span(), format!("{}: {error}", path.display()));
                self.problems.push(problem.suggest(advice));
                return;
            }
        };
        let output = model.output.as_ref().map(|output| output.get_ref().clone());
        let binding = Binding {
            columns: vector.columns(),
            fingerprint: Some(vector.fingerprint().as_str()),
            output: output.as_deref(),
        };
        match Session::from_bytes(&bytes, 1).and_then(|session| session.bind(&binding)) {
            Ok(_) => self.model = Some(ModelPlan { bytes, output }),
            Err(error) => {
                self.problems
                    .push(self.folder.source.problem_at(model.graph.span(), format!("{}: {error}", show(&path))));
            }
        }
    }
}

fn show(path: &Path) -> String {
    path.display().to_string()
}

fn unit(unit: TimeUnit) -> event::TimeUnit {
    match unit {
        TimeUnit::Seconds => event::TimeUnit::Seconds,
        TimeUnit::Milliseconds => event::TimeUnit::Milliseconds,
        TimeUnit::Microseconds => event::TimeUnit::Microseconds,
    }
}

fn in_sql(source: &Source, error: PlanError) -> Problem {
    let problem = match error.place {
        Some((line, column)) => source.problem_in(Place { line, column }, error.message),
        None => source.problem(error.message),
    };
    problem.suggest_some(error.suggestion)
}
