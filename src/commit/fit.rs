//! Outputs in the sizes that the broker takes.
//!
//! ```text
//!   output ─▶ fits? ─ yes ─────────────────────────────────────────▶ as it is
//!               └─ no ─▶ a row, a ranking ─────────────────────────▶ a dead letter instead of it: table, key, window, sizes
//!                        examples, impressions ─▶ halves, each again ▶ parts that fit; a single one that doesn't ▶ a dead letter
//!                        a dead letter ────────────────────────────▶ its first bytes, and how many there were
//! ```
//!
//! The limit is a fact of the server that is there at the moment. Where a step is done again under another one, what became of an
//! output the first time stands: an output is not made where a dead letter stands for it, nor the other way round, and of a
//! message that was stored in parts those parts are made that are missing.

use std::sync::atomic::Ordering;

use super::CommitError;
use super::emitted::TABLE;
use super::epoch::Stored;
use super::halves::PART;
use super::letter::{CUT_FROM, Letter, TOO_LARGE};
use super::outputs::{ID, Outputs, id, one_line};
use super::telemetry::{Replaced, record_replaced};
use crate::bus::{Excess, Outgoing, Room};

impl Outputs {
    /// The outputs of a step as they can be sent, in their order. `stored` are those that were stored when it was done before.
    pub(super) fn fitted(
        &self,
        outputs: Vec<Outgoing>,
        room: Room,
        stored: &Stored,
    ) -> Result<Vec<Outgoing>, CommitError> {
        if stored.is_empty() && outputs.iter().all(|output| room.excess(output).is_none()) {
            return Ok(outputs);
        }
        let mut fitted = Vec::with_capacity(outputs.len());
        for output in outputs {
            if output.subject == self.examples {
                self.fit_examples(output, room, stored, &mut fitted)?;
            } else {
                fitted.push(self.fit(output, room));
            }
        }
        Ok(fitted)
    }

    /// A message of impressions as it can be sent. Dead letters about single ones go to `letters`.
    pub(super) fn fitted_impressions(
        &self,
        message: Outgoing,
        room: Room,
        letters: &mut Vec<Outgoing>,
    ) -> Result<Vec<Outgoing>, CommitError> {
        let Some(excess) = room.excess(&message) else { return Ok(vec![message]) };
        let halves = match &self.vectors {
            Some(vectors) => vectors.of_impressions(&message.payload)?,
            None => None,
        };
        let name = message.message_id.clone().unwrap_or_default();
        let Some(halves) = halves else {
            let named = message.header(ID, name);
            letters.push(self.instead_of(&named, excess, Replaced::Impression, room));
            return Ok(Vec::new());
        };
        let mut fitted = Vec::new();
        for (part, payload) in halves.into_iter().enumerate() {
            let half = Outgoing { payload, ..message.clone() }.message_id(format!("{name}{PART}{part}"));
            fitted.extend(self.fitted_impressions(half, room, letters)?);
        }
        Ok(fitted)
    }

    fn fit(&self, output: Outgoing, room: Room) -> Outgoing {
        let Some(excess) = room.excess(&output) else { return output };
        if output.subject == self.dead {
            record_replaced(&self.pipeline, Replaced::Dead, 1);
            return cut(output, room);
        }
        let is_row = output.headers.iter().any(|(name, _)| *name == TABLE);
        self.instead_of(&output, excess, if is_row { Replaced::Table } else { Replaced::Ranking }, room)
    }

    fn fit_examples(
        &self,
        output: Outgoing,
        room: Room,
        stored: &Stored,
        fitted: &mut Vec<Outgoing>,
    ) -> Result<(), CommitError> {
        let name = id(&output).unwrap_or_default().to_owned();
        let excess = room.excess(&output);
        // What is stored is left out by its id, whatever its size.
        if stored.has(&name) || excess.is_none() && !stored.has_part_of(&name) {
            fitted.push(output);
            return Ok(());
        }
        let halves = match &self.vectors {
            Some(vectors) => vectors.of_examples(&output.payload)?,
            None => None,
        };
        match (halves, excess) {
            (Some(halves), _) => {
                for (part, payload) in halves.into_iter().enumerate() {
                    let half = Outgoing::new(output.subject.clone(), payload).header(ID, format!("{name}{PART}{part}"));
                    self.fit_examples(half, room, stored, fitted)?;
                }
            }
            (None, Some(excess)) => fitted.push(self.instead_of(&output, excess, Replaced::Example, room)),
            (None, None) => fitted.push(output),
        }
        Ok(())
    }

