//! Several files in one input: `=== NAME` on a line of its own begins each.

/// Joins named parts.
pub fn pack(parts: &[(&str, &str)]) -> Vec<u8> {
    parts.iter().map(|(name, text)| format!("=== {name}\n{}\n", text.trim_end())).collect::<String>().into_bytes()
}

/// The parts of an input by name.
pub fn unpack(input: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut parts: Vec<(String, Vec<u8>)> = Vec::new();
    for line in input.split_inclusive(|byte| *byte == b'\n') {
        match (line.strip_prefix(b"=== "), parts.last_mut()) {
            (Some(name), _) => parts.push((String::from_utf8_lossy(name).trim().to_owned(), Vec::new())),
            (None, Some((_, bytes))) => bytes.extend_from_slice(line),
            (None, None) => {}
        }
    }
    parts
}

/// The parts of an input between bytes that no text has.
pub fn messages(input: &[u8]) -> Vec<bytes::Bytes> {
    input.split(|byte| *byte == 0x1e).map(bytes::Bytes::copy_from_slice).collect()
}
