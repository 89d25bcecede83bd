//! Where received payloads are put: one allocation for many packets.
//!
//! The RTSP library hands each packet over in an allocation of its own, which would live until its frame is durable and be freed by
//! the volume's thread: allocating and freeing were a sixth of the recorder's time, and left holes in the heap. Copied once more, while
//! still in the processor's cache, payloads of a stream lie behind each other, as they are read by the one copy into the writer's slab.

use bytes::{Bytes, BytesMut};

/// Bytes of one allocation: a tenth of a second of an ordinary camera. What a stream holds in memory is rounded up to it.
const CHUNK_LEN: usize = 32 << 10;

/// The chunk that is being filled.
#[derive(Debug, Default)]
pub(crate) struct Arena {
    chunk: BytesMut,
}

impl Arena {
    /// A copy of `payload`.
    pub(crate) fn keep(&mut self, payload: &[u8]) -> Bytes {
        if self.chunk.capacity() < payload.len() {
            self.chunk = BytesMut::with_capacity(CHUNK_LEN.max(payload.len()));
        }
        self.chunk.extend_from_slice(payload);
        self.chunk.split().freeze()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payloads_stay_what_they_were_and_share_their_chunks() {
        let mut arena = Arena::default();
        let lens = (0..200)
            .map(|number| number * 37 % 1500)
            .chain([100_000, 0, 3]);
        let kept: Vec<_> = lens
            .enumerate()
            .map(|(number, len)| (number as u8, len, arena.keep(&vec![number as u8; len])))
            .collect();
        for (byte, len, bytes) in &kept {
            assert_eq!(bytes, &vec![*byte; *len]);
        }
        let neighbours = kept.windows(2).filter(|pair| {
            let end = pair[0].2.as_ptr_range().end;
            end == pair[1].2.as_ptr()
        });
        assert!(neighbours.count() > 180);
    }
}
