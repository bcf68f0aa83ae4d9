//! Settings that are sound by themselves and risky together, and models that are slow: what `check` warns of.

use std::path::Path;
use std::time::Duration;

use humantime::format_duration;

use super::files::{SETTINGS_FILE, below_working_folder};
use super::model_risks::of_model;
use super::problem::Problem;
use crate::event::Clock;
use crate::pipeline::{Pipeline, StreamIndex, StreamPlan};

/// A clock that is right to the second is not rejected for the rest.
const LEAST_AHEAD: Duration = Duration::from_secs(1);

/// Every risky pair of settings of the pipeline in this folder.
pub(crate) fn risks(folder: &Path, pipeline: &Pipeline) -> Vec<Problem> {
    let file = below_working_folder(folder).join(SETTINGS_FILE);
    let streams = pipeline.streams.iter().enumerate();
    let of_streams = streams.flat_map(|(index, stream)| of_stream(pipeline, StreamIndex(index), stream));
    let found = of_streams.chain(of_model(pipeline));
    found.map(|(message, advice)| Problem::new(&file, message).suggest(advice)).collect()
}

/// What is risky about a stream, each with advice.
fn of_stream(pipeline: &Pipeline, index: StreamIndex, stream: &StreamPlan) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let StreamPlan { name, disorder, idle, retain, .. } = stream;
    let ahead = Duration::from_micros(stream.decode.ahead_micros.max(0).cast_unsigned());
    let is_event_clock = stream.decode.clock == Clock::Event;
    if is_event_clock && ahead < LEAST_AHEAD {
        found.push((
            format!(
                "stream `{name}`: `clock = \"event\"` with `ahead = \"{}\"` rejects events of a clock that is a moment fast",
                format_duration(ahead)
            ),
            "raise `ahead`: a clock that is fast makes nobody else late; or let another `clock` count".to_owned(),
        ));
    }
    if ahead > *retain && stream.source.is_none() {
        let [ahead, retain] = [ahead, *retain].map(format_duration);
        found.push((
            format!(
                "stream `{name}`: an event may wait for its time for `ahead = \"{ahead}\"`, and the broker keeps it for \
                 `retain = \"{retain}\"`: a state that is made anew lacks it"
            ),
            "lower `ahead`, or raise `retain`".to_owned(),
        ));
    }
    let reads = || pipeline.tables.iter().filter(|table| table.streams.contains(&index));
    let is_ordered = stream.decode.clock == Clock::Broker;
    let strict = reads().filter(|table| table.plan.windows().is_some_and(|plan| plan.settings().lateness == 0));
    let strict: Vec<_> = strict.map(|table| format!("`{}`", table.plan.name())).collect();
    if disorder.is_zero() && !is_ordered && !strict.is_empty() {
        found.push((
            format!(
                "stream `{name}`: with `disorder = \"0s\"` and no `lateness` an event that comes after a newer one is missing \
                 in the windows of {} that the newer one closed",
                strict.join(", ")
            ),
            "set `disorder`, or the `lateness` of the table, or let the broker's `clock` count".to_owned(),
        ));
    }
    let is_one_of_several = stream.partition_by_subject || reads().any(|table| table.streams.len() > 1);
    if is_one_of_several && idle < disorder {
        let [idle, disorder] = [*idle, *disorder].map(format_duration);
        let part = if stream.partition_by_subject { "a subject" } else { "it" };
        found.push((
            format!(
                "stream `{name}`: {part} holds nothing back after `idle = \"{idle}\"` of silence, which is less than its \
                 events may be out of order, `disorder = \"{disorder}\"`: they come late"
            ),
            "set `idle` to at least `disorder`".to_owned(),
        ));
    }
    found
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::config::Folder;

    const WINDOWS: &str = "SELECT count(*) AS n FROM clicks GROUP BY tumble(ts, '1 minute')";

    fn warnings(settings: &str, select: &str) -> String {
        let folder = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| fs::write(folder.path().join(path), text).unwrap();
        fs::create_dir(folder.path().join("features")).unwrap();
        let properties = r#"{"ts": {"type": "integer"}, "user_id": {"type": "integer"}}"#;
        write("click.json", &format!(r#"{{"type": "object", "properties": {properties}, "required": ["ts"]}}"#));
        write("features/t.sql", select);
        let stream = "[streams.clicks]\nsubjects = [\"shop.*\"]\ncontract = \"click.json\"\ntime = \"ts\"";
        write("pipeline.toml", &format!("name = \"risks\"\n{stream}\n{settings}\n"));
        let pipeline = Folder::check(folder.path()).unwrap();
        let shown = risks(folder.path(), &pipeline).into_iter().map(|risk| risk.render(false)).collect::<Vec<_>>();
        shown.join("\n").replace(&format!("{}/", folder.path().display()), "")
    }

    #[test]
    fn what_is_usual_is_no_risk() {
        assert_eq!(warnings("", WINDOWS), "");
        let broker = "clock = \"broker\"\nahead = \"0s\"\ndisorder = \"0s\"";
        assert_eq!(warnings(broker, WINDOWS), "");
        assert_eq!(warnings("disorder = \"0s\"\n[tables.t]\nlateness = \"5s\"", WINDOWS), "");
        assert_eq!(warnings("disorder = \"0s\"", "SELECT user_id, count(*) AS n FROM clicks GROUP BY user_id"), "");
    }

    #[test]
    fn risky_pairs_are_named_with_a_way_out() {
        let strict = warnings("ahead = \"0s\"\ndisorder = \"0s\"", WINDOWS);
        let long = warnings("ahead = \"30 days\"\npartition = \"subject\"\nidle = \"1s\"", WINDOWS);
        insta::assert_snapshot!(format!("{strict}\n{long}"), @r#"
        pipeline.toml: stream `clicks`: `clock = "event"` with `ahead = "0s"` rejects events of a clock that is a moment fast
          help: raise `ahead`: a clock that is fast makes nobody else late; or let another `clock` count
        pipeline.toml: stream `clicks`: with `disorder = "0s"` and no `lateness` an event that comes after a newer one is missing in the windows of `t` that the newer one closed
          help: set `disorder`, or the `lateness` of the table, or let the broker's `clock` count
        pipeline.toml: stream `clicks`: an event may wait for its time for `ahead = "30days"`, and the broker keeps it for `retain = "7days"`: a state that is made anew lacks it
          help: lower `ahead`, or raise `retain`
        pipeline.toml: stream `clicks`: a subject holds nothing back after `idle = "1s"` of silence, which is less than its events may be out of order, `disorder = "5s"`: they come late
          help: set `idle` to at least `disorder`
        "#);
    }
}
