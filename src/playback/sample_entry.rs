//! Sample entries: what a decoder must know, as the boxes of `stsd`.
//!
//! Video is `avc1` and `hvc1` with every parameter set of the run, while the sets the camera sent in band stay in the samples:
//! ISO 14496-15 keeps `avc1` for streams without in-band sets, but recordings are evidence and are given out byte for byte, and
//! every player tried takes it. `avc3` and `hev1` would be the letter of the standard, but are known to fewer players.
//! G.711 is `ulaw` and `alaw` as QuickTime names them; ISO has no name for it.

use super::boxes::BoxWriter;
use crate::media::{
    AudioParameters, Codec, Track, VideoParameters,
    h264::{self, nal_type_of as h264_type},
    h265::{self, nal_type_of as h265_type},
    parameter_sets::ParameterSets,
    picture_format::{Colour, PictureFormat},
};
use bytes::Bytes;

/// Namespace of ONVIF metadata documents, for the `metx` sample entry (ONVIF Export File Format §5.3).
const ONVIF_NAMESPACE: &str = "http://www.onvif.org/ver10/schema";

/// Longest parameter set that has room in `avcC` and `hvcC`, whose lengths have 16 bits.
const SET_LEN_MAX: usize = u16::MAX as usize;

/// The sample entry of `track` as one whole box.
pub(crate) fn sample_entry(track: &Track) -> Vec<u8> {
    let mut writer = BoxWriter::new();
    let video = track.video.clone().unwrap_or_default();
    let audio = track.audio.clone().unwrap_or_default();
    match track.codec {
        Codec::H264 => video_entry(&mut writer, b"avc1", track.codec, &video, write_avcc),
        Codec::H265 => video_entry(&mut writer, b"hvc1", track.codec, &video, write_hvcc),
        Codec::Aac => audio_entry(&mut writer, b"mp4a", &audio, audio.sample_rate, write_esds),
        Codec::PcmMu => audio_entry(&mut writer, b"ulaw", &audio, audio.sample_rate, |_, _| {}),
        Codec::PcmA => audio_entry(&mut writer, b"alaw", &audio, audio.sample_rate, |_, _| {}),
        // The rate of an Opus entry is 48 kHz whatever was encoded (Opus in ISOBMFF §4.3.1).
        Codec::Opus => audio_entry(&mut writer, b"Opus", &audio, 48_000, write_dops),
        Codec::Opaque => writer.container(b"metx", |entry| {
            start_entry(entry);
            entry.text(""); // content_encoding: none
            entry.text(ONVIF_NAMESPACE);
            entry.text(""); // schema_location
        }),
    }
    writer.finish()
}

/// Width and height at which pictures of `track` are meant to be shown, in pixels.
pub(crate) fn shown_size(track: &Track) -> (u16, u16) {
    let Some(video) = &track.video else {
        return (0, 0);
    };
    let sets = ParameterSets::of(track.codec, video);
    let width = match sets.format(None).and_then(|format| format.sample_aspect) {
        Some((across, down)) if down > 0 => {
            let width = u64::from(video.width) * u64::from(across) / u64::from(down);
            u16::try_from(width).unwrap_or(video.width)
        }
        _ => video.width,
    };
    (width, video.height)
}

/// The fields every sample entry starts with (ISO 14496-12 §8.5.2.2).
fn start_entry(entry: &mut BoxWriter) {
    entry.zeros(6);
    entry.u16(1); // data_reference_index: this file
}

