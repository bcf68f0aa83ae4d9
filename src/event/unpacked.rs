//! How much the compressed buffers of an Arrow stream say that they hold, before anything believes them.
//!
//! A few bytes can claim to be terabytes, and the library takes that much memory before it finds out. So the claims are added
//! up first. LZ4 may hold more than it claims, though at most 255 times what there is of it; that is bounded instead.

use arrow::ipc::{CompressionType, Message, RecordBatch, root_as_message};

use super::reject::{Flaw, RejectReason};
use super::unfold::MOST_BYTES;

/// LZ4 in one message.
const MOST_LZ4_BYTES: u64 = 4 << 20;

/// In front of a message that is not in the oldest form of the format.
const CONTINUATION: [u8; 4] = [0xff; 4];

/// What the buffers of a stream add up to.
#[derive(Debug, Default)]
struct Claims {
    unpacked: u64,
    lz4: u64,
}

/// Refuses a stream whose compressed buffers claim more than a message may hold. What can't be read is left to the reader of
/// the library, which then reads no further either.
pub(super) fn check(payload: &[u8]) -> Result<(), Flaw> {
    let mut claims = Claims::default();
    let mut rest = payload;
    while let Some((message, body, after)) = next_message(rest) {
        if let Some(batch) = batch_of(&message) {
            claims.add(&batch, body);
        }
        rest = after;
    }
    let flaw = |detail: String| Err(Flaw::new(RejectReason::TooLarge, detail));
    if claims.unpacked > MOST_BYTES as u64 {
        return flaw(format!(
            "expected at most {} MiB of compressed values, got {} bytes: send fewer rows in one message",
            MOST_BYTES >> 20,
            claims.unpacked
        ));
    }
    if claims.lz4 > MOST_LZ4_BYTES {
        return flaw(format!(
            "expected at most {} MiB of LZ4, got {} bytes: send fewer rows in one message, or use Zstandard",
            MOST_LZ4_BYTES >> 20,
            claims.lz4
        ));
    }
    Ok(())
}

/// The first message of a stream, its body, and what follows.
fn next_message(bytes: &[u8]) -> Option<(Message<'_>, &[u8], &[u8])> {
    let (mut length, mut rest) = bytes.split_first_chunk()?;
    if *length == CONTINUATION {
        (length, rest) = rest.split_first_chunk()?;
    }
    let (metadata, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
    let message = root_as_message(metadata).ok()?;
    let (body, rest) = rest.split_at_checked(usize::try_from(message.bodyLength()).ok()?)?;
    Some((message, body, rest))
}

fn batch_of<'m>(message: &Message<'m>) -> Option<RecordBatch<'m>> {
    message.header_as_record_batch().or_else(|| message.header_as_dictionary_batch()?.data())
}

impl Claims {
    fn add(&mut self, batch: &RecordBatch<'_>, body: &[u8]) {
        let (Some(compression), Some(buffers)) = (batch.compression(), batch.buffers()) else { return };
        let is_lz4 = compression.codec() == CompressionType::LZ4_FRAME;
        // One without a byte claims nothing, and stands where another begins.
        for buffer in buffers.iter().filter(|buffer| buffer.length() > 0) {
            let claim = usize::try_from(buffer.offset()).ok().and_then(|at| body.get(at..)?.first_chunk());
            // A buffer that is no smaller compressed claims -1 and is not.
            let Some(Ok(claim)) = claim.map(|claim| u64::try_from(i64::from_le_bytes(*claim))) else { continue };
            self.unpacked = self.unpacked.saturating_add(claim);
            if is_lz4 {
                self.lz4 = self.lz4.saturating_add(u64::try_from(buffer.length()).unwrap_or_default());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int64Array, RecordBatch};
    use arrow::ipc::CompressionType;
    use arrow::ipc::writer::{IpcWriteOptions, StreamWriter};

    use super::*;

    fn stream(rows: i64, codec: CompressionType) -> Vec<u8> {
        let ids: ArrayRef = Arc::new(Int64Array::from_iter_values(std::iter::repeat_n(7, rows as usize)));
        let batch = RecordBatch::try_from_iter([("id", ids)]).expect("a batch");
        let options = IpcWriteOptions::default().try_with_compression(Some(codec)).expect("options");
        let mut writer = StreamWriter::try_new_with_options(Vec::new(), batch.schema_ref(), options).expect("a stream");
        writer.write(&batch).expect("a batch is written");
        writer.into_inner().expect("a stream ends")
    }

    #[test]
    fn compressed_streams_pass_up_to_what_a_message_may_hold() {
        for codec in [CompressionType::LZ4_FRAME, CompressionType::ZSTD] {
            assert_eq!(check(&stream(1000, codec)), Ok(()));
        }
        let flaw = check(&stream((MOST_BYTES / 8 + 1) as i64, CompressionType::ZSTD)).expect_err("too much");
        assert_eq!(
            (flaw.reason, flaw.detail.as_str()),
            (
                RejectReason::TooLarge,
                "expected at most 256 MiB of compressed values, got 268435464 bytes: send fewer rows in one message"
            )
        );
    }

    /// A message that claimed terabytes ended the worker, at each start anew.
    #[test]
    fn a_claim_of_terabytes_is_refused_before_anything_is_taken() {
        let mut bytes = stream(1000, CompressionType::ZSTD);
        let claim = 8000_i64.to_le_bytes();
        let at = bytes.windows(8).position(|window| window == claim).expect("the claim");
        bytes[at..at + 8].copy_from_slice(&(1_i64 << 50).to_le_bytes());
        assert_eq!(check(&bytes).map_err(|flaw| flaw.reason), Err(RejectReason::TooLarge));
        assert_eq!(check(b"not arrow"), Ok(()));
    }
}
