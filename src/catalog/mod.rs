//! The catalog: which cameras are enrolled, kept in one SQLite file of the data directory.
//!
//! It owns `catalog.db` (WAL, every commit synced), `secret.key` beside it, and `catalog.lock`, which makes sure that one
//! process at a time changes them: a running server, or one command when no server runs. It keeps these promises:
//! - a stream identity is given once and never again, even when a removed camera's id is enrolled anew;
//! - a removed camera leaves its name behind, so that its recordings keep one;
//! - addresses, user names and passwords of cameras are sealed on disk and hidden in every display (regulation R-10);
//! - a change is whole and durable when the call returns, and `changes` then wakes those who apply it.
//!
//! Reading order: `camera` is the value, `camera_id` and `camera_words` its words, `camera_url` and `secret` its hidden parts,
//! `collation` its names; `cameras` reads and writes it, `enrolled` is what of it is kept in memory; `import` reads many from a file. Calls
//! take a few milliseconds and block, but for `Catalog::stream`: async callers use a blocking thread.

pub mod camera;
pub mod camera_id;
pub mod camera_url;
pub mod camera_words;
pub mod secret;

pub mod collation;

mod cameras;
mod enrolled;
pub mod import;

mod error;
mod schema;
mod seal;

pub use camera::{Camera, CameraChange, CameraError, DEFAULT_POOL, Patch, RemovedCamera, Source};
pub use camera_id::CameraId;
pub use camera_url::CameraUrl;
pub use camera_words::{StreamRole, System, Transport, WordError};
pub use cameras::ImportCounts;
pub use error::CatalogError;
pub use import::ImportRow;
pub use secret::Secret;

