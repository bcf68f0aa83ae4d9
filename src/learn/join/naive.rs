//! The label join against a list that is searched from end to end.

use std::sync::Arc;

use proptest::prelude::*;

use super::label_join::is_kept;
use super::{Impression, JoinSettings, LabelCounts, LabelJoin};
use crate::learn::{Asked, Example, ExampleKind, Examples, Provenance};
use crate::score::Id;
use crate::time::EventTime;

struct Shown {
    key: u128,
    at: i64,
    arrived: i64,
    /// Where its window begins in event time.
    opened: i64,
    place: u32,
    vector: Vec<f32>,
    is_closed: bool,
    is_positive: bool,
}

struct Naive {
    settings: JoinSettings,
    rows: Vec<Shown>,
    watermark: i64,
    counts: LabelCounts,
}

impl Naive {
    fn example(shown: &Shown, kind: ExampleKind, sampling: f32, labelled_micros: i64) -> Example<'_> {
        Example {
            vector: &shown.vector,
            kind,
            sampling,
            shown_micros: shown.at,
            labelled_micros,
            place: shown.place,
            provenance: Provenance::unknown(),
        }
    }

    fn is_forgotten(&self, shown: &Shown) -> bool {
        (shown.is_closed || shown.is_positive) && shown.opened + 2 * self.settings.window_micros <= self.watermark
    }

    fn show(&mut self, key: u128, (at, arrived): (i64, i64), place: u32, vector: &[f32]) {
        self.counts.shown += 1;
        if self.rows.len() == self.settings.max_rows {
            self.rows.remove(0);
            self.counts.evicted += 1;
        }
        let mut vector = vector.to_vec();
        if let Some(position) = self.settings.position {
            vector[position] = place as f32;
        }
        let opened = at.max(self.watermark);
        self.rows.push(Shown { key, at, arrived, opened, place, vector, is_closed: false, is_positive: false });
    }

    fn feedback(&mut self, key: Option<u128>, at: i64, out: &mut Examples) {
        let Some(key) = key else {
            self.counts.without_key += 1;
            return;
        };
        let known: Vec<usize> = (0..self.rows.len())
            .filter(|index| self.rows[*index].key == key && !self.is_forgotten(&self.rows[*index]))
            .collect();
        let by_time = |index: &usize| (self.rows[*index].at, *index);
        let before = known.iter().copied().filter(|index| self.rows[*index].at <= at).max_by_key(by_time);
        let after = known.iter().copied().filter(|index| {
            let Shown { at: shown, arrived, .. } = self.rows[*index];
            shown == arrived && at < shown && shown <= at + self.settings.skew_micros
        });
        let Some(index) = before.or_else(|| after.min_by_key(by_time)) else {
            if known.is_empty() {
                self.counts.unmatched += 1;
            } else {
                self.counts.early += 1;
            }
            return;
        };
        let shown = &mut self.rows[index];
        if shown.opened + 2 * self.settings.window_micros <= at {
            self.counts.expired += 1;
        } else if shown.is_positive {
            self.counts.repeated += 1;
        } else {
            shown.is_positive = true;
            let kind = if shown.is_closed { ExampleKind::Correction } else { ExampleKind::Positive };
            if shown.is_closed {
                self.counts.corrections += 1;
            } else {
                self.counts.positives += 1;
            }
            out.push(Self::example(shown, kind, 1.0, at.max(shown.at))).unwrap();
        }
    }

    fn advance(&mut self, watermark: i64, out: &mut Examples) {
        self.watermark = self.watermark.max(watermark);
        let window = self.settings.window_micros;
        let is_due = |shown: &&mut Shown| !shown.is_closed && shown.opened + window <= self.watermark;
        let mut due: Vec<&mut Shown> = self.rows.iter_mut().filter(is_due).collect();
        due.sort_by_key(|shown| shown.opened);
        for shown in due {
            shown.is_closed = true;
            if !shown.is_positive {
                Self::close(shown, &self.settings, &mut self.counts, out);
            }
        }
        while self.rows.first().is_some_and(|shown| self.is_forgotten(shown)) {
            self.rows.remove(0);
        }
    }

    fn tick(&mut self, clock: i64, most: usize, out: &mut Examples) -> usize {
        let window = self.settings.window_micros;
        let open = self.rows.iter_mut().filter(|shown| !shown.is_closed && !shown.is_positive);
        let mut closed = 0;
        for shown in open.take_while(|shown| shown.arrived + window <= clock).take(most) {
            shown.is_closed = true;
            Self::close(shown, &self.settings, &mut self.counts, out);
            closed += 1;
        }
        closed
    }

    fn close(shown: &Shown, settings: &JoinSettings, counts: &mut LabelCounts, out: &mut Examples) {
        if is_kept(shown.key, shown.at, settings.negative_rate) {
            counts.negatives += 1;
            let labelled = shown.opened + settings.window_micros;
            out.push(Self::example(shown, ExampleKind::Negative, settings.negative_rate, labelled)).unwrap();
        } else {
            counts.sampled_out += 1;
        }
    }
}

