//! Goal: the rules that keep the tree readable hold in every file, and stay held.
//! Method: every rule is a function from a source to its violations; one test runs them all over the repository and names each
//! violation as `file:line: rule`, another shows each rule a sample that it must refuse. `tidy/documents.rs` holds the rules of `docs/`,
//! `tidy/page.rs` those of the console.

#[path = "tidy/documents.rs"]
mod documents;
#[path = "tidy/exceptions.rs"]
mod exceptions;
#[path = "tidy/page.rs"]
mod page;
#[path = "tidy/source.rs"]
mod source;

use std::{collections::BTreeSet, path::Path};

use exceptions::EXCEPTIONS;
use source::{Source, closing, repository};

/// What each layer may use besides itself. `cli` wires everything and is not listed.
const LAYERS: [(&str, &[&str]); 10] = [
    ("base", &[]),
    ("media", &["base"]),
    ("format", &["base", "media"]),
    ("disk", &["base"]),
    ("store", &["base", "media", "format", "disk"]),
    ("catalog", &["base", "media"]),
    ("ingest", &["base", "media", "store", "catalog"]),
    ("playback", &["base", "media", "store"]),
    ("access", &["base", "catalog"]),
    (
        "api",
        &["base", "media", "store", "catalog", "playback", "access"],
    ),
];

/// Everything that may lie at the top of the repository.
const TOP: [&str; 13] = [
    ".ci",
    ".git",
    ".gitignore",
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE",
    "README.md",
    "benches",
    "docs",
    "fuzz",
    "src",
    "tests",
    "tools",
];

/// Most lines of a file that are not tests, and of a file in all.
const LINES_MAX: usize = 500;
const LINES_WITH_TESTS_MAX: usize = 700;
/// Most lines between the braces of a function, empty ones and comments not counted.
const FUNCTION_LINES_MAX: usize = 70;
/// Most characters of a line, the insides of strings not counted.
const WIDTH_MAX: usize = 140;

/// A line that breaks a rule.
#[derive(Debug)]
struct Violation {
    rule: &'static str,
    path: String,
    line: usize,
    message: String,
}

impl Violation {
    fn new(rule: &'static str, source: &Source, line: usize, message: String) -> Self {
        Self {
            rule,
            path: source.path.clone(),
            line,
            message,
        }
    }
}

fn top() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The words (identifiers) of a line of code with their offsets.
fn words(line: &str) -> impl Iterator<Item = (usize, &str)> {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let mut at = 0;
    line.split(move |c| !is_word(c)).filter_map(move |word| {
        let offset = at;
        at += word.len() + 1;
        (!word.is_empty()).then_some((offset, word))
    })
}

/// The names used directly under `crate::`, groups in braces taken apart, with the offset of each.
fn crate_names(code: &str) -> Vec<(usize, &str)> {
    let mut names = Vec::new();
    for (start, path) in code.match_indices("crate::") {
        let at = start + path.len();
        if !code[at..].starts_with('{') {
            names.extend(words(&code[at..]).next().map(|(o, word)| (at + o, word)));
            continue;
        }
        let mut item = at + 1;
        let end = closing(code, at);
        while item < end {
            names.extend(
                words(&code[item..end])
                    .next()
                    .map(|(o, word)| (item + o, word)),
            );
            while item < end && code.as_bytes()[item] != b',' {
                item = match code.as_bytes()[item] {
                    b'{' => closing(code, item) + 1,
                    _ => item + 1,
                };
            }
            item += 1;
        }
    }
    names
}

fn layers(source: &Source) -> Vec<Violation> {
    let allowed = LAYERS
        .iter()
        .find(|(layer, _)| Some(*layer) == source.layer());
    let Some((layer, allowed)) = allowed else {
        return Vec::new();
    };
    let broken = |name: &str| name != *layer && !allowed.contains(&name);
    let used = crate_names(&source.code).into_iter();
    let bad = used
        .map(|(offset, name)| (source.line_of(offset), name))
        .filter(|(line, name)| !source.test[line - 1] && broken(name));
    bad.map(|(line, name)| {
        let message = format!("layer `{layer}` may not use `{name}`, only {allowed:?}");
        Violation::new("layers", source, line, message)
    })
    .collect()
}

