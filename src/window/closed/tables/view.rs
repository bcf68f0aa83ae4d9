//! A view of a group: what is saved of it, as it was at a moment, while the group goes on.

use std::io::Write;

use super::{State, TableGroup};
use crate::snapshot::SaveError;
use crate::window::WindowError;

/// A group at a moment: what is saved of it, whatever comes after.
pub(crate) struct GroupView(TableGroup);

impl GroupView {
    /// Writes everything that later output depended on at the moment of the view.
    pub(crate) fn save(&self, output: &mut dyn Write) -> Result<(), SaveError> {
        self.0.save(output)
    }
}

impl TableGroup {
    /// The group as it is now, between two steps. It shares what it keeps with the group, which copies what it writes from
    /// then on.
    ///
    /// # Errors
    /// When the keys of a table have a type that has no row format, which it would not have been made with.
    pub(crate) fn view(&mut self) -> Result<GroupView, WindowError> {
        Ok(GroupView(Self {
            state: self.state.share()?,
            tables: self.tables.clone(),
            is_fed: false,
            watermarks: self.watermarks.clone(),
        }))
    }

    /// Bytes that were copied because views hold what they were copied from, since this was last asked.
    pub(crate) fn take_copied(&mut self) -> usize {
        self.state.take_copied()
    }
}

impl State {
    fn share(&mut self) -> Result<Self, WindowError> {
        match self {
            Self::Panes(panes) => panes.share().map(Self::Panes),
            Self::Sessions(sessions) => sessions.share().map(Self::Sessions),
        }
    }

