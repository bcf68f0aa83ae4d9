//! Streams and the tables that they are joined with: contracts parsed, relations made known.

use std::sync::Arc;

use super::Assembly;
use crate::config::clock::Clock;
use crate::config::problem::Place;
use crate::config::reference::Reference;
use crate::config::source::Source;
use crate::config::stream::{Late, Partition, Stream, TimeUnit};
use crate::event::{self, Contract, DecodeSettings, Decoder, DecoderError, Limits, TimeRole};
use crate::pipeline::{ReferencePlan, ReferenceSource, StreamPlan};
use crate::reference::{ReferenceFile, ReferenceSpec, ReferenceTable, Validity};

impl Assembly<'_> {
    pub(super) fn contract(&mut self, path: &toml::Spanned<std::path::PathBuf>) -> Option<Arc<Contract>> {
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

    /// Makes a stream known; nothing where that can't be done.
    pub(super) fn stream(&mut self, name: &str, stream: &Stream) -> Option<()> {
        let contract = self.contract(&stream.contract)?;
        let avro = match &stream.avro {
            Some(setting) => Some(self.avro(name, setting)?),
            None => None,
        };
        let decode = DecodeSettings {
            time_column: stream.time.get_ref().clone(),
            time_unit: unit(stream.time_unit),
            time_zone: stream.time_zone,
            avro,
            earliest_micros: stream.earliest_micros,
            ahead_micros: i64::try_from(stream.ahead.as_micros()).unwrap_or(i64::MAX),
            clock: stream.clock.rule(),
            received_column: stream.received.as_ref().map(|column| column.get_ref().clone()),
            limits: Limits {
                max_event_bytes: stream.max_event_bytes as usize,
                max_depth: u64::try_from(stream.max_depth.get()).unwrap_or(u64::MAX) as usize,
            },
        };
        let schema = match Decoder::new(Arc::clone(&contract), &decode) {
            Ok(decoder) => Arc::clone(decoder.schema()),
            // A setting that is wrong may be what it follows from.
            Err(_) if self.folder.spoilt.contains(name) => return None,
            Err(error) => {
                let place = match (error.role(), &stream.clock, &stream.received) {
                    (TimeRole::Sent, Clock::Sent(column), _) | (TimeRole::Received, _, Some(column)) => column.span(),
                    _ if matches!(error, DecoderError::Schema { .. }) => {
                        stream.avro.as_ref().map_or_else(|| stream.time.span(), toml::Spanned::span)
                    }
                    _ => stream.time.span(),
                };
                self.problems.push(self.folder.source.problem_at(place, error.to_string()));
                return None;
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
        self.add_choices(name, &contract);
        self.schemas.push(schema);
        self.streams.push(StreamPlan {
            name: name.to_owned(),
            subjects: stream.patterns().map(str::to_owned).collect(),
            contract,
            decode,
            ids: stream.id.as_ref().map(|id| (id.get_ref().clone(), stream.remember_ids.get())),
            disorder: stream.disorder,
            partition_by_subject: stream.partition == Partition::Subject,
            idle: stream.idle,
            dead_letter_late: stream.late == Late::DeadLetter,
            held_in: stream.held_in(|| self.folder.settings.names().input_stream(name)),
            source: stream.found_in(),
            retain: stream.retain(),
            max_bytes: stream.max_bytes(),
        });
        Some(())
    }

    /// Makes the values known that a contract lists for columns of a relation.
    pub(super) fn add_choices(&mut self, relation: &str, contract: &Contract) {
        for field in contract.fields() {
            self.planner.add_choices(relation, field.name(), field.choices());
        }
    }

    /// Makes a table of facts known; nothing where that can't be done.
    pub(super) fn reference(&mut self, name: &str, reference: &Reference) -> Option<()> {
        let contract = match &reference.contract {
            Some(path) => Some(self.contract(path)?),
            None => None,
        };
        let column = |column: &Option<toml::Spanned<String>>| column.as_ref().map(|column| column.get_ref().clone());
        let validity = Validity { from: column(&reference.valid_from), to: column(&reference.valid_to) };
        let spec = ReferenceSpec {
            name: name.to_owned(),
            key: reference.key.get_ref().iter().map(|column| column.get_ref().clone()).collect(),
            validity: Some(validity).filter(|validity| validity.from.is_some() || validity.to.is_some()),
            contract: contract.clone(),
            limits: crate::reference::Limits::default(),
        };
        let loaded = match (&reference.file, &reference.bucket) {
            (Some(file), _) => {
                // A file that is missing has been reported.
                let path = self.folder.find_above(file.get_ref())?;
                let table = ReferenceFile::open(spec.clone(), &path).map(|file| Arc::clone(file.table()));
                table.map(|table| (table, ReferenceSource::File(path), file.span()))
            }
            // That a bucket needs a contract has been reported.
            (None, Some(_)) if contract.is_none() => return None,
            (None, Some(bucket)) => {
                let table = ReferenceTable::empty(&spec).map(Arc::new);
                table.map(|table| (table, ReferenceSource::Bucket(bucket.get_ref().clone()), bucket.span()))
            }
            (None, None) => return None,
        };
        match loaded {
            Ok((table, source, place)) => {
                if let Err(error) = self.planner.add_reference(&table) {
                    self.problems.push(self.folder.source.problem_at(place, error.message));
                }
                if let Some(contract) = &contract {
                    self.add_choices(name, contract);
                }
                self.references.push(ReferencePlan { spec, source, refresh: reference.refresh, table });
                Some(())
            }
            Err(error) => {
                let place = reference.file.as_ref().map_or_else(|| reference.key.span(), toml::Spanned::span);
                self.problems.push(self.folder.source.problem_at(place, error.to_string()));
                None
            }
        }
    }
}

fn unit(unit: TimeUnit) -> event::TimeUnit {
    match unit {
        TimeUnit::Seconds => event::TimeUnit::Seconds,
        TimeUnit::Milliseconds => event::TimeUnit::Milliseconds,
        TimeUnit::Microseconds => event::TimeUnit::Microseconds,
    }
}
