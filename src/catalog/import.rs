//! Many cameras from one file: CSV with a header line, or JSON lines. Pure: text in, checked rows out.
//!
//! Both forms have the same columns, in any order; only `id` and `url` must be there:
//!
//! | column      | value                                         | default                       |
//! |-------------|-----------------------------------------------|-------------------------------|
//! | `id`        | the camera's short name                       |                               |
//! | `url`       | its RTSP address, with or without `user:pass@`|                               |
//! | `sub_url`   | the second stream's address                   | none                          |
//! | `username`  | user to sign in as                            | the one in the URL            |
//! | `password`  | that user's password                          | the one in the URL            |
//! | `name`      | name for people, any language                 | the id                        |
//! | `pool`      | pool to record to                             | `default`                     |
//! | `system`    | `smart-city` or `public`                      | `smart-city`                  |
//! | `area`      | place, levels separated by `/`                | none                          |
//! | `owner`     | who owns it                                   | none                          |
//! | `transport` | `tcp` or `udp`                                | `tcp`                         |
//! | `enabled`   | `true` or `false`                             | `true`                        |
//!
//! A CSV cell left empty and a JSON key left out (or `null`) mean the default; of a camera that is changed, the value it has.
//! The file is UTF-8, a byte order mark is skipped; CSV fields are separated by commas or, as spreadsheets of many countries
//! write them, by semicolons. User information in an address is split off and sealed like any password. Messages name line
//! and column and never repeat a value that may be a credential.

use crate::{
    base::nearest,
    catalog::{CameraChange, CameraId, CameraUrl, Secret, camera_url::SplitUrl},
};
use std::collections::{BTreeMap, HashMap};

/// The columns of an import file.
pub const COLUMNS: [&str; 12] = [
    "id",
    "url",
    "sub_url",
    "username",
    "password",
    "name",
    "pool",
    "system",
    "area",
    "owner",
    "transport",
    "enabled",
];

/// One camera of an import file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportRow {
    /// Its line in the file, from 1.
    pub line: u64,
    /// The camera.
    pub id: CameraId,
    /// Its properties.
    pub change: CameraChange,
}

/// What is wrong with an import file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {what}; nothing was imported")]
pub struct ImportError {
    /// The line of the file, from 1.
    pub line: u64,
    /// What is wrong there and what would be right.
    pub what: String,
}

/// The values of one line by column; empty ones are left out. All of them are kept as secrets, since any may hold one.
type Fields = BTreeMap<&'static str, Secret>;

/// Reads an import file.
pub fn parse(bytes: &[u8]) -> Result<Vec<ImportRow>, ImportError> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let before = bytes.get(..error.valid_up_to()).unwrap_or_default();
        ImportError {
            line: 1 + before.iter().filter(|byte| **byte == b'\n').count() as u64,
            what: "the text is not UTF-8; save the file as `CSV UTF-8`".to_owned(),
        }
    })?;
    let lines = if text.trim_start().starts_with('{') {
        json_lines(text)?
    } else {
        csv_lines(text)?
    };
    let mut rows: Vec<ImportRow> = Vec::with_capacity(lines.len());
    let mut seen: HashMap<CameraId, u64> = HashMap::new();
    for (line, fields) in lines {
        let row = row(line, &fields).map_err(|what| ImportError { line, what })?;
        if let Some(first) = seen.insert(row.id.clone(), line) {
            return Err(ImportError {
                line,
                what: format!(
                    "camera `{}` is in line {first} already; keep one of them",
                    row.id
                ),
            });
        }
        rows.push(row);
    }
    if rows.is_empty() {
        return Err(ImportError {
            line: 1,
            what: format!(
                "the file names no camera; write CSV with the header `{}` or JSON lines with these keys",
                COLUMNS.join(",")
            ),
        });
    }
    Ok(rows)
}

