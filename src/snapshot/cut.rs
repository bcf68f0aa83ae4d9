//! Where a part is cut into chunks: where its content says so, so that an insertion moves no cut but its own.
//!
//! The cuts are those of FastCDC (Xia et al., "The Design of Fast Content-Defined Chunking for Data Deduplication Based
//! Storage Systems", 2020). They only decide what two snapshots share: any other cuts would read back just as well.

use fastcdc::v2020::FastCDC;

/// The shortest chunk but the last, bytes.
const SHORTEST: usize = 16 * 1024;
/// What chunks are cut to on average, bytes.
const AVERAGE: usize = 64 * 1024;
/// The longest chunk, bytes.
pub(super) const LONGEST: usize = 256 * 1024;
/// How many bytes are gathered before they are cut.
const BLOCK: usize = 4 * LONGEST;

/// Bytes that wait until a cut can be found in them; at most one block.
#[derive(Default)]
pub(super) struct Cutter {
    waiting: Vec<u8>,
}

impl Cutter {
    /// Takes bytes, and gives every chunk that is complete.
    pub(super) fn push<E>(&mut self, mut bytes: &[u8], mut give: impl FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
        while !bytes.is_empty() {
            let room = BLOCK.saturating_sub(self.waiting.len());
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            self.waiting.extend_from_slice(now);
            bytes = later;
            if self.waiting.len() >= BLOCK {
                self.cut(LONGEST, &mut give)?;
            }
        }
        Ok(())
    }

    /// Gives what is left.
    pub(super) fn finish<E>(&mut self, mut give: impl FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
        self.cut(1, &mut give)
    }

    /// Cuts while at least so many bytes are left: with [`LONGEST`] of them a cut does not depend on what follows.
    fn cut<E>(&mut self, least: usize, give: &mut impl FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
        let cuts = FastCDC::new(&self.waiting, SHORTEST, AVERAGE, LONGEST);
        let mut rest = self.waiting.as_slice();
        while rest.len() >= least {
            let (_, end) = cuts.cut(self.waiting.len() - rest.len(), rest.len());
            let length = (end + rest.len()).saturating_sub(self.waiting.len()).clamp(1, rest.len());
            let (chunk, later) = rest.split_at(length);
            give(chunk)?;
            rest = later;
        }
        let done = self.waiting.len() - rest.len();
        self.waiting.drain(..done);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::convert::Infallible;

    use rand::RngExt as _;
    use rand::SeedableRng as _;

    use super::*;

    fn chunks(bytes: &[u8], pieces: usize) -> Vec<Vec<u8>> {
        let mut chunks = Vec::new();
        let mut keep = |chunk: &[u8]| {
            chunks.push(chunk.to_vec());
            Ok::<(), Infallible>(())
        };
        let mut cutter = Cutter::default();
        for piece in bytes.chunks(pieces) {
            cutter.push(piece, &mut keep).unwrap();
        }
        cutter.finish(&mut keep).unwrap();
        chunks
    }

    fn noise(seed: u64, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        rand_chacha::ChaCha8Rng::seed_from_u64(seed).fill(bytes.as_mut_slice());
        bytes
    }

    #[test]
    fn chunks_are_the_bytes_in_order_however_they_came() {
        let bytes = noise(1, 3_000_001);
        let whole = chunks(&bytes, bytes.len());
        assert_eq!(whole.concat(), bytes);
        assert_eq!(whole, chunks(&bytes, 777));
        assert_eq!(whole, chunks(&bytes, 1_048_577));
        assert!(whole.iter().all(|chunk| chunk.len() <= LONGEST));
        assert!(whole[..whole.len() - 1].iter().all(|chunk| chunk.len() >= SHORTEST));
        assert!(chunks(&[], 1).is_empty());
    }

    #[test]
    fn an_insertion_changes_only_the_chunks_around_it() {
        let bytes = noise(2, 5_000_000);
        let mut longer = bytes.clone();
        longer.splice(2_000_000..2_000_000, noise(3, 100));
        let before: HashSet<_> = chunks(&bytes, 4_096).into_iter().collect();
        let new = chunks(&longer, 4_096).into_iter().filter(|chunk| !before.contains(chunk)).count();
        assert!(new <= 3, "{new} new chunks");
    }
}
