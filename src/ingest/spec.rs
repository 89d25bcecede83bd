//! What is to be recorded: one value per stream, made from the catalog's cameras in one place.

use crate::{
    catalog::{Camera, CameraId, CameraUrl, Secret, StreamRole, Transport},
    media::StreamId,
};

/// How a stream is reached. Its `Debug` hides what is secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// The address.
    pub url: CameraUrl,
    /// The user to sign in as.
    pub username: Option<String>,
    /// That user's password.
    pub password: Option<Secret>,
    /// How packets travel.
    pub transport: Transport,
}

/// One stream to record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamSpec {
    /// Its identity.
    pub stream: StreamId,
    /// Its camera.
    pub camera: CameraId,
    /// The camera's name for people.
    pub name: String,
    /// Which of the camera's streams.
    pub role: StreamRole,
    /// How it is reached.
    pub source: Source,
    /// The pool it records to.
    pub pool: String,
    /// Whether it is to be recorded.
    pub enabled: bool,
}

impl StreamSpec {
    /// The streams of a camera.
    pub fn of(camera: &Camera) -> impl Iterator<Item = Self> + '_ {
        camera.streams().map(|(role, stream, url)| Self {
            stream,
            camera: camera.id.clone(),
            name: camera.name.clone(),
            role,
            source: Source {
                url: url.clone(),
                username: camera.source.username.clone(),
                password: camera.source.password.clone(),
                transport: camera.source.transport,
            },
            pool: camera.pool.clone(),
            enabled: camera.enabled,
        })
    }

    /// The streams of all cameras that are switched on.
    pub fn of_all<'c>(cameras: impl IntoIterator<Item = &'c Camera>) -> Vec<Self> {
        cameras.into_iter().flat_map(Self::of).collect()
    }
}
