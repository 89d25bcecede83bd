//! `nvring camera add`: enrol one camera.

use crate::{
    api::control::{Answer, CameraRequest},
    catalog::{CameraChange, System, Transport},
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

/// Enrol a camera.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
A password is never given on the command line, where every user of the machine could read it: put it into a file only \
you can read. Addresses that hold credentials are enrolled with `nvring camera import`.

Example:
  nvring camera add gate --url rtsp://10.0.0.7/stream1 \\
    --username recorder --password-file gate.password \\
    --name 'Cổng chính' --area 'Yên Bái/Văn Yên/Mậu A'")]
pub(super) struct Args {
    /// Short name: 1 to 64 of A-Z a-z 0-9 . _ -
    id: String,
    /// Address of the main stream: rtsp://HOST[:PORT]/PATH
    #[arg(long, value_name = "URL")]
    url: String,
    /// Address of a second, smaller stream
    #[arg(long, value_name = "URL")]
    sub_url: Option<String>,
    /// User to sign in as
    #[arg(long, value_name = "USER")]
    username: Option<String>,
    /// File holding that user's password; `-` reads it from standard input
    #[arg(long, value_name = "FILE", requires = "username")]
    password_file: Option<PathBuf>,
    /// Name for people, in any language [default: the id]
    #[arg(long)]
    name: Option<String>,
    /// Pool to record to [default: the configuration's first]
    #[arg(long)]
    pool: Option<String>,
    /// Camera system [default: smart-city]
    #[arg(long, value_parser = system_parser())]
    system: Option<System>,
    /// Place: PROVINCE/DISTRICT/COMMUNE
    #[arg(long, value_name = "PATH")]
    area: Option<String>,
    /// Who owns the camera
    #[arg(long)]
    owner: Option<String>,
    /// How packets travel [default: tcp]
    #[arg(long, value_parser = transport_parser())]
    transport: Option<Transport>,
    /// Enrol it without recording it yet
    #[arg(long)]
    disabled: bool,
}

pub(super) fn run(args: Args, context: &Context) -> Result<(), CliError> {
    let config = context.config()?;
    check_pool(args.pool.as_ref(), &config)?;
    let id = camera_id(&args.id)?;
    let url = plain_url("--url", &args.url)?;
    let sub_url = args
        .sub_url
        .map(|text| plain_url("--sub-url", &text))
        .transpose()?;
    let password = args
        .password_file
        .map(|path| secret_file::password(&path))
        .transpose()?;
    let change = CameraChange {
        name: args.name,
        url: Some(url),
        sub_url: sub_url.into(),
        username: args.username.into(),
        password: password.into(),
        pool: args.pool.or_else(|| config.pools.first().cloned()),
        system: args.system,
        area: args.area,
        owner: args.owner,
        transport: args.transport,
        enabled: Some(!args.disabled),
    };
    let request = CameraRequest::Add {
        id,
        change: change.into(),
    };
    match ask_about_cameras(context, &config.data_dir, request)? {
        (Answer::Camera { camera }, by) => print_line(changed("added", &camera, by)),
        (answer, _) => Err(unexpected(&answer)),
    }
}
