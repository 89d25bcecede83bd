//! `nvring`: the storage engine of a network video recorder.
//!
//! Two straight lines run through it (arrows are calls or data handed on):
//!
//! ```text
//! camera → ingest/pull → media/depacketise → media/timeline → store/tail → store/writer → format/block → disk/uring → store/index
//! client → api/http    → playback/plan → store/index → store/reader → disk/uring → format/block → playback/mp4 → client
//! ```
//!
//! The modules below are declared in the order in which a newcomer should read them; each may use only those above it that
//! `tests/tidy.rs` lists.

pub mod base;

pub mod media;

pub mod format;

pub mod disk;

pub mod store;

pub mod catalog;

pub mod ingest;

pub mod playback;

pub mod access;

pub mod api;

pub mod cli;
