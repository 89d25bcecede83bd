//! What PLAY orders: which time, how fast, which frames (RFC 2326 §10.5, ONVIF Streaming Specification, "Replay").
//!
//! All headers of the order are read here, for live and replay alike; nothing is known here of what is recorded. A header that cannot be
//! read is refused, never ignored: a client that asks for one second of the past and gets the present would show the wrong video.

use super::{
    message::Request,
    response::{Refusal, Status},
};
use crate::base::{Micros, UnixMicros};

/// The feature tag of ONVIF replay.
pub const ONVIF_REPLAY: &str = "onvif-replay";
/// Greatest value of `Scale` and `Speed`.
pub const PACE_MAX: f64 = 1_000.0;

/// A point of `npt=` (RFC 2326 §3.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NormalTime {
    /// The live edge.
    Now,
    /// So long after the beginning of the presentation.
    At(Micros),
}

/// The `Range` of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlayRange {
    /// Wall-clock times (§3.7).
    Clock {
        /// From here.
        start: Option<UnixMicros>,
        /// To here; before `start` where the order is to play backwards.
        end: Option<UnixMicros>,
    },
    /// Times of the presentation.
    Normal {
        /// From here.
        start: Option<NormalTime>,
        /// To here.
        end: Option<NormalTime>,
    },
}

/// Which frames are wanted: ONVIF's `Frames`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum FramesWanted {
    /// All.
    #[default]
    All,
    /// Those that others need.
    Predicted,
    /// Key frames, at least so far apart.
    Intra {
        /// The distance; zero is every one.
        interval: Micros,
    },
}

/// An order.
#[derive(Clone, Debug, PartialEq)]
pub struct PlayOrder {
    /// Number of the request.
    pub cseq: u32,
    /// Which time; `None` where the client leaves it to the session: the beginning, or where it paused.
    pub range: Option<PlayRange>,
    /// How much faster than it was recorded; below zero backwards.
    pub scale: f64,
    /// How much faster than that it is sent; `None` where nothing is said.
    pub speed: Option<f64>,
    /// Whether the server keeps the pace; else everything goes as fast as the client reads.
    pub rate_control: bool,
    /// Which frames.
    pub frames: FramesWanted,
    /// Whether this ends what is being played.
    pub immediate: bool,
    /// Whether the client speaks of ONVIF replay: by `Require` or by one of its headers.
    pub onvif: bool,
}

impl PlayOrder {
    /// Reads the headers of a PLAY.
    ///
    /// # Errors
    /// With 457 for a range, 400 for another header that cannot be read, 456 for a value that makes no sense.
    pub fn read(request: &Request) -> Result<Self, Refusal> {
        let required = request.header("Require").unwrap_or_default();
        let onvif = ["Rate-Control", "Frames", "Immediate"]
            .iter()
            .any(|name| request.header(name).is_some());
        let scale = pace(request, "Scale")?.unwrap_or(1.0);
        let speed = pace(request, "Speed")?;
        if speed.is_some_and(|speed| speed < 0.0) {
            return Err(Refusal::new(
                Status::HeaderFieldNotValid,
                "Speed below zero; play backwards with Scale",
            ));
        }
        Ok(Self {
            cseq: request.cseq.unwrap_or_default(),
            range: request.header("Range").map(range).transpose()?,
            scale,
            speed,
            rate_control: switch(request, "Rate-Control")?.unwrap_or(true),
            frames: request
                .header("Frames")
                .map(frames)
                .transpose()?
                .unwrap_or_default(),
            immediate: switch(request, "Immediate")?.unwrap_or(false),
            onvif: onvif || tags(required).any(|tag| tag.eq_ignore_ascii_case(ONVIF_REPLAY)),
        })
    }