fn module_docs(source: &Source) -> Vec<Violation> {
    if source.text.starts_with("//!") {
        return Vec::new();
    }
    let message = "the first line is not `//!`: say what the file is for".to_owned();
    vec![Violation::new("module-docs", source, 1, message)]
}

fn lines(source: &Source) -> Vec<Violation> {
    let all = source.test.len();
    let own = source.test.iter().filter(|test| !**test).count();
    let message = if own > LINES_MAX {
        format!("{own} lines without tests; split it by noun to at most {LINES_MAX}")
    } else if all > LINES_WITH_TESTS_MAX {
        format!("{all} lines; at most {LINES_WITH_TESTS_MAX}")
    } else {
        return Vec::new();
    };
    vec![Violation::new("lines", source, 1, message)]
}

fn functions(source: &Source) -> Vec<Violation> {
    let code = &source.code;
    let mut violations = Vec::new();
    for (start, _) in code.match_indices("fn ") {
        let part_of_word = code[..start].ends_with(|c: char| c.is_alphanumeric() || c == '_');
        let Some(open) = code[start..].find(['{', ';']).map(|at| start + at) else {
            continue;
        };
        if part_of_word || code.as_bytes()[open] == b';' {
            continue;
        }
        let body = &code[open + 1..closing(code, open)];
        let count = body.lines().filter(|line| !line.trim().is_empty()).count();
        if count > FUNCTION_LINES_MAX {
            let message = format!("a function of {count} lines; at most {FUNCTION_LINES_MAX}");
            let line = source.line_of(start);
            violations.push(Violation::new("functions", source, line, message));
        }
    }
    violations
}

fn width(source: &Source) -> Vec<Violation> {
    let pairs = source.text.lines().zip(source.code.lines()).enumerate();
    let too_wide = |(index, (line, code)): (usize, (&str, &str))| {
        // The formatter leaves messages whole, so the insides of strings are not counted.
        let hidden = |(a, b): &(u8, u8)| *b == b' ' && *a != b' ';
        let hidden = line.bytes().zip(code.bytes()).filter(hidden).count();
        let comment = line.trim_start().starts_with("//");
        let width = if comment {
            line.chars().count()
        } else {
            line.len() - hidden
        };
        let message = format!("{width} characters; at most {WIDTH_MAX}");
        (width > WIDTH_MAX).then(|| Violation::new("width", source, index + 1, message))
    };
    pairs.filter_map(too_wide).collect()
}

fn names(source: &Source) -> Vec<Violation> {
    let catch_all = |part: &&str| {
        matches!(
            part.trim_end_matches(".rs"),
            "utils" | "util" | "common" | "helpers" | "helper" | "types" | "misc"
        )
    };
    let found = source.path.split('/').find(catch_all);
    found
        .map(|part| {
            let message = format!("`{part}` is a catch-all; name the file by its noun");
            Violation::new("names", source, 1, message)
        })
        .into_iter()
        .collect()
}

/// A rule that a word or path may stand only in certain places.
struct Banned {
    rule: &'static str,
    what: &'static [&'static str],
    allowed: &'static [&'static str],
    instead: &'static str,
}

const BANNED: [Banned; 5] = [
    Banned {
        rule: "unsafe",
        what: &["unsafe"],
        allowed: &["src/disk/", "src/base/clock.rs"],
        instead: "only `disk` and the clock may be unsafe",
    },
    Banned {
        rule: "retina",
        what: &["retina"],
        allowed: &["src/ingest/pull.rs"],
        instead: "the RTSP library is named in src/ingest/pull.rs only, so that it can be replaced",
    },
    Banned {
        rule: "clock",
        what: &["SystemTime::now", "Instant::now"],
        allowed: &["src/base/clock.rs"],
        instead: "take a `base::Clock` or the time itself as an argument",
    },
    Banned {
        rule: "std-fs",
        what: &["std::fs", "tokio::fs"],
        allowed: &["src/disk/", "src/cli/", "src/catalog/"],
        instead: "files are reached through `disk::Disk`",
    },
    Banned {
        rule: "allow",
        what: &["#[allow(", "#![allow(", "use super::*"],
        allowed: &[],
        instead: "say `#[expect(lint, reason = \"…\")]`; name what you import",
    },
];

