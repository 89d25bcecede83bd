//! A camera as enrolled: who it is, where it stands, how it is reached, and what may be changed of it.
//!
//! All values are checked here and nowhere else, so that the command line, an import file and the control socket refuse the
//! same things with the same words. Text is normalised (NFC) on the way in.

use crate::{
    base::UnixMicros,
    catalog::{
        camera_id::CameraId,
        camera_url::CameraUrl,
        camera_words::{StreamRole, System, Transport},
        collation,
        secret::Secret,
    },
    media::StreamId,
};
/// The longest name, owner, user name, password or level of an area, in characters.
pub const TEXT_LEN_MAX: usize = 200;
/// The most levels of an area path.
pub const AREA_LEVELS_MAX: usize = 8;
/// The pool of a camera for which none was named.
pub const DEFAULT_POOL: &str = "default";

/// An enrolled camera.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Camera {
    /// Its short name.
    pub id: CameraId,
    /// Its name for people.
    pub name: String,
    /// How it is reached.
    pub source: Source,
    /// The pool it records to.
    pub pool: String,
    /// Which of the two systems it belongs to.
    pub system: System,
    /// Its place in the tree of areas, levels separated by `/`; empty at the root.
    pub area: String,
    /// Who owns it.
    pub owner: String,
    /// Whether it is to be recorded.
    pub enabled: bool,
    /// When it was enrolled.
    pub created: UnixMicros,
    /// Grows with each change, so that a running server sees which cameras a change touched.
    pub revision: u64,
    /// The identity of its main stream, for life.
    pub main: StreamId,
    /// The identity of its second stream, for life, whether or not it has one now.
    pub sub: StreamId,
}

/// What is needed to reach a camera. As a whole a secret: stored sealed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// The main stream's address.
    pub url: CameraUrl,
    /// The second stream's address.
    pub sub_url: Option<CameraUrl>,
    /// The user to sign in as.
    pub username: Option<String>,
    /// That user's password.
    pub password: Option<Secret>,
    /// How the packets travel.
    pub transport: Transport,
}

/// What stays of a camera that was removed, so that its recordings keep a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemovedCamera {
    /// Its id; another camera may use it today.
    pub id: CameraId,
    /// Its name for people.
    pub name: String,
    /// The system it belonged to.
    pub system: System,
    /// Its place.
    pub area: String,
    /// Its owner.
    pub owner: String,
    /// When it was enrolled.
    pub created: UnixMicros,
    /// When it was removed.
    pub removed: UnixMicros,
    /// The identity of its main stream.
    pub main: StreamId,
    /// The identity of its second stream.
    pub sub: StreamId,
}

/// One field of a change.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Patch<T> {
    /// Leave it.
    #[default]
    Keep,
    /// Take it away.
    Clear,
    /// Replace it.
    Set(T),
}

/// What to change of a camera, or to set of a new one; what is absent stays, or takes its default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CameraChange {
    /// The name for people; a new camera's default is its id.
    pub name: Option<String>,
    /// The main stream's address; a new camera must have one.
    pub url: Option<CameraUrl>,
    /// The second stream's address.
    pub sub_url: Patch<CameraUrl>,
    /// The user to sign in as.
    pub username: Patch<String>,
    /// That user's password.
    pub password: Patch<Secret>,
    /// The pool.
    pub pool: Option<String>,
    /// The system.
    pub system: Option<System>,
    /// The place.
    pub area: Option<String>,
    /// The owner.
    pub owner: Option<String>,
    /// How packets travel.
    pub transport: Option<Transport>,
    /// Whether to record.
    pub enabled: Option<bool>,
}

