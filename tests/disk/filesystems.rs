//! The contract on real small filesystems, and on disks with large sectors.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::Command,
};

use nvring::disk::{ALIGNMENT, EngineChoice, FileId};

use crate::subject::{PAGE, Subject, page, writing};

/// A loop device with a filesystem, unmounted and detached when dropped.
struct LoopVolume {
    mount: PathBuf,
    device: String,
    _folder: tempfile::TempDir,
}

/// Runs a tool; its output, or why not.
fn tool(name: &str, arguments: &[&str]) -> Result<String, String> {
    let output = Command::new(name).args(arguments).output();
    let output = output.map_err(|error| format!("{name} cannot be run: {error}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned());
    }
    Err(format!(
        "{name} {arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    ))
}

impl LoopVolume {
    fn new(size: u64, sector: &str, mkfs: &[&str]) -> Result<Self, String> {
        Self::new_in(&std::env::temp_dir(), size, sector, mkfs)
    }

    /// With its image somewhere under `parent`.
    fn new_in(parent: &Path, size: u64, sector: &str, mkfs: &[&str]) -> Result<Self, String> {
        let folder = tempfile::tempdir_in(parent).map_err(|error| error.to_string())?;
        let image = folder.path().join("image");
        let file = fs::File::create(&image).map_err(|error| error.to_string())?;
        file.set_len(size).map_err(|error| error.to_string())?;
        let image = image.to_string_lossy().into_owned();
        let device = tool(
            "losetup",
            &["--find", "--show", "--sector-size", sector, &image],
        )?;
        let volume = Self {
            mount: folder.path().join("mount"),
            device,
            _folder: folder,
        };
        fs::create_dir(&volume.mount).map_err(|error| error.to_string())?;
        tool(mkfs[0], &[&mkfs[1..], &[&volume.device]].concat())?;
        tool("mount", &[&volume.device, &volume.mount.to_string_lossy()])?;
        Ok(volume)
    }
}

impl LoopVolume {
    /// Cuts the filesystem off from its device as a power cut does (nothing more is written, not even its journal), and lets
    /// it recover. Until the disk is dropped, whatever is asked of `file` fails.
    fn cut_power(&self, subject: &mut Subject, file: FileId) {
        let mount = self.mount.to_string_lossy();
        tool("xfs_io", &["-x", "-c", "shutdown", &mount]).unwrap();
        let failures = [subject.write(file, 0, &page(9)), subject.sync(file)];
        for failure in failures {
            assert_eq!(failure.unwrap_err().raw_os_error(), Some(libc::EIO));
        }
        subject.disk = None;
        tool("umount", &[&mount]).unwrap();
        tool("mount", &[&self.device, &mount]).unwrap();
        subject.reopen();
    }
}

impl Drop for LoopVolume {
    fn drop(&mut self) {
        let _ = tool("umount", &[&self.mount.to_string_lossy()]);
        let _ = tool("losetup", &["--detach", &self.device]);
    }
}

/// Goal: the contract on real small filesystems, and a disk that fills. Method: loop devices; a create past the space must
/// fail whole, leave nothing, and let everything else go on.
#[test]
fn small_filesystems_fill_and_go_on() {
    let cases: [(u64, &str, &[&str]); 3] = [
        (32 << 20, "512", &["mkfs.ext4", "-q"]),
        (32 << 20, "4096", &["mkfs.ext4", "-q"]),
        (320 << 20, "512", &["mkfs.xfs", "-q"]),
    ];
    for (size, sector, mkfs) in cases {
        let volume = match LoopVolume::new(size, sector, mkfs) {
            Ok(volume) => volume,
            Err(missing) => {
                println!("SKIPPED {mkfs:?} with {sector}-byte sectors: {missing}");
                continue;
            }
        };
        for engine in [EngineChoice::Plain, EngineChoice::Auto] {
            let mut subject = Subject::real(&volume.mount, engine);
            println!("on {mkfs:?} with {sector}-byte sectors: {}", subject.name);
            assert!(subject.disk().properties().direct);
            let file = subject.disk().create("a", 64 * PAGE).unwrap();
            let full = subject.disk().create("segments/big", 1 << 30).unwrap_err();
            assert_eq!(full.source.kind(), io::ErrorKind::StorageFull, "{full}");
            assert_eq!(subject.disk().list().unwrap(), ["a"]);
            for byte in [1, 2] {
                for index in 0..64 {
                    subject.write(file, index * PAGE, &page(byte)).unwrap();
                }
                subject.sync(file).unwrap();
                assert_eq!(
                    subject.read(file, 63 * PAGE, ALIGNMENT).unwrap(),
                    page(byte)
                );
            }
            subject.reopen();
            let (file, _) = subject.disk().open("a").unwrap();
            assert_eq!(subject.read(file, 0, ALIGNMENT).unwrap(), page(2));
            subject.disk().remove("a").unwrap();
        }
    }
}

/// Goal: what a sync covered, and a file once created, survives a power cut on real filesystems, and so does what a dead
/// process left once its successor opened the file. Method: the filesystem is shut down without its journal. That the test can
/// fail is seen by a write that no sync covered, which must be lost at least once.
#[test]
fn synced_writes_and_opened_files_survive_a_power_cut() {
    let cases: [(u64, &[&str]); 2] = [
        (32 << 20, &["mkfs.ext4", "-q"]),
        (320 << 20, &["mkfs.xfs", "-q"]),
    ];
    let (mut cuts, mut lost) = (0, 0);
    for (size, mkfs) in cases {
        let made = tool("xfs_io", &["-V"]).and_then(|_| LoopVolume::new(size, "512", mkfs));
        let volume = match made {
            Ok(volume) => volume,
            Err(missing) => {
                println!("SKIPPED {mkfs:?}: {missing}");
                continue;
            }
        };
        for (name, engine) in [("a", EngineChoice::Plain), ("b", EngineChoice::Auto)] {
            let mut subject = Subject::real(&volume.mount, engine);
            let file = subject.disk().create(name, 64 * PAGE).unwrap();
            subject.write(file, 0, &page(1)).unwrap();
            subject.sync(file).unwrap();
            let created = format!("{name}-segments/0");
            subject.disk().create(&created, 2 * PAGE).unwrap();
            // After the creation, whose sync commits the whole journal.
            subject.write(file, 16 * PAGE, &page(2)).unwrap();
            volume.cut_power(&mut subject, file);
            let (file, _) = subject.disk().open(name).unwrap();
            assert_eq!(subject.read(file, 0, ALIGNMENT).unwrap(), page(1));
            assert_eq!(subject.disk().open(&created).unwrap().1, 2 * PAGE);
            cuts += 1;
            lost += usize::from(subject.read(file, 16 * PAGE, ALIGNMENT).unwrap() != page(2));

            subject.write(file, 32 * PAGE, &page(3)).unwrap();
            subject.reopen();
            let (file, _) = subject.disk().open(name).unwrap();
            volume.cut_power(&mut subject, file);
            let (file, _) = subject.disk().open(name).unwrap();
            assert_eq!(subject.read(file, 32 * PAGE, ALIGNMENT).unwrap(), page(3));
        }
    }
    println!("{lost} of {cuts} unsynced writes lost");
    assert!(cuts == 0 || lost > 0, "the power cut cuts nothing");
}

/// A thin disk: a filesystem on an image that lies on a memory filesystem too small for it, so that the device itself runs
/// out below the filesystem.
struct ThinVolume {
    /// Before `_pool` in order, as it must be gone first.
    volume: LoopVolume,
    _pool: Pool,
}

/// Twice what the thin disk's pool holds.
const FILE_PAGES: u64 = 8192;

impl ThinVolume {
    fn new() -> Result<Self, String> {
        let pool = Pool::new(FILE_PAGES / 2 * PAGE)?;
        let parent = pool.folder.path();
        let size = 2 * FILE_PAGES * PAGE;
        let volume = LoopVolume::new_in(parent, size, "512", &["mkfs.ext4", "-q", "-b", "4096"])?;
        let device = volume.device.trim_start_matches("/dev/");
        let merging = format!("/sys/block/{device}/queue/nomerges");
        fs::write(&merging, "2").map_err(|error| format!("{merging}: {error}"))?;
        Ok(Self {
            volume,
            _pool: pool,
        })
    }
}

/// A memory filesystem of a given size.
struct Pool {
    folder: tempfile::TempDir,
}

impl Pool {
    fn new(size: u64) -> Result<Self, String> {
        let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
        let options = format!("size={size}");
        let mount = folder.path().to_string_lossy().into_owned();
        tool("mount", &["-t", "tmpfs", "-o", &options, "tmpfs", &mount])?;
        Ok(Self { folder })
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        let _ = tool("umount", &[&self.folder.path().to_string_lossy()]);
    }
}

/// Goal: an error of the device reaches the caller of that very write, and what was acknowledged reads back. Method: real errors
/// from a thin disk that runs out in the middle of a file. Single aligned pages, unmerged: the kernel's loop driver takes a short
/// write to its image for a whole one, so a larger request at the very end of the space would be acknowledged wrongly.
#[test]
fn device_errors_reach_the_write_they_hit() {
    for engine in [EngineChoice::Plain, EngineChoice::Auto] {
        let thin = match ThinVolume::new() {
            Ok(thin) => thin,
            Err(missing) => {
                println!("SKIPPED: {missing}");
                return;
            }
        };
        let subject = Subject::real(&thin.volume.mount, engine);
        let file = subject.disk().create("a", FILE_PAGES * PAGE).unwrap();
        let slab = subject.disk().slab().clone();
        let (mut acknowledged, mut failed) = (Vec::new(), 0);
        for first in (0..FILE_PAGES).step_by(8) {
            let pending: Vec<_> = (first..first + 8)
                .map(|index| {
                    let operation = writing(&slab, index * PAGE, &page(5));
                    (index, subject.submit(file, operation))
                })
                .collect();
            for (index, receiver) in pending {
                match receiver.recv().unwrap().result {
                    Ok(()) => acknowledged.push(index),
                    Err(error) => {
                        assert_eq!(error.kind(), io::ErrorKind::StorageFull, "{error}");
                        failed += 1;
                    }
                }
            }
        }
        println!(
            "{}: {} pages acknowledged, {failed} failed",
            subject.name,
            acknowledged.len()
        );
        assert!(failed > 0 && !acknowledged.is_empty());
        for index in acknowledged {
            assert_eq!(
                subject.read(file, index * PAGE, ALIGNMENT).unwrap(),
                page(5),
                "page {index}"
            );
        }
    }
}
