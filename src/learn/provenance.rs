//! Where an impression, and the example that it becomes, is from: who was shown what, by which model, with which probability.
//!
//! Nothing is learnt from it. Whoever evaluates a model or trains one elsewhere needs it: to split by person, to join the
//! example with what else is known of the item, to weigh by the probability of having been shown.

use std::sync::Arc;

use crate::model::ModelVersion;
use crate::score::Id;

/// Bytes of the longest request id, user or item that is remembered; of a longer one it is not known which it was. As long as
/// the longest text of a vector.
const MOST_ID_BYTES: usize = 124;

/// Where one row is from, as far as it is known.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Provenance {
    /// The ranking that it was part of.
    pub asked: Option<Arc<Asked>>,
    /// The candidate.
    pub item: Option<Id>,
    /// The probability with which it was shown at its place, above 0 and at most 1: 1 where the best were shown.
    pub propensity: Option<f32>,
}

/// What all rows of one ranking share.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Asked {
    /// The request, or the event that was scored by itself.
    pub request: Option<Box<str>>,
    /// Who it was for.
    pub user: Option<Id>,
    /// The model that made the ranking; not known of an event that is read again after a restart.
    pub model: Option<ModelVersion>,
}

static UNKNOWN: Provenance = Provenance { asked: None, item: None, propensity: None };

impl Provenance {
    /// That of which nothing is known.
    #[must_use]
    pub fn unknown() -> &'static Self {
        &UNKNOWN
    }

    /// The bytes of texts and numbers that it holds beside itself, without those of its ranking.
    pub(super) fn own_bytes(&self) -> usize {
        self.item.as_ref().map_or(0, Id::text_bytes)
    }

    /// The bytes of its ranking.
    pub(super) fn asked_bytes(&self) -> usize {
        self.asked.as_deref().map_or(0, Asked::bytes)
    }

    /// Makes it share the ranking of the row before it, where that is the same one.
    pub(super) fn share_with(&mut self, before: Option<&Self>) {
        let asked = before.map(|before| &before.asked);
        if let Some(asked) = asked.filter(|asked| **asked == self.asked) {
            self.asked.clone_from(asked);
        }
    }

    /// Whether both name one ranking and hold it once.
    pub(super) fn shares(&self, other: &Self) -> bool {
        match (&self.asked, &other.asked) {
            (Some(one), Some(other)) => Arc::ptr_eq(one, other),
            _ => false,
        }
    }
}

impl Asked {
    /// A ranking of this name, for a person given as JSON, by this model. What is too long to be remembered is left out.
    #[must_use]
    pub fn new(request: &str, user: Option<&str>, model: Option<&ModelVersion>) -> Self {
        Self {
            request: (request.len() <= MOST_ID_BYTES).then(|| request.into()),
            user: user.and_then(Id::of_json).filter(is_short),
            model: model.cloned(),
        }
    }

    fn bytes(&self) -> usize {
        let texts = self.request.as_ref().map_or(0, |request| request.len())
            + self.user.as_ref().map_or(0, Id::text_bytes)
            + self.model.as_ref().map_or(0, |model| model.as_str().len());
        // With the two counters of what is shared.
        texts + size_of::<Self>() + 2 * size_of::<usize>()
    }
}

/// Whether an id is remembered.
pub(crate) fn is_short(id: &Id) -> bool {
    id.text_bytes() <= MOST_ID_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_that_are_too_long_are_not_remembered_and_cost_no_others() {
        let long = "x".repeat(MOST_ID_BYTES + 1);
        let asked = Asked::new(&long, Some("7"), None);
        assert_eq!((asked.request, asked.user), (None, Some(Id::Whole(7))));
        let asked = Asked::new("r", Some(&format!("{long:?}")), None);
        assert_eq!((asked.request.as_deref(), asked.user), (Some("r"), None));
    }

    #[test]
    fn rows_of_one_ranking_hold_it_once() {
        let of = |request| Provenance {
            asked: Some(Arc::new(Asked::new(request, Some(r#""ann""#), None))),
            item: Some(Id::Text("tea".into())),
            propensity: Some(1.0),
        };
        let (first, mut second, mut third) = (of("a"), of("a"), of("b"));
        second.share_with(Some(&first));
        third.share_with(Some(&first));
        assert!(first.shares(&second) && !first.shares(&third));
        assert_eq!((first.own_bytes(), first.asked_bytes()), (3, 4 + size_of::<Asked>() + 16));
        assert!(!Provenance::unknown().shares(Provenance::unknown()));
    }
}
