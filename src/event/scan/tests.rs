//! The scanner against the grammar of JSON.

use proptest::prelude::*;

use super::*;
use crate::event::testing::is_json_by_its_grammar;

fn skips(text: &[u8], most: usize) -> Result<(), SkipError> {
    let mut scanner = Scanner::new(text);
    scanner.skip(&mut Vec::new(), most)?;
    match scanner.peek() {
        None => Ok(()),
        Some(_) => Err(scanner.error("the end").into()),
    }
}

fn error(text: &str) -> String {
    match skips(text.as_bytes(), 9) {
        Err(SkipError::Syntax(error)) => error.to_string(),
        other => format!("{other:?}"),
    }
}

#[test]
fn nesting_is_measured_without_recursion() {
    for (text, levels) in [("7", 0), ("[]", 1), (r#"{"a":[1,{"b":[]}],"c":{}}"#, 4)] {
        assert_eq!(skips(text.as_bytes(), levels), Ok(()));
        assert_eq!(skips(text.as_bytes(), usize::MAX), Ok(()));
        if levels > 0 {
            assert_eq!(skips(text.as_bytes(), levels - 1), Err(SkipError::TooDeep));
        }
    }
    let levels = 200_000;
    let text = [vec![b'['; levels], vec![b']'; levels]].concat();
    assert_eq!(skips(&text, levels), Ok(()));
}

#[test]
fn an_error_names_the_byte_where_it_breaks() {
    assert_eq!(error(r#"{"a":1,}"#), "expected a string at byte 7, found `}`");
    assert_eq!(error(r#"{"a":1"#), "expected `,` or `}` at byte 6, found the end");
}

/// Text made of JSON's own pieces, so that it is often almost right.
fn almost_json() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        "\"a\"",
        "\"\\u00e9\"",
        "\"\\ud83d\\ude00\"",
        "\"\\ud83d\"",
        "\"",
        "\\",
        "0",
        "-",
        "1.5",
        "1e5",
        "01",
        ".",
        "e",
        "true",
        "false",
        "null",
        "nul",
        "NaN",
        " ",
        "\n",
        "é",
        "{\"k\":1}",
        "[1,2]",
    ]);
    prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]
    #[test]
    fn the_grammar_agrees_with_serde_json(text in almost_json()) {
        prop_assert_eq!(skips(text.as_bytes(), 100).is_ok(), is_json_by_its_grammar(&text), "{:?}", text);
    }
}
