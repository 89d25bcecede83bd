//! Where a rule does not hold, and why. The list only shrinks: an entry that is no longer needed fails the test.

/// Files that break a rule for a reason: (rule, file, reason). One that is no longer needed must go.
pub(crate) const EXCEPTIONS: &[(&str, &str, &str)] = &[
    (
        "std-fs",
        "src/api/control/server.rs",
        "the control socket is a file, made owner-only before anybody can reach it",
    ),
    (
        "std-fs",
        "src/store/remains.rs",
        "looks for folders of somebody else's before a disk is made of the place",
    ),
    (
        "functions",
        "src/api/http/metrics.rs",
        "one long list of metrics, without a branch",
    ),
    (
        "functions",
        "src/cli/bench/write.rs",
        "set-up, measuring and figures of one benchmark, to be told apart",
    ),
    (
        "functions",
        "tests/cli/cameras.rs",
        "one camera's life, told in order",
    ),
    (
        "functions",
        "tests/recorder/ring.rs",
        "five laps, told in order; to be cut where the download begins",
    ),
];
