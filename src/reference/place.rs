//! Where a row came from, for whoever has to mend it.

/// Per row of a table the place in its source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Places {
    /// The source has rows and no lines.
    Rows,
    /// Line numbers, from 1.
    Lines(Vec<u32>),
    /// The keys of a bucket.
    Keys(Vec<String>),
}

impl Places {
    /// The place of a row, to be read after a comma: `line 3`, `row 3` or `key "a"`.
    pub(super) fn of(&self, row: usize) -> String {
        let found = match self {
            Self::Rows => None,
            Self::Lines(lines) => lines.get(row).map(|line| format!("line {line}")),
            Self::Keys(keys) => keys.get(row).map(|key| format!("key {key:?}")),
        };
        found.unwrap_or_else(|| format!("row {}", row + 1))
    }

    /// Whether a row can be half of one: a line of a file that is being written, unlike a value of a bucket.
    pub(super) fn may_be_cut(&self) -> bool {
        !matches!(self, Self::Keys(_))
    }

    /// The places of the rows that are left when some are taken out, which are given in order.
    pub(super) fn without(self, rows: &[usize]) -> Self {
        match self {
            Self::Rows => Self::Rows,
            Self::Lines(lines) => Self::Lines(without(lines, rows)),
            Self::Keys(keys) => Self::Keys(without(keys, rows)),
        }
    }
}

/// The items that are left when some are taken out, whose positions are given in order.
fn without<T>(items: impl IntoIterator<Item = T>, positions: &[usize]) -> Vec<T> {
    let mut gone = positions.iter().peekable();
    let left = items.into_iter().enumerate().filter(|(at, _)| gone.next_if_eq(&at).is_none());
    left.map(|(_, item)| item).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_stay_with_their_rows() {
        assert_eq!(Places::Lines(vec![2, 3, 5, 9]).without(&[0, 2]), Places::Lines(vec![3, 9]));
        assert_eq!(Places::Rows.without(&[0]), Places::Rows);
    }

    #[test]
    fn rows_are_named_as_their_source_names_them() {
        assert_eq!(Places::Rows.of(0), "row 1");
        assert_eq!(Places::Lines(vec![2, 5]).of(1), "line 5");
        assert_eq!(Places::Keys(vec!["a.b".to_owned()]).of(0), "key \"a.b\"");
    }
}
