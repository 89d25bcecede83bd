//! Every VPS, SPS and PPS a camera sent, by kind and id: several of each are legal, and a recorder that keeps one is silently wrong.
//!
//! Sets come from the session description and in band; a later one replaces an earlier one of the same kind and id. The bytes are
//! copied out of their packets, because a set outlives them. Bounded in number (by the ids) and in bytes.

use std::collections::BTreeMap;

use super::{Codec, VideoParameters, bits::BitsError, h264, h265, picture_format::PictureFormat};
use bytes::Bytes;

/// Longest parameter set kept, in bytes. The largest seen from cameras and encoders are below 300.
pub const PARAMETER_SET_LEN_MAX: usize = 4096;
/// Most bytes kept of all sets of a stream: they must fit into a run's header on disk.
pub const PARAMETER_SETS_LEN_MAX: usize = 16 * 1024;

/// Kind of a parameter set, in the order in which decoders want them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SetKind {
    /// Video parameter set (H.265 only).
    Vps,
    /// Sequence parameter set.
    Sps,
    /// Picture parameter set.
    Pps,
}

/// A parameter set that is not kept. Its NAL unit is stored with its frame all the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ParameterSetError {
    /// Not a parameter set of this codec.
    #[error("NAL unit of type {nal_type} is no parameter set of {}", codec.name())]
    Kind {
        /// The codec of the stream.
        codec: Codec,
        /// The type found.
        nal_type: u8,
    },
    /// Cannot be read.
    #[error("parameter set of {length} bytes cannot be read: {source}")]
    Syntax {
        /// Length of the NAL unit.
        length: usize,
        /// Where it ends being readable.
        #[source]
        source: BitsError,
    },
    /// Over a limit.
    #[error(
        "parameter set of {length} bytes is over the limit ({PARAMETER_SET_LEN_MAX} each, {PARAMETER_SETS_LEN_MAX} in all)"
    )]
    TooLong {
        /// Length of the NAL unit.
        length: usize,
    },
}

#[derive(Clone, Debug)]
enum Content {
    Vps,
    H264Sps(h264::Sps),
    H265Sps(h265::Sps),
    Pps { sps_id: u8 },
}

#[derive(Clone, Debug)]
struct ParameterSet {
    nal: Bytes,
    content: Content,
}

/// The parameter sets of one video track.
#[derive(Clone, Debug)]
pub struct ParameterSets {
    codec: Codec,
    sets: BTreeMap<(SetKind, u8), ParameterSet>,
    len: usize,
    revision: u64,
}

impl ParameterSets {
    /// No sets yet.
    ///
    /// # Panics
    /// When `codec` is not a video codec.
    pub fn new(codec: Codec) -> Self {
        assert!(codec.is_video());
        Self {
            codec,
            sets: BTreeMap::new(),
            len: 0,
            revision: 0,
        }
    }

    /// Keeps a set given as a whole NAL unit; says whether anything changed.
    pub fn insert(&mut self, nal: &[u8]) -> Result<bool, ParameterSetError> {
        if self.sets.values().any(|set| set.nal == nal) {
            return Ok(false);
        }
        let length = nal.len();
        if length > PARAMETER_SET_LEN_MAX {
            return Err(ParameterSetError::TooLong { length });
        }
        let (key, content) = self.parse(nal)?;
        let replaced = self.sets.get(&key).map_or(0, |set| set.nal.len());
        if self.len - replaced + length > PARAMETER_SETS_LEN_MAX {
            return Err(ParameterSetError::TooLong { length });
        }
        self.len = self.len - replaced + length;
        self.revision += 1;
        let nal = Bytes::copy_from_slice(nal);
        self.sets.insert(key, ParameterSet { nal, content });
        Ok(true)
    }

    fn parse(&self, nal: &[u8]) -> Result<((SetKind, u8), Content), ParameterSetError> {
        let syntax = |source| ParameterSetError::Syntax {
            length: nal.len(),
            source,
        };
        let header = *nal.first().ok_or(syntax(BitsError { at: 0 }))?;
        match self.codec {
            Codec::H264 => match h264::nal_type_of(header) {
                h264::nal_type::SPS => {
                    let sps = h264::Sps::parse(nal).map_err(syntax)?;
                    Ok(((SetKind::Sps, sps.id), Content::H264Sps(sps)))
                }
                h264::nal_type::PPS => {
                    let h264::Pps { id, sps_id } = h264::Pps::parse(nal).map_err(syntax)?;
                    Ok(((SetKind::Pps, id), Content::Pps { sps_id }))
                }
                nal_type => Err(ParameterSetError::Kind {
                    codec: self.codec,
                    nal_type,
                }),
            },
            _ => match h265::nal_type_of(header) {
                h265::nal_type::VPS => {
                    let id = h265::vps_id(nal).map_err(syntax)?;
                    Ok(((SetKind::Vps, id), Content::Vps))
                }
                h265::nal_type::SPS => {
                    let sps = h265::Sps::parse(nal).map_err(syntax)?;
                    Ok(((SetKind::Sps, sps.id), Content::H265Sps(sps)))
                }
                h265::nal_type::PPS => {
                    let h265::Pps { id, sps_id } = h265::Pps::parse(nal).map_err(syntax)?;
                    Ok(((SetKind::Pps, id), Content::Pps { sps_id }))
                }
                nal_type => Err(ParameterSetError::Kind {
                    codec: self.codec,
                    nal_type,
                }),
            },
        }
    }

