//! The four copies of a superblock.

use super::{Subject, dump::Dump, dump::Node, time, uuid};
use crate::{
    cli::error::CliError,
    format::{
        PAGE,
        superblock::{COPIES, FILE_LEN, Superblock},
    },
};

pub(super) fn dump(subject: &Subject, dump: &mut Dump) -> Result<(), CliError> {
    let mut pages = Vec::new();
    for copy in 0..COPIES {
        let offset = u64::from(copy) * PAGE;
        let node = Node::new("superblock", offset).value("copy", copy);
        let page = subject.page(offset);
        pages.extend_from_slice(page.as_deref().unwrap_or(&[0; PAGE as usize]));
        let decoded = page
            .and_then(|page| Superblock::decode(&page, copy).map_err(|error| error.to_string()));
        dump.say(match decoded {
            Ok(superblock) => fields(node, &superblock),
            Err(why) => node.problem(why),
        })?;
    }
    if subject.len != FILE_LEN {
        let why = format!(
            "the file is {} bytes long instead of {FILE_LEN}",
            subject.len
        );
        dump.say(Node::about("file").problem(why))?;
    }
    if let Err(why) = Superblock::choose(&pages) {
        let node = Node::about("volume").problem(format!("no copy can be used: {why}"));
        dump.say(node)?;
    }
    Ok(())
}

fn fields(node: Node, superblock: &Superblock) -> Node {
    let node = node
        .text("volume", uuid(superblock.volume))
        .value("sequence", superblock.sequence)
        .value("session", superblock.session)
        .value("segment_len", superblock.segment_len)
        .value("segment_count", superblock.segment_count)
        .value("batch_len_max", superblock.batch_len_max)
        .value("window_len", superblock.window_len)
        .text("created", time(superblock.created_us))
        .text("pool", &superblock.pool);
    if superblock.refuse_write == 0 {
        node
    } else {
        node.text("refuse_write", format!("{:#x}", superblock.refuse_write))
    }
}
