//! What can go wrong with the catalog: what, where, and what to do, in one line each. No message holds a secret.

use crate::catalog::{camera::CameraError, schema};
use std::path::PathBuf;

/// Why the catalog could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    /// The data directory cannot be made or used.
    #[error(
        "data directory {}: {source}; make it with `install -d -m 700 -o USER DIR` or name another under [data] dir in the configuration file",
        path.display()
    )]
    Directory {
        /// The data directory.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The data directory is another user's.
    #[error(
        "data directory {} belongs to user {owner}; run this command as that user, since files made by another one would stop the server",
        path.display()
    )]
    NotOwner {
        /// The data directory.
        path: PathBuf,
        /// The owner's number.
        owner: u32,
    },
    /// Another process holds the data directory.
    #[error(
        "data directory {} is in use by {holder}; stop that process, or name another directory under [data] dir",
        path.display()
    )]
    InUse {
        /// The data directory.
        path: PathBuf,
        /// `process 4711`, or what is known of it.
        holder: String,
    },
    /// There is no catalog yet.
    #[error(
        "catalog {} does not exist; enrol a camera with `nvring camera add`, or check [data] dir in the configuration file",
        path.display()
    )]
    Missing {
        /// Where it should be.
        path: PathBuf,
    },
    /// The file is no catalog.
    #[error(
        "{} is not an nvring catalog; move it away, or name another directory under [data] dir",
        path.display()
    )]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// The catalog was written by a newer release.
    #[error(
        "catalog {} has schema version {found} and this nvring ({}) knows versions up to {}; use the release that wrote it or a newer one",
        path.display(), env!("CARGO_PKG_VERSION"), schema::VERSION
    )]
    Newer {
        /// The catalog's file.
        path: PathBuf,
        /// Its version.
        found: i64,
    },
    /// The key file cannot be read or made.
    #[error("key file {}: {source}; it must be readable and writable by the user nvring runs as", path.display())]
    Key {
        /// The key's file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// There is a catalog without its key.
    #[error(
        "key file {} is missing, and the catalog's passwords cannot be read without it; restore it from the backup it was saved in",
        path.display()
    )]
    KeyMissing {
        /// The key's file.
        path: PathBuf,
    },
    /// The key file can be read by others.
    #[error("key file {} can be read by other users; run `chmod 600 {}`", path.display(), path.display())]
    KeyReadable {
        /// The key's file.
        path: PathBuf,
    },
    /// The key file holds no key.
    #[error("key file {} does not hold an nvring key; restore it from a backup", path.display())]
    KeyMalformed {
        /// The key's file.
        path: PathBuf,
    },
    /// The key is not the one the catalog was sealed with.
    #[error(
        "key file {} is not the one catalog.db beside it was sealed with; restore both from the same backup",
        path.display()
    )]
    KeyForeign {
        /// The key's file.
        path: PathBuf,
    },
    /// SQLite failed.
    #[error("catalog {}: {source}; check the disk's free space and health, then try again", path.display())]
    Database {
        /// The catalog's file.
        path: PathBuf,
        /// What SQLite said.
        #[source]
        source: rusqlite::Error,
    },
    /// A row does not read as what was written.
    #[error(
        "catalog {}: the record of camera `{camera}` is damaged ({what}); remove the camera and add it again, or restore the catalog from a backup",
        path.display()
    )]
    Damaged {
        /// The catalog's file.
        path: PathBuf,
        /// The camera's id as stored.
        camera: String,
        /// Which part.
        what: &'static str,
    },
    /// No such camera.
    #[error("camera `{id}` is not enrolled; {}", match nearest {
        Some(near) => format!("did you mean `{near}`?"),
        None => "`nvring camera list` shows those that are".to_owned(),
    })]
    UnknownCamera {
        /// The id asked for.
        id: String,
        /// The most similar id in use.
        nearest: Option<String>,
    },
    /// The id is taken.
    #[error(
        "camera `{id}` is already enrolled; change it with `nvring camera set {id}` or choose another id"
    )]
    CameraExists {
        /// The id.
        id: String,
    },
    /// A value is not acceptable.
    #[error(transparent)]
    Camera(#[from] CameraError),
    /// A line of an import is not acceptable; nothing of the file was taken.
    #[error("line {line}: {source}; nothing was imported")]
    Import {
        /// The line of the file, from 1.
        line: u64,
        /// What is wrong with it.
        #[source]
        source: Box<CatalogError>,
    },
}

impl CatalogError {
    /// Whether what was asked is wrong in itself, whatever the catalog holds (exit status 2).
    pub fn is_usage(&self) -> bool {
        match self {
            Self::Camera(_) => true,
            Self::Import { source, .. } => source.is_usage(),
            _ => false,
        }
    }
}
