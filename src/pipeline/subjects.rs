//! Subjects that events are published to.

use crate::bus::{BusError, Subject};

/// A subject that a stream's pattern matches, for events that come without one; `word` stands for the wildcards.
///
/// # Errors
/// When the pattern is no subject.
pub(crate) fn concrete(pattern: &str, word: &str) -> Result<Subject, BusError> {
    let tokens: Vec<_> =
        pattern.split('.').map(|token| if token == "*" || token == ">" { word } else { token }).collect();
    Subject::new(tokens.join("."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_become_a_word() {
        assert_eq!(concrete("shop.*.clicks.>", "replay").unwrap().as_str(), "shop.replay.clicks.replay");
        assert_eq!(concrete("shop.clicks", "replay").unwrap().as_str(), "shop.clicks");
        assert!(concrete("shop..clicks", "replay").is_err());
    }
}
