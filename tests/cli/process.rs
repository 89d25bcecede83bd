//! A recorder as a process of its own, and waiting for what it does.

use std::{
    process::{Child, Command},
    time::Duration,
};

/// Killed when it is let go of.
pub(crate) struct Process(pub(crate) Child);

impl Process {
    /// Sends a signal (`-INT`), waits for the end and gives the exit status.
    pub(crate) fn end(mut self, signal: &str) -> Option<i32> {
        let pid = self.0.id().to_string();
        let sent = Command::new("kill").args([signal, &pid]).status().unwrap();
        assert!(sent.success());
        self.0.wait().unwrap().code()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Tries until there is something; for a minute, which is far longer than anything here takes.
pub(crate) fn until<T>(what: &str, mut attempt: impl FnMut() -> Option<T>) -> T {
    for _ in 0..1200 {
        if let Some(found) = attempt() {
            return found;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("{what}: not within a minute");
}
