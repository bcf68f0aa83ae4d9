//! What a vector means, piece by piece: its own columns and joins, and of each table that it joins the columns that it reads.
//!
//! ```text
//!   vector.sql                    features/trend.sql
//!   ┌ column views ┐ ┌ joins ┐    ┌ column views_1h ┐ ┌ rows: FROM, WHERE, GROUP BY ┐ ┌ settings ┐   column that nobody reads
//!   └───────┬──────┘ └───┬───┘    └────────┬────────┘ └──────────────┬──────────────┘ └────┬─────┘
//!           └────────────┴─────────────────┴─────────────────────────┴─────────────────────┴──▶ Fingerprint
//! ```
//!
//! A model is tied to these pieces: it keeps a digest of each, so that it can be told which of them has changed.

use std::collections::{BTreeMap, BTreeSet};

use super::Fingerprint;
use crate::sql::{PlanError, SelectForm};

/// The vector's own file.
const VECTOR: &str = "vector.sql";
/// Digits of a piece's digest.
const DIGITS: usize = 8;

/// The texts that a table is made of.
#[derive(Debug, Clone)]
pub(crate) struct TableText {
    /// Its file, for people.
    pub(crate) file: String,
    /// Its select.
    pub(crate) sql: String,
    /// What else counts, from its settings.
    pub(crate) settings: String,
    /// The select as earlier versions wrote it into fingerprints.
    pub(crate) earlier: String,
}

/// A table that a vector joins, and what it reads of it.
pub(super) struct Joined<'a> {
    pub(super) text: &'a TableText,
    /// Columns by name, keys among them.
    pub(super) read: BTreeSet<String>,
}

/// The pieces, each with its name for people and its normal form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Meaning {
    pieces: Vec<(String, String)>,
}

impl Meaning {
    /// The meaning of a vector with this select and these joined tables, in their order.
    pub(super) fn of(sql: &str, joined: &[Joined<'_>]) -> Result<Self, PlanError> {
        let form = SelectForm::of(sql)?;
        let mut pieces: Vec<(String, String)> = Vec::new();
        for (place, item) in form.items.iter().enumerate() {
            let name = item.name.clone().unwrap_or_else(|| (place + 1).to_string());
            pieces.push((format!("column {name} of {VECTOR}"), item.form.clone()));
        }
        let what = if form.items.is_empty() { VECTOR.to_owned() } else { format!("the joins of {VECTOR}") };
        pieces.push((what, form.rest));
        for table in joined {
            pieces.extend(table.pieces()?);
        }
        Ok(Self { pieces })
    }

    /// What ties a model to it.
    pub(super) fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(self.pieces.iter().flat_map(|(name, form)| [name.as_str(), form.as_str()]))
    }

    /// A digest of each piece, as a model's file keeps it: lines of a digest and a name.
    pub(crate) fn digests(&self) -> String {
        let lines = self.pieces.iter().map(|(name, form)| format!("{} {name}", digest(form)));
        lines.collect::<Vec<_>>().join("\n")
    }

    /// The names of the pieces that differ from those with these digests: changed, new, or gone. None where the digests are
    /// none.
    pub(crate) fn changes(&self, digests: &str) -> Vec<String> {
        let mut before: BTreeMap<&str, &str> = BTreeMap::new();
        for (digest, name) in digests.lines().filter_map(|line| line.split_once(' ')) {
            before.insert(name, digest);
        }
        if before.is_empty() {
            return Vec::new();
        }
        let mut changed = Vec::new();
        for (name, form) in &self.pieces {
            match before.remove(name.as_str()) {
                Some(known) if known == digest(form) => {}
                Some(_) => changed.push(name.clone()),
                None => changed.push(format!("{name} (new)")),
            }
        }
        changed.extend(before.into_keys().map(|name| format!("{name} (gone)")));
        changed
    }

    /// The files that it is made of.
    pub(crate) fn files(&self) -> Vec<&str> {
        let mut files: Vec<&str> = Vec::new();
        for (name, _) in &self.pieces {
            let file = name.rsplit(' ').next().unwrap_or(name);
            if !files.contains(&file) {
                files.push(file);
            }
        }
        files
    }
}

