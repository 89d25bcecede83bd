//! A segment: header, the batches with what they list, and the directory. Each block and chapter is read and verified.

use super::{
    Subject,
    dump::{Dump, Node},
    time, uuid,
};
use crate::{
    cli::error::CliError,
    disk::{ReadLock, open_folder_to_read},
    format::{
        DecodeError, PAGE,
        batch::BatchHeader,
        block::{Address, Block, BlockKind},
        chapter::Chapter,
        description::RunDescription,
        directory::DirectoryTrailer,
        place::{Generation, Place, SegmentNumber},
        row::{BlockRow, ChapterRow, Item, RunId},
        segment::{HEADER_LEN, SegmentEnd, SegmentHeader},
        superblock::{SEGMENT_LEN_MAX, Superblock, VolumeId},
    },
    store::{
        volume::{WINDOW_LEN_MAX, read_superblock},
        walk::{Directory, FoundBatch, Walk},
    },
};
use std::path::Path;

/// The superblock of the volume in `folder`, when there is an intact one.
pub(super) fn superblock_in(folder: &Path) -> Option<Superblock> {
    let disk = open_folder_to_read(folder, ReadLock::None).ok()?;
    let (_, superblock) = read_superblock(&*disk, folder).ok()?;
    Some(superblock)
}

/// Which life of which segment a file is, as far as it can be told.
struct Identity {
    volume: VolumeId,
    segment: SegmentNumber,
    generation: Generation,
}

/// Prints the header only.
pub(super) fn dump_header(subject: &Subject, dump: &mut Dump) -> Result<(), CliError> {
    header(subject, dump).map(drop)
}

/// Prints all of it; `frames`: each frame of each block as well.
pub(super) fn dump(subject: &Subject, frames: bool, dump: &mut Dump) -> Result<(), CliError> {
    let (from_header, blank) = header(subject, dump)?;
    let identity = match from_header {
        Some(identity) => identity,
        None => match search(subject) {
            Some(identity) => {
                let node = Node::about("segment")
                    .text("says", "taken for this one, by its directory or a batch")
                    .text("volume", uuid(identity.volume))
                    .value("segment", identity.segment)
                    .text("generation", identity.generation);
                dump.say(node)?;
                identity
            }
            None if blank => return Ok(()),
            None => {
                let why =
                    "without a header, a directory or a batch of ours nothing in it can be told";
                return dump.say(Node::about("segment").problem(why));
            }
        },
    };
    let superblock = superblock(subject, &identity, dump)?;
    SegmentDump {
        walk: Walk::new(
            &*subject.disk,
            subject.file,
            &superblock,
            identity.segment,
            identity.generation,
        ),
        subject,
        superblock: &superblock,
        identity: &identity,
        frames,
        dump,
    }
    .run()
}

/// Prints the header; gives what it says, and whether the page was never written.
fn header(subject: &Subject, dump: &mut Dump) -> Result<(Option<Identity>, bool), CliError> {
    let node = Node::new("segment header", 0).text("file", subject.name());
    let page = match subject.page(0) {
        Ok(page) => page,
        Err(why) => {
            dump.say(node.problem(why))?;
            return Ok((None, false));
        }
    };
    if page.iter().all(|byte| *byte == 0) {
        dump.say(node.text("says", "never taken"))?;
        return Ok((None, true));
    }
    let decoded = SegmentHeader::peek_identity(&page).and_then(|(volume, segment)| {
        SegmentHeader::decode(&page, &volume, segment).map(|header| (volume, header))
    });
    let (volume, header) = match decoded {
        Ok(decoded) => decoded,
        Err(error) => {
            dump.say(node.problem(error))?;
            return Ok((None, false));
        }
    };
    let node = node
        .text("volume", uuid(volume))
        .value("segment", header.segment)
        .text("generation", header.generation)
        .text("taken", time(header.taken_us));
    let node = match header.previous {
        (Generation::NONE, _) => node,
        (generation, segment) => node
            .value("previous", segment)
            .text("previous_generation", generation)
            .text(
                "previous_end",
                match header.previous_end {
                    SegmentEnd::Unknown => "unknown",
                    SegmentEnd::Sealed => "sealed",
                    SegmentEnd::Abandoned => "abandoned",
                },
            ),
    };
    dump.say(if header.ring {
        node
    } else {
        node.value("ring", false)
    })?;
    let identity = Identity {
        volume,
        segment: header.segment,
        generation: header.generation,
    };
    Ok((Some(identity), false))
}

