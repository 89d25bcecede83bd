//! Reading a frame's bytes through its chain of slices: a live frame is copied once, from the received packets into the packets sent.

use bytes::{Bytes, BytesMut};

/// A place in a chain of slices.
#[derive(Clone, Debug)]
pub(super) struct Chain<'a> {
    current: &'a [u8],
    rest: &'a [Bytes],
    left: usize,
}

impl<'a> Chain<'a> {
    pub(super) fn new(parts: &'a [Bytes]) -> Self {
        Self {
            current: &[],
            rest: parts,
            left: parts.iter().map(Bytes::len).sum(),
        }
    }

    /// Bytes from here to the end.
    pub(super) fn left(&self) -> usize {
        self.left
    }

    /// Gives the next `len` bytes, piece by piece; fewer at the end of the chain.
    fn take(&mut self, mut len: usize, give: &mut dyn FnMut(&'a [u8])) {
        while len > 0 {
            if self.current.is_empty() {
                let Some((first, rest)) = self.rest.split_first() else {
                    return;
                };
                (self.current, self.rest) = (first, rest);
                continue;
            }
            let (piece, after) = self.current.split_at(len.min(self.current.len()));
            give(piece);
            self.current = after;
            self.left -= piece.len();
            len -= piece.len();
        }
    }

    /// Appends the next `len` bytes to `out`.
    pub(super) fn copy(&mut self, len: usize, out: &mut BytesMut) {
        self.take(len, &mut |piece| out.extend_from_slice(piece));
    }

    pub(super) fn skip(&mut self, len: usize) {
        self.take(len, &mut |_| {});
    }

    /// The next `N` bytes; `None` when there are fewer.
    pub(super) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        if self.left < N {
            return None;
        }
        let mut bytes = [0; N];
        let mut at = 0;
        self.take(N, &mut |piece| {
            bytes[at..at + piece.len()].copy_from_slice(piece);
            at += piece.len();
        });
        Some(bytes)
    }

    /// Whether the next bytes are those of `other`.
    pub(super) fn starts_with(&self, mut other: &[u8]) -> bool {
        let mut same = self.left >= other.len();
        self.clone().take(other.len(), &mut |piece| {
            let (head, rest) = other.split_at(piece.len().min(other.len()));
            same &= head == piece;
            other = rest;
        });
        same
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_out_in_order_whatever_the_cuts() {
        let parts = [&b"ab"[..], b"", b"cdef", b"g"].map(Bytes::from_static);
        let mut chain = Chain::new(&parts);
        assert_eq!(chain.left(), 7);
        assert!(chain.starts_with(b"abcd") && !chain.starts_with(b"abce"));
        assert!(!chain.starts_with(b"abcdefgh"));
        assert_eq!(chain.array(), Some(*b"abc"));
        chain.skip(1);
        let mut out = BytesMut::new();
        chain.copy(2, &mut out);
        assert_eq!((&out[..], chain.left()), (&b"ef"[..], 1));
        assert_eq!(chain.array::<2>(), None);
        chain.copy(9, &mut out);
        assert_eq!((&out[..], chain.left()), (&b"efg"[..], 0));
    }
}
