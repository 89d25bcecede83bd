//! Files that hold credentials: read whole, and their owner warned when others can read them too.

use crate::{
    catalog::Secret,
    cli::{error::CliError, output::warn},
};
use std::{fs::File, io::Read, os::unix::fs::PermissionsExt, path::Path};
use zeroize::Zeroizing;

/// The longest password file, in bytes.
const PASSWORD_LEN_MAX: u64 = 1024;

/// Reads a password: the file's text without the line end at its end. `-` is standard input.
pub(super) fn password(path: &Path) -> Result<Secret, CliError> {
    let bytes = read("password file", path, PASSWORD_LEN_MAX)?;
    let refuse = |why: &str| {
        let path = path.display();
        Err(CliError::failed(format!(
            "password file {path}: {why}; write the password, and nothing else, into it"
        )))
    };
    let Ok(text) = std::str::from_utf8(&bytes) else {
        return refuse("not UTF-8");
    };
    let text = text.strip_suffix('\n').unwrap_or(text);
    let text = text.strip_suffix('\r').unwrap_or(text);
    if text.is_empty() {
        return refuse("empty");
    }
    if text.contains(char::is_control) {
        return refuse("more than one line");
    }
    Ok(Secret::new(text))
}

/// Reads a file that may hold credentials, at most `len_max` bytes. `-` is standard input.
pub(super) fn read(what: &str, path: &Path, len_max: u64) -> Result<Zeroizing<Vec<u8>>, CliError> {
    let failed = |why: &dyn std::fmt::Display| {
        let path = path.display();
        CliError::failed(format!(
            "{what} {path}: {why}; check the path and who may read it"
        ))
    };
    let mut bytes = Zeroizing::new(Vec::new());
    let source: Box<dyn Read> = if path == Path::new("-") {
        Box::new(std::io::stdin())
    } else {
        let file = File::open(path).map_err(|error| failed(&error))?;
        let metadata = file.metadata().map_err(|error| failed(&error))?;
        if metadata.is_file() && metadata.permissions().mode() & 0o077 != 0 {
            let path = path.display();
            warn(format!(
                "{what} {path} can be read by other users; run `chmod 600 {path}`"
            ));
        }
        Box::new(file)
    };
    source
        .take(len_max + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| failed(&error))?;
    if bytes.len() as u64 > len_max {
        return Err(failed(&format!("longer than {len_max} bytes")));
    }
    Ok(bytes)
}
