//! Time zones by their names in the IANA database: `Europe/Berlin`.

use serde::de::Deserializer;

use super::nearest::did_you_mean;
use super::text::{Refusal, read_text};
use crate::event::TimeZone;

/// A zone that may be left out.
pub(super) fn optional<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<TimeZone>, D::Error> {
    read_text(deserializer, "the name of a time zone, such as \"Europe/Berlin\"", parse).map(Some)
}

fn parse(text: &str) -> Result<TimeZone, Refusal> {
    TimeZone::named(text).ok_or_else(|| {
        let suggestion = did_you_mean(text, TimeZone::names());
        let suggestion = suggestion
            .unwrap_or_else(|| "write \"UTC\", or a name such as \"Europe/Berlin\" or \"America/New_York\"".to_owned());
        Refusal::new(format!("{text:?} is no time zone of the IANA database"), suggestion)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_the_database_are_zones_and_others_say_what_to_write() {
        for name in ["UTC", "Europe/Berlin", "America/Argentina/Buenos_Aires", "Asia/Calcutta", "Etc/GMT-5"] {
            assert_eq!(parse(name).map(|zone| zone.to_string()), Ok(name.to_owned()));
        }
        let refusals = ["Europe/Berln", "europe/berlin", "CEST", "+01:00", ""].map(|text| parse(text).unwrap_err());
        insta::assert_snapshot!(refusals.map(|refusal| refusal.to_string()).join("\n"), @r#"
        "Europe/Berln" is no time zone of the IANA database: did you mean `Europe/Berlin`?
        "europe/berlin" is no time zone of the IANA database: did you mean `Europe/Berlin`?
        "CEST" is no time zone of the IANA database: did you mean `CET`?
        "+01:00" is no time zone of the IANA database: write "UTC", or a name such as "Europe/Berlin" or "America/New_York"
        "" is no time zone of the IANA database: write "UTC", or a name such as "Europe/Berlin" or "America/New_York"
        "#);
    }
}
