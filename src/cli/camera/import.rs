//! `nvring camera import`: enrol many cameras from a file, all or none.

use crate::{
    api::control::{Answer, CameraRequest},
    catalog::import,
    cli::{
        camera::{check_pool, secret_file},
        client::{ask_about_cameras, unexpected},
        context::Context,
        error::CliError,
        output::print_line,
    },
};
use std::path::PathBuf;

/// The longest import file, in bytes; what is sent to a server has the same limit.
const FILE_LEN_MAX: u64 = 8 << 20;

/// Enrol many cameras from a file: all of them, or none when a line is wrong.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
The file is UTF-8: CSV with a header line (fields separated by , or ;), or JSON lines. Columns, of which only id and url \
must be there:
  id         short name: 1 to 64 of A-Z a-z 0-9 . _ -
  url        rtsp://[USER:PASSWORD@]HOST[:PORT]/PATH
  sub_url    address of a second, smaller stream
  username   user to sign in as            [default: the one in the URL]
  password   that user's password          [default: the one in the URL]
  name       name for people               [default: the id]
  pool       pool to record to             [default: the configuration's first]
  system     smart-city or public          [default: smart-city]
  area       PROVINCE/DISTRICT/COMMUNE
  owner      who owns the camera
  transport  tcp or udp                    [default: tcp]
  enabled    true or false                 [default: true]
Passwords are stored encrypted. Delete the file afterwards, or keep it as you keep passwords.")]
pub(super) struct Args {
    /// The file; `-` reads standard input
    file: PathBuf,
    /// Change cameras that are enrolled already, instead of refusing the file
    #[arg(long)]
    update: bool,
}

pub(super) fn run(args: Args, context: &Context) -> Result<(), CliError> {
    let config = context.config()?;
    let path = args.file.display();
    let bytes = secret_file::read("import file", &args.file, FILE_LEN_MAX)?;
    let mut rows = import::parse(&bytes)
        .map_err(|error| CliError::failed(format!("import file {path} {error}")))?;
    for row in &mut rows {
        check_pool(row.change.pool.as_ref(), &config).map_err(|error| {
            let line = row.line;
            CliError::failed(format!(
                "import file {path} line {line}: {error}; nothing was imported"
            ))
        })?;
        if row.change.pool.is_none() && !args.update {
            row.change.pool = config.pools.first().cloned();
        }
    }
    let request = CameraRequest::Import {
        rows: rows.into_iter().map(Into::into).collect(),
        update: args.update,
    };
    match ask_about_cameras(context, &config.data_dir, request)? {
        (Answer::Imported { counts }, _) => print_line(format!(
            "import file {path}: {} cameras added, {} changed, {} unchanged",
            counts.added, counts.changed, counts.unchanged
        )),
        (answer, _) => Err(unexpected(&answer)),
    }
}
