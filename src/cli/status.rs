//! `nvring status`: what the running server says of itself.

use crate::{
    api::{
        control::{Answer, Request},
        status::Status,
    },
    base::units::ByteSize,
    cli::{
        client::{Client, unexpected},
        context::Context,
        error::CliError,
        output::{Align, Table, print, print_json},
    },
};

/// Show the running server: its listeners, volumes and streams.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

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
        Answer::Status { status } if args.json => print_json(&status),
        Answer::Status { status } => print(&render(&status)),
        answer => Err(unexpected(&answer)),
    }
}

fn render(status: &Status) -> String {
    let address = |address: &Option<String>| address.clone().unwrap_or_else(|| "off".to_owned());
    let mut text = format!(
        "nvring {} (process {}) since {}\ndata directory {}\nHTTP {}, RTSP {}\n",
        status.version,
        status.pid,
        status.started,
        status.data_dir,
        address(&status.http),
        address(&status.rtsp),
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
    for stream in &status.streams {
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
    text.push('\n');
    text.push_str(&volumes.render());
    text.push('\n');
    text.push_str(&streams.render());
    text
}