fn banned(source: &Source) -> Vec<Violation> {
    let mut violations = Vec::new();
    if !source.path.starts_with("src/") {
        return violations;
    }
    for banned in &BANNED {
        if banned.allowed.iter().any(|at| source.path.starts_with(at)) {
            continue;
        }
        for (line, code) in source.production() {
            let is_word = |c: char| c.is_alphanumeric() || c == '_';
            let whole = |what: &str| {
                let (starts, ends) = (what.starts_with(is_word), what.ends_with(is_word));
                code.match_indices(what).any(|(at, _)| {
                    !(starts && code[..at].ends_with(is_word)
                        || ends && code[at + what.len()..].starts_with(is_word))
                })
            };
            if let Some(what) = banned.what.iter().find(|what| whole(what)) {
                let message = format!("`{what}`: {}", banned.instead);
                violations.push(Violation::new(banned.rule, source, line, message));
            }
        }
    }
    violations
}

/// `use std::{fs, …}` is `std::fs` too.
fn grouped_fs(source: &Source) -> Vec<Violation> {
    let groups = source.code.match_indices("use std::{");
    let ungrouped: String = groups
        .filter(|(at, group)| {
            let open = at + group.len() - 1;
            let inside = &source.code[open..closing(&source.code, open)];
            words(inside).any(|(_, word)| word == "fs")
                && !inside.contains("unix::fs")
                && !source.test[source.line_of(*at) - 1]
        })
        .map(|_| "use std::fs;\n")
        .collect();
    let mut violations = banned(&Source::new(&source.path, &ungrouped));
    violations.truncate(1);
    violations
}

fn idle_matches(source: &Source) -> Vec<Violation> {
    let code = &source.code;
    let idle = code.match_indices("matches!(").filter(|(at, mark)| {
        let before = code[..*at].trim_end();
        let end = closing(code, at + mark.len() - 1);
        before.ends_with([';', '{', '}']) && code[end + 1..].trim_start().starts_with(';')
    });
    idle.map(|(at, _)| {
        let message = "a statement `matches!(…);` asserts nothing; wrap it in `assert!`".to_owned();
        Violation::new("idle-matches", source, source.line_of(at), message)
    })
    .collect()
}

/// Words that may stand nowhere, not even in comments. Put together here so that this file does not hold them.
fn forbidden_text(source: &Source) -> Vec<Violation> {
    let unfinished = [
        concat!("TO", "DO"),
        concat!("FIX", "ME"),
        concat!("XX", "X"),
    ];
    let elsewhere = [
        concat!("/root", "/"),
        concat!("/work", "/main"),
        concat!("/work", "/shared"),
        concat!("/work", "/."),
        concat!("shared/", "design.md"),
        concat!("shared/", "style.md"),
        concat!("Co-Authored", "-By"),
    ];
    let mut violations = Vec::new();
    for (index, line) in source.text.lines().enumerate() {
        let work = words(line).find(|(_, word)| unfinished.contains(word));
        if let Some((_, word)) = work {
            let message = format!("`{word}`: finish it, or write down the decision not to");
            violations.push(Violation::new("unfinished", source, index + 1, message));
        }
        if let Some(path) = elsewhere.iter().find(|path| line.contains(**path)) {
            let message = format!("`{path}` means nothing outside the machine it was written on");
            violations.push(Violation::new("machine", source, index + 1, message));
        }
    }
    violations
}

fn check(source: &Source) -> Vec<Violation> {
    type Rule = fn(&Source) -> Vec<Violation>;
    const ALL: [Rule; 2] = [forbidden_text, names];
    const RUST: [Rule; 8] = [
        layers,
        module_docs,
        lines,
        functions,
        width,
        banned,
        grouped_fs,
        idle_matches,
    ];
    const PAGE: [Rule; 1] = [page::check];
    let rust = RUST.iter().filter(|_| source.path.ends_with(".rs"));
    let page = PAGE.iter().filter(|_| page::is_page(&source.path));
    ALL.iter()
        .chain(rust)
        .chain(page)
        .flat_map(|rule| rule(source))
        .collect()
}

