//! A file of a volume as it is committed: its length and the sectors that hold anything. Volumes are preallocated and mostly zeroes,
//! the index alone is two megabytes of them.
//!
//! ```text
//! file length (8 bytes), then per sector that is not all zero: its number (4 bytes), its 512 bytes; integers little-endian
//! ```

const SECTOR: usize = 512;

/// Packs a file.
pub(crate) fn pack(file: &[u8]) -> Vec<u8> {
    let mut packed = (file.len() as u64).to_le_bytes().to_vec();
    for (number, sector) in (0u32..).zip(file.chunks(SECTOR)) {
        if sector.iter().any(|byte| *byte != 0) {
            packed.extend_from_slice(&number.to_le_bytes());
            packed.extend_from_slice(sector);
        }
    }
    packed
}

/// Unpacks a committed file.
pub(crate) fn unpack(packed: &[u8]) -> Vec<u8> {
    let (len, sectors) = packed
        .split_first_chunk::<8>()
        .expect("a packed file begins with a length");
    let mut file = vec![0; u64::from_le_bytes(*len) as usize];
    let lines = sectors.chunks_exact(4 + SECTOR);
    assert!(lines.remainder().is_empty(), "a packed file is whole");
    for line in lines {
        let (number, bytes) = line
            .split_first_chunk::<4>()
            .expect("a sector has a number");
        let at = u32::from_le_bytes(*number) as usize * SECTOR;
        file[at..at + SECTOR].copy_from_slice(bytes);
    }
    file
}
