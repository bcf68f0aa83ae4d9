//! The names of packs and manifests, and where a chunk lies in a pack.

use std::fmt;

/// The folder of manifests.
pub(super) const MANIFESTS: &str = "manifests";
/// The folder of packs.
pub(super) const PACKS: &str = "packs";
/// How many digits a snapshot's number has in names, so that names sort as numbers do.
const DIGITS: usize = 20;

/// One pack: which snapshot it was written for, by which try, and which one of that.
///
/// The try is a random number: a snapshot that is begun again never meets the packs of the first try.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct PackId {
    pub(super) number: u64,
    pub(super) draft: u64,
    pub(super) index: u32,
}

impl fmt::Display for PackId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{PACKS}/{:020}-{:016x}-{}", self.number, self.draft, self.index)
    }
}

/// Where a chunk's bytes are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) pack: PackId,
    pub(super) offset: u32,
    pub(super) length: u32,
}

/// The name of a snapshot's manifest.
pub(super) fn manifest_name(number: u64) -> String {
    format!("{MANIFESTS}/{number:020}")
}

/// The number of the manifest with this file name; none for anything else.
pub(super) fn manifest_number(file: &str) -> Option<u64> {
    (file.len() == DIGITS).then(|| leading_number(file)).flatten()
}

/// The number of the snapshot that a file was written for: packs, manifests, and unfinished ones of both.
pub(super) fn leading_number(file: &str) -> Option<u64> {
    let (digits, rest) = file.split_at_checked(DIGITS)?;
    let ours = rest.is_empty() || rest.starts_with('-') || rest.starts_with('.');
    (ours && digits.bytes().all(|byte| byte.is_ascii_digit())).then(|| digits.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_carry_the_number_of_their_snapshot() {
        let pack = PackId { number: 12, draft: 0xab, index: 3 }.to_string();
        assert_eq!(pack, "packs/00000000000000000012-00000000000000ab-3");
        assert_eq!(leading_number("00000000000000000012-00000000000000ab-3"), Some(12));
        assert_eq!(leading_number("00000000000000000012.77.unfinished"), Some(12));
        assert_eq!(manifest_name(7), "manifests/00000000000000000007");
        assert_eq!(manifest_number("00000000000000000007"), Some(7));
        assert_eq!(manifest_number(&format!("{:020}", u64::MAX)), Some(u64::MAX));
    }

    #[test]
    fn other_names_are_nobodys() {
        for file in [
            "",
            "notes.txt",
            "0000000000000000000",
            "00000000000000000012x",
            "99999999999999999999",
            "+0000000000000000012",
        ] {
            assert_eq!(leading_number(file), None, "{file}");
        }
        assert_eq!(manifest_number("00000000000000000012.77.unfinished"), None);
    }
}