#[derive(Debug, Clone)]
enum Call {
    Show { key: u128, at: i64, arrived: i64, place: u32 },
    Feedback { key: Option<u128>, at: i64 },
    Advance { watermark: i64 },
    Tick { clock: i64, most: usize },
}

/// Times move on with the calls, give or take some disorder, and now and then far ahead or back.
fn calls() -> impl Strategy<Value = Vec<Call>> {
    let disorder = prop_oneof![8 => -6_i64..6, 1 => -60_i64..200];
    let call =
        (0..10, 0_u128..5, disorder, 0_u32..30).prop_map(|(what, key, offset, place)| (what, key, offset, place));
    prop::collection::vec(call, 1..400).prop_map(|calls| {
        let call = |(index, (what, key, offset, place)): (usize, (i32, u128, i64, u32))| {
            let at = index as i64 / 2 + offset;
            // Keys that share their low bits share a bucket.
            let key = (key << 70) | (key & 1);
            match what {
                // Some say themselves when they were shown.
                0..=2 => Call::Show { key, at, arrived: at, place },
                3 => Call::Show { key, at, arrived: index as i64 / 2, place },
                4..=6 => Call::Feedback { key: (place > 0).then_some(key), at: at + 4 },
                7 => Call::Tick { clock: at - 4, most: place as usize },
                _ => Call::Advance { watermark: at - 4 },
            }
        };
        calls.into_iter().enumerate().map(call).collect()
    })
}