/// What a segment is whose header is lost: by its directory, else by the first batch that is found.
fn search(subject: &Subject) -> Option<Identity> {
    let number = subject
        .name()
        .strip_suffix(".seg")
        .and_then(|digits| digits.parse().ok());
    let above = subject.path.parent().and_then(Path::parent);
    let last = (subject.len / PAGE).checked_sub(1)? * PAGE;
    if let (Some(segment), Some(superblock)) = (number, above.and_then(superblock_in))
        && let Ok(page) = subject.page(last)
        && let Some(generation) =
            DirectoryTrailer::peek_generation(&page, &superblock.volume, segment)
    {
        return Some(Identity {
            volume: superblock.volume,
            segment,
            generation,
        });
    }
    let window = subject.len.min(WINDOW_LEN_MAX);
    (HEADER_LEN..window).step_by(PAGE as usize).find_map(|at| {
        let page = subject.page(at).ok()?;
        let (volume, segment, generation) = BatchHeader::peek_identity(&page).ok()?;
        Some(Identity {
            volume,
            segment,
            generation,
        })
    })
}

/// The volume's superblock, or for a file that stands alone one that allows everything.
fn superblock(
    subject: &Subject,
    identity: &Identity,
    dump: &mut Dump,
) -> Result<Superblock, CliError> {
    let above = subject.path.parent().and_then(Path::parent);
    let whole = subject.len / PAGE * PAGE;
    let found = above
        .and_then(superblock_in)
        .filter(|superblock| superblock.volume == identity.volume);
    match found {
        Some(superblock) if superblock.segment_len == subject.len => Ok(superblock),
        Some(superblock) => {
            let why = format!(
                "it is {} bytes long instead of {}",
                subject.len, superblock.segment_len
            );
            dump.say(Node::about("file").problem(why))?;
            Ok(Superblock {
                segment_len: superblock.segment_len.min(whole),
                ..superblock
            })
        }
        None => {
            let says = "no superblock of its volume beside it: geometry is taken from the file";
            dump.say(Node::about("file").text("says", says))?;
            Ok(Superblock {
                volume: identity.volume,
                sequence: 0,
                session: u64::from(u32::MAX),
                segment_len: whole.min(SEGMENT_LEN_MAX),
                segment_count: 1,
                batch_len_max: u32::MAX / PAGE as u32 * PAGE as u32,
                window_len: WINDOW_LEN_MAX,
                created_us: 0,
                pool: String::new(),
                refuse_write: 0,
            })
        }
    }
}

struct SegmentDump<'a> {
    walk: Walk<'a>,
    subject: &'a Subject,
    superblock: &'a Superblock,
    identity: &'a Identity,
    frames: bool,
    dump: &'a mut Dump,
}

