//! The manifest: what a snapshot consists of. Its bytes are written once and verified as a whole.
//!
//! ```text
//!  magic "tidesnap" · version u32 · number u64 · seed u64
//!  length u32 · head                                                 the caller's own
//!  count u32 · packs:  number u64 · draft u64 · index u32 · bytes u32
//!  count u32 · parts:  length u16 · name · bytes u64 · count u32 · chunks:  hash u128 · pack u32 · offset u32 · bytes u32
//!  xxh3 u128 of everything before
//! ```
//!
//! All numbers are little endian. A chunk's pack is its position in the list of packs. The seed is that of the chunks' hashes.

use bytes::Bytes;
use xxhash_rust::xxh3::xxh3_128;

use super::cut::LONGEST;
use super::error::SnapshotError;
use super::pack::{PackId, manifest_name};

const MAGIC: [u8; 8] = *b"tidesnap";
/// Changes with the format.
const VERSION: u32 = 1;
const CHECKSUM_BYTES: usize = size_of::<u128>();

/// One chunk of a part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Chunk {
    pub(super) hash: u128,
    /// Position in the manifest's packs.
    pub(super) pack: u32,
    pub(super) offset: u32,
    pub(super) length: u32,
}

/// One named sequence of bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) name: String,
    pub(super) length: u64,
    pub(super) chunks: Vec<Chunk>,
}

/// One snapshot; decoded ones are consistent: chunks lie in listed packs, and lengths add up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Manifest {
    pub(super) number: u64,
    pub(super) seed: u64,
    pub(super) head: Bytes,
    /// Each pack and its length, bytes.
    pub(super) packs: Vec<(PackId, u32)>,
    pub(super) parts: Vec<Part>,
}

impl Manifest {
    pub(super) fn bytes(&self) -> u64 {
        self.parts.iter().map(|part| part.length).sum()
    }

    pub(super) fn encode(&self) -> Bytes {
        let chunks: usize = self.parts.iter().map(|part| part.chunks.len()).sum();
        let mut bytes = Vec::with_capacity(256 + self.head.len() + 24 * self.packs.len() + 28 * chunks);
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        bytes.extend_from_slice(&self.number.to_le_bytes());
        bytes.extend_from_slice(&self.seed.to_le_bytes());
        bytes.extend_from_slice(&(self.head.len() as u32).to_le_bytes());
        bytes.extend_from_slice(&self.head);
        bytes.extend_from_slice(&(self.packs.len() as u32).to_le_bytes());
        for (pack, length) in &self.packs {
            bytes.extend_from_slice(&pack.number.to_le_bytes());
            bytes.extend_from_slice(&pack.draft.to_le_bytes());
            bytes.extend_from_slice(&pack.index.to_le_bytes());
            bytes.extend_from_slice(&length.to_le_bytes());
        }
        bytes.extend_from_slice(&(self.parts.len() as u32).to_le_bytes());
        for part in &self.parts {
            bytes.extend_from_slice(&(part.name.len() as u16).to_le_bytes());
            bytes.extend_from_slice(part.name.as_bytes());
            bytes.extend_from_slice(&part.length.to_le_bytes());
            bytes.extend_from_slice(&(part.chunks.len() as u32).to_le_bytes());
            for chunk in &part.chunks {
                bytes.extend_from_slice(&chunk.hash.to_le_bytes());
                bytes.extend_from_slice(&chunk.pack.to_le_bytes());
                bytes.extend_from_slice(&chunk.offset.to_le_bytes());
                bytes.extend_from_slice(&chunk.length.to_le_bytes());
            }
        }
        let checksum = xxh3_128(&bytes);
        bytes.extend_from_slice(&checksum.to_le_bytes());
        bytes.into()
    }

