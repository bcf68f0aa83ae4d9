//! Names of streams in the broker, and where else than in our own account they are.

use super::text::{Refusal, text_value};

/// As long as the server takes.
const LONGEST: usize = 255;
/// Of a bucket's name its stream's is made.
const LONGEST_BUCKET: usize = 200;

text_value!(
    /// The name of a stream in the broker.
    StreamName,
    "a stream's name as text",
    r"^[^.*>/\\\s]{1,255}$",
    check_name
);

text_value!(
    /// The name of a bucket of the broker.
    BucketName,
    "a bucket's name as text",
    r"^[a-zA-Z0-9_-]{1,200}$",
    check_bucket
);

text_value!(
    /// A domain of JetStream.
    Domain,
    "a domain as text",
    r"^[^.*>/\\\s]{1,255}$",
    check_domain
);

text_value!(
    /// What the subjects begin with on which another account's JetStream is asked.
    ApiPrefix,
    "a prefix of subjects as text",
    r"^[^.*>\s]+(\.[^.*>\s]+)*$",
    check_prefix
);

fn check_name(text: &str) -> Result<(), Refusal> {
    check_token("a stream", text)
}

fn check_bucket(text: &str) -> Result<(), Refusal> {
    let is_sign = |sign: char| sign.is_ascii_alphanumeric() || matches!(sign, '_' | '-');
    if !text.is_empty() && text.len() <= LONGEST_BUCKET && text.chars().all(is_sign) {
        return Ok(());
    }
    Err(Refusal::new(
        format!("{text:?} can't name a bucket"),
        format!("use letters, digits, `_` and `-`, at most {LONGEST_BUCKET} in all"),
    ))
}

fn check_domain(text: &str) -> Result<(), Refusal> {
    check_token("a domain", text)
}

fn check_token(what: &str, text: &str) -> Result<(), Refusal> {
    let is_sign =
        |sign: char| matches!(sign, '.' | '*' | '>' | '/' | '\\') || sign.is_whitespace() || sign.is_control();
    if !text.is_empty() && text.len() <= LONGEST && !text.contains(is_sign) {
        return Ok(());
    }
    Err(Refusal::new(
        format!("{text:?} can't name {what}"),
        format!("write what the server calls it: no white space, none of `.*>/\\`, at most {LONGEST} bytes"),
    ))
}

fn check_prefix(text: &str) -> Result<(), Refusal> {
    let is_sign = |sign: char| matches!(sign, '*' | '>') || sign.is_whitespace() || sign.is_control();
    if !text.split('.').any(str::is_empty) && !text.contains(is_sign) {
        return Ok(());
    }
    Err(Refusal::new(
        format!("{text:?} is no prefix of a JetStream API"),
        "write the `to` of the account's import without its `.>`, such as `JS.shop.API`",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_what_the_server_takes() {
        for name in ["EVENTS", "SHOP-2_B", "événements", "$G"] {
            assert!(StreamName::parse(name).is_ok() && Domain::parse(name).is_ok(), "{name}");
        }
        for name in ["", "a.b", "a*", ">", "a b", "a/b", "a\\b", "a\tb", "x".repeat(256).as_str()] {
            assert!(StreamName::parse(name).is_err() && Domain::parse(name).is_err(), "{name}");
        }
        insta::assert_snapshot!(
            StreamName::parse("shop.events").unwrap_err(),
            @r#""shop.events" can't name a stream: write what the server calls it: no white space, none of `.*>/\`, at most 255 bytes"#
        );
    }

    #[test]
    fn a_bucket_has_fewer_signs() {
        assert!(BucketName::parse("SHOP-2_models").is_ok());
        for name in ["", "a.b", "é", "a b", "$KV"] {
            assert!(BucketName::parse(name).is_err(), "{name}");
        }
    }

    #[test]
    fn a_prefix_is_what_comes_before_the_question() {
        for prefix in ["JS.shop.API", "$JS.hub.API", "JS"] {
            assert!(ApiPrefix::parse(prefix).is_ok(), "{prefix}");
        }
        for prefix in ["", "JS.", "JS.shop.API.>", "JS.*.API", "J S"] {
            assert!(ApiPrefix::parse(prefix).is_err(), "{prefix}");
        }
    }
}
