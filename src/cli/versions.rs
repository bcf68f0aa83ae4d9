//! How the versions of a model are shown: as lines of a list, and as JSON.

use serde_json::Value;

use super::figures::at;
use crate::model::ModelVersion;
use crate::registry::{ModelRecord, Pointer};

/// What the two figures of a list are.
const BESIDE: &str = "auc: on the newest examples before they were learnt from; beside: on the same ones, what lift is measured against \
    (the control group's model, else the first)";

/// A line for each version, and what there is to say of all.
pub(super) fn listed(records: &[ModelRecord], pointer: &Pointer) -> String {
    let mut lines = vec![
        "version       role       steps      position  created               auc     beside  verified  parent"
            .to_owned(),
    ];
    let figure = |record: &ModelRecord, name: &str| {
        record.metrics[name].as_f64().map_or_else(|| "-".to_owned(), |figure| format!("{figure:.4}"))
    };
    lines.extend(records.iter().map(|record| {
        let (auc, beside) = (figure(record, "auc"), figure(record, "reference_auc"));
        let verified = record.verified.as_ref().map_or("-", |verdict| if verdict.agrees() { "yes" } else { "no" });
        format!(
            "{:<12}  {:<9}  {:>7}  {:>10}  {:<20}  {auc:>6}  {beside:>6}  {verified:<8}  {}",
            record.version,
            role(&record.version, pointer),
            record.steps,
            record.example_position,
            at(record.created_micros),
            record.parent.as_ref().map_or("-", ModelVersion::as_str),
        )
    }));
    if records.iter().any(|record| record.metrics["auc"].is_number()) {
        lines.push(BESIDE.to_owned());
    }
    lines.extend(held(pointer));
    lines.join("\n")
}

/// That a roll-back is held, and how that ends.
pub(super) fn held(pointer: &Pointer) -> Option<String> {
    let rolled_back = pointer.history.last().filter(|_| pointer.held)?;
    Some(format!(
        "held at {} since {} ({}): training promotes nothing until `tidewheel model promote` or `tidewheel model resume`",
        pointer.active,
        at(rolled_back.at_micros),
        rolled_back.reason
    ))
}

/// What a version is for now.
pub(super) fn role(version: &ModelVersion, pointer: &Pointer) -> &'static str {
    if *version == pointer.active {
        "active"
    } else if pointer.control.as_ref().is_some_and(|control| control.version == *version) {
        "control"
    } else if pointer.candidate.as_ref() == Some(version) {
        "candidate"
    } else if *version == pointer.first {
        "first"
    } else if pointer.previous.contains(version) {
        "previous"
    } else {
        "stored"
    }
}

/// A version as JSON.
pub(super) fn described(record: &ModelRecord, pointer: &Pointer) -> Value {
    let mut shown = serde_json::to_value(record).unwrap_or(Value::Null);
    shown["role"] = role(&record.version, pointer).into();
    shown["held"] = (pointer.held && record.version == pointer.active).into();
    shown
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::registry::{Training, Verdict};

    #[test]
    fn a_list_says_what_each_version_is_and_that_a_roll_back_is_held() {
        let first = ModelRecord::initial(b"first", "8a21", 1_700_000_000_000_000);
        let training = Training { example_position: 900, steps: 64, metrics: json!({ "auc": 0.71 }) };
        let trained = ModelRecord::trained(b"trained", &first, "8a21", training, 1_700_000_060_000_000);
        let verdict = Verdict { at_micros: 1, rows: 9, largest: Some(0.0), tolerance: 1e-5, beyond: 0, incomplete: 0 };
        let added =
            ModelRecord { verified: Some(verdict), ..ModelRecord::initial(b"nightly", "8a21", 1_700_000_120_000_000) };
        let pointer = json!({
            "active": first.version, "previous": [], "control": null, "first": first.version,
            "history": [
                { "from": null, "to": first.version, "reason": "the first model", "at_micros": 1_700_000_000_000_000_i64 },
                { "from": trained.version, "to": first.version, "reason": "worse", "at_micros": 1_700_000_180_000_000_i64 },
            ],
            "held": true, "candidate": added.version,
        });
        let pointer: Pointer = serde_json::from_value(pointer).unwrap();
        insta::assert_snapshot!(listed(&[added, trained, first.clone()], &pointer), @r"
        version       role       steps      position  created               auc     beside  verified  parent
        2a3b62b53ddb  candidate        0           0  2023-11-14T22:15:20Z       -       -  yes       -
        33fbcd8470ea  stored          64         900  2023-11-14T22:14:20Z  0.7100       -  -         a7937b64b8ca
        a7937b64b8ca  active           0           0  2023-11-14T22:13:20Z       -       -  -         -
        auc: on the newest examples before they were learnt from; beside: on the same ones, what lift is measured against (the control group's model, else the first)
        held at a7937b64b8ca since 2023-11-14T22:16:20Z (worse): training promotes nothing until `tidewheel model promote` or `tidewheel model resume`
        ");
        assert_eq!(described(&first, &pointer)["held"], true);
        let mut resumed = pointer;
        resumed.held = false;
        assert_eq!(held(&resumed), None);
    }
}