fn json_lines(text: &str) -> Result<Vec<(u64, Fields)>, ImportError> {
    let mut rows = Vec::new();
    for (line, text) in (1_u64..).zip(text.lines()) {
        if text.trim().is_empty() {
            continue;
        }
        let refuse = |what| ImportError { line, what };
        // The parser's own words may quote the text, so only the place is taken from them.
        let object: serde_json::Map<String, serde_json::Value> = serde_json::from_str(text)
            .map_err(|error| {
                refuse(format!(
                    "not a JSON object (column {}); write one {{\"id\":…,\"url\":…}} per line",
                    error.column()
                ))
            })?;
        let mut fields = Fields::new();
        for (key, value) in object {
            let column = column(&key).map_err(refuse)?;
            let text = match value {
                serde_json::Value::Null => continue,
                serde_json::Value::String(text) => text,
                serde_json::Value::Bool(flag) if column == "enabled" => flag.to_string(),
                _ => {
                    return Err(refuse(format!(
                        "`{column}` is not a text; put it in quotes"
                    )));
                }
            };
            insert(&mut fields, column, text);
        }
        rows.push((line, fields));
    }
    Ok(rows)
}

fn csv_lines(text: &str) -> Result<Vec<(u64, Fields)>, ImportError> {
    let header = text.lines().next().unwrap_or_default();
    let delimiter = if header.contains(';') && !header.contains(',') {
        b';'
    } else {
        b','
    };
    let mut reader = csv::ReaderBuilder::new()
        .delimiter(delimiter)
        .trim(csv::Trim::Headers)
        .from_reader(text.as_bytes());
    let headers = reader.headers().map_err(|error| csv_error(&error))?;
    let mut columns = Vec::new();
    for name in headers {
        let column = column(name).map_err(|what| ImportError { line: 1, what })?;
        if columns.contains(&column) {
            let what = format!("column `{column}` is there twice; remove one");
            return Err(ImportError { line: 1, what });
        }
        columns.push(column);
    }
    let mut rows = Vec::new();
    let mut lines = LineCounter {
        text,
        byte: 0,
        line: 1,
    };
    for record in reader.records() {
        let record = record.map_err(|error| ImportError {
            line: lines.at(error.position()),
            ..csv_error(&error)
        })?;
        let line = lines.at(record.position());
        let mut fields = Fields::new();
        for (column, value) in columns.iter().zip(&record) {
            insert(&mut fields, column, value.to_owned());
        }
        if !fields.is_empty() {
            rows.push((line, fields));
        }
    }
    Ok(rows)
}

/// Which line a record begins in. The reader's own count lags: it takes blank lines and the second half of a CRLF as the
/// beginning of the next record.
struct LineCounter<'a> {
    text: &'a str,
    byte: usize,
    line: u64,
}

impl LineCounter<'_> {
    fn at(&mut self, position: Option<&csv::Position>) -> u64 {
        let begin = position.map_or(0, csv::Position::byte) as usize;
        let bytes = self.text.as_bytes();
        let blank = |byte: &&u8| matches!(byte, b'\r' | b'\n');
        let skipped = bytes.iter().skip(begin).take_while(blank).count();
        let end = (begin + skipped).max(self.byte);
        let passed = bytes.get(self.byte..end).unwrap_or_default();
        self.line += passed.iter().filter(|byte| **byte == b'\n').count() as u64;
        self.byte = end;
        self.line
    }
}

fn csv_error(error: &csv::Error) -> ImportError {
    let what = match error.kind() {
        csv::ErrorKind::UnequalLengths {
            expected_len, len, ..
        } => format!(
            "{len} fields where the header has {expected_len}; quote fields that hold a separator"
        ),
        _ => "not readable as CSV; quote fields that hold a separator or a line end".to_owned(),
    };
    ImportError { line: 1, what }
}

/// An empty value is an absent one. Only a password keeps its outer spaces.
fn insert(fields: &mut Fields, column: &'static str, value: String) {
    let value = Secret::new(value);
    let trimmed = value.expose().trim();
    if trimmed.is_empty() {
        return;
    }
    let value = if column == "password" {
        value.clone()
    } else {
        Secret::new(trimmed)
    };
    fields.insert(column, value);
}

