//! Scrub: every structure and every frame of a volume is read and verified, and what is not as it was written is told with the camera,
//! the time and the place. Changes nothing; goes on past damage.
//!
//! What a crash tore before it was durable is no rot, but nobody can tell the two apart afterwards: it is told too, and says so. A
//! block that was written again elsewhere after a failed sync (W8) is intact when one of its copies is.

use crate::{
    base::UnixMicros,
    format::{
        DecodeError, PAGE,
        block::{Address, Block, BlockKind},
        chapter::Chapter,
        directory::DirectoryTrailer,
        place::{Generation, Place, SegmentNumber},
        row::{BlockRow, ChapterRow, Item, RunId},
        segment::{HEADER_LEN, SegmentEnd, SegmentHeader, file_name},
        superblock::{self, Superblock},
    },
    media::StreamId,
    store::{
        index::PieceSource,
        io,
        recovery::Progress,
        ring::SegmentLife,
        volume::VolumeShared,
        walk::{Directory, Durable, FoundBatch, Walk},
    },
};
use std::collections::{BTreeMap, HashMap, HashSet};

/// Something that is not as it was written.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Damage {
    /// The structure: `block`, `chapter`, `batch front`, …
    pub what: &'static str,
    /// Whose recording it is, where that is known.
    pub camera: Option<String>,
    /// Which of its streams.
    pub stream: Option<String>,
    /// First instant lost.
    pub start: Option<UnixMicros>,
    /// First instant not lost any more.
    pub end: Option<UnixMicros>,
    /// The file in the volume's folder.
    pub file: String,
    /// Bytes from the file's start.
    pub offset: u64,
    /// What is wrong.
    pub why: String,
}

/// What was looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct ScrubReport {
    /// Segments in use.
    pub segments: u32,
    /// Batches.
    pub batches: u64,
    /// Blocks of frames.
    pub blocks: u64,
    /// Chapters.
    pub chapters: u64,
    /// Frames.
    pub frames: u64,
    /// Bytes of blocks and chapters.
    pub bytes: u64,
    /// What is wrong.
    pub damage: Vec<Damage>,
    /// What is no damage and still worth knowing.
    pub notes: Vec<String>,
}

/// Verifies all of `volume`, which nobody writes meanwhile.
pub fn scrub(volume: &VolumeShared, progress: Progress<'_>) -> ScrubReport {
    let mut scrub = Scrub::new(volume);
    scrub.superblock();
    let headers = scrub.headers();
    let mut lives: Vec<(SegmentNumber, SegmentLife)> = (0..)
        .zip(volume.index().lives().iter().copied())
        .filter(|(_, life)| life.generation != Generation::NONE)
        .collect();
    // What lies in a segment that was given up may be intact elsewhere, so those come first.
    lives.sort_by_key(|(_, life)| (!life.quarantined, life.generation));
    let newest = lives.iter().map(|(_, life)| life.generation).max();
    let whole = lives.len() as u64;
    for (done, (number, life)) in lives.into_iter().enumerate() {
        progress(done as u64, whole);
        scrub.report.segments += 1;
        let sealed = headers.iter().any(|header| {
            header.previous == (life.generation, number)
                && header.previous_end == SegmentEnd::Sealed
        });
        let state = SegmentState {
            number,
            life,
            sealed,
            newest: Some(life.generation) == newest,
        };
        scrub.segment(state);
    }
    progress(whole, whole);
    scrub.finish()
}

/// One segment and what others say of it.
#[derive(Clone, Copy)]
struct SegmentState {
    number: SegmentNumber,
    life: SegmentLife,
    /// The next segment's header says that this one has a directory.
    sealed: bool,
    newest: bool,
}

struct Scrub<'a> {
    volume: &'a VolumeShared,
    names: HashMap<StreamId, (String, String)>,
    /// The chapters the index lists.
    listed: HashSet<(RunId, u32)>,
    /// Damaged blocks of segments that were given up, until an intact copy turns up.
    pending: BTreeMap<(RunId, u32), Damage>,
    report: ScrubReport,
}

impl<'a> Scrub<'a> {
    fn new(volume: &'a VolumeShared) -> Self {
        let mut names = HashMap::new();
        let mut listed = HashSet::new();
        for (stream, name) in volume.streams() {
            names.insert(stream, (name.camera, name.kind));
            for piece in volume.pieces(stream, crate::base::TimeRange::ALL) {
                if matches!(piece.source, PieceSource::Chapter(_)) {
                    let run = RunId {
                        stream,
                        run: piece.run,
                    };
                    listed.insert((run, piece.number));
                }
            }
        }
        Self {
            volume,
            names,
            listed,
            pending: BTreeMap::new(),
            report: ScrubReport::default(),
        }
    }

    fn note_damage(&mut self, what: &'static str, file: String, offset: u64, why: String) {
        self.report.damage.push(Damage {
            what,
            camera: None,
            stream: None,
            start: None,
            end: None,
            file,
            offset,
            why,
        });
    }

