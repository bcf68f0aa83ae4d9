//! Escaped surrogate pairs as the characters that they stand for.
//!
//! JSON may write a character beyond U+FFFF as two escapes: `"\ud842\udfb7"` is U+20BB7, a character of Japanese names, and what
//! Python's `json.dumps` writes. arrow-json 59.3.2 joins the halves of such a pair with OR where they must be added
//! (`reader/tape.rs`, `char_from_surrogate_pair`): in planes 2, 4, 6 and so on the carry is lost, and U+20BB7 is read as U+10BB7.
//! So its readers are given the character itself. This crate's own decoder of events does not need it.

use std::borrow::Cow;

/// The text of a JSON document with every escaped pair as UTF-8; all else stays byte for byte, halves without a partner too.
pub(crate) fn without_surrogate_pairs(json: &[u8]) -> Cow<'_, [u8]> {
    let mut out: Vec<u8> = Vec::new();
    let (mut copied, mut at) = (0, 0);
    while let Some(next) = json.get(at..).and_then(|rest| rest.iter().position(|byte| *byte == b'\\')) {
        at += next;
        match pair(&json[at..]) {
            Some(character) => {
                out.extend_from_slice(&json[copied..at]);
                out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                at += PAIR;
                copied = at;
            }
            // A backslash and what it escapes, which may be another one.
            None => at += 2,
        }
    }
    if copied == 0 {
        return Cow::Borrowed(json);
    }
    out.extend_from_slice(&json[copied..]);
    Cow::Owned(out)
}

/// Bytes of two escapes.
const PAIR: usize = 12;

/// The character that the text begins with, if it begins with an escaped pair.
fn pair(text: &[u8]) -> Option<char> {
    let half = |text: &[u8]| {
        let digits = text.strip_prefix(b"\\u")?;
        let digits =
            std::str::from_utf8(digits).ok().filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()))?;
        u16::from_str_radix(digits, 16).ok()
    };
    let (high, low) = text.get(..PAIR)?.split_at(PAIR / 2);
    char::decode_utf16([half(high)?, half(low)?]).next()?.ok().filter(|character| *character > '\u{ffff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolved(json: &str) -> String {
        String::from_utf8(without_surrogate_pairs(json.as_bytes()).into_owned()).unwrap()
    }

    #[test]
    fn an_escaped_pair_becomes_its_character_in_every_plane() {
        assert_eq!(resolved(r#"{"name":"\ud842\udfb7\u91ce"}"#), r#"{"name":"𠮷\u91ce"}"#);
        assert_eq!(resolved(r#"["\uD842\uDFB7","a\ud8ed\ude00b"]"#), "[\"\u{20bb7}\",\"a\u{4b600}b\"]");
        for plane in 1..=16_u32 {
            let character = char::from_u32(plane << 16 | 0x0bb7).unwrap();
            let mut halves = [0; 2];
            character.encode_utf16(&mut halves);
            let escaped = format!("\\u{:04x}\\u{:04x}", halves[0], halves[1]);
            assert_eq!(resolved(&escaped), character.to_string());
        }
    }

    #[test]
    fn everything_else_stays_as_it_is() {
        for json in [
            "",
            "{}",
            r#""\u00e9\n\\""#,
            r#""\\ud842\\udfb7""#,
            r#""\\\\ud842\udfb7""#,
            r#""\ud842""#,
            r#""\udfb7\ud842""#,
            r#""\ud842\u0041""#,
            r#""\ud842\udf""#,
            r#""\u+842\udfb7""#,
            "\\",
            r#""𠮷""#,
        ] {
            assert!(matches!(without_surrogate_pairs(json.as_bytes()), Cow::Borrowed(_)), "{json}");
        }
    }
}