fn column(name: &str) -> Result<&'static str, String> {
    let lower = name.to_ascii_lowercase();
    if let Some(column) = COLUMNS.iter().find(|column| **column == lower) {
        return Ok(column);
    }
    // A file without a header has a camera's data in its first line: do not repeat it.
    let plain = lower.len() <= 32 && lower.bytes().all(|b| b.is_ascii_alphabetic() || b == b'_');
    let shown = if plain {
        format!("`{lower}`")
    } else {
        "one".to_owned()
    };
    Err(match nearest(&lower, COLUMNS) {
        Some(near) if plain => format!("column {shown} is unknown; did you mean `{near}`?"),
        _ => format!(
            "column {shown} is unknown; the first line must name columns from: {}",
            COLUMNS.join(", ")
        ),
    })
}

fn row(line: u64, fields: &Fields) -> Result<ImportRow, String> {
    let text = |column| fields.get(column).map(Secret::expose);
    let owned = |column| text(column).map(str::to_owned);
    let id = text("id").ok_or("`id` is missing; give every camera a short name")?;
    let id: CameraId = id.parse().map_err(say)?;
    let url = text("url").map(CameraUrl::split).transpose().map_err(say)?;
    let sub_url = text("sub_url")
        .map(CameraUrl::split)
        .transpose()
        .map_err(say)?;
    let (username, password) = credentials(fields, url.as_ref(), sub_url.as_ref())?;
    let change = CameraChange {
        name: owned("name"),
        url: url.map(|split| split.url),
        sub_url: sub_url.map(|split| split.url).into(),
        username: username.into(),
        password: password.into(),
        pool: owned("pool"),
        system: text("system").map(str::parse).transpose().map_err(say)?,
        area: owned("area"),
        owner: owned("owner"),
        transport: text("transport").map(str::parse).transpose().map_err(say)?,
        enabled: text("enabled").map(flag).transpose()?,
    };
    Ok(ImportRow { line, id, change })
}

/// The one user and password a line names, wherever it names them.
fn credentials(
    fields: &Fields,
    url: Option<&SplitUrl>,
    sub_url: Option<&SplitUrl>,
) -> Result<(Option<String>, Option<Secret>), String> {
    let urls = [url, sub_url];
    let of_column = fields.get("username").map(|name| name.expose().to_owned());
    let username =
        one(std::iter::once(of_column)
            .chain(urls.map(|url| url.and_then(|url| url.username.clone()))));
    let of_column = fields.get("password").cloned();
    let password =
        one(std::iter::once(of_column)
            .chain(urls.map(|url| url.and_then(|url| url.password.clone()))));
    match (username, password) {
        (Ok(username), Ok(password)) => Ok((username, password)),
        _ => Err(
            "`url`, `sub_url` and the columns `username`, `password` name different credentials; name them once"
                .to_owned(),
        ),
    }
}

fn one<T: PartialEq>(values: impl Iterator<Item = Option<T>>) -> Result<Option<T>, ()> {
    let mut found = None;
    for value in values.flatten() {
        match &found {
            Some(first) if *first != value => return Err(()),
            _ => found = Some(value),
        }
    }
    Ok(found)
}

fn flag(text: &str) -> Result<bool, String> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "yes" | "1" => Ok(true),
        "false" | "no" | "0" => Ok(false),
        _ => Err("`enabled` is neither true nor false; write one of them".to_owned()),
    }
}

