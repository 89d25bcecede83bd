//! From a time range to what a client plays.
//!
//! Reading order: `plan` finds the blocks of a range, `groups` its groups of pictures; `live` gives frames as they come; `body` gives any
//! byte range of the file, with `read_ahead`; `movie` is what an MP4 is made from; `mp4` is the file as a layout of head and blocks, made
//! by `cut` (which frames), `decode_times`, `output_tracks` with `sample_entry`, `sample_tables` and `head`; `fragment` is the same in
//! pieces, of what `fragment_tracks` says, `fragmented` a whole file of them, `parts`, `part_file` and `hls` give them to players that
//! take one after the other, with `live_window` and `growing_list` for lists that change; `live_fragments` to those who watch live;
//! `replay` gives frames one by one from any time on, either way; `key_frames` and `still` give single pictures, `jpeg` as everybody can
//! look at them; `check` reads a finished file back after `box_tree` found that its boxes add up.

pub mod body;
pub mod groups;
pub mod kept_files;
pub mod live;
pub mod live_fragments;
pub mod movie;
pub mod mp4;
pub mod plan;
pub mod read_ahead;
pub mod replay;
pub mod wall_clock_box;

pub mod fragment;
pub mod fragment_tracks;
pub mod fragmented;
pub mod growing_list;
pub mod hls;
pub mod live_window;
pub mod part_file;
pub mod parts;

pub mod key_frames;
pub mod still;

#[cfg(feature = "jpeg")]
pub mod jpeg;

pub mod check;

mod box_tree;
mod boxes;
mod cut;
mod decode_times;
mod fragment_heads;
mod head;
mod output_tracks;
mod recent_times;
mod sample_clock;
mod sample_entry;
mod sample_tables;
