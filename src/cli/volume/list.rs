//! `nvring volume list`: the configuration's volumes, as the running server sees them, or as they lie.

use crate::{
    api::{
        control::{Answer, Request},
        status::VolumeStatus,
    },
    base::{UnixMicros, units::ByteSize},
    cli::{
        client::{Client, unexpected},
        context::Context,
        error::CliError,
        output::{Align, Table, print, print_json, warn},
        source::open_to_read,
    },
    disk::{ReadLock, open_folder_to_read},
    format::place::Generation,
    store::{
        recordings::Recordings,
        volume::{VolumeError, read_superblock},
    },
};
use serde::Serialize;
use std::path::Path;

/// List the configuration's volumes: state, size, use, oldest and newest recording.
#[derive(clap::Args, Debug)]
pub(super) struct Args {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Serialize)]
struct Listed {
    path: String,
    pool: String,
    /// As a server says (`writing`, …), or `idle`, `unformatted`, `unfinished`, `in-use`, `unusable`.
    state: String,
    size_bytes: Option<u64>,
    used_bytes: Option<u64>,
    oldest: Option<UnixMicros>,
    newest: Option<UnixMicros>,
    /// Openings for recording.
    sessions: Option<u64>,
}

pub(super) fn run(args: Args, context: &Context) -> Result<(), CliError> {
    let config = context.config()?;
    let listed: Vec<Listed> = match Client::connect(&config.data_dir)? {
        Some(mut client) => match client.ask(Request::Status)? {
            Answer::Status { status } => {
                let newest = status.streams.iter().filter_map(|stream| stream.last_frame);
                let newest = newest.max();
                let alone = status.volumes.len() == 1;
                let volumes = status.volumes.into_iter();
                volumes
                    .map(|volume| of_server(volume, newest.filter(|_| alone)))
                    .collect()
            }
            answer => return Err(unexpected(&answer)),
        },
        None => {
            config.require_volume().map_err(CliError::usage)?;
            let volumes = config.volumes.iter();
            volumes
                .map(|volume| of_folder(&volume.path, &volume.pool, context))
                .collect()
        }
    };
    if args.json {
        print_json(&listed)
    } else {
        print(&render(listed))
    }
}

/// `newest`: of all streams, known of a volume only when there is one.
fn of_server(volume: VolumeStatus, newest: Option<UnixMicros>) -> Listed {
    Listed {
        sessions: sessions(Path::new(&volume.path)),
        path: volume.path,
        pool: volume.pool,
        state: volume.state,
        size_bytes: Some(volume.size_bytes),
        used_bytes: Some(volume.used_bytes),
        oldest: volume.oldest,
        newest,
    }
}

/// The superblock may be read beside a server: it is rewritten only when a volume is opened.
fn sessions(path: &Path) -> Option<u64> {
    let disk = open_folder_to_read(path, ReadLock::None).ok()?;
    let (_, superblock) = read_superblock(&*disk, path).ok()?;
    Some(superblock.session)
}

fn of_folder(path: &Path, pool: &str, context: &Context) -> Listed {
    let mut listed = Listed {
        path: path.display().to_string(),
        pool: pool.to_owned(),
        state: "idle".to_owned(),
        size_bytes: None,
        used_bytes: None,
        oldest: None,
        newest: None,
        sessions: sessions(path),
    };
    let shared = match open_to_read(path, context) {
        Ok(opened) => opened.shared,
        Err(error) => {
            let state = match &error {
                VolumeError::Unformatted { .. } => "unformatted",
                VolumeError::Unfinished { .. } => "unfinished",
                VolumeError::Disk { source } if source.action == "lock" => "in-use",
                _ => "unusable",
            };
            state.clone_into(&mut listed.state);
            warn(error);
            return listed;
        }
    };
    let len = shared.superblock.segment_len;
    let taken = {
        let index = shared.index();
        let lives = index.lives().iter();
        lives
            .filter(|life| life.generation != Generation::NONE)
            .count()
    };
    listed.size_bytes = Some(len * u64::from(shared.superblock.segment_count));
    listed.used_bytes = Some(len * taken as u64);
    let recordings = Recordings::new(vec![shared]);
    for recorded in recordings.streams() {
        let Some((first, last)) = recordings.bounds(recorded.stream) else {
            continue;
        };
        listed.oldest = Some(listed.oldest.map_or(first, |oldest| oldest.min(first)));
        listed.newest = listed.newest.max(Some(last));
    }
    listed
}

fn render(listed: Vec<Listed>) -> String {
    let mut table = Table::new(&[
        ("VOLUME", Align::Left),
        ("POOL", Align::Left),
        ("STATE", Align::Left),
        ("SIZE", Align::Right),
        ("USED", Align::Right),
        ("SESSIONS", Align::Right),
        ("OLDEST", Align::Left),
        ("NEWEST", Align::Left),
    ]);
    let size = |bytes: Option<u64>| bytes.map(|bytes| ByteSize(bytes).to_string());
    let time = |time: Option<UnixMicros>| time.map(|time| time.to_string());
    for volume in listed {
        table.row([
            volume.path,
            volume.pool,
            volume.state,
            size(volume.size_bytes).unwrap_or_default(),
            size(volume.used_bytes).unwrap_or_default(),
            volume
                .sessions
                .map(|count| count.to_string())
                .unwrap_or_default(),
            time(volume.oldest).unwrap_or_default(),
            time(volume.newest).unwrap_or_default(),
        ]);
    }
    table.render()
}
