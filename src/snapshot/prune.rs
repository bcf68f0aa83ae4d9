//! What is removed: generations past the second newest, and packs that neither of the two needs.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use super::manifest::Manifest;
use super::memory::GENERATIONS;
use super::pack::{MANIFESTS, PACKS, leading_number, manifest_name};

/// What a prune removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Manifests, also damaged and unfinished ones.
    pub manifests: usize,
    /// Packs, also unfinished ones.
    pub packs: usize,
}

/// What is there.
pub(super) struct Facts<'a> {
    /// File names in the folder of manifests.
    pub(super) manifests: &'a [String],
    /// File names in the folder of packs.
    pub(super) packs: &'a [String],
    /// The manifests that can be read and may be counted on.
    pub(super) good: &'a [Arc<Manifest>],
}

/// The names to remove, in this order: manifests first, so that no manifest ever lacks a pack because of us.
///
/// Only what belongs to a snapshot up to the newest good one goes: later files belong to a draft, or to a manifest that
/// another version of this program may be able to read. Names that are not ours stay.
pub(super) fn decide(facts: &Facts<'_>) -> Vec<String> {
    let mut newest_first: Vec<&Arc<Manifest>> = facts.good.iter().collect();
    newest_first.sort_by_key(|manifest| std::cmp::Reverse(manifest.number));
    newest_first.truncate(GENERATIONS);
    let Some(newest) = newest_first.first().map(|manifest| manifest.number) else { return Vec::new() };
    let numbers: BTreeSet<String> = newest_first.iter().map(|manifest| manifest_name(manifest.number)).collect();
    let packs = newest_first.iter().flat_map(|manifest| &manifest.packs);
    let needed: HashSet<String> = packs.map(|(pack, _)| pack.to_string()).collect();
    let past = |file: &String| leading_number(file).is_some_and(|number| number <= newest);
    let manifests = facts.manifests.iter().filter(|file| past(file)).map(|file| format!("{MANIFESTS}/{file}"));
    let packs = facts.packs.iter().filter(|file| past(file)).map(|file| format!("{PACKS}/{file}"));
    let manifests = manifests.filter(|name| !numbers.contains(name));
    manifests.chain(packs.filter(|name| !needed.contains(name))).collect()
}

#[cfg(test)]
mod tests {
    use super::super::pack::PackId;
    use super::*;

    fn pack(number: u64, draft: u64) -> PackId {
        PackId { number, draft, index: 0 }
    }

    fn manifest(number: u64, packs: &[PackId]) -> Arc<Manifest> {
        let packs = packs.iter().map(|pack| (*pack, 10)).collect();
        Arc::new(Manifest { number, seed: 0, head: bytes::Bytes::new(), packs, parts: Vec::new() })
    }

    fn files(names: &[String]) -> Vec<String> {
        names.iter().map(|name| name.rsplit('/').next().unwrap().to_owned()).collect()
    }

    #[test]
    fn two_generations_and_their_packs_stay() {
        let manifests: Vec<String> = (1..=4).map(manifest_name).collect();
        let packs: Vec<String> = (1..=4).map(|number| pack(number, 1).to_string()).collect();
        let good = [
            manifest(2, &[pack(2, 1)]),
            manifest(4, &[pack(1, 1), pack(4, 1)]),
            manifest(3, &[pack(3, 1)]),
            manifest(1, &[pack(1, 1)]),
        ];
        let gone = decide(&Facts { manifests: &files(&manifests), packs: &files(&packs), good: &good });
        assert_eq!(gone, [manifest_name(1), manifest_name(2), pack(2, 1).to_string()]);
    }

    #[test]
    fn later_files_and_files_of_others_stay_and_leftovers_go() {
        let manifests = [manifest_name(5), manifest_name(7), "manifests/notes.txt".to_owned()];
        let unfinished = format!("{}.99.unfinished", pack(5, 3));
        let packs = [pack(5, 1), pack(5, 2), pack(6, 1)].map(|pack| pack.to_string());
        let packs = [packs.as_slice(), &[unfinished.clone(), "packs/notes.txt".to_owned()]].concat();
        let good = [manifest(5, &[pack(5, 1)])];
        let gone = decide(&Facts { manifests: &files(&manifests), packs: &files(&packs), good: &good });
        assert_eq!(gone, [pack(5, 2).to_string(), unfinished]);
    }

    #[test]
    fn nothing_goes_while_no_generation_is_good() {
        let manifests = files(&[manifest_name(1)]);
        let packs = files(&[pack(1, 1).to_string()]);
        assert!(decide(&Facts { manifests: &manifests, packs: &packs, good: &[] }).is_empty());
    }
}
