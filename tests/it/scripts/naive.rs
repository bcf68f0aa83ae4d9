//! What windows are, by counting: which watermark stands before an event, and which windows it counts in.

use std::collections::BTreeMap;

use super::script::{Action, Script};
use super::sql::Window;

/// For each event of a script, the watermark before it of a table that reads these streams.
pub fn watermarks_before(script: &Script, streams: &[String]) -> Vec<i64> {
    let mut newest = vec![i64::MIN; script.streams.len()];
    // None holds nothing back.
    let mut held: Vec<Option<i64>> =
        script.streams.iter().map(|stream| streams.contains(&stream.name).then_some(i64::MIN)).collect();
    let is_read: Vec<bool> = held.iter().map(Option::is_some).collect();
    let (mut watermark, mut before) = (i64::MIN, Vec::new());
    let hold = |held: &mut Vec<Option<i64>>, stream: usize, to: Option<i64>, watermark: &mut i64| {
        if is_read[stream] {
            held[stream] = to;
            *watermark = (*watermark).max(held.iter().flatten().copied().min().unwrap_or(i64::MIN));
        }
    };
    for step in &script.steps {
        match step.action {
            Action::Events(stream) => {
                for event in step.lines.iter().flat_map(|line| line.rows.clone()) {
                    before.push(watermark);
                    let time = script.events.times[event].saturating_sub(script.streams[stream].disorder);
                    newest[stream] = newest[stream].max(time);
                    hold(&mut held, stream, Some(newest[stream]), &mut watermark);
                }
            }
            Action::Watermark(stream, to) => {
                newest[stream] = newest[stream].max(to);
                hold(&mut held, stream, Some(newest[stream]), &mut watermark);
            }
            Action::Idle(stream) => hold(&mut held, stream, None, &mut watermark),
            Action::Read { .. } | Action::Restart | Action::End => {}
        }
    }
    before
}

/// An event that passes the WHERE of a table.
pub struct Row {
    pub event: usize,
    pub time: i64,
    pub key: Vec<String>,
    /// The watermark before it.
    pub watermark: i64,
}

/// An event and a window that it counts in.
pub type Pair = (usize, i64, i64);

/// The windows that each row counts in; a row that is late has none.
pub fn pairs(window: Window, lateness: i64, rows: &[Row]) -> Vec<Pair> {
    if let Window::Session { gap } = window {
        return sessions(gap, lateness, rows);
    }
    let mut pairs = Vec::new();
    for row in rows {
        for (start, end) in windows_of(window, row.time) {
            if i128::from(end) + i128::from(lateness) > i128::from(row.watermark) {
                pairs.push((row.event, start, end));
            }
        }
    }
    pairs
}

/// The windows that hold a time.
fn windows_of(window: Window, time: i64) -> Vec<(i64, i64)> {
    let last_multiple = |of: i64| time - time.rem_euclid(of);
    let mut windows = Vec::new();
    match window {
        Window::Hop { slide, size } => {
            let mut start = last_multiple(slide);
            while start + size > time {
                windows.push((start, start + size));
                start -= slide;
            }
        }
        Window::Cumulate { step, size } => {
            let start = last_multiple(size);
            let mut end = start + step;
            while end <= start + size {
                if time < end {
                    windows.push((start, end));
                }
                end += step;
            }
        }
        Window::Session { .. } => {}
    }
    windows
}

/// A session that still takes events.
struct Session {
    first: i64,
    last: i64,
    events: Vec<usize>,
}

/// The sessions of a key that still take events, and the time before which all others are final.
struct Key {
    sessions: Vec<Session>,
    barrier: i64,
}

/// Event by event: a session takes events until the watermark has passed its end and the lateness. What lies before the
/// end of such a session is late, and so is what lies before anything that is known when a key comes anew.
fn sessions(gap: i64, lateness: i64, rows: &[Row]) -> Vec<Pair> {
    let mut keys: BTreeMap<&[String], Key> = BTreeMap::new();
    let mut all: Vec<Session> = Vec::new();
    for row in rows {
        let key = keys.entry(&row.key).or_insert(Key { sessions: Vec::new(), barrier: i64::MIN });
        let is_over = |session: &Session| {
            i128::from(session.last) + i128::from(gap) + i128::from(lateness) <= i128::from(row.watermark)
        };
        let (over, open) = std::mem::take(&mut key.sessions).into_iter().partition(is_over);
        key.sessions = open;
        for session in over {
            key.barrier = key.barrier.max(session.last + gap);
            all.push(session);
        }
        if row.time < key.barrier {
            continue;
        }
        let touches = |session: &Session| row.time < session.last + gap && row.time + gap > session.first;
        let mut merged = Session { first: row.time, last: row.time, events: vec![row.event] };
        let is_new = key.sessions.is_empty();
        let (touched, others): (Vec<_>, Vec<_>) = std::mem::take(&mut key.sessions).into_iter().partition(touches);
        key.sessions = others;
        for session in touched {
            merged.first = merged.first.min(session.first);
            merged.last = merged.last.max(session.last);
            merged.events.extend(session.events);
        }
        if is_over(&merged) {
            continue;
        }
        if is_new {
            key.barrier = key.barrier.max(row.watermark.saturating_sub(gap).saturating_sub(lateness));
        }
        key.sessions.push(merged);
    }
    all.extend(keys.into_values().flat_map(|key| key.sessions));
    all.iter()
        .flat_map(|session| session.events.iter().map(|event| (*event, session.first, session.last + gap)))
        .collect()
}
