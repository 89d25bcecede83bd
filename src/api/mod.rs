//! HTTP: translation only.
