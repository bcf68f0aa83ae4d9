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
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_named_as_their_source_names_them() {
        assert_eq!(Places::Rows.of(0), "row 1");
        assert_eq!(Places::Lines(vec![2, 5]).of(1), "line 5");
        assert_eq!(Places::Keys(vec!["a.b".to_owned()]).of(0), "key \"a.b\"");
    }
}
