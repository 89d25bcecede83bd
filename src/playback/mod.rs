//! From a time range to MP4.
