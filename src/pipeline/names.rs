//! What a pipeline is called in the broker: every subject, stream, bucket and service that is its own.
//!
//! ```text
//!  pipeline `shop`, stream `clicks`
//!    says        shop.dead   shop.commits   shop.examples   shop.impressions
//!    answers     shop.sql    tidewheel.worker.shop   tidewheel.trainer.shop   tidewheel.status.shop
//!    streams     SHOP_CLICKS   SHOP_OUT   SHOP_IMPRESSIONS
//!    buckets     SHOP_MODELS (stream OBJ_SHOP_MODELS)   SHOP_REGISTRY (stream KV_SHOP_REGISTRY)
//!    services    tidewheel-shop   tidewheel-shop-sql   tidewheel-shop-status   tidewheel-shop-worker   tidewheel-shop-trainer
//! ```
//!
//! Those of streams and buckets, and what its own subjects begin with, can be chosen ([`ChosenNames`]); where workers, trainers
//! and status are asked can't be, since whoever asks may know no more than the pipeline's name.
//!
//! A name never changes: whoever runs an older version, and whatever is stored, knows it by it. Names of streams are joined and
//! put in upper case, so that those of two pipelines may come out the same: `check` refuses what it can see of that, the broker
//! the rest.

use crate::bus::{self, Subject};
use crate::registry::RegistryNames;

/// The one that runs a pipeline.
pub(crate) const WORKER: &str = "worker";
/// The one that trains its model.
pub(crate) const TRAINER: &str = "trainer";

/// The subjects on which workers and trainers of all pipelines are asked whether they are there.
pub(crate) const PRESENCE: [&str; 2] = ["tidewheel.worker.*", "tidewheel.trainer.*"];

/// The subjects on which all pipelines are asked how they do.
pub(crate) const STATUS: &str = "tidewheel.status.*";

/// The names of one pipeline, made from its own when they are asked for, unless its settings choose others.
#[derive(Debug, Clone)]
pub struct Names {
    pipeline: String,
    chosen: ChosenNames,
}

/// Names that settings choose, each instead of the one that is made from the pipeline's.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ChosenNames {
    /// What the subjects of dead letters, commits, examples, impressions and queries begin with.
    pub subjects: Option<String>,
    /// The stream of all that is committed.
    pub output: Option<String>,
    /// The stream of what was shown.
    pub impressions: Option<String>,
    /// The bucket of models.
    pub models: Option<String>,
    /// The bucket of what is said about models.
    pub registry: Option<String>,
}

impl From<&str> for Names {
    fn from(pipeline: &str) -> Self {
        Self::of(pipeline)
    }
}

impl From<&String> for Names {
    fn from(pipeline: &String) -> Self {
        Self::of(pipeline)
    }
}

impl From<&Self> for Names {
    fn from(names: &Self) -> Self {
        names.clone()
    }
}

impl Names {
    /// Those of a pipeline whose name has been checked: letters, digits, `_` and `-`.
    #[must_use]
    pub fn of(pipeline: &str) -> Self {
        Self::choosing(pipeline, ChosenNames::default())
    }

    /// Those of a pipeline that chooses some.
    #[must_use]
    pub fn choosing(pipeline: &str, chosen: ChosenNames) -> Self {
        Self { pipeline: pipeline.to_owned(), chosen }
    }

    /// The pipeline's own name.
    #[must_use]
    pub fn pipeline(&self) -> &str {
        &self.pipeline
    }

    /// Where events go that can't be used.
    #[must_use]
    pub fn dead_letters(&self) -> Subject {
        self.subject("dead")
    }

    /// Where the markers of what is committed go.
    #[must_use]
    pub fn commits(&self) -> Subject {
        self.subject("commits")
    }

    /// Where examples to learn from go.
    #[must_use]
    pub fn examples(&self) -> Subject {
        self.subject("examples")
    }

    /// Where what was shown is kept until its feedback comes.
    #[must_use]
    pub fn impressions(&self) -> Subject {
        self.subject("impressions")
    }

    /// Where queries over the tables are answered.
    #[must_use]
    pub fn queries(&self) -> Subject {
        self.subject("sql")
    }

    /// Where the pipeline tells how it does.
    #[must_use]
    pub fn status(&self) -> Subject {
        Subject::known(format!("tidewheel.status.{}", self.pipeline))
    }

    /// Where whoever has that role, [`WORKER`] or [`TRAINER`], says that it is there.
    pub(crate) fn presence(&self, role: &str) -> Subject {
        Subject::known(format!("tidewheel.{role}.{}", self.pipeline))
    }

    /// The stream that holds the events of a stream of the pipeline.
    #[must_use]
    pub fn input_stream(&self, stream: &str) -> String {
        format!("{}_{stream}", self.pipeline).to_uppercase()
    }

    /// The stream that holds all that is committed.
    #[must_use]
    pub fn output_stream(&self) -> String {
        self.chosen.output.clone().unwrap_or_else(|| self.input_stream("out"))
    }

    /// The stream that holds what was shown.
    #[must_use]
    pub fn impressions_stream(&self) -> String {
        self.chosen.impressions.clone().unwrap_or_else(|| self.input_stream("impressions"))
    }

    /// The buckets of the registry of models.
    #[must_use]
    pub fn registry(&self) -> RegistryNames {
        let name = self.pipeline.to_uppercase();
        RegistryNames {
            pipeline: self.pipeline.clone(),
            models: self.chosen.models.clone().unwrap_or_else(|| format!("{name}_MODELS")),
            pointers: self.chosen.registry.clone().unwrap_or_else(|| format!("{name}_REGISTRY")),
        }
    }