fn say(error: impl std::fmt::Display) -> String {
    error.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::Patch;

    const HEADER: &str = "id,name,url,username,password,area,system,enabled";

    #[test]
    fn csv_and_json_lines_say_the_same() {
        let csv = format!(
            "\u{feff}{HEADER}\r\ngate,Cổng chính,rtsp://10.0.0.7/s1,admin,\" h0use,\",Yên Bái/Mậu A,public,false\r\n\r\n7,,rtsp://u:p%40ss@10.0.0.8/s1,,,,,\r\n"
        );
        let json = r#"
            {"id":"gate","name":"Cổng chính","url":"rtsp://10.0.0.7/s1","username":"admin","password":" h0use,","area":"Yên Bái/Mậu A","system":"public","enabled":false}

            {"url":"rtsp://u:p%40ss@10.0.0.8/s1","id":"7","name":null}"#;
        let rows = parse(csv.as_bytes()).unwrap();
        let same = parse(json.as_bytes()).unwrap();
        assert_eq!(rows.len(), 2);
        for (a, b) in rows.iter().zip(&same) {
            assert_eq!((&a.id, &a.change), (&b.id, &b.change));
        }
        let lines = |rows: &[ImportRow]| rows.iter().map(|row| row.line).collect::<Vec<_>>();
        assert_eq!((lines(&rows), lines(&same)), (vec![2, 4], vec![2, 4]));
        let (gate, seven) = (&rows[0].change, &rows[1].change);
        assert_eq!(gate.password, Patch::Set(Secret::new(" h0use,")));
        assert_eq!(gate.enabled, Some(false));
        assert_eq!(seven.username, Patch::Set("u".into()));
        assert_eq!(seven.password, Patch::Set(Secret::new("p@ss")));
        assert_eq!(
            seven.url.as_ref().unwrap().expose().as_str(),
            "rtsp://10.0.0.8/s1"
        );
        let semicolons = "id;url\ngate;rtsp://10.0.0.7/s1\n";
        assert_eq!(parse(semicolons.as_bytes()).unwrap()[0].id.as_str(), "gate");
    }

    /// Goal: each mistake is found with its line, and no message repeats what may be a credential.
    #[test]
    fn mistakes_are_named_with_their_line_and_without_their_secrets() {
        let cases: [(&str, u64, &str); 14] = [
            ("", 1, "names no camera"),
            ("id,url\n", 1, "names no camera"),
            ("id,ulr\n", 1, "did you mean `url`"),
            ("gate,rtsp://u:S3cret@h/s\n", 1, "must name columns"),
            ("id,url,id\n", 1, "twice"),
            (
                "id,url\na,rtsp://h/s\nb,rtsp://u:S3cret@h/s,x\n",
                3,
                "3 fields where",
            ),
            (
                "id,url\na,rtsp://h/s\na,rtsp://h/s\n",
                3,
                "in line 2 already",
            ),
            ("id,url\n,rtsp://u:S3cret@h/s\n", 2, "`id` is missing"),
            (
                "id,url\na,http://u:S3cret@h/s?pwd=S3cret\n",
                2,
                "not an RTSP address",
            ),
            (
                "id,url,password\na,rtsp://u:S3cret@h/s,S3cret2\n",
                2,
                "different credentials",
            ),
            (
                "id,url,enabled\na,rtsp://h/s,S3cret\n",
                2,
                "neither true nor false",
            ),
            (
                "{\"id\":\"a\",\"url\":\"rtsp://u:S3cret@h\"\n",
                1,
                "not a JSON object",
            ),
            (
                "{\"id\":\"a\"}\n{\"id\":\"b\",\"password\":[\"S3cret\"]}",
                2,
                "`password` is not a text",
            ),
            (
                "{\"id\":\"a\",\"pasword\":\"S3cret\"}",
                1,
                "did you mean `password`",
            ),
        ];
        for (text, line, part) in cases {
            let error = parse(text.as_bytes()).unwrap_err();
            let message = error.to_string();
            assert_eq!(error.line, line, "{text}: {message}");
            assert!(message.contains(part), "{text}: {message}");
            assert!(!message.to_lowercase().contains("s3cret"), "{message}");
        }
        let latin1 = parse(b"id,url,name\na,rtsp://h/s,C\xf4ng\n").unwrap_err();
        assert_eq!((latin1.line, latin1.what.contains("UTF-8")), (2, true));
    }
}
