//! Who may do what: one question, asked by every listener before anything is answered.
//!
//! A listener says who asks (`Request`), and `Access` says yes or gives a `Refusal`. It knows nothing of HTTP or RTSP: each listener puts a
//! refusal into the words of its own protocol. This release has no accounts, so the one implementation is `Open`, and the configuration
//! keeps the listeners to loopback unless the operator takes that upon himself (`cli::config`).

pub mod digest;

use crate::catalog::Secret;
use std::net::IpAddr;

/// What somebody wants to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    /// See what says nothing of this installation: the page itself, the description of the interface, whether the server is alive.
    Public,
    /// See what is recorded of a camera, and when.
    View,
    /// See a camera live.
    Live,
    /// Take recordings away as a file.
    Export,
    /// See how the server, its volumes and its streams are.
    Status,
    /// Change something.
    Admin,
}

/// How somebody proves who he is. `Debug` shows no secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credentials {
    /// Name and password (RFC 7617).
    Password {
        /// The name.
        user: String,
        /// The password.
        password: Secret,
    },
    /// A token (RFC 6750).
    Token(Secret),
}

/// One question.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// Where it comes from.
    pub peer: IpAddr,
    /// Who says he asks; `None` when he says nothing.
    pub credentials: Option<&'a Credentials>,
    /// What is to be done.
    pub action: Action,
    /// The id of the camera it is about; `None` when it is about no single one. Not every id asked for exists.
    pub camera: Option<&'a str>,
}

/// Why not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Nobody said who asks, or what he said is not true.
    #[error("this needs a user who is signed in; send credentials")]
    Unknown,
    /// He is known, but may not.
    #[error("this user may not do this; ask an administrator for the right")]
    Forbidden,
}

/// The one who decides.
pub trait Access: Send + Sync {
    /// Whether `request` may be answered. Called for every request, so it must be quick and must not wait.
    ///
    /// # Errors
    /// When it may not.
    fn ask(&self, request: &Request<'_>) -> Result<(), Refusal>;
}

/// Everybody may do everything: for listeners that only this machine reaches.
#[derive(Clone, Copy, Debug, Default)]
pub struct Open;

impl Access for Open {
    fn ask(&self, _request: &Request<'_>) -> Result<(), Refusal> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_question_shows_a_secret() {
        let credentials = [
            Credentials::Password {
                user: "nga".to_owned(),
                password: Secret::new("h0use"),
            },
            Credentials::Token(Secret::new("h0use")),
        ];
        for credentials in &credentials {
            let request = Request {
                peer: IpAddr::from([127, 0, 0, 1]),
                credentials: Some(credentials),
                action: Action::View,
                camera: Some("gate"),
            };
            assert!(!format!("{request:?}").contains("h0use"));
            assert_eq!(Open.ask(&request), Ok(()));
        }
    }
}
