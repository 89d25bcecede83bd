//! Which of a camera's media are recorded: the first H.264 or H.265 video as track 0, then sound and metadata.
//!
//! Never set up what would fail: a back channel, a medium without a clock, video in another codec, a mode no depacketiser knows. One bad
//! medium does not cost the others.

use super::{
    error::PullError,
    sdp::{Description, Medium},
};
use crate::media::Depacketiser;

/// Most tracks of a stream.
pub(crate) const TRACKS_MAX: usize = 8;
/// Most characters of offered encodings that an error shows.
const OFFERED_LEN_MAX: usize = 120;

/// A track to be set up.
#[derive(Debug)]
pub(crate) struct ChosenTrack {
    /// Index into the description's media.
    pub(crate) medium: usize,
    /// Takes its packets.
    pub(crate) depacketiser: Depacketiser,
}

/// The media to set up, in the order of their track ids.
pub(crate) fn choose(description: &Description) -> Result<Vec<ChosenTrack>, PullError> {
    let (mut video, mut others, mut refusal) = (None, Vec::new(), None);
    for (index, medium) in description.media.iter().enumerate() {
        let is_video = matches!(medium.encoding.as_str(), "h264" | "h265");
        if !is_wanted(medium) || (is_video && video.is_some()) {
            continue;
        }
        let made = Depacketiser::new(
            &medium.encoding,
            medium.clock_rate,
            medium.channels,
            medium.fmtp.as_deref(),
        );
        match made {
            Ok(depacketiser) => {
                let track = ChosenTrack {
                    medium: index,
                    depacketiser,
                };
                if is_video {
                    video = Some(track);
                } else {
                    others.push(track);
                }
            }
            // A video track that cannot be taken must not look like a stream of sound.
            Err(error) if is_video => {
                refusal = Some(PullError::Track {
                    why: error.to_string(),
                });
            }
            Err(_) => {}
        }
    }
    match (video, refusal) {
        (None, Some(refusal)) => Err(refusal),
        (video, _) => {
            let tracks: Vec<_> = video.into_iter().chain(others).take(TRACKS_MAX).collect();
            if tracks.is_empty() {
                return Err(PullError::NoTrack {
                    offered: offered(description),
                });
            }
            Ok(tracks)
        }
    }
}

fn is_wanted(medium: &Medium) -> bool {
    let receivable =
        !medium.is_back_channel && medium.clock_rate > 0 && !medium.encoding.is_empty();
    receivable
        && match medium.kind.as_str() {
            "video" => matches!(medium.encoding.as_str(), "h264" | "h265"),
            "audio" | "application" => true,
            _ => false,
        }
}

/// The encodings offered, with nothing in them but letters, digits, dots and hyphens.
fn offered(description: &Description) -> String {
    let names: Vec<String> = description
        .media
        .iter()
        .map(|medium| {
            let name = medium.encoding.chars();
            name.filter(|c| c.is_ascii_alphanumeric() || ".-".contains(*c))
                .take(30)
                .collect()
        })
        .filter(|name: &String| !name.is_empty())
        .collect();
    let mut text = names.join(", ");
    text.truncate(OFFERED_LEN_MAX);
    if text.is_empty() {
        text.push_str("nothing");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn medium(kind: &str, encoding: &str, clock_rate: u32) -> Medium {
        Medium {
            kind: kind.into(),
            encoding: encoding.into(),
            clock_rate,
            ..Medium::default()
        }
    }

    fn chosen(media: Vec<Medium>) -> Result<Vec<usize>, PullError> {
        let description = Description {
            control: None,
            media,
        };
        choose(&description).map(|tracks| tracks.iter().map(|track| track.medium).collect())
    }

    #[test]
    fn video_comes_first_and_what_would_fail_is_left_out() {
        let back = Medium {
            is_back_channel: true,
            ..medium("audio", "pcmu", 8_000)
        };
        let media = vec![
            medium("audio", "pcma", 8_000),
            back,
            medium("video", "jpeg", 90_000),
            medium("video", "h265", 90_000),
            medium("video", "h264", 90_000),
            medium("application", "vnd.onvif.metadata", 90_000),
            medium("audio", "opus", 0),
        ];
        assert_eq!(chosen(media).unwrap(), [3, 0, 5]);
    }

    #[test]
    fn video_that_cannot_be_taken_is_told_and_never_recorded_as_sound_alone() {
        let strange = Medium {
            fmtp: Some("packetization-mode=2".into()),
            ..medium("video", "h264", 90_000)
        };
        let error = chosen(vec![strange, medium("audio", "pcma", 8_000)]).unwrap_err();
        assert!(
            error.to_string().contains("packetization-mode=2"),
            "{error}"
        );
        let error = chosen(vec![medium("video", "jpeg", 90_000)]).unwrap_err();
        assert!(error.to_string().contains("it offers: jpeg"), "{error}");
        assert_eq!(chosen(vec![medium("audio", "pcma", 8_000)]).unwrap(), [0]);
    }
}
