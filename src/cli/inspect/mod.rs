//! `nvring inspect`: what is really in a file of ours, structure by structure. Never writes, takes no lock, works beside a running
//! server, and goes on past damage, saying what is wrong where.
//!
//! One line per structure (with `--json` one JSON object per line, so that a segment of millions of frames needs no memory).
//! A file is known by its first bytes, and where those are damaged by its name.

mod dump;
mod index;
mod segment;
mod superblock;

use crate::{
    base::UnixMicros,
    cli::{check, context::Context, error::CliError},
    disk::{Disk, DiskError, FileId, open_file_to_read},
    format::PAGE,
    store::io,
};
use bytes::Bytes;
use dump::{Dump, Node};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

/// Print every structure of a file: superblock, segment, index, or an exported MP4.
///
/// Changes nothing and takes no lock, so it works beside a running server; goes on past damage and says what is wrong where. Given a
/// volume's directory, prints its superblock, index and segment headers.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The file, or a volume's directory
    file: PathBuf,
    /// Print every frame of a segment's blocks, and every row of its chapters
    #[arg(long)]
    frames: bool,
    /// Print every record of an index
    #[arg(long)]
    all: bool,
    /// Print JSON, one object per line
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub fn run(args: Args, _context: &Context) -> Result<(), CliError> {
    let mut dump = Dump::new(args.json);
    if args.file.is_dir() {
        folder(&args, &mut dump)?;
    } else {
        file(&args, &mut dump)?;
    }
    dump.finish()
}

/// A file of a volume, open for reading.
struct Subject {
    path: PathBuf,
    disk: Arc<dyn Disk>,
    file: FileId,
    len: u64,
}

impl Subject {
    fn open(path: &Path) -> Result<Self, CliError> {
        let opened = open_file_to_read(path).map_err(|error: DiskError| {
            CliError::failed(format!("{error}; check the path and your permissions"))
        });
        let (disk, file, len) = opened?;
        Ok(Self {
            path: path.to_owned(),
            disk,
            file,
            len,
        })
    }

    /// `len` bytes at `offset`, or why they cannot be had.
    fn bytes(&self, offset: u64, len: usize) -> Result<Bytes, String> {
        if offset
            .checked_add(len as u64)
            .is_none_or(|end| end > self.len)
        {
            return Err(format!("the file ends at {}", self.len));
        }
        io::read(&*self.disk, self.file, offset, len)
            .map_err(|error| format!("it cannot be read: {error}"))
    }

    /// The page at `offset`, or why it cannot be had.
    fn page(&self, offset: u64) -> Result<Bytes, String> {
        self.bytes(offset, PAGE as usize)
    }

    fn name(&self) -> String {
        self.path
            .file_name()
            .map(|name| name.to_string_lossy().into_owned())
            .unwrap_or_default()
    }
}

/// What a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Superblock,
    Segment,
    Index,
    Movie,
    Lock,
}

impl Kind {
    /// By its first bytes, else by its name.
    fn of(subject: &Subject) -> Option<Self> {
        // A copy may be damaged: superblock and index have a second one in the next page.
        for offset in [0, PAGE] {
            let known = subject.page(offset).ok().and_then(|page| match &page[..8] {
                b"NVRVOL\x1a\n" => Some(Self::Superblock),
                b"NVRIDX\x1a\n" => Some(Self::Index),
                b"NVRSEG\x1a\n" | b"NVRBAT\x1a\n" => Some(Self::Segment),
                [_, _, _, _, b'f', b't', b'y', b'p'] if offset == 0 => Some(Self::Movie),
                _ => None,
            });
            if known.is_some() {
                return known;
            }
        }
        match subject.name().as_str() {
            "superblock" => Some(Self::Superblock),
            "index" => Some(Self::Index),
            "lock" => Some(Self::Lock),
            name if name.ends_with(".seg") => Some(Self::Segment),
            name if name.ends_with(".mp4") => Some(Self::Movie),
            _ => None,
        }
    }
}

fn file(args: &Args, dump: &mut Dump) -> Result<(), CliError> {
    let subject = Subject::open(&args.file)?;
    match Kind::of(&subject) {
        Some(Kind::Superblock) => superblock::dump(&subject, dump),
        Some(Kind::Segment) => segment::dump(&subject, args.frames, dump),
        Some(Kind::Index) => index::dump(&subject, args.all, dump),
        Some(Kind::Movie) => movie(args, dump),
        Some(Kind::Lock) => dump.say(Node::about("lock").text(
            "says",
            "held by a recorder while it has the volume; holds the id of the last one",
        )),
        None => Err(CliError::failed(format!(
            "{} is no superblock, segment or index of a volume and no MP4 file; name one of these",
            args.file.display()
        ))),
    }
}

fn folder(args: &Args, dump: &mut Dump) -> Result<(), CliError> {
    let begin = |dump: &mut Dump, name: &str| dump.say(Node::about("file").text("name", name));
    let path = args.file.join("superblock");
    if !path.is_file() {
        return Err(CliError::failed(format!(
            "{} is not a volume: it has no superblock; name a file, or a volume's directory",
            args.file.display()
        )));
    }
    begin(dump, "superblock")?;
    superblock::dump(&Subject::open(&path)?, dump)?;
    begin(dump, "index")?;
    let path = args.file.join("index");
    if path.is_file() {
        index::dump(&Subject::open(&path)?, args.all, dump)?;
    } else {
        dump.say(
            Node::about("index").text("says", "not there; it is made again at the next start"),
        )?;
    }
    begin(dump, "segments")?;
    let listed = std::fs::read_dir(args.file.join("segments"));
    let mut paths: Vec<PathBuf> = listed
        .map(|entries| entries.flatten().map(|entry| entry.path()).collect())
        .unwrap_or_default();
    paths.sort_unstable();
    for path in paths {
        match Subject::open(&path) {
            Ok(subject) => segment::dump_header(&subject, dump)?,
            Err(error) => dump.say(Node::about("segment").problem(error))?,
        }
    }
    Ok(())
}

fn movie(args: &Args, dump: &mut Dump) -> Result<(), CliError> {
    let report = check::read_movie(&args.file)?;
    if !args.json {
        return dump.text(&check::render_movie(&report));
    }
    let mut node = Node::about("mp4");
    if let Ok(serde_json::Value::Object(fields)) = serde_json::to_value(&report) {
        for (name, value) in fields {
            node = node.value(&name, value);
        }
    }
    dump.say(node)
}

fn uuid(bytes: [u8; 16]) -> String {
    uuid::Uuid::from_bytes(bytes).to_string()
}

fn time(micros: i64) -> String {
    UnixMicros(micros).to_string()
}
