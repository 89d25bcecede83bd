//! `nvring timeline`: what is recorded of a camera, what is not, and why not; without a camera, who has recordings at all.

use crate::{
    api::timeline::TimelineAnswer,
    base::{Micros, TimeRange, UnixMicros},
    catalog::StreamRole,
    cli::{
        context::Context,
        error::CliError,
        output::{Align, Table, print, print_json, warn},
        remote::Remote,
        source::{Local, Source, SourceArgs, StreamName, find_stream, time_range},
    },
};
use serde::{Deserialize, Serialize};

/// How far back it looks unless told otherwise.
const SPAN: Micros = Micros::from_secs(24 * 3600);

/// Show the runs and gaps of a camera, or which cameras have recordings.
///
/// Without CAMERA: lists the cameras that have recordings. Times are RFC 3339, such as 2026-11-23T14:00:00Z.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The camera's id (or a stream's UUID)
    camera: Option<String>,
    /// Show from this time on [default: 24 hours before --to]
    #[arg(long, value_name = "TIME")]
    from: Option<UnixMicros>,
    /// Show up to this time [default: now]
    #[arg(long, value_name = "TIME")]
    to: Option<UnixMicros>,
    /// Which of its streams
    #[arg(long, value_enum, default_value = "main")]
    stream: StreamName,
    #[command(flatten)]
    source: SourceArgs,
    /// Print JSON: {"camera","stream","runs":[{"start","end","growing","kept_until"}],"gaps":[{"start","end","cause"}],"locked":[]}
    #[arg(long)]
    json: bool,
}

/// A stream with recordings.
#[derive(Debug, Serialize)]
struct Listed {
    camera: String,
    name: String,
    stream: String,
    first: Option<UnixMicros>,
    last: Option<UnixMicros>,
}

/// Runs the command.
pub fn run(args: Args, context: &Context) -> Result<(), CliError> {
    let to = args.to.unwrap_or_else(|| context.clock().now());
    let range = time_range(args.from.unwrap_or(to - SPAN), to)?;
    let source = args.source.find(context)?;
    let Some(camera) = args.camera else {
        return list(&source, args.json);
    };
    let shown = match &source {
        Source::Server(server) => of_server(server, &camera, args.stream, range)?,
        Source::Local(local) => of_volumes(local, camera, args.stream, range)?,
    };
    if shown.runs.is_empty() {
        warn(format!(
            "nothing was recorded from {} to {}; `nvring timeline` lists from when to when there is anything",
            range.start, range.end
        ));
    }
    if args.json {
        print_json(&shown)
    } else {
        print(&render(&shown))
    }
}

fn of_server(
    server: &Remote,
    camera: &str,
    stream: StreamName,
    range: TimeRange,
) -> Result<TimelineAnswer, CliError> {
    let query = [
        ("from", range.start.to_string()),
        ("to", range.end.to_string()),
        ("stream", stream.name().to_owned()),
    ];
    let mut whole: TimelineAnswer = server.json(&["cameras", camera, "timeline"], &query)?;
    while let Some(next) = whole.next.take() {
        let more: TimelineAnswer = server.json_at(&next)?;
        whole.runs.extend(more.runs);
        whole.gaps.extend(more.gaps);
        whole.next = more.next.filter(|other| *other != next);
    }
    Ok(whole)
}

fn of_volumes(
    local: &Local,
    camera: String,
    stream: StreamName,
    range: TimeRange,
) -> Result<TimelineAnswer, CliError> {
    let id = find_stream(&local.recordings, &camera, stream)?;
    let timeline = local.recordings.timeline(id, range);
    let timeline = local.runtime.block_on(timeline).map_err(CliError::failed)?;
    let role = match stream {
        StreamName::Main => StreamRole::Main,
        StreamName::Sub => StreamRole::Sub,
    };
    Ok(TimelineAnswer::new(camera, role, &timeline, None))
}

fn render(shown: &TimelineAnswer) -> String {
    let recorded = |growing| {
        if growing {
            "recorded, growing"
        } else {
            "recorded"
        }
    };
    let mut rows: Vec<(UnixMicros, UnixMicros, String)> = shown
        .runs
        .iter()
        .map(|run| (run.start, run.end, recorded(run.growing).to_owned()))
        .chain(shown.gaps.iter().map(|gap| {
            let what = format!("gap: {}", gap.cause);
            (gap.start, gap.end, what)
        }))
        .collect();
    rows.sort();
    let mut table = Table::new(&[
        ("FROM", Align::Left),
        ("TO", Align::Left),
        ("DURATION", Align::Right),
        ("WHAT", Align::Left),
    ]);
    for (start, end, what) in rows {
        table.row([
            start.to_string(),
            end.to_string(),
            duration(end.since(start)),
            what,
        ]);
    }
    table.render()
}

/// A span as people read it: `2d 03:04:05.678`.
fn duration(span: Micros) -> String {
    let millis = span.0 / 1000;
    let (days, rest) = (millis / 86_400_000, millis % 86_400_000);
    let clock = format!(
        "{:02}:{:02}:{:02}.{:03}",
        rest / 3_600_000,
        rest / 60_000 % 60,
        rest / 1000 % 60,
        rest % 1000
    );
    if days == 0 {
        clock
    } else {
        format!("{days}d {clock}")
    }
}

fn list(source: &Source, json: bool) -> Result<(), CliError> {
    let listed = match source {
        Source::Server(server) => {
            let cameras: Vec<CameraAnswer> = server.json(&["cameras"], &[])?;
            of_answer(cameras)
        }
        Source::Local(local) => {
            let streams = local.recordings.streams().into_iter();
            let listed = streams.map(|recorded| {
                let bounds = local.recordings.bounds(recorded.stream);
                Listed {
                    camera: recorded.name.camera,
                    name: recorded.name.name,
                    stream: recorded.name.kind,
                    first: bounds.map(|(first, _)| first),
                    last: bounds.map(|(_, last)| last),
                }
            });
            listed.collect()
        }
    };
    if json {
        return print_json(&listed);
    }
    let mut table = Table::new(&[
        ("CAMERA", Align::Left),
        ("NAME", Align::Left),
        ("STREAM", Align::Left),
        ("FIRST", Align::Left),
        ("LAST", Align::Left),
    ]);
    let time = |time: Option<UnixMicros>| time.map(|time| time.to_string()).unwrap_or_default();
    for one in listed {
        table.row([
            one.camera,
            one.name,
            one.stream,
            time(one.first),
            time(one.last),
        ]);
    }
    print(&table.render())
}

/// What of `/cameras` is wanted here.
#[derive(Debug, Deserialize)]
struct CameraAnswer {
    id: String,
    name: String,
    streams: Vec<StreamAnswer>,
}

#[derive(Debug, Deserialize)]
struct StreamAnswer {
    stream: String,
    first: Option<UnixMicros>,
    last: Option<UnixMicros>,
}

fn of_answer(cameras: Vec<CameraAnswer>) -> Vec<Listed> {
    let mut listed = Vec::new();
    for camera in cameras {
        for stream in camera.streams {
            if stream.first.is_some() {
                listed.push(Listed {
                    camera: camera.id.clone(),
                    name: camera.name.clone(),
                    stream: stream.stream,
                    first: stream.first,
                    last: stream.last,
                });
            }
        }
    }
    listed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_readable() {
        assert_eq!(duration(Micros(1_500_000)), "00:00:01.500");
        assert_eq!(
            duration(Micros::from_secs(2 * 86400 + 3661)),
            "2d 01:01:01.000"
        );
    }
}
