//! The schemas of a stream in Avro.

use std::path::PathBuf;

use toml::Spanned;

use super::Assembly;
use crate::config::avro::Avro;
use crate::config::source::Source;
use crate::event::{AvroFraming, AvroSchema};

impl Assembly<'_> {
    /// What the setting says; nothing where that can't be told, after reporting why.
    pub(super) fn avro(&mut self, stream: &str, setting: &Spanned<Avro>) -> Option<AvroFraming> {
        match setting.get_ref() {
            Avro { record: Some(path), single_object: None, confluent: None } => {
                Some(AvroFraming::Record(self.avro_schema(path)?))
            }
            Avro { record: None, single_object: Some(paths), confluent: None } if !paths.is_empty() => {
                let schemas: Vec<_> = paths.iter().map(|path| self.avro_schema(path)).collect();
                Some(AvroFraming::SingleObject(schemas.into_iter().collect::<Option<_>>()?))
            }
            Avro { record: None, single_object: None, confluent: Some(paths) } if !paths.is_empty() => {
                let schemas: Vec<_> = paths
                    .iter()
                    .map(|(id, path)| {
                        let schema = self.avro_schema(path);
                        let Ok(number) = id.parse() else {
                            let message = format!("{id:?} is no number of a schema");
                            let problem = self.folder.source.problem_at(path.span(), message);
                            self.problems.push(problem.suggest("write the number that the registry has for it"));
                            return None;
                        };
                        Some((number, schema?))
                    })
                    .collect();
                Some(AvroFraming::Confluent(schemas.into_iter().collect::<Option<_>>()?))
            }
            // A setting that is wrong may be what it follows from.
            _ if self.folder.spoilt.contains(stream) => None,
            _ => {
                let message = "a stream in Avro has its schemas in one of three ways";
                let problem = self.folder.source.problem_at(setting.span(), message);
                self.problems.push(problem.suggest("give one of `record`, `single_object` and `confluent`"));
                None
            }
        }
    }

    fn avro_schema(&mut self, path: &Spanned<PathBuf>) -> Option<AvroSchema> {
        let Some(file) = self.folder.find_above(path.get_ref()) else {
            let message = format!("schema \"{}\" not found", path.get_ref().display());
            self.problems.push(self.folder.source.problem_at(path.span(), message));
            return None;
        };
        let source = Source::read(&file).map_err(|problem| self.problems.push(problem)).ok()?;
        let schema = AvroSchema::parse(&source.text);
        schema.map_err(|error| self.problems.push(source.problem(format!("no Avro schema of events: {error}")))).ok()
    }
}
