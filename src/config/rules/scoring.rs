//! `[score]`: that it has a model, something to score, and a stream to find it in.

use toml::Spanned;

use super::Facts;
use crate::config::problem::Problem;
use crate::config::score::Score;

impl Facts<'_> {
    /// The rules of `[score]`.
    pub(super) fn check_score(&self, score: &Spanned<Score>, problems: &mut Vec<Problem>) {
        let Score { service, request, on, .. } = score.get_ref();
        if self.draft.model.is_absent() {
            problems.push(self.at(&score.span(), "[score] needs a section [model]").suggest(super::MODEL_ADVICE));
        }
        match (service, on, request) {
            (None, None, _) => problems.push(
                self.at(&score.span(), "[score] has neither `service` nor `on`, so nothing would ever be scored")
                    .suggest("add service = \"SUBJECT\" to answer requests, or on = \"CONDITION\" to score events"),
            ),
            (Some(service), None, None) => problems.push(
                self.at(&service.span(), "`service` needs `request`, the contract of its requests")
                    .suggest("add request = \"schemas/NAME.json\""),
            ),
            (None, Some(_), Some(request)) => problems.push(
                self.at(&request.span(), "`request` has no meaning without `service`")
                    .suggest("remove it, or add service = \"SUBJECT\""),
            ),
            _ => {}
        }
        self.check_score_stream(score, problems);
    }

    /// The stream whose events are scored is known, and there is a condition on them.
    fn check_score_stream(&self, score: &Spanned<Score>, problems: &mut Vec<Problem>) {
        let Score { stream, on, .. } = score.get_ref();
        match (stream, on) {
            (Some(stream), None) if self.is_declared(stream) => problems.push(
                self.at(&stream.span(), "`stream` has no meaning without `on`")
                    .suggest("remove it, or add on = \"CONDITION\" to score its events"),
            ),
            _ => self.check_stream(stream.as_ref(), on.as_ref().map(|on| ("on", on.span())), problems),
        }
    }
}
