//! What the values of Avro's binary encoding are made of.

use super::read::Reader;
use crate::event::reject::{Flaw, RejectReason};

/// Items of lists that take no byte each: a message can claim any number of them.
const MOST_EMPTY_ITEMS: usize = 1 << 16;

impl<'r> Reader<'r> {
    /// How many items come next; none at the end of a list or a map.
    pub(super) fn block(&mut self) -> Result<Option<u64>, Flaw> {
        let count = self.integer()?;
        if count < 0 {
            // The bytes of the block follow, for whoever passes it; its items tell where they end.
            self.integer()?;
        }
        Ok(Some(count.unsigned_abs()).filter(|count| *count > 0))
    }

    /// Counts an item that took no byte.
    pub(super) fn note_item(&mut self, bytes_before: usize) -> Result<(), Flaw> {
        self.empty_items += usize::from(self.bytes.len() == bytes_before);
        if self.empty_items > MOST_EMPTY_ITEMS {
            let detail = format!("expected at most {MOST_EMPTY_ITEMS} items without a byte, got more");
            return Err(Flaw::new(RejectReason::TooLarge, detail));
        }
        Ok(())
    }

    pub(super) fn branch(&mut self, branches: &[usize]) -> Result<usize, Flaw> {
        let at = self.index("a branch of a union")?;
        branches.get(at).copied().ok_or_else(|| broken(&format!("branch {at} of a union is not in the schema")))
    }

    pub(super) fn index(&mut self, what: &str) -> Result<usize, Flaw> {
        let at = self.integer()?;
        usize::try_from(at).map_err(|_| broken(&format!("{at} is no number of {what}")))
    }

    pub(super) fn boolean(&mut self) -> Result<bool, Flaw> {
        match self.array()? {
            [0] => Ok(false),
            [1] => Ok(true),
            [other] => Err(broken(&format!("expected a boolean, got the byte {other}"))),
        }
    }

    /// A number in zigzag form, seven bits a byte.
    pub(super) fn integer(&mut self) -> Result<i64, Flaw> {
        let mut value = 0_u64;
        for place in 0..10 {
            let [byte] = self.array()?;
            if place == 9 && byte > 1 {
                break;
            }
            value |= u64::from(byte & 0x7f) << (7 * place);
            if byte < 0x80 {
                return Ok((value >> 1).cast_signed() ^ -((value & 1).cast_signed()));
            }
        }
        Err(broken("a number is longer than 64 bits"))
    }

    /// Bytes behind their number.
    pub(super) fn counted(&mut self) -> Result<&'r [u8], Flaw> {
        let count = self.index("bytes")?;
        self.take(count)
    }

    pub(super) fn take(&mut self, count: usize) -> Result<&'r [u8], Flaw> {
        let Some((taken, rest)) = self.bytes.split_at_checked(count) else {
            let left = self.bytes.len();
            return Err(broken(&format!("expected {count} more bytes, got {left}")));
        };
        self.bytes = rest;
        Ok(taken)
    }

    pub(super) fn array<const SIZE: usize>(&mut self) -> Result<[u8; SIZE], Flaw> {
        let taken = self.take(SIZE)?;
        taken.try_into().map_err(|_| broken("bytes are missing"))
    }
}

pub(super) fn broken(detail: &str) -> Flaw {
    Flaw::new(RejectReason::InvalidAvro, detail)
}
