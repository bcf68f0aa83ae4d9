//! `[names]`: what the pipeline's own streams, buckets and subjects are called in the broker.

use std::ops::Range;

use schemars::JsonSchema;
use serde::Deserialize;
use toml::Spanned;

use super::stream_name::{BucketName, StreamName};
use super::subject::Subject;
use crate::pipeline::ChosenNames;

/// Names in the broker. They stay what they are once the pipeline has run: under others it has committed nothing.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a section [names]")]
pub struct Naming {
    /// What the pipeline's own subjects begin with: `shop` makes them `shop.dead`, `shop.commits`, `shop.sql`, `shop.examples`
    /// and `shop.impressions`. The pipeline's name unless given; `tidewheel.out.` and that where a stream has a `source`, which
    /// may take every subject that begins with the pipeline's name.
    #[schemars(with = "Option<Subject>")]
    pub subjects: Option<Spanned<Subject>>,
    /// The stream that holds all that is committed: rankings, rows, examples, dead letters and the markers of what is done. The
    /// pipeline's name in upper case and `_OUT` unless given.
    #[schemars(with = "Option<StreamName>")]
    pub output: Option<Spanned<StreamName>>,
    /// The stream that holds what was shown until its feedback comes. The pipeline's name in upper case and `_IMPRESSIONS`
    /// unless given.
    #[schemars(with = "Option<StreamName>")]
    pub impressions: Option<Spanned<StreamName>>,
    /// The bucket that holds versions of the model; its stream is called `OBJ_` and that. The pipeline's name in upper case and
    /// `_MODELS` unless given.
    #[schemars(with = "Option<BucketName>")]
    pub models: Option<Spanned<BucketName>>,
    /// The bucket that says which version serves; its stream is called `KV_` and that. The pipeline's name in upper case and
    /// `_REGISTRY` unless given.
    #[schemars(with = "Option<BucketName>")]
    pub registry: Option<Spanned<BucketName>>,
}

impl Naming {
    /// The names of a pipeline that are not made from its own name alone.
    pub(super) fn chosen(&self, pipeline: &str, reads_sources: bool) -> ChosenNames {
        let aside = || reads_sources.then(|| format!("tidewheel.out.{pipeline}"));
        let stream = |name: &Option<Spanned<StreamName>>| name.as_ref().map(|name| name.get_ref().as_str().to_owned());
        let bucket = |name: &Option<Spanned<BucketName>>| name.as_ref().map(|name| name.get_ref().as_str().to_owned());
        ChosenNames {
            subjects: self.subjects.as_ref().map(|subjects| subjects.get_ref().as_str().to_owned()).or_else(aside),
            output: stream(&self.output),
            impressions: stream(&self.impressions),
            models: bucket(&self.models),
            registry: bucket(&self.registry),
        }
    }

    /// Where the file gives the stream of what is committed, of what was shown, and the two buckets.
    pub(super) fn places(&self) -> [Option<Range<usize>>; 4] {
        [
            self.output.as_ref().map(Spanned::span),
            self.impressions.as_ref().map(Spanned::span),
            self.models.as_ref().map(Spanned::span),
            self.registry.as_ref().map(Spanned::span),
        ]
    }
}
