//! Session descriptions (RFC 8866): what a client learns of a stream before it sets anything up.
//!
//! Everything about a track's format comes from its packetiser. Pictures are sent in the order in which they are decoded, with the times at
//! which they are shown (RFC 6184 §5.1, RFC 7798 §4.1); no attribute tells of reordering, since none of the formats in use interleaves
//! units (`packetization-mode=1`, no `sprop-max-don-diff`), and a decoder finds in the parameter sets how many pictures it must hold back.

use super::address::Address;
use crate::media::{Codec, ParameterSets, PayloadFormat, Track, TrackId, TrackSet};
use sdp_types::{Attribute, Connection, Media, MediaType, Origin, Session, Time, TransportProto};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What a description tells besides the tracks.
#[derive(Clone, Debug)]
pub(super) struct Told {
    /// The server's address as the client reached it.
    pub(super) server: IpAddr,
    /// Tells two versions of a description apart.
    pub(super) version: u64,
    /// Attributes of the session as a whole, such as `range`.
    pub(super) attributes: Vec<(&'static str, String)>,
}

/// The description of the tracks that can be sent.
pub(super) fn describe(address: &Address, tracks: &TrackSet, told: &Told) -> String {
    let anywhere = match told.server {
        IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    };
    let origin = Origin::with_ip_addr(told.version.to_string(), told.version, told.server);
    let mut session = Session::new(origin, &address.camera);
    session.set_connection(Connection::from_ip_addr(anywhere));
    session.add_time(Time::new(0, 0));
    session.add_attribute_with_value("tool", "nvring");
    session.add_attribute_with_value("control", "*");
    for (name, value) in &told.attributes {
        session.add_attribute_with_value(name, value);
    }
    let mut kinds = [0; 3];
    for (number, track) in tracks
        .tracks
        .iter()
        .enumerate()
        .take(usize::from(u8::MAX) / 2)
    {
        let number = number as u8;
        if let Ok(format) = PayloadFormat::of(TrackId(number), track) {
            let mut media = media(address, number, track, &format);
            media.add_attribute_with_value("x-onvif-track", track_reference(&format, &mut kinds));
            session.add_media(media);
        }
    }
    let mut text = Vec::new();
    // Writing to memory cannot fail.
    let _ = session.write(&mut text);
    String::from_utf8_lossy(&text).into_owned()
}

/// The track's name in ONVIF's recording services: its kind and the number among those of its kind.
fn track_reference(format: &PayloadFormat, kinds: &mut [usize; 3]) -> String {
    let [video, audio, metadata] = kinds;
    let (name, count) = match format.kind {
        "video" => ("VIDEO", video),
        "audio" => ("AUDIO", audio),
        _ => ("META", metadata),
    };
    *count += 1;
    format!("{name}{:03}", *count - 1)
}

fn media(address: &Address, number: u8, track: &Track, format: &PayloadFormat) -> Media {
    let kind = match format.kind {
        "video" => MediaType::Video,
        "audio" => MediaType::Audio,
        _ => MediaType::Application,
    };
    let payload = format.payload_type;
    let mut media = Media::new(kind, 0, TransportProto::RtpAvp, payload);
    media.add_attribute_with_value("rtpmap", format!("{payload} {}", format.map()));
    if !format.parameters.is_empty() {
        media.add_attribute_with_value("fmtp", format!("{payload} {}", format.parameters));
    }
    media.add_attributes(pictures(track));
    media.add_attribute_from_str("recvonly");
    media.add_attribute_with_value("control", address.control(number));
    media
}

/// Rate and size of pictures, where known.
fn pictures(track: &Track) -> Vec<Attribute> {
    let Some(video) = track
        .video
        .as_ref()
        .filter(|_| matches!(track.codec, Codec::H264 | Codec::H265))
    else {
        return Vec::new();
    };
    let sets = ParameterSets::of(track.codec, video);
    let rate = sets.format(None).and_then(|format| format.frame_rate());
    let rate = rate.filter(|rate| (0.01..=1_000.0).contains(rate));
    let rate =
        rate.map(|rate| Attribute::with_value("framerate", (rate * 1_000.0).round() / 1_000.0));
    let sized = video.width > 0 && video.height > 0;
    let size = sized.then(|| {
        Attribute::with_value("x-dimensions", format!("{},{}", video.width, video.height))
    });
    rate.into_iter().chain(size).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::{AudioParameters, VideoParameters};
    use url::Url;

    #[test]
    fn tracks_are_described_as_their_packets_are_and_found_again() {
        let sound = |codec, clock_rate| Track {
            codec,
            clock_rate,
            video: None,
            audio: Some(AudioParameters {
                sample_rate: clock_rate,
                channels: 1,
                config: bytes::Bytes::new(),
            }),
            encoding: String::new(),
        };
        let video = VideoParameters {
            width: 640,
            height: 360,
            parameter_sets: Vec::new(),
        };
        let pictures = Track {
            codec: Codec::H264,
            clock_rate: 90_000,
            video: Some(video),
            audio: None,
            encoding: String::new(),
        };
        // The AAC track has no configuration and cannot be sent: it is left out, and the numbers of the others stay.
        let set = TrackSet {
            tracks: vec![
                pictures,
                sound(Codec::Aac, 48_000),
                sound(Codec::PcmA, 8_000),
            ],
        };
        let told = Told {
            server: IpAddr::from([10, 0, 0, 1]),
            version: 7,
            attributes: vec![("range", "npt=now-".to_owned())],
        };
        let address = |text| Address::parse(&Url::parse(text).expect("a URL")).expect("an address");
        let text = describe(&address("rtsp://h/gate"), &set, &told);
        let expected = "v=0\r\no=- 7 7 IN IP4 10.0.0.1\r\ns=gate\r\nc=IN IP4 0.0.0.0\r\nt=0 0\r\na=tool:nvring\r\na=control:*\r\n\
            a=range:npt=now-\r\nm=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\na=fmtp:96 packetization-mode=1\r\n\
            a=x-dimensions:640,360\r\na=recvonly\r\na=control:trackID=0\r\na=x-onvif-track:VIDEO000\r\nm=audio 0 RTP/AVP 8\r\na=rtpmap:8 PCMA/8000\r\n\
            a=recvonly\r\na=control:trackID=2\r\na=x-onvif-track:AUDIO000\r\n";
        assert_eq!(text, expected);
        let text = describe(
            &address("rtsp://h/gate?start=2026-11-26T00:00:00Z"),
            &set,
            &told,
        );
        assert!(
            text.contains("a=control:rtsp://h/gate/trackID=2?start=2026-11-26T00:00:00Z\r\n"),
            "{text}"
        );
    }
}
