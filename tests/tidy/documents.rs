//! Rules of the documents: what they point at exists, and what the program shows to the outside is in them.

use std::path::Path;

use crate::{Violation, source::Source};

/// All rules that need more than one file.
pub(crate) fn check(files: &[Source], top: &Path) -> Vec<Violation> {
    let mut violations = Vec::new();
    for file in files {
        if file.path.ends_with(".md") {
            violations.extend(links(file, files, top));
            violations.extend(code_paths(file, files, top));
            violations.extend(held_by(file));
        } else {
            violations.extend(document_paths(file, top));
        }
    }
    violations.extend(files.iter().flat_map(|file| commands(file, files)));
    violations.extend(layers_described(files));
    violations.extend(metrics_listed(files));
    violations.extend(routes_listed(files));
    violations
}

fn find<'a>(files: &'a [Source], path: &str) -> Option<&'a Source> {
    files.iter().find(|file| file.path == path)
}

fn at_line(
    rule: &'static str,
    source: &Source,
    index: usize,
    message: impl Into<String>,
) -> Violation {
    Violation::new(rule, source, index + 1, message.into())
}

/// A heading as links name it: small letters, blanks to hyphens, other signs left out.
fn anchor(heading: &str) -> String {
    let kept = heading.trim().to_lowercase();
    let kept = kept
        .chars()
        .filter(|c| c.is_alphanumeric() || " -_".contains(*c));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}

/// Every relative link leads to a file, and its anchor to a heading.
fn links(source: &Source, files: &[Source], top: &Path) -> Vec<Violation> {
    let folder = Path::new(&source.path).parent().unwrap_or(Path::new(""));
    let mut violations = Vec::new();
    for (index, line) in source.text.lines().enumerate() {
        for link in line
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split(')').next())
        {
            if link.contains("://") || link.starts_with("mailto:") {
                continue;
            }
            let (path, heading) = link.split_once('#').unwrap_or((link, ""));
            let target = if path.is_empty() {
                source.path.clone()
            } else {
                normal(&folder.join(path))
            };
            let exists = top.join(&target).exists();
            let headed = heading.is_empty()
                || find(files, &target).is_some_and(|file| {
                    let headings = file.text.lines().filter(|line| line.starts_with('#'));
                    headings
                        .map(|line| anchor(line.trim_start_matches('#')))
                        .any(|a| a == heading)
                });
            if !exists || !headed {
                let message = format!("the link `{link}` leads nowhere");
                violations.push(at_line("links", source, index, message));
            }
        }
    }
    violations
}

