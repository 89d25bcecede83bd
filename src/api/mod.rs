//! HTTP: translation only.

pub mod control;
pub mod http;
pub mod status;