    /// Whether this is for what is sent now: nothing is said of time or only "from the beginning" or "from now", as clients do that know
    /// no wall-clock times, and nothing of replay.
    pub fn is_live(&self) -> bool {
        let from_now = match self.range {
            None => true,
            Some(PlayRange::Normal { start, end: None }) => {
                matches!(
                    start,
                    None | Some(NormalTime::Now | NormalTime::At(Micros::ZERO))
                )
            }
            Some(_) => false,
        };
        from_now && !self.onvif && self.scale == 1.0
    }
}

/// The tags of `Require`.
pub fn tags(value: &str) -> impl Iterator<Item = &str> {
    value
        .split(',')
        .map(str::trim)
        .filter(|tag| !tag.is_empty())
}

fn pace(request: &Request, name: &'static str) -> Result<Option<f64>, Refusal> {
    let Some(text) = request.header(name) else {
        return Ok(None);
    };
    let pace: f64 = text.trim().parse().map_err(|_| {
        Refusal::new(
            Status::BadRequest,
            format!("{name}: write a number such as 1.0"),
        )
    })?;
    if pace.is_finite() && pace != 0.0 && pace.abs() <= PACE_MAX {
        return Ok(Some(pace));
    }
    let why = format!("{name} must not be 0, and at most {PACE_MAX}");
    Err(Refusal::new(Status::HeaderFieldNotValid, why))
}

fn switch(request: &Request, name: &'static str) -> Result<Option<bool>, Refusal> {
    match request
        .header(name)
        .map(|value| value.trim().to_ascii_lowercase())
        .as_deref()
    {
        None => Ok(None),
        Some("yes") => Ok(Some(true)),
        Some("no") => Ok(Some(false)),
        Some(_) => Err(Refusal::new(
            Status::BadRequest,
            format!("{name}: write yes or no"),
        )),
    }
}

fn frames(value: &str) -> Result<FramesWanted, Refusal> {
    let value = value.trim().to_ascii_lowercase();
    let wrong = || {
        Refusal::new(
            Status::BadRequest,
            "Frames: write all, predicted, intra or intra/MILLISECONDS",
        )
    };
    match (&*value, value.strip_prefix("intra/")) {
        ("all", _) => Ok(FramesWanted::All),
        ("predicted", _) => Ok(FramesWanted::Predicted),
        ("intra", _) => Ok(FramesWanted::Intra {
            interval: Micros::ZERO,
        }),
        (_, Some(millis)) => {
            let millis: u32 = millis.trim().parse().map_err(|_| wrong())?;
            Ok(FramesWanted::Intra {
                interval: Micros::from_millis(i64::from(millis)),
            })
        }
        _ => Err(wrong()),
    }
}

/// `UNIT=START-END[;time=…]`, of which the second part says when the order is to be done: now (RFC 2326 §12.29).
fn range(value: &str) -> Result<PlayRange, Refusal> {
    let wrong = |why: &str| Refusal::new(Status::InvalidRange, format!("Range: {why}"));
    let ranges = value.split(';').next().unwrap_or_default().trim();
    let (unit, ends) = ranges
        .split_once('=')
        .ok_or_else(|| wrong("write UNIT=START-END"))?;
    let (start, end) = ends
        .split_once('-')
        .ok_or_else(|| wrong("there is no `-` between start and end"))?;
    let (start, end) = (start.trim(), end.trim());
    let given = |text: &str| !text.is_empty();
    match &*unit.trim().to_ascii_lowercase() {
        "clock" => {
            let time = |text: &str| {
                clock(text).ok_or_else(|| wrong("write times such as 20261126T010203.5Z"))
            };
            Ok(PlayRange::Clock {
                start: Some(start)
                    .filter(|text| given(text))
                    .map(time)
                    .transpose()?,
                end: Some(end).filter(|text| given(text)).map(time).transpose()?,
            })
        }
        "npt" => {
            let time = |text: &str| {
                normal(text)
                    .ok_or_else(|| wrong("write seconds such as 12.5, or 0:00:12.5, or now"))
            };
            let start = Some(start)
                .filter(|text| given(text))
                .map(time)
                .transpose()?;
            let end = Some(end).filter(|text| given(text)).map(time).transpose()?;
            if start.is_none() && end.is_none() {
                return Err(wrong("neither start nor end"));
            }
            Ok(PlayRange::Normal { start, end })
        }
        _ => Err(wrong("only clock= and npt= are understood")),
    }
}

