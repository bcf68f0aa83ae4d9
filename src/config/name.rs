//! Names of pipelines, and of relations in SQL.

use super::text::{Refusal, text_value};

/// Subjects and streams are named after the pipeline, so its name stays short.
const LONGEST_PIPELINE_NAME: usize = 40;
/// As long as PostgreSQL's identifiers: longer ones are cut by SQL clients.
const LONGEST_SQL_NAME: usize = 63;

text_value!(
    /// The name of a pipeline: `[a-z][a-z0-9_-]*`, at most 40 characters. A token of NATS subjects and stream names.
    PipelineName,
    "a pipeline's name as text",
    "^[a-z][a-z0-9_-]{0,39}$",
    check_pipeline_name
);

text_value!(
    /// The name of a stream or feature table in SQL: `[a-z_][a-z0-9_]*`, at most 63 characters, so that it never needs
    /// quotes.
    SqlName,
    "a name as text",
    "^[a-z_][a-z0-9_]{0,62}$",
    check_sql_name
);

fn check_pipeline_name(text: &str) -> Result<(), Refusal> {
    let starts_well = text.starts_with(|first: char| first.is_ascii_lowercase());
    let allowed = |character: char| matches!(character, 'a'..='z' | '0'..='9' | '_' | '-');
    if starts_well && text.chars().all(allowed) && text.len() <= LONGEST_PIPELINE_NAME {
        return Ok(());
    }
    Err(Refusal::new(
        format!("{text:?} can't name a pipeline"),
        format!(
            "begin with a letter a to z, go on with a to z, 0 to 9, `_` and `-`, at most {LONGEST_PIPELINE_NAME} in all"
        ),
    ))
}

fn check_sql_name(text: &str) -> Result<(), Refusal> {
    if is_sql_name(text) {
        return Ok(());
    }
    let tidy: String = text
        .chars()
        .map(|character| if character.is_ascii_alphanumeric() { character.to_ascii_lowercase() } else { '_' })
        .collect();
    let suggestion = if is_sql_name(&tidy) {
        format!("call it `{tidy}`")
    } else {
        format!("use a to z, 0 to 9 and `_`, no digit first, at most {LONGEST_SQL_NAME} in all")
    };
    Err(Refusal::new(format!("{text:?} is not a name that SQL takes without quotes"), suggestion))
}

fn is_sql_name(text: &str) -> bool {
    let starts_well = text.starts_with(|first: char| first.is_ascii_lowercase() || first == '_');
    let allowed = |character: char| matches!(character, 'a'..='z' | '0'..='9' | '_');
    starts_well && text.chars().all(allowed) && text.len() <= LONGEST_SQL_NAME
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pipeline_name_is_a_subject_token() {
        let longest = "a".repeat(LONGEST_PIPELINE_NAME);
        for good in ["a", "intent", "intent-2_b", &longest] {
            assert_eq!(PipelineName::parse(good).unwrap().as_str(), good);
        }
        for bad in ["", "Intent", "2nd", "-a", "a.b", "a b", "a*", "é", &format!("{longest}a")] {
            assert!(PipelineName::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn an_sql_name_needs_no_quotes() {
        let longest = "a".repeat(LONGEST_SQL_NAME);
        for good in ["a", "_a", "user_activity", "a1", &longest] {
            assert_eq!(SqlName::parse(good).unwrap().as_str(), good);
        }
        for bad in ["", "Users", "1a", "a-b", "a b", "a.b", "é", &format!("{longest}a")] {
            assert!(SqlName::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_refused_name_comes_with_one_that_would_do() {
        insta::assert_snapshot!(
            SqlName::parse("User-Activity").unwrap_err(),
            @r#""User-Activity" is not a name that SQL takes without quotes: call it `user_activity`"#
        );
        insta::assert_snapshot!(
            SqlName::parse("7 days").unwrap_err(),
            @r#""7 days" is not a name that SQL takes without quotes: use a to z, 0 to 9 and `_`, no digit first, at most 63 in all"#
        );
    }
}
