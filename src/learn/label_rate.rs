//! How often people say yes, lately and before: a jump means that the feedback stream is broken.
//!
//! Positives come at once and negatives when windows close, many at a time after a pause of the stream. So rates are taken
//! over a span of the labels' own times that is longer than a window, not over a number of examples.

use std::collections::BTreeMap;

use super::{Examples, LabelRate};

/// Parts of the recent span: how finely it moves.
const PARTS: i64 = 8;

/// Labels that are so many spans from the middle of those that come with them are of a wrong time, and tell of no rate.
const ASTRAY: i64 = 16;

/// Label rates, as of the newest label.
#[derive(Debug)]
pub(super) struct LabelRates {
    part_micros: i64,
    /// By the labels' times in parts; the newest [`PARTS`] are recent.
    parts: BTreeMap<i64, Rate>,
    before: Rate,
    span_micros: i64,
    /// From when on labels count. At first, and after a pause of a span, only positives can come, then the negatives of the
    /// same time: neither is a rate.
    begins_micros: i64,
    /// The newest label's time; none before the first.
    newest_micros: Option<i64>,
}

/// Examples and their weights: one that sampling kept stands for those that it left out.
#[derive(Debug, Clone, Copy, Default)]
struct Rate {
    examples: u64,
    positives: f64,
    all: f64,
}

impl LabelRates {
    /// No labels yet; `span_micros` is how much of the labels' time is recent.
    pub(super) fn new(span_micros: i64) -> Self {
        Self {
            part_micros: (span_micros / PARTS).max(1),
            parts: BTreeMap::new(),
            before: Rate::default(),
            span_micros,
            begins_micros: i64::MIN,
            newest_micros: None,
        }
    }

    /// Adds examples.
    pub(super) fn record(&mut self, examples: &Examples) {
        let rows = examples.labels().iter().zip(examples.sampling()).zip(examples.labelled_micros());
        let middle = middle(examples.labelled_micros());
        for ((label, sampling), labelled) in rows {
            if labelled.abs_diff(middle) > self.span_micros.saturating_mul(ASTRAY).unsigned_abs() {
                continue;
            }
            self.follow(*labelled);
            if *labelled >= self.begins_micros {
                let part = labelled.div_euclid(self.part_micros);
                self.parts.entry(part).or_default().add(*label, *sampling);
            }
        }
        let Some(newest) = self.parts.last_key_value().map(|(part, _)| *part) else { return };
        while let Some(oldest) = self.parts.first_entry().filter(|oldest| *oldest.key() <= newest - PARTS) {
            self.before.merge(oldest.remove());
        }
    }

    /// Begins, and begins again where labels go on at quite another time.
    fn follow(&mut self, labelled: i64) {
        let far = self.span_micros.saturating_mul(ASTRAY);
        let goes_on = self.newest_micros.is_some_and(|newest| {
            labelled <= newest.saturating_add(self.span_micros) && labelled >= newest.saturating_sub(far)
        });
        if goes_on {
            self.newest_micros = self.newest_micros.max(Some(labelled));
            return;
        }
        for rate in std::mem::take(&mut self.parts).into_values() {
            self.before.merge(rate);
        }
        self.newest_micros = Some(labelled);
        self.begins_micros = labelled.saturating_add(self.span_micros);
    }

    /// The rate of recent examples, and of all before them.
    pub(super) fn facts(&self) -> (LabelRate, LabelRate) {
        let mut recent = Rate::default();
        for part in self.parts.values() {
            recent.merge(*part);
        }
        (recent.value(), self.before.value())
    }
}

impl Rate {
    fn add(&mut self, label: f32, sampling: f32) {
        let weight = 1.0 / f64::from(sampling);
        self.merge(Self { examples: 1, positives: weight * f64::from(label), all: weight });
    }

    fn merge(&mut self, other: Self) {
        self.examples += other.examples;
        self.positives += other.positives;
        self.all += other.all;
    }

    fn value(self) -> LabelRate {
        let rate = if self.examples == 0 { 0.0 } else { (self.positives / self.all).clamp(0.0, 1.0) };
        LabelRate { examples: self.examples, rate }
    }
}

