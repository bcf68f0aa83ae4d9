//! What became of events.

use serde::{Deserialize, Serialize};

/// What became of events: of those of one step, or of all so far. Their sum is the number of events that came.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Events in the features.
    pub counted: u64,
    /// Events too old for every window.
    pub late: u64,
    /// Events that broke their contract.
    pub rejected: u64,
    /// Events whose id was seen before.
    pub duplicate: u64,
}

impl Counts {
    /// Adds what became of others.
    pub fn add(&mut self, others: &Self) {
        self.counted += others.counted;
        self.late += others.late;
        self.rejected += others.rejected;
        self.duplicate += others.duplicate;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Markers and snapshots hold them in this form.
    #[test]
    fn counts_are_stored_by_their_names() {
        let mut counts = Counts { counted: 1, late: 2, rejected: 3, duplicate: 4 };
        counts.add(&Counts { counted: 10, late: 20, rejected: 30, duplicate: 40 });
        let stored = serde_json::to_string(&counts).unwrap();
        assert_eq!(stored, r#"{"counted":11,"late":22,"rejected":33,"duplicate":44}"#);
        assert_eq!(serde_json::from_str::<Counts>(&stored).unwrap(), counts);
    }
}
