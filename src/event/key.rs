//! The name of a field as most producers write it, recognised without looking at each byte.

/// `"name":`, compared by words: the first eight bytes, the last eight, and only for a long name those between.
#[derive(Debug, Clone)]
pub(super) struct Key {
    bytes: Vec<u8>,
    head: u64,
    /// Which bytes of the head belong to the key.
    mask: u64,
    tail: u64,
}

impl Key {
    /// The key of a field; none when its name would need escapes.
    pub(super) fn new(name: &str) -> Option<Self> {
        let is_plain = name.bytes().all(|byte| byte >= 0x20 && byte != b'"' && byte != b'\\');
        is_plain.then(|| {
            let bytes = format!("\"{name}\":").into_bytes();
            let mut head = [0; 8];
            head.iter_mut().zip(&bytes).for_each(|(to, from)| *to = *from);
            Self {
                mask: if bytes.len() < 8 { (1 << (8 * bytes.len())) - 1 } else { u64::MAX },
                head: u64::from_le_bytes(head),
                tail: bytes.last_chunk().map_or(0, |tail| u64::from_le_bytes(*tail)),
                bytes,
            }
        })
    }

    /// How many bytes the key takes at the start of `text`; none when something else stands there.
    #[inline]
    pub(super) fn begins(&self, text: &[u8]) -> Option<usize> {
        let length = self.bytes.len();
        let Some(head) = text.first_chunk() else {
            return text.starts_with(&self.bytes).then_some(length);
        };
        let mut found = u64::from_le_bytes(*head) & self.mask == self.head;
        if length > 8 {
            let tail = text.get(..length).and_then(<[u8]>::last_chunk);
            found &= tail.is_some_and(|tail| u64::from_le_bytes(*tail) == self.tail);
        }
        if length > 16 {
            found &= text.starts_with(&self.bytes);
        }
        found.then_some(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_found_where_it_stands_whole_and_nowhere_else() {
        for length in 0..40 {
            let name: String = ('a'..='z').cycle().take(length).collect();
            let key = Key::new(&name).expect("a plain name");
            let text = format!("\"{name}\":1234567890");
            let size = length + 3;
            for end in 0..text.len() {
                let expected = (end >= size).then_some(size);
                assert_eq!(key.begins(&text.as_bytes()[..end]), expected, "{length}, {end}");
            }
            for at in 0..size {
                let mut other = text.clone().into_bytes();
                other[at] ^= 1;
                assert_eq!(key.begins(&other), None, "{length}, {at}");
            }
        }
    }

    #[test]
    fn a_name_that_needs_escapes_has_no_usual_key() {
        assert!(Key::new("a\"b").is_none() && Key::new("a\\").is_none() && Key::new("\n").is_none());
        assert!(Key::new("größe").is_some());
    }
}
