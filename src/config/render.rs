//! Problems as text for a terminal: place, message, the line with a caret, the fix.

use std::fmt::Write;

use super::problem::{Problem, Problems};

/// How much of a long line is shown: this many characters before the caret, and as many after it.
const SHOWN_CHARACTERS: usize = 60;

impl Problems {
    /// The problems as text without a last newline, each with an excerpt of its file; with ANSI colours when `colour`.
    pub fn render(&self, colour: bool) -> String {
        let paint = Paint { colour };
        let texts: Vec<String> = self.iter().map(|problem| render(problem, &paint)).collect();
        texts.join("\n\n")
    }
}

impl Problem {
    /// The problem as text without a last newline, with an excerpt of its file; with ANSI colours when `colour`.
    pub(crate) fn render(&self, colour: bool) -> String {
        render(self, &Paint { colour })
    }
}

fn render(problem: &Problem, paint: &Paint) -> String {
    let mut place = problem.file.clone();
    for number in [problem.line, problem.column].into_iter().flatten() {
        write_all(&mut place, format_args!(":{number}"));
    }
    let mut text = format!("{} {}", paint.bold(&format!("{}:", visible(&place))), visible(&problem.message));
    if let (Some(line), Some(column), Some(excerpt)) = (problem.line, problem.column, &problem.excerpt) {
        let (shown, pad) = window(excerpt, column.saturating_sub(1));
        let numbered = paint.blue(&format!("{line:>4} |"));
        let blank = paint.blue("     |");
        write_all(&mut text, format_args!("\n{numbered} {shown}\n{blank} {pad}{}", paint.red("^")));
    }
    if let Some(suggestion) = &problem.suggestion {
        write_all(&mut text, format_args!("\n  {} {}", paint.cyan("help:"), visible(suggestion)));
    }
    text
}

/// The part of a line around a character, and the white space that puts a caret below that character.
fn window(line: &str, index: usize) -> (String, String) {
    let index = index.min(line.chars().count());
    let start = index.saturating_sub(SHOWN_CHARACTERS);
    let mut rest = line.chars().skip(start);
    let shown: String = rest.by_ref().take(index - start + SHOWN_CHARACTERS).collect();
    let before = if start > 0 { "..." } else { "" };
    let after = if rest.next().is_some() { "..." } else { "" };
    let pad = shown.chars().take(index - start).map(|character| if character == '\t' { '\t' } else { ' ' });
    let pad = " ".chars().cycle().take(before.len()).chain(pad).collect();
    (format!("{before}{}{after}", visible(&shown)), pad)
}

/// A text whose control characters can't reach the terminal: a file under review may not move the cursor.
fn visible(text: &str) -> String {
    text.chars()
        .map(|character| match character {
            '\n' | '\t' => character,
            control if control.is_control() => char::REPLACEMENT_CHARACTER,
            other => other,
        })
        .collect()
}

/// Writing to a `String` can't fail.
fn write_all(text: &mut String, arguments: std::fmt::Arguments<'_>) {
    if text.write_fmt(arguments).is_err() {
        debug_assert!(false, "a value's Display failed");
    }
}

struct Paint {
    colour: bool,
}

impl Paint {
    fn bold(&self, text: &str) -> String {
        self.style("1", text)
    }

    fn red(&self, text: &str) -> String {
        self.style("1;31", text)
    }

    fn blue(&self, text: &str) -> String {
        self.style("34", text)
    }

    fn cyan(&self, text: &str) -> String {
        self.style("36", text)
    }

    fn style(&self, code: &str, text: &str) -> String {
        if self.colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::source::Source;
    use super::*;

    fn problem(text: &str, at: &str) -> Problem {
        let source = Source { path: "intent/pipeline.toml".into(), text: text.to_owned() };
        let start = text.find(at).unwrap();
        source.problem_at(start..start + at.len(), "unknown field `subject`")
    }

    #[test]
    fn a_problem_shows_its_line_with_a_caret_and_the_fix() {
        let text = "\n\n\n\n\n\nsubject = [\"shop.behavior\"]\n";
        let problem = problem(text, "subject").suggest("did you mean `subjects`?");
        insta::assert_snapshot!(Problems::from(problem), @r#"
        intent/pipeline.toml:7:1: unknown field `subject`
           7 | subject = ["shop.behavior"]
             | ^
          help: did you mean `subjects`?
        "#);
    }

    #[test]
    fn a_problem_of_a_whole_file_is_one_line() {
        let problems = Problems::from(Problem::new(Path::new("intent/features"), "no .sql file"));
        insta::assert_snapshot!(problems, @"intent/features: no .sql file");
    }

    #[test]
    fn the_caret_stands_below_its_character_after_tabs_and_wide_text() {
        insta::assert_snapshot!(
            problem("\tnäme = 1", "= 1").excerpt.map(|line| format!("{:?}", window(&line, 6))).unwrap(),
            @r#"("\tnäme = 1", "\t     ")"#
        );
    }

    #[test]
    fn a_long_line_is_cut_around_the_caret() {
        let text = format!("{}x{}", "a".repeat(500), "b".repeat(500));
        let rendered = Problems::from(problem(&text, "x")).to_string();
        let lines: Vec<&str> = rendered.lines().collect();
        assert_eq!(lines[1].len(), "   1 | ".len() + 2 * SHOWN_CHARACTERS + 6);
        assert_eq!(lines[2].find('^'), lines[1].find('x'));
    }

    #[test]
    fn colours_come_only_when_asked_for_and_never_from_a_file() {
        let problems = Problems::from(problem("\x1b[2Jsubject", "subject").suggest("mend"));
        assert!(!problems.render(false).contains('\x1b'));
        insta::assert_snapshot!(
            problems.render(true).replace('\x1b', "ESC"),
            @r"
        ESC[1mintent/pipeline.toml:1:5:ESC[0m unknown field `subject`
        ESC[34m   1 |ESC[0m �[2Jsubject
        ESC[34m     |ESC[0m     ESC[1;31m^ESC[0m
          ESC[36mhelp:ESC[0m mend
        "
        );
    }
}