    /// Reads the manifest of this number. Nothing of damaged bytes is believed but magic and version, to say what they are.
    pub(super) fn decode(number: u64, bytes: &Bytes) -> Result<Self, SnapshotError> {
        let name = manifest_name(number);
        let damaged = |reason: String| SnapshotError::Manifest { name: name.clone(), reason };
        let Some(magic) = bytes.get(..MAGIC.len()) else {
            return Err(damaged(format!("it has only {} bytes", bytes.len())));
        };
        if magic != MAGIC {
            return Err(damaged("it does not begin as a manifest does".to_owned()));
        }
        let ends_early = || damaged(format!("it ends after {} bytes", bytes.len()));
        let found = bytes.get(MAGIC.len()..MAGIC.len() + 4).and_then(|found| found.try_into().ok());
        let found = u32::from_le_bytes(found.ok_or_else(ends_early)?);
        if found != VERSION {
            return Err(SnapshotError::Version { name, found, known: VERSION });
        }
        let body = bytes.len().checked_sub(CHECKSUM_BYTES).filter(|&body| body >= MAGIC.len() + 4);
        let body = body.ok_or_else(ends_early)?;
        let (content, checksum) = bytes.split_at(body);
        if xxh3_128(content).to_le_bytes() != checksum {
            return Err(damaged(format!("the checksum of its {} bytes is wrong", bytes.len())));
        }
        let mut fields = Fields { bytes: bytes.slice(MAGIC.len() + 4..body) };
        let manifest = fields.manifest().ok_or_else(|| damaged("its lengths do not fit its bytes".to_owned()))?;
        if manifest.number != number {
            return Err(damaged(format!("it is that of snapshot {}", manifest.number)));
        }
        manifest.check().map_err(damaged)?;
        Ok(manifest)
    }

    fn check(&self) -> Result<(), String> {
        for part in &self.parts {
            let mut length = 0;
            for chunk in &part.chunks {
                let pack = self.packs.get(chunk.pack as usize);
                let end = u64::from(chunk.offset) + u64::from(chunk.length);
                if chunk.length as usize > LONGEST || pack.is_none_or(|(_, bytes)| end > u64::from(*bytes)) {
                    return Err(format!("a chunk of part {:?} lies outside its pack", part.name));
                }
                length += u64::from(chunk.length);
            }
            if length != part.length {
                return Err(format!("part {:?} has {} bytes, its chunks {length}", part.name, part.length));
            }
        }
        Ok(())
    }
}

/// Fields in the order they were written; none where the bytes end first.
struct Fields {
    bytes: Bytes,
}

impl Fields {
    fn manifest(&mut self) -> Option<Manifest> {
        let (number, seed) = (self.u64()?, self.u64()?);
        let head_bytes = self.u32()?;
        let head = self.take(head_bytes as usize)?;
        let packs = self.many(24, |fields| {
            let pack = PackId { number: fields.u64()?, draft: fields.u64()?, index: fields.u32()? };
            Some((pack, fields.u32()?))
        })?;
        let parts = self.many(14, Self::part)?;
        self.bytes.is_empty().then_some(Manifest { number, seed, head, packs, parts })
    }

    fn part(&mut self) -> Option<Part> {
        let name_bytes = u16::from_le_bytes(self.array()?);
        let name = String::from_utf8(self.take(name_bytes.into())?.to_vec()).ok()?;
        let length = self.u64()?;
        let chunks = self.many(28, |fields| {
            let hash = u128::from_le_bytes(fields.array()?);
            Some(Chunk { hash, pack: fields.u32()?, offset: fields.u32()?, length: fields.u32()? })
        })?;
        Some(Part { name, length, chunks })
    }

