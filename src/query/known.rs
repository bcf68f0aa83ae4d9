//! The names that there are, for whoever wrote another one.

use std::fmt;

use crate::config::nearest;

/// How many names a message lists.
const MOST: usize = 40;

/// Names that there are, the nearest to an unknown one first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    nearest: Option<String>,
    others: Vec<String>,
}

impl Known {
    /// Of names, each with the way it is written, in the order in which they are listed.
    pub(super) fn of(unknown: &str, names: impl IntoIterator<Item = (String, String)>) -> Self {
        let mut names: Vec<(String, String)> = names.into_iter().collect();
        let nearest = nearest(unknown, names.iter().map(|(name, _)| name.as_str())).map(str::to_owned);
        let nearest = nearest.and_then(|nearest| names.iter().position(|(name, _)| *name == nearest));
        let nearest = nearest.map(|place| names.remove(place)).map(|(name, shown)| written(&name, shown));
        Self { nearest, others: names.into_iter().map(|(name, shown)| written(&name, shown)).collect() }
    }
}

/// SQL takes a name that is not quoted in lower case.
fn written(name: &str, shown: String) -> String {
    let is_plain = name.chars().all(|letter| letter == '_' || letter.is_ascii_digit() || letter.is_ascii_lowercase());
    if is_plain || shown.ends_with('"') {
        return shown;
    }
    let table = shown.strip_suffix(name).unwrap_or_default();
    format!("{table}\"{}\"", name.replace('"', "\"\""))
}

impl fmt::Display for Known {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(nearest) = &self.nearest {
            write!(f, "did you mean `{nearest}`?")?;
        }
        match (&self.nearest, self.others.as_slice()) {
            (Some(_), []) => return Ok(()),
            (None, []) => return f.write_str("there are none"),
            (Some(_), _) => f.write_str(" There are also ")?,
            (None, _) => f.write_str("there are ")?,
        }
        let listed: Vec<String> = self.others.iter().take(MOST).map(|name| format!("`{name}`")).collect();
        f.write_str(&listed.join(", "))?;
        match self.others.len().saturating_sub(MOST) {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(unknown: &str, names: &[&str]) -> String {
        Known::of(unknown, names.iter().map(|name| ((*name).to_owned(), (*name).to_owned()))).to_string()
    }

    #[test]
    fn the_nearest_name_comes_first_and_the_others_follow() {
        assert_eq!(known("readr", &["item", "reader", "shop"]), "did you mean `reader`? There are also `item`, `shop`");
        assert_eq!(known("readr", &["reader"]), "did you mean `reader`?");
        assert_eq!(known("x", &["item", "reader"]), "there are `item`, `reader`");
        assert_eq!(known("x", &[]), "there are none");
    }

    #[test]
    fn a_name_that_needs_quotes_has_them() {
        assert_eq!(known("userid", &["userId", "n"]), "did you mean `\"userId\"`? There are also `n`");
        let of_a_table = Known::of("userid", [("userId".to_owned(), "u.userId".to_owned())]);
        assert_eq!(of_a_table.to_string(), "did you mean `u.\"userId\"`?");
    }

    #[test]
    fn a_long_list_is_cut_and_says_so() {
        let names: Vec<String> = (0..50).map(|name| format!("column_{name}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let text = known("else", &names);
        assert!(text.ends_with("`column_39` and 10 more"), "{text}");
    }
}
