//! One supervised task per stream, from camera to tail.
