//! The listening side of the control socket: bounded lines, bounded time, bounded connections.
//!
//! The caller holds the catalog's lock, so a socket found in the data directory is a dead server's and is replaced. It is
//! bound under another name, made 0600 and then renamed: at no moment can another user connect. A client that sends
//! nonsense, nothing, or too much is answered where possible and dropped; it never keeps the others waiting.

use crate::api::{
    complaints,
    control::{
        ANSWER_MAX, Answer, AnswerLine, IDLE_MAX, LINE_LEN_MAX, Request, RequestLine,
        SOCKET_PATH_LEN_MAX, VERSION, socket_path,
    },
};
use std::{
    future::Future,
    io,
    os::unix::{ffi::OsStrExt, fs::PermissionsExt},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{UnixListener, UnixStream},
    task::JoinSet,
    time::timeout,
};

/// The most connections at a time; the next ones wait.
const CONNECTIONS_MAX: usize = 32;
/// The pause after a failed accept (no file descriptors left), so that it does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Who answers requests.
pub trait Handler: Send + Sync + 'static {
    /// The answer to one request.
    fn answer(&self, request: Request) -> impl Future<Output = Answer> + Send;
}

/// A control socket that cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// The path does not fit.
    #[error(
        "control socket {} is longer than 107 bytes, the most Linux allows; name a shorter directory under [data] dir",
        path.display()
    )]
    TooLong {
        /// The socket's path.
        path: PathBuf,
    },
    /// The system refuses.
    #[error(
        "control socket {}: {source}; the data directory must be on a local filesystem and writable by the user nvring runs as",
        path.display()
    )]
    Bind {
        /// The socket's path.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

/// A bound control socket. Its file goes when this is dropped.
#[derive(Debug)]
pub struct Server {
    listener: UnixListener,
    path: PathBuf,
}

impl Server {
    /// Listens in `data_dir`, whose catalog the caller holds open. Needs a tokio runtime with I/O.
    pub fn bind(data_dir: &Path) -> Result<Self, ControlError> {
        let path = socket_path(data_dir);
        let fresh = data_dir.join("nvring.new");
        if path.as_os_str().as_bytes().len() > SOCKET_PATH_LEN_MAX {
            return Err(ControlError::TooLong { path });
        }
        let bind = || -> io::Result<UnixListener> {
            match std::fs::remove_file(&fresh) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            let listener = UnixListener::bind(&fresh)?;
            std::fs::set_permissions(&fresh, PermissionsExt::from_mode(0o600))?;
            std::fs::rename(&fresh, &path)?;
            Ok(listener)
        };
        match bind() {
            Ok(listener) => Ok(Self { listener, path }),
            Err(source) => Err(ControlError::Bind { path, source }),
        }
    }

    /// Where it listens.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Answers requests until the future is dropped; requests not yet answered are dropped with it.
    pub async fn run(self, handler: impl Handler) {
        let handler = Arc::new(handler);
        let mut connections = JoinSet::new();
        loop {
            while connections.try_join_next().is_some() {}
            if connections.len() >= CONNECTIONS_MAX {
                connections.join_next().await;
                continue;
            }
            match self.listener.accept().await {
                Ok((stream, _)) => {
                    connections.spawn(converse(stream, Arc::clone(&handler)));
                }
                Err(error) => {
                    complaints::warn(
                        "control socket: a connection was not accepted",
                        None,
                        &error,
                    );
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // A file left behind is replaced at the next start.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Answers one client, line by line, until it leaves or breaks the rules.
async fn converse(stream: UnixStream, handler: Arc<impl Handler>) {
    let (reader, mut writer) = stream.into_split();
    let mut reader = BufReader::new(reader);
    loop {
        let mut line = Vec::new();
        let mut bounded = (&mut reader).take(LINE_LEN_MAX as u64 + 1);
        match timeout(IDLE_MAX, bounded.read_until(b'\n', &mut line)).await {
            Ok(Ok(len)) if len > 0 => {}
            _ => return,
        }
        let whole = line.last() == Some(&b'\n');
        let answer = if whole {
            answer(&line, &*handler).await
        } else if line.len() > LINE_LEN_MAX {
            refusal("the request is longer than 8 MiB; split the import file")
        } else {
            // The client left in the middle of a line: what it wanted is not known.
            return;
        };
        let line = AnswerLine {
            version: VERSION,
            answer,
        };
        let mut json = serde_json::to_vec(&line).expect("answers hold texts and numbers only");
        json.push(b'\n');
        match timeout(IDLE_MAX, writer.write_all(&json)).await {
            Ok(Ok(())) if whole => {}
            _ => return,
        }
    }
}

async fn answer(line: &[u8], handler: &impl Handler) -> Answer {
    /// Enough of any version's line to tell its version.
    #[derive(serde::Deserialize)]
    struct Versioned {
        version: u32,
    }
    match serde_json::from_slice(line) {
        Ok(Versioned { version: VERSION }) => {}
        Ok(Versioned { version }) => {
            return refusal(&format!(
                "the running server speaks control version {VERSION}, this command version {version}; use the same nvring release for both"
            ));
        }
        // The parser's words may quote the request, which may hold a password.
        Err(_) => return refusal("the request is not understood; use the nvring command line"),
    }
    let Ok(RequestLine { request, .. }) = serde_json::from_slice(line) else {
        return refusal(
            "the running server does not know this request; use the same nvring release for both",
        );
    };
    match timeout(ANSWER_MAX, handler.answer(request)).await {
        Ok(answer) => answer,
        Err(_) => refusal("the server did not finish within 60 s; see its log and `nvring status`"),
    }
}

fn refusal(message: &str) -> Answer {
    Answer::Failed {
        message: message.to_owned(),
        usage: false,
    }
}

#[cfg(test)]
mod tests;
