//! What goes wrong while answering, told in the log at most once a minute per cause.
//!
//! A player that asks for the same part of a dying disk again and again must neither fill the log nor disappear from it. Causes are
//! apart by message, by camera, and by the detail without its digits: what differs only in an offset, a segment or a time is one cause.
//! The log is one of the process, so this is too.

use crate::base::{Clock, Micros, RateLimit, SystemClock};
use std::{
    fmt::Display,
    sync::{Arc, LazyLock},
};

/// A cause is told at most so often.
const TELL_EVERY: Micros = Micros::from_secs(60);
/// Characters of a detail that tell causes apart: with `limit::CAUSES_MAX` this bounds the memory, to some 2 MB.
const DETAIL_MAX: usize = 200;

static COMPLAINTS: LazyLock<Complaints> =
    LazyLock::new(|| Complaints::new(Arc::new(SystemClock::new())));

/// An answer failed by our fault or a disk's: a person should look.
pub(in crate::api) fn error(what: &'static str, detail: &dyn Display) {
    COMPLAINTS.error(what, detail);
}

/// Something is worth a look. `camera` is whose answer it is about, if any.
pub(in crate::api) fn warn(what: &'static str, camera: Option<&str>, error: &dyn Display) {
    COMPLAINTS.warn(what, camera, error);
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Cause {
    what: &'static str,
    camera: Option<String>,
    detail: String,
}

struct Complaints {
    limit: RateLimit<Cause>,
    clock: Arc<dyn Clock>,
}

impl Complaints {
    fn new(clock: Arc<dyn Clock>) -> Self {
        let limit = RateLimit::new(TELL_EVERY);
        Self { limit, clock }
    }

    fn error(&self, what: &'static str, detail: &dyn Display) {
        if let Some(kept_back) = self.tell(what, None, detail) {
            tracing::error!(%detail, kept_back, "{what}");
        }
    }

    fn warn(&self, what: &'static str, camera: Option<&str>, error: &dyn Display) {
        if let Some(kept_back) = self.tell(what, camera, error) {
            tracing::warn!(camera, %error, kept_back, "{what}");
        }
    }

    /// Whether to tell it now, and how many like it were kept back since the last one.
    fn tell(&self, what: &'static str, camera: Option<&str>, detail: &dyn Display) -> Option<u64> {
        let detail = detail.to_string();
        let words = detail.chars().filter(|c| !c.is_ascii_digit());
        let cause = Cause {
            what,
            camera: camera.map(str::to_owned),
            detail: words.take(DETAIL_MAX).collect(),
        };
        self.limit.tell(&cause, self.clock.elapsed())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{api::http::problem::Problem, base::SimulatedClock, base::UnixMicros};
    use std::{io, sync::Mutex};

    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Log {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// The lines that `work` logs.
    fn logged(work: impl FnOnce()) -> Vec<String> {
        let log = Log::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_writer(move || writer.clone())
            .with_ansi(false)
            .finish();
        tracing::subscriber::with_default(subscriber, work);
        let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
        text.lines().map(str::to_owned).collect()
    }

    /// Goal: a dying disk under a thousand requests fills no log, and no cause disappears from it.
    #[test]
    fn each_cause_is_told_once_a_minute_with_the_number_kept_back() {
        let clock = Arc::new(SimulatedClock::new(UnixMicros(0)));
        let complaints = Complaints::new(clock.clone());
        let disk = |number: u64| format!("read segments/{number:06}.seg: Input/output error");
        let lines = logged(|| {
            for number in 0..1000 {
                let camera = ["gate", "yard"][number as usize % 2];
                complaints.error("a request failed", &disk(number));
                complaints.warn("a download was cut off", Some(camera), &disk(number));
            }
            complaints.error("a request failed", &"no memory");
            clock.advance(TELL_EVERY);
            complaints.error("a request failed", &disk(7));
        });
        let expected = [
            ("ERROR", "a request failed", "000000.seg", "kept_back=0"),
            (
                "WARN",
                "a download was cut off",
                "camera=\"gate\"",
                "kept_back=0",
            ),
            (
                "WARN",
                "a download was cut off",
                "camera=\"yard\"",
                "kept_back=0",
            ),
            ("ERROR", "a request failed", "no memory", "kept_back=0"),
            ("ERROR", "a request failed", "000007.seg", "kept_back=999"),
        ];
        assert_eq!(lines.len(), expected.len(), "{lines:#?}");
        for (line, (level, what, detail, kept_back)) in lines.iter().zip(expected) {
            for part in [level, what, detail, kept_back] {
                assert!(line.contains(part), "{part}: {line}");
            }
        }
    }

    #[test]
    fn what_fails_in_http_is_limited() {
        let lines = logged(|| {
            for _ in 0..5 {
                let _ = Problem::failed("a detail of this test alone");
            }
        });
        assert_eq!(lines.len(), 1, "{lines:#?}");
    }
}
