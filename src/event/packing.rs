//! Messages that are compressed, by their header `Content-Encoding`: gzip, zstd or snappy.
//!
//! NATS has no compression of payloads that its clients agree on: whoever sends compresses, and says so in the header that HTTP
//! has for it, as the NATS server itself does in its replies. Snappy comes in two forms under one name: in frames, as the
//! server and stream writers have it, and as one block, as `encode` of most libraries makes it. A block can't begin like the
//! mark of the frames: behind the length that it would mean comes a reference to bytes that there are not yet.
//!
//! **Limits.** A message may unpack to 64 MiB, whatever it claims; no more memory than that is taken. A window of zstd may
//! have 64 MiB. Several gzip members or zstd frames in a row are one message. Snappy's extension S2 is not read.
//!
//! **How it fails.** A message that can't be unpacked is one reject as a whole, with its bytes as they came.

use std::io::{self, Read};
use std::sync::OnceLock;

use bytes::Bytes;

use super::reject::{Flaw, RejectReason};

/// What a message may unpack to.
const MOST_BYTES: usize = 64 << 20;

/// The binary logarithm of the largest window of zstd.
const MOST_WINDOW: u32 = 26;

/// How Snappy in frames begins.
const SNAPPY_FRAMES: &[u8] = b"\xff\x06\x00\x00sNaPpY";
/// How S2, which has more than Snappy, begins.
const S2_FRAMES: &[u8] = b"\xff\x06\x00\x00S2sTwO";

/// Encodings that change nothing. Programs that think of AMQP or HTTP's other headers say the character set here.
const PLAIN: [&str; 4] = ["", "identity", "utf-8", "utf8"];

/// How bytes were made smaller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Packing {
    Gzip,
    Zstd,
    Snappy,
}

/// The bytes of a message that was sent compressed: unpacked once, when they are first asked for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Packed {
    /// As the header has it, in lower case.
    name: String,
    unpacked: OnceLock<Result<Bytes, Flaw>>,
}

impl Packed {
    /// What a header `Content-Encoding` says; `None` where it changes nothing.
    pub(crate) fn named(header: &str) -> Option<Self> {
        let name = header.trim().to_ascii_lowercase();
        (!PLAIN.contains(&name.as_str())).then(|| Self { name, unpacked: OnceLock::new() })
    }

    /// What the message's bytes hold.
    ///
    /// # Errors
    /// Why that can't be told.
    pub(crate) fn unpacked(&self, payload: &[u8]) -> Result<&Bytes, &Flaw> {
        self.unpacked.get_or_init(|| self.unpack(payload, MOST_BYTES)).as_ref()
    }

    /// What bytes hold, unless that is more than `most`.
    ///
    /// # Errors
    /// Why that can't be told.
    pub(crate) fn unpack(&self, payload: &[u8], most: usize) -> Result<Bytes, Flaw> {
        let packing = match self.name.as_str() {
            "gzip" | "x-gzip" => Packing::Gzip,
            "zstd" => Packing::Zstd,
            "snappy" | "x-snappy-framed" => Packing::Snappy,
            other => {
                let detail = format!("content encoding {other:?} is not known: send gzip, zstd or snappy, or none");
                return Err(Flaw::new(RejectReason::InvalidEncoding, detail));
            }
        };
        match packing.unpack(payload, most) {
            Ok(unpacked) if unpacked.len() <= most => Ok(unpacked.into()),
            Ok(_) => {
                let detail =
                    format!("expected at most {most} bytes when unpacked, got more: send fewer events at once");
                Err(Flaw::new(RejectReason::TooLarge, detail))
            }
            Err(error) => {
                let detail = format!("not {}, which the content encoding says: {error}", self.name);
                Err(Flaw::new(RejectReason::InvalidEncoding, detail))
            }
        }
    }
}

