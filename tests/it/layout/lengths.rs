//! A function fits on a screen, so that it can be checked without turning pages.

use super::assert_none;
use super::tree::Tree;

const LONGEST_FUNCTION: usize = 80;

#[test]
fn no_function_is_longer_than_80_lines() {
    let tree = Tree::of_sources();
    let mut faults = Vec::new();
    for file in &tree.files {
        for function in file.reading.functions.iter().filter(|function| function.lines > LONGEST_FUNCTION) {
            faults.push(format!(
                "src/{}:{}: {} has {} lines, more than {LONGEST_FUNCTION}: give its steps names of their own",
                file.path, function.line, function.name, function.lines
            ));
        }
    }
    assert_none(faults);
}