impl Joined<'_> {
    fn pieces(&self) -> Result<Vec<(String, String)>, PlanError> {
        let TableText { file, sql, settings, .. } = self.text;
        let form = SelectForm::of(sql)?;
        let named = |name: &str| form.items.iter().find(|item| item.name.as_deref() == Some(name));
        // A column whose name the text does not give may be any of them.
        let is_apart = self.read.iter().all(|name| named(name).is_some());
        let mut pieces = Vec::new();
        if is_apart {
            let is_used = |name: &str| self.read.contains(name) || form.rest_names(name);
            let used = form.items.iter().filter_map(|item| item.name.as_deref().filter(|name| is_used(name)));
            for name in used.collect::<BTreeSet<&str>>() {
                let text = named(name).map(|item| item.form.clone()).unwrap_or_default();
                pieces.push((format!("column {name} of {file}"), text));
            }
            pieces.push((format!("the rows of {file}"), form.rest));
        } else {
            let items = form.items.iter().map(|item| format!("{} as {:?}", item.form, item.name));
            let all = items.chain([form.rest.clone()]).collect::<Vec<_>>().join(" , ");
            pieces.push((format!("the select of {file}"), all));
        }
        pieces.push((format!("settings of the table of {file}"), settings.clone()));
        Ok(pieces)
    }
}

fn digest(form: &str) -> String {
    let digest = Fingerprint::of([form]);
    digest.as_str().get(..DIGITS).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const VECTOR_SQL: &str =
        "SELECT coalesce(t.views_1h, 0) AS views FROM requests r LEFT JOIN trend t ON r.item_id = t.item_id";
    const TREND: &str = "SELECT item_id, count(*) FILTER (WHERE within(ts, '1 hour')) AS views_1h, sum(price) AS spend \
        FROM clicks GROUP BY item_id";

    fn meaning(vector: &str, table: &str) -> Meaning {
        let text = TableText {
            file: "features/trend.sql".to_owned(),
            sql: table.to_owned(),
            settings: "by \"ts\"".to_owned(),
            earlier: String::new(),
        };
        let read = ["item_id", "views_1h"].map(str::to_owned).into();
        Meaning::of(vector, &[Joined { text: &text, read }]).unwrap()
    }

    /// Any change of SQL made every model unusable.
    #[test]
    fn a_column_that_no_vector_reads_is_free_and_so_is_the_way_in_which_a_duration_is_written() {
        let before = meaning(VECTOR_SQL, TREND);
        for (from, to) in [
            ("'1 hour'", "'60 minutes'"),
            ("'1 hour'", "'60m'"),
            ("sum(price) AS spend", "max(price) AS dearest"),
            (", sum(price) AS spend", ""),
            ("sum(price) AS spend", "sum(price) AS spend, avg(price) AS mean"),
            ("item_id, count", "item_id,\n  -- how many\n  COUNT"),
        ] {
            let after = TREND.replace(from, to);
            assert!(after != TREND);
            assert_eq!(meaning(VECTOR_SQL, &after), before, "{to}");
        }
        assert!(before.changes(&before.digests()).is_empty());
    }

    #[test]
    fn what_has_changed_is_named_with_its_file() {
        let before = meaning(VECTOR_SQL, TREND).digests();
        let changes = |vector: &str, table: &str| meaning(vector, table).changes(&before).join("; ");
        assert_eq!(changes(VECTOR_SQL, &TREND.replace("1 hour", "2 hours")), "column views_1h of features/trend.sql");
        assert_eq!(
            changes(VECTOR_SQL, &TREND.replace("GROUP", "WHERE price > 0 GROUP")),
            "the rows of features/trend.sql"
        );
        assert_eq!(changes(&VECTOR_SQL.replace(", 0)", ", 1)"), TREND), "column views of vector.sql");
        assert_eq!(
            changes(&VECTOR_SQL.replace("AS views", "AS seen, 1 AS one"), TREND),
            "column seen of vector.sql (new); column one of vector.sql (new); column views of vector.sql (gone)"
        );
        assert!(meaning(VECTOR_SQL, TREND).changes("").is_empty(), "nothing is known of a file that says nothing");
        assert_eq!(meaning(VECTOR_SQL, TREND).files(), ["vector.sql", "features/trend.sql"]);
    }

    #[test]
    fn a_table_whose_columns_have_no_names_is_one_piece() {
        let unnamed = "SELECT item_id, count(*) FROM clicks GROUP BY item_id";
        let other = "SELECT item_id, count(*), sum(price) AS spend FROM clicks GROUP BY item_id";
        assert_ne!(meaning(VECTOR_SQL, unnamed), meaning(VECTOR_SQL, other));
    }
}
