//! The head of an MP4: `ftyp`, the wall clock box, `moov` and the header of `mdat` of a progressive one, and the boxes of `moov` that a
//! fragmented one has too, or has instead.
//!
//! All header boxes are version 1, because microseconds since 1904 or of a day do not fit into 32 bits.

use super::{
    boxes::BoxWriter,
    movie::ShownRun,
    output_tracks::{MOVIE_TIMESCALE, OutputTrack},
    sample_tables::SampleTables,
    wall_clock_box::write_wall_clock,
};
use crate::{base::UnixMicros, media::FrameKind};

/// Seconds from 1904-01-01, where MP4 counts from, to 1970-01-01 (ISO 14496-12 §8.2.2.3).
const MP4_TO_UNIX_SECONDS: i64 = 2_082_844_800;

/// ISO 639-2/T `und` in three times five bits (ISO 14496-12 §8.4.2.3).
const LANGUAGE_UNDETERMINED: u16 = 0x55c4;

/// Longest `mdat` header.
const MDAT_HEADER_LEN_MAX: u64 = 16;

/// A finished track.
#[derive(Debug)]
pub(crate) struct HeadTrack<'a> {
    /// Codec, sample entries and size.
    pub(crate) output: &'a OutputTrack,
    /// Its samples.
    pub(crate) tables: SampleTables,
    /// Its first instant shown, on the movie's clock (≥ 0).
    pub(crate) start_us: i64,
    /// Its first instant not shown any more.
    pub(crate) end_us: i64,
}

impl HeadTrack<'_> {
    fn end(&self) -> u64 {
        self.end_us.max(self.start_us).unsigned_abs()
    }
}