    /// The dead letter that stands for an output.
    fn instead_of(&self, output: &Outgoing, excess: Excess, what: Replaced, room: Room) -> Outgoing {
        record_replaced(&self.pipeline, what, 1);
        let detail = detail(output, excess, what);
        let count = self.replaced.fetch_add(1, Ordering::Relaxed) + 1;
        if count.is_power_of_two() {
            tracing::warn!(
                pipeline = self.pipeline,
                count,
                "too large for the broker, a dead letter stands for it: {detail}"
            );
        }
        cut(Letter::instead_of(output, TOO_LARGE, detail).into_message(&self.dead), room)
    }
}

/// The first bytes of a dead letter, as many as fit, and how many there were. Headers but the id, such as a long key, are cut
/// first.
fn cut(mut letter: Outgoing, room: Room) -> Outgoing {
    if room.excess(&letter).is_none() {
        return letter;
    }
    for (_, value) in letter.headers.iter_mut().filter(|(name, _)| *name != ID) {
        *value = one_line(value);
    }
    if room.excess(&letter).is_none() {
        return letter;
    }
    if !letter.headers.iter().any(|(name, _)| *name == CUT_FROM) {
        let whole = letter.payload.len().to_string();
        letter = letter.header(CUT_FROM, whole);
    }
    letter.payload.truncate(room.most_bytes().saturating_sub(letter.header_bytes()));
    letter
}

