//! `[labels]` and `[train]`: that there is something to learn from, and something that learns.

use toml::Spanned;

use super::Facts;
use crate::config::labels::Labels;
use crate::config::problem::Problem;

impl Facts<'_> {
    /// Learning stands on scoring: `[train]` on `[labels]`, that on `[score]`, and that on `[model]`.
    ///
    /// A missing section is blamed on the nearest one above it: so each is reported once.
    pub(super) fn check_learning_needs(&self, problems: &mut Vec<Problem>) {
        let draft = self.draft;
        let needs = [
            Need {
                section: "[labels]",
                is_absent: draft.labels.is_absent(),
                suggestion: "add join = [\"COLUMN\"] and positive = \"CONDITION\" to it: they make the examples",
            },
            Need {
                section: "[score]",
                is_absent: draft.score.is_absent(),
                suggestion: "add service = \"SUBJECT\" to it to answer requests, or on = \"CONDITION\" to score events",
            },
            Need { section: "[model]", is_absent: draft.model.is_absent(), suggestion: super::MODEL_ADVICE },
        ];
        let train = draft.train.sound().map(|train| ("[train]", train.span(), 0));
        let labels = draft.labels.sound().map(|labels| ("[labels]", labels.span(), 1));
        for (section, place, above) in [train, labels].into_iter().flatten() {
            for need in needs.iter().skip(above).take_while(|need| need.is_absent) {
                let message = format!("{section} needs a section {}", need.section);
                problems.push(self.at(&place, message).suggest(need.suggestion));
            }
        }
    }

    /// The stream whose events are feedback is known.
    pub(super) fn check_labels(&self, labels: &Spanned<Labels>, problems: &mut Vec<Problem>) {
        let Labels { stream, positive, .. } = labels.get_ref();
        self.check_stream(stream.as_ref(), Some(("positive", positive.span())), problems);
    }
}

/// A section that another one needs.
struct Need {
    section: &'static str,
    is_absent: bool,
    suggestion: &'static str,
}
