//! `nvring camera set`: change an enrolled camera; what is not named stays.

use crate::{
    api::control::{Answer, CameraRequest},
    catalog::{CameraChange, Patch, System, Transport},
    cli::{
        camera::{
            camera_id, changed, check_pool, plain_url, secret_file, system_parser, transport_parser,
        },
        client::{ask_about_cameras, unexpected},
        context::Context,
        error::CliError,
        output::print_line,
    },
};
use std::path::PathBuf;

/// Change a camera; what is not named stays as it is. Its recordings stay its own.
#[derive(clap::Args, Debug)]
pub(super) struct Args {
    /// The camera
    id: String,
    /// Address of the main stream: rtsp://HOST[:PORT]/PATH
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// Address of a second, smaller stream
    #[arg(long, value_name = "URL")]
    sub_url: Option<String>,
    /// It has no second stream any more
    #[arg(long, conflicts_with = "sub_url")]
    no_sub_url: bool,
    /// User to sign in as
    #[arg(long, value_name = "USER")]
    username: Option<String>,
    /// File holding that user's password; `-` reads it from standard input
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
    /// It asks for no user and password any more
    #[arg(long, conflicts_with_all = ["username", "password_file"])]
    no_credentials: bool,
    /// Name for people, in any language
    #[arg(long)]
    name: Option<String>,
    /// Pool to record to
    #[arg(long)]
    pool: Option<String>,
    /// Camera system
    #[arg(long, value_parser = system_parser())]
    system: Option<System>,
    /// Place: PROVINCE/DISTRICT/COMMUNE
    #[arg(long, value_name = "PATH")]
    area: Option<String>,
    /// Who owns the camera
    #[arg(long)]
    owner: Option<String>,
    /// How packets travel
    #[arg(long, value_parser = transport_parser())]
    transport: Option<Transport>,
    /// Record it
    #[arg(long)]
    enable: bool,
    /// Stop recording it; what is recorded stays
    #[arg(long, conflicts_with = "enable")]
    disable: bool,
}

pub(super) fn run(args: Args, context: &Context) -> Result<(), CliError> {
    let config = context.config()?;
    check_pool(args.pool.as_ref(), &config)?;
    let id = camera_id(&args.id)?;
    let change = change(args)?;
    if change == CameraChange::default() {
        return Err(CliError::usage(format!(
            "nothing to change of camera `{id}`; name what to change, see `nvring camera set --help`"
        )));
    }
    let request = CameraRequest::Set {
        id,
        change: change.into(),
    };
    match ask_about_cameras(context, &config.data_dir, request)? {
        (Answer::Camera { camera }, by) => print_line(changed("changed", &camera, by)),
        (answer, _) => Err(unexpected(&answer)),
    }
}

fn change(args: Args) -> Result<CameraChange, CliError> {
    let mut change = CameraChange {
        name: args.name,
        username: args.username.into(),
        pool: args.pool,
        system: args.system,
        area: args.area,
        owner: args.owner,
        transport: args.transport,
        enabled: match (args.enable, args.disable) {
            (true, _) => Some(true),
            (_, true) => Some(false),
            _ => None,
        },
        ..CameraChange::default()
    };
    if let Some(text) = args.url {
        change.url = Some(plain_url("--url", &text)?);
    }
    if let Some(text) = args.sub_url {
        change.sub_url = Patch::Set(plain_url("--sub-url", &text)?);
    } else if args.no_sub_url {
        change.sub_url = Patch::Clear;
    }
    if let Some(path) = args.password_file {
        change.password = Patch::Set(secret_file::password(&path)?);
    } else if args.no_credentials {
        change.username = Patch::Clear;
        change.password = Patch::Clear;
    }
    Ok(change)
}
