//! Another version of the format: each structure says which release reads it, and is not taken for damage.

use crate::{committed, folder, laid, recipe};
use nvring::format::{
    DecodeError, PAGE, VERSION,
    batch::BatchHeader,
    block::{Address, Block},
    directory::DirectoryTrailer,
    index::{FILE, IndexLayout},
    readers_of,
    segment::{SegmentHeader, file_name},
    superblock::Superblock,
};

/// The bytes with `version` in their header and the checksums at `crcs` (over what lies before each, then behind it up to `len`) made good.
fn of_version(bytes: &[u8], version: u16, len: usize, crcs: &[usize]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes[8..10].copy_from_slice(&version.to_le_bytes());
    for at in crcs {
        let behind = if *at + 4 < len && *at == 124 {
            &bytes[128..len]
        } else {
            &[]
        };
        let crc = nvring::format::checksum(&[&bytes[..*at], behind]);
        bytes[*at..*at + 4].copy_from_slice(&crc.to_le_bytes());
    }
    bytes
}

#[test]
fn every_structure_of_another_version_names_the_release_that_reads_it() {
    let id = recipe::volume().superblock.volume;
    let sealed = &committed()[&file_name(0)];
    let batch = &laid().batches[0][0].header;
    let (_, row, _) = &laid().blocks[0];
    let trailer = &laid().trailers[&0];
    for version in [0, VERSION + 1, u16::MAX] {
        let superblock = of_version(&committed()["superblock"], version, 256, &[252]);
        let header = of_version(sealed, version, 256, &[252]);
        let front = of_version(
            &sealed[batch.offset as usize..],
            version,
            batch.front_len as usize,
            &[120, 124],
        );
        let block = of_version(
            &sealed[row.place.offset as usize..],
            version,
            row.head_len as usize,
            &[124],
        );
        let directory = of_version(
            &sealed[sealed.len() - PAGE as usize..],
            version,
            128,
            &[124],
        );
        let index = of_version(&committed()[FILE], version, 128, &[124]);
        let (segment, generation) = (batch.segment, batch.generation);
        let errors = [
            Superblock::decode(&superblock, 0).unwrap_err(),
            Superblock::choose(&superblock[..PAGE as usize]).unwrap_err(),
            SegmentHeader::decode(&header, &id, 0).unwrap_err(),
            BatchHeader::peek_front_len(&front).unwrap_err(),
            BatchHeader::decode(&front, &id, segment, generation, batch.offset).unwrap_err(),
            Block::verify_place(&block, Address::of(id, &row.place)).unwrap_err(),
            DirectoryTrailer::decode(&directory, &id, 0, trailer.generation).unwrap_err(),
            IndexLayout::peek(&index).unwrap_err(),
        ];
        for error in errors {
            assert!(
                matches!(error, DecodeError::Version { found, .. } if found == version),
                "{error:?}"
            );
            let words = error.to_string();
            assert!(words.contains(&format!("version {version}")), "{words}");
            assert!(
                words.contains("or a newer one") == (version > VERSION),
                "{words}"
            );
            assert!(
                words.contains(&format!("reads version {VERSION}")),
                "{words}"
            );
        }
    }
}

/// Every version that has a golden folder is read by some release, and this one reads the newest.
#[test]
fn each_golden_version_has_its_releases() {
    let folders = std::fs::read_dir(folder(1).parent().unwrap()).unwrap();
    let versions = folders.filter_map(|entry| {
        let name = entry.unwrap().file_name().into_string().unwrap();
        name.strip_prefix('v')?.parse::<u16>().ok()
    });
    let versions: Vec<u16> = versions.collect();
    for version in 1..=VERSION {
        assert!(versions.contains(&version), "tests/golden/v{version}");
        let releases = readers_of(version).expect("a version is read by some release");
        assert!(
            releases.starts_with(|digit: char| digit.is_ascii_digit()),
            "{releases}"
        );
    }
    assert!(
        versions.iter().all(|version| *version <= VERSION),
        "{versions:?}"
    );
    assert_eq!(readers_of(VERSION + 1), None);
}
