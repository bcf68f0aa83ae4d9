//! What in a case names nothing of its pipeline, found without running it.

use std::ops::Range;

use toml::Spanned;
use toml::de::DeTable;

use super::case::Case;
use super::events::micros;
use crate::config::nearest;
use crate::feature::LivePlan;
use crate::pipeline::Pipeline;

/// Something in a case that can't be.
#[derive(Debug)]
pub(crate) struct CaseFlaw {
    /// Where it is in the text.
    pub(crate) span: Range<usize>,
    pub(crate) message: String,
    pub(crate) suggestion: Option<String>,
}

/// All that is wrong with the text of a case before it is run: its format, and streams, tables, columns and times that there
/// are none of.
pub(crate) fn check(pipeline: &Pipeline, text: &str) -> Vec<CaseFlaw> {
    let format = |error: toml::de::Error| CaseFlaw {
        span: error.span().unwrap_or_default(),
        message: error.message().to_owned(),
        suggestion: None,
    };
    if let Err(error) = toml::from_str::<Case>(text) {
        return vec![format(error)];
    }
    let root = match DeTable::parse(text) {
        Ok(root) => root,
        Err(error) => return vec![format(error)],
    };
    let mut look = Look { pipeline, flaws: Vec::new() };
    for section in ["events", "emits", "rows", "vectors", "scores"] {
        let parts = root.get_ref().get(section).and_then(|parts| parts.get_ref().as_array());
        for part in parts.into_iter().flatten().filter_map(|part| part.get_ref().as_table()) {
            match section {
                "events" => look.events(part),
                "emits" => look.emits(part),
                "rows" => look.row(part),
                "vectors" => look.vector(part),
                _ => look.score(part),
            }
        }
    }
    look.flaws
}

struct Look<'a> {
    pipeline: &'a Pipeline,
    flaws: Vec<CaseFlaw>,
}

impl<'a> Look<'a> {
    fn events(&mut self, part: &DeTable<'_>) {
        let known: Vec<&str> = self.pipeline.streams.iter().map(|stream| stream.name.as_str()).collect();
        if let Some((name, span)) = text(part, "stream") {
            self.one_of("stream", name, span, &known);
        }
        self.time(part, "published");
    }

    fn emits(&mut self, part: &DeTable<'_>) {
        let Some(plan) = self.table(part) else { return };
        if let (None, Some((name, span))) = (plan.windows(), text(part, "table")) {
            let message = format!("table `{name}` has no window in its GROUP BY and emits nothing");
            let suggestion = Some("look its rows up with [[rows]]".to_owned());
            self.flaws.push(CaseFlaw { span, message, suggestion });
        }
        let rows = part.get("expect").and_then(|rows| rows.get_ref().as_array());
        for row in rows.into_iter().flatten().filter_map(|row| row.get_ref().as_table()) {
            self.columns(row, &columns(plan));
        }
    }

    fn row(&mut self, part: &DeTable<'_>) {
        let Some(plan) = self.table(part) else { return };
        let keys: Vec<&str> = plan.keys().into_iter().flatten().map(|(key, _)| key).collect();
        if let Some(key) = inner(part, "key") {
            self.columns(key, &keys);
        }
        if let Some(row) = inner(part, "expect") {
            self.columns(row, &columns(plan));
        }
        self.time(part, "at");
    }

    fn vector(&mut self, part: &DeTable<'_>) {
        let pipeline = self.pipeline;
        let Some(vector) = &pipeline.vector else { return self.lacks(part, "the pipeline has no vector.sql") };
        if let Some(request) = inner(part, "request") {
            let fields = vector.requests().fields().iter().map(|field| field.name().as_str());
            self.columns(request, &fields.collect::<Vec<_>>());
        }
        if let Some(row) = inner(part, "expect") {
            self.columns(row, &vector.columns().iter().map(String::as_str).collect::<Vec<_>>());
        }
        self.time(part, "at");
    }

    fn score(&mut self, part: &DeTable<'_>) {
        if self.pipeline.score.as_ref().is_none_or(|score| score.service.is_none()) {
            self.lacks(part, "the pipeline answers no requests: it has no `service` under [score]");
        }
        self.time(part, "at");
    }

    fn lacks(&mut self, part: &DeTable<'_>, message: &str) {
        let span = part.get("request").map(Spanned::span).unwrap_or_default();
        self.flaws.push(CaseFlaw { span, message: message.to_owned(), suggestion: None });
    }

    fn table(&mut self, part: &DeTable<'_>) -> Option<&'a LivePlan> {
        let (name, span) = text(part, "table")?;
        let pipeline = self.pipeline;
        let found = pipeline.tables.iter().find(|table| table.plan.name() == name);
        if found.is_none() {
            let known: Vec<&str> = pipeline.tables.iter().map(|table| table.plan.name()).collect();
            self.one_of("table", name, span, &known);
        }
        found.map(|table| &table.plan)
    }

    /// Every key of a row is a column.
    fn columns(&mut self, row: &DeTable<'_>, known: &[&str]) {
        for key in row.keys() {
            self.one_of("column", key.get_ref(), key.span(), known);
        }
    }

    fn one_of(&mut self, what: &str, name: &str, span: Range<usize>, known: &[&str]) {
        if known.contains(&name) {
            return;
        }
        let suggestion = match nearest(name, known.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("known are {}", known.join(", ")),
        };
        self.flaws.push(CaseFlaw { span, message: format!("no {what} `{name}`"), suggestion: Some(suggestion) });
    }

    fn time(&mut self, part: &DeTable<'_>, key: &str) {
        if let Some((time, span)) = text(part, key)
            && let Err(error) = micros(time)
        {
            self.flaws.push(CaseFlaw { span, message: error.to_string(), suggestion: None });
        }
    }
}

fn text<'t>(part: &'t DeTable<'_>, key: &str) -> Option<(&'t str, Range<usize>)> {
    let value = part.get(key)?;
    Some((value.get_ref().as_str()?, value.span()))
}

fn inner<'t, 'i>(part: &'t DeTable<'i>, key: &str) -> Option<&'t DeTable<'i>> {
    part.get(key)?.get_ref().as_table()
}

fn columns(plan: &LivePlan) -> Vec<&str> {
    plan.schema().fields().iter().map(|field| field.name().as_str()).collect()
}