    fn take_copied(&mut self) -> usize {
        match self {
            Self::Panes(panes) => panes.take_copied(),
            Self::Sessions(sessions) => sessions.take_copied(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, TimestampMicrosecondArray};
    use proptest::prelude::*;

    use super::*;
    use crate::time::EventTime;
    use crate::window::{Budget, Emit, Horizon, TableForm, WindowSettings, WindowTables};

    const SECOND: i64 = 1_000_000;

    /// User, item, price, and when, in seconds.
    type Click = (i64, i64, f64, i64);

    fn clicks(events: &[Click]) -> RecordBatch {
        let integers =
            |value: fn(&Click) -> i64| Arc::new(events.iter().map(value).collect::<Int64Array>()) as ArrayRef;
        let times = TimestampMicrosecondArray::from_iter_values(events.iter().map(|event| event.3 * SECOND));
        let columns: [(&str, ArrayRef); 4] = [
            ("user_id", integers(|event| event.0)),
            ("item_id", integers(|event| event.1)),
            ("price", Arc::new(events.iter().map(|event| event.2).collect::<Float64Array>())),
            ("ts", Arc::new(times.with_timezone("+00:00"))),
        ];
        RecordBatch::try_from_iter_with_nullable(columns.map(|(name, column)| (name, column, true))).unwrap()
    }

    /// Two tables that share panes, one of which is told early and follows late events, and one of sessions.
    fn tables(budget: Budget) -> WindowTables {
        let planner = crate::window::planner();
        planner.add_relation("clicks", clicks(&[]).schema()).unwrap();
        let early = Emit::Early { every: 2 * SECOND };
        let plans = [
            ("wide", "max(price) AS dearest", "hop(ts, '2 seconds', '10 seconds')", WindowSettings::default()),
            (
                "early",
                "sum(price) AS spent",
                "hop(ts, '2 seconds', '6 seconds')",
                WindowSettings { emit: early, lateness: 4 * SECOND, ..WindowSettings::default() },
            ),
            ("visits", "max(price) AS dearest", "session(ts, '3 seconds')", WindowSettings::default()),
        ];
        let plan = |(name, column, window, settings): (&str, &str, &str, WindowSettings)| {
            let sql = format!(
                "SELECT user_id, count(*) AS events, count(DISTINCT item_id) AS items, {column} FROM clicks \
                 GROUP BY user_id, {window}"
            );
            let settings = WindowSettings { budget, ..settings };
            let form = TableForm::plan(&planner, name, &sql, "ts", Horizon::new(SECOND), settings).unwrap();
            let TableForm::Windows(plan) = form else { panic!("not a table of windows") };
            Arc::new(plan)
        };
        WindowTables::new(plans.map(plan).to_vec()).unwrap()
    }

    fn push(tables: &mut WindowTables, events: &[Click]) {
        let mut watermarks: Vec<EventTime> = Vec::new();
        for event in events {
            let watermark = EventTime((event.3 - 2) * SECOND);
            watermarks.push(watermarks.last().map_or(watermark, |last| watermark.max(*last)));
        }
        let mut late = vec![true; events.len()];
        tables.push("clicks", &clicks(events), &watermarks, &mut late, &mut Vec::new()).unwrap();
    }

    fn saved(view: &GroupView) -> Vec<u8> {
        let mut bytes = Vec::new();
        view.save(&mut bytes).unwrap();
        bytes
    }

    fn bytes(group: &TableGroup) -> Vec<u8> {
        let mut bytes = Vec::new();
        group.save(&mut bytes).unwrap();
        bytes
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

        #[test]
        fn a_view_is_saved_as_the_group_was(
            steps in prop::collection::vec(
                (prop::collection::vec((0_i64..40, 0_i64..5, -9.0_f64..9.0, 0_i64..6), 1..60), any::<bool>()), 2..14,
            ),
            limit in prop::sample::select(vec![usize::MAX, 30_000]),
        ) {
            let mut tables = tables(if limit == usize::MAX { Budget::UNLIMITED } else { Budget::evict(limit) });
            let mut views = Vec::new();
            for (step, (mut events, is_viewed)) in steps.into_iter().enumerate() {
                events.iter_mut().for_each(|event| event.3 += 100 + 2 * step as i64);
                push(&mut tables, &events);
                if is_viewed {
                    for group in tables.groups_mut() {
                        let expected = bytes(group);
                        views.push((group.view().unwrap(), expected));
                    }
                }
                for (view, expected) in &views {
                    prop_assert!(&saved(view) == expected);
                }
                if views.len() > 4 {
                    views.remove(0);
                }
            }
        }
    }

    #[test]
    fn what_is_written_beneath_a_view_is_copied_a_page_at_a_time_and_once() {
        let mut tables = tables(Budget::UNLIMITED);
        let everybody: Vec<Click> = (0..20_000).map(|user| (user, user % 3, 1.0, 100)).collect();
        push(&mut tables, &everybody);
        let copied =
            |tables: &mut WindowTables| tables.groups_mut().iter_mut().map(TableGroup::take_copied).collect::<Vec<_>>();
        assert_eq!(copied(&mut tables), [0, 0], "there is no view");
        let views: Vec<GroupView> = tables.groups_mut().iter_mut().map(|group| group.view().unwrap()).collect();
        assert_eq!(copied(&mut tables), [0, 0], "nothing was written");
        push(&mut tables, &[(7, 1, 2.0, 100)]);
        for copied in copied(&mut tables) {
            assert!((1..100_000).contains(&copied), "{copied} bytes");
        }
        push(&mut tables, &[(7, 2, 2.0, 100)]);
        assert_eq!(copied(&mut tables), [0, 0], "those pages are its own");
        drop(views);
        push(&mut tables, &[(19_000, 2, 2.0, 100)]);
        assert_eq!(copied(&mut tables), [0, 0], "nobody holds the others any more");
    }

    /// `cargo test --release speed_of_group_views -- --ignored --nocapture`
    #[test]
    #[ignore = "measures time"]
    fn speed_of_group_views() {
        let mut tables = tables(Budget::UNLIMITED);
        for step in 0..100_i64 {
            let user = |nth: i64| (nth * 7_919 + step * 104_729) % 500_000;
            let events: Vec<Click> = (0..20_000).map(|nth| (user(nth), nth % 50, 1.0, 100 + step / 20)).collect();
            push(&mut tables, &events);
        }
        println!("{} MB in {} groups", tables.size() >> 20, tables.groups().len());
        for round in 0..5 {
            for group in tables.groups_mut() {
                let start = std::time::Instant::now();
                let view = group.view().unwrap();
                let taken = start.elapsed();
                let bytes = saved(&view).len() >> 20;
                println!("round {round}: taken in {taken:?}, {bytes} MB saved after {:?}", start.elapsed());
            }
            push(&mut tables, &[(round, 1, 1.0, 105)]);
        }
    }
}