/// Writes the head of a file whose `mdat` holds `body_len` bytes.
pub(crate) fn write_head(
    writer: &mut BoxWriter,
    runs: &[ShownRun],
    tracks: &mut [HeadTrack<'_>],
    body_len: u64,
) {
    writer.container(b"ftyp", |ftyp| {
        ftyp.raw(b"isom");
        ftyp.u32(0x200);
        ftyp.raw(b"isomiso2mp41");
    });
    write_wall_clock(writer, runs);
    // With 32-bit offsets the tables are shortest: when the end of the file is still in reach, all offsets are.
    let tables: u64 = tracks
        .iter()
        .map(|track| track.tables.weight() as u64 + 4096)
        .sum();
    let entries = tracks.iter().flat_map(|track| &track.output.entries);
    let entries: u64 = entries.map(|entry| entry.len() as u64).sum();
    let bound = writer.len() as u64 + tables + entries + MDAT_HEADER_LEN_MAX + body_len;
    let wide = bound > u64::from(u32::MAX);
    let creation = creation_time(runs.first().map_or(UnixMicros(0), |run| run.wall_start));
    let mut open_tables = Vec::with_capacity(tracks.len());
    writer.container(b"moov", |moov| {
        let duration = tracks.iter().map(HeadTrack::end).max().unwrap_or(0);
        write_movie_header(moov, creation, duration, tracks.len());
        for (number, track) in tracks.iter_mut().enumerate() {
            let id = number as u32 + 1;
            open_tables.push(write_track(moov, creation, id, track, wide));
        }
    });
    write_mdat_header(writer, body_len);
    let body = writer.len() as u64;
    for (track, table) in tracks.iter().zip(open_tables) {
        track.tables.fill_offsets(writer, table, body, wide);
    }
}

/// When what is shown happened, as MP4 counts.
pub(crate) fn creation_time(wall_start: UnixMicros) -> u64 {
    let seconds = wall_start.0.div_euclid(1_000_000) + MP4_TO_UNIX_SECONDS;
    seconds.max(0).unsigned_abs()
}

fn write_mdat_header(writer: &mut BoxWriter, body_len: u64) {
    match u32::try_from(body_len + 8) {
        Ok(size) => {
            writer.u32(size);
            writer.raw(b"mdat");
        }
        Err(_) => {
            writer.u32(1); // the length follows in 64 bits
            writer.raw(b"mdat");
            writer.u64(body_len + MDAT_HEADER_LEN_MAX);
        }
    }
}

/// ISO 14496-12 §8.2.2.
pub(crate) fn write_movie_header(
    moov: &mut BoxWriter,
    creation: u64,
    duration: u64,
    tracks: usize,
) {
    moov.full(b"mvhd", 1, 0, |mvhd| {
        mvhd.u64(creation);
        mvhd.u64(creation);
        mvhd.u32(MOVIE_TIMESCALE);
        mvhd.u64(duration);
        mvhd.u32(0x1_0000); // normal rate
        mvhd.u16(0x100); // full volume
        mvhd.zeros(10);
        mvhd.unity_matrix();
        mvhd.zeros(24);
        mvhd.u32(tracks as u32 + 1);
    });
}

fn write_track(
    moov: &mut BoxWriter,
    creation: u64,
    id: u32,
    track: &mut HeadTrack<'_>,
    wide: bool,
) -> usize {
    let mut table = 0;
    moov.container(b"trak", |trak| {
        write_track_header(trak, creation, id, track.end(), track.output);
        write_edits(trak, track);
        trak.container(b"mdia", |mdia| {
            write_media_header(mdia, creation, track.tables.duration(), track.output);
            mdia.container(b"minf", |minf| {
                write_media_information(minf, track.output);
                minf.container(b"stbl", |stbl| {
                    write_sample_entries(stbl, track.output);
                    table = track.tables.write(stbl, wide);
                });
            });
        });
    });
    table
}

/// ISO 14496-12 §8.5.2.
pub(crate) fn write_sample_entries(stbl: &mut BoxWriter, track: &OutputTrack) {
    stbl.full(b"stsd", 0, 0, |stsd| {
        stsd.u32(track.entries.len() as u32);
        track.entries.iter().for_each(|entry| stsd.raw(entry));
    });
}

/// ISO 14496-12 §8.3.2.
pub(crate) fn write_track_header(
    trak: &mut BoxWriter,
    creation: u64,
    id: u32,
    duration: u64,
    track: &OutputTrack,
) {
    const ENABLED_IN_MOVIE: u32 = 3;
    trak.full(b"tkhd", 1, ENABLED_IN_MOVIE, |tkhd| {
        tkhd.u64(creation);
        tkhd.u64(creation);
        tkhd.u32(id);
        tkhd.zeros(4);
        tkhd.u64(duration);
        tkhd.zeros(8);
        tkhd.u16(0); // layer
        tkhd.u16(0); // alternate_group: none
        tkhd.u16(if track.codec.is_audio() { 0x100 } else { 0 });
        tkhd.zeros(2);
        tkhd.unity_matrix();
        tkhd.u32(u32::from(track.size.0) << 16);
        tkhd.u32(u32::from(track.size.1) << 16);
    });
}

/// The edit list (ISO 14496-12 §8.6.6): starts the track exactly where the range does, whatever its first sample's time, and ends
/// it there too. It also takes back the shift that decode times need.
fn write_edits(trak: &mut BoxWriter, track: &HeadTrack<'_>) {
    let start = track.start_us.unsigned_abs();
    let shown = track.end() - start;
    let media_time = track.output.ticks(track.start_us) - track.tables.first_decode();
    trak.container(b"edts", |edts| {
        edts.full(b"elst", 1, 0, |elst| {
            elst.u32(if start > 0 { 2 } else { 1 });
            if start > 0 {
                elst.u64(start);
                elst.u64(u64::MAX); // media time -1: nothing is shown
                elst.u32(0x1_0000);
            }
            elst.u64(shown);
            elst.u64(media_time.max(0).unsigned_abs());
            elst.u32(0x1_0000); // normal rate
        });
    });
}

/// `mdhd` and `hdlr`, ISO 14496-12 §8.4.2 and §8.4.3.
pub(crate) fn write_media_header(
    mdia: &mut BoxWriter,
    creation: u64,
    duration: u64,
    track: &OutputTrack,
) {
    mdia.full(b"mdhd", 1, 0, |mdhd| {
        mdhd.u64(creation);
        mdhd.u64(creation);
        mdhd.u32(track.timescale);
        mdhd.u64(duration);
        mdhd.u16(LANGUAGE_UNDETERMINED);
        mdhd.u16(0);
    });
    let (handler, name) = match track.codec {
        codec if codec.is_video() => (b"vide", "Video"),
        codec if codec.is_audio() => (b"soun", "Sound"),
        _ => (b"meta", "Metadata"),
    };
    mdia.full(b"hdlr", 0, 0, |hdlr| {
        hdlr.u32(0);
        hdlr.raw(handler);
        hdlr.zeros(12);
        hdlr.text(name);
    });
}

/// The media header of its kind and where the samples are: in this file.
pub(crate) fn write_media_information(minf: &mut BoxWriter, track: &OutputTrack) {
    match track.codec {
        codec if codec.is_video() => minf.full(b"vmhd", 0, 1, |vmhd| vmhd.zeros(8)),
        codec if codec.is_audio() => minf.full(b"smhd", 0, 0, |smhd| smhd.zeros(4)),
        _ => minf.full(b"nmhd", 0, 0, |_| {}),
    }
    minf.container(b"dinf", |dinf| {
        dinf.full(b"dref", 0, 0, |dref| {
            dref.u32(1);
            dref.full(b"url ", 0, 1, |_| {});
        });
    });
}

/// `mvex`: the samples are in fragments (ISO 14496-12 §8.8.1 to §8.8.3). `duration` of all of them, when it is known.
pub(crate) fn write_extends<'a>(
    moov: &mut BoxWriter,
    duration: Option<u64>,
    tracks: impl Iterator<Item = (u32, &'a OutputTrack)>,
) {
    moov.container(b"mvex", |mvex| {
        if let Some(duration) = duration {
            mvex.full(b"mehd", 1, 0, |mehd| mehd.u64(duration));
        }
        for (id, track) in tracks {
            mvex.full(b"trex", 0, 0, |trex| {
                trex.u32(id);
                trex.u32(1); // the first sample entry
                trex.zeros(8); // duration and size: told by each sample
                let kind = if track.codec.is_video() {
                    FrameKind::Reference
                } else {
                    FrameKind::Key
                };
                trex.u32(sample_flags(kind));
            });
        }
    });
}

/// A track whose samples are all in fragments.
pub(crate) fn write_empty_track(moov: &mut BoxWriter, creation: u64, id: u32, track: &OutputTrack) {
    moov.container(b"trak", |trak| {
        write_track_header(trak, creation, id, 0, track);
        trak.container(b"mdia", |mdia| {
            write_media_header(mdia, creation, 0, track);
            mdia.container(b"minf", |minf| {
                write_media_information(minf, track);
                minf.container(b"stbl", |stbl| {
                    write_sample_entries(stbl, track);
                    for kind in [b"stts", b"stsc"] {
                        stbl.full(kind, 0, 0, |table| table.u32(0));
                    }
                    stbl.full(b"stsz", 0, 0, |stsz| stsz.zeros(8));
                    stbl.full(b"stco", 0, 0, |stco| stco.u32(0));
                });
            });
        });
    });
}

/// ISO 14496-12 §8.8.3.1: what the sample depends on, whether any depends on it, and whether decoding can start at it.
pub(crate) fn sample_flags(kind: FrameKind) -> u32 {
    const LEADING: u32 = 1 << 26;
    const DEPENDS: u32 = 1 << 24;
    const DEPENDS_ON_NONE: u32 = 2 << 24;
    const NONE_DEPENDS: u32 = 2 << 22;
    const NO_SYNC: u32 = 1 << 16;
    match kind {
        FrameKind::Key => DEPENDS_ON_NONE,
        FrameKind::Reference | FrameKind::Damaged => DEPENDS | NO_SYNC,
        FrameKind::Disposable => DEPENDS | NONE_DEPENDS | NO_SYNC,
        FrameKind::Leading => LEADING | DEPENDS | NO_SYNC,
    }
}
