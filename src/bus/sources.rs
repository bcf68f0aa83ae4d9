//! From which streams an aggregate has its messages, and that one of those is another one by now.
//!
//! A stream that sources others puts into each message which one it is of, under which number, and an id of that stream's
//! incarnation: `Nats-Stream-Source: CLICKS 3 > > shop.clicks xcTbVHbi`. Where a source is made anew or put back from a backup,
//! all that it has is appended again, under another id.

use serde::{Deserialize, Serialize};

use super::sequence::StreamSequence;

/// The header that says which stream a message was taken from.
pub(super) const SOURCE: &str = "Nats-Stream-Source";

/// A stream that an aggregate takes messages from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SourceStream {
    /// Its name, and what of it is taken.
    pub name: String,
    /// Which of the streams of this name it is.
    pub incarnation: String,
    /// The first message of the aggregate that was seen of it.
    pub since: StreamSequence,
}

/// A source of which all is appended again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SourceChange {
    /// Its name, and what of it is taken.
    pub name: String,
    /// The first message that is of its new incarnation.
    pub since: StreamSequence,
}

/// The sources that are known, and what has changed of them.
#[derive(Debug, Default)]
pub(super) struct Sources {
    known: Vec<SourceStream>,
    /// Up to here nothing is new: it was looked at before.
    after: StreamSequence,
    change: Option<SourceChange>,
}

impl Sources {
    /// Those that were known when everything up to a message had been looked at.
    pub(super) fn known(known: Vec<SourceStream>, after: StreamSequence) -> Self {
        Self { known, after, change: None }
    }

    /// Takes a message's header into account.
    pub(super) fn take(&mut self, header: &str, sequence: StreamSequence) {
        if sequence <= self.after {
            return;
        }
        let Some((name, incarnation)) = read(header) else { return };
        match self.known.iter_mut().find(|source| source.name == name) {
            Some(source) if source.incarnation == incarnation => {}
            Some(source) => {
                (source.incarnation, source.since) = (incarnation.to_owned(), sequence);
                self.change.get_or_insert(SourceChange { name, since: sequence });
            }
            None => self.known.push(SourceStream { name, incarnation: incarnation.to_owned(), since: sequence }),
        }
    }

    pub(super) fn all(&self) -> &[SourceStream] {
        &self.known
    }

    pub(super) fn take_change(&mut self) -> Option<SourceChange> {
        self.change.take()
    }
}

/// The stream with what is taken of it, and its incarnation; nothing from a server that does not say which that is.
fn read(header: &str) -> Option<(String, &str)> {
    let fields: Vec<&str> = header.split(' ').collect();
    let [stream, _sequence, filter, destination, _subject, incarnation] = fields[..] else { return None };
    let name = match (filter, destination) {
        (">", ">") => stream.to_owned(),
        _ => format!("{stream} {filter} {destination}"),
    };
    Some((name, incarnation))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(known: Vec<SourceStream>, after: u64, headers: &[&str]) -> (Vec<(String, u64)>, Option<u64>) {
        let mut sources = Sources::known(known, StreamSequence(after));
        for (header, sequence) in headers.iter().zip(1..) {
            sources.take(header, StreamSequence(sequence));
        }
        let change = sources.take_change().map(|change| change.since.0);
        (sources.all().iter().map(|source| (source.name.clone(), source.since.0)).collect(), change)
    }

    #[test]
    fn another_incarnation_of_a_source_is_a_change_and_another_source_is_none() {
        let same = ["A 1 > > a.x one", "B 1 > > b.x two", "A 2 > > a.y one"];
        assert_eq!(taken(Vec::new(), 0, &same), (vec![("A".to_owned(), 1), ("B".to_owned(), 2)], None));
        let changed = ["A 1 > > a.x one", "B 1 > > b.x two", "A 1 > > a.x new", "A 2 > > a.x new"];
        assert_eq!(taken(Vec::new(), 0, &changed), (vec![("A".to_owned(), 3), ("B".to_owned(), 2)], Some(3)));
        // Two parts of one stream each have an incarnation of their own.
        let parts = ["A 1 a.x > a.x one", "A 2 a.y > a.y two"];
        assert_eq!(taken(Vec::new(), 0, &parts).1, None);
        // Servers before 2.12 or so do not say it.
        assert_eq!(taken(Vec::new(), 0, &["A 1", "A 1 > > a.x"]), (Vec::new(), None));
    }

    #[test]
    fn what_was_looked_at_before_is_not_looked_at_again() {
        let known = |incarnation: &str| {
            vec![SourceStream { name: "A".to_owned(), incarnation: incarnation.to_owned(), since: StreamSequence(2) }]
        };
        let headers = ["A 1 > > a.x one", "A 1 > > a.x new", "A 2 > > a.x new"];
        assert_eq!(taken(known("new"), 2, &headers).1, None);
        assert_eq!(taken(known("one"), 1, &headers).1, Some(2), "it happened while nobody looked");
    }
}
