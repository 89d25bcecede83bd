//! `nvring volume format`: an empty directory becomes a volume.

use crate::{
    base::units::ByteSize,
    catalog::DEFAULT_POOL,
    cli::{context::Context, error::CliError, output::print_line, progress::Progress},
    format::PAGE,
    store::{
        pool::format_volume,
        volume::{FormatOptions, SEGMENT_LEN_MIN},
    },
};
use std::path::PathBuf;

/// The length of a segment on volumes of ordinary size.
const SEGMENT_LEN: u64 = 256 << 20;
/// A volume gets at least so many segments unless told otherwise: the ring gives up one at a time.
const SEGMENTS: u64 = 64;

/// Make a volume in an empty directory, all of its space allocated at once.
///
/// Refuses a directory that holds anything. The volume then takes recordings when it is named in the configuration:
/// [[volume]] path = "DIR".
#[derive(clap::Args, Debug)]
pub(super) struct Args {
    /// The directory; made if it is not there
    #[arg(value_name = "DIR")]
    path: PathBuf,
    /// Space for recordings, such as 2TiB
    #[arg(long)]
    size: ByteSize,
    /// Length of a segment, the piece in which the ring forgets [default: 256MiB, or 1/64 of a smaller volume]
    #[arg(long, value_name = "SIZE")]
    segment_size: Option<ByteSize>,
    /// The pool it belongs to
    #[arg(long, value_name = "NAME", default_value = DEFAULT_POOL)]
    pool: String,
}

pub(super) fn run(args: Args, context: &Context) -> Result<(), CliError> {
    let options = FormatOptions {
        size: args.size,
        segment_len: args.segment_size.unwrap_or(segment_len(args.size)),
        pool: crate::catalog::collation::normalise(&args.pool),
        volume: *uuid::Uuid::new_v4().as_bytes(),
    };
    let bar = Progress::count("format", 0);
    let superblock = format_volume(
        &args.path,
        &options,
        &*context.clock(),
        &mut |done, whole| {
            bar.set_total(whole);
            bar.set(done);
        },
    );
    drop(bar);
    let superblock = superblock.map_err(|error| match error {
        error @ crate::store::volume::VolumeError::Geometry { .. } => CliError::usage(error),
        error => CliError::failed(error),
    })?;
    let segments = u64::from(superblock.segment_count);
    print_line(format!(
        "{}: volume {} of {} ({segments} segments of {}) in pool `{}`",
        args.path.display(),
        uuid::Uuid::from_bytes(superblock.volume),
        ByteSize(segments * superblock.segment_len),
        ByteSize(superblock.segment_len),
        superblock.pool,
    ))
}

/// The length of a segment for a volume of `size`.
fn segment_len(size: ByteSize) -> ByteSize {
    let share = size.0 / SEGMENTS / PAGE * PAGE;
    ByteSize(share.clamp(SEGMENT_LEN_MIN, SEGMENT_LEN))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_volume_of_any_size_has_at_least_64_segments_where_they_fit() {
        for (size, expected) in [
            (2u64 << 40, 256u64 << 20),
            (1 << 30, 16 << 20),
            (1_000_000_000, 15_622_144),
            (4 << 20, 64 << 10),
            (1 << 20, 64 << 10),
        ] {
            let len = segment_len(ByteSize(size)).0;
            assert_eq!(len, expected, "{size}");
            assert!(size / len >= 64 || len == SEGMENT_LEN_MIN);
        }
    }
}
