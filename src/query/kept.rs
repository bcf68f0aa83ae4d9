//! Answers whose parts have not all been fetched.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::QueryError;
use super::collect::Cut;

/// How long a part is kept for whoever fetches the parts before it.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

/// Answers in parts. They are kept until they are fetched, or nobody has asked for their next part for [`PATIENCE`].
pub(super) struct Kept {
    answers: Vec<KeptAnswer>,
    /// Bytes of all parts together.
    limit: usize,
}

struct KeptAnswer {
    cut: Cut,
    /// The number of the first of those left.
    next: usize,
    parts: VecDeque<Bytes>,
    until: Instant,
}

impl Kept {
    pub(super) fn new(limit: usize) -> Self {
        Self { answers: Vec::new(), limit }
    }

    /// Keeps all but the first part, which is given.
    ///
    /// # Errors
    /// When too much is kept already.
    pub(super) fn keep(&mut self, cut: Cut, parts: Vec<Bytes>, now: Instant) -> Result<Bytes, QueryError> {
        self.drop_late(now);
        let mut parts = VecDeque::from(parts);
        let first = parts.pop_front().unwrap_or_default();
        if parts.is_empty() {
            return Ok(first);
        }
        let bytes = |parts: &VecDeque<Bytes>| parts.iter().map(Bytes::len).sum::<usize>();
        let kept: usize = self.answers.iter().map(|answer| bytes(&answer.parts)).sum();
        if kept + bytes(&parts) > self.limit {
            return Err(QueryError::TooMuchKept { limit: self.limit });
        }
        self.answers.push(KeptAnswer { cut, next: 1, parts, until: now + PATIENCE });
        Ok(first)
    }

    /// The part that is asked for, which is kept no longer.
    ///
    /// # Errors
    /// When it is not the next of an answer that is kept.
    pub(super) fn take(&mut self, more: &str, now: Instant) -> Result<Bytes, QueryError> {
        self.drop_late(now);
        let place = self.answers.iter().position(|answer| answer.cut.more(answer.next) == more);
        let found = place.and_then(|place| Some((place, self.answers.get_mut(place)?)));
        let gone = QueryError::Gone { within: PATIENCE };
        let Some((place, answer)) = found else { return Err(gone) };
        let part = answer.parts.pop_front().ok_or(gone)?;
        answer.next += 1;
        answer.until = now + PATIENCE;
        if answer.parts.is_empty() {
            self.answers.swap_remove(place);
        }
        Ok(part)
    }

    /// Drops what nobody has asked for in time.
    pub(super) fn drop_late(&mut self, now: Instant) {
        self.answers.retain(|answer| answer.until > now);
    }

    /// When something will have to be dropped.
    pub(super) fn late_at(&self) -> Option<Instant> {
        self.answers.iter().map(|answer| answer.until).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(names: &[&'static str]) -> Vec<Bytes> {
        names.iter().map(|name| Bytes::from_static(name.as_bytes())).collect()
    }

    fn cut(id: u64) -> Cut {
        Cut { id, most_bytes: 1 }
    }

    #[test]
    fn parts_come_in_their_order_and_each_once() {
        let now = Instant::now();
        let mut kept = Kept::new(100);
        assert_eq!(kept.keep(cut(1), parts(&["a", "b", "c"]), now).unwrap(), "a");
        assert_eq!(kept.keep(cut(2), parts(&["x", "y"]), now).unwrap(), "x");
        for wrong in ["1.0", "1.2", "3.1", "1", "", "1.1 "] {
            assert!(matches!(kept.take(wrong, now), Err(QueryError::Gone { .. })), "{wrong}");
        }
        assert_eq!(kept.take("1.1", now).unwrap(), "b");
        assert_eq!(kept.take("2.1", now).unwrap(), "y");
        assert!(kept.take("1.1", now).is_err() && kept.take("2.1", now).is_err() && kept.take("2.2", now).is_err());
        assert_eq!(kept.take("1.2", now).unwrap(), "c");
        assert_eq!(kept.late_at(), None, "all has been fetched");
    }

    #[test]
    fn an_answer_of_one_part_is_not_kept() {
        let mut kept = Kept::new(0);
        assert_eq!(kept.keep(cut(1), parts(&["a"]), Instant::now()).unwrap(), "a");
        assert_eq!(kept.late_at(), None);
    }

    #[test]
    fn what_nobody_asks_for_is_dropped_and_what_is_asked_for_is_kept_longer() {
        let start = Instant::now();
        let mut kept = Kept::new(4);
        kept.keep(cut(1), parts(&["a", "b", "c"]), start).unwrap();
        kept.keep(cut(2), parts(&["a", "b", "c"]), start).unwrap();
        let refused = kept.keep(cut(3), parts(&["a", "b"]), start);
        assert!(matches!(refused, Err(QueryError::TooMuchKept { limit: 4 })), "{refused:?}");
        let later = start + PATIENCE / 2;
        kept.take("1.1", later).unwrap();
        assert_eq!(kept.late_at(), Some(start + PATIENCE));
        let late = start + PATIENCE;
        assert!(kept.take("2.1", late).is_err());
        assert_eq!(kept.keep(cut(3), parts(&["x", "y", "z", "w"]), late).unwrap(), "x", "there is room again");
        assert_eq!(kept.take("1.2", late).unwrap(), "c");
    }
}
