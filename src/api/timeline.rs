//! The timeline of a stream as it is answered: one shape over HTTP and from `nvring timeline --json`.
//!
//! Keys are added, never renamed or given another meaning: scripts read them. A key an older server does not send reads as its empty value.

use crate::{
    base::UnixMicros,
    catalog::StreamRole,
    media::GapCause,
    store::runs::{Gap, Span, Timeline},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What is recorded of a stream, and what is not.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = Timeline)]
pub struct TimelineAnswer {
    /// The camera's id.
    pub camera: String,
    /// Which of its streams.
    #[serde(default = "main")]
    pub stream: StreamRole,
    /// What can be played, in order.
    pub runs: Vec<RunAnswer>,
    /// What lies between.
    pub gaps: Vec<GapAnswer>,
    /// What is kept when the ring comes to it. Always empty: this release has no locks.
    #[serde(default)]
    pub locked: Vec<LockedAnswer>,
    /// Where the rest is, when this is not all.
    #[serde(default)]
    #[schema(required)]
    pub next: Option<String>,
}

/// A stretch that can be played.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = Run)]
pub struct RunAnswer {
    /// First instant.
    pub start: UnixMicros,
    /// First instant after.
    pub end: UnixMicros,
    /// Whether it is still being recorded: `end` is then that of the newest frame.
    #[serde(default)]
    #[schema(required)]
    pub growing: bool,
    /// When the ring is expected to reach its start: an estimate from the pace of the last day. Null when that is not known.
    #[serde(default)]
    #[schema(required)]
    pub kept_until: Option<UnixMicros>,
    /// How many gaps inside are not shown, because they are shorter than the resolution asked for. Absent when there are none.
    #[serde(default, skip_serializing_if = "is_zero")]
    #[schema(required = false)]
    pub hidden_gaps: u32,
    /// How long those are together, in seconds. Absent when there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hidden_seconds: Option<f64>,
}

/// A stretch without recording.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = Gap)]
pub struct GapAnswer {
    /// First instant without.
    pub start: UnixMicros,
    /// First instant with.
    pub end: UnixMicros,
    /// Why.
    #[schema(value_type = GapCause)]
    pub cause: String,
}

/// A stretch kept when the ring comes to it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = Locked)]
pub struct LockedAnswer {
    /// First instant.
    pub start: UnixMicros,
    /// First instant after.
    pub end: UnixMicros,
}

impl TimelineAnswer {
    /// The answer about a stream of `camera`; `next` is where the rest of it is.
    pub fn new(
        camera: String,
        stream: StreamRole,
        timeline: &Timeline,
        next: Option<String>,
    ) -> Self {
        Self {
            camera,
            stream,
            runs: timeline.runs.iter().map(RunAnswer::from).collect(),
            gaps: timeline.gaps.iter().map(GapAnswer::from).collect(),
            locked: Vec::new(),
            next,
        }
    }
}

impl From<&Span> for RunAnswer {
    fn from(span: &Span) -> Self {
        Self {
            start: span.start,
            end: span.end,
            growing: span.growing,
            kept_until: span.kept_until,
            hidden_gaps: span.hidden_gaps,
            hidden_seconds: (span.hidden_gaps > 0).then(|| span.hidden.as_secs_f64()),
        }
    }
}

impl From<&Gap> for GapAnswer {
    fn from(gap: &Gap) -> Self {
        Self {
            start: gap.start,
            end: gap.end,
            cause: gap.cause.to_string(),
        }
    }
}

fn main() -> StreamRole {
    StreamRole::Main
}

fn is_zero(count: &u32) -> bool {
    *count == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Micros;
    use serde_json::json;

    /// Scripts rely on these keys.
    #[test]
    fn the_shape_is_the_one_that_was_promised() {
        let mut run = Span::new(UnixMicros(1_000_000), UnixMicros(2_000_000));
        let timeline = Timeline {
            runs: vec![run],
            gaps: vec![Gap {
                start: UnixMicros(2_000_000),
                end: UnixMicros(3_000_000),
                cause: GapCause::CameraLost,
            }],
        };
        let answer = TimelineAnswer::new("gate".to_owned(), StreamRole::Main, &timeline, None);
        let expected = json!({
            "camera": "gate",
            "stream": "main",
            "runs": [{
                "start": "1970-01-01T00:00:01.000000Z",
                "end": "1970-01-01T00:00:02.000000Z",
                "growing": false,
                "kept_until": null,
            }],
            "gaps": [{
                "start": "1970-01-01T00:00:02.000000Z",
                "end": "1970-01-01T00:00:03.000000Z",
                "cause": "camera-lost",
            }],
            "locked": [],
            "next": null,
        });
        let told = serde_json::to_value(&answer).unwrap();
        assert_eq!(told, expected);
        assert_eq!(
            serde_json::from_value::<TimelineAnswer>(told).unwrap(),
            answer
        );
        (run.hidden_gaps, run.hidden) = (2, Micros(1_500_000));
        let told = serde_json::to_value(RunAnswer::from(&run)).unwrap();
        assert_eq!(
            (&told["hidden_gaps"], &told["hidden_seconds"]),
            (&json!(2), &json!(1.5))
        );
    }

    #[test]
    fn an_older_servers_answer_is_read() {
        let old = json!({
            "camera": "gate",
            "runs": [{"start": "2026-11-23T08:00:00Z", "end": "2026-11-23T08:00:01Z"}],
            "gaps": [],
        });
        let answer: TimelineAnswer = serde_json::from_value(old).unwrap();
        assert_eq!((answer.stream, answer.next), (StreamRole::Main, None));
        assert!(!answer.runs[0].growing);
    }
}
