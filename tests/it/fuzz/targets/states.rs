//! Saved state of tables: damaged anywhere it is refused, and with checksums that are right again it never panics.

use std::sync::Arc;

use tidewheel::sql::Failures;
use tidewheel::time::EventTime;
use tidewheel::window::{
    Budget, FeaturePlan, FeatureTable, Horizon, References, TableForm, WindowPlan, WindowSettings, WindowTables,
};
use xxhash_rust::xxh3::Xxh3;

use super::features::events;
use crate::fuzz::engine::{Outcome, Target};

const SECOND: i64 = 1_000_000;
const DISORDER: i64 = 5 * SECOND;
const AS_OF: &str = "SELECT user_id, count(*) FILTER (WHERE within(ts, '20 seconds')) AS n, sum(price) AS s, min(price) AS m, \
    count(DISTINCT item_id) AS d, last_n(kind, 2) AS l, quantile(price, 0.5) AS q FROM clicks GROUP BY user_id";
const WINDOWS: &str = "SELECT user_id, window_end, count(*) AS n, count(DISTINCT item_id) AS d, min(kind) AS m, \
    last_n(item_id, 2) AS l FROM clicks GROUP BY user_id, hop(ts, '10 seconds', '1 minute')";
const SESSIONS: &str = "SELECT user_id, window_start, count(*) AS n, median(price) AS m FROM clicks GROUP BY user_id, session(ts, '7 seconds')";

pub const TARGET: Target = Target {
    name: "states",
    seconds: 2,
    dictionary: &[
        "tidestat",
        "table",
        "keys 0",
        "cells 0",
        "recent 0",
        "level 0",
        "watermarks",
        "group",
        "starts",
        "rows",
    ],
    inputs: || {
        let plans = Plans::new();
        let mut as_of = Vec::new();
        let mut table = FeatureTable::new(Arc::clone(&plans.as_of), DISORDER, Budget::UNLIMITED).unwrap();
        let rows = plans
            .as_of
            .source()
            .rows("clicks", &events(20), &References::default(), &mut Failures::default())
            .unwrap()
            .unwrap();
        table.begin(&rows, &mut Failures::default()).unwrap();
        (0..20).for_each(|row| table.apply(row));
        table.settle().unwrap();
        table.save(&mut as_of).unwrap();
        let mut windows = Vec::new();
        let mut tables = WindowTables::new(plans.windows.clone()).unwrap();
        let watermarks: Vec<EventTime> =
            (0..20).map(|row| EventTime((1_790_000_000 + row * 5) * SECOND - DISORDER)).collect();
        tables.push("clicks", &events(20), &watermarks, &mut [true; 20], &mut Vec::new()).unwrap();
        tables.save(&mut windows).unwrap();
        assert_eq!(sealed(&windows), windows);
        vec![as_of, windows]
    },
    reader: || {
        let plans = Plans::new();
        Box::new(move |input| {
            plans.restore(&sealed(input), false);
            plans.restore(input, true)
        })
    },
};

struct Plans {
    as_of: Arc<FeaturePlan>,
    windows: Vec<Arc<WindowPlan>>,
}

impl Plans {
    fn new() -> Self {
        let planner = tidewheel::window::planner();
        planner.add_relation("clicks", events(0).schema()).unwrap();
        let plan = |sql: &str| {
            TableForm::plan(&planner, "saved", sql, "ts", Horizon::new(3_600 * SECOND), WindowSettings::default())
                .unwrap()
        };
        let TableForm::AsOf(as_of) = plan(AS_OF) else { panic!("not as of") };
        let windows = [WINDOWS, SESSIONS].map(|sql| match plan(sql) {
            TableForm::Windows(plan) => Arc::new(plan),
            TableForm::AsOf(_) => panic!("no windows"),
        });
        Self { as_of: Arc::new(as_of), windows: windows.to_vec() }
    }

    /// Restores both forms; `is_whole`: what is accepted must be the very bytes that the state saves.
    fn restore(&self, input: &[u8], is_whole: bool) -> Outcome {
        let table = FeatureTable::restore(Arc::clone(&self.as_of), DISORDER, Budget::UNLIMITED, &mut &*input);
        if let Ok(table) = &table {
            let mut saved = Vec::new();
            table.save(&mut saved).unwrap();
            assert!(!is_whole || input.starts_with(&saved), "another state was accepted");
        }
        let tables = WindowTables::restore(self.windows.clone(), &mut &*input);
        if let Ok(tables) = &tables {
            let mut saved = Vec::new();
            tables.save(&mut saved).unwrap();
            assert!(!is_whole || input.starts_with(&saved), "another state was accepted");
        }
        match (&table, &tables) {
            (Err(one), Err(other)) => Outcome::Refused(format!("{one} {other}")),
            _ => Outcome::Accepted,
        }
    }
}

/// The same header and sections with the checksums that they should have, as far as they can be told apart.
fn sealed(input: &[u8]) -> Vec<u8> {
    let mut bytes = input.to_vec();
    let number = |bytes: &[u8], at: usize, width: usize| {
        let digits = bytes.get(at..at + width)?;
        Some(digits.iter().rev().fold(0_usize, |number, byte| number << 8 | usize::from(*byte)))
    };
    let seal = |bytes: &mut [u8], checked: [std::ops::Range<usize>; 2], at: usize| {
        let mut hasher = Xxh3::new();
        checked.into_iter().for_each(|range| hasher.update(&bytes[range]));
        let digest = hasher.digest().to_le_bytes();
        bytes.get_mut(at..at + 8).map(|place| place.copy_from_slice(&digest))
    };
    let mut next = || {
        let kind = number(&bytes, 12, 4).filter(|length| *length < bytes.len())?;
        let mut at = 16 + kind + 8;
        if at > bytes.len() {
            return None;
        }
        seal(&mut bytes, [0..at, 0..0], at)?;
        at += 8;
        loop {
            let name = number(&bytes, at, 4).filter(|length| *length < bytes.len())?;
            let size = number(&bytes, at + 4 + name, 8).filter(|length| *length < bytes.len())?;
            let payload = at + 20 + name;
            if payload + size > bytes.len() {
                return None;
            }
            seal(&mut bytes, [at + 4..at + 4 + name, payload..payload + size], at + 12 + name)?;
            at = payload + size;
        }
    };
    let _: Option<()> = next();
    bytes
}
