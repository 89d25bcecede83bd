//! The catalog's tables, and how an older catalog becomes a present one.
//!
//! Each version is a step from the one before; a released step is never edited, a new version is a new step. All steps a
//! file needs run in one transaction, so that a power cut leaves the old version or the new one. A file of a newer release
//! is refused untouched: an older program would not know what its rows mean.
//!
//! Version history:
//! - 1: cameras (removed ones kept as tombstones), streams, the check of the seal key.

use rusqlite::{Connection, OptionalExtension, TransactionBehavior, params};

/// The present version.
pub(super) const VERSION: i64 = STEPS.len() as i64;

/// `NVRC`: marks the file as ours in SQLite's own header (`PRAGMA application_id`).
pub(super) const APPLICATION_ID: i64 = 0x4e56_5243;

const STEPS: [&str; 1] = [VERSION_1];

/// A removed camera keeps its row (the tombstone), without its source; ids are unique among the enrolled only. Streams are
/// rows of their own so that SQLite refuses an identity that was ever given before.
const VERSION_1: &str = "
CREATE TABLE key_check (
    only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
    sealed BLOB NOT NULL
) STRICT;

CREATE TABLE cameras (
    row INTEGER PRIMARY KEY,
    id TEXT NOT NULL CHECK (length(id) BETWEEN 1 AND 64 AND id NOT GLOB '*[^A-Za-z0-9._-]*'),
    name TEXT NOT NULL,
    source_sealed BLOB,
    pool TEXT NOT NULL,
    system TEXT NOT NULL CHECK (system IN ('smart-city', 'public')),
    area TEXT NOT NULL,
    owner TEXT NOT NULL,
    enabled INTEGER NOT NULL CHECK (enabled IN (0, 1)),
    revision INTEGER NOT NULL,
    created_us INTEGER NOT NULL,
    removed_us INTEGER,
    CHECK ((removed_us IS NULL) = (source_sealed IS NOT NULL))
) STRICT;
CREATE UNIQUE INDEX cameras_enrolled ON cameras (id) WHERE removed_us IS NULL;

CREATE TABLE streams (
    id BLOB PRIMARY KEY CHECK (length(id) = 16),
    camera INTEGER NOT NULL REFERENCES cameras (row),
    role TEXT NOT NULL CHECK (role IN ('main', 'sub')),
    UNIQUE (camera, role)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER cameras_are_kept BEFORE DELETE ON cameras
BEGIN SELECT RAISE(ABORT, 'a camera is never deleted: set removed_us'); END;
CREATE TRIGGER streams_are_kept BEFORE DELETE ON streams
BEGIN SELECT RAISE(ABORT, 'a stream identity is never deleted'); END;
CREATE TRIGGER streams_are_fixed BEFORE UPDATE ON streams
BEGIN SELECT RAISE(ABORT, 'a stream identity is never changed'); END;
";

/// What a file turned out to be.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// An SQLite file without anything in it.
    Empty,
    /// A catalog of this version.
    Version(i64),
    /// Somebody else's database.
    Foreign,
}

/// Looks at a database without changing it.
pub(super) fn find(connection: &Connection) -> rusqlite::Result<Found> {
    let id: i64 = connection.pragma_query_value(None, "application_id", |row| row.get(0))?;
    let tables: i64 =
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    match (id, tables) {
        (0, 0) => Ok(Found::Empty),
        (APPLICATION_ID, 1..) => {
            let version: Option<i64> = connection
                .query_row("SELECT max(version) FROM schema_version", [], |row| {
                    row.get(0)
                })
                .optional()?
                .flatten();
            Ok(version.map_or(Found::Foreign, Found::Version))
        }
        _ => Ok(Found::Foreign),
    }
}

/// Brings a database from `from` (0: empty) to the present version.
pub(super) fn migrate(connection: &mut Connection, from: i64, now_us: i64) -> rusqlite::Result<()> {
    apply(connection, &STEPS, from, now_us)
}