    fn superblock(&mut self) {
        let disk = self.volume.files.disk();
        let Ok((file, _)) = disk.open(superblock::FILE) else {
            return;
        };
        for copy in 0..superblock::COPIES {
            let offset = u64::from(copy) * PAGE;
            let page = io::read(disk, file, offset, PAGE as usize);
            let why = match page {
                Ok(page) => match Superblock::decode(&page, copy) {
                    Ok(_) => continue,
                    Err(error) => error.to_string(),
                },
                Err(error) => format!("it cannot be read: {error}"),
            };
            let why = format!("{why}; it is written anew when the volume is next recorded to");
            self.note_damage("superblock copy", superblock::FILE.to_owned(), offset, why);
        }
    }

    /// Reads every segment's header, and holds the index to them.
    fn headers(&mut self) -> Vec<SegmentHeader> {
        let lives = self.volume.index().lives().to_vec();
        let mut headers = Vec::new();
        for (number, life) in (0..).zip(lives) {
            let read = self.volume.files.segment(number).map_err(|e| e.to_string());
            let page = read.and_then(|file| {
                io::read(self.volume.files.disk(), file, 0, PAGE as usize)
                    .map_err(|error| format!("it cannot be read: {error}"))
            });
            let never_taken =
                |page: &[u8]| life.generation == Generation::NONE && page.iter().all(|b| *b == 0);
            let decoded = match page {
                Ok(page) if never_taken(&page) => continue,
                Ok(page) => SegmentHeader::decode(&page, &self.volume.superblock.volume, number)
                    .map_err(|error| error.to_string()),
                Err(why) => Err(why),
            };
            match decoded {
                Ok(header) => {
                    if header.generation != life.generation {
                        let why = format!(
                            "it says that segment {number} is in its life {}, but that is {}; run `nvring volume rebuild`",
                            life.generation, header.generation
                        );
                        self.note_damage("index", crate::format::index::FILE.to_owned(), 0, why);
                    }
                    headers.push(header);
                }
                Err(why) => self.note_damage("segment header", file_name(number), 0, why),
            }
        }
        headers
    }

    fn segment(&mut self, state: SegmentState) {
        // A file that is not there was told with its header.
        let Ok(file) = self.volume.files.segment(state.number) else {
            return;
        };
        let disk = self.volume.files.disk();
        let superblock = &self.volume.superblock;
        let generation = state.life.generation;
        let walk = Walk::new(disk, file, superblock, state.number, generation);
        let batches = walk.batches();
        self.report.batches += batches.len() as u64;
        let end = superblock.segment_len - PAGE;
        let trailer = io::read(disk, file, end, PAGE as usize)
            .ok()
            .and_then(|page| {
                DirectoryTrailer::decode(&page, &superblock.volume, state.number, generation).ok()
            });
        self.fronts(state, &batches, trailer.map(|trailer| trailer.log_end));
        let durable = Durable::of(&batches);
        match walk.directory() {
            Directory::Items(items) => {
                for item in items {
                    self.item(state, &item, true);
                }
                return;
            }
            Directory::Damaged => self.note_damage(
                "directory",
                file_name(state.number),
                trailer.map_or(end, |trailer| trailer.items_offset),
                "its items are not intact; the batches were read instead".to_owned(),
            ),
            Directory::None if state.sealed && !state.newest => self.note_damage(
                "directory",
                file_name(state.number),
                end,
                "its trailer is not intact; the batches were read instead".to_owned(),
            ),
            Directory::None => {}
        }
        for batch in &batches {
            let certain = durable.covers(&batch.header);
            for item in &batch.items {
                self.item(state, item, certain);
            }
        }
    }

    /// Looks for batches that ought to be between those found, and behind them.
    fn fronts(&mut self, state: SegmentState, batches: &[FoundBatch], log_end: Option<u64>) {
        let durable = Durable::of(batches);
        let (mut at, mut next) = (HEADER_LEN, 0);
        for batch in batches {
            if batch.header.offset > at {
                let lost = durable.durable(batch.header.session, next) || log_end.is_some();
                self.hole(state, at, batch.header.offset, lost);
            }
            at = batch.header.offset + u64::from(batch.header.batch_len);
            next = batch.header.number.saturating_add(1);
        }
        if let Some(end) = log_end.filter(|end| *end > at) {
            self.hole(state, at, end, true);
        }
    }

    fn hole(&mut self, state: SegmentState, from: u64, to: u64, lost: bool) {
        let file = file_name(state.number);
        if lost {
            let why = format!(
                "no intact batch front up to offset {to}; its blocks are listed by the directory, if that is intact"
            );
            self.note_damage("batch front", file, from, why);
        } else {
            let note = format!(
                "{file}: bytes {from} to {to} hold no batch: they were being written when the recorder was last killed or lost power"
            );
            self.report.notes.push(note);
        }
    }

