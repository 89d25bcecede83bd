//! The streams of a volume, by name, and what the index holds of each.

use super::{Index, OpenChapter, chapter_list::ChapterList};
use crate::{
    format::{
        description::RunDescription,
        index::{Record, STREAMS_MAX, StreamRecord},
    },
    media::StreamId,
};
use std::{collections::BTreeSet, sync::Arc};

/// Whose stream it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamName {
    /// The camera's id.
    pub camera: String,
    /// Its name for people.
    pub name: String,
    /// `main` or `sub`.
    pub kind: String,
}

#[derive(Debug)]
pub(super) struct StreamIndex {
    pub(super) number: u32,
    pub(super) name: StreamName,
    /// Chapters with a record.
    pub(super) chapters: ChapterList,
    /// Full chapters that are not on disk yet, oldest first.
    pub(super) closing: Vec<Arc<OpenChapter>>,
    pub(super) open: Option<Arc<OpenChapter>>,
}

impl StreamIndex {
    pub(super) fn new(number: u32, name: StreamName) -> Self {
        Self {
            number,
            name,
            chapters: ChapterList::default(),
            closing: Vec::new(),
            open: None,
        }
    }

    /// The chapters that are not on disk yet.
    pub(super) fn unlisted(&self) -> impl Iterator<Item = &Arc<OpenChapter>> {
        self.closing.iter().chain(&self.open)
    }
}

impl Index {
    /// Enters a stream, or its new name.
    pub(super) fn stream_mut(&mut self, id: StreamId, packed: &[u8]) -> &mut StreamIndex {
        let known = self
            .streams
            .get(&id)
            .map(|stream| (stream.number, stream.name.clone()));
        let name = match (RunDescription::decode(packed), &known) {
            (Ok(run), _) => StreamName {
                camera: run.camera,
                name: run.name,
                kind: run.stream,
            },
            (Err(_), Some((_, name))) => name.clone(),
            (Err(_), None) => StreamName {
                camera: id.to_string(),
                name: String::new(),
                kind: String::new(),
            },
        };
        if known.as_ref().map(|(_, name)| name) != Some(&name) {
            let number = match known {
                Some((number, _)) => number,
                None => self.free_stream_number(),
            };
            if number < STREAMS_MAX {
                let record = StreamRecord::new(id.0, &name.camera, &name.name, &name.kind);
                let range = self.layout.stream(number);
                record.store(
                    &self.volume,
                    number,
                    &[],
                    &mut self.memory.bytes_mut()[range],
                );
            }
            let fresh = StreamIndex::new(number, name.clone());
            self.numbers.insert(number, id);
            self.streams.entry(id).or_insert(fresh).name = name;
        }
        self.streams.get_mut(&id).expect("entered above")
    }

    /// The lowest free number; `STREAMS_MAX` when all are taken by streams that still have recordings: such a stream is listed
    /// from memory only and found again by a rebuild.
    fn free_stream_number(&mut self) -> u32 {
        let used: BTreeSet<u32> = self.streams.values().map(|stream| stream.number).collect();
        if let Some(number) = (0..STREAMS_MAX).find(|number| !used.contains(number)) {
            return number;
        }
        let idle = |stream: &StreamIndex| {
            stream.chapters.is_empty() && stream.closing.is_empty() && stream.open.is_none()
        };
        let gone = self
            .streams
            .iter()
            .find(|(_, stream)| idle(stream))
            .map(|(id, stream)| (*id, stream.number));
        match gone {
            Some((id, number)) => {
                self.streams.remove(&id);
                self.numbers.remove(&number);
                number
            }
            None => STREAMS_MAX,
        }
    }

    /// All streams with a recording, by camera.
    pub fn streams(&self) -> Vec<(StreamId, StreamName)> {
        let listed = |stream: &StreamIndex| {
            !stream.chapters.is_empty() || !stream.closing.is_empty() || stream.open.is_some()
        };
        let mut streams: Vec<_> = self
            .streams
            .iter()
            .filter(|(_, stream)| listed(stream))
            .map(|(id, stream)| (*id, stream.name.clone()))
            .collect();
        streams.sort_by(|(a, x), (b, y)| (&x.camera, &x.kind, a).cmp(&(&y.camera, &y.kind, b)));
        streams
    }
}
