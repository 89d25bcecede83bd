//! Which names a file of a disk may have: one rule for all twins, so that no name reaches outside the folder.

use std::io;

/// Longest name with its folder, in bytes; far below NAME_MAX of any Linux filesystem (255 for each part).
const NAME_LEN_MAX: usize = 200;

/// The name of the file that carries a folder's lock; never listed, created or removed.
pub(in crate::disk) const LOCK: &str = "lock";

/// Refuses a name that is not one or two plain parts: letters, digits, `-`, `_` and `.`, not starting with a dot.
pub(in crate::disk) fn check(name: &str) -> io::Result<()> {
    let plain = |part: &str| {
        !part.is_empty()
            && !part.starts_with('.')
            && part
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
    };
    let parts: Vec<&str> = name.split('/').collect();
    let fits = parts.len() <= 2 && name.len() <= NAME_LEN_MAX && name != LOCK;
    if fits && parts.into_iter().all(plain) {
        return Ok(());
    }
    Err(io::Error::new(
        io::ErrorKind::InvalidInput,
        "a file name is one or two parts of letters, digits, `-`, `_` and `.`, is not `lock`, and does not start with a dot",
    ))
}

#[cfg(test)]
mod tests {
    use super::check;

    #[test]
    fn names_stay_inside_the_folder() {
        for name in ["superblock-0", "segments/000017.seg", "a_b.C-9"] {
            assert!(check(name).is_ok(), "{name}");
        }
        for name in [
            "", "/", "/etc", "a/", "a//b", "a/b/c", "..", "../x", "a/../b", ".hidden", "a b",
            "a\0", "lock",
        ] {
            assert!(check(name).is_err(), "{name:?}");
        }
    }
}
