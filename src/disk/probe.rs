//! What the system says of a folder: its space, its filesystem, the device under it, and whether transfers may bypass the cache.
//!
//! All of it is asked for at opening and never assumed: a wrong guess of the alignment is EINVAL at the first write.

use std::{
    ffi::CString,
    fs::{self, File, OpenOptions},
    io,
    os::{
        fd::AsRawFd as _,
        unix::{
            ffi::OsStrExt as _,
            fs::{MetadataExt as _, OpenOptionsExt as _},
        },
    },
    path::Path,
};

use crate::disk::ALIGNMENT;

/// Space of a filesystem, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// All of it.
    pub total: u64,
    /// What this process may still allocate.
    pub available: u64,
}

/// What is under a folder.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Device {
    /// The files live in memory and are gone with the next start of the machine.
    pub tmpfs: bool,
    /// Whether it is a turning disk; `None` when the kernel does not say (no block device of its own).
    pub rotational: Option<bool>,
    /// `none`, `host-aware` or `host-managed` (shingled disks); `None` as above.
    pub zoned: Option<String>,
    /// Bytes in a full stripe of a RAID, 0 when there is none; `None` as above.
    pub optimal_io_bytes: Option<u64>,
}

/// How a folder's files may be transferred.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::disk) enum Direct {
    /// O_DIRECT with `ALIGNMENT` works.
    Yes,
    /// It does not, and why.
    No(String),
}

/// The space of the filesystem that holds `folder` (`statvfs(3)`).
pub fn volume_space(folder: &Path) -> io::Result<Space> {
    let path = c_path(folder)?;
    // SAFETY: all-zero is a valid `statvfs`; the path is a C string and the kernel only writes into the struct.
    let (status, facts) = unsafe {
        let mut facts: libc::statvfs = std::mem::zeroed();
        (libc::statvfs(path.as_ptr(), &mut facts), facts)
    };
    if status != 0 {
        return Err(io::Error::last_os_error());
    }
    let unit = facts.f_frsize;
    Ok(Space {
        total: facts.f_blocks.saturating_mul(unit),
        available: facts.f_bavail.saturating_mul(unit),
    })
}

/// What is under `folder`. What the kernel does not tell stays unknown.
pub fn device(folder: &Path) -> io::Result<Device> {
    let number = fs::metadata(folder)?.dev();
    let (major, minor) = (libc::major(number), libc::minor(number));
    let block = Path::new("/sys/dev/block").join(format!("{major}:{minor}"));
    // A partition has no queue of its own: its disk, one folder up, has.
    let setting = |name: &str| {
        let own = fs::read_to_string(block.join("queue").join(name));
        let text = own.or_else(|_| {
            let partition = fs::canonicalize(&block)?;
            fs::read_to_string(partition.join("../queue").join(name))
        });
        text.ok().map(|text| text.trim().to_owned())
    };
    Ok(Device {
        tmpfs: is_tmpfs(folder)?,
        rotational: setting("rotational").map(|text| text == "1"),
        zoned: setting("zoned"),
        optimal_io_bytes: setting("optimal_io_size").and_then(|text| text.parse().ok()),
    })
}

fn is_tmpfs(folder: &Path) -> io::Result<bool> {
    let path = c_path(folder)?;
    // SAFETY: all-zero is a valid `statfs`; the path is a C string and the kernel only writes into the struct.
    let (status, facts) = unsafe {
        let mut facts: libc::statfs = std::mem::zeroed();
        (libc::statfs(path.as_ptr(), &mut facts), facts)
    };
    if status != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(facts.f_type == libc::TMPFS_MAGIC)
}

/// Whether files beside `file` can be opened with O_DIRECT and transferred in multiples of `ALIGNMENT`.
pub(in crate::disk) fn direct(file: &Path) -> io::Result<Direct> {
    if is_tmpfs(file)? {
        // Recent kernels take the flag there and transfer through the page cache all the same.
        return Ok(Direct::No("tmpfs is the page cache itself".to_owned()));
    }
    let opened = OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(libc::O_DIRECT)
        .open(file);
    let file = match opened {
        Ok(file) => file,
        Err(refusal) if refusal.raw_os_error() == Some(libc::EINVAL) => {
            return Ok(Direct::No("the filesystem refuses O_DIRECT".to_owned()));
        }
        Err(source) => return Err(source),
    };
    Ok(match direct_alignment(&file)? {
        None => Direct::Yes,
        Some(0) => Direct::No("the filesystem cannot transfer this file directly".to_owned()),
        Some(alignment) if alignment > ALIGNMENT as u32 => Direct::No(format!(
            "the device wants transfers aligned to {alignment} bytes, more than {ALIGNMENT}"
        )),
        Some(_) => Direct::Yes,
    })
}

/// The alignment that O_DIRECT needs, of memory and offset alike; 0 when it does not work, `None` when the kernel (before 6.1)
/// or the filesystem does not say (`statx(2)`, STATX_DIOALIGN).
fn direct_alignment(file: &File) -> io::Result<Option<u32>> {
    // SAFETY: all-zero is a valid `statx`; the empty path names the descriptor itself, and the kernel only writes the struct.
    let (status, facts) = unsafe {
        let mut facts: libc::statx = std::mem::zeroed();
        let status = libc::statx(
            file.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH,
            libc::STATX_DIOALIGN,
            &mut facts,
        );
        (status, facts)
    };
    if status != 0 {
        return Err(io::Error::last_os_error());
    }
    let said = facts.stx_mask & libc::STATX_DIOALIGN != 0;
    Ok(said.then(|| {
        let (memory, offset) = (facts.stx_dio_mem_align, facts.stx_dio_offset_align);
        if memory == 0 || offset == 0 {
            0
        } else {
            memory.max(offset)
        }
    }))
}

/// Allocates all `len` bytes of an empty file (`fallocate(2)`, mode 0), or fails with ENOSPC.
pub(in crate::disk) fn allocate(file: &File, len: u64) -> io::Result<()> {
    let len = libc::off_t::try_from(len).map_err(|_| io::Error::from_raw_os_error(libc::EFBIG))?;
    loop {
        // SAFETY: the descriptor is open for the length of the call; no memory is passed.
        if unsafe { libc::fallocate(file.as_raw_fd(), 0, 0, len) } == 0 {
            return Ok(());
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}

fn c_path(path: &Path) -> io::Result<CString> {
    CString::new(path.as_os_str().as_bytes())
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "the path holds a zero byte"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn space_and_device_of_a_folder_are_told() {
        let folder = tempfile::tempdir().unwrap();
        let space = volume_space(folder.path()).unwrap();
        assert!(space.total > 0 && space.available <= space.total);
        assert!(device(folder.path()).is_ok());
        assert!(volume_space(Path::new("/no/such/folder")).is_err());
    }

    #[test]
    fn memory_filesystems_are_told_apart() {
        assert!(device(Path::new("/dev/shm")).unwrap().tmpfs);
        assert!(!device(Path::new("/proc")).unwrap().tmpfs);
    }
}
