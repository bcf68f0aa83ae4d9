//! NATS subjects: tokens separated by dots, with wildcards where a filter is meant.

use super::text::{Refusal, text_value};
pub(super) use crate::bus::overlap;

text_value!(
    /// A subject to publish to or to serve: no wildcards.
    Subject,
    "a NATS subject as text",
    r"^[^.*>\s$][^.*>\s]*(\.[^.*>\s]+)*$",
    check_subject
);

text_value!(
    /// Subjects to read from: `*` stands for one token, `>` at the end for one or more.
    SubjectFilter,
    "a NATS subject as text",
    r"^[^.\s$][^.\s]*(\.[^.\s]+)*$",
    check_filter
);

impl Subject {
    /// As messages are sent to it.
    pub(super) fn on_bus(&self) -> Result<crate::bus::Subject, Refusal> {
        crate::bus::Subject::new(self.as_str())
            .map_err(|error| Refusal::new(error.to_string(), "choose another subject, such as `shop.ranked`"))
    }

    /// A subject that was read without being checked.
    #[cfg(test)]
    pub(super) fn unchecked(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl SubjectFilter {
    /// Whether there is a subject that both filters match.
    pub(super) fn overlaps(&self, other: &Self) -> bool {
        overlap(self.as_str(), other.as_str())
    }

    /// Whether the filter matches the subject, or one of several.
    pub(super) fn matches(&self, subjects: &str) -> bool {
        overlap(self.as_str(), subjects)
    }
}

fn check_subject(text: &str) -> Result<(), Refusal> {
    check_tokens(text)?;
    match text.split('.').find(|token| token.contains(['*', '>'])) {
        Some(token) => Err(Refusal::new(
            format!("subject {text:?} has a wildcard"),
            format!("one exact subject is needed here: replace `{token}` by a word"),
        )),
        None => Ok(()),
    }
}

fn check_filter(text: &str) -> Result<(), Refusal> {
    check_tokens(text)?;
    let mut tokens = text.split('.').peekable();
    while let Some(token) = tokens.next() {
        let is_last = tokens.peek().is_none();
        match token {
            "*" => {}
            ">" if is_last => {}
            ">" => {
                return Err(Refusal::new(
                    format!("subject {text:?} goes on after `>`"),
                    "`>` stands for all that follows: end there, or use `*` for one token",
                ));
            }
            word if word.contains(['*', '>']) => {
                return Err(Refusal::new(
                    format!("subject {text:?} has a wildcard inside the token `{word}`"),
                    "a wildcard is a token of its own, such as `shop.*` or `shop.>`",
                ));
            }
            _ => {}
        }
    }
    Ok(())
}

fn check_tokens(text: &str) -> Result<(), Refusal> {
    if text.split('.').any(str::is_empty) {
        let message = format!("subject {text:?} has an empty token");
        return Err(Refusal::new(message, "write tokens with one dot between them, such as `shop.clicks`"));
    }
    if text.contains(|character: char| character.is_whitespace() || character.is_control()) {
        let message = format!("subject {text:?} has white space or a control character");
        return Err(Refusal::new(message, "separate tokens by dots, such as `shop.clicks`"));
    }
    if text.starts_with('$') {
        let message = format!("subject {text:?} begins with `$`");
        return Err(Refusal::new(message, "those belong to the NATS server: choose another first token"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn subjects_and_filters_are_told_apart_from_what_is_none() {
        for good in ["a", "shop.clicks", "shop.clicks-2.été", "a$b"] {
            assert!(Subject::parse(good).is_ok() && SubjectFilter::parse(good).is_ok(), "{good}");
        }
        for filter in ["*", ">", "shop.*", "shop.>", "*.clicks.*.>"] {
            assert!(Subject::parse(filter).is_err() && SubjectFilter::parse(filter).is_ok(), "{filter}");
        }
        for bad in ["", ".", "a.", ".a", "a..b", "a b", "a\t", "a\0", "$JS.API", ">.a", "a.>.b", "a*", "a.b>", "**"] {
            assert!(Subject::parse(bad).is_err() && SubjectFilter::parse(bad).is_err(), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_a_subject_here_is_one_on_the_bus(text in "[a-z_$*>. \t\n\u{e9}\u{a0}\u{0}]{0,6}") {
            if let Ok(subject) = Subject::parse(&text) {
                let on_bus = subject.on_bus().unwrap();
                prop_assert_eq!(on_bus.as_str(), text);
            }
        }
    }

    #[test]
    fn a_refused_subject_says_why() {
        insta::assert_snapshot!(
            SubjectFilter::parse("shop.>.clicks").unwrap_err(),
            @r#"subject "shop.>.clicks" goes on after `>`: `>` stands for all that follows: end there, or use `*` for one token"#
        );
        insta::assert_snapshot!(
            Subject::parse("shop.*").unwrap_err(),
            @r#"subject "shop.*" has a wildcard: one exact subject is needed here: replace `*` by a word"#
        );
    }

    #[test]
    fn filters_overlap_when_a_subject_matches_both() {
        let filter = |text| SubjectFilter::parse(text).unwrap();
        for (a, b) in [("a.b", "a.b"), ("a.*", "*.b"), ("a.>", "a.b.c"), (">", "a"), ("a.*.c", "a.b.>")] {
            assert!(filter(a).overlaps(&filter(b)) && filter(b).overlaps(&filter(a)), "{a} {b}");
        }
        for (a, b) in [("a.b", "a.c"), ("a.*", "a"), ("a.>", "a"), ("a.*", "a.b.c"), ("a.*.c", "a.b.d")] {
            assert!(!filter(a).overlaps(&filter(b)) && !filter(b).overlaps(&filter(a)), "{a} {b}");
        }
    }

    /// Whether a filter matches a subject, token by token: NATS's definition.
    fn naive_matches(filter: &[&str], subject: &[&str]) -> bool {
        match (filter, subject) {
            ([], []) | ([">"], [_, ..]) => true,
            (["*", filter @ ..], [_, subject @ ..]) => naive_matches(filter, subject),
            ([word, filter @ ..], [token, subject @ ..]) => word == token && naive_matches(filter, subject),
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn overlap_agrees_with_trying_every_subject(a in "([ab*]\\.){0,2}[ab*>]", b in "([ab*]\\.){0,2}[ab*>]") {
            let letters = ["a", "b"];
            let mut subjects: Vec<Vec<&str>> = vec![vec![]];
            let mut longest = subjects.clone();
            for _ in 0..4 {
                longest = longest
                    .iter()
                    .flat_map(|tokens| letters.map(|letter| [tokens.as_slice(), &[letter]].concat()))
                    .collect();
                subjects.extend(longest.clone());
            }
            let (a_tokens, b_tokens): (Vec<&str>, Vec<&str>) = (a.split('.').collect(), b.split('.').collect());
            let expected =
                subjects.iter().any(|tokens| naive_matches(&a_tokens, tokens) && naive_matches(&b_tokens, tokens));
            prop_assert_eq!(overlap(&a, &b), expected);
        }
    }
}
