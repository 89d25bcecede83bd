//! Readers: whoever downloads, plays, looks through recordings or watches live takes a place, from the request until the last byte or
//! until the client goes.
//!
//! A video of a long range has a head to be kept while it is sent, about 2 MB for each hour, so a long one takes more places than one.

use super::{
    admission::{Admission, Limit, Limits},
    problem::Kind,
    refusal::{self, Wording},
};
use crate::{
    api::{
        complaints,
        http::gate::Peer,
        places::{Full, Permit},
    },
    base::{Micros, TimeRange, UnixMicros},
};
use axum::{
    body::{Body, HttpBody},
    extract::{Request, State},
    middleware::Next,
    response::Response,
};
use bytes::Bytes;
use hyper::body::{Frame, SizeHint};
use std::{
    future::Future,
    net::{IpAddr, Ipv4Addr},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};
use tokio::time::{Sleep, sleep};

/// A video takes a place for each so long piece of its range.
const PLACE_SPAN: Micros = Micros::from_secs(4 * 3600);

/// What readers need.
#[derive(Clone)]
pub(in crate::api) struct Reading {
    /// The bounds, and who is there.
    pub(in crate::api) admission: Arc<Admission>,
    /// How refusals are worded.
    pub(in crate::api) wording: Wording,
}

/// The place of a reader; held by the answer, and by whoever goes on after it.
#[derive(Clone)]
pub(in crate::api) struct Reader {
    permit: Arc<Permit>,
    admission: Arc<Admission>,
}

/// Takes a place for the request, or refuses it.
pub(in crate::api) async fn read(
    State(reading): State<Reading>,
    mut request: Request,
    next: Next,
) -> Response {
    let peer = request.extensions().get::<Peer>();
    let peer = peer.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| peer.0.ip());
    let permit = match reading.admission.readers.enter(peer) {
        Ok(permit) => Arc::new(permit),
        Err(full) => {
            let (kind, detail) = no_place(&reading.admission, full);
            return (reading.wording)(kind, detail);
        }
    };
    let reader = Reader {
        permit,
        admission: reading.admission,
    };
    request.extensions_mut().insert(reader.clone());
    let response = next.run(request).await;
    response.map(|body| {
        Body::new(ReadBody {
            body,
            waiting: None,
            reader,
        })
    })
}

fn no_place(admission: &Admission, full: Full) -> (Kind, String) {
    admission.count(match full {
        Full::Client { .. } => Limit::ReadersPerClient,
        Full::All { .. } => Limit::Readers,
    });
    refusal::full(full, "readers")
}

impl Reader {
    /// Takes the places that a video of `range` needs of a stream recorded within `bounds`.
    ///
    /// # Errors
    /// When the range is too long, or there are not so many places.
    pub(in crate::api) fn take_range(
        &self,
        range: TimeRange,
        bounds: Option<(UnixMicros, UnixMicros)>,
    ) -> Result<(), (Kind, String)> {
        let Some((first, last)) = bounds else {
            return Ok(());
        };
        let span = range.end.min(last).since(range.start.max(first));
        let longest = self.admission.limits().range;
        if span.to_std() > longest {
            self.admission.count(Limit::Range);
            let hours = longest.as_secs() as f64 / 3600.0;
            let detail = format!(
                "one video has at most {hours} hours; ask for several, or raise `range` under [http]"
            );
            return Err((Kind::BadRequest, detail));
        }
        let more = span.0.max(0) / PLACE_SPAN.0;
        let more = usize::try_from(more).unwrap_or(usize::MAX);
        let widened = self.permit.widen(more);
        widened.map_err(|full| no_place(&self.admission, full))
    }
}

/// The longest video that one client may ever ask for: for a longer one there would be no places, however long it waits.
pub(in crate::api) fn longest_video(limits: &Limits) -> Micros {
    let places = limits.readers.min(limits.readers_per_client);
    let places = i64::try_from(places).unwrap_or(i64::MAX);
    let by_places = PLACE_SPAN.0.saturating_mul(places) - 1;
    let by_range = i64::try_from(limits.range.as_micros()).unwrap_or(i64::MAX);
    Micros(by_places.min(by_range).max(1))
}

