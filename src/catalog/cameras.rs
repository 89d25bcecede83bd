//! Cameras in the catalog: add, list, get, set, remove, import. Values are checked in `camera`; here they meet SQL.

use crate::{
    base::UnixMicros,
    catalog::{
        Camera, CameraChange, CameraId, CameraUrl, Catalog, CatalogError, ImportRow, RemovedCamera,
        Secret, Source, StreamRole, System, Transport,
        collation::{SortKey, sort_key},
    },
    media::StreamId,
};
use rusqlite::{Connection, OptionalExtension, Row, Transaction, params, types::Type};
use zeroize::Zeroizing;

/// What an import did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct ImportCounts {
    /// Cameras enrolled.
    pub added: u64,
    /// Cameras changed.
    pub changed: u64,
    /// Cameras that already were as the file says.
    pub unchanged: u64,
}

/// The sealed part of a camera's row, as JSON. A later release may add fields, never change the meaning of one.
#[derive(serde::Serialize, serde::Deserialize)]
struct SourceRecord {
    url: Zeroizing<String>,
    sub_url: Option<Zeroizing<String>>,
    username: Option<String>,
    password: Option<Zeroizing<String>>,
    transport: Transport,
}

const COLUMNS: &str = "cameras.id, name, source_sealed, pool, system, area, owner, enabled, revision, created_us, removed_us,
    (SELECT id FROM streams WHERE camera = row AND role = 'main'),
    (SELECT id FROM streams WHERE camera = row AND role = 'sub')";

impl Catalog {
    /// Enrols a camera and gives its streams their identities.
    ///
    /// # Errors
    /// When the id is taken or a value is not acceptable.
    pub fn add(&self, id: &CameraId, change: CameraChange) -> Result<Camera, CatalogError> {
        self.write(|transaction| self.insert(transaction, id, change))
    }

    /// The enrolled cameras, ordered by area, name and id.
    pub fn list(&self) -> Result<Vec<Camera>, CatalogError> {
        let mut cameras = self.select("WHERE removed_us IS NULL", |row| self.camera(row))?;
        cameras.sort_by_cached_key(|c| place(&c.area, &c.name, &c.id));
        Ok(cameras)
    }

    /// The removed cameras, ordered by area, name and id, then by when they were removed.
    pub fn removed(&self) -> Result<Vec<RemovedCamera>, CatalogError> {
        let mut removed = self.select("WHERE removed_us IS NOT NULL", |row| {
            removed_camera(row).map(Ok)
        })?;
        removed.sort_by_cached_key(|c| (place(&c.area, &c.name, &c.id), c.removed));
        Ok(removed)
    }

    /// An enrolled camera.
    ///
    /// # Errors
    /// When none has this id; the error names the nearest one.
    pub fn get(&self, id: &CameraId) -> Result<Camera, CatalogError> {
        self.get_in(&self.connection(), id)
    }

    /// Changes an enrolled camera; a change of nothing leaves its revision.
    pub fn set(&self, id: &CameraId, change: CameraChange) -> Result<Camera, CatalogError> {
        self.write(|transaction| {
            self.update(transaction, id, change)
                .map(|(camera, _)| camera)
        })
    }

    /// Removes a camera: its sealed source goes, its name and stream identities stay as its tombstone.
    pub fn remove(&self, id: &CameraId) -> Result<RemovedCamera, CatalogError> {
        self.write(|transaction| {
            let camera = self.get_in(transaction, id)?;
            let removed = self.clock.now();
            transaction
                .execute(
                    "UPDATE cameras SET removed_us = ?2, source_sealed = NULL WHERE id = ?1 AND removed_us IS NULL",
                    params![id.as_str(), removed.0],
                )
                .map_err(|source| self.database_error(source))?;
            Ok(RemovedCamera {
                id: camera.id,
                name: camera.name,
                system: camera.system,
                area: camera.area,
                owner: camera.owner,
                created: camera.created,
                removed,
                main: camera.main,
                sub: camera.sub,
            })
        })
    }

    /// Enrols the cameras of an import file, all or none. Ids already enrolled are an error, or with `update` are changed.
    pub fn import(&self, rows: Vec<ImportRow>, update: bool) -> Result<ImportCounts, CatalogError> {
        self.write(|transaction| {
            let mut counts = ImportCounts::default();
            for row in rows {
                let line = row.line;
                self.import_row(transaction, row, update, &mut counts)
                    .map_err(|source| CatalogError::Import {
                        line,
                        source: Box::new(source),
                    })?;
            }
            Ok(counts)
        })
    }

