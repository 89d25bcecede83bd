//! `nvring camera remove`: stop recording a camera and forget how it is reached.

use crate::{
    api::control::{Answer, CameraRequest},
    cli::{
        camera::camera_id,
        client::{ask_about_cameras, unexpected},
        context::Context,
        error::CliError,
        output::print_line,
    },
};

/// Remove a camera. Its recordings stay, under its name, until the ring overwrites them.
#[derive(clap::Args, Debug)]
pub(super) struct Args {
    /// The camera
    id: String,
}

pub(super) fn run(args: Args, context: &Context) -> Result<(), CliError> {
    let config = context.config()?;
    let request = CameraRequest::Remove {
        id: camera_id(&args.id)?,
    };
    match ask_about_cameras(context, &config.data_dir, request)? {
        (Answer::Removed { camera }, _) => print_line(format!(
            "camera {} removed; its recordings stay until the ring overwrites them",
            camera.id
        )),
        (answer, _) => Err(unexpected(&answer)),
    }
}
