//! Goal: reports stand on the wire as RFC 3550 draws them, and nothing a client sends is more than a refused datagram.

use super::{ReceiverReport, ReportBlock, SenderReport, parse};
use crate::base::{Micros, UnixMicros, seed::Seed};

fn report() -> SenderReport {
    SenderReport {
        ssrc: 0x0102_0304,
        instant: Some((UnixMicros::from_ntp(0xe000_0000_4000_0000), 0x0a0b_0c0d)),
        packets: 7,
        octets: 9_000,
    }
}

#[test]
fn a_report_with_its_name_and_bye_is_what_the_rfc_draws() {
    let bytes = report().encode("nvring", true);
    let expected = [
        &[0x80, 200, 0, 6, 1, 2, 3, 4][..],
        &[0xe0, 0, 0, 0, 0x40, 0, 0, 0, 0x0a, 0x0b, 0x0c, 0x0d],
        &[0, 0, 0, 7, 0, 0, 0x23, 0x28],
        &[0x81, 202, 0, 4, 1, 2, 3, 4, 1, 6],
        b"nvring",
        &[0; 4][..],
        &[0x81, 203, 0, 1, 1, 2, 3, 4],
    ];
    // 4 + 2 + 6 bytes fill three words, so the zero that ends the list takes a fourth.
    assert_eq!(bytes, expected.concat());
    for len in 0..300 {
        let bytes = report().encode(&"n".repeat(len), true);
        assert!(bytes.len().is_multiple_of(4));
        assert!(parse(&bytes).unwrap().bye, "a name of {len}");
    }
}

#[test]
fn a_client_at_its_own_pace_gets_no_clock() {
    let report = SenderReport {
        instant: None,
        ..report()
    };
    assert_eq!(report.encode("", false)[8..20], [0; 12]);
}

#[test]
fn a_receivers_report_is_read() {
    let now: UnixMicros = "2026-11-23T14:00:02Z".parse().unwrap();
    let sent = (now - Micros::from_secs(2)).to_ntp();
    let mut bytes = vec![0x81, 201, 0, 7, 9, 9, 9, 9, 1, 2, 3, 4];
    bytes.extend_from_slice(&[64, 0xff, 0xff, 0xfe, 0, 1, 0, 2, 0, 0, 0, 90]);
    bytes.extend_from_slice(&((sent >> 16) as u32).to_be_bytes());
    bytes.extend_from_slice(&(65_536u32 * 3 / 2).to_be_bytes());
    let heard = parse(&bytes).unwrap();
    let [block] = heard.blocks[..] else {
        panic!("{heard:?}");
    };
    assert_eq!(
        (block.ssrc, block.fraction_lost, block.lost),
        (0x0102_0304, 64, -2)
    );
    assert_eq!((block.highest_sequence, block.jitter), (65_538, 90));
    assert_eq!(block.last_report, (sent >> 16) as u32);
    assert_eq!(block.since_last_report, 65_536 * 3 / 2);
}

#[test]
fn what_a_receiver_reports_is_read_as_it_was_meant() {
    let block = ReportBlock {
        ssrc: 0x0102_0304,
        fraction_lost: 64,
        lost: -2,
        highest_sequence: 65_538,
        jitter: 90,
        last_report: 0x1122_3344,
        since_last_report: 65_536,
    };
    for count in [0, 1, 3, 31, 40] {
        let report = ReceiverReport {
            ssrc: 9,
            blocks: vec![block; count],
        };
        let heard = parse(&report.encode("nvring", true)).unwrap();
        assert_eq!(heard.blocks, vec![block; count.min(31)]);
        assert!(heard.bye);
        assert!(!parse(&report.encode("nvring", false)).unwrap().bye);
    }
}

#[test]
fn what_is_not_whole_is_refused() {
    let bytes = report().encode("camera", true);
    let ends = [28, 48, bytes.len()];
    for len in 0..=bytes.len() {
        assert_eq!(parse(&bytes[..len]).is_ok(), ends.contains(&len), "{len}");
    }
    assert!(parse(&[0x40, 201, 0, 1, 0, 0, 0, 0]).is_err(), "version 1");
    assert!(
        parse(&[0x82, 201, 0, 1, 0, 0, 0, 0]).is_err(),
        "two blocks that are not there"
    );
}

#[test]
fn random_bytes_never_panic_and_never_grow() {
    let seed = 3550;
    println!("SEED={seed}");
    let mut seed = Seed::new(seed);
    for _ in 0..20_000 {
        let mut bytes = vec![0; seed.below(1500) as usize];
        seed.fill(&mut bytes);
        for word in bytes.chunks_mut(32) {
            if let [first, kind, high, low, ..] = word {
                (*first, *kind, *high, *low) = (0x80 | *first & 0x1f, 200 + *kind % 5, 0, *low % 8);
            }
        }
        if let Ok(heard) = parse(&bytes) {
            assert!(heard.blocks.len() <= super::BLOCKS_MAX);
        }
    }
}
