//! A step that was saved and restored at any of its boundaries gives what one gives that ran through.

use proptest::prelude::*;
use proptest::sample::Index;

use super::folders::{ALL, AS_OF, Files, WINDOWS};
use super::passage::{Out, Passage, restore};
use super::shop::{START, messages};

/// Where steps end in all runs: after so many messages, requests are answered or the state is saved.
struct Stops {
    looks: Vec<usize>,
    restarts: Vec<usize>,
    /// After so many messages, silence means silence.
    present: usize,
}

impl Stops {
    fn new(count: usize, looks: &[Index], restarts: &[Index], present: Index) -> Self {
        let places = |indices: &[Index]| indices.iter().map(|index| index.index(count)).collect();
        Self { looks: places(looks), restarts: places(restarts), present: present.index(count) }
    }
}

/// `sizes` are those of steps before the first restart, and after it.
fn run(
    files: &Files,
    settings: &str,
    seed: u64,
    count: usize,
    stops: &Stops,
    sizes: (usize, usize),
    restarts: bool,
) -> Result<Out, String> {
    let pipeline = files.with_settings(settings);
    let messages = messages(seed, count, pipeline.streams.len());
    let mut passage = Passage::new(&pipeline);
    let mut ends: Vec<usize> = stops.looks.iter().chain(&stops.restarts).copied().collect();
    ends.extend([stops.present, count]);
    ends.sort_unstable();
    ends.dedup();
    let (mut first, mut size) = (0, sizes.0);
    for end in ends {
        passage.pass(&messages[first..end], size).map_err(|error| error.to_string())?;
        first = end;
        if end == stops.present {
            passage.step.reach_present();
        }
        if stops.restarts.contains(&end) && restarts {
            passage.restart(end >= stops.present);
            size = sizes.1;
        }
        if stops.looks.contains(&end) {
            let now = messages[..end].last().map_or(START, |(_, message)| message.published_micros / 1_000);
            passage.look(seed ^ end as u64, now);
        }
    }
    Ok(passage.end())
}

/// Settings under which each table may hold little; the larger `size` from 0 to 68, the more.
fn limited(files: &Files, size: usize) -> String {
    let kib = if files.name == WINDOWS.name { 1 + size / 6 } else { 12 + size };
    let limit = format!("memory = \"{kib} KiB\"\nat_limit = \"evict\"\n");
    let mut settings = files.settings.to_owned();
    // An as-of table needs more than the tables of windows beside it.
    let alone = files.name == WINDOWS.name;
    for (table, _) in files.features.iter().filter(|(table, _)| !alone || *table != "activity") {
        let section = format!("[tables.{table}]\n");
        match settings.contains(&section) {
            true => settings = settings.replace(&section, &format!("{section}{limit}")),
            false => settings = format!("{settings}\n{section}{limit}"),
        }
    }
    settings
}

#[test]
fn limits_such_as_are_tried_below_make_tables_give_up_keys() {
    for files in [&AS_OF, &WINDOWS] {
        let gave_up = (0..68).step_by(6).filter(|size| {
            let stops = Stops { looks: vec![300], restarts: vec![100, 200], present: 0 };
            let out = run(files, &limited(files, *size), 1, 300, &stops, (20, 20), true);
            out.is_ok_and(|out| out.tables.iter().any(|line| !line.ends_with(", 0)")))
        });
        assert!(gave_up.count() >= 3, "{}", files.name);
    }
}

#[test]
fn a_state_goes_on_under_another_limit_of_memory() {
    for files in [&AS_OF, &WINDOWS] {
        let (without, with) = (files.pipeline(), files.with_settings(&limited(files, 68)));
        let mut passage = Passage::new(&without);
        passage.pass(&messages(7, 200, without.streams.len()), 20).unwrap();
        let parts = passage.save();
        passage.step = restore(&with, &parts).unwrap();
        assert!(passage.save() == parts, "{}: nothing is given up before the next step", files.name);
        passage.step = restore(&without, &parts).unwrap();
        assert!(passage.save() == parts, "{}", files.name);
    }
}

fn assert_same(straight: &Out, restarted: &Out) {
    assert_eq!(straight.counts, restarted.counts);
    assert_eq!(straight.dead, restarted.dead);
    assert_eq!(straight.emissions, restarted.emissions);
    assert_eq!(straight.tables, restarted.tables);
    assert_eq!(straight.rows, restarted.rows);
    assert_eq!(straight.vectors, restarted.vectors);
    assert!(straight == restarted, "feedback, requests, or what vectors are of");
}

fn indices(count: std::ops::Range<usize>) -> impl Strategy<Value = Vec<Index>> {
    prop::collection::vec(any::<Index>(), count)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, max_shrink_iters: 60, ..ProptestConfig::default() })]

    #[test]
    fn a_restored_step_goes_on_as_if_nothing_had_happened(
        which in 0..ALL.len(),
        seed in any::<u64>(),
        count in 20_usize..500,
        (before, after) in (1_usize..60, 1_usize..60),
        looks in indices(1..4),
        restarts in indices(1..4),
        present in any::<Index>(),
    ) {
        let files = ALL[which];
        // Where steps end shows in two things: a silent stream is waited for until the end of a step, and sums of floats in
        // as-of tables are rounded where rows were sealed into tiles together.
        let after = if files.name == WINDOWS.name { after } else { before };
        let stops = Stops::new(count, &looks, &restarts, present);
        let straight = run(files, files.settings, seed, count, &stops, (before, before), false).unwrap();
        let restarted = run(files, files.settings, seed, count, &stops, (before, after), true).unwrap();
        assert_same(&straight, &restarted);
    }

    #[test]
    fn a_restored_step_gives_up_the_same_keys_at_its_limit(
        which in 0_usize..2,
        seed in any::<u64>(),
        count in 100_usize..500,
        size in 1_usize..60,
        limit in 0_usize..68,
        looks in indices(1..4),
        restarts in indices(1..6),
    ) {
        let files = [&AS_OF, &WINDOWS][which];
        let settings = limited(files, limit);
        let stops = Stops { present: 0, ..Stops::new(count, &looks, &restarts, restarts[0]) };
        // What a step needs may be more than the limit, whatever is given up for it.
        let [straight, restarted] =
            [false, true].map(|restarts| run(files, &settings, seed, count, &stops, (size, size), restarts));
        match (straight, restarted) {
            (Ok(straight), Ok(restarted)) => assert_same(&straight, &restarted),
            (straight, restarted) => prop_assert_eq!(straight.err(), restarted.err()),
        }
    }
}
