//! Session descriptions (RFC 4566) as cameras write them: only what is needed to receive their media.
//!
//! Cameras break the grammar in many ways, so nothing here refuses a description: lines that are not understood are skipped,
//! and a medium without a usable clock rate simply cannot be received. The format parameters are handed to `media::Depacketiser`
//! untouched.

/// Most media of one description that are looked at.
const MEDIA_MAX: usize = 32;

/// A description.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Description {
    /// `a=control` of the whole session (RFC 2326 §C.1.1).
    pub(crate) control: Option<String>,
    /// The media in order.
    pub(crate) media: Vec<Medium>,
}

/// One `m=` section. Where it offers several payload types, the first counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Medium {
    /// `video`, `audio`, `application`, …
    pub(crate) kind: String,
    /// RTP payload type.
    pub(crate) payload_type: u8,
    /// Encoding name in lower case; empty when nothing tells it.
    pub(crate) encoding: String,
    /// RTP ticks per second; 0 when nothing tells it.
    pub(crate) clock_rate: u32,
    /// Channels, where told.
    pub(crate) channels: Option<u16>,
    /// Format parameters (`a=fmtp`) behind the payload type.
    pub(crate) fmtp: Option<String>,
    /// `a=control`.
    pub(crate) control: Option<String>,
    /// Whether the camera only takes this medium (`a=sendonly` in a back channel, ONVIF Streaming §5.3).
    pub(crate) is_back_channel: bool,
}

impl Description {
    /// Reads a description; bytes that are no UTF-8 become replacement characters, which no needed field holds.
    pub(crate) fn parse(bytes: &[u8]) -> Self {
        let text = String::from_utf8_lossy(bytes);
        let mut description = Self::default();
        for line in text.lines().map(str::trim_end) {
            match line.split_once('=') {
                Some(("m", value)) => {
                    if description.media.len() == MEDIA_MAX {
                        break;
                    }
                    description.media.push(Medium::begin(value));
                }
                Some(("a", value)) => match description.media.last_mut() {
                    Some(medium) => medium.attribute(value),
                    None => {
                        if let Some(control) = value.strip_prefix("control:") {
                            description.control = Some(control.trim().to_owned());
                        }
                    }
                },
                _ => {}
            }
        }
        description
    }
}

impl Medium {
    /// `video 0 RTP/AVP 96`.
    fn begin(value: &str) -> Self {
        let mut words = value.split_whitespace();
        let kind = words.next().unwrap_or_default().to_ascii_lowercase();
        let payload_type = words.nth(2).and_then(|word| word.parse().ok());
        let payload_type = payload_type.unwrap_or(u8::MAX);
        let (encoding, clock_rate, channels) = static_type(payload_type).unwrap_or(("", 0, None));
        Self {
            kind,
            payload_type,
            encoding: encoding.to_owned(),
            clock_rate,
            channels,
            ..Self::default()
        }
    }

    fn attribute(&mut self, value: &str) {
        let (name, value) = value.split_once(':').unwrap_or((value, ""));
        match name.trim() {
            "control" => self.control = Some(value.trim().to_owned()),
            "sendonly" => self.is_back_channel = true,
            "rtpmap" => {
                if let Some(map) = self.of_this_type(value) {
                    let mut parts = map.split('/').map(str::trim);
                    self.encoding = parts.next().unwrap_or_default().to_ascii_lowercase();
                    self.clock_rate = parts.next().and_then(|rate| rate.parse().ok()).unwrap_or(0);
                    self.channels = parts.next().and_then(|channels| channels.parse().ok());
                }
            }
            "fmtp" => {
                if let Some(format) = self.of_this_type(value) {
                    self.fmtp = Some(format.to_owned());
                }
            }
            _ => {}
        }
    }

    /// What stands behind the payload type, when it is this medium's.
    fn of_this_type<'v>(&self, value: &'v str) -> Option<&'v str> {
        let value = value.trim();
        let (number, rest) = value.split_once(char::is_whitespace)?;
        (number.parse() == Ok(self.payload_type)).then(|| rest.trim())
    }
}

/// Payload types with a fixed meaning that cameras use (RFC 3551 §6).
fn static_type(payload_type: u8) -> Option<(&'static str, u32, Option<u16>)> {
    Some(match payload_type {
        0 => ("pcmu", 8_000, Some(1)),
        3 => ("gsm", 8_000, Some(1)),
        4 => ("g723", 8_000, Some(1)),
        8 => ("pcma", 8_000, Some(1)),
        9 => ("g722", 8_000, Some(1)),
        14 => ("mpa", 90_000, None),
        26 => ("jpeg", 90_000, None),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::seed::Seed;

    const CAMERA: &str = "v=0\r\no=- 1 1 IN IP4 10.0.0.7\r\ns=x\r\na=control:rtsp://10.0.0.7/s/\r\nm=video 0 RTP/AVP 96\r\n\
        a=rtpmap:97 WRONG/1\r\na=rtpmap:96 H264/90000 \r\na=fmtp:96 packetization-mode=1; sprop-parameter-sets=Z0,aA\r\na=control:trackID=0\r\n\
        m=audio 0 RTP/AVP 8\r\na=control:trackID=1\r\nm=audio 0 RTP/AVP 97\r\na=rtpmap:97 MPEG4-GENERIC/16000/2\r\na=fmtp:97\r\na=sendonly\r\n\
        m=application 0 RTP/AVP 107\na=rtpmap:107 vnd.onvif.metadata/90000\n";

    #[test]
    fn a_camera_is_read_as_written() {
        let description = Description::parse(CAMERA.as_bytes());
        assert_eq!(description.control.as_deref(), Some("rtsp://10.0.0.7/s/"));
        let [video, alaw, back, metadata] = description.media.as_slice() else {
            panic!("{description:?}");
        };
        assert_eq!((video.kind.as_str(), video.payload_type), ("video", 96));
        assert_eq!(
            (video.encoding.as_str(), video.clock_rate),
            ("h264", 90_000)
        );
        assert_eq!(
            video.fmtp.as_deref(),
            Some("packetization-mode=1; sprop-parameter-sets=Z0,aA")
        );
        assert_eq!((alaw.encoding.as_str(), alaw.clock_rate), ("pcma", 8_000));
        assert_eq!(alaw.control.as_deref(), Some("trackID=1"));
        assert_eq!((back.channels, back.is_back_channel), (Some(2), true));
        assert_eq!(metadata.encoding, "vnd.onvif.metadata");
    }

    #[test]
    fn broken_descriptions_never_panic() {
        let mut seed = Seed::new(4566);
        for _ in 0..2_000 {
            let mut bytes = CAMERA.as_bytes().to_vec();
            for _ in 0..seed.below(20) {
                let at = seed.below(bytes.len() as u64) as usize;
                bytes[at] = seed.next() as u8;
            }
            bytes.truncate(seed.below(bytes.len() as u64 + 1) as usize);
            Description::parse(&bytes);
        }
        let many = "m=video 0 RTP/AVP 96\n".repeat(1000);
        assert_eq!(Description::parse(many.as_bytes()).media.len(), MEDIA_MAX);
    }
}
