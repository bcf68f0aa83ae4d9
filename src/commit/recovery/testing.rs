//! Inputs, marks and markers for tests of decisions.

use crate::bus::{FedBy, StreamSequence, StreamState};
use crate::commit::marker::Marker;
use crate::commit::progress::InputMark;
use crate::commit::{Input, Progress};

/// When every stream was created.
pub(super) const CREATED: i64 = 7;

/// A stream that is what was read, or another one.
pub(super) fn input(is_other: bool) -> Input {
    let state = StreamState {
        first: StreamSequence::FIRST,
        last: StreamSequence(0),
        messages: 0,
        deleted: 0,
        created_micros: CREATED,
        replicas: 1,
        discard_new: true,
        max_bytes: None,
        replaces: false,
        fed_by: FedBy::Publishers,
        consumers_kept_for: None,
    };
    Input { name: "SHOP_STREAM".to_owned(), source: None, filters: Vec::new(), state, is_other }
}

pub(super) fn mark(stream: &str, sequence: u64) -> InputMark {
    InputMark { sequence, ..InputMark::start(stream, CREATED) }
}

/// Clicks and orders, each read up to a sequence.
pub(super) fn progress(clicks: u64, orders: u64) -> Progress {
    Progress { inputs: vec![mark("clicks", clicks), mark("orders", orders)], ..Progress::default() }
}

pub(super) fn marker(epoch: u64, progress: Progress) -> Marker {
    Marker { epoch, ..Marker::first("a".to_owned(), progress) }
}
