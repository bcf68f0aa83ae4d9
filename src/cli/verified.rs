//! The file beside a model that says what its last comparison with its owner's predictions found.

use std::path::{Path, PathBuf};

use anyhow::Context;
use serde::{Deserialize, Serialize};

use super::figures::{at, short};
use crate::config::Folder;
use crate::model::ModelVersion;
use crate::registry::{ModelRecord, Verdict};

/// The file's name.
const NAME: &str = "verified.json";

/// A verdict, and on which file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Verified {
    /// The version of the model's file then.
    pub(super) version: ModelVersion,
    #[serde(flatten)]
    pub(super) verdict: Verdict,
}

impl Verified {
    /// What is beside the folder's model, if there is something; what can't be read is an error.
    pub(super) fn read(folder: &Folder) -> anyhow::Result<Option<Self>> {
        let Some(path) = Self::path(folder) else { return Ok(None) };
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(anyhow::Error::from(error).context(path.display().to_string())),
        };
        let read = serde_json::from_slice(&bytes);
        let advice = "it is no verdict: run `tidewheel model verify` again, or remove it";
        read.with_context(|| format!("{}: {advice}", path.display())).map(Some)
    }

    /// Writes it beside the folder's model, and says where.
    pub(super) fn write(&self, folder: &Folder) -> anyhow::Result<PathBuf> {
        let path = Self::path(folder).context("the pipeline has no [model]")?;
        let mut text = serde_json::to_string_pretty(self)?;
        text.push('\n');
        let temporary = path.with_extension("new");
        let written = std::fs::write(&temporary, text).and_then(|()| std::fs::rename(&temporary, &path));
        written.with_context(|| path.display().to_string())?;
        Ok(path)
    }

    /// What `check` has to warn of, with the way out: a verdict on another file, or one that is no agreement.
    pub(super) fn doubt(&self, file: &ModelVersion) -> Option<(String, &'static str)> {
        let Self { version, verdict } = self;
        if version != file {
            return Some((
                format!("the model was compared with its owner's predictions as version {version}, and is {file} now"),
                "compare again with `tidewheel model verify`, or remove verified.json beside the model",
            ));
        }
        (!verdict.agrees()).then(|| {
            (
                format!("the model does not give what its owner expects: {}", told(verdict)),
                "look at the worst rows of `tidewheel model verify`: exporters are silently wrong at times",
            )
        })
    }

    /// Where it is, or would be.
    pub(super) fn path(folder: &Folder) -> Option<PathBuf> {
        let graph = folder.path.join(folder.settings.model.as_ref()?.graph.get_ref());
        Some(graph.parent().unwrap_or_else(|| Path::new(".")).join(NAME))
    }
}

/// Records with the verdict that is beside a folder's model, where that is a version without one.
pub(super) fn with_verdicts(mut records: Vec<ModelRecord>, folder: &Path) -> anyhow::Result<Vec<ModelRecord>> {
    if let Some(Verified { version, verdict }) = Verified::read(&Folder::read(folder)?)? {
        let unverified = records.iter_mut().filter(|record| record.version == version && record.verified.is_none());
        unverified.for_each(|record| record.verified = Some(verdict.clone()));
    }
    Ok(records)
}

/// A verdict in a line.
pub(super) fn told(verdict: &Verdict) -> String {
    let Verdict { rows, largest, tolerance, beyond, incomplete, .. } = verdict;
    let largest = largest.map_or_else(|| "-".to_owned(), short);
    let without = if *incomplete > 0 { format!(", {incomplete} without both") } else { String::new() };
    let (beyond, when) = (format!("{beyond} beyond {}", short(*tolerance)), at(verdict.at_micros));
    format!("{rows} rows, largest difference {largest}, {beyond}{without} ({when})")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verified(beyond: u64, incomplete: u64) -> Verified {
        let verdict = Verdict {
            at_micros: 1_700_000_000_000_000,
            rows: 1_000,
            largest: Some(3.2e-7),
            tolerance: 1e-5,
            beyond,
            incomplete,
        };
        Verified { version: ModelVersion::of(b"one"), verdict }
    }

    #[test]
    fn a_verdict_on_another_file_or_against_the_model_is_a_doubt() {
        let file = ModelVersion::of(b"one");
        assert_eq!(verified(0, 0).doubt(&file), None);
        let (other, _) = verified(0, 0).doubt(&ModelVersion::of(b"two")).unwrap();
        insta::assert_snapshot!(other, @"the model was compared with its owner's predictions as version 7692c3ad3540, and is 3fc4ccfe7458 now");
        let (against, _) = verified(2, 1).doubt(&file).unwrap();
        insta::assert_snapshot!(against, @"the model does not give what its owner expects: 1000 rows, largest difference 3.200e-7, 2 beyond 1.000e-5, 1 without both (2023-11-14T22:13:20Z)");
    }

    #[test]
    fn a_verdict_reads_back_from_its_json() {
        let text = serde_json::to_string(&verified(0, 0)).unwrap();
        insta::assert_snapshot!(text, @r#"{"version":"7692c3ad3540","at_micros":1700000000000000,"rows":1000,"largest":3.2e-7,"tolerance":0.00001,"beyond":0,"incomplete":0}"#);
        assert_eq!(serde_json::from_str::<Verified>(&text).unwrap(), verified(0, 0));
    }
}