/// A value that a camera cannot have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CameraError {
    /// The id's form.
    #[error(
        "camera id `{id}` is not usable; choose 1 to 64 of the characters A-Z a-z 0-9 . _ - and begin with a letter or digit (a name in any language goes into --name)"
    )]
    Id {
        /// As given, cut to a reasonable length.
        id: String,
    },
    /// A text's form.
    #[error("{field} of camera `{id}` {why}")]
    Text {
        /// The camera.
        id: CameraId,
        /// Which text.
        field: &'static str,
        /// What is wrong and what would be right.
        why: &'static str,
    },
    /// No address.
    #[error("camera `{id}` has no URL; give it with --url rtsp://HOST/PATH")]
    NoUrl {
        /// The camera.
        id: CameraId,
    },
    /// A password for nobody.
    #[error("camera `{id}` has a password but no user name; give it with --username")]
    NoUsername {
        /// The camera.
        id: CameraId,
    },
}

impl Camera {
    /// A new camera of these properties.
    pub fn enrol(
        id: CameraId,
        change: CameraChange,
        created: UnixMicros,
        streams: (StreamId, StreamId),
    ) -> Result<Self, CameraError> {
        let Some(url) = change.url.clone() else {
            return Err(CameraError::NoUrl { id });
        };
        let camera = Self {
            name: id.to_string(),
            source: Source {
                url,
                sub_url: None,
                username: None,
                password: None,
                transport: Transport::default(),
            },
            pool: DEFAULT_POOL.to_owned(),
            system: System::default(),
            area: String::new(),
            owner: String::new(),
            enabled: true,
            created,
            revision: 1,
            main: streams.0,
            sub: streams.1,
            id,
        };
        camera.with(change)
    }

    /// This camera after `change`; its identity, enrolment and revision stay.
    pub fn with(&self, change: CameraChange) -> Result<Self, CameraError> {
        let id = &self.id;
        let mut camera = self.clone();
        if let Some(name) = change.name {
            camera.name = required(id, "the name", &name)?;
        }
        if let Some(url) = change.url {
            camera.source.url = url;
        }
        change.sub_url.apply(&mut camera.source.sub_url);
        if let Patch::Set(username) = &change.username {
            required(id, "the user name", username)?;
        }
        change.username.apply(&mut camera.source.username);
        if let Patch::Set(password) = &change.password {
            // A password is taken as it is: neither trimmed nor normalised.
            check(id, "the password", password.expose())?;
        }
        change.password.apply(&mut camera.source.password);
        if camera.source.password.is_some() && camera.source.username.is_none() {
            return Err(CameraError::NoUsername { id: id.clone() });
        }
        if let Some(pool) = change.pool {
            camera.pool = required(id, "the pool", &pool)?;
        }
        if let Some(area) = change.area {
            camera.area = area_path(id, &area)?;
        }
        if let Some(owner) = change.owner {
            check(id, "the owner", &owner)?;
            camera.owner = collation::normalise(&owner);
        }
        camera.system = change.system.unwrap_or(camera.system);
        camera.source.transport = change.transport.unwrap_or(camera.source.transport);
        camera.enabled = change.enabled.unwrap_or(camera.enabled);
        Ok(camera)
    }

    /// The streams to record: the main one, and the second one when the camera has it.
    pub fn streams(&self) -> impl Iterator<Item = (StreamRole, StreamId, &CameraUrl)> {
        let sub = self.source.sub_url.as_ref();
        std::iter::once((StreamRole::Main, self.main, &self.source.url))
            .chain(sub.map(|url| (StreamRole::Sub, self.sub, url)))
    }
}

impl<T> Patch<T> {
    /// The same change of another form of the value.
    pub fn map<U>(self, form: impl FnOnce(T) -> U) -> Patch<U> {
        match self {
            Self::Keep => Patch::Keep,
            Self::Clear => Patch::Clear,
            Self::Set(value) => Patch::Set(form(value)),
        }
    }

    fn apply(self, field: &mut Option<T>) {
        match self {
            Self::Keep => {}
            Self::Clear => *field = None,
            Self::Set(value) => *field = Some(value),
        }
    }
}

impl<T> From<Option<T>> for Patch<T> {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Keep, Self::Set)
    }
}

