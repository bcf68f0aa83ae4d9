//! Which rows of a batch are at fault: the batch is halved until each of them is alone.
//!
//! ```text
//!   [0 1 2 3 4 5 6 7] fails ─▶ [0 1 2 3] works
//!                              [4 5 6 7] fails ─▶ [4 5] fails ─▶ [4] works   [5] fails: at fault
//!                                                 [6 7] works
//! ```
//!
//! It costs two runs for each halving and row at fault, and nothing where the batch works. Rows that fail only together are
//! nobody's fault: none is found among them.

use std::ops::Range;

use crate::fault::{Judged, Judgement};
use crate::model::ModelError;

/// Calls `run` on ranges of rows, each at least one long, until those that fail alone are known. `run` gives what it does for
/// rows that work, or why they do not.
///
/// # Errors
/// What `run` fails with otherwise.
pub(super) fn isolate(
    rows: usize,
    mut run: impl FnMut(Range<usize>) -> Result<Result<(), String>, ModelError>,
) -> Result<Vec<(usize, String)>, ModelError> {
    let mut at_fault = Vec::new();
    // The last is looked at first: so rows come in their order.
    let mut open: Vec<Range<usize>> = Vec::new();
    open.extend((rows > 0).then_some(0..rows));
    while let Some(range) = open.pop() {
        let Err(reason) = run(range.clone())? else { continue };
        if range.len() == 1 {
            at_fault.push((range.start, reason));
            continue;
        }
        let middle = range.start.midpoint(range.end);
        open.extend([middle..range.end, range.start..middle]);
    }
    Ok(at_fault)
}

/// Why a model can't take some rows, where others may well be taken; a defect of this program is passed on.
///
/// # Errors
/// The defect.
pub(super) fn of_rows<T>(outcome: Result<T, ModelError>) -> Result<Result<T, String>, ModelError> {
    match outcome {
        Ok(value) => Ok(Ok(value)),
        Err(error) if error.judgement() == Judgement::DEFECT => Err(error),
        Err(error) => Ok(Err(error.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn exactly_the_rows_that_fail_alone_are_found_in_their_order(bad: Vec<bool>) {
            let mut runs = 0;
            let found = isolate(bad.len(), |range| {
                runs += 1;
                Ok(if bad[range].contains(&true) { Err("bad".to_owned()) } else { Ok(()) })
            });
            let found: Vec<usize> = found.unwrap().into_iter().map(|(row, _)| row).collect();
            let expected: Vec<usize> = (0..bad.len()).filter(|row| bad[*row]).collect();
            let depth = bad.len().next_power_of_two().ilog2() as usize;
            prop_assert!(runs <= 1 + 2 * expected.len() * depth.max(1), "{} runs", runs);
            prop_assert_eq!(found, expected);
        }
    }

    #[test]
    fn rows_that_fail_only_together_are_nobodys_fault() {
        let found = isolate(6, |range| Ok(if range.len() > 2 { Err("too many".to_owned()) } else { Ok(()) }));
        assert!(found.unwrap().is_empty());
    }

    #[test]
    fn a_defect_is_passed_on() {
        let failure = || Err(ModelError::MatrixSize { values: 1, rows: 1, columns: 2 });
        assert!(isolate(3, |_| of_rows(failure())).is_err());
        assert!(of_rows::<()>(Err(ModelError::NotFinite { count: 1, rows: 1 })).unwrap().is_err());
    }
}
