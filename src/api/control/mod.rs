//! The control socket: how commands reach a running server, on the same machine and as the same user only.
//!
//! `DATA_DIR/nvring.sock` is a Unix socket of mode 0600 in a directory of mode 0700. A client sends one request per line as
//! JSON and gets one answer per line; several may follow each other on one connection:
//!
//! ```text
//! → {"version":1,"request":{"kind":"camera","camera":{"kind":"remove","id":"gate"}}}
//! ← {"version":1,"answer":{"kind":"removed","camera":{"id":"gate",…}}}
//! ```
//!
//! A request may hold a camera's password (that is how one is enrolled); no answer ever does. Both sides refuse another
//! version in words: the socket joins programs of one release, it is no interface for others (those use HTTP).
//!
//! Reading order: requests and answers here, `wire` for the one place where secrets are written out, `cameras` does what is
//! asked of the catalog, `server` listens.

mod cameras;
mod server;
mod wire;

pub use cameras::{CatalogHandler, answer_camera_request};
pub use server::{ControlError, Handler, Server};
pub use wire::{WireChange, WireRow};

use crate::{
    api::status::Status,
    base::UnixMicros,
    catalog::{CameraId, ImportCounts, System, Transport},
};
use serde::{Deserialize, Serialize};
use std::{
    path::{Path, PathBuf},
    time::Duration,
};

/// The version of the protocol.
pub const VERSION: u32 = 1;
/// The longest line, in bytes: an import of about 10,000 cameras.
pub const LINE_LEN_MAX: usize = 8 << 20;
/// The longest path of a socket on Linux, in bytes (`unix(7)`: `sun_path` is 108 with its final zero).
pub const SOCKET_PATH_LEN_MAX: usize = 107;
/// How long a client may think before its next line, and take to read an answer.
pub const IDLE_MAX: Duration = Duration::from_secs(10);
/// How long a request may take to be answered.
pub const ANSWER_MAX: Duration = Duration::from_secs(60);

/// Where the server of a data directory listens.
pub fn socket_path(data_dir: &Path) -> PathBuf {
    data_dir.join("nvring.sock")
}

/// One line to the server.
#[derive(Debug, Serialize, Deserialize)]
pub struct RequestLine {
    /// `VERSION` of the client.
    pub version: u32,
    /// What is asked.
    pub request: Request,
}

/// One line from the server.
#[derive(Debug, Serialize, Deserialize)]
pub struct AnswerLine {
    /// `VERSION` of the server.
    pub version: u32,
    /// What it says.
    pub answer: Answer,
}

/// What can be asked of a running server.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Request {
    /// Is it there?
    Ping,
    /// How is it?
    Status,
    /// Something about the enrolled cameras.
    Camera {
        /// What.
        camera: Box<CameraRequest>,
    },
}

/// What can be asked about cameras, of a running server or of the catalog itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum CameraRequest {
    /// Enrol one.
    Add {
        /// Its id.
        id: CameraId,
        /// Its properties.
        change: WireChange,
    },
    /// All that are enrolled.
    List,
    /// All that were removed.
    ListRemoved,
    /// Change one.
    Set {
        /// Its id.
        id: CameraId,
        /// What to change.
        change: WireChange,
    },
    /// Remove one.
    Remove {
        /// Its id.
        id: CameraId,
    },
    /// Enrol many, all or none.
    Import {
        /// The cameras.
        rows: Vec<WireRow>,
        /// Whether to change those already enrolled.
        update: bool,
    },
}

/// What a server answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Answer {
    /// It is there.
    Pong {
        /// Its program's version.
        version: String,
        /// Its process id.
        pid: u32,
    },
    /// How it is.
    Status {
        /// All it says.
        status: Box<Status>,
    },
    /// A camera after what was done.
    Camera {
        /// The camera.
        camera: Box<CameraView>,
    },
    /// The enrolled cameras.
    Cameras {
        /// In the order of the catalog.
        cameras: Vec<CameraView>,
    },
    /// A camera that was removed now.
    Removed {
        /// What stays of it.
        camera: Box<RemovedView>,
    },
    /// The removed cameras.
    RemovedCameras {
        /// In the order of the catalog.
        cameras: Vec<RemovedView>,
    },
    /// What an import did.
    Imported {
        /// In numbers.
        counts: ImportCounts,
    },
    /// It was not done.
    Failed {
        /// What, where, why and the remedy, on one line.
        message: String,
        /// Whether what was asked is wrong in itself (exit status 2), not only impossible now (1).
        usage: bool,
    },
}

/// A camera as shown: without its secrets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CameraView {
    /// Its id.
    pub id: CameraId,
    /// Its name for people.
    pub name: String,
    /// The main stream's address, credentials hidden.
    pub url: String,
    /// The second stream's address, credentials hidden.
    pub sub_url: Option<String>,
    /// The user to sign in as.
    pub username: Option<String>,
    /// Whether a password is stored.
    pub has_password: bool,
    /// How packets travel.
    pub transport: Transport,
    /// Its pool.
    pub pool: String,
    /// Its system.
    pub system: System,
    /// Its place.
    pub area: String,
    /// Its owner.
    pub owner: String,
    /// Whether it is to be recorded.
    pub enabled: bool,
    /// When it was enrolled.
    pub created: UnixMicros,
    /// The main stream's identity, a UUID.
    pub main: String,
    /// The second stream's identity, a UUID.
    pub sub: String,
}

/// A removed camera as shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemovedView {
    /// Its id; another camera may use it today.
    pub id: CameraId,
    /// Its name for people.
    pub name: String,
    /// Its system.
    pub system: System,
    /// Its place.
    pub area: String,
    /// Its owner.
    pub owner: String,
    /// When it was enrolled.
    pub created: UnixMicros,
    /// When it was removed.
    pub removed: UnixMicros,
    /// The main stream's identity, a UUID.
    pub main: String,
    /// The second stream's identity, a UUID.
    pub sub: String,
}
