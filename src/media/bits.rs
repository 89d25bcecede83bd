//! Bits of parameter sets, slice headers and SEI: a bounded reader with Exp-Golomb codes, over bytes freed of emulation prevention.
//!
//! Every read past the end is an error, never a panic and never an invented zero: what cannot be read is not believed.

/// The bits ended, or an Exp-Golomb code was longer than 32 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("bits end or a code is too long at bit {at}")]
pub struct BitsError {
    /// Where, in bits from the start of the unit.
    pub at: usize,
}

/// Removes emulation prevention bytes (00 00 03 → 00 00), H.264 §7.4.1, H.265 §7.4.2. `nal` is a NAL unit or the start of one.
pub fn unescape(nal: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(nal.len());
    let mut zeros = 0;
    for &byte in nal {
        if zeros >= 2 && byte == 3 {
            zeros = 0;
            continue;
        }
        zeros = if byte == 0 { zeros + 1 } else { 0 };
        bytes.push(byte);
    }
    bytes
}

/// Reads bits from the most significant end of each byte.
#[derive(Clone, Debug)]
pub struct BitReader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> BitReader<'a> {
    /// Reads `bytes` from their first bit.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// The number of bits read.
    pub fn position(&self) -> usize {
        self.at
    }

    /// One bit.
    pub fn flag(&mut self) -> Result<bool, BitsError> {
        let byte = self
            .bytes
            .get(self.at / 8)
            .ok_or(BitsError { at: self.at })?;
        let bit = byte >> (7 - self.at % 8) & 1;
        self.at += 1;
        Ok(bit == 1)
    }

    /// An unsigned number of `count` bits, at most 32 (u(n) of the standards).
    pub fn bits(&mut self, count: u32) -> Result<u32, BitsError> {
        assert!(count <= 32);
        let mut value = 0u64;
        for _ in 0..count {
            value = value << 1 | u64::from(self.flag()?);
        }
        Ok(value as u32)
    }

    /// Steps over `count` bits.
    pub fn skip(&mut self, count: usize) -> Result<(), BitsError> {
        let end = self
            .at
            .checked_add(count)
            .filter(|end| *end <= self.bytes.len() * 8)
            .ok_or(BitsError { at: self.at })?;
        self.at = end;
        Ok(())
    }

    /// An unsigned Exp-Golomb code: ue(v), H.264 §9.1.
    pub fn ue(&mut self) -> Result<u32, BitsError> {
        let start = self.at;
        let mut zeros = 0;
        while !self.flag()? {
            zeros += 1;
            if zeros > 31 {
                return Err(BitsError { at: start });
            }
        }
        let rest = self.bits(zeros)?;
        Ok(((1u64 << zeros) - 1) as u32 + rest)
    }

    /// A signed Exp-Golomb code: se(v), H.264 §9.1.1.
    pub fn se(&mut self) -> Result<i32, BitsError> {
        let code = i64::from(self.ue()?);
        let value = if code % 2 == 1 {
            (code + 1) / 2
        } else {
            -code / 2
        };
        Ok(value as i32)
    }

    /// An unsigned Exp-Golomb code that must not exceed `limit`.
    pub fn ue_at_most(&mut self, limit: u32) -> Result<u32, BitsError> {
        let start = self.at;
        let value = self.ue()?;
        if value > limit {
            return Err(BitsError { at: start });
        }
        Ok(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The code words of H.264 Table 9-2 and their signed values of Table 9-3.
    #[test]
    fn exp_golomb_codes_follow_the_tables_of_the_standard() {
        let words = [
            (&[0b1000_0000u8][..], 0, 0),
            (&[0b0100_0000], 1, 1),
            (&[0b0110_0000], 2, -1),
            (&[0b0010_0000], 3, 2),
            (&[0b0010_1000], 4, -2),
            (&[0b0011_1000], 6, -3),
            (&[0b0001_0010], 8, -4),
        ];
        for (word, unsigned, signed) in words {
            assert_eq!(BitReader::new(word).ue(), Ok(unsigned));
            assert_eq!(BitReader::new(word).se(), Ok(signed));
        }
        let longest = [0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff];
        assert_eq!(BitReader::new(&longest).ue(), Ok(u32::MAX - 1));
        assert!(BitReader::new(&[0, 0, 0, 0, 0xff]).ue().is_err());
        assert!(BitReader::new(&[0]).ue().is_err());
        assert!(BitReader::new(&[]).flag().is_err());
    }

    #[test]
    fn emulation_prevention_goes_and_nothing_else() {
        assert_eq!(
            unescape(&[0, 0, 3, 1, 0, 0, 3, 0, 0, 3, 3, 0, 3]),
            [0, 0, 1, 0, 0, 0, 0, 3, 0, 3]
        );
    }
}
