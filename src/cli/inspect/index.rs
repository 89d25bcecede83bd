//! The index: its checkpoints, and how many of its records are intact. Beside a running server its records may be in the middle of a
//! change; what is torn then is intact when looked at again.

use super::{
    Subject,
    dump::{Dump, Node},
    time, uuid,
};
use crate::{
    cli::error::CliError,
    format::{
        PAGE,
        index::{ChapterRecord, IndexLayout, Record, STREAMS_MAX, SegmentRecord, StreamRecord},
        place::Generation,
        superblock::VolumeId,
    },
    media::GapCause,
};
use bytes::Bytes;
use std::{collections::HashMap, ops::Range};

/// Chapter records are read in pieces of so many.
const CHAPTERS_AT_ONCE: u32 = 16_384;

/// Records of one kind.
#[derive(Default)]
struct Count {
    intact: u32,
    empty: u32,
    torn: u32,
}

impl Count {
    fn node(&self, what: &'static str, offset: usize) -> Node {
        Node::new(what, offset as u64)
            .value("intact", self.intact)
            .value("empty", self.empty)
            .value("torn", self.torn)
    }
}

pub(super) fn dump(subject: &Subject, all: bool, dump: &mut Dump) -> Result<(), CliError> {
    let mut newest: Option<(u64, VolumeId, IndexLayout)> = None;
    for offset in [0, PAGE] {
        let node = Node::new("index checkpoint", offset);
        let page = subject.page(offset);
        if page.as_ref().is_ok_and(|page| blank(page)) {
            dump.say(node.text("says", "never written"))?;
            continue;
        }
        let peeked =
            page.and_then(|page| IndexLayout::peek(&page).map_err(|error| error.to_string()));
        match peeked {
            Ok((volume, layout, checkpoint)) => {
                dump.say(
                    node.text("volume", uuid(volume))
                        .value("sequence", checkpoint.sequence)
                        .text("covered", checkpoint.covered)
                        .text("replay_from", checkpoint.replay_from)
                        .value("segments", layout.segment_count()),
                )?;
                if newest.is_none_or(|(sequence, ..)| checkpoint.sequence > sequence) {
                    newest = Some((checkpoint.sequence, volume, layout));
                }
            }
            Err(why) => dump.say(node.problem(why))?,
        }
    }
    let found = newest.map(|(_, volume, layout)| (volume, layout));
    let Some((volume, layout)) = found.or_else(|| beside(subject)) else {
        return dump.say(Node::about("index").text(
            "says",
            "without a checkpoint or the volume's superblock its records cannot be read; it is made again at the next start",
        ));
    };
    let mut records = Records {
        subject,
        volume,
        layout,
        all,
        dump,
    };
    records.segments()?;
    let streams = records.streams()?;
    records.chapters(&streams)
}

/// Volume and geometry from the superblock beside the index.
fn beside(subject: &Subject) -> Option<(VolumeId, IndexLayout)> {
    let superblock = super::segment::superblock_in(subject.path.parent()?)?;
    Some((
        superblock.volume,
        IndexLayout::new(superblock.segment_count),
    ))
}

fn blank(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| *byte == 0)
}

struct Records<'a> {
    subject: &'a Subject,
    volume: VolumeId,
    layout: IndexLayout,
    all: bool,
    dump: &'a mut Dump,
}

