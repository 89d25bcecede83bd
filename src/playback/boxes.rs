//! Boxes of ISO 14496-12 as bytes: sizes are filled in when a box ends, so that nobody counts them by hand.
//!
//! Only the container syntax lives here; what stands inside a box is written by the file that knows its meaning.

/// Bytes of nested boxes under construction.
#[derive(Debug, Default)]
pub(crate) struct BoxWriter {
    bytes: Vec<u8>,
}

impl BoxWriter {
    /// Nothing yet.
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Bytes written so far.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// The finished bytes.
    pub(crate) fn finish(self) -> Vec<u8> {
        self.bytes
    }

    /// The box `kind` around what `content` writes (ISO 14496-12 §4.2).
    ///
    /// # Panics
    /// When the box would reach 4 GiB: the layout bounds its head far below.
    pub(crate) fn container(&mut self, kind: &[u8; 4], content: impl FnOnce(&mut Self)) {
        let start = self.bytes.len();
        self.u32(0);
        self.raw(kind);
        content(self);
        let size = u32::try_from(self.bytes.len() - start).expect("a box of the head is < 4 GiB");
        self.bytes[start..start + 4].copy_from_slice(&size.to_be_bytes());
    }

    /// The full box `kind` with version and flags around what `content` writes (ISO 14496-12 §4.2).
    pub(crate) fn full(
        &mut self,
        kind: &[u8; 4],
        version: u8,
        flags: u32,
        content: impl FnOnce(&mut Self),
    ) {
        assert!(flags < 1 << 24, "flags have 24 bits");
        self.container(kind, |writer| {
            writer.u32(u32::from(version) << 24 | flags);
            content(writer);
        });
    }

    /// Overwrites bytes written earlier, which were left open until an offset was known.
    pub(crate) fn patch(&mut self, at: usize, bytes: &[u8]) {
        self.bytes[at..at + bytes.len()].copy_from_slice(bytes);
    }

    /// Bytes as they are.
    pub(crate) fn raw(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// `count` zero bytes: reserved fields.
    pub(crate) fn zeros(&mut self, count: usize) {
        self.bytes.resize(self.bytes.len() + count, 0);
    }

    /// One byte.
    pub(crate) fn u8(&mut self, value: u8) {
        self.bytes.push(value);
    }

    /// 16 bits, most significant byte first, as every number of a box.
    pub(crate) fn u16(&mut self, value: u16) {
        self.raw(&value.to_be_bytes());
    }

    /// 32 bits.
    pub(crate) fn u32(&mut self, value: u32) {
        self.raw(&value.to_be_bytes());
    }

    /// 64 bits.
    pub(crate) fn u64(&mut self, value: u64) {
        self.raw(&value.to_be_bytes());
    }

    /// Text that ends with a zero byte, as strings of boxes do.
    pub(crate) fn text(&mut self, text: &str) {
        self.raw(text.as_bytes());
        self.u8(0);
    }

    /// The unity matrix of movie and track headers (ISO 14496-12 §8.2.2).
    pub(crate) fn unity_matrix(&mut self) {
        for value in [0x1_0000, 0, 0, 0, 0x1_0000, 0, 0, 0, 0x4000_0000] {
            self.u32(value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_of_nested_boxes_include_their_headers() {
        let mut writer = BoxWriter::new();
        writer.container(b"moov", |moov| {
            moov.full(b"mvhd", 1, 7, |mvhd| mvhd.u16(0x1234));
            moov.container(b"free", |_| {});
        });
        assert_eq!(
            writer.finish(),
            [
                b"\x00\x00\x00\x1emoov".as_slice(),
                b"\x00\x00\x00\x0emvhd\x01\x00\x00\x07\x12\x34",
                b"\x00\x00\x00\x08free",
            ]
            .concat()
        );
    }
}
