//! The asking side of the control socket, and the rule by which camera commands find who does the work.
//!
//! A running server does it; when none runs, the command does it on the catalog itself, under the same lock a server would
//! hold. Both go through the same request and the same answer, so that they cannot differ.

use crate::{
    api::control::{
        Answer, AnswerLine, CameraRequest, LINE_LEN_MAX, Request, RequestLine, SOCKET_PATH_LEN_MAX,
        VERSION, answer_camera_request, socket_path,
    },
    base::Micros,
    catalog::{Catalog, CatalogError},
    cli::{context::Context, error::CliError},
};
use std::{
    io::{BufRead, BufReader, ErrorKind, Read, Write},
    os::unix::{ffi::OsStrExt, net::UnixStream},
    path::{Path, PathBuf},
    time::Duration,
};

/// How long to wait for a server's answer: longer than a server takes at most.
const ANSWER_MAX: Duration = Duration::from_secs(70);
/// How long to wait while a server starts or another command holds the catalog.
const HELD_MAX: Micros = Micros::from_secs(5);
const HELD_PAUSE: Duration = Duration::from_millis(50);

/// A connection to a running server.
pub struct Client {
    stream: BufReader<UnixStream>,
    path: PathBuf,
}

/// Who did the work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DoneBy {
    /// A running server, which applies it at once.
    Server,
    /// This command; a server will read it when it starts.
    Catalog,
}

impl Client {
    /// Connects to the server of `data_dir`; `None` when none runs.
    pub fn connect(data_dir: &Path) -> Result<Option<Self>, CliError> {
        let path = socket_path(data_dir);
        if path.as_os_str().as_bytes().len() > SOCKET_PATH_LEN_MAX {
            // No server can listen there, so none runs.
            return Ok(None);
        }
        let connected = UnixStream::connect(&path).and_then(|stream| {
            stream.set_read_timeout(Some(ANSWER_MAX))?;
            stream.set_write_timeout(Some(ANSWER_MAX))?;
            Ok(stream)
        });
        match connected {
            Ok(stream) => Ok(Some(Self {
                stream: BufReader::new(stream),
                path,
            })),
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::NotFound | ErrorKind::ConnectionRefused | ErrorKind::NotADirectory
                ) =>
            {
                Ok(None)
            }
            Err(error) if error.kind() == ErrorKind::PermissionDenied => {
                Err(CliError::failed(format!(
                    "control socket {}: permission denied; run this command as the user the server runs as",
                    path.display()
                )))
            }
            Err(error) => Err(CliError::failed(format!(
                "control socket {}: {error}; is the server healthy? see its log",
                path.display()
            ))),
        }
    }

    /// Asks, and waits for the answer. A refusal is an error with the server's words.
    pub fn ask(&mut self, request: Request) -> Result<Answer, CliError> {
        let broken = |path: &Path, why: &dyn std::fmt::Display| {
            CliError::failed(format!(
                "control socket {}: {why}; see the server's log, and use the same nvring release for both",
                path.display()
            ))
        };
        let line = RequestLine {
            version: VERSION,
            request,
        };
        // Wiped after use: the request may hold a password.
        let json = serde_json::to_vec(&line).map(zeroize::Zeroizing::new);
        let mut json = json.map_err(|error| broken(&self.path, &error))?;
        json.push(b'\n');
        if json.len() > LINE_LEN_MAX {
            return Err(CliError::failed(
                "the request is longer than 8 MiB; split the import file",
            ));
        }
        self.stream
            .get_mut()
            .write_all(&json)
            .map_err(|error| broken(&self.path, &error))?;
        let mut text = Vec::new();
        // An answer may list every camera ever enrolled, yet a broken peer must not fill the memory.
        let mut bounded = (&mut self.stream).take(16 * LINE_LEN_MAX as u64);
        bounded
            .read_until(b'\n', &mut text)
            .map_err(|error| broken(&self.path, &error))?;
        if text.is_empty() {
            return Err(broken(&self.path, &"the server closed the connection"));
        }
        match serde_json::from_slice::<AnswerLine>(&text) {
            Ok(line) => accepted(line.answer),
            Err(_) => Err(broken(&self.path, &"the answer is not understood")),
        }
    }
}

/// Does what is asked about cameras, by the running server or on the catalog itself.
pub fn ask_about_cameras(
    context: &Context,
    data_dir: &Path,
    request: CameraRequest,
) -> Result<(Answer, DoneBy), CliError> {
    let clock = context.clock();
    let start = clock.elapsed();
    loop {
        if let Some(mut client) = Client::connect(data_dir)? {
            let answer = client.ask(Request::Camera {
                camera: Box::new(request),
            })?;
            return Ok((answer, DoneBy::Server));
        }
        // To look changes nothing: no lock is taken and no directory made.
        let opened = match request {
            CameraRequest::List | CameraRequest::ListRemoved => {
                Catalog::open_to_read(data_dir, context.clock())
            }
            _ => Catalog::open(data_dir, context.clock()),
        };
        match opened {
            Ok(catalog) => {
                let answer = accepted(answer_camera_request(&catalog, request))?;
                return Ok((answer, DoneBy::Catalog));
            }
            // A server that is just starting, or another command.
            Err(CatalogError::InUse { .. }) if clock.elapsed() < start + HELD_MAX => {
                std::thread::sleep(HELD_PAUSE);
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// An answer that breaks the protocol.
pub fn unexpected(answer: &Answer) -> CliError {
    CliError::failed(format!(
        "the server gave another answer than asked for ({answer:?}); use the same nvring release for both"
    ))
}

fn accepted(answer: Answer) -> Result<Answer, CliError> {
    match answer {
        Answer::Failed {
            message,
            usage: true,
        } => Err(CliError::usage(message)),
        Answer::Failed { message, .. } => Err(CliError::failed(message)),
        answer => Ok(answer),
    }
}
