//! Packets from a camera over RTSP and TCP: the only file that names the RTSP client library.
//!
//! The library gives session, authentication and framing; its frames are not used, because they are not the camera's bytes (see
//! `docs/decisions/0003-packets-from-retina-frames-from-us.md`). Every message of the library is turned into a `PullError` of
//! our own words: its texts hold URLs and whatever the camera answered (design law L10). For the same reason its log target is
//! to be kept quiet: `LIBRARY_LOG_TARGET`.

use super::{
    arena::Arena,
    error::PullError,
    sdp::Description,
    spec::Source,
    tracks::{self, ChosenTrack},
    transport::{Connected, Received, sender_report},
};
use crate::media::RtpPacket;
use futures_util::Stream as _;
use retina::client::{
    Credentials, InitialSequenceNumberPolicy, InitialTimestampPolicy, PacketItem, PlayOptions,
    Playing, Session, SessionIdPolicy, SessionOptions, SetupOptions, Transport,
};
use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

/// The library writes URLs and session descriptions to its log; whoever sets up logging turns this target off.
pub const LIBRARY_LOG_TARGET: &str = "retina";

/// So many unusable packets in a row are no stray ones: the session ends.
const STRAY_PACKETS_MAX: u32 = 3;

/// A session that plays, interleaved in its RTSP connection.
pub(crate) struct LibraryPull {
    session: Session<Playing>,
    /// Track of each of the library's streams.
    track_of: Vec<Option<usize>>,
    strays: u32,
    /// The camera left a keep-alive without an answer that fits it.
    deaf: bool,
    arena: Arena,
}

impl LibraryPull {
    /// Connects, asks for the description, sets the tracks up and plays; each step within `patience`.
    pub(crate) async fn connect(
        source: &Source,
        patience: Duration,
    ) -> Result<Connected<Self>, PullError> {
        let url = source.url.expose().clone();
        if url.scheme() != "rtsp" {
            return Err(PullError::Scheme {
                scheme: url.scheme().to_owned(),
            });
        }
        let given = source.username.is_some();
        let options = session_options(source);
        let described = Session::describe(url, options);
        let mut session = within(patience, "DESCRIBE", described)
            .await?
            .map_err(|error| translate(&error, "DESCRIBE", given))?;
        let description = Description::parse(session.sdp());
        let chosen = tracks::choose(&description)?;
        let mut track_of = vec![None; session.streams().len()];
        let mut depacketisers = Vec::new();
        let positions = positions(&description, session.streams());
        for ChosenTrack {
            medium,
            depacketiser,
        } in chosen
        {
            let Some(stream) = positions.iter().position(|at| *at == Some(medium)) else {
                continue;
            };
            let options = SetupOptions::default().transport(Transport::Tcp(Default::default()));
            let answer = within(patience, "SETUP", session.setup(stream, options)).await?;
            match answer {
                Ok(()) => {
                    track_of[stream] = Some(depacketisers.len());
                    depacketisers.push(depacketiser);
                }
                // A camera that refuses its sound or metadata still has video.
                Err(error) if !depacketisers.is_empty() && is_refusal(&error) => {}
                Err(error) => return Err(translate(&error, "SETUP", given)),
            }
        }
        if depacketisers.is_empty() {
            return Err(PullError::Protocol {
                what: "its description names no medium that can be set up",
            });
        }
        // Where the camera says its packets begin is of no use, and some cameras say it wrong.
        let options = PlayOptions::default()
            .initial_seq(InitialSequenceNumberPolicy::Ignore)
            .initial_timestamp(InitialTimestampPolicy::Ignore);
        let session = within(patience, "PLAY", session.play(options))
            .await?
            .map_err(|error| translate(&error, "PLAY", given))?;
        let pull = Self {
            session,
            track_of,
            strays: 0,
            deaf: false,
            arena: Arena::default(),
        };
        Ok((pull, depacketisers))
    }

    /// Whether the camera does not answer keep-alives. The library then sends no more of them: a camera that needs them will end the
    /// session.
    pub(crate) fn is_deaf(&self) -> bool {
        self.deaf
    }

    /// The next thing the camera sent. After an error the session is of no use.
    pub(crate) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Received, PullError>> {
        let item = match Pin::new(&mut self.session).poll_next(cx) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(item) => item,
        };
        Poll::Ready(match item {
            None => Err(PullError::Closed),
            Some(Ok(PacketItem::Rtp(packet))) => {
                self.strays = 0;
                let track = self.track_of.get(packet.stream_id()).copied().flatten();
                let (header, lost_before) = (packet.header(), packet.loss());
                Ok(match track {
                    None => Received::Stray,
                    Some(track) => Received::Packet {
                        track,
                        packet: RtpPacket {
                            sequence: header.sequence_number(),
                            timestamp: header.timestamp(),
                            marker: header.mark(),
                            payload: self.arena.keep(packet.payload()),
                            lost_before,
                        },
                    },
                })
            }
            Some(Ok(PacketItem::Rtcp(packet))) => {
                let track = self.track_of.get(packet.stream_id()).copied().flatten();
                let report = sender_report(packet.raw());
                Ok(match (track, report) {
                    (Some(track), Some((ntp, rtp_timestamp))) => Received::Report {
                        track,
                        ntp,
                        rtp_timestamp,
                    },
                    _ => Received::Stray,
                })
            }
            Some(Ok(_)) => Ok(Received::Stray),
            Some(Err(error)) => match keep_alive_trouble(&error) {
                // The library read until there was nothing, so it will be woken; and it goes on reading.
                Some(KeepAlive::Unanswered) => {
                    self.deaf = true;
                    return Poll::Pending;
                }
                Some(KeepAlive::Misanswered) => {
                    self.deaf = true;
                    Ok(Received::Stray)
                }
                None => self.bear(translate(&error, "PLAY", true)),
            },
        })
    }

    /// A few packets that do not fit are borne: the library's state is as before them.
    fn bear(&mut self, error: PullError) -> Result<Received, PullError> {
        let stray = matches!(error, PullError::Packet | PullError::Restarted { .. });
        self.strays += 1;
        if stray && self.strays < STRAY_PACKETS_MAX {
            Ok(Received::Stray)
        } else {
            Err(error)
        }
    }
}

