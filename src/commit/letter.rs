//! A dead letter about something that a pipeline gives: it stands for an output that can't be sent, or is about a row that
//! can't be kept.

use bytes::Bytes;

use super::emitted::{KEY, TABLE, WINDOW, short};
use super::outputs::{DETAIL, ID, REASON, id, one_line};
use crate::bus::{Outgoing, Subject};

/// Reason of outputs that are larger than the broker takes.
pub(super) const TOO_LARGE: &str = "too-large";
/// Reason of rows that have a value which JSON or Delta can't hold.
pub(super) const UNWRITABLE: &str = "unwritable";

pub(super) const COLUMN: &str = "Tidewheel-Column";
/// How many bytes there were where a letter has only the first ones.
pub(super) const CUT_FROM: &str = "Tidewheel-Cut-From";

/// The id of a letter that stands for an output goes on with the id of the output.
const INSTEAD: &str = "instead-";
/// Ids of outputs that are longer than this are known by their digest.
const LONGEST_ID: usize = 500;
/// The most of an output that its letter shows; as many bytes are there as a small server takes.
const MOST_SHOWN: usize = 16 << 10;

/// What a letter says.
#[derive(Debug)]
pub(super) struct Letter {
    pub(super) id: String,
    pub(super) reason: &'static str,
    /// In a sentence, with the way out.
    pub(super) detail: String,
    pub(super) table: Option<String>,
    pub(super) column: Option<String>,
    pub(super) key: Option<String>,
    pub(super) window: Option<String>,
    /// What it is about.
    pub(super) bytes: Bytes,
}

impl Letter {
    /// One that stands for an output.
    pub(super) fn instead_of(output: &Outgoing, reason: &'static str, detail: String) -> Self {
        let header =
            |name: &str| output.headers.iter().find(|(other, _)| *other == name).map(|(_, value)| value.clone());
        Self {
            id: format!("{INSTEAD}{}", identity(id(output).unwrap_or_default())),
            reason,
            detail,
            table: header(TABLE),
            column: None,
            key: header(KEY),
            window: header(WINDOW),
            bytes: output.payload.clone(),
        }
    }

    pub(super) fn into_message(self, dead: &Subject) -> Outgoing {
        let whole = self.bytes.len();
        let shown = self.bytes.slice(..whole.min(MOST_SHOWN));
        let about = [(TABLE, self.table), (COLUMN, self.column), (KEY, self.key), (WINDOW, self.window)];
        let mut message = Outgoing::new(dead.clone(), shown)
            .header(ID, self.id)
            .header(REASON, self.reason)
            .header(DETAIL, one_line(&self.detail));
        for (name, value) in about.into_iter().filter_map(|(name, value)| Some((name, value?))) {
            message = message.header(name, one_line(&value));
        }
        if whole > MOST_SHOWN { message.header(CUT_FROM, whole.to_string()) } else { message }
    }
}

/// What an output is known by, whether it is there itself or a letter stands for it.
pub(super) fn identity(id: &str) -> String {
    id.strip_prefix(INSTEAD).map_or_else(|| short(id, LONGEST_ID), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_output_and_the_letter_that_stands_for_it_are_known_by_the_same() {
        let subject = Subject::new("shop.items").unwrap();
        for name in ["row-items-final-0-0-1-[7]".to_owned(), format!("request-{}", "r".repeat(501))] {
            let output = Outgoing::new(subject.clone(), Bytes::new()).header(ID, name.clone());
            let letter = Letter::instead_of(&output, TOO_LARGE, String::new()).into_message(&subject);
            let stands_for = id(&letter).unwrap().to_owned();
            assert!(stands_for.len() < 600 && stands_for != name);
            assert_eq!(identity(&stands_for), identity(&name));
        }
    }

    #[test]
    fn a_letter_shows_the_beginning_and_says_how_much_there_was() {
        let subject = Subject::new("shop.items").unwrap();
        for (bytes, shown, cut_from) in [(MOST_SHOWN, MOST_SHOWN, None), (MOST_SHOWN + 1, MOST_SHOWN, Some("16385"))] {
            let output = Outgoing::new(subject.clone(), vec![b'x'; bytes].into()).header(KEY, "k".repeat(70_000));
            let letter = Letter::instead_of(&output, TOO_LARGE, "a\nb".to_owned()).into_message(&subject);
            assert_eq!(letter.payload.len(), shown);
            let found = letter.headers.iter().find(|(name, _)| *name == CUT_FROM).map(|(_, value)| value.as_str());
            assert_eq!(found, cut_from);
            assert!(letter.header_bytes() < 2_048, "a long key is cut as well");
        }
    }
}
