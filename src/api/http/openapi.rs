//! The OpenAPI 3.1 document: made from the handlers themselves, so that it cannot speak of another program.
//!
//! What a handler does not say of itself is added here: what every route of its sort may answer with, and the problems, each with its
//! kinds.

use super::{
    App, Shared,
    problem::{CONTENT_TYPE, Kind, ProblemAnswer, TYPE_PREFIX},
};
use axum::{
    extract::State,
    http::header,
    response::{IntoResponse, Response},
};
use std::fmt::Write as _;
use utoipa::{
    ToSchema,
    openapi::{
        ContentBuilder, Info, OpenApi, OpenApiBuilder, PathItem, Ref, RefOr, Response as Described,
        ResponseBuilder,
        path::{Operation, Parameter, Paths},
        schema::ComponentsBuilder,
    },
};

const DESCRIPTION: &str = "Plays back what nvring records. All times are RFC 3339; answers give UTC with microseconds. \
                           `HEAD` is answered wherever `GET` is. docs/api.md explains each route with an example.";

/// Statuses that any route may answer with.
const ANYWHERE: [u16; 12] = [400, 401, 403, 405, 406, 408, 413, 414, 421, 431, 500, 503];

/// The document without a route.
pub(super) fn document() -> OpenApi {
    let mut info = Info::new("nvring", env!("CARGO_PKG_VERSION"));
    info.description = Some(DESCRIPTION.to_owned());
    let mut schemas = vec![(
        ProblemAnswer::name().into_owned(),
        <ProblemAnswer as utoipa::PartialSchema>::schema(),
    )];
    ProblemAnswer::schemas(&mut schemas);
    let mut components = ComponentsBuilder::new().schemas_from_iter(schemas);
    for status in statuses() {
        components = components.response(component(status), problem(status));
    }
    OpenApiBuilder::new()
        .info(info)
        .paths(Paths::new())
        .components(Some(components.build()))
        .build()
}

/// Gives each operation of `item` a name of its own, and adds the problems that a route at `path` may answer with, `own` among them.
pub(super) fn complete(path: &str, item: &mut PathItem, own: &[u16]) {
    let operations = [
        ("get", &mut item.get),
        ("put", &mut item.put),
        ("post", &mut item.post),
        ("delete", &mut item.delete),
    ];
    for (method, operation) in operations {
        let Some(operation) = operation else { continue };
        operation.operation_id = Some(name(method, path));
        // What is named, in the path or in the query, may not be there.
        let mut parameters = operation.parameters.iter().flatten();
        let is_camera =
            |parameter: &RefOr<Parameter>| matches!(parameter, RefOr::T(it) if it.name == "camera");
        let names_one = path.contains('{') || parameters.any(is_camera);
        let missing = names_one.then_some(404);
        let own = own.iter().copied().chain(missing);
        for status in own.chain(ANYWHERE) {
            add(operation, status);
        }
    }
}

/// `get-cameras-id-video-mp4`.
fn name(method: &str, path: &str) -> String {
    let words = path
        .split(|c: char| !c.is_ascii_alphanumeric())
        .filter(|word| !word.is_empty());
    [method]
        .into_iter()
        .chain(words)
        .collect::<Vec<_>>()
        .join("-")
}

fn add(operation: &mut Operation, status: u16) {
    let responses = &mut operation.responses.responses;
    let answer = match status {
        206 => RefOr::T(some_bytes(responses.get("200"))),
        304 => {
            let answer = ResponseBuilder::new().description("It is what the client has");
            RefOr::T(answer.build())
        }
        _ => RefOr::Ref(Ref::from_response_name(component(status))),
    };
    responses.entry(status.to_string()).or_insert(answer);
}

/// Byte ranges of the file that `whole` describes (RFC 9110 §15.3.7).
fn some_bytes(whole: Option<&RefOr<Described>>) -> Described {
    let Some(RefOr::T(whole)) = whole else {
        panic!("a route that gives files describes the whole file");
    };
    let text = <String as utoipa::PartialSchema>::schema();
    let several = ContentBuilder::new().schema(Some(text)).build();
    let some = ResponseBuilder::new()
        .description("The bytes asked for")
        .content("multipart/byteranges", several);
    let mut some = some.build();
    some.content.extend(whole.content.clone());
    some
}

fn component(status: u16) -> String {
    format!("Problem{status}")
}

fn statuses() -> Vec<u16> {
    let mut all: Vec<u16> = Kind::ALL.iter().map(|kind| kind.facts().1).collect();
    all.dedup();
    all
}

/// The answer with this status: its kinds.
fn problem(status: u16) -> Described {
    let mut description = String::new();
    for (name, _, title) in Kind::ALL
        .iter()
        .map(|kind| kind.facts())
        .filter(|facts| facts.1 == status)
    {
        let _ = write!(description, "{title} (`{TYPE_PREFIX}{name}`). ");
    }
    let schema = Ref::from_schema_name(ProblemAnswer::name());
    let content = ContentBuilder::new().schema(Some(schema)).build();
    ResponseBuilder::new()
        .description(description.trim_end())
        .content(CONTENT_TYPE, content)
        .build()
}

/// This document.
#[utoipa::path(
    get,
    path = "/openapi.json",
    responses((status = 200, description = "OpenAPI 3.1", content_type = "application/json", body = Object))
)]
pub(super) async fn get(State(app): Shared) -> Response {
    let text = app.document.get().cloned().unwrap_or_default();
    ([(header::CONTENT_TYPE, "application/json")], text).into_response()
}

/// Keeps `document` for `get`.
pub(super) fn keep(app: &App, document: &OpenApi) {
    let text = serde_json::to_vec(document).unwrap_or_default();
    let _ = app.document.set(text.into());
}
