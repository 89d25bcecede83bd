//! A source file as the rules see it: its lines, the same lines without comments and strings, and which of them are tests.

use std::{fs, path::Path};

/// A file of the repository.
pub(crate) struct Source {
    /// From the top of the repository, with `/`.
    pub(crate) path: String,
    /// As it is on disk.
    pub(crate) text: String,
    /// Of a Rust file: comments and the insides of literals are blanks, so every offset and line is where it was.
    pub(crate) code: String,
    /// Per line of a Rust file: whether it is compiled for tests only.
    pub(crate) test: Vec<bool>,
}

impl Source {
    pub(crate) fn new(path: &str, text: &str) -> Self {
        let rust = path.ends_with(".rs");
        let code = if rust { blank(text) } else { String::new() };
        let mut test = vec![is_test_path(path); text.lines().count()];
        for (first, last) in test_items(&code) {
            test[first..=last].fill(true);
        }
        Self {
            path: path.to_owned(),
            text: text.to_owned(),
            code,
            test,
        }
    }

    /// Lines of code with their numbers from 1, those of tests left out.
    pub(crate) fn production(&self) -> impl Iterator<Item = (usize, &str)> {
        let lines = self.code.lines().enumerate();
        lines.filter_map(|(index, line)| (!self.test[index]).then_some((index + 1, line)))
    }

    /// The number of the line that holds the byte at `offset`.
    pub(crate) fn line_of(&self, offset: usize) -> usize {
        self.text[..offset].matches('\n').count() + 1
    }

    /// `src/LAYER/…`
    pub(crate) fn layer(&self) -> Option<&str> {
        let (layer, _) = self.path.strip_prefix("src/")?.split_once('/')?;
        Some(layer)
    }

    /// The modules that this file declares for tests only, as path prefixes: `src/media/tests`.
    fn test_modules(&self) -> Vec<String> {
        let (folder, name) = self.path.rsplit_once('/').unwrap_or(("", &self.path));
        let stem = name.trim_end_matches(".rs");
        let inside = match stem {
            "mod" | "lib" | "main" => folder.to_owned(),
            _ => format!("{folder}/{stem}"),
        };
        let mut modules = Vec::new();
        for (_, last) in test_items(&self.code) {
            let line = self.code.lines().nth(last).unwrap_or("");
            let words: Vec<&str> = line.split_whitespace().collect();
            if let Some(at) = words.iter().position(|word| *word == "mod")
                && let Some(name) = words.get(at + 1).and_then(|name| name.strip_suffix(';'))
            {
                modules.push(format!("{inside}/{name}"));
            }
        }
        modules
    }
}

/// Every text file of the repository that people write.
pub(crate) fn repository(top: &Path) -> Vec<Source> {
    let mut files = Vec::new();
    collect(top, "", &mut files);
    files.sort_by(|a, b| a.path.cmp(&b.path));
    let tests: Vec<String> = files.iter().flat_map(Source::test_modules).collect();
    for file in &mut files {
        let inside = |module: &String| {
            let rest = file.path.strip_prefix(module.as_str());
            rest.is_some_and(|rest| rest.starts_with('/') || rest == ".rs")
        };
        if tests.iter().any(inside) {
            file.test.fill(true);
        }
    }
    files
}

/// Names that are made by tools or hold media.
const SKIPPED: [&str; 8] = [
    "node_modules",
    "target",
    ".git",
    "corpus",
    "artifacts",
    "Cargo.lock",
    "clips",
    "nvring-demo",
];

fn collect(folder: &Path, prefix: &str, files: &mut Vec<Source>) {
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        let path = format!("{prefix}{name}");
        if SKIPPED.contains(&name.as_str()) {
            continue;
        }
        if entry.file_type().unwrap().is_dir() {
            collect(&entry.path(), &format!("{path}/"), files);
        } else if let Ok(text) = fs::read_to_string(entry.path()) {
            files.push(Source::new(&path, &text));
        }
    }
}

fn is_test_path(path: &str) -> bool {
    path.split('/')
        .any(|part| matches!(part, "tests" | "benches"))
}

/// First and last line (from 0) of every item behind `#[cfg(test)]`.
fn test_items(code: &str) -> Vec<(usize, usize)> {
    let line_of = |offset: usize| code[..offset].matches('\n').count();
    let mut items = Vec::new();
    for (start, mark) in code.match_indices("#[cfg(test)]") {
        let mut end = start + mark.len();
        // Brackets before the body belong to other attributes and to the signature.
        while let Some(found) = code[end..].find(['{', ';', '(', '[']) {
            end += found;
            match code.as_bytes()[end] {
                b';' => break,
                b'{' => {
                    end = closing(code, end);
                    break;
                }
                _ => end = closing(code, end),
            }
        }
        items.push((line_of(start), line_of(end)));
    }
    items
}

/// Where the bracket that opens at `open` closes; the end when it does not.
pub(crate) fn closing(code: &str, open: usize) -> usize {
    let mut depth = 0usize;
    for (offset, byte) in code.bytes().enumerate().skip(open) {
        match byte {
            b'{' | b'(' | b'[' => depth += 1,
            b'}' | b')' | b']' => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return offset;
                }
            }
            _ => {}
        }
    }
    code.len() - 1
}

/// `text` with comments and the insides of string and character literals turned to blanks, byte for byte.
fn blank(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut code = bytes.to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let end = literal_or_comment(bytes, at);
        for byte in &mut code[at..end] {
            if *byte != b'\n' {
                *byte = b' ';
            }
        }
        at = end.max(at + 1);
    }
    String::from_utf8(code).expect("only whole characters are blanked")
}

/// Where the comment or literal that starts at `at` ends; `at` when none does.
fn literal_or_comment(bytes: &[u8], at: usize) -> usize {
    let rest = &bytes[at..];
    let find = |needle: &[u8], from: usize| {
        let found = rest[from.min(rest.len())..]
            .windows(needle.len())
            .position(|window| window == needle);
        found.map_or(bytes.len(), |found| at + from + found + needle.len())
    };
    if rest.starts_with(b"//") {
        return find(b"\n", 0) - 1;
    }
    if rest.starts_with(b"/*") {
        return find(b"*/", 2);
    }
    let part_of_word = at > 0 && (bytes[at - 1].is_ascii_alphanumeric() || bytes[at - 1] == b'_');
    if rest[0] == b'r' && (!part_of_word || bytes[at - 1] == b'b') {
        let hashes = rest[1..].iter().take_while(|byte| **byte == b'#').count();
        if rest.get(1 + hashes) == Some(&b'"') {
            let close = [&b"\""[..], &vec![b'#'; hashes]].concat();
            return find(&close, 2 + hashes);
        }
    }
    match rest[0] {
        b'"' => at + quoted(rest, b'"'),
        // A lifetime has no closing quote behind its first character.
        b'\'' if rest.get(1) == Some(&b'\\') => at + quoted(rest, b'\''),
        b'\'' => {
            let longest = 6.min(rest.len());
            let character = (2..longest).find(|end| rest[*end] == b'\'');
            let one = |end: usize| {
                std::str::from_utf8(&rest[1..end]).is_ok_and(|text| text.chars().count() == 1)
            };
            character
                .filter(|end| one(*end))
                .map_or(at, |end| at + end + 1)
        }
        _ => at,
    }
}

/// Length of a literal with escapes, both quotes included.
fn quoted(rest: &[u8], quote: u8) -> usize {
    let mut at = 1;
    while at < rest.len() && rest[at] != quote {
        at += if rest[at] == b'\\' { 2 } else { 1 };
    }
    (at + 1).min(rest.len())
}
