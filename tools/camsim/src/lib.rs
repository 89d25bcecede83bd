//! Camera simulator library.