/// `hh:mm:ss.fraction`, seconds, or `now`.
fn normal(text: &str) -> Option<NormalTime> {
    if text.eq_ignore_ascii_case("now") {
        return Some(NormalTime::Now);
    }
    let mut parts = text.split(':').rev();
    let seconds = fraction(parts.next()?)?;
    let mut whole = |unit: i64| {
        parts
            .next()
            .map_or(Some(0), |part| number(part, 9).map(|count| count * unit))
    };
    let minutes = whole(60)?;
    let hours = whole(3_600)?;
    let micros = (minutes + hours)
        .checked_mul(1_000_000)?
        .checked_add(seconds)?;
    parts
        .next()
        .is_none()
        .then_some(NormalTime::At(Micros(micros)))
}

/// Seconds with a fraction, in microseconds.
fn fraction(text: &str) -> Option<i64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let fraction = fraction.get(..6).unwrap_or(fraction);
    let scale = 10_i64.checked_pow(6 - fraction.len() as u32)?;
    let fraction = if fraction.is_empty() {
        0
    } else {
        number(fraction, 6)?
    };
    number(whole, 9)?
        .checked_mul(1_000_000)?
        .checked_add(fraction * scale)
}

/// Digits, at most `len_max`.
fn number(text: &str, len_max: usize) -> Option<i64> {
    let digits =
        !text.is_empty() && text.len() <= len_max && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

/// `YYYYMMDDThhmmss.fractionZ`; times with separators are taken as well, since clients write them.
fn clock(text: &str) -> Option<UnixMicros> {
    let basic = text
        .strip_suffix(['Z', 'z'])
        .and_then(|text| text.split_once(['T', 't']));
    let Some((date, time)) = basic.filter(|(date, _)| !date.contains('-')) else {
        return text.parse().ok();
    };
    let (time, fraction) = time.split_once('.').unwrap_or((time, "0"));
    if date.len() != 8 || time.len() != 6 || !date.is_ascii() || !time.is_ascii() {
        return None;
    }
    let (date, time) = (
        (&date[..4], &date[4..6], &date[6..]),
        (&time[..2], &time[2..4], &time[4..]),
    );
    let extended = format!(
        "{}-{}-{}T{}:{}:{}.{fraction}Z",
        date.0, date.1, date.2, time.0, time.1, time.2
    );
    extended.parse().ok()
}

/// A wall-clock time as `Range` writes it.
pub fn clock_text(time: UnixMicros) -> String {
    time.to_string().replace(['-', ':'], "")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::rtsp::message::{Inbox, Incoming};

    fn read(headers: &str) -> Result<PlayOrder, u16> {
        let mut inbox = Inbox::default();
        let text = format!("PLAY rtsp://h/gate RTSP/1.0\r\nCSeq: 300\r\n{headers}\r\n");
        inbox.buffer().extend_from_slice(text.as_bytes());
        let Ok(Some(Incoming::Request(request))) = inbox.read() else {
            panic!("{headers}");
        };
        PlayOrder::read(&request).map_err(|refusal| refusal.status.code())
    }

    fn time(text: &str) -> Option<UnixMicros> {
        Some(text.parse().expect("a time"))
    }

    /// What ffmpeg, retina and GStreamer send when somebody just wants to watch, and what they send for the past.
    #[test]
    fn live_is_told_from_replay() {
        for headers in [
            "",
            "Range: npt=0.000-\r\n",
            "Range: npt=0-\r\n",
            "Range: npt=now-\r\n",
            "Scale: 1.0\r\nSpeed: 1.0\r\n",
        ] {
            assert!(read(headers).expect("an order").is_live(), "{headers}");
        }
        for headers in [
            "Range: clock=19000101T000000Z-\r\n",
            "Range: npt=10-\r\n",
            "Range: npt=0-20\r\n",
            "Rate-Control: no\r\n",
            "Frames: intra\r\n",
            "Immediate: yes\r\n",
            "Require: onvif-replay\r\n",
            "Scale: -1\r\n",
        ] {
            assert!(!read(headers).expect("an order").is_live(), "{headers}");
        }
    }

    #[test]
    fn times_are_read_to_the_microsecond() {
        let clock = |value: &str| {
            read(&format!("Range: clock={value}\r\n"))
                .expect("an order")
                .range
        };
        let expected = |start, end| Some(PlayRange::Clock { start, end });
        assert_eq!(
            clock("20261126T010203.123456Z-20261126T010204Z"),
            expected(
                time("2026-11-26T01:02:03.123456Z"),
                time("2026-11-26T01:02:04Z")
            )
        );
        assert_eq!(
            clock("19000101T000000.5Z-;time=now"),
            expected(time("1900-01-01T00:00:00.5Z"), None)
        );
        let npt = |value: &str| {
            read(&format!("Range: npt={value}\r\n"))
                .expect("an order")
                .range
        };
        let at = |micros| Some(NormalTime::At(Micros(micros)));
        let expected = |start, end| Some(PlayRange::Normal { start, end });
        assert_eq!(
            npt("12.25-1:02:03.5"),
            expected(at(12_250_000), at(3_723_500_000))
        );
        assert_eq!(npt("-20"), expected(None, at(20_000_000)));
        assert_eq!(
            npt("0.1234567-now"),
            expected(at(123_456), Some(NormalTime::Now))
        );
        let told = time("2026-11-26T01:02:03.5Z")
            .map(clock_text)
            .expect("a time");
        assert_eq!(super::clock(&told), time("2026-11-26T01:02:03.5Z"));
    }

    #[test]
    fn replay_headers_are_read() {
        let order = read(
            "Range: clock=20261126T010203Z-\r\nScale: -2.5\r\nSpeed: 3\r\nRate-Control: no\r\nFrames: intra/4000\r\nImmediate: yes\r\n",
        );
        let order = order.expect("an order");
        assert_eq!(
            (order.cseq, order.scale, order.speed),
            (300, -2.5, Some(3.0))
        );
        assert_eq!(
            (order.rate_control, order.immediate, order.onvif),
            (false, true, true)
        );
        assert_eq!(
            order.frames,
            FramesWanted::Intra {
                interval: Micros::from_secs(4)
            }
        );
        assert_eq!(
            read("Frames: Predicted\r\n").map(|order| order.frames),
            Ok(FramesWanted::Predicted)
        );
    }

    #[test]
    fn what_cannot_be_read_has_its_status() {
        for (headers, status) in [
            ("Range: npt=a-\r\n", 457),
            ("Range: npt=-\r\n", 457),
            ("Range: npt=1:2:3:4-\r\n", 457),
            ("Range: npt=99999999999999999999-\r\n", 457),
            ("Range: clock=2026-\r\n", 457),
            ("Range: clock=20261126T0102é3Z-\r\n", 457),
            ("Range: clock=20261326T010203Z-\r\n", 457),
            ("Range: smpte=10:07:33-\r\n", 457),
            ("Range: bytes=0-1\r\n", 457),
            ("Range: now\r\n", 457),
            ("Scale: fast\r\n", 400),
            ("Scale: 0\r\n", 456),
            ("Scale: inf\r\n", 456),
            ("Scale: 1e9\r\n", 456),
            ("Speed: -1\r\n", 456),
            ("Rate-Control: maybe\r\n", 400),
            ("Immediate: 1\r\n", 400),
            ("Frames: some\r\n", 400),
            ("Frames: intra/soon\r\n", 400),
        ] {
            assert_eq!(read(headers).map(|_| ()), Err(status), "{headers}");
        }
    }
}
