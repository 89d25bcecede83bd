//! Rules of the console's files: what a browser loads is as short, as documented and as much ours as the Rust beside it.

use crate::{LINES_MAX, Violation, WIDTH_MAX, source::Source};
use std::collections::{BTreeMap, BTreeSet};

/// Where the page lies, and the file that holds it in the program.
const FOLDER: &str = "src/api/http/console/";
const TABLE: &str = "src/api/http/console/mod.rs";
/// The only address of elsewhere: the name of a format, which nobody fetches.
const FORMAT_NAME: &str = "http://www.w3.org/2000/svg";

/// Files that a browser or Node loads.
pub(crate) fn is_page(path: &str) -> bool {
    [".html", ".css", ".svg", ".js", ".mjs"]
        .iter()
        .any(|end| path.ends_with(end))
}

/// All rules of one file.
pub(crate) fn check(source: &Source) -> Vec<Violation> {
    let mut violations = size(source);
    violations.extend(opening(source));
    if source.path.starts_with(FOLDER) {
        violations.extend(foreign(source));
        violations.extend(refused(source));
    }
    violations
}

/// All rules that need more than one file.
pub(crate) fn check_all(files: &[Source]) -> Vec<Violation> {
    let mut violations = held(files);
    violations.extend(languages(files));
    violations
}

fn size(source: &Source) -> Vec<Violation> {
    let mut violations = Vec::new();
    let lines = source.text.lines().count();
    if lines > LINES_MAX {
        let message = format!("{lines} lines; split it by noun to at most {LINES_MAX}");
        violations.push(Violation::new("lines", source, 1, message));
    }
    // Paths of icons and sentences are left whole.
    let whole = |line: &str| line.contains("<path") || line.trim_start().starts_with(['\'', '"']);
    let sentence = source.path.contains("/words-");
    for (index, line) in source.text.lines().enumerate() {
        let width = line.chars().count();
        if width > WIDTH_MAX && !whole(line) && !sentence {
            let message = format!("{width} characters; at most {WIDTH_MAX}");
            violations.push(Violation::new("width", source, index + 1, message));
        }
    }
    violations
}

/// The first lines say what the file is for.
fn opening(source: &Source) -> Vec<Violation> {
    let mut lines = source.text.lines().map(str::trim);
    let first = lines
        .find(|line| !line.starts_with("<!doctype"))
        .unwrap_or("");
    let told = ["//", "/*", "<!--"]
        .iter()
        .any(|mark| first.starts_with(mark));
    if told || source.path.ends_with(".svg") {
        return Vec::new();
    }
    let message = "the first line is no comment: say what the file is for".to_owned();
    vec![Violation::new("module-docs", source, 1, message)]
}

/// Nothing is loaded from elsewhere.
fn foreign(source: &Source) -> Vec<Violation> {
    let mut violations = Vec::new();
    for (index, line) in source.text.lines().enumerate() {
        let rest = line.replace(FORMAT_NAME, "");
        let address = rest.contains("http:/") || rest.contains("https:/");
        let from_elsewhere = ["src=\"//", "href=\"//", "url(//", "@import"]
            .iter()
            .any(|mark| rest.contains(mark));
        let names_module = rest.starts_with("import ") || rest.starts_with("} from ");
        let import = names_module && rest.contains('\'') && !rest.contains("'./");
        if address || from_elsewhere || import {
            let message = "the page loads nothing but its own files".to_owned();
            violations.push(Violation::new("foreign", source, index + 1, message));
        }
    }
    violations
}

/// What the policy of the page forbids, and what would let a camera's name become markup.
fn refused(source: &Source) -> Vec<Violation> {
    let marks = [
        "innerHTML",
        "outerHTML",
        "insertAdjacentHTML",
        "document.write",
        "eval(",
        "new Function",
        " style=",
        " onclick=",
    ];
    let mut violations = Vec::new();
    for (index, line) in source.text.lines().enumerate() {
        if let Some(mark) = marks.iter().find(|mark| line.contains(**mark)) {
            let message = format!("`{}`: make elements and set their text", mark.trim());
            violations.push(Violation::new("markup", source, index + 1, message));
        }
    }
    violations
}