    /// Verifies a block or chapter. `certain`: it was durable once.
    fn item(&mut self, state: SegmentState, item: &Item, certain: bool) {
        let (run, place) = match item {
            Item::Description(..) => return,
            Item::Block(run, row) => (*run, row.place),
            Item::Chapter(run, row) => (*run, row.place),
        };
        let bytes = self
            .volume
            .files
            .segment(state.number)
            .map_err(|error| error.source)
            .and_then(|file| {
                let disk = self.volume.files.disk();
                io::read(disk, file, place.offset, place.len as usize)
            })
            .map_err(|error| format!("it cannot be read: {error}"));
        self.report.bytes += u64::from(place.len);
        match item {
            Item::Block(_, row) => {
                self.report.blocks += 1;
                self.block(state, run, row, bytes, certain);
            }
            Item::Chapter(_, row) => {
                self.report.chapters += 1;
                self.chapter(run, row, bytes, certain);
            }
            Item::Description(..) => {}
        }
    }

    fn block(
        &mut self,
        state: SegmentState,
        run: RunId,
        row: &BlockRow,
        bytes: Result<bytes::Bytes, String>,
        certain: bool,
    ) {
        let verified = bytes.and_then(|bytes| {
            verify(&bytes, &self.volume.superblock, run, row).map_err(|error| error.to_string())
        });
        let key = (run, row.number);
        let bad = match verified {
            Ok(frames) if frames.bad == 0 => {
                self.report.frames += u64::from(frames.all);
                drop(self.pending.remove(&key));
                return;
            }
            Ok(frames) => {
                self.report.frames += u64::from(frames.all);
                let why = format!(
                    "{} of its {} frames are not what was recorded",
                    frames.bad, frames.all
                );
                (frames.start, frames.end.min(row.end), why)
            }
            Err(why) => (row.first, row.end, why),
        };
        let (start, end, why) = bad;
        let damage = self.of_run("block", run, &row.place, (start, end), why, certain);
        if state.life.quarantined {
            self.pending.insert(key, damage);
        } else {
            self.report.damage.push(damage);
        }
    }

    fn chapter(
        &mut self,
        run: RunId,
        row: &ChapterRow,
        bytes: Result<bytes::Bytes, String>,
        certain: bool,
    ) {
        let address = Address::of(self.volume.superblock.volume, &row.place);
        let chapter = bytes.and_then(|bytes| {
            Chapter::decode(&bytes, address, run, row.number).map_err(|error| error.to_string())
        });
        let times = (row.first, row.end);
        let damage = match chapter {
            Err(why) => {
                let why = format!("{why}; `nvring volume rebuild` lists its blocks again");
                self.of_run("chapter", run, &row.place, times, why, certain)
            }
            Ok(_) if !certain || self.listed.contains(&(run, row.number)) => return,
            Ok(_) => {
                let why = "the index does not list it; run `nvring volume rebuild`".to_owned();
                self.of_run("index", run, &row.place, times, why, certain)
            }
        };
        self.report.damage.push(damage);
    }

    fn of_run(
        &self,
        what: &'static str,
        run: RunId,
        place: &Place,
        (start, end): (UnixMicros, UnixMicros),
        why: String,
        certain: bool,
    ) -> Damage {
        let name = self.names.get(&run.stream).cloned();
        let (camera, stream) = name.unwrap_or_else(|| (run.stream.to_string(), String::new()));
        let why = if certain {
            why
        } else {
            format!(
                "{why} (it was never known to be durable: torn by a crash, or damaged since; it is not played)"
            )
        };
        Damage {
            what,
            camera: Some(camera),
            stream: Some(stream),
            start: Some(start),
            end: Some(end),
            file: file_name(place.segment),
            offset: place.offset,
            why,
        }
    }

    fn finish(mut self) -> ScrubReport {
        self.report.damage.extend(self.pending.into_values());
        self.report
    }
}

/// What verifying a block's frames found.
struct Frames {
    all: u32,
    bad: u32,
    /// From the first bad frame…
    start: UnixMicros,
    /// …to behind the last.
    end: UnixMicros,
}

fn verify(
    bytes: &[u8],
    superblock: &Superblock,
    run: RunId,
    row: &BlockRow,
) -> Result<Frames, DecodeError> {
    let address = Address::of(superblock.volume, &row.place);
    let block = Block::verify(bytes, address, row.head_crc)?;
    let identity = (block.kind(), block.stream(), block.run(), block.number());
    let frames = row.frames()?;
    let same = identity == (BlockKind::Frames, run.stream, run.run, row.number)
        && block.table() == &row.table[..]
        && frames.len() == block.frame_count() as usize;
    if !same {
        return Err(DecodeError::Value {
            what: "block",
            field: "identity",
        });
    }
    let mut found = Frames {
        all: block.frame_count(),
        bad: 0,
        start: UnixMicros::MAX,
        end: UnixMicros::MIN,
    };
    let mut at = 0usize;
    for (index, frame) in (0..).zip(&frames) {
        let range = at..at.saturating_add(frame.size as usize);
        at = range.end;
        if block.frame(index, range).is_ok() {
            continue;
        }
        found.bad += 1;
        found.start = found.start.min(frame.time);
        let later = frames
            .iter()
            .filter(|other| other.track == frame.track && other.time > frame.time);
        let next = later.map(|other| other.time).min().unwrap_or(row.end);
        found.end = found.end.max(next);
    }
    Ok(found)
}
