//! What is scored, with which vector, and what feedback on it is.

use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};

use super::{Assembly, in_sql, known_words};
use crate::config::learning::{self, Feedback};
use crate::config::nearest::did_you_mean;
use crate::config::source::Source;
use crate::feature::{ColumnForm, Missing, REQUESTS, VectorPlan};
use crate::pipeline::{ScorePlan, StreamIndex, StreamPlan, Trigger};
use crate::score::{RequestDecoder, RequestTime};
use crate::sql::{Condition, PlanError};

impl Assembly<'_> {
    pub(super) fn scoring(&mut self) {
        let Some(vector) = &self.folder.vector else { return };
        let is_wanted = self.folder.settings.score.is_some() || self.unsound.contains(REQUESTS);
        if !is_wanted {
            return;
        }
        match self.score() {
            Some((score, requests)) if self.is_readable(&vector.text) => self.vector(vector, score, requests),
            Some((_, requests)) => {
                if self.planner.add_relation(REQUESTS, requests).is_ok() {
                    self.glance(vector);
                }
            }
            None => {
                self.unsound.insert(REQUESTS.to_owned());
                self.glance(vector);
            }
        }
    }

    /// What can be said of the vector without the relations that are not known.
    fn glance(&mut self, vector: &Source) {
        let errors = self.planner.glance(&vector.text, &|name| self.unsound.contains(&name.to_lowercase()));
        self.problems.extend(errors.into_iter().map(|error| in_sql(vector, error)));
    }

    /// What is scored, and the columns of `requests`; nothing where either can't be told.
    fn score(&mut self) -> Option<(ScorePlan, SchemaRef)> {
        let settings = self.folder.settings.score.as_ref()?;
        let service = match (&settings.service, &settings.request) {
            (Some(subject), Some(request)) => {
                let contract = self.contract(request)?;
                Some((self.subject(subject)?, contract))
            }
            (Some(subject), None) => {
                let problem =
                    self.folder.source.problem_at(subject.span(), "a service needs the contract of its requests");
                self.problems.push(problem.suggest("request = \"schemas/ranking_request.json\""));
                return None;
            }
            _ => None,
        };
        let publish = settings.publish.as_ref().and_then(|subject| self.subject(subject));
        let trigger = match self.folder.settings.trigger() {
            Some((stream, condition)) => {
                Some((self.streams.iter().position(|plan| plan.name == stream.as_str())?, condition))
            }
            None => None,
        };
        // Without a trigger that of the first stream, which may be one that is not known.
        let is_first = |plan: &StreamPlan| {
            self.folder.settings.streams.keys().next().is_some_and(|name| plan.name == name.as_str())
        };
        let stream = match trigger {
            Some((index, _)) => self.streams.get(index)?,
            None => self.streams.first().filter(|plan| is_first(plan))?,
        };
        let user = self.folder.settings.streams.get(stream.name.as_str()).and_then(|stream| stream.key.as_ref());
        let mut score = ScorePlan {
            service,
            trigger: None,
            publish,
            item: settings.item.get_ref().clone(),
            user: user.map(|user| user.get_ref().clone()),
            time: RequestTime::of(&stream.decode),
            batch_rows: settings.batch.rows.get(),
            mixing: settings.mixing.into(),
            linger: settings.batch.linger,
            queue: settings.queue.get(),
            max_items: settings.max_items.get(),
        };
        let requests = self.requests(&score, trigger.map(|(index, _)| index))?;
        if let Some((index, condition)) = trigger {
            match self.condition(index, condition.get_ref(), "on") {
                Ok(condition) => score.trigger = Some(Trigger { stream: StreamIndex(index), condition }),
                Err(error) => {
                    let problem = self.folder.source.problem_at(condition.span(), error.message);
                    self.problems
                        .push(problem.suggest_some(error.suggestion.or_else(|| error.unknown.map(known_words))));
                }
            }
        }
        Some((score, requests))
    }

    /// A condition in SQL on the events of a stream, under the setting of this name.
    fn condition(&self, stream: usize, sql: &str, setting: &str) -> Result<Condition, PlanError> {
        let schema = &self.schemas[stream];
        let expression = self.planner.expression_over(&self.streams[stream].name, sql, schema)?;
        Condition::of(expression, schema).ok_or_else(|| PlanError::new(format!("`{setting}` is not a condition")))
    }

    fn vector(&mut self, vector: &Source, score: ScorePlan, requests: SchemaRef) {
        let planned = self.planner.add_relation(REQUESTS, Arc::clone(&requests)).and_then(|()| {
            let plans: Vec<_> = self.tables.iter().map(|table| table.plan.clone()).collect();
            let missing = self.missing();
            VectorPlan::new(&self.planner, &vector.text, requests, &plans, (&self.sources, &missing))
        });
        match planned {
            Ok(plan) => {
                if let (Some(_), Some(table)) = (&score.trigger, plan.first_chained_table()) {
                    let name = self.tables[table].plan.name();
                    let error = PlanError::new(format!("`{name}` is joined on a column of another table"))
                        .suggest("events are scored one by one: join on the event's own columns");
                    self.problems.push(in_sql(vector, error));
                }
                self.check_missing(&plan);
                self.vector = Some(Arc::new(plan.known_as(self.made_for().as_deref())));
                self.score = Some(score);
            }
            Err(error) => self.problems.push(in_sql(vector, error)),
        }
    }

    /// The columns whose NULL the model takes as a missing value.
    fn missing(&self) -> Missing {
        let missing = self.folder.settings.model.as_ref().and_then(|model| model.missing.as_ref());
        missing.map(|missing| missing.get_ref().0.clone()).unwrap_or_default()
    }

    /// Those that are named are columns of numbers.
    fn check_missing(&mut self, vector: &VectorPlan) {
        let settings = self.folder.settings.model.as_ref();
        let Some(missing) = settings.and_then(|model| model.missing.as_ref()) else { return };
        for name in missing.get_ref().0.names() {
            let column = vector.described().iter().find(|column| column.name == name);
            let (message, advice) = match column.map(|column| column.form) {
                Some(ColumnForm::Number { .. }) => continue,
                Some(form) => (
                    format!("column \"{name}\" is {}, and only a number can be NaN", form.name()),
                    Some("take it out of `missing`: a list that is not there is empty, and coalesce(..., '') says what a text is then".to_owned()),
                ),
                None => (
                    format!("vector.sql has no column \"{name}\""),
                    did_you_mean(name, vector.columns().iter().map(String::as_str)),
                ),
            };
            self.problems.push(self.folder.source.problem_at(missing.span(), message).suggest_some(advice));
        }
    }

    /// Columns of the relation `requests`.
    fn requests(&mut self, score: &ScorePlan, trigger: Option<usize>) -> Option<SchemaRef> {
        let of_service = match &score.service {
            Some((_, contract)) => {
                let decoder =
                    RequestDecoder::new(Arc::clone(contract), &score.item, score.time.clone(), None, score.max_items);
                Some(decoder.map_err(|error| self.problems.push(self.folder.source.problem(error.to_string()))).ok()?)
            }
            None => None,
        };
        match (trigger, &score.service) {
            (Some(stream), None) => self.add_choices(REQUESTS, &Arc::clone(&self.streams[stream].contract)),
            (None, Some((_, contract))) => self.add_choices(REQUESTS, contract),
            _ => {}
        }
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

    pub(super) fn labels(&mut self) {
        let Some((name, labels)) = self.folder.settings.feedback() else { return };
        let Some(stream) = self.streams.iter().position(|plan| plan.name == name.as_str()) else { return };
        let positive =
            self.condition(stream, labels.positive.get_ref(), "positive").map_err(|error| learning::Refused {
                span: labels.positive.span(),
                message: error.message,
                suggestion: error.suggestion.or_else(|| error.unknown.map(known_words)),
            });
        let feedback = Feedback {
            stream: StreamIndex(stream),
            name: name.as_str(),
            schema: &self.schemas[stream],
            disorder: self.streams[stream].disorder,
        };
        match learning::label_plan(labels, &feedback, positive, self.vector.as_deref()) {
            Ok(plan) => self.labels = plan,
            Err(refused) => self.problems.extend(refused.into_iter().map(|refused| {
                self.folder.source.problem_at(refused.span, refused.message).suggest_some(refused.suggestion)
            })),
        }
    }
}
