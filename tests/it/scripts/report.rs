//! What people read of a run: problems, and the file with what was found.

use std::any::Any;

use super::run::Transcript;
use super::script::Script;

/// The most problems, and lines of a problem, that are shown of a script.
const SHOWN: usize = 12;

/// Problems as indented text.
pub fn shortened(problems: &[String]) -> String {
    let mut lines = String::new();
    for problem in problems.iter().take(SHOWN) {
        for line in problem.lines().take(2 * SHOWN) {
            lines.push_str(&format!("  {line}\n"));
        }
    }
    if problems.len() > SHOWN {
        lines.push_str(&format!("  and {} more\n", problems.len() - SHOWN));
    }
    lines
}

/// The text of the file with the lines of a run in it.
pub fn blessed(script: &Script, run: &Transcript) -> String {
    let steps = script.steps.iter().zip(&run.steps);
    let found: Vec<_> = steps.flat_map(|(step, found)| step.lines.iter().zip(found)).collect();
    let mut text = String::new();
    for (number, line) in script.text.lines().enumerate().filter(|(_, line)| !line.trim().starts_with("=>")) {
        text.push_str(line);
        text.push('\n');
        for lines in found.iter().filter(|(line, _)| line.number == number).map(|(_, lines)| lines) {
            lines.iter().for_each(|line| text.push_str(&format!("    => {line}\n")));
        }
    }
    text
}

/// The message of a panic.
pub fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_default()
}