/// The time in the middle, which a few wrong ones do not move far.
fn middle(times: &[i64]) -> i64 {
    let mut times = times.to_vec();
    let place = times.len() / 2;
    if times.is_empty() { 0 } else { *times.select_nth_unstable(place).1 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::learn::{Example, ExampleKind, Provenance};

    fn add(rates: &mut LabelRates, kind: ExampleKind, sampling: f32, labelled_micros: i64) {
        let mut examples = Examples::new(1);
        let example = Example {
            vector: &[0.0],
            kind,
            sampling,
            shown_micros: 0,
            labelled_micros,
            place: 0,
            provenance: Provenance::unknown(),
        };
        examples.push(example).unwrap();
        rates.record(&examples);
    }

    /// The time of each label in microseconds: a positive where it is even.
    fn add_all(rates: &mut LabelRates, times: impl IntoIterator<Item = i64>) {
        let mut examples = Examples::new(1);
        for labelled_micros in times {
            let kind = if labelled_micros % 2 == 0 { ExampleKind::Positive } else { ExampleKind::Negative };
            let example = Example {
                vector: &[0.0],
                kind,
                sampling: 1.0,
                shown_micros: 0,
                labelled_micros,
                place: 0,
                provenance: Provenance::unknown(),
            };
            examples.push(example).unwrap();
        }
        rates.record(&examples);
    }

    /// A first label of 1970 made all that follow count at once: positives, which come first, were the rate.
    #[test]
    fn labels_that_go_on_at_quite_another_time_begin_anew() {
        const TODAY: i64 = 1_700_000_000_000_000;
        let mut rates = LabelRates::new(80);
        add_all(&mut rates, [0, 2]);
        add_all(&mut rates, (0..40).map(|number| TODAY + 2 * number));
        assert_eq!(rates.facts().0.examples, 0, "positives of the first span are no rate");
        add_all(&mut rates, (80..160).map(|number| TODAY + number));
        let (recent, before) = rates.facts();
        assert_eq!((recent.examples, before.examples), (80, 0));
        assert!((recent.rate - 0.5).abs() < 1e-12);
        // The same after a night without labels: what was counted is of before.
        let morning = TODAY + 10_000;
        add_all(&mut rates, (0..40).map(|number| morning + 2 * number));
        let (recent, before) = rates.facts();
        assert_eq!((recent.examples, before.examples), (0, 80));
    }

    #[test]
    fn single_labels_of_a_wrong_time_move_nothing() {
        let mut rates = LabelRates::new(80);
        add_all(&mut rates, (0..160).chain([9_000_000, -9_000_000]));
        add_all(&mut rates, (160..200).chain([9_000_000]));
        let (recent, before) = rates.facts();
        assert_eq!(recent.examples + before.examples, 120, "those from the second span on, all of them");
    }

    #[test]
    fn labels_that_come_back_from_the_future_count_again() {
        let mut rates = LabelRates::new(80);
        add_all(&mut rates, 0..160);
        add_all(&mut rates, (0..160).map(|number| 9_000_000 + number));
        add_all(&mut rates, 160..400);
        let (recent, _) = rates.facts();
        assert!(recent.examples > 0 && (recent.rate - 0.5).abs() < 0.1, "{recent:?}");
    }

    #[test]
    fn rates_follow_the_labels_time_and_count_what_sampling_left_out() {
        let mut rates = LabelRates::new(80);
        add(&mut rates, ExampleKind::Positive, 1.0, -80);
        add(&mut rates, ExampleKind::Negative, 1.0, -1);
        assert_eq!(rates.facts().0.examples, 0, "nothing is known in the first span");
        add(&mut rates, ExampleKind::Negative, 0.5, 5);
        add(&mut rates, ExampleKind::Positive, 1.0, 9);
        let (recent, before) = rates.facts();
        assert_eq!((recent.examples, before.examples), (2, 0));
        assert!((recent.rate - 1.0 / 3.0).abs() < 1e-12, "one positive beside a negative that stands for two");
        add(&mut rates, ExampleKind::Negative, 1.0, 79);
        assert_eq!(rates.facts().1.examples, 0);
        add(&mut rates, ExampleKind::Negative, 1.0, 80);
        let (recent, before) = rates.facts();
        assert_eq!((recent.examples, before.examples), (2, 2));
        assert_eq!(recent.rate.to_bits(), 0.0_f64.to_bits());
    }
}
