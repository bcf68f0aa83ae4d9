//! What is scored, with which vector, and what feedback on it is.

use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};

use super::{Assembly, in_sql};
use crate::config::learning;
use crate::feature::{REQUESTS, VectorPlan};
use crate::pipeline::{ScorePlan, StreamIndex, Trigger};
use crate::score::{RequestDecoder, RequestTime};
use crate::sql::{Condition, PlanError};

impl Assembly<'_> {
    pub(super) fn scoring(&mut self) {
        let (Some(settings), Some(vector)) = (&self.folder.settings.score, &self.folder.vector) else { return };
        let service = match (&settings.service, &settings.request) {
            (Some(subject), Some(request)) => {
                let Some(contract) = self.contract(request) else { return };
                let Some(subject) = self.subject(subject) else { return };
                Some((subject, contract))
            }
            (Some(subject), None) => {
                let problem =
                    self.folder.source.problem_at(subject.span(), "a service needs the contract of its requests");
                self.problems.push(problem.suggest("request = \"schemas/ranking_request.json\""));
                return;
            }
            _ => None,
        };
        let publish = settings.publish.as_ref().and_then(|subject| self.subject(subject));
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
        let Some(requests) = self.requests(&score, trigger.map(|(index, _)| index)) else { return };
        if let Some((index, condition)) = trigger {
            match self.planner.expression(condition.get_ref(), &self.schemas[index]) {
                Ok(expression) => match Condition::of(expression, &self.schemas[index]) {
                    Some(condition) => score.trigger = Some(Trigger { stream: StreamIndex(index), condition }),
                    None => {
                        self.problems.push(self.folder.source.problem_at(condition.span(), "`on` is not a condition"))
                    }
                },
                Err(error) => self.problems.push(self.folder.source.problem_at(condition.span(), error.message)),
            }
        }
        let planned = self.planner.add_relation(REQUESTS, Arc::clone(&requests)).and_then(|()| {
            let plans: Vec<_> = self.tables.iter().map(|table| table.plan.clone()).collect();
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
                self.vector = Some(Arc::new(plan.known_as(self.made_for().as_deref())));
                self.score = Some(score);
            }
            Err(error) => self.problems.push(in_sql(vector, error)),
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
        let (Some((name, labels)), Some(vector)) = (self.folder.settings.feedback(), &self.vector) else { return };
        let Some(stream) = self.streams.iter().position(|plan| plan.name == name.as_str()) else { return };
        let of_stream = (&self.schemas[stream], self.streams[stream].disorder);
        match learning::label_plan(&self.planner, labels, vector, StreamIndex(stream), of_stream) {
            Ok(plan) => self.labels = Some(plan),
            Err(refused) => self.problems.extend(refused.into_iter().map(|refused| {
                self.folder.source.problem_at(refused.span, refused.message).suggest_some(refused.suggestion)
            })),
        }
    }
}
