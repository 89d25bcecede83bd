//! Goal: what sending costs can be measured with one command.

use std::process::Command;

#[test]
fn a_simulator_is_measured_with_one_command() {
    let output = Command::new(env!("CARGO_BIN_EXE_camsim"))
        .args(["measure", "--streams", "20", "--seconds", "1"])
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}");
    let words: Vec<&str> = text.split_whitespace().collect();
    let [
        count,
        "streams,",
        rate,
        "Mbit/s,",
        "0",
        "lost;",
        ..,
        cores,
        "cores",
    ] = words[..]
    else {
        panic!("{text}");
    };
    // Streams of 2 Mbit/s.
    assert_eq!(count, "20");
    assert!(rate.parse::<f64>().unwrap() > 20.0, "{text}");
    assert!(cores.parse::<f64>().unwrap() < 1.0, "{text}");
}
