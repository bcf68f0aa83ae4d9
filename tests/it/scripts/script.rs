//! A script: the text of a file → streams, tables, events and steps.

use std::ops::Range;

use tidewheel::window::{Emit, WindowSettings};

use super::events::{Events, fill};
use super::show::parse_time;

/// See the module of scripts.
pub struct Script {
    pub name: String,
    pub text: String,
    pub streams: Vec<Stream>,
    pub tables: Vec<Table>,
    pub events: Events,
    pub steps: Vec<Step>,
}

/// A stream.
pub struct Stream {
    pub name: String,
    /// How far its events are out of order, microseconds.
    pub disorder: i64,
}

/// A table of a pipeline.
pub struct Table {
    pub name: String,
    pub sql: String,
    pub form: Form,
}

/// Which form a table has.
#[derive(Clone, Copy)]
pub enum Form {
    Windows(WindowSettings),
    /// With its retention, microseconds.
    AsOf(i64),
}

/// Something that happens.
pub struct Step {
    pub action: Action,
    /// Lines of the file that say it: one per event, or a single one.
    pub lines: Vec<Line>,
}

/// What happens.
pub enum Action {
    /// Events of a stream; which ones say the lines.
    Events(usize),
    /// The watermark of a stream.
    Watermark(usize, i64),
    Idle(usize),
    /// A look-up of a table: columns and values of the key, and the time.
    Read {
        table: usize,
        keys: Vec<(String, String)>,
        at: i64,
    },
    Restart,
    End,
}

/// A line of the file.
pub struct Line {
    /// From zero.
    pub number: usize,
    /// The events that it is.
    pub rows: Range<usize>,
    /// What the file says that follows.
    pub expected: Vec<String>,
}

impl Script {
    /// Reads a script; panics with the line that is none.
    pub fn parse(name: &str, text: &str) -> Self {
        let mut script = Self {
            name: name.to_owned(),
            text: text.to_owned(),
            streams: Vec::new(),
            tables: Vec::new(),
            events: Events::default(),
            steps: Vec::new(),
        };
        let mut in_table = false;
        for (number, line) in text.lines().enumerate() {
            let words = line.trim();
            if words.is_empty() || words.starts_with('#') {
                in_table &= !words.is_empty();
            } else if let Some(expected) = words.strip_prefix("=>") {
                let line = script.steps.last_mut().and_then(|step| step.lines.last_mut());
                line.expect("`=>` follows a step").expected.push(expected.trim().to_owned());
            } else if !line.starts_with(' ') {
                in_table = script.head(number, words);
            } else if in_table {
                let table = script.tables.last_mut().expect("SQL follows a table");
                table.sql.push_str(words);
                table.sql.push('\n');
            } else {
                script.event(number, words);
            }
        }
        script
    }

    /// The number of a stream.
    fn stream(&self, name: &str) -> usize {
        let found = self.streams.iter().position(|stream| stream.name == name);
        found.unwrap_or_else(|| panic!("{}: `{name}` is no stream and no step", self.name))
    }

    fn step(&mut self, number: usize, action: Action) {
        let none = self.events.times.len()..self.events.times.len();
        let is_events = matches!(action, Action::Events(_));
        let line = Line { number, rows: none, expected: Vec::new() };
        self.steps.push(Step { action, lines: if is_events { Vec::new() } else { vec![line] } });
    }

    /// A line that starts at the margin. Tells whether SQL follows.
    fn head(&mut self, number: usize, text: &str) -> bool {
        let words: Vec<&str> = text.split_whitespace().collect();
        match words.as_slice() {
            ["stream", name] => self.streams.push(Stream { name: (*name).to_owned(), disorder: 0 }),
            ["stream", name, "disorder", disorder] => {
                self.streams.push(Stream { name: (*name).to_owned(), disorder: parse_time(disorder) });
            }
            ["table", name, form @ ..] => {
                self.tables.push(Table { name: (*name).to_owned(), sql: String::new(), form: parse_form(form) });
                return true;
            }
            ["restart"] => self.step(number, Action::Restart),
            ["end"] => self.step(number, Action::End),
            ["read", name, keys @ .., "at", at] => {
                let table = self.tables.iter().position(|table| table.name == *name);
                let table = table.unwrap_or_else(|| panic!("{}: `{name}` is no table", self.name));
                let key = |key: &&str| key.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()));
                let keys = keys.iter().map(|text| key(text).expect("a key is name=value")).collect();
                self.step(number, Action::Read { table, keys, at: parse_time(at) });
            }
            [stream, "watermark", at] => self.step(number, Action::Watermark(self.stream(stream), parse_time(at))),
            [stream, "idle"] => self.step(number, Action::Idle(self.stream(stream))),
            [stream] => self.step(number, Action::Events(self.stream(stream))),
            _ => panic!("{}: `{text}` is no step", self.name),
        }
        false
    }

    /// A line of events.
    fn event(&mut self, number: usize, text: &str) {
        let first = self.events.times.len();
        match text.strip_prefix("repeat ").and_then(|text| text.split_once(':')) {
            Some((times, template)) => {
                let times: i64 = times.trim().parse().expect("repeat is followed by a number");
                for i in 0..times {
                    self.events.push(&fill(template, i));
                }
            }
            None => self.events.push(text),
        }
        let rows = first..self.events.times.len();
        match self.steps.last_mut() {
            Some(Step { action: Action::Events(_), lines }) => lines.push(Line { number, rows, expected: Vec::new() }),
            _ => panic!("{}: `{text}` follows no stream", self.name),
        }
    }
}

fn parse_form(words: &[&str]) -> Form {
    match words {
        ["as", "of", "retention", retention] => Form::AsOf(parse_time(retention)),
        ["as", "of"] => Form::AsOf(parse_time("7d")),
        [emit @ .., "lateness", lateness] => match parse_form(emit) {
            Form::Windows(settings) => Form::Windows(WindowSettings { lateness: parse_time(lateness), ..settings }),
            Form::AsOf(_) => panic!("an as-of table has no lateness"),
        },
        emit => {
            let emit = match emit {
                ["on", "close"] => Emit::OnClose,
                ["on", "update", "every", every] => Emit::OnUpdate { every: parse_time(every) },
                ["early", "every", every] => Emit::Early { every: parse_time(every) },
                _ => panic!("`{}` says not when a table emits", words.join(" ")),
            };
            Form::Windows(WindowSettings { emit, ..WindowSettings::default() })
        }
    }
}