impl Records<'_> {
    /// The bytes of a range of records, empty where the file is shorter.
    fn bytes(&self, range: Range<usize>) -> Bytes {
        self.subject
            .bytes(range.start as u64, range.len())
            .unwrap_or_default()
    }

    fn segments(&mut self) -> Result<(), CliError> {
        let mut count = Count::default();
        for number in 0..self.layout.segment_count() {
            let range = self.layout.segment(number);
            let bytes = self.bytes(range.clone());
            let node = Node::new("segment record", range.start as u64).value("segment", number);
            match SegmentRecord::load(&self.volume, number, &[], &bytes) {
                Some(record) => {
                    count.intact += 1;
                    if self.all {
                        self.dump.say(
                            node.text("generation", Generation(record.generation.get()))
                                .text("taken", time(record.taken_us.get()))
                                .value("chapters", record.chapters.get())
                                .value("quarantined", record.state == 1),
                        )?;
                    }
                }
                None if blank(&bytes) && !bytes.is_empty() => count.empty += 1,
                None => {
                    count.torn += 1;
                    self.dump.say(node.problem("torn"))?;
                }
            }
        }
        let at = self.layout.segment(0).start;
        self.dump.say(count.node("segment records", at))
    }

    fn streams(&mut self) -> Result<HashMap<u32, [u8; 16]>, CliError> {
        let mut count = Count::default();
        let mut streams = HashMap::new();
        for number in 0..STREAMS_MAX {
            let range = self.layout.stream(number);
            let bytes = self.bytes(range.clone());
            let node = Node::new("stream record", range.start as u64).value("number", number);
            match StreamRecord::load(&self.volume, number, &[], &bytes) {
                Some(record) => {
                    count.intact += 1;
                    streams.insert(number, record.stream);
                    self.dump.say(
                        node.text("stream", uuid(record.stream))
                            .text("camera", record.camera())
                            .text("name", record.name())
                            .text("kind", record.kind()),
                    )?;
                }
                None if blank(&bytes) && !bytes.is_empty() => count.empty += 1,
                None => {
                    count.torn += 1;
                    self.dump.say(node.problem("torn"))?;
                }
            }
        }
        let at = self.layout.stream(0).start;
        self.dump.say(count.node("stream records", at))?;
        Ok(streams)
    }

    fn chapters(&mut self, streams: &HashMap<u32, [u8; 16]>) -> Result<(), CliError> {
        let len = usize::try_from(self.subject.len).unwrap_or(usize::MAX);
        let capacity = self.layout.chapters(len);
        let mut count = Count::default();
        let mut first = 0;
        while first < capacity {
            let behind = first.saturating_add(CHAPTERS_AT_ONCE).min(capacity);
            let start = self.layout.chapter(first).start;
            let bytes = self.bytes(start..self.layout.chapter(behind).start);
            for position in first..behind {
                let range = self.layout.chapter(position);
                let at = range.start as u64;
                let record = bytes.get(range.start - start..range.end - start);
                self.chapter(
                    position,
                    at,
                    record.unwrap_or_default(),
                    streams,
                    &mut count,
                )?;
            }
            first = behind;
        }
        let at = self.layout.chapter(0).start;
        self.dump.say(count.node("chapter records", at))
    }

    fn chapter(
        &mut self,
        position: u32,
        offset: u64,
        bytes: &[u8],
        streams: &HashMap<u32, [u8; 16]>,
        count: &mut Count,
    ) -> Result<(), CliError> {
        let node = Node::new("chapter record", offset).value("position", position);
        let salt = ChapterRecord::stream_of(bytes).and_then(|number| streams.get(&number));
        let record = salt.and_then(|salt| ChapterRecord::load(&self.volume, position, salt, bytes));
        let Some(record) = record else {
            if blank(bytes) && !bytes.is_empty() {
                count.empty += 1;
                return Ok(());
            }
            count.torn += 1;
            return self
                .dump
                .say(node.problem("torn, or of a stream whose record is"));
        };
        count.intact += 1;
        if !self.all {
            return Ok(());
        }
        let first = record.first_us.get();
        let cause = |number: u8| match GapCause::from_number(number) {
            Some(cause) => cause.name(),
            None => "none",
        };
        self.dump.say(
            node.value("stream", record.stream.get())
                .text("run", time(record.run.get()))
                .text("first", time(first))
                .text(
                    "end",
                    time(first.saturating_add(i64::from(record.span_us.get()))),
                )
                .value("number", record.number.get())
                .value("blocks", record.count.get())
                .text("generation", Generation(record.generation.get()))
                .text("oldest", Generation(record.oldest.get()))
                .value("at", u64::from(record.offset16.get()) * 16)
                .value("len", record.len.get())
                .text("start_cause", cause(record.start_cause))
                .text("end_cause", cause(record.end_cause)),
        )
    }
}