impl Packing {
    /// The unpacked bytes; where there are more than `most`, some of them, and more than that.
    fn unpack(self, payload: &[u8], most: usize) -> io::Result<Vec<u8>> {
        match self {
            Self::Gzip => read(flate2::read::MultiGzDecoder::new(payload), payload, most),
            Self::Zstd => {
                let mut decoder = zstd::stream::read::Decoder::with_buffer(payload)?;
                decoder.window_log_max(MOST_WINDOW)?;
                read(decoder, payload, most)
            }
            Self::Snappy if payload.starts_with(SNAPPY_FRAMES) => {
                read(snap::read::FrameDecoder::new(payload), payload, most)
            }
            Self::Snappy if payload.starts_with(S2_FRAMES) => {
                Err(io::Error::other("S2, an extension of it: write what Snappy reads"))
            }
            // What frames have where there is nothing to frame.
            Self::Snappy if payload.is_empty() => Ok(Vec::new()),
            Self::Snappy => {
                let length = snap::raw::decompress_len(payload)?;
                // What a block claims to be is not given memory before it has been looked at.
                let length = length.min(most.saturating_add(1));
                let mut unpacked = vec![0; length];
                match snap::raw::Decoder::new().decompress(payload, &mut unpacked) {
                    Ok(_) | Err(snap::Error::BufferTooSmall { .. }) => Ok(unpacked),
                    Err(error) => Err(error.into()),
                }
            }
        }
    }
}