    fn import_row(
        &self,
        transaction: &Transaction<'_>,
        row: ImportRow,
        update: bool,
        counts: &mut ImportCounts,
    ) -> Result<(), CatalogError> {
        let enrolled = match self.get_in(transaction, &row.id) {
            Ok(_) => true,
            Err(CatalogError::UnknownCamera { .. }) => false,
            Err(error) => return Err(error),
        };
        if !(enrolled && update) {
            self.insert(transaction, &row.id, row.change)?;
            counts.added += 1;
        } else if self.update(transaction, &row.id, row.change)?.1 {
            counts.changed += 1;
        } else {
            counts.unchanged += 1;
        }
        Ok(())
    }

    fn insert(
        &self,
        transaction: &Transaction<'_>,
        id: &CameraId,
        change: CameraChange,
    ) -> Result<Camera, CatalogError> {
        let created = self.clock.now();
        let streams = (new_stream_id(created), new_stream_id(created));
        let camera = Camera::enrol(id.clone(), change, created, streams)?;
        let inserted = transaction.execute(
            "INSERT INTO cameras (id, name, source_sealed, pool, system, area, owner, enabled, revision, created_us)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)
             ON CONFLICT (id) WHERE removed_us IS NULL DO NOTHING",
            params![
                id.as_str(),
                camera.name,
                self.seal_source(&camera),
                camera.pool,
                camera.system.name(),
                camera.area,
                camera.owner,
                camera.enabled,
                camera.revision as i64,
                created.0
            ],
        );
        if inserted.map_err(|source| self.database_error(source))? == 0 {
            return Err(CatalogError::CameraExists { id: id.to_string() });
        }
        let row = transaction.last_insert_rowid();
        for (role, stream) in [
            (StreamRole::Main, camera.main),
            (StreamRole::Sub, camera.sub),
        ] {
            transaction
                .execute(
                    "INSERT INTO streams (id, camera, role) VALUES (?1, ?2, ?3)",
                    params![stream.0, row, role.name()],
                )
                .map_err(|source| self.database_error(source))?;
        }
        Ok(camera)
    }

    /// The camera after the change, and whether it differs.
    fn update(
        &self,
        transaction: &Transaction<'_>,
        id: &CameraId,
        change: CameraChange,
    ) -> Result<(Camera, bool), CatalogError> {
        let before = self.get_in(transaction, id)?;
        let mut after = before.with(change)?;
        if after == before {
            return Ok((after, false));
        }
        after.revision += 1;
        transaction
            .execute(
                "UPDATE cameras SET name = ?2, source_sealed = ?3, pool = ?4, system = ?5, area = ?6, owner = ?7,
                 enabled = ?8, revision = ?9 WHERE id = ?1 AND removed_us IS NULL",
                params![
                    id.as_str(),
                    after.name,
                    self.seal_source(&after),
                    after.pool,
                    after.system.name(),
                    after.area,
                    after.owner,
                    after.enabled,
                    after.revision as i64
                ],
            )
            .map_err(|source| self.database_error(source))?;
        Ok((after, true))
    }

    fn get_in(&self, connection: &Connection, id: &CameraId) -> Result<Camera, CatalogError> {
        let sql =
            format!("SELECT {COLUMNS} FROM cameras WHERE cameras.id = ?1 AND removed_us IS NULL");
        let found = connection
            .query_row(&sql, [id.as_str()], |row| self.camera(row))
            .optional()
            .map_err(|source| self.database_error(source))?;
        match found {
            Some(camera) => camera,
            None => Err(self.unknown(connection, id)),
        }
    }

    fn unknown(&self, connection: &Connection, id: &CameraId) -> CatalogError {
        let ids = connection
            .prepare("SELECT id FROM cameras WHERE removed_us IS NULL")
            .and_then(|mut statement| {
                let rows = statement.query_map([], |row| row.get::<_, String>(0))?;
                rows.collect::<Result<Vec<_>, _>>()
            });
        match ids {
            Ok(ids) => CatalogError::UnknownCamera {
                id: id.to_string(),
                nearest: crate::base::nearest(id.as_str(), ids.iter().map(String::as_str))
                    .map(str::to_owned),
            },
            Err(source) => self.database_error(source),
        }
    }

