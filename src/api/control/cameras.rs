//! Requests about cameras, done on the catalog: by a running server, or by a command itself when no server runs.

use crate::{
    api::{
        control::{Answer, CameraRequest, CameraView, Handler, RemovedView, Request},
        status::Status,
    },
    catalog::{Camera, Catalog, CatalogError, RemovedCamera},
};
use std::sync::Arc;

/// Does what is asked of the catalog, now and durably. Blocks for the time of a synced write.
pub fn answer_camera_request(catalog: &Catalog, request: CameraRequest) -> Answer {
    perform(catalog, request).unwrap_or_else(|failure| failure)
}

fn perform(catalog: &Catalog, request: CameraRequest) -> Result<Answer, Answer> {
    let shown = |camera: Camera| Answer::Camera {
        camera: Box::new(CameraView::from(&camera)),
    };
    Ok(match request {
        CameraRequest::Add { id, change } => {
            let change = change.try_into().map_err(usage)?;
            shown(catalog.add(&id, change).map_err(failed)?)
        }
        CameraRequest::Set { id, change } => {
            let change = change.try_into().map_err(usage)?;
            shown(catalog.set(&id, change).map_err(failed)?)
        }
        CameraRequest::Remove { id } => Answer::Removed {
            camera: Box::new(RemovedView::from(&catalog.remove(&id).map_err(failed)?)),
        },
        CameraRequest::List => Answer::Cameras {
            cameras: views(&catalog.list().map_err(failed)?),
        },
        CameraRequest::ListRemoved => Answer::RemovedCameras {
            cameras: views(&catalog.removed().map_err(failed)?),
        },
        CameraRequest::Import { rows, update } => {
            let rows: Result<Vec<_>, _> = rows.into_iter().map(TryInto::try_into).collect();
            Answer::Imported {
                counts: catalog
                    .import(rows.map_err(usage)?, update)
                    .map_err(failed)?,
            }
        }
    })
}

fn views<'a, T, V: From<&'a T>>(values: &'a [T]) -> Vec<V> {
    values.iter().map(V::from).collect()
}

fn usage(error: impl std::error::Error) -> Answer {
    Answer::Failed {
        message: error.to_string(),
        usage: true,
    }
}

fn failed(error: CatalogError) -> Answer {
    Answer::Failed {
        message: error.to_string(),
        usage: error.is_usage(),
    }
}

/// A server's handler whose cameras are those of a catalog, and whose status is told by `status`.
pub struct CatalogHandler<S> {
    catalog: Arc<Catalog>,
    status: S,
}

impl<S: Fn() -> Status + Send + Sync + 'static> CatalogHandler<S> {
    /// The handler. `status` is called for each request about it and must not block for long.
    pub fn new(catalog: Arc<Catalog>, status: S) -> Self {
        Self { catalog, status }
    }
}

impl<S: Fn() -> Status + Send + Sync + 'static> Handler for CatalogHandler<S> {
    async fn answer(&self, request: Request) -> Answer {
        match request {
            Request::Ping => Answer::Pong {
                version: env!("CARGO_PKG_VERSION").to_owned(),
                pid: std::process::id(),
            },
            Request::Status => Answer::Status {
                status: Box::new((self.status)()),
            },
            Request::Camera { camera } => {
                let catalog = Arc::clone(&self.catalog);
                // SQLite waits for the disk: not on a thread that has sockets to serve.
                let work = move || answer_camera_request(&catalog, *camera);
                match tokio::task::spawn_blocking(work).await {
                    Ok(answer) => answer,
                    Err(_) => Answer::Failed {
                        message:
                            "the server failed inside; its log says why, please report it as a defect"
                                .to_owned(),
                        usage: false,
                    },
                }
            }
        }
    }
}

impl From<&Camera> for CameraView {
    fn from(camera: &Camera) -> Self {
        let source = &camera.source;
        Self {
            id: camera.id.clone(),
            name: camera.name.clone(),
            url: source.url.redacted(),
            sub_url: source.sub_url.as_ref().map(|url| url.redacted()),
            username: source.username.clone(),
            has_password: source.password.is_some(),
            transport: source.transport,
            pool: camera.pool.clone(),
            system: camera.system,
            area: camera.area.clone(),
            owner: camera.owner.clone(),
            enabled: camera.enabled,
            created: camera.created,
            main: camera.main.to_string(),
            sub: camera.sub.to_string(),
        }
    }
}

impl From<&RemovedCamera> for RemovedView {
    fn from(camera: &RemovedCamera) -> Self {
        Self {
            id: camera.id.clone(),
            name: camera.name.clone(),
            system: camera.system,
            area: camera.area.clone(),
            owner: camera.owner.clone(),
            created: camera.created,
            removed: camera.removed,
            main: camera.main.to_string(),
            sub: camera.sub.to_string(),
        }
    }
}
