//! From a time range to what a client plays.
//!
//! Reading order: `plan` finds the blocks of a range; `body` gives any byte range of the file; `movie` is what an MP4 is made
//! from; `mp4` is the file as a layout of head and blocks, made by `cut` (which frames), `decode_times`, `output_tracks` with
//! `sample_entry`, `sample_tables` and `head`; `check` reads a finished file back after `box_tree` found that its boxes add up.

pub mod body;
pub mod movie;
pub mod mp4;
pub mod plan;
pub mod wall_clock_box;

pub mod check;

mod box_tree;
mod boxes;
mod cut;
mod decode_times;
mod head;
mod output_tracks;
mod sample_entry;
mod sample_tables;
