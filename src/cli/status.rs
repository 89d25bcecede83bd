//! `nvring status`: what the running server says of itself.

use crate::{
    api::{
        control::{Answer, Request},
        status::{Status, StreamStatus},
    },
    base::{nearest, units::ByteSize},
    cli::{
        client::{Client, unexpected},
        context::Context,
        error::CliError,
        output::{Align, Table, print, print_json},
    },
};

/// Show the running server: its listeners, volumes and streams.
///
/// With a CAMERA, only its streams; the exit status is 1, with the reason and what to do, when one of them is not recorded.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Only this camera's streams, and whether they are recorded
    camera: Option<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// The state of a stream whose frames arrive.
const RECORDING: &str = "recording";

/// Runs the command.
pub fn run(args: Args, context: &Context) -> Result<(), CliError> {
    let config = context.config()?;
    let Some(mut client) = Client::connect(&config.data_dir)? else {
        return Err(CliError::failed(format!(
            "no server runs for data directory {}; start it with `nvring serve`, or name the server's --config",
            config.data_dir.display()
        )));
    };
    match client.ask(Request::Status)? {
        Answer::Status { status } if args.camera.is_some() => of_camera(
            &status,
            args.camera.as_deref().unwrap_or_default(),
            args.json,
        ),
        Answer::Status { status } if args.json => print_json(&status),
        Answer::Status { status } => print(&render(&status)),
        answer => Err(unexpected(&answer)),
    }
}

/// Shows the streams of one camera; an error when one of them is not recorded.
fn of_camera(status: &Status, camera: &str, json: bool) -> Result<(), CliError> {
    let of_it = |stream: &&StreamStatus| stream.camera == camera;
    let streams: Vec<StreamStatus> = status.streams.iter().filter(of_it).cloned().collect();
    if streams.is_empty() {
        let ids = status.streams.iter().map(|stream| stream.camera.as_str());
        return Err(CliError::failed(match nearest(camera, ids) {
            Some(near) => format!("camera `{camera}` is not recorded; did you mean `{near}`?"),
            None => format!(
                "camera `{camera}` is not recorded: it is not enrolled, or disabled; `nvring camera list` tells which"
            ),
        }));
    }
    match streams.iter().find(|stream| stream.state != RECORDING) {
        Some(stream) => Err(CliError::failed(why_not(stream))),
        None if json => print_json(&streams),
        None => print(&stream_table(&streams)),
    }
}

/// One line: which stream is not recorded, why, and what to do.
fn why_not(stream: &StreamStatus) -> String {
    let why = stream.cause.clone().unwrap_or_else(|| {
        let remedy = "ask again in a few seconds";
        format!("it is in state {}; {remedy}", stream.state)
    });
    let remedy = if why.contains(';') {
        ""
    } else {
        "; the recorder tries again by itself, see the gaps in docs/operating.md"
    };
    let (camera, role) = (&stream.camera, stream.stream);
    format!("camera `{camera}`, stream {role}, is not recorded: {why}{remedy}")
}

fn render(status: &Status) -> String {
    let address = |address: &Option<String>| address.clone().unwrap_or_else(|| "off".to_owned());
    let mut text = format!(
        "nvring {} (process {}) since {}\ndata directory {}\nHTTP {}, RTSP {}, as MediaMTX {}\n",
        status.version,
        status.pid,
        status.started,
        status.data_dir,
        address(&status.http),
        address(&status.rtsp),
        address(&status.mediamtx),
    );
    let mut volumes = Table::new(&[
        ("VOLUME", Align::Left),
        ("POOL", Align::Left),
        ("STATE", Align::Left),
        ("SIZE", Align::Right),
        ("USED", Align::Right),
        ("OLDEST", Align::Left),
    ]);
    for volume in &status.volumes {
        volumes.row([
            volume.path.clone(),
            volume.pool.clone(),
            volume.state.clone(),
            ByteSize(volume.size_bytes).to_string(),
            ByteSize(volume.used_bytes).to_string(),
            volume
                .oldest
                .map(|time| time.to_string())
                .unwrap_or_default(),
        ]);
    }
    text.push('\n');
    text.push_str(&volumes.render());
    text.push('\n');
    text.push_str(&stream_table(&status.streams));
    text
}

fn stream_table(all: &[StreamStatus]) -> String {
    let mut streams = Table::new(&[
        ("CAMERA", Align::Left),
        ("STREAM", Align::Left),
        ("STATE", Align::Left),
        ("CAUSE", Align::Left),
        ("FRAMES", Align::Right),
        ("BYTES", Align::Right),
        ("GAPS", Align::Right),
        ("NEWEST FRAME", Align::Left),
    ]);
    for stream in all {
        streams.row([
            stream.camera.clone(),
            stream.stream.to_string(),
            stream.state.clone(),
            stream.cause.clone().unwrap_or_default(),
            stream.frames.to_string(),
            ByteSize(stream.bytes).to_string(),
            stream.gaps.to_string(),
            stream
                .last_frame
                .map(|time| time.to_string())
                .unwrap_or_default(),
        ]);
    }
    streams.render()
}
