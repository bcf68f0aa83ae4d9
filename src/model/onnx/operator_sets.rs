//! Operators of the standard domain that are written otherwise, or mean something else, from one version of its operator
//! set on.
//!
//! Source: the schemas of the ONNX project, versions 7 to 26. What only takes more types, or has a new attribute whose
//! default is what was before, is not in here: a node of before is a node of now.

/// Each version, and the operators whose nodes of before are none, or other ones, in it.
const CHANGES: [(i64, &[&str]); 11] = [
    (9, &["BatchNormalization", "Scan", "Upsample"]),
    (10, &["Dropout", "Slice", "TopK", "Upsample"]),
    (11, &["Clip", "Pad", "Resize", "Scatter"]),
    (12, &["Dropout"]),
    (13, &["Hardmax", "LogSoftmax", "ReduceSum", "Softmax", "Split", "Squeeze", "Unsqueeze"]),
    (14, &["BatchNormalization"]),
    (16, &["RoiAlign"]),
    (
        18,
        &[
            "Pad",
            "ReduceL1",
            "ReduceL2",
            "ReduceLogSum",
            "ReduceLogSumExp",
            "ReduceMax",
            "ReduceMean",
            "ReduceMin",
            "ReduceProd",
            "ReduceSumSquare",
            "Resize",
            "Split",
        ],
    ),
    (20, &["DFT", "GridSample"]),
    (21, &["GroupNormalization"]),
    (24, &["Attention"]),
];

/// Whether a node of version `low` may be none, or another one, in version `high`.
pub(super) fn changed_between(operator: &str, low: i64, high: i64) -> bool {
    let mut later = CHANGES.iter().filter(|(version, _)| (low + 1..=high).contains(version));
    later.any(|(_, operators)| operators.contains(&operator))
}

/// The two names of the standard domain are one.
pub(super) fn domain(domain: &str) -> &str {
    if domain == "ai.onnx" { "" } else { domain }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_lies_after_the_older_and_up_to_the_newer_version() {
        assert!(changed_between("Softmax", 12, 13) && changed_between("Softmax", 7, 26));
        assert!(!changed_between("Softmax", 13, 26) && !changed_between("Softmax", 12, 12));
        assert!(!changed_between("Relu", 7, 26));
    }
}