use crate::base::Clock;
use enrolled::Enrolled;
use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension, TransactionBehavior};
use schema::Found;
use seal::SealKey;
use std::{
    fs::{DirBuilder, File, OpenOptions, TryLockError},
    io::{Read, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};
use tokio::sync::watch;

/// The catalog's file in the data directory.
pub const CATALOG_FILE: &str = "catalog.db";

const LOCK_FILE: &str = "catalog.lock";
/// How long SQLite waits for a reader or writer of the same file.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// Sealed into the file at its making; opens only with the same key.
const KEY_CHECK: &[u8] = b"nvring catalog";

/// The open catalog of one data directory.
pub struct Catalog {
    connection: Mutex<Connection>,
    key: SealKey,
    path: PathBuf,
    clock: Arc<dyn Clock>,
    changes: watch::Sender<u64>,
    enrolled: Enrolled,
    /// Held for life; absent when opened for reading.
    _lock: Option<File>,
}

impl Catalog {
    /// Opens the catalog of `dir` for changes and locks it; directory (0700), key (0600) and file (0600) are made when absent.
    ///
    /// # Errors
    /// When another process holds it, when it is a newer release's or no catalog, or when its key is absent or another's.
    pub fn open(dir: &Path, clock: Arc<dyn Clock>) -> Result<Self, CatalogError> {
        let directory_error = |source| CatalogError::Directory {
            path: dir.to_owned(),
            source,
        };
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(dir)
            .map_err(directory_error)?;
        // Root may write anywhere, but files root makes here would lock the server's own user out.
        let owner = dir.metadata().map_err(directory_error)?.uid();
        let user = Path::new("/proc/self").metadata().map(|own| own.uid());
        if user.is_ok_and(|user| user != owner) {
            return Err(CatalogError::NotOwner {
                path: dir.to_owned(),
                owner,
            });
        }
        let lock = lock(dir)?;
        let path = dir.join(CATALOG_FILE);
        // SQLite would make the file by the umask; its -wal and -shm files copy the mode they find here.
        OpenOptions::new()
            .append(true)
            .create(true)
            .mode(0o600)
            .open(&path)
            .map_err(directory_error)?;
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let (mut connection, found) = connect(&path, flags)?;
        let database_error = |source| CatalogError::Database {
            path: path.clone(),
            source,
        };
        let version = match found {
            Found::Empty => 0,
            Found::Version(version) => version,
            Found::Foreign => return Err(CatalogError::Foreign { path }),
        };
        let key = if version == 0 {
            SealKey::open_or_create(dir)?
        } else {
            SealKey::open(dir)?
        };
        configure(&connection).map_err(database_error)?;
        schema::migrate(&mut connection, version, clock.now().0).map_err(database_error)?;
        let catalog = Self {
            connection: Mutex::new(connection),
            key,
            path,
            clock,
            changes: watch::Sender::new(0),
            enrolled: Enrolled::default(),
            _lock: Some(lock),
        };
        catalog.check_key()?;
        catalog.refresh(&catalog.connection());
        Ok(catalog)
    }

    /// Opens the catalog of `dir` for reading only, also while a server holds it.
    ///
    /// # Errors
    /// As `open`, and when there is no catalog yet.
    pub fn open_to_read(dir: &Path, clock: Arc<dyn Clock>) -> Result<Self, CatalogError> {
        let path = dir.join(CATALOG_FILE);
        if !path.exists() {
            return Err(CatalogError::Missing { path });
        }
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let (connection, found) = connect(&path, flags)?;
        match found {
            Found::Empty => return Err(CatalogError::Missing { path }),
            Found::Foreign => return Err(CatalogError::Foreign { path }),
            Found::Version(_) => {}
        }
        let catalog = Self {
            connection: Mutex::new(connection),
            key: SealKey::open(dir)?,
            path,
            clock,
            changes: watch::Sender::new(0),
            enrolled: Enrolled::default(),
            _lock: None,
        };
        catalog.check_key()?;
        Ok(catalog)
    }

    /// A counter that grows with every change made through this value; wait on it to apply changes at once.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// The catalog's file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Makes sure that the key is the one this file was sealed with; seals the mark into a new file.
    fn check_key(&self) -> Result<(), CatalogError> {
        let mark: Option<Vec<u8>> = self
            .connection()
            .query_row("SELECT sealed FROM key_check", [], |row| row.get(0))
            .optional()
            .map_err(|source| self.database_error(source))?;
        match mark {
            Some(mark) if self.key.unseal(b"key_check", &mark).is_ok() => Ok(()),
            Some(_) => Err(CatalogError::KeyForeign {
                path: self.path.with_file_name(seal::KEY_FILE),
            }),
            None => {
                let mark = self.key.seal(b"key_check", KEY_CHECK);
                self.connection()
                    .execute("INSERT INTO key_check VALUES (1, ?1)", [mark])
                    .map_err(|source| self.database_error(source))?;
                Ok(())
            }
        }
    }

    fn connection(&self) -> MutexGuard<'_, Connection> {
        self.connection
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Runs `work` as one durable transaction, or not at all, and wakes those who watch.
    fn write<T>(
        &self,
        work: impl FnOnce(&rusqlite::Transaction<'_>) -> Result<T, CatalogError>,
    ) -> Result<T, CatalogError> {
        let result = {
            let mut connection = self.connection();
            let transaction = connection
                .transaction_with_behavior(TransactionBehavior::Immediate)
                .map_err(|source| self.database_error(source))?;
            let result = work(&transaction)?;
            transaction
                .commit()
                .map_err(|source| self.database_error(source))?;
            self.refresh(&connection);
            result
        };
        self.changes.send_modify(|count| *count += 1);
        Ok(result)
    }

    fn database_error(&self, source: rusqlite::Error) -> CatalogError {
        CatalogError::Database {
            path: self.path.clone(),
            source,
        }
    }
}

/// Opens the file and sees what it is, without changing it.
fn connect(path: &Path, flags: OpenFlags) -> Result<(Connection, Found), CatalogError> {
    let opened = Connection::open_with_flags(path, flags).and_then(|connection| {
        connection.busy_timeout(BUSY_TIMEOUT)?;
        let found = schema::find(&connection)?;
        Ok((connection, found))
    });
    match opened {
        Ok((_, Found::Version(found))) if found > schema::VERSION => Err(CatalogError::Newer {
            path: path.to_owned(),
            found,
        }),
        Ok(opened) => Ok(opened),
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::NotADatabase) => {
            Err(CatalogError::Foreign {
                path: path.to_owned(),
            })
        }
        Err(source) => Err(CatalogError::Database {
            path: path.to_owned(),
            source,
        }),
    }
}

fn configure(connection: &Connection) -> rusqlite::Result<()> {
    connection.pragma_update(None, "journal_mode", "wal")?;
    // FULL: a change that was answered survives a power cut.
    connection.pragma_update(None, "synchronous", "full")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    // What was removed is overwritten in the file.
    connection.pragma_update(None, "secure_delete", true)?;
    connection.pragma_update(None, "trusted_schema", false)
}

/// Takes the directory for this process; the system releases it however the process ends.
fn lock(dir: &Path) -> Result<File, CatalogError> {
    let directory_error = |source| CatalogError::Directory {
        path: dir.to_owned(),
        source,
    };
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(dir.join(LOCK_FILE))
        .map_err(directory_error)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut pid = String::new();
            let known = file.read_to_string(&mut pid).is_ok() && pid.trim().parse::<u32>().is_ok();
            return Err(CatalogError::InUse {
                path: dir.to_owned(),
                holder: if known {
                    format!("process {}", pid.trim())
                } else {
                    "another process".to_owned()
                },
            });
        }
        Err(TryLockError::Error(source)) => return Err(directory_error(source)),
    }
    // The number only helps an error message; the lock does not depend on it.
    file.set_len(0)
        .and_then(|()| writeln!(file, "{}", std::process::id()))
        .map_err(directory_error)?;
    Ok(file)
}

#[cfg(test)]
mod tests;
