//! What becomes of rows that can't be used: the first of them is an error, or they are left out, counted and named.

use super::error::ReferenceError;

/// Rows that are named at most; all are counted.
const MOST_NAMED: usize = 100;

/// The rows of one content that can't be used.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct BadRows {
    are_left_out: bool,
    count: u64,
    named: Vec<String>,
}

impl BadRows {
    /// One is enough to refuse the content: a file that somebody checks or starts with.
    pub(super) fn refused() -> Self {
        Self::default()
    }

    /// They are left out, and the others count: content that changes while the pipeline runs, and buckets, where nobody but a
    /// row's own writer can mend it.
    pub(super) fn left_out() -> Self {
        Self { are_left_out: true, ..Self::default() }
    }

    /// Takes note of one.
    ///
    /// # Errors
    /// The error itself, where one is enough to refuse the content.
    pub(super) fn add(&mut self, error: impl FnOnce() -> ReferenceError) -> Result<(), ReferenceError> {
        if !self.are_left_out {
            return Err(error());
        }
        self.count += 1;
        if self.named.len() < MOST_NAMED {
            self.named.push(error().to_string());
        }
        Ok(())
    }

    /// How many are left out.
    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    /// Where the first of them stand, and what is wrong with each.
    pub(crate) fn named(&self) -> &[String] {
        &self.named
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_are_counted_and_a_hundred_named() {
        let error = || ReferenceError::Content { origin: "items".to_owned(), reason: "odd".to_owned() };
        assert!(BadRows::refused().add(error).is_err());
        let mut bad = BadRows::left_out();
        assert!((0..150).all(|_| bad.add(error).is_ok()));
        assert_eq!((bad.count(), bad.named().len(), bad.named()[0].as_str()), (150, 100, "items: odd"));
    }
}