/// What is too large, by how much, and what to do.
fn detail(output: &Outgoing, excess: Excess, what: Replaced) -> String {
    let table = output.headers.iter().find(|(name, _)| *name == TABLE).map_or("", |(_, table)| table);
    let (whose, less) = match what {
        Replaced::Table => (
            format!("the row of table `{table}`"),
            "select fewer columns or shorter lists, as last_n and top_k give them, or group by a shorter window",
        ),
        Replaced::Example | Replaced::Impression => ("a vector".to_owned(), "select fewer columns in vector.sql"),
        _ => ("the ranking".to_owned(), "ask for fewer candidates at once, or give them shorter ids"),
    };
    match excess {
        Excess::Message { bytes, limit } => {
            format!(
                "{whose} has {bytes} bytes, and the broker takes {limit}: {less}; or raise `max_payload` of the server"
            )
        }
        Excess::Headers { bytes, limit } => {
            format!(
                "{whose} has {bytes} bytes of headers, with its id and key, and a stream takes {limit}: use shorter ones"
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bus::{StreamSequence, Subject};
    use crate::commit::halves::tests::{examples, places, vectors};
    use crate::commit::letter::identity;
    use crate::commit::marker::Unfinished;
    use crate::commit::progress::Run;
    use crate::learn::{Impression, Impressions, Provenance};
    use crate::pipeline::StreamIndex;
    use crate::time::EventTime;

    fn outputs() -> Outputs {
        Outputs::testing(Some(vectors()))
    }

    fn header<'a>(output: &'a Outgoing, name: &str) -> Option<&'a str> {
        output.headers.iter().find(|(other, _)| *other == name).map(|(_, value)| value.as_str())
    }

    fn row(bytes: usize) -> Outgoing {
        Outgoing::new(Subject::new("shop.items").unwrap(), vec![b'x'; bytes].into())
            .header(ID, "row-items-final-0-0-1-[7]")
            .header(TABLE, "items")
            .header("Tidewheel-Key", "[7]")
            .header("Tidewheel-Window", "a/b")
    }

    fn stored(ids: &[String]) -> Stored {
        let step = Run { stream: StreamIndex(0), until: StreamSequence(9).0, is_present: true };
        Stored::new(Unfinished { since: 1, step }, ids.iter().cloned())
    }

    /// The worker ended, at each start.
    #[test]
    fn a_row_of_exactly_the_limit_is_sent_and_one_byte_more_is_a_dead_letter_that_names_it() {
        let room = Room::of(20_000, 256);
        let most = 19_744 - row(0).header_bytes();
        let beside = row(1);
        let given = vec![row(most), row(most + 1), beside.clone()];
        let fitted = outputs().fitted(given, room, &Stored::default()).unwrap();
        assert_eq!((&fitted[0], &fitted[2]), (&row(most), &beside));
        let letter = &fitted[1];
        assert_eq!(letter.subject.as_str(), "shop.dead");
        assert_eq!(room.excess(letter), None);
        let named = ["Tidewheel-Reason", TABLE, "Tidewheel-Key", "Tidewheel-Window"].map(|name| header(letter, name));
        assert_eq!(named, ["too-large", "items", "[7]", "a/b"].map(Some));
        assert_eq!(header(letter, CUT_FROM), Some((most + 1).to_string().as_str()));
        insta::assert_snapshot!(header(letter, "Tidewheel-Detail").unwrap(), @"the row of table `items` has 19745 bytes, and the broker takes 19744: select fewer columns or shorter lists, as last_n and top_k give them, or group by a shorter window; or raise `max_payload` of the server");
    }

    #[test]
    fn headers_that_no_stream_takes_make_a_dead_letter_too() {
        let room = Room::of(1 << 20, 256);
        let ranking = |id: usize| {
            Outgoing::new(Subject::new("shop.ranked").unwrap(), "{}".into())
                .header(ID, format!("request-{}", "r".repeat(id)))
        };
        let most = 65_279 - ranking(0).header_bytes();
        let fitted = outputs().fitted(vec![ranking(most), ranking(most + 1)], room, &Stored::default()).unwrap();
        assert_eq!((&fitted[0], fitted[1].subject.as_str()), (&ranking(most), "shop.dead"));
        insta::assert_snapshot!(header(&fitted[1], "Tidewheel-Detail").unwrap(), @"the ranking has 65280 bytes of headers, with its id and key, and a stream takes 65279: use shorter ones");
    }

    #[test]
    fn a_dead_letter_that_is_too_large_is_cut_and_says_so() {
        let room = Room::of(4_096, 256);
        let letter = |bytes: usize| {
            Outgoing::new(Subject::new("shop.dead").unwrap(), vec![b'x'; bytes].into()).header(ID, "dead-clicks-4-0")
        };
        let most = 3_840 - letter(0).header_bytes();
        let fitted = outputs().fitted(vec![letter(most), letter(most + 1)], room, &Stored::default()).unwrap();
        assert_eq!(fitted[0], letter(most));
        assert_eq!((header(&fitted[1], CUT_FROM), fitted[1].bytes()), (Some((most + 1).to_string().as_str()), 3_840));
        let row = outputs().fitted(vec![row(9_000)], room, &Stored::default()).unwrap().swap_remove(0);
        assert_eq!(
            (header(&row, CUT_FROM), row.bytes() <= 3_840),
            (Some("9000"), true),
            "also one that stands for a row"
        );
        let long = letter(10).header("Tidewheel-Key", "k".repeat(70_000));
        let fitted = outputs().fitted(vec![long], Room::of(1 << 20, 256), &Stored::default()).unwrap().swap_remove(0);
        assert_eq!(header(&fitted, "Tidewheel-Key").map(str::len), Some(500), "a long key is cut as well");
    }

    fn message(rows: usize) -> Outgoing {
        Outgoing::new(Subject::new("shop.examples").unwrap(), examples(rows)).header(ID, "example-clicks-12-0")
    }

    /// Room for so many examples.
    fn room_for(rows: usize) -> Room {
        Room::of(message(rows).bytes() + 8, 0)
    }

    fn parts(outputs: &[Outgoing]) -> Vec<(String, Vec<u32>)> {
        outputs.iter().map(|output| (id(output).unwrap().to_owned(), places(&output.payload))).collect()
    }

    #[test]
    fn examples_that_are_too_many_for_one_message_come_in_several_and_none_is_lost() {
        let (whole, fits) = (message(100), room_for(30));
        let fitted = outputs().fitted(vec![whole.clone()], fits, &Stored::default()).unwrap();
        let parts = parts(&fitted);
        assert_eq!(
            parts.iter().flat_map(|(_, places)| places.clone()).collect::<Vec<_>>(),
            (0..100).collect::<Vec<_>>()
        );
        assert!(fitted.len() > 3 && fitted.iter().all(|part| fits.excess(part).is_none()));
        assert_eq!(outputs().fitted(vec![whole.clone()], room_for(100), &Stored::default()).unwrap(), [whole]);
        let none = outputs().fitted(vec![message(2)], Room::of(message(1).bytes() - 1, 0), &Stored::default()).unwrap();
        assert!(
            none.iter().all(|letter| header(letter, "Tidewheel-Reason") == Some("too-large")),
            "one that never fits"
        );
    }

    /// Whatever of a step was stored under one limit, and whatever the limit is when it is done again.
    #[test]
    fn a_step_that_is_done_again_under_another_limit_gives_every_output_once() {
        let tiny = Room::of(message(1).bytes() - 1, 0);
        let rooms = [room_for(100), room_for(60), room_for(20), room_for(3), tiny];
        let given = || vec![row(message(3).bytes()), message(100)];
        for first in rooms {
            let before = outputs().fitted(given(), first, &Stored::default()).unwrap();
            for (again, cut) in rooms.iter().flat_map(|again| (0..=before.len()).map(move |cut| (again, cut))) {
                let ids: Vec<String> = before[..cut].iter().map(|output| id(output).unwrap().to_owned()).collect();
                let known: Vec<String> = ids.iter().map(|id| identity(id)).collect();
                let after = outputs().fitted(given(), *again, &stored(&ids)).unwrap();
                let is_new = |output: &&Outgoing| !known.contains(&identity(id(output).unwrap()));
                let new: Vec<&Outgoing> = after.iter().filter(is_new).collect();
                let sent: Vec<&Outgoing> = before[..cut].iter().chain(new).collect();
                let rows = sent.iter().filter(|output| identity(id(output).unwrap()).starts_with("row-")).count();
                let covered: usize = sent.iter().map(|output| rows_of(output)).sum();
                assert_eq!((rows, covered), (1, 100), "{first:?}, then {again:?} after {ids:?}");
            }
        }
    }

    /// How many of the hundred examples an output has, or stands for.
    fn rows_of(output: &Outgoing) -> usize {
        let identity = identity(id(output).unwrap());
        let Some(path) = identity.strip_prefix("example-clicks-12-0") else { return 0 };
        path.split(PART).skip(1).fold(100, |rows, part| if part == "0" { rows / 2 } else { rows - rows / 2 })
    }

    #[test]
    fn impressions_that_are_too_many_for_one_message_come_in_several() {
        let mut shown = Impressions::new(2);
        let impression = |key| Impression {
            key,
            at: EventTime(7),
            arrived: EventTime(7),
            place: 0,
            vector: &[0.5, 1.5],
            provenance: Provenance::unknown(),
        };
        (0..40).try_for_each(|key| shown.push(impression(key))).unwrap();
        let payload = shown.encode("f", "clicks=4@w:1").unwrap();
        let message = Outgoing::new(Subject::new("shop.impressions").unwrap(), payload.into()).message_id("shown-w-1");
        let (room, mut letters) = (Room::of(message.bytes() - 1, 0), Vec::new());
        let fitted = outputs().fitted_impressions(message.clone(), room, &mut letters).unwrap();
        let ids: Vec<_> = fitted.iter().map(|part| part.message_id.as_deref().unwrap()).collect();
        assert_eq!((ids, letters.len()), (vec!["shown-w-1/0", "shown-w-1/1"], 0));
        let nothing = outputs().fitted_impressions(message, Room::of(900, 0), &mut letters).unwrap();
        assert_eq!((nothing.len(), letters.len()), (0, 40), "a vector that is too large by itself");
        assert_eq!(id(&letters[0]), Some("instead-shown-w-1/0/0/0/0/0"));
    }
}
