//! What a client over HTTP may rely on, with the program as built and real recordings: any bytes of a file, in any pieces, are those of the
//! whole; what is asked under a condition is answered by it; every bound is told with its status, and what a client held is free again
//! when it goes; the examples of docs/api.md work, and a stranger who knows only the OpenAPI document finds nothing that contradicts it.

mod bounds;
#[path = "../mp4/camera.rs"]
mod camera;
mod coding;
mod conditions;
mod day;
mod examples;
mod hls;
mod kept;
mod live;
mod names;
mod openapi;
mod ranges;
mod readers;
mod server;
#[path = "../tools/site.rs"]
#[expect(dead_code, reason = "shared with the tests of commands")]
mod site;
mod wire;
