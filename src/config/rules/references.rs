//! `[references.NAME]`: where the rows come from, what finds them, and that nobody else has the name.

use super::Facts;
use crate::config::files::find_above;
use crate::config::problem::Problem;
use crate::config::reference::Reference;

impl Facts<'_> {
    /// Every reference table has one source, a key, and a name of its own.
    pub(super) fn check_references(&self, problems: &mut Vec<Problem>) {
        for (name, (place, reference)) in &self.draft.references.sound {
            let is_stream = self.draft.streams.declared.iter().any(|stream| stream == name.as_str());
            let is_table = self.feature_names.iter().any(|table| table == name.as_str());
            for (what, is_taken) in [("a stream", is_stream), ("a feature table", is_table)] {
                if is_taken {
                    let message = format!("{what} is called `{name}` too");
                    problems.push(self.at(place, message).suggest("give the reference table another name"));
                }
            }
            if name.as_str() == super::REQUESTS {
                let message = "a reference table can't be called `requests`: vector.sql calls the rows to score so";
                problems.push(self.at(place, message));
            }
            self.check_source(place, reference, problems);
            if reference.key.get_ref().is_empty() {
                let problem = self.at(&reference.key.span(), format!("`{name}` has no key"));
                problems.push(problem.suggest("name the columns that a row is found by: key = [\"item_id\"]"));
            }
        }
    }

    fn check_source(&self, place: &std::ops::Range<usize>, reference: &Reference, problems: &mut Vec<Problem>) {
        match (&reference.file, &reference.bucket) {
            (Some(file), None) => {
                if find_above(self.folder, file.get_ref()).is_none() {
                    let message = format!("file \"{}\" not found", file.get_ref().display());
                    problems.push(
                        self.at(&file.span(), message)
                            .suggest("it is looked for in the pipeline's folder and in each folder above it"),
                    );
                }
            }
            (None, Some(bucket)) if reference.contract.is_none() => problems.push(
                self.at(&bucket.span(), "a bucket needs a contract: its values tell no types")
                    .suggest("add contract = \"schemas/NAME.json\""),
            ),
            (None, Some(_)) => {}
            (Some(_), Some(bucket)) => {
                problems.push(self.at(&bucket.span(), "both `file` and `bucket` are given").suggest("keep one of them"))
            }
            (None, None) => problems.push(
                self.at(place, "neither `file` nor `bucket` is given")
                    .suggest("add file = \"NAME.csv\" or bucket = \"NAME\""),
            ),
        }
    }
}
