//! Asking a server over HTTP: what `timeline` and `export` read when the volumes are a server's.
//!
//! Answers are bounded in time and, unless they are video, in length. A video that ends before the length that was told is an error:
//! the server cuts the connection when the ring overtakes an export.

use crate::cli::error::CliError;
use serde::de::DeserializeOwned;
use std::{
    io::{self, Read},
    time::Duration,
};
use url::Url;

/// How long to wait for a connection.
const CONNECT_MAX: Duration = Duration::from_secs(10);
/// How long to wait for the next bytes of an answer: computing the head of a long video reads all its chapters.
const READ_MAX: Duration = Duration::from_secs(120);
/// The longest answer that is not video, in bytes: the timeline of a year of a bad camera.
const ANSWER_LEN_MAX: u64 = 256 << 20;
/// The longest error that is read, in bytes.
const PROBLEM_LEN_MAX: u64 = 64 << 10;

/// A server.
#[derive(Debug)]
pub struct Remote {
    base: Url,
    agent: ureq::Agent,
}

/// A video on its way.
pub struct Video {
    /// Its length in bytes.
    pub len: u64,
    body: Box<dyn Read>,
    done: u64,
    base: Url,
}

impl Remote {
    /// The server at `url`, such as `http://127.0.0.1:8080`.
    pub fn new(url: &str) -> Result<Self, CliError> {
        let wrong = |why: &str| {
            CliError::usage(format!(
                "--server {url}: {why}; write its address such as http://127.0.0.1:8080"
            ))
        };
        let base = Url::parse(url).map_err(|error| wrong(&error.to_string()))?;
        if !matches!(base.scheme(), "http" | "https") || base.host().is_none() {
            return Err(wrong("not an HTTP address"));
        }
        if !base.username().is_empty() || base.password().is_some() {
            // The process list shows arguments to every user (regulation R-10).
            return Err(CliError::usage(
                "--server: an address with a password can be read by everyone on this machine; leave it out",
            ));
        }
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_connect(Some(CONNECT_MAX))
            .timeout_per_read(Some(READ_MAX))
            .user_agent(concat!("nvring/", env!("CARGO_PKG_VERSION")))
            .build();
        Ok(Self {
            base,
            agent: config.into(),
        })
    }

    /// The JSON at `/api/v1/PATH?QUERY`.
    pub fn json<T: DeserializeOwned>(
        &self,
        path: &[&str],
        query: &[(&str, String)],
    ) -> Result<T, CliError> {
        self.json_of(self.get(path, query)?)
    }

    /// The JSON at a link of an earlier answer, on the same server.
    pub fn json_at<T: DeserializeOwned>(&self, link: &str) -> Result<T, CliError> {
        let url = self.base.join(link).ok();
        let own = url.filter(|url| url.origin() == self.base.origin());
        let url = own.ok_or_else(|| self.failed("the answer goes on at no address of it"))?;
        self.json_of(self.call(&url)?)
    }

    fn json_of<T: DeserializeOwned>(
        &self,
        mut response: ureq::http::Response<ureq::Body>,
    ) -> Result<T, CliError> {
        let body = response.body_mut().with_config().limit(ANSWER_LEN_MAX);
        let bytes = body.read_to_vec().map_err(|error| self.failed(error))?;
        serde_json::from_slice(&bytes).map_err(|error| {
            CliError::failed(format!(
                "server {}: the answer is not understood ({error}); use the same nvring release for both",
                self.base
            ))
        })
    }

    /// The video at `/api/v1/PATH?QUERY`.
    pub fn video(&self, path: &[&str], query: &[(&str, String)]) -> Result<Video, CliError> {
        let response = self.get(path, query)?;
        let len = response
            .headers()
            .get("content-length")
            .and_then(|value| value.to_str().ok()?.parse().ok());
        let len = len.ok_or_else(|| {
            CliError::failed(format!(
                "server {}: it does not tell how long the video is, so that nobody could tell whether it came whole; ask the server itself, not a proxy that changes answers",
                self.base
            ))
        })?;
        let body = response.into_body().into_with_config().limit(u64::MAX);
        Ok(Video {
            len,
            body: Box::new(body.reader()),
            done: 0,
            base: self.base.clone(),
        })
    }

    fn get(
        &self,
        path: &[&str],
        query: &[(&str, String)],
    ) -> Result<ureq::http::Response<ureq::Body>, CliError> {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(["api", "v1"]).extend(path);
        }
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        self.call(&url)
    }

    fn call(&self, url: &Url) -> Result<ureq::http::Response<ureq::Body>, CliError> {
        let called = self.agent.get(url.as_str()).call();
        let mut response = called.map_err(|error| self.failed(error))?;
        if response.status().is_success() {
            return Ok(response);
        }
        /// RFC 9457.
        #[derive(serde::Deserialize)]
        struct Problem {
            detail: String,
        }
        let status = response.status();
        let body = response.body_mut().with_config().limit(PROBLEM_LEN_MAX);
        let text = body.read_to_vec().unwrap_or_default();
        Err(match serde_json::from_slice::<Problem>(&text) {
            Ok(problem) => CliError::failed(problem.detail),
            Err(_) => CliError::failed(format!(
                "server {}: it answered {status}; is this an nvring server?",
                self.base
            )),
        })
    }

    fn failed(&self, error: impl std::fmt::Display) -> CliError {
        CliError::failed(format!(
            "server {}: {error}; check that it runs and listens there (`nvring status`)",
            self.base
        ))
    }
}

impl Video {
    /// Reads the next bytes into `buffer`; 0 when the video came whole.
    pub fn read(&mut self, buffer: &mut [u8]) -> Result<usize, CliError> {
        let got = match self.body.read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return self.read(buffer),
            other => other,
        };
        let why = match got {
            Ok(0) if self.done == self.len => return Ok(0),
            Ok(0) => "the connection ended".to_owned(),
            Ok(len) if self.done + len as u64 > self.len => "more came than was told".to_owned(),
            Ok(len) => {
                self.done += len as u64;
                return Ok(len);
            }
            Err(error) => error.to_string(),
        };
        Err(CliError::failed(format!(
            "server {}: the video broke off after {} of {} bytes ({why}); the ring may have overtaken it or the server was stopped: see its log, and ask again for a later time",
            self.base, self.done, self.len
        )))
    }
}
