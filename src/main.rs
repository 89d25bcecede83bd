//! The `nvring` program.
fn main() {}
