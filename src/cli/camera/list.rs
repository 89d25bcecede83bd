//! `nvring camera list`: the enrolled cameras, or those that were removed.

use crate::{
    api::control::{Answer, CameraRequest, CameraView, RemovedView},
    catalog::{System, collation::search_key},
    cli::{
        camera::system_parser,
        client::{ask_about_cameras, unexpected},
        context::Context,
        error::CliError,
        output::{Align, Table, print, print_json},
    },
};

/// List cameras by area and name. Passwords are never shown.
#[derive(clap::Args, Debug)]
pub(super) struct Args {
    /// Only those whose id, name, area or owner holds this text (case, tones and marks do not matter)
    text: Option<String>,
    /// Only those of this system
    #[arg(long, value_parser = system_parser())]
    system: Option<System>,
    /// Only those in this area and below it
    #[arg(long, value_name = "PATH")]
    area: Option<String>,
    /// Only those recording to this pool
    #[arg(long, conflicts_with = "removed")]
    pool: Option<String>,
    /// Those that were removed, with the identities their recordings carry
    #[arg(long)]
    removed: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// The shape of `--json`.
#[derive(serde::Serialize)]
struct Listing<T> {
    cameras: Vec<T>,
}

pub(super) fn run(args: Args, context: &Context) -> Result<(), CliError> {
    let config = context.config()?;
    let request = if args.removed {
        CameraRequest::ListRemoved
    } else {
        CameraRequest::List
    };
    match ask_about_cameras(context, &config.data_dir, request)?.0 {
        Answer::Cameras { mut cameras } => {
            cameras.retain(|c| {
                let texts = [c.id.as_str(), &c.name, &c.area, &c.owner];
                args.matches(c.system, texts) && args.pool.as_ref().is_none_or(|p| *p == c.pool)
            });
            if args.json {
                return print_json(&Listing { cameras });
            }
            print(&enrolled_table(&cameras))
        }
        Answer::RemovedCameras { mut cameras } => {
            cameras.retain(|c| args.matches(c.system, [c.id.as_str(), &c.name, &c.area, &c.owner]));
            if args.json {
                return print_json(&Listing { cameras });
            }
            print(&removed_table(&cameras))
        }
        answer => Err(unexpected(&answer)),
    }
}

impl Args {
    /// Whether a camera is asked for. `texts` are its id, name, area and owner.
    fn matches(&self, system: System, texts: [&str; 4]) -> bool {
        let area = texts[2];
        let inside = self.area.as_deref().is_none_or(|wanted| {
            let wanted = crate::catalog::collation::normalise(wanted.trim_matches('/'));
            let below = area.strip_prefix(&wanted);
            wanted.is_empty() || below.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        });
        let found = self.text.as_deref().is_none_or(|text| {
            let wanted = search_key(text);
            texts.iter().any(|text| search_key(text).contains(&wanted))
        });
        inside && found && self.system.is_none_or(|wanted| wanted == system)
    }
}

fn enrolled_table(cameras: &[CameraView]) -> String {
    let columns = ["ID", "NAME", "AREA", "SYSTEM", "POOL", "RECORD", "URL"];
    let mut table = Table::new(&columns.map(|name| (name, Align::Left)));
    for camera in cameras {
        table.row([
            camera.id.to_string(),
            camera.name.clone(),
            camera.area.clone(),
            camera.system.to_string(),
            camera.pool.clone(),
            if camera.enabled { "yes" } else { "no" }.to_owned(),
            camera.url.clone(),
        ]);
    }
    table.render()
}

fn removed_table(cameras: &[RemovedView]) -> String {
    let columns = ["ID", "NAME", "AREA", "SYSTEM", "ENROLLED", "REMOVED"];
    let mut table = Table::new(&columns.map(|name| (name, Align::Left)));
    for camera in cameras {
        table.row([
            camera.id.to_string(),
            camera.name.clone(),
            camera.area.clone(),
            camera.system.to_string(),
            camera.created.to_string(),
            camera.removed.to_string(),
        ]);
    }
    table.render()
}