/// A text that must not be empty, normalised.
fn required(id: &CameraId, field: &'static str, text: &str) -> Result<String, CameraError> {
    check(id, field, text)?;
    let text = collation::normalise(text);
    if text.is_empty() {
        return Err(CameraError::Text {
            id: id.clone(),
            field,
            why: "is empty; give at least one character",
        });
    }
    Ok(text)
}

fn check(id: &CameraId, field: &'static str, text: &str) -> Result<(), CameraError> {
    let why = if text.chars().count() > TEXT_LEN_MAX {
        "is longer than 200 characters; shorten it"
    } else if text.chars().any(char::is_control) {
        "holds a control character such as a line end; remove it"
    } else {
        return Ok(());
    };
    Err(CameraError::Text {
        id: id.clone(),
        field,
        why,
    })
}

/// `Yên Bái / Văn Yên` → `Yên Bái/Văn Yên`, each level checked.
fn area_path(id: &CameraId, text: &str) -> Result<String, CameraError> {
    let refuse = |why| CameraError::Text {
        id: id.clone(),
        field: "the area",
        why,
    };
    if text.trim().is_empty() {
        return Ok(String::new());
    }
    let mut levels = Vec::new();
    for level in text.split('/') {
        check(id, "a level of the area", level)?;
        let level = collation::normalise(level);
        if level.is_empty() {
            return Err(refuse(
                "has an empty level; write PROVINCE/DISTRICT/COMMUNE",
            ));
        }
        levels.push(level);
    }
    if levels.len() > AREA_LEVELS_MAX {
        return Err(refuse(
            "has more than 8 levels; write PROVINCE/DISTRICT/COMMUNE",
        ));
    }
    Ok(levels.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gate() -> Camera {
        let change = CameraChange {
            url: Some(CameraUrl::parse("rtsp://10.0.0.7/s1").unwrap()),
            ..CameraChange::default()
        };
        Camera::enrol(
            "gate".parse().unwrap(),
            change,
            UnixMicros(1),
            (StreamId([1; 16]), StreamId([2; 16])),
        )
        .unwrap()
    }

    #[test]
    fn a_change_touches_only_what_it_names() {
        let before = gate();
        let change = CameraChange {
            name: Some("  Cổng chính ".into()),
            area: Some("Yên Bái / Văn Yên/Mậu A".into()),
            username: Patch::Set("admin".into()),
            password: Patch::Set(Secret::new(" h0use ")),
            enabled: Some(false),
            ..CameraChange::default()
        };
        let after = before.with(change).unwrap();
        let expected = Camera {
            name: "Cổng chính".into(),
            area: "Yên Bái/Văn Yên/Mậu A".into(),
            enabled: false,
            source: Source {
                username: Some("admin".into()),
                password: Some(Secret::new(" h0use ")),
                ..before.source.clone()
            },
            ..before
        };
        assert_eq!(after, expected);
        assert!(!format!("{after:?}").contains("h0use"));
    }

    #[test]
    fn bad_values_are_refused_with_their_field() {
        let text = |change: CameraChange| gate().with(change).unwrap_err().to_string();
        let change = CameraChange::default;
        let cases = [
            (
                CameraChange {
                    name: Some(" ".into()),
                    ..change()
                },
                "name",
            ),
            (
                CameraChange {
                    name: Some("x".repeat(201)),
                    ..change()
                },
                "200 characters",
            ),
            (
                CameraChange {
                    owner: Some("a\nb".into()),
                    ..change()
                },
                "control character",
            ),
            (
                CameraChange {
                    area: Some("a//b".into()),
                    ..change()
                },
                "empty level",
            ),
            (
                CameraChange {
                    area: Some("a/".repeat(8) + "b"),
                    ..change()
                },
                "8 levels",
            ),
            (
                CameraChange {
                    password: Patch::Set(Secret::new("x")),
                    ..change()
                },
                "no user name",
            ),
        ];
        for (change, part) in cases {
            let error = text(change);
            assert!(error.contains(part) && error.contains("`gate`"), "{error}");
        }
    }
}
