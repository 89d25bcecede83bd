//! The slab of write slots.
/// The slab.
#[derive(Debug)]
pub struct Slab;
/// One slot.
#[derive(Debug)]
pub struct Slot;