/// ISO 14496-12 §12.1.3.
fn video_entry(
    writer: &mut BoxWriter,
    kind: &[u8; 4],
    codec: Codec,
    video: &VideoParameters,
    configuration: fn(&mut BoxWriter, &VideoParameters, &ParameterSets),
) {
    let sets = ParameterSets::of(codec, video);
    writer.container(kind, |entry| {
        start_entry(entry);
        entry.zeros(16);
        entry.u16(video.width);
        entry.u16(video.height);
        entry.u32(72 << 16); // horizontal resolution, fixed by the standard
        entry.u32(72 << 16); // vertical resolution
        entry.u32(0);
        entry.u16(1); // frame_count
        entry.zeros(32); // compressorname
        entry.u16(0x18); // depth: colour without alpha
        entry.u16(u16::MAX); // pre_defined
        configuration(entry, video, &sets);
        if let Some(format) = sets.format(None) {
            write_appearance(entry, format);
        }
    });
}

/// `pasp` and `colr`, where the camera says something players would not assume (ISO 14496-12 §12.1.4, §12.1.5).
fn write_appearance(entry: &mut BoxWriter, format: &PictureFormat) {
    if let Some((across, down)) = format.sample_aspect
        && across != down
    {
        entry.container(b"pasp", |pasp| {
            pasp.u32(u32::from(across));
            pasp.u32(u32::from(down));
        });
    }
    let unsaid = Colour {
        primaries: 2,
        transfer: 2,
        matrix: 2,
        full_range: false,
    };
    if let Some(colour) = format.colour
        && colour != unsaid
    {
        entry.container(b"colr", |colr| {
            colr.raw(b"nclx");
            colr.u16(u16::from(colour.primaries));
            colr.u16(u16::from(colour.transfer));
            colr.u16(u16::from(colour.matrix));
            colr.u8(u8::from(colour.full_range) << 7);
        });
    }
}

fn sets_of(video: &VideoParameters, is_kind: impl Fn(u8) -> bool, most: usize) -> Vec<&Bytes> {
    video
        .parameter_sets
        .iter()
        .filter(|nal| nal.len() <= SET_LEN_MAX)
        .filter(|nal| nal.first().is_some_and(|&header| is_kind(header)))
        .take(most)
        .collect()
}

fn write_sets(writer: &mut BoxWriter, sets: &[&Bytes]) {
    for set in sets {
        writer.u16(set.len() as u16);
        writer.raw(set);
    }
}

/// AVCDecoderConfigurationRecord, ISO 14496-15 §5.3.3.1.2.
fn write_avcc(entry: &mut BoxWriter, video: &VideoParameters, sets: &ParameterSets) {
    let sequence = sets_of(video, |header| h264_type(header) == h264::nal_type::SPS, 31);
    let picture = sets_of(
        video,
        |header| h264_type(header) == h264::nal_type::PPS,
        255,
    );
    entry.container(b"avcC", |avcc| {
        avcc.u8(1); // configurationVersion
        let profile: [u8; 3] = sequence
            .first()
            .and_then(|sps| sps.get(1..4)?.try_into().ok())
            .unwrap_or([66, 0, 30]);
        avcc.raw(&profile);
        avcc.u8(0xfc | 3); // lengths have 4 bytes
        avcc.u8(0xe0 | sequence.len() as u8);
        write_sets(avcc, &sequence);
        avcc.u8(picture.len() as u8);
        write_sets(avcc, &picture);
        if !matches!(profile[0], 66 | 77 | 88)
            && let Some(sps) = sets.h264_sps()
        {
            avcc.u8(0xfc | sps.format.chroma);
            avcc.u8(0xf8 | sps.format.bit_depth_luma.saturating_sub(8));
            avcc.u8(0xf8 | sps.format.bit_depth_chroma.saturating_sub(8));
            avcc.u8(0); // no SPS extensions
        }
    });
}

