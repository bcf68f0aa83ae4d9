//! Streams that are silent: when something was shown, and when its window ends.

use std::sync::Arc;

use serde_json::json;

use super::*;
use crate::bus::{Encoding, Message, Subject};
use crate::pipeline::StreamIndex;
use crate::step::Step;

/// 2027-01-15T08:00:00Z, in seconds.
const NOW: i64 = 1_800_000_000;

fn view(sequence: u64, seconds: i64, request: Option<&str>) -> Message {
    let event = json!({"event_id": sequence.to_string(), "user_id": 1, "item_id": 1, "category_id": 1, "kind": "view",
        "price": 9.5, "ts": 1_000 * seconds, "request_id": request});
    Message {
        payload: serde_json::to_vec(&event).unwrap().into(),
        sequence: StreamSequence(sequence),
        published_micros: 1_000_000 * NOW.max(seconds),
        encoding: Encoding::Json,
        subject: Subject::new("shop.clicks.web").unwrap(),
    }
}

/// It was taken for shown when the newest event was: then the click came after all time for corrections, and everything was a
/// negative at once.
#[test]
fn a_click_a_second_after_a_request_is_a_positive_however_old_the_newest_event_is() {
    let pipeline = Arc::new(pipeline());
    for gap in [Some(5), Some(600), Some(3_600), None] {
        let mut step = Step::new(Arc::clone(&pipeline)).unwrap();
        let mut labeller = labeller(&pipeline, Vec::new());
        let mut take = |step: &mut Step, sequence, seconds, request| {
            let output = step.events(StreamIndex(0), &[view(sequence, seconds, request)], true).unwrap();
            labeller.take(&output, &[], at(sequence - 1)).unwrap().examples
        };
        if let Some(gap) = gap {
            assert!(take(&mut step, 1, NOW - gap, None).is_empty());
        }
        let request = json!({"request_id": "r", "user_id": 1, "items": [0, 1, 2]});
        let arrived = EventTime(1_000_000 * NOW);
        let output = step.requests(&[serde_json::to_vec(&request).unwrap().into()], arrived).unwrap();
        let as_of = gap.map_or(0, |gap| NOW - gap);
        assert_eq!(output.job.groups[0].at, EventTime(1_000_000 * as_of), "features are of the newest event");
        let order = vec![0, 1, 2];
        let ranked = Ranked { payload: Bytes::new(), model: model(), order, left_out: None, failed: 0 };
        labeller.take(&output, &[ranked], at(1)).unwrap();

        let mut take = |step: &mut Step, sequence, seconds, request| {
            let output = step.events(StreamIndex(0), &[view(sequence, seconds, request)], true).unwrap();
            let made = labeller.take(&output, &[], at(sequence - 1)).unwrap().examples;
            decoded(&pipeline, &made).into_iter().map(|(_, examples)| examples).collect::<Vec<_>>()
        };
        let clicked = take(&mut step, 2, NOW + 1, Some("r"));
        assert_eq!((clicked.len(), clicked[0].kinds()), (1, &[ExampleKind::Positive][..]), "{gap:?}");
        assert_eq!((clicked[0].shown_micros(), clicked[0].places()), (&[arrived.micros()][..], &[1][..]));
        // The window is a second, the disorder two.
        assert!(take(&mut step, 3, NOW + 2, None).is_empty(), "{gap:?}");
        let closed = take(&mut step, 4, NOW + 3, None);
        assert_eq!(
            (closed.len(), closed[0].kinds(), closed[0].places()),
            (1, &[ExampleKind::Negative; 2][..], &[0, 2][..])
        );
        assert_eq!(closed[0].labelled_micros(), [1_000_000 * (NOW + 1); 2]);
    }
}

/// Of the silence after a message, when the clock has come so far.
fn silence(after: u64, clock: i64) -> Silence {
    Silence { after: StreamSequence(after), clock: EventTime(clock) }
}

#[test]
fn a_silence_closes_windows_and_whoever_comes_after_repeats_it_at_its_place() {
    const WINDOW: i64 = 1_000_000;
    let pipeline = pipeline();
    let fingerprint = pipeline.vector.as_ref().unwrap().fingerprint().as_str();
    let mut before = labeller(&pipeline, Vec::new());
    let (output, ranked) = request(&pipeline, 3);
    let shown = before.take(&output, &ranked, at(3)).unwrap().impressions;
    let click = |sequence| events(&[sequence], Some((0, 1)), false);
    assert!(before.tick(silence(3, SHOWN + WINDOW - 1), 0).unwrap().is_none(), "none has waited for its window");
    let ticked = before.tick(silence(3, SHOWN + WINDOW), 0).unwrap().unwrap();
    assert!(before.tick(silence(3, SHOWN + WINDOW), 1).unwrap().is_none());
    let examples = decoded(&pipeline, &ticked.examples);
    let [(id, closed)] = examples.as_slice() else { panic!("{examples:?}") };
    assert_eq!((id.as_str(), closed.labels()), ("clicks-3-tick-1001000000-0", &[0.0; 3][..]));
    let tick = ticked.tick.unwrap();
    assert_eq!((tick.after, tick.clock_micros), (3, SHOWN + WINDOW));
    let made = before.take(&click(4), &[], at(3)).unwrap().examples;
    assert_eq!(decoded(&pipeline, &made)[0].1.kinds(), [ExampleKind::Correction]);

    let (impressions, _) = Impressions::decode(&shown[0].payload, columns(&pipeline), fingerprint).unwrap();
    let recorded = [Past::Shown(impressions), Past::Ticked(tick.clone())];
    for is_read_again in [true, false] {
        let mut after = labeller(&pipeline, Vec::new());
        after.recorded.extend(recorded.clone().map(|past| (StreamSequence(3), past)));
        // What comes next was committed, is new, or is silence.
        let again = StepOutput { is_replay: is_read_again, ..click(4) };
        let labelled = after.take(&again, &[], at(3)).unwrap();
        assert_eq!(labelled.examples.len(), usize::from(!is_read_again), "what the tick gave does not come again");
        assert_eq!(after.counts(), before.counts());
    }
    let mut after = labeller(&pipeline, Vec::new());
    after.recorded.extend(recorded.map(|past| (StreamSequence(3), past)));
    assert!(after.tick(silence(3, SHOWN + 9 * WINDOW), 0).unwrap().is_none(), "nothing is left to close");
    assert_eq!(after.counts().negatives, 3);
}

#[test]
fn a_silence_that_ends_many_windows_is_several_ticks_of_one_batch_each() {
    let pipeline = pipeline();
    let mut labeller = labeller(&pipeline, Vec::new());
    let rows = TICK_MESSAGES * labeller.most_rows + 1;
    let (output, ranked) = request(&pipeline, rows);
    labeller.take(&output, &ranked, at(0)).unwrap();
    let all = silence(0, i64::MAX);
    let parts: Vec<Labelled> = (0..).map_while(|part| labeller.tick(all, part).unwrap()).collect();
    assert_eq!(parts.iter().map(|part| part.examples.len()).collect::<Vec<_>>(), [TICK_MESSAGES, 1]);
    let bytes: usize = parts[0].examples.iter().map(|message| message.payload.len()).sum();
    assert!(bytes < 4 << 20, "{bytes}");
    let ids: std::collections::BTreeSet<&String> =
        parts.iter().flat_map(|part| &part.examples).map(|message| &message.id).collect();
    assert_eq!(ids.len(), TICK_MESSAGES + 1);
}
