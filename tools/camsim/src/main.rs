//! Camera simulator binary.
fn main() {}
