//! Faults: what can be made to go wrong with a simulated camera, by name on the command line or by value from code.

use std::str::FromStr;
use std::time::Duration;

/// Something that goes wrong. Settings stay until they are set again; events happen once.
#[derive(Clone, Debug, PartialEq)]
pub enum Fault {
    /// Setting: each RTP packet is lost with this probability before it is sent (so over TCP too).
    Drop(f64),
    /// Setting: each RTP packet is sent twice with this probability.
    Duplicate(f64),
    /// Setting: each RTP packet changes places with the next one with this probability.
    Reorder(f64),
    /// Setting: connections that name the camera are closed without an answer.
    Refuse(bool),
    /// Setting: every request is answered 401, whatever the credentials.
    Unauthorized(bool),
    /// Setting: microseconds by which the camera's wall clock (RTCP sender reports) is wrong.
    NtpOffset(i64),
    /// Setting: what a request gets that keeps a playing session alive.
    KeepAlive(KeepAlive),
    /// Setting: a session ends when its client has been silent for the session timeout, over TCP too; over UDP, RTCP alone counts.
    Strict(bool),
    /// Setting: the description tells that packets carry decoding order numbers (H.264 packetization mode 2, H.265 `sprop-max-don-diff`).
    DecodingOrder(bool),
    /// Event: the camera sends nothing for this time and goes on at a key frame; the frames between were never made.
    Stall(Duration),
    /// Event: nothing arrives for this time, then everything at once.
    Lag(Duration),
    /// Event: broken bytes are sent to each session.
    Garbage(Garbage),
    /// Event: the RTP timestamps jump by this many milliseconds and stay there.
    ClockJump(i64),
    /// Event: at the next IDR picture the camera goes over to another clip of the same codec, thus to other parameter sets.
    Switch(String),
    /// Event: all connections to the camera are closed, and new ones for this time; sessions come back with a new SSRC and sequence.
    Restart(Duration),
}

/// What a camera says to a request that keeps a session alive. It takes note of the request in any case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum KeepAlive {
    /// 200 with the request's number.
    #[default]
    Answered,
    /// Nothing.
    Unanswered,
    /// 200 with another number.
    Misnumbered,
}

/// Which bytes are broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Garbage {
    /// An additional packet of random bytes on the video channel.
    Packet,
    /// The next frame's packets carry random bytes behind good RTP headers.
    Payload,
    /// A packet that announces more bytes than follow, so that a TCP client loses the framing.
    Framing,
}

/// When a fault happens.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum When {
    /// Once, this long after the server's start.
    At(Duration),
    /// Again and again at this interval.
    Every(Duration),
    /// At each frame with this probability.
    Chance(f64),
}

/// Which cameras a fault meets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Which {
    /// Every camera.
    All,
    /// The camera of this name, such as `cam3` or `h264b/0`.
    Named(String),
}

impl Which {
    /// Camera number `number` of those the server starts with.
    pub fn number(number: usize) -> Self {
        Which::Named(format!("cam{number}"))
    }

    pub(crate) fn covers(&self, name: &str) -> bool {
        match self {
            Which::All => true,
            Which::Named(wanted) => wanted == name,
        }
    }
}

/// A fault with its cameras and its time.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    /// Which cameras.
    pub which: Which,
    /// What goes wrong.
    pub fault: Fault,
    /// When.
    pub when: When,
}

/// Why a rule on the command line cannot be understood.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum RuleError {
    /// No colon.
    #[error("'{0}' is not CAMERA:FAULT[=VALUE][@WHEN]; for example cam3:stall=5s@20s")]
    Shape(String),
    /// No such fault.
    #[error(
        "there is no fault '{0}'; use drop, duplicate, reorder, refuse, unauthorized, ntp, deaf, strict, order, stall, lag, garbage, jump, switch or restart"
    )]
    Fault(String),
    /// The value or time does not fit.
    #[error("'{value}' does not fit {what}; {wanted}")]
    Value {
        /// What was given.
        value: String,
        /// For which part of the rule.
        what: String,
        /// What would fit.
        wanted: &'static str,
    },
}

impl FromStr for Rule {
    type Err = RuleError;

    fn from_str(text: &str) -> Result<Self, RuleError> {
        let (camera, rest) = text
            .split_once(':')
            .ok_or_else(|| RuleError::Shape(text.to_owned()))?;
        let (what, when) = match rest.split_once('@') {
            Some((what, when)) => (what, parse_when(when)?),
            None => (rest, When::At(Duration::ZERO)),
        };
        let (name, value) = what.split_once('=').unwrap_or((what, ""));
        let which = match camera {
            "*" | "all" => Which::All,
            digits if digits.bytes().all(|b| b.is_ascii_digit()) => {
                Which::Named(format!("cam{digits}"))
            }
            name => Which::Named(name.to_owned()),
        };
        Ok(Self {
            which,
            fault: parse_fault(name, value)?,
            when,
        })
    }
}

