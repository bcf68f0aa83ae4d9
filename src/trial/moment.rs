//! Whether a read is answered for the moment that it names: one older than the watermark is answered as of the watermark, with
//! events that are later than what was asked for.

use crate::pipeline::Pipeline;
use crate::step::Step;
use crate::time::EventTime;

/// What is wrong with a read of these tables as of `at`, by their indices: nothing when each of them answers for that moment.
pub(super) fn other_moment(
    pipeline: &Pipeline,
    step: &mut Step,
    tables: impl IntoIterator<Item = usize>,
    at: EventTime,
) -> Option<String> {
    let live = step.tables_mut();
    let moments = tables.into_iter().filter_map(|index| Some((index, live.get(index)?.moment(at))));
    let (index, moment) = moments.max_by_key(|(_, moment)| *moment).filter(|(_, moment)| *moment > at)?;
    let name = pipeline.tables.get(index).map_or("", |table| table.plan.name());
    Some(format!(
        "this would be the answer for {moment}: the events of the case have moved the watermark of `{name}` there, and a \
         read that is older is answered as of the watermark; ask for {moment} or later, or move what comes after {at} to a case \
         of its own"
    ))
}
