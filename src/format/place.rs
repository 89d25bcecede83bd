//! Where something lies: segment, generation, offset, length. The generation makes a place unique for ever: a segment taken
//! again has another one, so a place kept in an index never points at newer bytes by accident.

use std::fmt;

/// Number of a segment file within its volume.
pub type SegmentNumber = u32;

/// A segment's life number: rises each time a segment of the volume is taken, never used twice.
///
/// The upper 32 bits are the session (opening for writing) that took the segment, the lower 32 a counter within the session.
/// Sessions are made durable in the superblock before anything else is written, so a generation is not reused even when the
/// header that carried it is lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Generation(pub u64);

impl Generation {
    /// Of a segment that was never taken.
    pub const NONE: Self = Self(0);

    /// The `counter`-th generation of `session`.
    pub fn of_session(session: u64, counter: u32) -> Self {
        assert!(
            session > 0 && session <= u64::from(u32::MAX),
            "sessions are counted from 1 and fit 32 bits"
        );
        Self((session << 32) | u64::from(counter))
    }

    /// The session that took the segment.
    pub fn session(self) -> u64 {
        self.0 >> 32
    }
}

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.0 >> 32, self.0 & 0xffff_ffff)
    }
}

/// A range of bytes of one life of one segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// The segment.
    pub segment: SegmentNumber,
    /// Its life.
    pub generation: Generation,
    /// Bytes from the segment's start.
    pub offset: u64,
    /// Length in bytes.
    pub len: u32,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "segment {} generation {} offset {} ({} bytes)",
            self.segment, self.generation, self.offset, self.len
        )
    }
}
