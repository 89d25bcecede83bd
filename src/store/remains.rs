//! What a folder without a usable superblock holds: nothing, the remains of a format that did not come to its end, segments with
//! recordings, or somebody else's files. Format refuses all but nothing, each with its remedy, and opening tells the same.
//!
//! Format writes the superblock last and takes no segment, so segments that are all empty beside a superblock that was never
//! written are an aborted format. One segment with a byte in its first page is somebody's recording and is never called that.

use crate::{
    disk::{ReadLock, open_folder_to_read},
    format::{PAGE, segment, superblock},
    store::{io, volume::VolumeError},
};
use std::path::Path;

/// The remains of a volume in `path`, when that is what it holds: no usable superblock, but segments.
pub(super) fn of(path: &Path) -> Option<VolumeError> {
    let disk = open_folder_to_read(path, ReadLock::None).ok()?;
    let names = disk.list().ok()?;
    let page = |name: &str| {
        let (file, _) = disk.open(name).ok()?;
        io::read(&*disk, file, 0, PAGE as usize).ok()
    };
    let segments: Vec<&String> = names.iter().filter(|name| is_segment(name)).collect();
    let strangers = names
        .iter()
        .any(|name| !is_segment(name) && name != superblock::FILE);
    let blank = |name: &str| page(name).is_some_and(|page| page.iter().all(|byte| *byte == 0));
    let has_superblock = names.iter().any(|name| name == superblock::FILE);
    let nothing = segments.is_empty() && !has_superblock;
    if nothing || (has_superblock && !blank(superblock::FILE)) {
        return None;
    }
    if segments.iter().all(|name| blank(name)) {
        return (!strangers).then(|| VolumeError::Unfinished { path: path.into() });
    }
    Some(VolumeError::SuperblockLost { path: path.into() })
}

/// Fails unless `path` is an empty folder.
pub(super) fn refuse(path: &Path) -> Result<(), VolumeError> {
    let names = open_folder_to_read(path, ReadLock::None)?.list()?;
    if names.is_empty() {
        return match foreign_folder(path) {
            Some(found) => Err(VolumeError::Foreign {
                path: path.into(),
                found,
            }),
            None => Ok(()),
        };
    }
    if let Some(remains) = of(path) {
        return Err(remains);
    }
    if names.iter().any(|name| name == superblock::FILE) {
        return Err(VolumeError::Formatted { path: path.into() });
    }
    let found = names.into_iter().next().unwrap_or_default();
    Err(VolumeError::Foreign {
        path: path.into(),
        found,
    })
}

/// A folder in `path` that no disk lists, because it holds only folders or nothing.
fn foreign_folder(path: &Path) -> Option<String> {
    let mut found = std::fs::read_dir(path).ok()?.flatten().filter_map(|entry| {
        let name = entry.file_name().to_string_lossy().into_owned();
        let folder = entry.file_type().ok()?.is_dir();
        let ours = name == "lost+found" || name == "segments";
        (folder && !ours).then_some(name)
    });
    found.next()
}

fn is_segment(name: &str) -> bool {
    let number = name
        .strip_prefix("segments/")
        .and_then(|name| name.strip_suffix(".seg"))
        .and_then(|digits| digits.parse().ok());
    number.is_some_and(|number| segment::file_name(number) == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(files: &[(&str, u8)]) -> tempfile::TempDir {
        let place = tempfile::tempdir().unwrap();
        for (name, fill) in files {
            let path = place.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, vec![*fill; PAGE as usize]).unwrap();
        }
        place
    }

    #[test]
    fn each_kind_of_folder_is_told_apart() {
        let segment = "segments/000000.seg";
        let refused = |files: &[(&str, u8)]| refuse(made(files).path());
        assert!(refused(&[]).is_ok());
        assert!(refused(&[("lock", 1)]).is_ok());
        let aborted = refused(&[(segment, 0), ("superblock", 0)]);
        assert!(matches!(aborted, Err(VolumeError::Unfinished { .. })));
        let aborted = refused(&[(segment, 0)]);
        assert!(matches!(aborted, Err(VolumeError::Unfinished { .. })));
        let lost = refused(&[("segments/000001.seg", 1), (segment, 0)]);
        assert!(matches!(lost, Err(VolumeError::SuperblockLost { .. })));
        let formatted = refused(&[(segment, 1), ("superblock", 1)]);
        assert!(matches!(formatted, Err(VolumeError::Formatted { .. })));
        let foreign = [
            &[(segment, 0), ("notes.txt", 1)][..],
            &[("photos/2024/a.jpg", 1)],
            &[("photos/a.jpg", 1)],
        ];
        for files in foreign {
            let refused = refused(files);
            assert!(
                matches!(refused, Err(VolumeError::Foreign { .. })),
                "{files:?}"
            );
        }
    }
}