/// A body that holds a place, and ends when a piece of it does not come in time.
struct ReadBody {
    body: Body,
    /// Since a piece was asked for that is not there.
    waiting: Option<Pin<Box<Sleep>>>,
    reader: Reader,
}

impl ReadBody {
    fn time(&self) -> Duration {
        self.reader.admission.limits().answer_timeout
    }
}

impl HttpBody for ReadBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx) {
            self.waiting = None;
            return Poll::Ready(frame);
        }
        let time = self.time();
        let waiting = self.waiting.get_or_insert_with(|| Box::pin(sleep(time)));
        if waiting.as_mut().poll(cx).is_pending() {
            return Poll::Pending;
        }
        self.reader.admission.count(Limit::AnswerTimeout);
        complaints::warn(
            "a download was cut off",
            None,
            &format_args!("a disk gave nothing for {time:?}; look at its health (dmesg, smartctl)"),
        );
        let error = axum::Error::new("the disk gave nothing in time");
        Poll::Ready(Some(Err(error)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::http::admission::HttpOptions;
    use futures_util::{StreamExt, stream};
    use http_body_util::BodyExt;

    fn reader(limits: Limits) -> Reader {
        let options = HttpOptions {
            limits,
            ..HttpOptions::default()
        };
        let admission = Arc::new(Admission::new(options, &prometheus::Registry::new()).unwrap());
        let permit = admission.readers.enter(IpAddr::V4(Ipv4Addr::LOCALHOST));
        Reader {
            permit: Arc::new(permit.unwrap()),
            admission,
        }
    }

    /// A disk that hangs in the middle of a download: the client gets what there was, and an end that is none.
    #[tokio::test]
    async fn a_body_whose_disk_hangs_ends_with_an_error_and_frees_its_place() {
        let reader = reader(Limits {
            answer_timeout: Duration::from_millis(20),
            ..Limits::default()
        });
        let admission = Arc::clone(&reader.admission);
        let first = stream::iter([Ok::<_, axum::BoxError>(Bytes::from_static(b"first"))]);
        let mut body = ReadBody {
            body: Body::from_stream(first.chain(stream::pending())),
            waiting: None,
            reader,
        };
        let first = body.frame().await.unwrap().unwrap();
        assert_eq!(first.into_data().unwrap(), "first");
        assert!(body.frame().await.unwrap().is_err());
        drop(body);
        // All places of this client are there again.
        let client = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let taken =
            (0..admission.limits().readers_per_client).map(|_| admission.readers.enter(client));
        assert!(taken.collect::<Result<Vec<_>, _>>().is_ok());
    }

    #[test]
    fn a_long_video_takes_several_places() {
        let range = |hours: i64| TimeRange {
            start: UnixMicros(0),
            end: UnixMicros(0) + Micros::from_secs(hours * 3600),
        };
        let limits = Limits {
            readers_per_client: 7,
            ..Limits::default()
        };
        let recorded = |hours: i64| {
            Some((
                UnixMicros(0),
                UnixMicros(0) + Micros::from_secs(hours * 3600),
            ))
        };
        let asked = |hours, bounds| reader(limits).take_range(range(hours), bounds);
        assert_eq!(asked(24, recorded(100)), Ok(()));
        let refused = asked(28, recorded(100)).unwrap_err();
        assert_eq!(refused.0, Kind::TooManyReaders);
        // What is not recorded takes no place, however long it is asked for.
        assert_eq!(asked(1_000_000, recorded(24)), Ok(()));
        assert_eq!(asked(1_000_000, None), Ok(()));
        let longest = |limits: Limits| {
            let bounds = Some((UnixMicros(0), UnixMicros(0) + longest_video(&limits)));
            assert_eq!(reader(limits).take_range(range(1_000), bounds), Ok(()));
            longest_video(&limits)
        };
        assert_eq!(longest(limits), Micros::from_secs(28 * 3600) - Micros(1));
        assert_eq!(longest(Limits::default()), Micros::from_secs(7 * 86_400));
        let refused = asked(1_000, recorded(169)).unwrap_err();
        assert_eq!(refused.0, Kind::BadRequest);
        assert!(refused.1.contains("at most 168 hours"), "{}", refused.1);
    }
}
