//! Objects written member by member, where some members stand in objects of their own.
//!
//! ```text
//!   user            ann                 {"user":"ann","size":{"eu":42,"us":9},"price":9.5}
//!   size ▸ eu       42         ─▶
//!   size ▸ us       9                   members of one object are written next to each other: `order` sees to that
//!   price           9.5
//! ```

use std::collections::HashMap;

/// Writes the members of one object after another; the object begins with the `{` that its text ends with.
#[derive(Debug, Default)]
pub(crate) struct MemberText<'p> {
    /// The names of the objects that are open in the one that is written.
    open: Vec<&'p str>,
}

impl<'p> MemberText<'p> {
    /// Writes all of a member but its value: `key` is its name as JSON with a colon, `above` the names of the objects that it
    /// stands in.
    pub(crate) fn key(&mut self, above: &'p [String], key: &[u8], out: &mut Vec<u8>) {
        let shared = self.open.iter().zip(above).take_while(|(open, name)| *open == name).count();
        self.close(shared, out);
        for name in above.iter().skip(shared) {
            comma(out);
            out.extend_from_slice(&quoted(name));
            out.push(b'{');
            self.open.push(name);
        }
        comma(out);
        out.extend_from_slice(key);
    }

    /// Ends the object.
    pub(crate) fn end(mut self, out: &mut Vec<u8>) {
        self.close(0, out);
        out.push(b'}');
    }

    fn close(&mut self, open: usize, out: &mut Vec<u8>) {
        out.resize(out.len() + self.open.len().saturating_sub(open), b'}');
        self.open.truncate(open);
    }
}

fn comma(out: &mut Vec<u8>) {
    if out.last() != Some(&b'{') {
        out.push(b',');
    }
}

/// A name as the key of a JSON object, with its colon.
pub(crate) fn quoted(name: &str) -> Vec<u8> {
    format!("{}:", serde_json::Value::from(name)).into_bytes()
}

/// In which order members are written so that those of one object are next to each other, by the paths that lead to them.
pub(crate) fn order<'p>(paths: impl IntoIterator<Item = &'p [String]>) -> Vec<usize> {
    let mut first: HashMap<&[String], usize> = HashMap::new();
    let mut places: Vec<(Vec<usize>, usize)> = Vec::new();
    for (at, path) in paths.into_iter().enumerate() {
        let above = (1..path.len()).map(|end| *first.entry(&path[..end]).or_insert(at));
        places.push((above.chain([at]).collect(), at));
    }
    places.sort_unstable();
    places.into_iter().map(|(_, at)| at).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(paths: &[&str]) -> String {
        let paths: Vec<Vec<String>> =
            paths.iter().map(|path| path.split('.').map(str::to_owned).collect::<Vec<_>>()).collect();
        let (mut members, mut out) = (MemberText::default(), b"{".to_vec());
        for at in order(paths.iter().map(Vec::as_slice)) {
            let (name, above) = paths[at].split_last().expect("a name");
            members.key(above, &quoted(name), &mut out);
            out.extend_from_slice(at.to_string().as_bytes());
        }
        members.end(&mut out);
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn members_of_one_object_are_written_once_and_in_the_order_of_the_first() {
        assert_eq!(text(&[]), "{}");
        assert_eq!(text(&["a", "b"]), r#"{"a":0,"b":1}"#);
        assert_eq!(
            text(&["x", "a.b.c", "y", "a.d", "a.b.\"e", "z.a"]),
            r#"{"x":0,"a":{"b":{"c":1,"\"e":4},"d":3},"y":2,"z":{"a":5}}"#
        );
    }
}
