//! What a killed house left behind. Only a process whose command line names our own file is ended: its number may be
//! somebody else's by now.

use std::{fs, path::Path, process::Command, time::Duration};

use nix::sys::signal::Signal;

use super::keeper;

/// Ends the process of this number if its command line names `file`. True when there is none (any more).
pub(super) async fn end(pid: u32, file: &Path, steps: &[(Signal, Duration)]) -> bool {
    if !keeper::is_alive(pid) {
        return true;
    }
    if !command_line(pid).is_some_and(|line| names(&line, file)) {
        return false;
    }
    tracing::warn!(pid, "ending what a killed house left behind");
    keeper::end_stranger(pid, steps).await;
    !keeper::is_alive(pid)
}

fn names(line: &str, file: &Path) -> bool {
    let file = file.display().to_string();
    line.split(['\0', ' ', ':']).any(|word| word == file)
}

/// Its words, separated by NUL (or by spaces where there is no /proc).
fn command_line(pid: u32) -> Option<String> {
    if let Ok(words) = fs::read(format!("/proc/{pid}/cmdline")) {
        return Some(String::from_utf8_lossy(&words).into_owned());
    }
    let asked = Command::new("ps").args(["-o", "command=", "-p", &pid.to_string()]).output().ok()?;
    Some(String::from_utf8_lossy(&asked.stdout).trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_stranger_is_left_alone() {
        let us = std::process::id();
        assert!(!end(us, Path::new("/no/such/data"), &[(Signal::SIGKILL, Duration::ZERO)]).await);
    }

    #[test]
    fn a_file_is_named_whole_or_not_at_all() {
        assert!(names("postgres\0-D\0/a/b\0", Path::new("/a/b")));
        assert!(names("/usr/bin/redis-server unixsocket:/tmp/x/redis.sock", Path::new("/tmp/x/redis.sock")));
        assert!(!names("postgres\0-D\0/a/bc\0", Path::new("/a/b")));
    }
}
