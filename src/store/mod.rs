//! Volumes: ring, tail, writer, index, reader, recovery.
