//! Drains many streams over TCP without looking at them: the cheapest possible receiver, to measure what sending costs.

use clap::Args;
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

#[derive(Args)]
pub(crate) struct Drain {
    /// Address of the simulator.
    #[arg(default_value = "127.0.0.1:8554")]
    server: SocketAddr,
    /// Number of streams: one per camera, cam0 on.
    #[arg(long, default_value_t = 100)]
    streams: usize,
    /// Seconds to read.
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Milliseconds to sleep between two rounds of reading.
    #[arg(long, default_value_t = 50)]
    beat_ms: u64,
}

/// Reads all streams for the time given and prints the rate.
pub(crate) fn run(arguments: &Drain) -> Result<bool, String> {
    let failed = |error: std::io::Error| format!("draining {}: {error}", arguments.server);
    let mut streams = Streams::open(arguments.server, arguments.streams).map_err(failed)?;
    let (time, beat) = (
        Duration::from_secs(arguments.seconds),
        Duration::from_millis(arguments.beat_ms),
    );
    let drained = streams.drain(time, beat).map_err(failed)?;
    println!(
        "{} streams, {:.1} Mbit/s, {} lost",
        arguments.streams, drained.mbit_per_second, drained.lost
    );
    Ok(drained.lost == 0)
}

/// Streams that play.
pub(crate) struct Streams {
    poll: Poll,
    streams: Vec<TcpStream>,
}

/// What came of them.
pub(crate) struct Drained {
    pub(crate) seconds: f64,
    pub(crate) mbit_per_second: f64,
    /// Streams that ended.
    pub(crate) lost: usize,
}

impl Streams {
    /// One stream of each camera, cam0 on.
    pub(crate) fn open(server: SocketAddr, count: usize) -> std::io::Result<Self> {
        let poll = Poll::new()?;
        let mut streams = Vec::new();
        for number in 0..count {
            let mut stream = open(server, number)?;
            poll.registry()
                .register(&mut stream, Token(number), Interest::READABLE)?;
            streams.push(stream);
        }
        Ok(Self { poll, streams })
    }

    /// Reads them on a beat.
    #[expect(
        clippy::disallowed_methods,
        reason = "a measuring tool measures real time"
    )]
    pub(crate) fn drain(&mut self, time: Duration, beat: Duration) -> std::io::Result<Drained> {
        let mut events = Events::with_capacity(self.streams.len().max(1));
        let mut buffer = vec![0; 1 << 20];
        let (mut bytes, mut lost) = (0u64, 0);
        let start = Instant::now();
        while start.elapsed() < time {
            std::thread::sleep(beat);
            self.poll
                .poll(&mut events, Some(Duration::from_millis(100)))?;
            for event in &events {
                let Token(number) = event.token();
                loop {
                    match self.streams[number].read(&mut buffer) {
                        Ok(0) => {
                            lost += 1;
                            break;
                        }
                        Ok(n) => bytes += n as u64,
                        Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                        Err(error) => return Err(error),
                    }
                }
            }
        }
        let seconds = start.elapsed().as_secs_f64();
        Ok(Drained {
            seconds,
            mbit_per_second: bytes as f64 * 8e-6 / seconds,
            lost,
        })
    }
}

/// Connects, sets up the video and plays; what the server answers is drained with the rest.
fn open(server: SocketAddr, number: usize) -> std::io::Result<TcpStream> {
    let mut stream = std::net::TcpStream::connect(server)?;
    let url = format!("rtsp://{server}/cam{number}");
    write!(
        stream,
        "SETUP {url}/trackID=0 RTSP/1.0\r\nCSeq: 1\r\nTransport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n\r\n"
    )?;
    let mut answer = [0; 1024];
    let n = stream.read(&mut answer)?;
    let answer = String::from_utf8_lossy(&answer[..n]);
    let session = answer
        .split("Session: ")
        .nth(1)
        .and_then(|rest| rest.split([';', '\r']).next());
    let session = session
        .ok_or_else(|| std::io::Error::new(ErrorKind::InvalidData, answer.clone().into_owned()))?;
    write!(
        stream,
        "PLAY {url} RTSP/1.0\r\nCSeq: 2\r\nSession: {session}\r\n\r\n"
    )?;
    stream.set_nonblocking(true)?;
    Ok(TcpStream::from_std(stream))
}
