//! Variable-length integers and bounded reading: the alphabet of the packed structures (rows, tables, descriptions).
//!
//! Unsigned numbers are LEB128; signed ones are zigzag-mapped first. A `Cursor` never reads past its bytes and never panics.

use super::DecodeError;

/// Appends `value` as LEB128 (1–10 bytes).
pub fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends `value` zigzag-mapped.
pub fn put_signed(out: &mut Vec<u8>, value: i64) {
    put_varint(out, ((value << 1) ^ (value >> 63)) as u64);
}

/// Appends a length and the bytes.
pub fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Reads from the front of some bytes; `what` names the structure in errors.
#[derive(Clone, Debug)]
pub struct Cursor<'a> {
    what: &'static str,
    bytes: &'a [u8],
}

impl<'a> Cursor<'a> {
    /// A cursor over `bytes` of a `what`.
    pub fn new(what: &'static str, bytes: &'a [u8]) -> Self {
        Self { what, bytes }
    }

    /// Bytes not yet read.
    pub fn rest(&self) -> &'a [u8] {
        self.bytes
    }

    /// Whether everything was read.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// One byte.
    pub fn byte(&mut self) -> Result<u8, DecodeError> {
        let (first, rest) = self.bytes.split_first().ok_or_else(|| self.short())?;
        self.bytes = rest;
        Ok(*first)
    }

    /// `len` bytes.
    pub fn take(&mut self, len: usize) -> Result<&'a [u8], DecodeError> {
        let (taken, rest) = self
            .bytes
            .split_at_checked(len)
            .ok_or_else(|| self.short())?;
        self.bytes = rest;
        Ok(taken)
    }

    /// An array of `N` bytes.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let (taken, rest) = self
            .bytes
            .split_first_chunk::<N>()
            .ok_or_else(|| self.short())?;
        self.bytes = rest;
        Ok(*taken)
    }

    /// An unsigned LEB128 number.
    pub fn varint(&mut self) -> Result<u64, DecodeError> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                return Err(self.value("number"));
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(self.value("number"))
    }

    /// An unsigned number of at most 32 bits.
    pub fn varint32(&mut self) -> Result<u32, DecodeError> {
        u32::try_from(self.varint()?).map_err(|_| self.value("number"))
    }

    /// A signed number.
    pub fn signed(&mut self) -> Result<i64, DecodeError> {
        let raw = self.varint()?;
        Ok((raw >> 1) as i64 ^ -((raw & 1) as i64))
    }

    /// A length and as many bytes, at most `len_max`.
    pub fn bytes(&mut self, len_max: usize) -> Result<&'a [u8], DecodeError> {
        let len = self.varint()?;
        if len > len_max as u64 {
            return Err(self.value("length"));
        }
        self.take(len as usize)
    }

    /// A length and as many bytes of UTF-8.
    pub fn text(&mut self, len_max: usize) -> Result<&'a str, DecodeError> {
        let bytes = self.bytes(len_max)?;
        std::str::from_utf8(bytes).map_err(|_| self.value("text"))
    }

    /// The error for an impossible field.
    pub fn value(&self, field: &'static str) -> DecodeError {
        DecodeError::Value {
            what: self.what,
            field,
        }
    }

    fn short(&self) -> DecodeError {
        DecodeError::Short {
            what: self.what,
            len: self.bytes.len(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::seed::Seed;

    #[test]
    fn numbers_round_trip_at_every_length() {
        for shift in 0..64 {
            for value in [1u64 << shift, (1u64 << shift) - 1, !(1u64 << shift)] {
                let mut out = Vec::new();
                put_varint(&mut out, value);
                put_signed(&mut out, value as i64);
                let mut cursor = Cursor::new("test", &out);
                assert_eq!(cursor.varint(), Ok(value));
                assert_eq!(cursor.signed(), Ok(value as i64));
                assert!(cursor.is_empty());
            }
        }
    }

    #[test]
    fn an_overlong_number_is_refused() {
        assert!(Cursor::new("test", &[0xff; 10]).varint().is_err());
        assert!(Cursor::new("test", &[0x80; 3]).varint().is_err());
    }

    #[test]
    fn random_bytes_never_panic() {
        let seed = 11;
        println!("SEED={seed}");
        let mut random = Seed::new(seed);
        for _ in 0..10_000 {
            let mut bytes = [0u8; 24];
            random.fill(&mut bytes);
            let mut cursor = Cursor::new("test", &bytes);
            while cursor.text(8).is_ok() && cursor.signed().is_ok() && !cursor.is_empty() {}
        }
    }
}
