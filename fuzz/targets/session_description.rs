//! Property: no `a=rtpmap` and `a=fmtp` makes a depacketiser's start panic.
#![no_main]

use libfuzzer_sys::fuzz_target;
use nvring::media::Depacketiser;

// Input: encoding name, clock rate, channels and format parameters, by lines.
fuzz_target!(|text: &str| {
    let mut lines = text.splitn(4, '\n');
    let encoding = lines.next().unwrap_or("");
    let mut number = || lines.next().and_then(|line| line.parse::<u32>().ok());
    let clock_rate = number().unwrap_or(90_000);
    let channels = number().map(|channels| channels as u16);
    if let Ok(depacketiser) = Depacketiser::new(encoding, clock_rate, channels, lines.next()) {
        let _ = depacketiser.track();
    }
});
