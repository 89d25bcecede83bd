//! The SQLite catalog: cameras and what is known of them.
