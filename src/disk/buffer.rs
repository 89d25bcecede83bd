//! Aligned memory for one read.
/// Aligned bytes.
#[derive(Debug)]
pub struct AlignedBuffer;