#[test]
fn every_file_keeps_the_rules() {
    let files = repository(top());
    assert!(files.len() > 100, "the walk found the repository");
    let mut violations: Vec<Violation> = files.iter().flat_map(check).collect();
    violations.extend(documents::check(&files, top()));
    violations.extend(page::check_all(&files));
    let mut used = BTreeSet::new();
    violations.retain(|violation| {
        let excepted = EXCEPTIONS
            .iter()
            .find(|(rule, path, _)| *rule == violation.rule && *path == violation.path);
        used.extend(excepted.map(|(rule, path, _)| (*rule, *path)));
        excepted.is_none()
    });
    let mut report: Vec<String> = violations
        .iter()
        .map(|v| format!("{}:{}: [{}] {}", v.path, v.line, v.rule, v.message))
        .collect();
    let stale = EXCEPTIONS
        .iter()
        .filter(|(rule, path, _)| !used.contains(&(*rule, *path)));
    report.extend(stale.map(|(rule, path, _)| {
        format!("tests/tidy/exceptions.rs: the exception `{rule}` of {path} is no longer needed: remove it")
    }));
    assert!(report.is_empty(), "\n{}", report.join("\n"));
}

#[test]
fn top_level_holds_only_what_is_meant_to_be_there() {
    let ignored = std::fs::read_to_string(top().join(".gitignore")).unwrap();
    for entry in std::fs::read_dir(top()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let expected = TOP.contains(&name.as_str())
            || ignored.lines().any(|line| line.trim_matches('/') == name);
        assert!(
            expected,
            "{name}: nothing but {TOP:?} lies at the top; put it into one of the folders"
        );
    }
}

/// Goal: no rule is asleep. Method: one sample per rule, each broken in one way, and one that keeps them all.
#[test]
fn each_rule_refuses_its_sample() {
    let cases = [
        (
            "layers",
            "src/media/a.rs",
            "//! A.\nuse crate::{base::Micros, store::{b, c}};\n",
        ),
        (
            "layers",
            "src/format/a.rs",
            "//! A.\nfn f() { crate::disk::g(); }\n",
        ),
        ("module-docs", "src/base/a.rs", "use std::io;\n"),
        ("names", "src/base/utils.rs", "//! A.\n"),
        (
            "unsafe",
            "src/store/a.rs",
            "//! A.\nfn f() { unsafe { g() } }\n",
        ),
        ("retina", "src/ingest/a.rs", "//! A.\nuse retina::client;\n"),
        (
            "clock",
            "src/store/a.rs",
            "//! A.\nfn f() { Instant::now(); }\n",
        ),
        ("std-fs", "src/store/a.rs", "//! A.\nuse std::fs::read;\n"),
        ("std-fs", "src/store/a.rs", "//! A.\nuse std::{fs, io};\n"),
        (
            "allow",
            "src/store/a.rs",
            "//! A.\n#[allow(dead_code)]\nfn f() {}\n",
        ),
        (
            "idle-matches",
            "src/store/a.rs",
            "//! A.\nfn f() { matches!(g(), 1); }\n",
        ),
        ("unfinished", "README.md", concat!("TO", "DO: write this\n")),
        ("machine", "README.md", concat!("see /work", "/main\n")),
    ];
    for (rule, path, text) in cases {
        let found = check(&Source::new(path, text));
        assert!(
            found.iter().any(|violation| violation.rule == rule),
            "{rule}: {text}: {found:?}"
        );
    }
    let long = format!("//! A.\n// {}\n", "a".repeat(WIDTH_MAX));
    assert_eq!(check(&Source::new("src/base/a.rs", &long))[0].rule, "width");
    let body = "    g();\n".repeat(FUNCTION_LINES_MAX);
    let endless = format!("//! A.\nfn f() {{\n    g();\n{body}}}\n");
    let found = check(&Source::new("src/base/a.rs", &endless));
    assert_eq!(found[0].rule, "functions");
    let tall = format!("//! A.\n{}", "fn f() {}\n".repeat(LINES_MAX));
    assert_eq!(check(&Source::new("src/base/a.rs", &tall))[0].rule, "lines");
    let good = "//! A.\nuse crate::base::Micros; // crate::cli\nconst S: &str = \"unsafe { crate::api }\";\n\
                #[cfg(test)]\nmod tests {\n    use super::*;\n    use std::fs;\n}\n";
    let found = check(&Source::new("src/media/a.rs", good));
    assert!(found.is_empty(), "{found:?}");
}
