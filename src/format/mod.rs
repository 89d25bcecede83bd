//! Everything on disk: bytes to values and back. Pure, reads no file.