    /// The streams that hold those buckets.
    pub(crate) fn registry_streams(&self) -> [String; 2] {
        let RegistryNames { models, pointers, .. } = self.registry();
        [bus::object_stream(&models), bus::bucket_stream(&pointers)]
    }

    /// The service that answers requests for rankings.
    pub(crate) fn ranking_service(&self) -> String {
        format!("tidewheel-{}", self.pipeline)
    }

    /// The service that answers queries.
    pub(crate) fn query_service(&self) -> String {
        format!("tidewheel-{}-sql", self.pipeline)
    }

    /// The service that tells how the pipeline does.
    pub(crate) fn status_service(&self) -> String {
        format!("tidewheel-{}-status", self.pipeline)
    }

    /// The service by which whoever has that role says that it is there.
    pub(crate) fn presence_service(&self, role: &str) -> String {
        format!("tidewheel-{}-{role}", self.pipeline)
    }

    fn subject(&self, token: &str) -> Subject {
        let prefix = self.chosen.subjects.as_deref().unwrap_or(&self.pipeline);
        Subject::known(format!("{prefix}.{token}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_of_a_pipeline_stays_what_it_is() {
        let names = Names::of("shop");
        let subjects = [
            (names.dead_letters(), "shop.dead"),
            (names.commits(), "shop.commits"),
            (names.examples(), "shop.examples"),
            (names.impressions(), "shop.impressions"),
            (names.queries(), "shop.sql"),
            (names.status(), "tidewheel.status.shop"),
            (names.presence(WORKER), "tidewheel.worker.shop"),
            (names.presence(TRAINER), "tidewheel.trainer.shop"),
        ];
        for (subject, expected) in subjects {
            assert_eq!(subject.as_str(), expected);
        }
        let RegistryNames { pipeline, models, pointers } = names.registry();
        let [models_stream, pointers_stream] = names.registry_streams();
        let texts = [
            (names.input_stream("clicks"), "SHOP_CLICKS"),
            (names.output_stream(), "SHOP_OUT"),
            (names.impressions_stream(), "SHOP_IMPRESSIONS"),
            (pipeline, "shop"),
            (models, "SHOP_MODELS"),
            (pointers, "SHOP_REGISTRY"),
            (models_stream, "OBJ_SHOP_MODELS"),
            (pointers_stream, "KV_SHOP_REGISTRY"),
            (names.ranking_service(), "tidewheel-shop"),
            (names.query_service(), "tidewheel-shop-sql"),
            (names.status_service(), "tidewheel-shop-status"),
            (names.presence_service(WORKER), "tidewheel-shop-worker"),
            (names.presence_service(TRAINER), "tidewheel-shop-trainer"),
        ];
        for (name, expected) in texts {
            assert_eq!(name, expected);
        }
    }

    #[test]
    fn names_that_are_chosen_take_the_place_of_those_that_are_made() {
        let chosen = ChosenNames {
            subjects: Some("features.shop".to_owned()),
            output: Some("FEATURES".to_owned()),
            impressions: Some("SHOWN".to_owned()),
            models: Some("GRAPHS".to_owned()),
            registry: Some("POINTERS".to_owned()),
        };
        let names = Names::choosing("shop", chosen);
        assert_eq!([names.output_stream(), names.impressions_stream()], ["FEATURES", "SHOWN"]);
        assert_eq!(names.registry_streams(), ["OBJ_GRAPHS", "KV_POINTERS"]);
        let subjects = [names.dead_letters(), names.commits(), names.examples(), names.impressions()];
        let expected = ["dead", "commits", "examples", "impressions"].map(|token| format!("features.shop.{token}"));
        assert_eq!(subjects.map(|subject| subject.as_str().to_owned()), expected);
        let asked =
            [names.queries(), names.status(), names.presence(WORKER)].map(|subject| subject.as_str().to_owned());
        assert_eq!(asked, ["features.shop.sql", "tidewheel.status.shop", "tidewheel.worker.shop"]);
        let only = Names::choosing("shop", ChosenNames { output: Some("O".to_owned()), ..ChosenNames::default() });
        assert_eq!((only.output_stream(), only.commits().as_str()), ("O".to_owned(), "shop.commits"));
    }

    #[test]
    fn signs_of_a_pipeline_s_name_stay_in_its_names() {
        let names = Names::of("shop-2_b");
        assert_eq!(names.input_stream("page_views"), "SHOP-2_B_PAGE_VIEWS");
        assert_eq!(names.registry().pointers, "SHOP-2_B_REGISTRY");
        assert_eq!(names.commits().as_str(), "shop-2_b.commits");
    }

    #[test]
    fn names_of_two_pipelines_may_be_one() {
        assert_eq!(Names::of("a_b").input_stream("c"), Names::of("a").input_stream("b_c"));
        assert_eq!(Names::of("a").input_stream("out"), Names::of("a").output_stream());
    }

    #[test]
    fn presence_is_asked_for_below_the_subjects_that_are_set_aside_for_it() {
        for (role, filter) in [WORKER, TRAINER].into_iter().zip(PRESENCE) {
            let asked = Names::of("shop").presence(role);
            assert_eq!(asked.as_str().strip_suffix("shop"), filter.strip_suffix('*'));
        }
        let asked = Names::of("shop").status();
        assert_eq!(asked.as_str().strip_suffix("shop"), STATUS.strip_suffix('*'));
    }
}
