//! What receivers report (RFC 3550 §6.4.2), and whether it can be true of what was sent.

use crate::session::{Session, Track};

const RECEIVER_REPORT: u8 = 201;
const BYE: u8 = 203;
const BLOCK_LEN: usize = 24;
/// Packets that may be on their way or in the receiver's hands when it reports.
const BEHIND_MAX: u16 = 3_000;

impl Session {
    /// Takes what the receiver of this session sends as RTCP; `now_ntp` is the camera's clock, in 1/65536 s.
    pub(crate) fn hear(&mut self, mut bytes: &[u8], now_ntp: u32) {
        while let [first, kind, high, low, ..] = *bytes {
            let len = 4 + 4 * usize::from(u16::from_be_bytes([high, low]));
            let Some(packet) = bytes.get(..len).filter(|_| first >> 6 == 2) else {
                self.report.reports_wrong += 1;
                return;
            };
            bytes = &bytes[len..];
            if kind == BYE {
                self.report.byes += 1;
            }
            let blocks = packet.get(8..).filter(|_| kind == RECEIVER_REPORT);
            let blocks = blocks.unwrap_or_default().chunks_exact(BLOCK_LEN);
            for block in blocks.take(usize::from(first & 31)) {
                self.hear_block(block, now_ntp);
            }
        }
    }

    fn hear_block(&mut self, block: &[u8], now_ntp: u32) {
        let words: Vec<u32> = block
            .chunks_exact(4)
            .map(|word| u32::from_be_bytes([word[0], word[1], word[2], word[3]]))
            .collect();
        let tracks = [&self.video, &self.sound];
        let track = tracks
            .into_iter()
            .flatten()
            .find(|track| track.ssrc == words[0]);
        let Some(track) = track.filter(|track| can_be_of(track, &words)) else {
            self.report.reports_wrong += 1;
            return;
        };
        self.report.reports += 1;
        self.report.reported_lost = (words[1] << 8) as i32 >> 8;
        if track.last_report != 0 && words[4] == track.last_report {
            let there_and_back = now_ntp.wrapping_sub(words[4]).wrapping_sub(words[5]);
            self.report.round_trip_us = Some(u64::from(there_and_back) * 1_000_000 / 65_536);
        }
    }
}

/// The highest sequence number is one of the newest, and the sender report, if any, one of the last two.
fn can_be_of(track: &Track, words: &[u32]) -> bool {
    let behind = track.sequence.wrapping_sub(words[2] as u16);
    let known = [0, track.last_report, track.report_before];
    (1..BEHIND_MAX).contains(&behind) && known.contains(&words[4])
}