    /// The sets of a stored run, read back from its parameters. Sets that cannot be read are left out.
    pub fn of(codec: Codec, parameters: &VideoParameters) -> Self {
        let mut sets = Self::new(codec);
        for nal in &parameters.parameter_sets {
            // The caller sees the missing set when it asks for what was in it.
            let _ = sets.insert(nal);
        }
        sets
    }

    /// Grows whenever a set changes.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// The NAL units of one kind by rising id.
    pub fn nals(&self, kind: SetKind) -> impl Iterator<Item = &Bytes> {
        self.sets
            .range((kind, 0)..=(kind, u8::MAX))
            .map(|(_, set)| &set.nal)
    }

    /// The H.264 SPS that a PPS refers to.
    pub fn h264_sps_of(&self, pps_id: u8) -> Option<&h264::Sps> {
        match self.sps_of(pps_id)? {
            Content::H264Sps(sps) => Some(sps),
            _ => None,
        }
    }

    /// The H.265 SPS that a PPS refers to.
    pub fn h265_sps_of(&self, pps_id: u8) -> Option<&h265::Sps> {
        match self.sps_of(pps_id)? {
            Content::H265Sps(sps) => Some(sps),
            _ => None,
        }
    }

    /// The H.264 SPS with the lowest id.
    pub fn h264_sps(&self) -> Option<&h264::Sps> {
        self.sets.values().find_map(|set| match &set.content {
            Content::H264Sps(sps) => Some(sps),
            _ => None,
        })
    }

    /// The H.265 SPS with the lowest id.
    pub fn h265_sps(&self) -> Option<&h265::Sps> {
        self.sets.values().find_map(|set| match &set.content {
            Content::H265Sps(sps) => Some(sps),
            _ => None,
        })
    }

    fn sps_of(&self, pps_id: u8) -> Option<&Content> {
        let Content::Pps { sps_id } = self.sets.get(&(SetKind::Pps, pps_id))?.content else {
            return None;
        };
        Some(&self.sets.get(&(SetKind::Sps, sps_id))?.content)
    }

    /// The picture format that a PPS leads to; without a PPS id, that of the lowest SPS that some PPS refers to.
    pub fn format(&self, pps_id: Option<u8>) -> Option<&PictureFormat> {
        let content = match pps_id {
            Some(id) => self.sps_of(id),
            None => self
                .sets
                .range((SetKind::Pps, 0)..)
                .find_map(|((_, id), _)| self.sps_of(*id)),
        }?;
        match content {
            Content::H264Sps(sps) => Some(&sps.format),
            Content::H265Sps(sps) => Some(&sps.format),
            _ => None,
        }
    }

    /// All sets with the size of the pictures that use `pps_id`; `None` until that PPS and its SPS are known.
    pub fn video_parameters(&self, pps_id: Option<u8>) -> Option<VideoParameters> {
        let format = self.format(pps_id)?;
        Some(VideoParameters {
            width: format.width,
            height: format.height,
            parameter_sets: self.sets.values().map(|set| set.nal.clone()).collect(),
        })
    }

    /// The codec string of RFC 6381 for players, from the lowest SPS.
    pub fn codec_string(&self) -> Option<String> {
        match self.codec {
            Codec::H264 => self.h264_sps().map(h264::Sps::codec_string),
            _ => self.h265_sps().map(h265::Sps::codec_string),
        }
    }

    /// The most pictures that may stand before another in decode order and be shown after it, by any SPS; 0 without B-frames.
    pub fn reorder_frames_max(&self) -> Option<u8> {
        let frames = self.sets.values().filter_map(|set| match &set.content {
            Content::H264Sps(sps) => Some(sps.reorder_frames_max()),
            Content::H265Sps(sps) => Some(sps.reorder_frames),
            _ => None,
        });
        frames.max()
    }
}
