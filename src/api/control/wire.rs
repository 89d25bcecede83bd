//! A camera's properties on their way to the server: the one place where passwords and addresses are written out.
//!
//! The catalog's values cannot be serialised, so that none slips into an answer. A request must carry them; `WireChange` is
//! that request's form, with a `Debug` that hides as much as the values it was made of.

use crate::catalog::{
    CameraChange, CameraId, CameraUrl, ImportRow, Patch, Secret, System, Transport,
};
use serde::{Deserialize, Serialize};
use std::fmt;

/// `CameraChange` as sent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WireChange {
    name: Option<String>,
    url: Option<Exposed>,
    sub_url: Patch<Exposed>,
    username: Patch<String>,
    password: Patch<Exposed>,
    pool: Option<String>,
    system: Option<System>,
    area: Option<String>,
    owner: Option<String>,
    transport: Option<Transport>,
    enabled: Option<bool>,
}

/// `ImportRow` as sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WireRow {
    line: u64,
    id: CameraId,
    change: WireChange,
}

/// A secret that is written out when serialised, and hidden otherwise.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
struct Exposed(Secret);

impl Serialize for Exposed {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.expose())
    }
}

impl fmt::Debug for Exposed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl From<CameraUrl> for Exposed {
    fn from(url: CameraUrl) -> Self {
        Self(Secret::new(url.expose().as_str()))
    }
}

impl From<CameraChange> for WireChange {
    fn from(change: CameraChange) -> Self {
        Self {
            name: change.name,
            url: change.url.map(Exposed::from),
            sub_url: change.sub_url.map(Exposed::from),
            username: change.username,
            password: change.password.map(Exposed),
            pool: change.pool,
            system: change.system,
            area: change.area,
            owner: change.owner,
            transport: change.transport,
            enabled: change.enabled,
        }
    }
}

impl TryFrom<WireChange> for CameraChange {
    type Error = crate::catalog::camera_url::UrlError;

    fn try_from(wire: WireChange) -> Result<Self, Self::Error> {
        let address = |text: Exposed| CameraUrl::parse(text.0.expose());
        Ok(Self {
            name: wire.name,
            url: wire.url.map(address).transpose()?,
            sub_url: match wire.sub_url {
                Patch::Keep => Patch::Keep,
                Patch::Clear => Patch::Clear,
                Patch::Set(text) => Patch::Set(address(text)?),
            },
            username: wire.username,
            password: wire.password.map(|password| password.0),
            pool: wire.pool,
            system: wire.system,
            area: wire.area,
            owner: wire.owner,
            transport: wire.transport,
            enabled: wire.enabled,
        })
    }
}

impl From<ImportRow> for WireRow {
    fn from(row: ImportRow) -> Self {
        Self {
            line: row.line,
            id: row.id,
            change: row.change.into(),
        }
    }
}

impl TryFrom<WireRow> for ImportRow {
    type Error = crate::catalog::camera_url::UrlError;

    fn try_from(wire: WireRow) -> Result<Self, Self::Error> {
        Ok(Self {
            line: wire.line,
            id: wire.id,
            change: wire.change.try_into()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_survives_the_wire_and_hides_in_debug() {
        let change = CameraChange {
            name: Some("Cổng".into()),
            url: Some(CameraUrl::parse("rtsp://h/s?pwd=S3cret").unwrap()),
            sub_url: Patch::Set(CameraUrl::parse("rtsp://h/s2?pwd=S3cret").unwrap()),
            username: Patch::Clear,
            password: Patch::Set(Secret::new("S3cret")),
            system: Some(System::Public),
            enabled: Some(false),
            ..CameraChange::default()
        };
        let wire = WireChange::from(change.clone());
        assert!(!format!("{wire:?}").contains("S3cret"));
        let json = serde_json::to_string(&wire).unwrap();
        let back: WireChange = serde_json::from_str(&json).unwrap();
        assert_eq!(CameraChange::try_from(back).unwrap(), change);
        assert!(serde_json::from_str::<WireChange>(r#"{"nmae":"x"}"#).is_err());
    }
}
