//! How names are normalised, ordered and found: full UTF-8, with the Vietnamese alphabet in its own order.
//!
//! The operators' names and places are Vietnamese (`Yên Bái/Văn Yên/Mậu A`). Text arrives composed or decomposed depending
//! on the keyboard, so every name is stored in NFC. Sorting by code point would put `Đ` after `Z` and `Ế` after `Z` too; a
//! full ICU collation is megabytes of tables. The rule here is the Vietnamese one and small: the letters
//! `a ă â b c d đ e ê … o ô ơ … u ư …` differ first, tones (none, huyền, hỏi, ngã, sắc, nặng) only break ties, upper and
//! lower case break what then is left, and numbers sort by value (`Camera 2` before `Camera 10`). Other scripts follow in
//! code point order.

use unicode_normalization::UnicodeNormalization;

/// `text` in Unicode normalisation form C, without white space at its ends.
pub fn normalise(text: &str) -> String {
    text.trim().nfc().collect()
}

/// `text` without case, tones and letter marks (`Yên Bái` → `yen bai`), for a search typed on any keyboard.
pub fn search_key(text: &str) -> String {
    text.nfd()
        .filter(|c| !unicode_normalization::char::is_combining_mark(*c))
        .flat_map(char::to_lowercase)
        .map(|c| if c == 'đ' { 'd' } else { c })
        .collect()
}

/// The order of a name among others: compare keys with `<`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SortKey {
    /// Which letters, digits and signs.
    letters: Vec<u32>,
    /// The tone of each letter.
    tones: Vec<u8>,
    /// The text itself, so that different names never compare equal.
    text: String,
}

// Classes of characters, in their order; the class is the top byte of a weight.
const CLASS_SIGN: u32 = 1 << 24;
const CLASS_NUMBER: u32 = 2 << 24;
const CLASS_LATIN: u32 = 3 << 24;
const CLASS_OTHER: u32 = 4 << 24;

/// The sort key of `text`.
pub fn sort_key(text: &str) -> SortKey {
    let mut key = SortKey {
        letters: Vec::new(),
        tones: Vec::new(),
        text: text.nfc().collect(),
    };
    let mut number: Vec<u32> = Vec::new();
    for c in text.nfd().flat_map(char::to_lowercase) {
        if let Some(digit) = c.to_digit(10) {
            number.push(digit);
            continue;
        }
        push_number(&mut key, &mut number);
        push_char(&mut key, c);
    }
    push_number(&mut key, &mut number);
    key
}

/// A run of digits: more digits (without leading zeros) is more.
fn push_number(key: &mut SortKey, number: &mut Vec<u32>) {
    if number.is_empty() {
        return;
    }
    let zeros = number.iter().take_while(|digit| **digit == 0).count();
    let significant = number.get(zeros..).unwrap_or_default();
    key.letters.push(CLASS_NUMBER | significant.len() as u32);
    key.letters.extend_from_slice(significant);
    key.tones.push(0);
    number.clear();
}

fn push_char(key: &mut SortKey, c: char) {
    match c {
        // Marks that make another letter: breve, circumflex, horn.
        '\u{306}' => add_mark(key, 1),
        '\u{302}' => add_mark(key, 2),
        '\u{31b}' => add_mark(key, 3),
        // Tones, in the order of Vietnamese dictionaries.
        '\u{300}' => add_tone(key, 1),
        '\u{309}' => add_tone(key, 2),
        '\u{303}' => add_tone(key, 3),
        '\u{301}' => add_tone(key, 4),
        '\u{323}' => add_tone(key, 5),
        c if unicode_normalization::char::is_combining_mark(c) => add_tone(key, 6),
        'a'..='z' => push_letter(key, c as u32, 0),
        'đ' => push_letter(key, 'd' as u32, 1),
        c if c.is_alphanumeric() => push_weight(key, CLASS_OTHER | c as u32),
        c if c.is_whitespace() => push_weight(key, CLASS_SIGN | ' ' as u32),
        c => push_weight(key, CLASS_SIGN | c as u32),
    }
}

fn push_letter(key: &mut SortKey, letter: u32, mark: u32) {
    push_weight(key, CLASS_LATIN | (letter << 3) | mark);
}

fn push_weight(key: &mut SortKey, weight: u32) {
    key.letters.push(weight);
    key.tones.push(0);
}

/// Turns the Latin letter just pushed into the marked letter that follows it in the alphabet.
fn add_mark(key: &mut SortKey, mark: u32) {
    if let Some(weight) = key.letters.last_mut()
        && *weight >= CLASS_LATIN
        && *weight < CLASS_OTHER
        && *weight & 7 == 0
    {
        *weight |= mark;
    }
}

fn add_tone(key: &mut SortKey, tone: u8) {
    if let Some(last) = key.tones.last_mut() {
        *last = tone;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_sort_as_in_a_vietnamese_dictionary() {
        let sorted = [
            "Camera 2",
            "Camera 10",
            "cam",
            "căm",
            "câm",
            "cấm",
            "cậm",
            "cân",
            "Dương",
            "Đào",
            "Đông",
            "Em",
            "Êm",
            "ma",
            "mà",
            "mả",
            "mã",
            "má",
            "mạ",
            "Mậu A",
            "on",
            "ôn",
            "ơn",
            "un",
            "ưn",
            "Văn Yên",
            "Yên Bái",
            "Yên Bình",
            "Ярославль",
        ];
        // Feed them in another order and decomposed: neither may matter.
        let mut shuffled: Vec<String> = sorted.iter().rev().map(|s| s.nfd().collect()).collect();
        shuffled.sort_by_key(|name| sort_key(name));
        // "cam" < "Camera 2": a prefix comes first.
        let mut expected: Vec<&str> = sorted.to_vec();
        expected.swap(0, 2);
        expected.swap(1, 2);
        let shuffled: Vec<String> = shuffled.iter().map(|name| normalise(name)).collect();
        assert_eq!(shuffled, expected);
    }

    #[test]
    fn both_forms_of_a_name_are_one_name() {
        let decomposed: String = "  Yên Bái/Mậu A ".nfd().collect();
        assert_eq!(normalise(&decomposed), "Yên Bái/Mậu A");
        assert_eq!(
            sort_key("Mậu A"),
            sort_key(&"Mậu A".nfd().collect::<String>())
        );
        assert_ne!(sort_key("A"), sort_key("a"));
    }

    #[test]
    fn a_search_needs_neither_tones_nor_marks() {
        assert_eq!(search_key("Đông Cuông – Yên Bái"), "dong cuong – yen bai");
    }
}
