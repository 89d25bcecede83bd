//! HTTP: translation only.

pub mod control;
pub mod status;