    /// All rows under `condition`. The outer error is SQLite's, the inner one the row's own.
    fn select<T>(
        &self,
        condition: &str,
        read: impl Fn(&Row<'_>) -> rusqlite::Result<Result<T, CatalogError>>,
    ) -> Result<Vec<T>, CatalogError> {
        let connection = self.connection();
        let mut values = Vec::new();
        let mut collect = || -> rusqlite::Result<Result<(), CatalogError>> {
            let mut statement =
                connection.prepare(&format!("SELECT {COLUMNS} FROM cameras {condition}"))?;
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                match read(row)? {
                    Ok(value) => values.push(value),
                    Err(error) => return Ok(Err(error)),
                }
            }
            Ok(Ok(()))
        };
        collect().map_err(|source| self.database_error(source))??;
        Ok(values)
    }

    fn camera(&self, row: &Row<'_>) -> rusqlite::Result<Result<Camera, CatalogError>> {
        let main = StreamId(row.get(11)?);
        let sealed: Vec<u8> = row.get(2)?;
        let Some(source) = self.unseal_source(main, &sealed) else {
            return Ok(Err(CatalogError::Damaged {
                path: self.path.clone(),
                camera: row.get(0)?,
                what: "its sealed source does not open",
            }));
        };
        Ok(Ok(Camera {
            id: parsed(row, 0)?,
            name: row.get(1)?,
            source,
            pool: row.get(3)?,
            system: parsed(row, 4)?,
            area: row.get(5)?,
            owner: row.get(6)?,
            enabled: row.get(7)?,
            revision: row.get::<_, i64>(8)?.unsigned_abs(),
            created: UnixMicros(row.get(9)?),
            main,
            sub: StreamId(row.get(12)?),
        }))
    }

    fn seal_source(&self, camera: &Camera) -> Vec<u8> {
        let exposed = |url: &CameraUrl| Zeroizing::new(url.expose().to_string());
        let source = &camera.source;
        let record = SourceRecord {
            url: exposed(&source.url),
            sub_url: source.sub_url.as_ref().map(exposed),
            username: source.username.clone(),
            password: source
                .password
                .as_ref()
                .map(|password| Zeroizing::new(password.expose().to_owned())),
            transport: source.transport,
        };
        let json = serde_json::to_vec(&record).expect("a record of texts is JSON");
        self.key
            .seal(&source_place(camera.main), &Zeroizing::new(json))
    }

    fn unseal_source(&self, main: StreamId, sealed: &[u8]) -> Option<Source> {
        let json = self.key.unseal(&source_place(main), sealed).ok()?;
        let record: SourceRecord = serde_json::from_slice(&json).ok()?;
        let sub_url = match record.sub_url {
            Some(url) => Some(CameraUrl::parse(&url).ok()?),
            None => None,
        };
        Some(Source {
            url: CameraUrl::parse(&record.url).ok()?,
            sub_url,
            username: record.username,
            password: record.password.map(|text| Secret::new(text.as_str())),
            transport: record.transport,
        })
    }
}

/// Binds a sealed source to its camera's life, so that it opens in no other row.
fn source_place(main: StreamId) -> Vec<u8> {
    [b"camera source ".as_slice(), &main.0].concat()
}

/// A fresh identity: a version 7 UUID (RFC 9562 §5.7), 74 of its bits random.
fn new_stream_id(now: UnixMicros) -> StreamId {
    let seconds = now.0.div_euclid(1_000_000).max(0) as u64;
    let nanos = now.0.rem_euclid(1_000_000) as u32 * 1000;
    let timestamp = uuid::Timestamp::from_unix(uuid::NoContext, seconds, nanos);
    StreamId(*uuid::Uuid::new_v7(timestamp).as_bytes())
}

/// Where a camera stands in a list.
fn place(area: &str, name: &str, id: &CameraId) -> (Vec<SortKey>, SortKey, SortKey) {
    let levels = area.split('/').map(sort_key).collect();
    (levels, sort_key(name), sort_key(id.as_str()))
}

fn removed_camera(row: &Row<'_>) -> rusqlite::Result<RemovedCamera> {
    Ok(RemovedCamera {
        id: parsed(row, 0)?,
        name: row.get(1)?,
        system: parsed::<System>(row, 4)?,
        area: row.get(5)?,
        owner: row.get(6)?,
        created: UnixMicros(row.get(9)?),
        removed: UnixMicros(row.get(10)?),
        main: StreamId(row.get(11)?),
        sub: StreamId(row.get(12)?),
    })
}

/// A column whose text form is a value's.
fn parsed<T>(row: &Row<'_>, column: usize) -> rusqlite::Result<T>
where
    T: std::str::FromStr<Err: std::error::Error + Send + Sync + 'static>,
{
    let text: String = row.get(column)?;
    text.parse().map_err(|error: T::Err| {
        rusqlite::Error::FromSqlConversionFailure(column, Type::Text, Box::new(error))
    })
}