fn session_options(source: &Source) -> SessionOptions {
    let credentials = source.username.as_ref().map(|username| Credentials {
        username: username.clone(),
        password: source
            .password
            .as_ref()
            .map_or(String::new(), |password| password.expose().to_owned()),
    });
    SessionOptions::default()
        .creds(credentials)
        .user_agent(concat!("nvring/", env!("CARGO_PKG_VERSION")).to_owned())
        .session_id(SessionIdPolicy::UseFirst)
}

async fn within<T>(
    patience: Duration,
    request: &'static str,
    step: impl Future<Output = T>,
) -> Result<T, PullError> {
    tokio::time::timeout(patience, step)
        .await
        .map_err(|_| PullError::Timeout {
            request,
            seconds: patience.as_secs(),
        })
}

/// Which medium of the description each of the library's streams is: the library leaves out media it cannot read.
fn positions(description: &Description, streams: &[retina::client::Stream]) -> Vec<Option<usize>> {
    let mut from = 0;
    streams
        .iter()
        .map(|stream| {
            let media = description.media.iter().enumerate().skip(from);
            let found = media
                .clone()
                .find(|(_, medium)| {
                    medium.kind == stream.media()
                        && medium.payload_type == stream.rtp_payload_type()
                        && medium.encoding == stream.encoding_name()
                })
                .map(|(index, _)| index);
            from = found.map_or(from, |index| index + 1);
            found
        })
        .collect()
}

fn is_refusal(error: &retina::Error) -> bool {
    error
        .status_code()
        .is_some_and(|status| !(200..300).contains(&status))
}

/// What is wrong with a keep-alive.
enum KeepAlive {
    Unanswered,
    /// An answer to another request than that which is open.
    Misanswered,
}

/// Cameras that do not answer keep-alives, or with a wrong number, send video all the same. To the library that is the end of the
/// session; its state is as before, so it need not be ours.
fn keep_alive_trouble(error: &retina::Error) -> Option<KeepAlive> {
    if error.status_code().is_some() {
        return None;
    }
    let text = error.to_string();
    let first = text.lines().next().unwrap_or_default();
    if first.contains("keepalive") {
        Some(KeepAlive::Unanswered)
    } else if first.starts_with("RTSP framing error: Unexpected RTSP response") {
        Some(KeepAlive::Misanswered)
    } else {
        None
    }
}

/// The library's error in our own words. It offers no kinds but the status code, so the fixed beginnings of its messages
/// (version 0.4.21, pinned) tell them apart; none of its text is kept but the system's.
fn translate(error: &retina::Error, request: &'static str, given: bool) -> PullError {
    match error.status_code() {
        Some(401) => return PullError::Unauthorized { given },
        Some(status) if !(200..300).contains(&status) => {
            return PullError::Refused { request, status };
        }
        Some(_) => {
            let what = match request {
                "DESCRIBE" => "its description cannot be read",
                "SETUP" => "its answer to SETUP cannot be read",
                _ => "its answer to PLAY cannot be read",
            };
            return PullError::Protocol { what };
        }
        None => {}
    }
    let text = error.to_string();
    let first = text.lines().next().unwrap_or_default();
    let system = |prefix: &str| first.strip_prefix(prefix).map(str::to_owned);
    if let Some(why) = system("Unable to connect to RTSP server: ") {
        PullError::Unreachable { why }
    } else if let Some(why) = system("Error reading from RTSP peer: ") {
        match why.starts_with("EOF while") {
            true => PullError::Closed,
            false => PullError::Broken { why },
        }
    } else if let Some(why) = system("Error writing to RTSP peer: ") {
        PullError::Broken { why }
    } else if first.starts_with("RTSP framing error") {
        PullError::Framing
    } else if first.starts_with("wrong ssrc") || first.starts_with("Expected ssrc") {
        PullError::Restarted {
            what: "the source number",
        }
    } else if first.starts_with("Out-of-order packet") {
        PullError::Restarted {
            what: "the sequence number",
        }
    } else if first.starts_with("corrupt RT") || text.contains("\npkt: ") {
        PullError::Packet
    } else {
        PullError::Protocol {
            what: "an answer of it cannot be understood",
        }
    }
}
