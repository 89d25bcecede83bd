//! The name a file is saved under (`Content-Disposition`, RFC 6266): the camera's own, in its own letters, with one in ASCII beside it.
//!
//! Operators' cameras have Vietnamese names. `filename*` holds them as they are (RFC 8187); `filename`, for clients that do not know it,
//! without tones and letter marks. Signs that some file system refuses become `_`.

use crate::base::UnixMicros;
use std::fmt::Write;
use unicode_normalization::{UnicodeNormalization, char::is_combining_mark};

/// Most characters of a camera's name in a file's.
const NAME_CHARS_MAX: usize = 80;

/// What a browser does with a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::api) enum Shown {
    /// It saves it.
    Saved,
    /// It shows it, and saves it under the name when asked to.
    Inline,
}

/// The value of the header for what `camera` shows at `times`: `Cổng chính_20261123T140000Z.mp4`.
pub(in crate::api) fn disposition(
    shown: Shown,
    camera: &str,
    times: &[UnixMicros],
    extension: &str,
) -> String {
    let mut name: String = camera.nfc().map(safe).take(NAME_CHARS_MAX).collect();
    for time in times {
        let _ = write!(name, "_{}", compact(*time));
    }
    let _ = write!(name, ".{extension}");
    let kind = match shown {
        Shown::Saved => "attachment",
        Shown::Inline => "inline",
    };
    let plain = ascii(&name);
    if plain == name {
        return format!("{kind}; filename=\"{plain}\"");
    }
    format!(
        "{kind}; filename=\"{plain}\"; filename*=UTF-8''{}",
        encoded(&name)
    )
}

/// `20261123T140000Z`, with a fraction where there is one.
fn compact(time: UnixMicros) -> String {
    let text = time.to_string().replace([':', '-'], "");
    match text.split_once('.') {
        Some((seconds, fraction)) => {
            let fraction = fraction.trim_end_matches('Z').trim_end_matches('0');
            let dot = if fraction.is_empty() { "" } else { "." };
            format!("{seconds}{dot}{fraction}Z")
        }
        None => text,
    }
}

/// Signs that FAT, NTFS or a shell take for something else.
fn safe(c: char) -> char {
    if c.is_control() || "/\\:*?\"<>|%".contains(c) {
        '_'
    } else {
        c
    }
}

fn ascii(name: &str) -> String {
    let letters = name.nfd().filter(|c| !is_combining_mark(*c));
    let plain = letters.map(|c| match c {
        'đ' => 'd',
        'Đ' => 'D',
        c if c.is_ascii_graphic() || c == ' ' => c,
        _ => '_',
    });
    plain.collect()
}

/// RFC 8187 §3.2.1: what is not an `attr-char` is escaped.
fn encoded(name: &str) -> String {
    let mut text = String::new();
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"!#$&+-.^_`|~".contains(&byte) {
            text.push(char::from(byte));
        } else {
            let _ = write!(text, "%{byte:02X}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: UnixMicros = UnixMicros(1_795_442_400_000_000);

    #[test]
    fn vietnamese_names_are_kept_and_have_a_plain_form() {
        let value = disposition(Shown::Saved, "Cổng Đông", &[AT], "mp4");
        let expected = "attachment; filename=\"Cong Dong_20261123T140000Z.mp4\"; \
                        filename*=UTF-8''C%E1%BB%95ng%20%C4%90%C3%B4ng_20261123T140000Z.mp4";
        assert_eq!(value, expected);
        // Decomposed letters are the same name.
        let decomposed: String = "Cổng Đông".nfd().collect();
        assert_eq!(
            disposition(Shown::Saved, &decomposed, &[AT], "mp4"),
            expected
        );
    }

    #[test]
    fn a_name_cannot_lead_out_of_the_folder_or_the_header() {
        let value = disposition(Shown::Inline, "../a\"b\r\nc:d%41", &[], "mp4");
        assert_eq!(value, "inline; filename=\".._a_b__c_d_41.mp4\"");
        let long = disposition(Shown::Inline, &"門".repeat(500), &[AT, AT], "mp4");
        assert!(long.len() < 1000, "{}", long.len());
        assert!(long.contains("filename=\"____"), "{long}");
        assert!(axum::http::HeaderValue::from_str(&long).is_ok());
    }

    #[test]
    fn fractions_are_told_where_there_are_some() {
        let half = UnixMicros(AT.0 + 500_000);
        assert_eq!(compact(half), "20261123T140000.5Z");
        assert_eq!(compact(AT), "20261123T140000Z");
    }
}