/// Every file of the folder is in the program.
fn held(files: &[Source]) -> Vec<Violation> {
    let table = files.iter().find(|file| file.path == TABLE);
    let table = table.map_or("", |file| &file.text);
    let pages = files
        .iter()
        .filter(|file| file.path.starts_with(FOLDER) && is_page(&file.path));
    let absent =
        pages.filter(|file| !table.contains(&format!("\"{}\"", &file.path[FOLDER.len()..])));
    absent
        .map(|file| Violation::new("held", file, 1, format!("{TABLE} does not list it")))
        .collect()
}

/// The words of a language: each key with the names of its places, and its line.
fn words(source: &Source) -> BTreeMap<String, (BTreeSet<String>, usize)> {
    let lines = source.text.lines().enumerate();
    let entries = lines.filter_map(|(index, line)| {
        let (key, text) = line.strip_prefix("  ")?.split_once(": ")?;
        let places = text.split('{').skip(1);
        let places = places.filter_map(|rest| Some(rest.split_once('}')?.0.to_owned()));
        Some((
            key.trim_matches('\'').to_owned(),
            (places.collect(), index + 1),
        ))
    });
    entries.collect()
}

/// All languages say the same things, with the same places to fill.
fn languages(files: &[Source]) -> Vec<Violation> {
    let spoken: Vec<&Source> = files
        .iter()
        .filter(|file| file.path.starts_with(FOLDER) && file.path.contains("/words-"))
        .collect();
    let mut violations = Vec::new();
    for one in &spoken {
        for other in spoken.iter().filter(|other| other.path != one.path) {
            let theirs = words(other);
            for (key, (places, line)) in words(one) {
                if theirs.get(&key).map(|(places, _)| places) != Some(&places) {
                    let message = format!("`{key}` is not in {} with the same places", other.path);
                    violations.push(Violation::new("languages", one, line, message));
                }
            }
        }
    }
    violations
}

/// Goal: no rule is asleep. Method: one sample per rule, and one that keeps them all.
#[test]
fn each_rule_of_the_page_refuses_its_sample() {
    let script = "src/api/http/console/a.js";
    let cases = [
        (
            "foreign",
            script,
            "// A.\nimport x from 'https://example.com/x.js';\n",
        ),
        ("foreign", script, "// A.\nimport x from 'lodash';\n"),
        (
            "foreign",
            "src/api/http/console/a.css",
            "/* A. */\n@import 'x.css';\n",
        ),
        ("markup", script, "// A.\nbody.innerHTML = camera.name;\n"),
        (
            "markup",
            "src/api/http/console/a.html",
            "<!-- A. -->\n<p style=\"x\">\n",
        ),
        ("module-docs", script, "const a = 1;\n"),
    ];
    for (rule, path, text) in cases {
        let found = check(&Source::new(path, text));
        assert!(
            found.iter().any(|one| one.rule == rule),
            "{rule}: {text}: {found:?}"
        );
    }
    let long = format!("// A.\n{}\n", "a".repeat(WIDTH_MAX + 1));
    assert_eq!(check(&Source::new(script, &long))[0].rule, "width");
    let tall = format!("// A.\n{}", "a();\n".repeat(LINES_MAX));
    assert_eq!(check(&Source::new(script, &tall))[0].rule, "lines");
    let good = "// A.\nimport { a } from './a.js';\n";
    assert!(check(&Source::new(script, good)).is_empty());
    let english = Source::new(
        &format!("{FOLDER}words-en.js"),
        "  a: 'A {n}',\n  b: 'B',\n",
    );
    let other = Source::new(
        &format!("{FOLDER}words-vi.js"),
        "  a: 'Á {m}',\n  b: 'B',\n",
    );
    let found = check_all(&[english, other]);
    let rules: Vec<&str> = found.iter().map(|one| one.rule).collect();
    assert_eq!(rules, ["held", "held", "languages", "languages"]);
}
