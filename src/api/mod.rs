//! HTTP: translation only.

mod complaints;
pub mod control;
pub mod http;
pub mod mediamtx;
mod places;
pub mod rtsp;
pub mod status;
pub mod timeline;