fn parse_fault(name: &str, value: &str) -> Result<Fault, RuleError> {
    let wrong = |wanted| RuleError::Value {
        value: value.to_owned(),
        what: name.to_owned(),
        wanted,
    };
    let probability = || chance(value).ok_or_else(|| wrong("give a probability from 0 to 1"));
    let time = || duration(value).ok_or_else(|| wrong("give a time such as 500ms, 5s or 2m"));
    let switch = || match value {
        "" | "on" => Ok(true),
        "off" => Ok(false),
        _ => Err(wrong("give on or off")),
    };
    let signed = || {
        let (sign, rest) = value
            .strip_prefix('-')
            .map_or((1, value), |rest| (-1, rest));
        let time = duration(rest).ok_or_else(|| wrong("give a time such as -500ms, 5s or 2m"))?;
        Ok(sign * time.as_micros() as i64)
    };
    Ok(match name {
        "drop" => Fault::Drop(probability()?),
        "duplicate" => Fault::Duplicate(probability()?),
        "reorder" => Fault::Reorder(probability()?),
        "refuse" => Fault::Refuse(switch()?),
        "unauthorized" => Fault::Unauthorized(switch()?),
        "ntp" => Fault::NtpOffset(signed()?),
        "deaf" => Fault::KeepAlive(match value {
            "" | "on" => KeepAlive::Unanswered,
            "off" => KeepAlive::Answered,
            "misnumbered" => KeepAlive::Misnumbered,
            _ => return Err(wrong("give on, off or misnumbered")),
        }),
        "strict" => Fault::Strict(switch()?),
        "order" => Fault::DecodingOrder(switch()?),
        "stall" => Fault::Stall(time()?),
        "lag" => Fault::Lag(time()?),
        "garbage" => Fault::Garbage(match value {
            "" | "packet" => Garbage::Packet,
            "payload" => Garbage::Payload,
            "framing" => Garbage::Framing,
            _ => return Err(wrong("give packet, payload or framing")),
        }),
        "jump" => Fault::ClockJump(signed()? / 1_000),
        "switch" if crate::clip::find(value).is_some() => Fault::Switch(value.to_owned()),
        "switch" => return Err(wrong("give the name of a clip (camsim clips lists them)")),
        "restart" if value.is_empty() => Fault::Restart(Duration::ZERO),
        "restart" => Fault::Restart(time()?),
        _ => return Err(RuleError::Fault(name.to_owned())),
    })
}

fn parse_when(text: &str) -> Result<When, RuleError> {
    let parsed = if let Some(rest) = text.strip_prefix("every") {
        duration(rest)
            .filter(|every| !every.is_zero())
            .map(When::Every)
    } else if let Some(rest) = text.strip_prefix('p') {
        chance(rest).map(When::Chance)
    } else {
        duration(text).map(When::At)
    };
    parsed.ok_or_else(|| RuleError::Value {
        value: text.to_owned(),
        what: "the time of a fault".to_owned(),
        wanted: "give 20s (once), every30s, or p0.001 (at each frame with that probability)",
    })
}

fn chance(text: &str) -> Option<f64> {
    text.parse().ok().filter(|p| (0.0..=1.0).contains(p))
}

/// A time such as `500ms`, `5s`, `2m`; a bare number is seconds.
fn duration(text: &str) -> Option<Duration> {
    let (number, unit) = match text.find(|c: char| c.is_ascii_alphabetic()) {
        Some(at) => text.split_at(at),
        None => (text, "s"),
    };
    let scale = match unit {
        "us" => 1e-6,
        "ms" => 1e-3,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3_600.0,
        _ => return None,
    };
    Duration::try_from_secs_f64(number.parse::<f64>().ok()? * scale).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_read_as_written_in_the_help() {
        let rule: Rule = "cam3:stall=5s@20s".parse().unwrap();
        assert_eq!(rule.which, Which::number(3));
        assert_eq!(rule.fault, Fault::Stall(Duration::from_secs(5)));
        assert_eq!(rule.when, When::At(Duration::from_secs(20)));
        let rule: Rule = "*:jump=-1500ms@every1m".parse().unwrap();
        assert_eq!(
            (rule.which, rule.fault),
            (Which::All, Fault::ClockJump(-1_500))
        );
        assert_eq!(rule.when, When::Every(Duration::from_secs(60)));
        assert_eq!(
            "3:garbage=framing@p0.01".parse::<Rule>().unwrap().when,
            When::Chance(0.01)
        );
    }

    #[test]
    fn nonsense_is_refused_with_what_would_fit() {
        for text in [
            "drop=1",
            "1:drop=2",
            "1:melt",
            "1:stall=soon",
            "1:switch=none",
            "1:deaf=never",
            "1:stall=1s@never",
        ] {
            assert!(text.parse::<Rule>().is_err(), "{text}");
        }
    }
}
