//! How maps from slots hash them.

use std::hash::{BuildHasher, Hasher};

/// Slots are dense numbers: one multiplication spreads them.
#[derive(Default, Clone, Copy)]
pub(super) struct SlotHash;

impl BuildHasher for SlotHash {
    type Hasher = SlotHasher;

    fn build_hasher(&self) -> SlotHasher {
        SlotHasher(0)
    }
}

/// See [`SlotHash`].
pub(super) struct SlotHasher(u64);

impl Hasher for SlotHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    fn write_u32(&mut self, slot: u32) {
        self.write_u64(u64::from(slot));
    }

    fn write_u64(&mut self, value: u64) {
        self.0 = mix(self.0 ^ value);
    }
}

/// Spreads the bits of a number over all bits of the result (the finaliser of `MurmurHash3`, shortened).
pub(super) fn mix(value: u64) -> u64 {
    let value = value.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (value ^ (value >> 32)).wrapping_mul(0xd6e8_feb8_6659_fd93)
}