/// HEVCDecoderConfigurationRecord, ISO 14496-15 §8.3.3.1.2.
fn write_hvcc(entry: &mut BoxWriter, video: &VideoParameters, sets: &ParameterSets) {
    let sps = sets.h265_sps();
    let format = sps.map(|sps| sps.format.clone()).unwrap_or_default();
    entry.container(b"hvcC", |hvcc| {
        hvcc.u8(1); // configurationVersion
        match sps.map(|sps| &sps.profile) {
            Some(profile) => {
                hvcc.u8(profile.space << 6 | u8::from(profile.high_tier) << 5 | profile.profile);
                hvcc.u32(profile.compatibility);
                hvcc.raw(&profile.constraints);
                hvcc.u8(profile.level);
            }
            None => hvcc.zeros(12),
        }
        hvcc.u16(0xf000 | sps.map_or(0, |sps| sps.min_spatial_segmentation & 0x0fff));
        hvcc.u8(0xfc); // parallelismType: unknown
        hvcc.u8(0xfc | format.chroma);
        hvcc.u8(0xf8 | format.bit_depth_luma.saturating_sub(8));
        hvcc.u8(0xf8 | format.bit_depth_chroma.saturating_sub(8));
        hvcc.u16(0); // avgFrameRate: not told
        let layers = sps.map_or(1, |sps| sps.temporal_layers.clamp(1, 7));
        let nesting = sps.is_some_and(|sps| sps.temporal_nesting);
        hvcc.u8(layers << 3 | u8::from(nesting) << 2 | 3); // lengths have 4 bytes
        let kinds = [
            h265::nal_type::VPS,
            h265::nal_type::SPS,
            h265::nal_type::PPS,
        ];
        hvcc.u8(kinds.len() as u8);
        for kind in kinds {
            let nals = sets_of(video, |header| h265_type(header) == kind, 255);
            hvcc.u8(0x80 | kind); // array_completeness, which hvc1 asks for
            hvcc.u16(nals.len() as u16);
            write_sets(hvcc, &nals);
        }
    });
}

/// ISO 14496-12 §12.2.3.
fn audio_entry(
    writer: &mut BoxWriter,
    kind: &[u8; 4],
    audio: &AudioParameters,
    rate: u32,
    configuration: fn(&mut BoxWriter, &AudioParameters),
) {
    writer.container(kind, |entry| {
        start_entry(entry);
        entry.zeros(8);
        entry.u16(u16::from(audio.channels.max(1)));
        entry.u16(16); // samplesize after decoding
        entry.u32(0);
        // 16.16 fixed point; rates beyond it stand in the codec's own configuration.
        entry.u32(u16::try_from(rate).map_or(0, |rate| u32::from(rate) << 16));
        configuration(entry, audio);
    });
}

/// ES_Descriptor with the AudioSpecificConfig, ISO 14496-14 §5.6 and ISO 14496-1 §7.2.6.
fn write_esds(entry: &mut BoxWriter, audio: &AudioParameters) {
    let config = audio.config.get(..100).unwrap_or(&audio.config[..]);
    let length = config.len() as u8; // one byte of length holds up to 127
    entry.full(b"esds", 0, 0, |esds| {
        let decoder_length = 13 + 2 + length;
        esds.raw(&[3, 3 + 2 + decoder_length + 3]);
        esds.u16(0); // ES_ID: zero inside a file
        esds.u8(0); // no further fields
        esds.raw(&[4, decoder_length]);
        esds.u8(0x40); // objectTypeIndication: MPEG-4 audio
        esds.u8(5 << 2 | 1); // streamType: audio
        esds.zeros(3 + 4 + 4); // bufferSizeDB and bit rates: not told
        esds.raw(&[5, length]);
        esds.raw(config);
        esds.raw(&[6, 1, 2]); // SLConfigDescriptor: as MP4 files have it
    });
}

/// OpusSpecificBox (Opus in ISOBMFF §4.3.2); RTP has no pre-skip to tell.
fn write_dops(entry: &mut BoxWriter, audio: &AudioParameters) {
    entry.container(b"dOps", |dops| {
        dops.u8(0); // Version
        dops.u8(audio.channels.clamp(1, 2));
        dops.u16(0); // PreSkip
        dops.u32(audio.sample_rate);
        dops.u16(0); // OutputGain
        dops.u8(0); // ChannelMappingFamily: mono or stereo, RFC 7587
    });
}