    /// As many as the count says, if so many of at least this size can follow: a wrong count allocates nothing.
    fn many<T>(&mut self, least_bytes: usize, mut one: impl FnMut(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        let count = self.u32()? as usize;
        if count > self.bytes.len() / least_bytes {
            return None;
        }
        (0..count).map(|_| one(self)).collect()
    }

    fn u32(&mut self) -> Option<u32> {
        Some(u32::from_le_bytes(self.array()?))
    }

    fn u64(&mut self) -> Option<u64> {
        Some(u64::from_le_bytes(self.array()?))
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.as_ref().try_into().ok()
    }

    fn take(&mut self, length: usize) -> Option<Bytes> {
        (length <= self.bytes.len()).then(|| self.bytes.split_to(length))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn manifest() -> Manifest {
        let pack = |index| (PackId { number: 4, draft: 9, index }, 5_000);
        let chunk = |pack, offset, length| Chunk { hash: 77, pack, offset, length };
        Manifest {
            number: 5,
            seed: 3,
            head: Bytes::from_static(b"head"),
            packs: vec![pack(0), pack(1)],
            parts: vec![
                Part { name: "tables/a".to_owned(), length: 600, chunks: vec![chunk(0, 0, 100), chunk(1, 4_500, 500)] },
                Part { name: "labels".to_owned(), length: 0, chunks: vec![] },
            ],
        }
    }

    /// Changes the content and makes the checksum fit.
    fn sealed(content: &[u8]) -> Bytes {
        let mut bytes = content.to_vec();
        bytes.extend_from_slice(&xxh3_128(content).to_le_bytes());
        bytes.into()
    }

    #[test]
    fn a_manifest_reads_back() {
        assert_eq!(Manifest::decode(5, &manifest().encode()).unwrap(), manifest());
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        let bytes = manifest().encode();
        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes.to_vec();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(Manifest::decode(5, &damaged.into()).unwrap_err().is_damage(), "bit {bit}");
        }
    }

    #[test]
    fn every_truncation_and_extension_is_noticed() {
        let bytes = manifest().encode();
        for length in 0..bytes.len() {
            assert!(Manifest::decode(5, &bytes.slice(..length)).unwrap_err().is_damage(), "{length} bytes");
        }
        let longer = [bytes.as_ref(), b"\0"].concat();
        assert!(Manifest::decode(5, &longer.into()).unwrap_err().is_damage());
    }

    #[test]
    fn another_version_is_named() {
        let mut bytes = manifest().encode().to_vec();
        bytes[MAGIC.len()] = 2;
        let error = Manifest::decode(5, &bytes.into()).unwrap_err();
        assert!(matches!(error, SnapshotError::Version { found: 2, known: 1, .. }), "{error}");
    }

    #[test]
    fn a_manifest_under_another_number_is_refused() {
        let error = Manifest::decode(6, &manifest().encode()).unwrap_err();
        assert!(error.to_string().contains("it is that of snapshot 5"), "{error}");
    }

    #[test]
    fn chunks_outside_their_packs_are_refused() {
        let mut outside = manifest();
        outside.parts[0].chunks[1].offset = 4_501;
        assert!(Manifest::decode(5, &outside.encode()).unwrap_err().is_damage());
        let mut unlisted = manifest();
        unlisted.parts[0].chunks[1].pack = 2;
        assert!(Manifest::decode(5, &unlisted.encode()).unwrap_err().is_damage());
        let mut longer = manifest();
        longer.parts[1].length = 1;
        assert!(Manifest::decode(5, &longer.encode()).unwrap_err().is_damage());
    }

    proptest! {
        #[test]
        fn wrong_contents_under_a_right_checksum_do_not_panic(at in 12usize..250, bytes in prop::collection::vec(any::<u8>(), 1..9)) {
            let encoded = manifest().encode();
            let mut content = encoded[..encoded.len() - CHECKSUM_BYTES].to_vec();
            let at = at.min(content.len() - 1);
            let end = (at + bytes.len()).min(content.len());
            content[at..end].copy_from_slice(&bytes[..end - at]);
            if let Ok(read) = Manifest::decode(5, &sealed(&content)) {
                prop_assert_eq!(read.encode(), sealed(&content));
            }
        }
    }
}
