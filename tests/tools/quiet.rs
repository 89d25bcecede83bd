//! Goal: long work shows its progress to a person and nothing but its result to a script. Method: the same commands with pipes and on a
//! terminal (`script` of util-linux makes one).

use crate::site::{Site, at};
use std::process::{Command, Stdio};

/// The commands that may take hours, and what they say while they work.
fn long_work(from: &str, to: &str) -> Vec<(Vec<String>, &'static str)> {
    let of = |line: &str| line.split(' ').map(str::to_owned).collect::<Vec<_>>();
    let export = format!("export gate --from {from} --to {to} -o a.mp4 --volume volume --force");
    vec![
        (of("volume format fresh --size 8MiB"), "format"),
        (of(&export), "export"),
        (of("check --volume volume"), "check"),
        (of("volume rebuild volume"), "rebuild"),
    ]
}

#[test]
fn long_work_is_quiet_in_a_pipe() {
    let site = Site::new();
    for (command, _) in long_work(&at(0.0), &at(10.0)) {
        let args: Vec<&str> = command.iter().map(String::as_str).collect();
        // Nothing on stderr, and on stdout no sign that moves a cursor.
        let said = site.ok(&args);
        assert!(!said.is_empty(), "{args:?} tells its result");
        let moves = said.chars().find(|c| c.is_control() && *c != '\n');
        assert_eq!(moves, None, "{args:?}: {said:?}");
    }
}

#[test]
fn long_work_shows_its_progress_on_a_terminal() {
    let site = Site::new();
    for (command, word) in long_work(&at(0.0), &at(10.0)) {
        let line = [&[env!("CARGO_BIN_EXE_nvring").to_owned()], &command[..]].concat();
        let output = Command::new("script")
            .args([
                "--quiet",
                "--return",
                "--command",
                &line.join(" "),
                "/dev/null",
            ])
            .current_dir(site.path(""))
            .env("TERM", "xterm")
            .env_remove("NVRING_CONFIG")
            .stdin(Stdio::null())
            .output()
            .expect("script (util-linux) runs");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{command:?}: {said}");
        let bar = said.contains('\r') && said.contains("\u{1b}[") && said.contains(word);
        assert!(bar, "{command:?} shows no progress: {said:?}");
    }
}
