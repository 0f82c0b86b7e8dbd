//! Runs a piece of a test in a process of its own, where signals and limits hurt nobody else.

use std::process::{Command, Output};

const PART: &str = "FOUNDRY_TEST_PART";

/// In such a process: which piece is to be run.
pub(crate) fn part() -> Option<String> {
    std::env::var(PART).ok()
}

/// Starts this test binary again for one test (its full path), where [`part`] is `part`. `setup` runs before it in
/// the shell: "ulimit -f 8;", or nothing.
pub(crate) fn spawn(test: &str, part: &str, setup: &str) -> Output {
    let exe = std::env::current_exe().expect("a test binary knows its path");
    Command::new("sh")
        .args(["-c", &format!("{setup} exec \"$0\" \"$@\"")])
        .arg(exe)
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env(PART, part)
        .output()
        .expect("a shell")
}
