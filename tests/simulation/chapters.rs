//! Goal: a chapter that rots hides nothing for longer than it takes to rebuild the index (docs/format.md, C12).
//! Method: the recording of `cuts`, stopped; one bit of each of its chapters in turn, then the index made anew: all is listed as before.

use crate::{cuts, memory::Remains};
use nvring::{
    base::{TimeRange, seed::Seed},
    format::{place::Place, segment::file_name},
    store::index::PieceSource,
};

#[test]
fn a_rebuild_lists_the_blocks_of_a_rotten_chapter() {
    let mut case = cuts::recorder();
    assert_eq!(
        cuts::record(&mut case, u64::MAX),
        None,
        "it comes to its end"
    );
    let mut random = Seed::new(3);
    let left = case.site.left(false, &mut random);
    let places: Vec<Place> = {
        let index = case.site.volumes[0].shared.index();
        let streams = index.streams();
        let pieces = streams
            .iter()
            .flat_map(|(stream, _)| index.pieces(*stream, TimeRange::ALL));
        pieces
            .filter_map(|piece| match piece.source {
                PieceSource::Chapter(place) => Some(place),
                PieceSource::Rows(_) => None,
            })
            .collect()
    };
    // In the open segment the walk verifies them; a sealed one is taken at its directory's word.
    let newest = places.iter().map(|place| place.generation).max();
    let sealed = |place: &&Place| Some(place.generation) != newest;
    assert!(places.iter().any(|place| sealed(&place)), "{places:?}");
    let base = case.look(&left, Remains::Lost, false);
    for place in places {
        let copy = left.copy(Remains::Lost, &mut random);
        let range = place.offset..place.offset + u64::from(place.len);
        copy.disks[0].rot(&file_name(place.segment), range, 1, &mut random);
        let other = case.look(&copy, Remains::Lost, false);
        base.assert_same(&other, &format!("rot in the chapter at {place}"));
    }
}