/// All that there is, up to one byte more than `most`.
fn read(from: impl Read, payload: &[u8], most: usize) -> io::Result<Vec<u8>> {
    let mut unpacked = Vec::with_capacity(payload.len().saturating_mul(4).min(most));
    from.take(most as u64 + 1).read_to_end(&mut unpacked)?;
    Ok(unpacked)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;
    use proptest::prelude::*;

    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(bytes).expect("compressed");
        encoder.finish().expect("compressed")
    }

    fn snappy_frames(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = snap::write::FrameEncoder::new(Vec::new());
        encoder.write_all(bytes).expect("compressed");
        encoder.into_inner().expect("compressed")
    }

    fn zstd(bytes: &[u8]) -> Vec<u8> {
        zstd::stream::encode_all(bytes, 3).expect("compressed")
    }

    fn snappy(bytes: &[u8]) -> Vec<u8> {
        snap::raw::Encoder::new().compress_vec(bytes).expect("compressed")
    }

    type Pack = fn(&[u8]) -> Vec<u8>;

    /// Each form by its name.
    fn forms() -> [(&'static str, Pack); 4] {
        [("gzip", gzip), ("zstd", zstd), ("snappy", snappy), ("snappy", snappy_frames)]
    }

    fn unpack(name: &str, payload: &[u8], most: usize) -> Result<Bytes, String> {
        let packed = Packed::named(name).expect("a packing");
        packed.unpack(payload, most).map_err(|flaw| format!("{}: {}", flaw.reason, flaw.detail))
    }

    #[test]
    fn names_are_those_of_the_header_in_any_case() {
        for plain in ["", " identity ", "UTF-8", "utf8"] {
            assert_eq!(Packed::named(plain), None, "{plain}");
        }
        for name in ["gzip", "GZip", " x-gzip "] {
            assert_eq!(unpack(name, &gzip(b"{}"), 10), Ok(Bytes::from_static(b"{}")));
        }
        for name in ["br", "deflate", "gzip, zstd"] {
            let unknown =
                format!("invalid_encoding: content encoding {name:?} is not known: send gzip, zstd or snappy, or none");
            assert_eq!(unpack(name, b"", 10), Err(unknown));
        }
    }

    #[test]
    fn nothing_is_nothing_in_every_form() {
        for (name, pack) in forms() {
            assert_eq!(unpack(name, &pack(b""), 10), Ok(Bytes::new()), "{name}");
        }
    }

    #[test]
    fn a_limit_holds_at_its_edge_in_every_form() {
        for (name, pack) in forms() {
            let most = 100_000;
            assert_eq!(unpack(name, &pack(&vec![b' '; most]), most).map(|bytes| bytes.len()), Ok(most), "{name}");
            let refused = "too_large: expected at most 100000 bytes when unpacked, got more: send fewer events at once";
            assert_eq!(unpack(name, &pack(&vec![b' '; most + 1]), most), Err(refused.to_owned()), "{name}");
            // A gigabyte in a message is not unpacked to find that out.
            assert_eq!(unpack(name, &pack(&vec![b' '; 1 << 28]), most), Err(refused.to_owned()), "{name}");
        }
    }

    #[test]
    fn a_message_unpacks_once_to_sixty_four_mebibytes() {
        let packed = Packed::named("zstd").expect("a packing");
        let payload = zstd(&vec![b' '; MOST_BYTES]);
        let first = packed.unpacked(&payload).expect("unpacked").as_ptr();
        assert_eq!(packed.unpacked(&payload).map(|bytes| (bytes.len(), bytes.as_ptr())), Ok((MOST_BYTES, first)));
        let packed = Packed::named("zstd").expect("a packing");
        let flaw = packed.unpacked(&zstd(&vec![b' '; MOST_BYTES + 1])).expect_err("too large").clone();
        assert_eq!(flaw.reason, RejectReason::TooLarge);
    }

    #[test]
    fn a_claim_of_gigabytes_takes_no_memory() {
        // A block that says that it holds 4 GiB less one byte, and holds nothing.
        let refused = unpack("snappy", b"\xff\xff\xff\xff\x0f", 1_000).expect_err("refused");
        assert!(refused.starts_with("too_large") || refused.starts_with("invalid_encoding"), "{refused}");
        // A frame of zstd with a window of 2^31 bytes.
        let refused = unpack("zstd", b"\x28\xb5\x2f\xfd\x00\xa8\x01\x00\x00", 1_000).expect_err("refused");
        assert!(refused.starts_with("invalid_encoding"), "{refused}");
    }

    #[test]
    fn what_is_broken_says_so() {
        for (name, pack) in forms() {
            let whole = pack(br#"{"user": 1, "kind": "view", "price": 3.5}"#);
            let broken = [&whole[..whole.len() - 1], &whole[..whole.len() / 2], &[&whole[..], b"x"].concat()];
            for payload in broken {
                let refused = unpack(name, payload, 1_000).expect_err(name);
                let begins = format!("invalid_encoding: not {name}, which the content encoding says: ");
                assert!(refused.starts_with(&begins) && refused.len() > begins.len(), "{refused}");
            }
            assert!(unpack(name, b"{\"user\": 1}", 1_000).is_err(), "{name} is said of plain JSON");
        }
        let s2 = unpack("snappy", S2_FRAMES, 1_000);
        assert!(s2.is_err_and(|refused| refused.contains("S2, an extension of it")));
    }

    proptest! {
        #[test]
        fn what_is_packed_is_unpacked(bytes in prop::collection::vec(any::<u8>(), 0..3_000), times in 1_usize..40) {
            let bytes = bytes.repeat(times);
            for (name, pack) in forms() {
                prop_assert_eq!(unpack(name, &pack(&bytes), bytes.len()), Ok(Bytes::from(bytes.clone())), "{}", name);
            }
            let (half, rest) = bytes.split_at(bytes.len() / 2);
            for (name, pack) in [("gzip", gzip as Pack), ("zstd", zstd)] {
                let parts = [pack(half), pack(rest)].concat();
                prop_assert_eq!(unpack(name, &parts, bytes.len()), Ok(Bytes::from(bytes.clone())), "{}", name);
            }
        }

        #[test]
        fn no_bytes_break_it(
            bytes in prop::collection::vec(any::<u8>(), 0..200),
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        ) {
            for (name, pack) in forms() {
                let mut packed = pack(&bytes);
                packed.push(0);
                for (index, byte) in &changes {
                    let at = index.index(packed.len());
                    packed[at] = *byte;
                }
                let most = 1_000;
                if let Ok(unpacked) = unpack(name, &packed, most) {
                    prop_assert!(unpacked.len() <= most);
                }
                drop(unpack(name, &bytes, most));
            }
        }
    }
}