fn apply(
    connection: &mut Connection,
    steps: &[&str],
    from: i64,
    now_us: i64,
) -> rusqlite::Result<()> {
    let from = usize::try_from(from).unwrap_or(0);
    assert!(from <= steps.len(), "a newer catalog is refused before");
    if from == steps.len() {
        return Ok(());
    }
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.execute_batch(
        "CREATE TABLE IF NOT EXISTS schema_version (
            version INTEGER PRIMARY KEY, applied_us INTEGER NOT NULL, program TEXT NOT NULL
        ) STRICT",
    )?;
    for (step, version) in steps.iter().zip(1_i64..).skip(from) {
        transaction.execute_batch(step)?;
        transaction.execute(
            "INSERT INTO schema_version VALUES (?1, ?2, ?3)",
            params![version, now_us, env!("CARGO_PKG_VERSION")],
        )?;
    }
    transaction.commit()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(connection: &Connection) -> Vec<String> {
        let mut statement = connection
            .prepare("SELECT id FROM cameras ORDER BY id")
            .unwrap();
        let rows = statement.query_map([], |row| row.get(0)).unwrap();
        rows.map(Result::unwrap).collect()
    }

    fn camera(connection: &Connection, id: &str) -> rusqlite::Result<usize> {
        connection.execute(
            "INSERT INTO cameras (id, name, source_sealed, pool, system, area, owner, enabled, revision, created_us)
             VALUES (?1, ?1, x'00', 'default', 'public', '', '', 1, 1, 0)",
            [id],
        )
    }

    /// Goal: an older file keeps its rows and runs only the steps it lacks. Method: a step added behind the released ones.
    #[test]
    fn an_older_catalog_is_brought_forward_with_its_rows() {
        let mut connection = Connection::open_in_memory().unwrap();
        assert_eq!(find(&connection), Ok(Found::Empty));
        migrate(&mut connection, 0, 5).unwrap();
        assert_eq!(find(&connection), Ok(Found::Version(VERSION)));
        camera(&connection, "gate").unwrap();
        let mut steps = STEPS.to_vec();
        steps.push("ALTER TABLE cameras ADD COLUMN height_m INTEGER");
        apply(&mut connection, &steps, VERSION, 6).unwrap();
        assert_eq!(find(&connection), Ok(Found::Version(VERSION + 1)));
        assert_eq!(names(&connection), ["gate"]);
    }

    #[test]
    fn a_failed_step_leaves_the_old_version() {
        let mut connection = Connection::open_in_memory().unwrap();
        migrate(&mut connection, 0, 5).unwrap();
        let mut steps = STEPS.to_vec();
        steps.extend(["CREATE TABLE extra (x)", "this is not SQL"]);
        assert!(apply(&mut connection, &steps, VERSION, 6).is_err());
        assert_eq!(find(&connection), Ok(Found::Version(VERSION)));
        apply(&mut connection, &STEPS, VERSION, 7).unwrap();
    }

    #[test]
    fn the_file_itself_refuses_what_must_never_happen() {
        let mut connection = Connection::open_in_memory().unwrap();
        migrate(&mut connection, 0, 5).unwrap();
        connection
            .pragma_update(None, "foreign_keys", true)
            .unwrap();
        camera(&connection, "gate").unwrap();
        assert!(camera(&connection, "gate").is_err(), "two of one id");
        assert!(camera(&connection, "a b").is_err(), "a bad id");
        let stream = "INSERT INTO streams VALUES (zeroblob(16), 1, ?1)";
        connection.execute(stream, ["main"]).unwrap();
        for forbidden in [
            "INSERT INTO streams VALUES (zeroblob(16), 1, 'sub')",
            "INSERT INTO streams VALUES (x'00', 1, 'sub')",
            "INSERT INTO streams VALUES (randomblob(16), 99, 'sub')",
            "UPDATE streams SET camera = 1",
            "DELETE FROM streams",
            "DELETE FROM cameras",
            "UPDATE cameras SET removed_us = 1",
        ] {
            assert!(connection.execute(forbidden, []).is_err(), "{forbidden}");
        }
        connection
            .execute(
                "UPDATE cameras SET removed_us = 1, source_sealed = NULL",
                [],
            )
            .unwrap();
        camera(&connection, "gate").unwrap();
    }
}