/// `a/b/../c` as `a/c`.
fn normal(path: &Path) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.iter().filter_map(|part| part.to_str()) {
        match part {
            "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

/// A file named between backquotes exists; `FILE.rs::NAME` holds a function of that name.
fn code_paths(source: &Source, files: &[Source], top: &Path) -> Vec<Violation> {
    let mut violations = Vec::new();
    for (index, line) in source.text.lines().enumerate() {
        for quoted in line.split('`').skip(1).step_by(2) {
            let ours = ["src/", "tests/", "tools/", "benches/", "fuzz/", "docs/"];
            let word = quoted.split_whitespace().next().unwrap_or("");
            if !ours.iter().any(|folder| word.starts_with(folder)) || word.contains(['*', '<', '{'])
            {
                continue;
            }
            let (path, function) = word.split_once("::").unwrap_or((word, ""));
            let exists = top.join(path).exists();
            let named = function.is_empty()
                || find(files, path)
                    .is_some_and(|file| file.text.contains(&format!("fn {function}(")));
            if !exists || !named {
                let message = format!("`{word}` does not exist");
                violations.push(at_line("code-paths", source, index, message));
            }
        }
    }
    violations
}

/// A line that says a promise is held says by which test.
fn held_by(source: &Source) -> Vec<Violation> {
    let lines = source.text.lines().enumerate();
    let empty = lines.filter(|(_, line)| line.contains("Held by") && !line.contains(".rs::"));
    empty
        .map(|(index, _)| at_line("held-by", source, index, "name the test: `FILE.rs::NAME`"))
        .collect()
}

/// Documents named in sources exist.
fn document_paths(source: &Source, top: &Path) -> Vec<Violation> {
    let mut violations = Vec::new();
    for (index, line) in source.text.lines().enumerate() {
        for rest in line.split("docs/").skip(1) {
            let end = rest.find(|c: char| !(c.is_alphanumeric() || "-_./".contains(c)));
            let name = rest[..end.unwrap_or(rest.len())].trim_end_matches('.');
            if name.ends_with(".md") && !top.join("docs").join(name).exists() {
                let message = format!("docs/{name} does not exist");
                violations.push(at_line("document-paths", source, index, message));
            }
        }
    }
    violations
}

/// A command that a message or a document recommends exists: `nvring volume format`.
fn commands(source: &Source, files: &[Source]) -> Vec<Violation> {
    let mut violations = Vec::new();
    for (index, line) in source.text.lines().enumerate() {
        for rest in line.split("nvring ").skip(1) {
            let mut words = rest.split(|c: char| !c.is_ascii_lowercase());
            let (Some(group), Some(command)) = (words.next(), words.next()) else {
                continue;
            };
            let folder = format!("src/cli/{group}");
            let Some(map) = find(files, &format!("{folder}/mod.rs")) else {
                continue;
            };
            let variant = |line: &str| {
                line.trim()
                    .to_lowercase()
                    .starts_with(&format!("{command}("))
            };
            let known = command.is_empty() || map.text.lines().any(variant);
            // Words of prose and options follow a blank; only a command line has the group directly before the command.
            if !known && rest.starts_with(&format!("{group} {command}")) && group != "inspect" {
                let message = format!("there is no command `nvring {group} {command}`");
                violations.push(at_line("commands", source, index, message));
            }
        }
    }
    violations
}

/// A document that must speak of every one of `names`.
fn listed(files: &[Source], document: &str, names: &[(&Source, usize, String)]) -> Vec<Violation> {
    let text = find(files, document).map_or("", |file| &file.text);
    let silent = names
        .iter()
        .filter(|(_, _, name)| !text.contains(&format!("`{name}`")));
    silent
        .map(|(source, index, name)| {
            at_line(
                "listed",
                source,
                *index,
                format!("`{name}` is not described in {document}"),
            )
        })
        .collect()
}

fn layers_described(files: &[Source]) -> Vec<Violation> {
    let lib = find(files, "src/lib.rs").expect("the crate has a root");
    let modules = lib.text.lines().enumerate().filter_map(|(index, line)| {
        let name = line.strip_prefix("pub mod ")?.strip_suffix(';')?;
        Some((lib, index, name.to_owned()))
    });
    listed(files, "docs/architecture.md", &modules.collect::<Vec<_>>())
}

/// String literals of production code that begin with `start` and follow `before` on their line.
fn literals<'a>(
    files: &'a [Source],
    folder: &str,
    start: &str,
) -> Vec<(&'a Source, usize, String)> {
    let mut found = Vec::new();
    for source in files.iter().filter(|file| file.path.starts_with(folder)) {
        for (index, line) in source.text.lines().enumerate() {
            if source.test[index] || line.trim_start().starts_with("//") {
                continue;
            }
            let quoted = line.split('"').skip(1).step_by(2);
            found.extend(
                quoted
                    .filter(|text| text.starts_with(start))
                    .map(|text| (source, index, text.to_owned())),
            );
        }
    }
    found
}

/// Every metric is in the operator's list, and the list names no metric that is gone.
fn metrics_listed(files: &[Source]) -> Vec<Violation> {
    let is_name = |text: &str| {
        text.bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
    };
    let mut metrics = literals(files, "src/", "nvring_");
    metrics.retain(|(_, _, name)| is_name(name));
    let mut violations = listed(files, "docs/operating.md", &metrics);
    let Some(document) = find(files, "docs/operating.md") else {
        return violations;
    };
    for (index, line) in document.text.lines().enumerate() {
        let quoted = line.split('`').skip(1).step_by(2);
        for name in quoted.filter(|word| word.starts_with("nvring_") && is_name(word)) {
            if !metrics.iter().any(|(_, _, metric)| metric == name) {
                let message = format!("there is no metric `{name}`");
                violations.push(at_line("listed", document, index, message));
            }
        }
    }
    violations
}

/// Every HTTP route is in the interface's description.
fn routes_listed(files: &[Source]) -> Vec<Violation> {
    let mut routes = literals(files, "src/api/http/", "/");
    routes.retain(|(source, index, _)| {
        let line = source.text.lines().nth(*index).unwrap_or("");
        line.contains("path = \"/")
    });
    listed(files, "docs/api.md", &routes)
}