impl SegmentDump<'_> {
    fn run(mut self) -> Result<(), CliError> {
        let directory = self.walk.directory();
        let listed: &[Item] = match &directory {
            Directory::Items(items) => items,
            _ => &[],
        };
        let trailer = self.trailer();
        let mut at = HEADER_LEN;
        for batch in self.walk.batches() {
            if batch.header.offset > at {
                self.hole(at, batch.header.offset, listed)?;
            }
            at = batch.header.offset + u64::from(batch.header.batch_len);
            self.batch(&batch)?;
        }
        match &trailer {
            Ok(trailer) if trailer.log_end > at => self.hole(at, trailer.log_end, listed)?,
            _ => {
                let why = self.front(at).err();
                let why = why.map_or(String::new(), |why| why.to_string());
                self.dump
                    .say(Node::new("log end", at).text("behind", why))?;
            }
        }
        self.directory(&directory, trailer)
    }

    fn trailer(&self) -> Result<DirectoryTrailer, String> {
        let page = self
            .subject
            .page(self.superblock.segment_len.saturating_sub(PAGE))?;
        let Identity {
            volume,
            segment,
            generation,
        } = self.identity;
        DirectoryTrailer::decode(&page, volume, *segment, *generation)
            .map_err(|error| error.to_string())
    }

    /// Why there is no batch at `offset`.
    fn front(&self, offset: u64) -> Result<(), String> {
        let page = self.subject.page(offset)?;
        let Identity {
            volume,
            segment,
            generation,
        } = self.identity;
        let decoded = BatchHeader::peek_front_len(&page).and_then(|len| {
            let bytes = self.subject.bytes(offset, len as usize);
            let bytes = bytes.map_err(|_| DecodeError::Short {
                what: "batch",
                len: page.len(),
            })?;
            BatchHeader::decode(&bytes, volume, *segment, *generation, offset).map(drop)
        });
        decoded.map_err(|error| error.to_string())
    }

    /// A stretch of the log without a batch that counts; its blocks may still be known from the directory.
    fn hole(&mut self, from: u64, to: u64, listed: &[Item]) -> Result<(), CliError> {
        let why = match self.front(from) {
            Err(why) => why,
            Ok(()) => "it does not follow the batch before".to_owned(),
        };
        let node = Node::new("hole", from).value("len", to - from);
        self.dump.say(node.problem(why))?;
        for item in listed {
            if let Item::Block(_, BlockRow { place, .. })
            | Item::Chapter(_, ChapterRow { place, .. }) = item
                && (from..to).contains(&place.offset)
            {
                self.item(item)?;
            }
        }
        Ok(())
    }

    fn batch(&mut self, batch: &FoundBatch) -> Result<(), CliError> {
        let header = &batch.header;
        self.dump.say(
            Node::new("batch", header.offset)
                .value("number", header.number)
                .value("session", header.session)
                .value("synced", header.synced)
                .value("len", header.batch_len)
                .value("front_len", header.front_len)
                .value("items", header.item_count)
                .text("written", time(header.written_us)),
        )?;
        for item in &batch.items {
            self.item(item)?;
        }
        Ok(())
    }

    fn item(&mut self, item: &Item) -> Result<(), CliError> {
        match item {
            Item::Description(run, packed) => self.description(*run, packed),
            Item::Block(run, row) => self.block(*run, row),
            Item::Chapter(run, row) => self.chapter(*run, row),
        }
    }

    fn description(&mut self, run: RunId, packed: &[u8]) -> Result<(), CliError> {
        let node = Node::about("run")
            .inside(1)
            .text("stream", run.stream)
            .text("run", run.run);
        self.dump.say(match RunDescription::decode(packed) {
            Err(error) => node.problem(error),
            Ok(run) => {
                let tracks = run.tracks.tracks.iter().map(|track| match &track.video {
                    Some(video) => {
                        format!("{} {}x{}", track.codec.name(), video.width, video.height)
                    }
                    None => track.codec.name().to_owned(),
                });
                node.text("camera", run.camera)
                    .text("name", run.name)
                    .text("kind", run.stream)
                    .text("start_cause", run.start_cause)
                    .text("started", run.started)
                    .value("clock_synchronised", run.clock.synchronised)
                    .value("tracks", tracks.collect::<Vec<_>>())
            }
        })
    }

    fn bytes_at(&self, place: &Place) -> Result<bytes::Bytes, String> {
        self.subject.bytes(place.offset, place.len as usize)
    }

    fn block(&mut self, run: RunId, row: &BlockRow) -> Result<(), CliError> {
        let node = Node::new("block", row.place.offset)
            .inside(1)
            .value("len", row.place.len)
            .text("stream", run.stream)
            .text("run", run.run)
            .value("number", row.number)
            .text("first", row.first)
            .text("end", row.end);
        let frames = match row.frames() {
            Ok(frames) => frames,
            Err(error) => return self.dump.say(node.problem(error)),
        };
        let node = node.value("frames", frames.len());
        let address = Address::of(self.identity.volume, &row.place);
        let bytes = self.bytes_at(&row.place);
        let block = match &bytes {
            Ok(bytes) => {
                Block::verify(bytes, address, row.head_crc).map_err(|error| error.to_string())
            }
            Err(why) => Err(why.clone()),
        };
        let verify = |index: usize, from: usize, len: u32| match &block {
            Ok(block) => block
                .frame(index as u32, from..from.saturating_add(len as usize))
                .map(drop)
                .map_err(|error| error.to_string()),
            Err(_) => Ok(()),
        };
        let mut from = 0usize;
        let mut nodes = Vec::new();
        let mut bad = 0;
        for (index, frame) in frames.iter().enumerate() {
            let verified = verify(index, from, frame.size);
            bad += usize::from(verified.is_err());
            if self.frames {
                let at = row.place.offset + u64::from(row.head_len) + from as u64;
                let node = Node::new("frame", at)
                    .inside(2)
                    .value("track", frame.track.0)
                    .text("kind", format!("{:?}", frame.kind).to_lowercase())
                    .text("time", frame.time)
                    .value("size", frame.size);
                nodes.push(match verified {
                    Ok(()) => node,
                    Err(why) => node.problem(why),
                });
            }
            from = from.saturating_add(frame.size as usize);
        }
        self.dump.say(match &block {
            Err(why) => node.problem(why),
            Ok(block) if block.kind() != BlockKind::Frames => node.problem("it is a chapter"),
            Ok(_) if bad > 0 => node.problem(format!("{bad} frames are not what was recorded")),
            Ok(_) => node,
        })?;
        nodes.into_iter().try_for_each(|node| self.dump.say(node))
    }

    fn chapter(&mut self, run: RunId, row: &ChapterRow) -> Result<(), CliError> {
        let node = Node::new("chapter", row.place.offset)
            .inside(1)
            .value("len", row.place.len)
            .text("stream", run.stream)
            .text("run", run.run)
            .value("number", row.number)
            .value("blocks", row.count)
            .text("first", row.first)
            .text("end", row.end)
            .text("oldest", row.oldest)
            .text("start_cause", row.start_cause)
            .text(
                "end_cause",
                row.end_cause.map_or("none", |cause| cause.name()),
            );
        let address = Address::of(self.identity.volume, &row.place);
        let chapter = self.bytes_at(&row.place).and_then(|bytes| {
            Chapter::decode(&bytes, address, run, row.number).map_err(|error| error.to_string())
        });
        let chapter = match chapter {
            Ok(chapter) => chapter,
            Err(why) => return self.dump.say(node.problem(why)),
        };
        self.dump.say(node)?;
        if !self.frames {
            return Ok(());
        }
        for row in &chapter.rows {
            self.dump.say(
                Node::new("row", row.place.offset)
                    .inside(2)
                    .value("segment", row.place.segment)
                    .text("generation", row.place.generation)
                    .value("len", row.place.len)
                    .value("number", row.number)
                    .text("first", row.first)
                    .text("end", row.end),
            )?;
        }
        Ok(())
    }

    fn directory(
        &mut self,
        directory: &Directory,
        trailer: Result<DirectoryTrailer, String>,
    ) -> Result<(), CliError> {
        let at = self.superblock.segment_len.saturating_sub(PAGE);
        let node = Node::new("directory", at);
        let node = match &trailer {
            Ok(trailer) => node
                .value("items_offset", trailer.items_offset)
                .value("items_len", trailer.items_len)
                .value("batches", trailer.batch_count)
                .value("session", trailer.session)
                .value("log_end", trailer.log_end)
                .text("sealed", time(trailer.sealed_us)),
            Err(why) => node.text("says", format!("not sealed in this life ({why})")),
        };
        self.dump.say(match directory {
            Directory::Items(items) => node.value("items", items.len()),
            Directory::Damaged => node.problem("its items are not intact"),
            Directory::None => node,
        })
    }
}
