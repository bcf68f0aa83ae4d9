//! Messages of examples and of impressions, and saved reservoirs.

use tidewheel::learn::{
    Example, ExampleKind, Examples, Impression, Impressions, Provenance, Reservoir, decode, encode,
};
use tidewheel::time::EventTime;

use crate::fuzz::engine::{Outcome, Target};

const COLUMNS: usize = 3;
const VECTOR: &str = "f00d";

pub const TARGET: Target = Target {
    name: "examples",
    seconds: 2,
    dictionary: &[
        "tidewheel.examples",
        "tidewheel.fingerprint",
        "tidewheel.keys",
        "tidewheel.position",
        "tidewheel.reservoir.seen",
        "positive",
        "negative",
        "correction",
        "f00d",
        "vector",
        "\u{0}\u{0}\u{c0}\u{7f}",
    ],
    inputs: || {
        let mut impressions = Impressions::new(COLUMNS);
        for key in 0..2 {
            let (at, arrived) = (EventTime(5), EventTime(6));
            impressions
                .push(Impression {
                    key,
                    at,
                    arrived,
                    place: 1,
                    vector: &[1.0, 2.0, -0.0],
                    provenance: Provenance::unknown(),
                })
                .unwrap();
        }
        let mut reservoir = Reservoir::new(COLUMNS, 4, 7);
        reservoir.offer_all(&examples()).unwrap();
        vec![
            encode(&examples(), VECTOR).unwrap(),
            impressions.encode(VECTOR, "clicks=4").unwrap(),
            reservoir.save(VECTOR).unwrap(),
        ]
    },
    reader: || {
        let before = examples();
        Box::new(move |input| {
            let mut out = before.clone();
            if let Err(error) = decode(input, COLUMNS, VECTOR, &mut out) {
                assert_eq!(out, before, "what is refused leaves nothing");
                return Outcome::Refused(error.to_string());
            }
            let mut alone = Examples::new(COLUMNS);
            decode(input, COLUMNS, VECTOR, &mut alone).unwrap();
            assert_eq!(out.len(), before.len() + alone.len());
            let mut again = Examples::new(COLUMNS);
            let written = encode(&alone, VECTOR).unwrap();
            decode(&written, COLUMNS, VECTOR, &mut again).unwrap();
            // As bytes, for a missing value is a NaN, which equals nothing.
            assert_eq!(encode(&again, VECTOR).unwrap(), written);
            if let Ok((impressions, position)) = Impressions::decode(input, COLUMNS, VECTOR) {
                assert_eq!(impressions.iter().count(), alone.len());
                let written = impressions.encode(VECTOR, &position).unwrap();
                let (again, at) = Impressions::decode(&written, COLUMNS, VECTOR).unwrap();
                assert!(again.iter().map(|one| (one.key, one.at)).eq(impressions.iter().map(|one| (one.key, one.at))));
                assert_eq!(at, position);
            }
            if let Ok(mut reservoir) = Reservoir::load(input, COLUMNS, 2, VECTOR) {
                reservoir.offer_all(&alone).unwrap();
                Reservoir::load(&reservoir.save(VECTOR).unwrap(), COLUMNS, 2, VECTOR).unwrap();
            }
            Outcome::Accepted
        })
    },
};

fn examples() -> Examples {
    let mut examples = Examples::new(COLUMNS);
    for kind in [ExampleKind::Positive, ExampleKind::Negative, ExampleKind::Correction] {
        let example = Example {
            vector: &[0.5, -1.0, 1e9],
            kind,
            sampling: 0.5,
            shown_micros: -1,
            labelled_micros: 2,
            place: 3,
            provenance: Provenance::unknown(),
        };
        examples.push(example).unwrap();
    }
    examples
}
