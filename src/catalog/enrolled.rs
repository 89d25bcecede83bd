//! The streams of the enrolled cameras, in memory.
//!
//! Listeners ask for them with every request, on threads that serve everybody. A question to the file waits for whoever changes it, and a
//! change waits for its disk: so the answer must not come from there. The table is made when the catalog is opened and again with each
//! change, before the change is answered.

use super::{CameraId, Catalog, CatalogError, StreamRole};
use crate::media::StreamId;
use rusqlite::Connection;
use std::{
    collections::HashMap,
    sync::{PoisonError, RwLock},
};

/// Main and second stream, by camera.
type Streams = HashMap<CameraId, (StreamId, StreamId)>;

const SELECT: &str = "SELECT cameras.id,
    (SELECT id FROM streams WHERE camera = row AND role = 'main'),
    (SELECT id FROM streams WHERE camera = row AND role = 'sub')
    FROM cameras WHERE removed_us IS NULL";

/// The table; `None` where it may be out of date: another process makes the changes, or the last one could not be read.
#[derive(Debug, Default)]
pub(super) struct Enrolled(RwLock<Option<Streams>>);

impl Enrolled {
    fn set(&self, streams: Option<Streams>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = streams;
    }
}

impl Catalog {
    /// The stream of an enrolled camera; `None` when no camera has this id. Waits for no disk in the process that makes the changes.
    ///
    /// # Errors
    /// When the file cannot be read, where it must be.
    pub fn stream(
        &self,
        id: &CameraId,
        role: StreamRole,
    ) -> Result<Option<StreamId>, CatalogError> {
        let pick = |(main, sub): &(StreamId, StreamId)| match role {
            StreamRole::Main => *main,
            StreamRole::Sub => *sub,
        };
        let known = self.enrolled.0.read();
        if let Some(streams) = &*known.unwrap_or_else(PoisonError::into_inner) {
            return Ok(streams.get(id).map(pick));
        }
        let streams = read(&self.connection()).map_err(|source| self.database_error(source))?;
        Ok(streams.get(id).map(pick))
    }

    /// Makes the table anew, by whoever changes the file.
    pub(super) fn refresh(&self, connection: &Connection) {
        let streams = read(connection);
        if let Err(error) = &streams {
            tracing::error!(%error, catalog = %self.path.display(), "the cameras are not kept in memory: each request reads the file");
        }
        self.enrolled.set(streams.ok());
    }
}

fn read(connection: &Connection) -> rusqlite::Result<Streams> {
    let mut statement = connection.prepare(SELECT)?;
    let mut rows = statement.query([])?;
    let mut streams = Streams::new();
    while let Some(row) = rows.next()? {
        // An id that is none was never given out in an address.
        if let Ok(id) = row.get::<_, String>(0)?.parse() {
            streams.insert(id, (StreamId(row.get(1)?), StreamId(row.get(2)?)));
        }
    }
    Ok(streams)
}