fn settings(max_rows: usize) -> JoinSettings {
    JoinSettings {
        window_micros: 10,
        skew_micros: 0,
        columns: 2,
        max_rows,
        max_bytes: usize::MAX,
        position: None,
        negative_rate: 1.0,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn examples_and_counts_are_those_of_a_naive_list_also_across_restarts(
        calls in calls(),
        window_micros in 1_i64..30,
        skew_micros in prop_oneof![Just(0_i64), 1_i64..8],
        max_rows in prop_oneof![1_usize..12, 12_usize..300],
        position in prop::option::of(0_usize..2),
        negative_rate in prop_oneof![Just(1.0_f32), Just(0.5), Just(0.01)],
        restarts in prop_oneof![2 => Just(u64::MAX), 1 => 1_u64..40],
    ) {
        let settings = JoinSettings { window_micros, skew_micros, position, negative_rate, ..settings(max_rows) };
        let mut naive = Naive { settings, rows: Vec::new(), watermark: i64::MIN, counts: LabelCounts::default() };
        let mut join = LabelJoin::new(settings).unwrap();
        let (mut expected, mut found) = (Examples::new(2), Examples::new(2));
        for (number, call) in calls.into_iter().enumerate() {
            match call {
                Call::Show { key, at, arrived, place } => {
                    let vector = [number as f32, -1.0];
                    naive.show(key, (at, arrived), place, &vector);
                    let (at, arrived) = (EventTime(at), EventTime(arrived));
                    join.show(Impression { key, at, arrived, place, vector: &vector, provenance: Provenance::unknown() }).unwrap();
                }
                Call::Feedback { key, at } => {
                    naive.feedback(key, at, &mut expected);
                    join.feedback(key, EventTime(at), &mut found).unwrap();
                }
                Call::Advance { watermark } => {
                    naive.advance(watermark, &mut expected);
                    join.advance(EventTime(watermark), &mut found).unwrap();
                }
                Call::Tick { clock, most } => {
                    let closed = naive.tick(clock, most, &mut expected);
                    prop_assert_eq!(join.tick(EventTime(clock), most, &mut found).unwrap(), closed);
                }
            }
            prop_assert_eq!(join.counts(), naive.counts);
            prop_assert_eq!(join.len(), naive.rows.len());
            // A worker that is started again goes on as if nothing had happened.
            if number as u64 % restarts == restarts / 2 {
                let mut state = Vec::new();
                join.save(&mut state).unwrap();
                join = LabelJoin::new(settings).unwrap().restored(&mut state.as_slice()).unwrap();
            }
        }
        prop_assert_eq!(found, expected);
    }

    #[test]
    fn memory_never_exceeds_the_limit_in_bytes(calls in calls(), max_bytes in 15_000_usize..60_000) {
        let mut join = LabelJoin::new(JoinSettings { max_bytes, ..settings(usize::MAX) }).unwrap();
        let mut out = Examples::new(2);
        for call in calls {
            match call {
                Call::Show { key, at, place, .. } => {
                    // Many at once, so that the limit is reached.
                    for offset in 0..9 {
                        let vector = [0.0; 2];
                        let at = EventTime(at * 7 % 11 + offset);
                        let asked = Asked::new(&"r".repeat((key % 90) as usize), None, None);
                        let provenance = &Provenance {
                            asked: Some(Arc::new(asked)),
                            item: Some(Id::Text("i".repeat(place as usize % 60).into())),
                            propensity: None,
                        };
                        join.show(Impression { key, at, arrived: at, place, vector: &vector, provenance }).unwrap();
                    }
                }
                Call::Feedback { key, at } => join.feedback(key, EventTime(at), &mut out).unwrap(),
                Call::Advance { watermark } => join.advance(EventTime(watermark / 8), &mut out).unwrap(),
                Call::Tick { clock, most } => drop(join.tick(EventTime(clock / 8), most, &mut out).unwrap()),
            }
            prop_assert!(join.size_bytes() <= max_bytes, "{} bytes for {} rows", join.size_bytes(), join.len());
        }
    }
}

fn show(join: &mut LabelJoin, key: u128, at_micros: i64) {
    show_made(join, key, at_micros, at_micros);
}

/// Shows one at a time of its own.
fn show_made(join: &mut LabelJoin, key: u128, at_micros: i64, arrived_micros: i64) {
    let (at, arrived) = (EventTime(at_micros), EventTime(arrived_micros));
    join.show(Impression { key, at, arrived, place: 1, vector: &[0.0; 2], provenance: Provenance::unknown() }).unwrap();
}

#[test]
fn windows_close_and_corrections_end_exactly_at_their_edges() {
    let mut join = LabelJoin::new(settings(10)).unwrap();
    let mut out = Examples::new(2);
    show(&mut join, 1, 100);
    join.advance(EventTime(109), &mut out).unwrap();
    assert!(out.is_empty());
    join.advance(EventTime(110), &mut out).unwrap();
    assert_eq!((out.kinds(), out.labelled_micros()), (&[ExampleKind::Negative][..], &[110][..]));
    join.feedback(Some(1), EventTime(99), &mut out).unwrap();
    join.feedback(Some(1), EventTime(120), &mut out).unwrap();
    assert_eq!((join.counts().early, join.counts().expired), (1, 1));
    join.advance(EventTime(119), &mut out).unwrap();
    join.feedback(Some(1), EventTime(119), &mut out).unwrap();
    join.feedback(Some(1), EventTime(119), &mut out).unwrap();
    assert_eq!(out.kinds(), [ExampleKind::Negative, ExampleKind::Correction]);
    assert_eq!((join.counts().repeated, join.len()), (1, 1));
    join.advance(EventTime(120), &mut out).unwrap();
    join.feedback(Some(1), EventTime(119), &mut out).unwrap();
    assert_eq!((join.counts().unmatched, join.len()), (1, 0));
}

#[test]
fn one_that_was_shown_before_the_watermark_waits_its_whole_window_from_there() {
    let mut join = LabelJoin::new(settings(10)).unwrap();
    let mut out = Examples::new(2);
    join.advance(EventTime(500), &mut out).unwrap();
    show_made(&mut join, 1, 100, 600);
    show_made(&mut join, 2, 100, 600);
    join.advance(EventTime(509), &mut out).unwrap();
    join.feedback(Some(1), EventTime(101), &mut out).unwrap();
    assert_eq!(out.kinds(), [ExampleKind::Positive]);
    join.advance(EventTime(510), &mut out).unwrap();
    join.feedback(Some(2), EventTime(519), &mut out).unwrap();
    assert_eq!(out.kinds(), [ExampleKind::Positive, ExampleKind::Negative, ExampleKind::Correction]);
}

#[test]
fn a_tick_closes_what_has_waited_by_the_clock_in_order_and_feedback_still_corrects_it() {
    let mut join = LabelJoin::new(settings(10)).unwrap();
    let mut out = Examples::new(2);
    // Of the past, by the clock, of the future, and of tomorrow.
    for (key, at, arrived) in [(1, 100, 5_000), (2, 5_001, 5_001), (3, 5_004, 5_002), (4, 900_000, 5_003)] {
        show_made(&mut join, key, at, arrived);
    }
    assert_eq!(join.tick(EventTime(5_009), 9, &mut out).unwrap(), 0);
    for most in [1, 9] {
        assert_eq!(join.tick(EventTime(5_011), most, &mut out).unwrap(), 1);
    }
    assert_eq!((out.shown_micros(), out.labelled_micros()), (&[100, 5_001][..], &[110, 5_011][..]));
    join.feedback(Some(2), EventTime(5_003), &mut out).unwrap();
    join.feedback(Some(3), EventTime(5_004), &mut out).unwrap();
    assert_eq!(out.kinds()[2..], [ExampleKind::Correction, ExampleKind::Positive]);
    assert_eq!(join.tick(EventTime(5_013), 9, &mut out).unwrap(), 1, "the one of tomorrow waits no longer");
    assert_eq!((join.tick(EventTime::END, 9, &mut out).unwrap(), join.len()), (0, 4), "event time has not moved");
}

#[test]
fn feedback_of_a_clock_that_is_slow_finds_what_the_clock_here_stamped_and_nothing_else() {
    let mut join = LabelJoin::new(JoinSettings { skew_micros: 5, ..settings(10) }).unwrap();
    let mut out = Examples::new(2);
    show(&mut join, 1, 100);
    show_made(&mut join, 2, 100, 102);
    for (key, at) in [(1, 94), (2, 99), (1, 95)] {
        join.feedback(Some(key), EventTime(at), &mut out).unwrap();
    }
    assert_eq!((out.kinds(), out.labelled_micros()), (&[ExampleKind::Positive][..], &[100][..]));
    assert_eq!(join.counts().early, 2);
}

#[test]
fn an_evicted_open_impression_gives_no_example() {
    let mut join = LabelJoin::new(settings(2)).unwrap();
    let mut out = Examples::new(2);
    for key in 1..=3 {
        show(&mut join, key, 100 + key as i64);
    }
    join.feedback(Some(1), EventTime(105), &mut out).unwrap();
    join.advance(EventTime::END, &mut out).unwrap();
    assert_eq!(out.shown_micros(), [102, 103]);
    let counts = join.counts();
    assert_eq!((counts.evicted, counts.unmatched, counts.negatives), (1, 1, 2));
}

#[test]
fn times_at_the_ends_of_the_range_saturate() {
    let mut join = LabelJoin::new(settings(10)).unwrap();
    let mut out = Examples::new(2);
    for (key, at) in [(1, i64::MAX), (2, i64::MIN), (3, i64::MAX - 1)] {
        show(&mut join, key, at);
    }
    join.feedback(Some(2), EventTime::BEGINNING, &mut out).unwrap();
    join.advance(EventTime::END, &mut out).unwrap();
    assert_eq!(out.shown_micros(), [i64::MIN, i64::MAX, i64::MAX - 1]);
    assert_eq!(join.len(), 0);
}

#[test]
fn other_widths_are_refused_and_change_nothing() {
    let mut join = LabelJoin::new(settings(10)).unwrap();
    let narrow = Impression {
        key: 1,
        at: EventTime(0),
        arrived: EventTime(0),
        place: 0,
        vector: &[0.0],
        provenance: Provenance::unknown(),
    };
    let error = join.show(narrow).unwrap_err();
    insta::assert_snapshot!(error, @"the vector has 1 columns, 2 are expected");
    show(&mut join, 1, 0);
    assert!(join.feedback(Some(1), EventTime(5), &mut Examples::new(3)).is_err());
    assert!(join.advance(EventTime(100), &mut Examples::new(3)).is_err());
    assert!(join.tick(EventTime(100), 1, &mut Examples::new(3)).is_err());
    let mut out = Examples::new(2);
    join.feedback(Some(1), EventTime(5), &mut out).unwrap();
    assert_eq!((out.len(), join.counts().shown), (1, 1));
}

#[test]
fn the_share_of_kept_negatives_is_the_rate() {
    for rate in [0.01_f32, 0.3, 1.0] {
        let kept = (0..100_000_u128).filter(|key| is_kept(*key, *key as i64 * 7, rate)).count();
        let deviation = (1e5 * f64::from(rate) * (1.0 - f64::from(rate))).sqrt();
        assert!((kept as f64 - 1e5 * f64::from(rate)).abs() <= 4.0 * deviation + 0.5, "{kept} at {rate}");
    }
}
