//! How much of the machine is ours: a container sees all cores of its node, and has a bound of memory of its own.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// Memory of one argon2id hash as the platform makes them (19,456 KiB), octets.
pub const PASSWORD_BYTES: u64 = 19_456 * 1024;

/// How many passwords a process may work on at once: `wanted`, or where that is 0 one for each core, yet so few that they fit into
/// half of the memory that this container may have. At least 1.
#[must_use]
pub fn password_workers(wanted: usize) -> usize {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let workers = workers(wanted, cores, memory_limit(|path| fs::read_to_string(path).ok()));
    tracing::info!(workers, cores, "passwords at once");
    workers
}

/// The same for a machine of so many cores, whose container may have so much memory, octets.
#[must_use]
pub fn workers(wanted: usize, cores: usize, memory: Option<u64>) -> usize {
    if wanted > 0 {
        return wanted;
    }
    let fit = memory.map_or(u64::MAX, |limit| limit / 2 / PASSWORD_BYTES);
    cores.min(usize::try_from(fit).unwrap_or(usize::MAX)).max(1)
}

/// The least bound of the groups that this process is in (cgroups, version 2 and 1). None: not bounded.
fn memory_limit(read: impl Fn(&Path) -> Option<String>) -> Option<u64> {
    const ROOT: &str = "/sys/fs/cgroup";
    let mut files = vec![
        Path::new(ROOT).join("memory.max"),
        // Version 1; without a bound it says a number near 2^63.
        Path::new(ROOT).join("memory/memory.limit_in_bytes"),
    ];
    let groups = read(Path::new("/proc/self/cgroup")).unwrap_or_default();
    for line in groups.lines() {
        let group = match line.split_once("::") {
            Some((_, group)) => Some(("", group, "memory.max")),
            None => line.split_once(":memory:").map(|(_, group)| ("memory", group, "memory.limit_in_bytes")),
        };
        let Some((below, group, file)) = group else { continue };
        let group = PathBuf::from(group.trim_start_matches('/'));
        // Those above bound it, too.
        files.extend(group.ancestors().map(|group| Path::new(ROOT).join(below).join(group).join(file)));
    }
    files.iter().filter_map(|file| read(file)?.trim().parse().ok()).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1024 * 1024;

    #[test]
    fn memory_bounds_what_cores_would_allow() {
        for (wanted, cores, memory, expected) in [
            (0, 2, None, 2),
            (0, 2, Some(512 * MIB), 2),
            // Of a node with many cores a container of 512 MiB must not take 32 x 19 MiB.
            (0, 32, Some(512 * MIB), 13),
            (0, 32, Some(16 * MIB), 1),
            (0, 32, None, 32),
            (7, 2, Some(64 * MIB), 7),
        ] {
            assert_eq!(workers(wanted, cores, memory), expected, "{wanted} {cores} {memory:?}");
        }
    }

    #[test]
    fn the_least_bound_of_all_groups_holds() {
        fn house(files: &[(&str, &str)]) -> Option<u64> {
            let text = |path: &Path| files.iter().find(|(at, _)| Path::new(at) == path);
            memory_limit(|path| text(path).map(|(_, text)| (*text).to_owned()))
        }
        // In a container the group is its root.
        let own = [("/proc/self/cgroup", "0::/\n"), ("/sys/fs/cgroup/memory.max", "536870912\n")];
        assert_eq!(house(&own), Some(512 * MIB));
        let outside = [
            ("/proc/self/cgroup", "0::/system.slice/postern.service\n"),
            ("/sys/fs/cgroup/system.slice/postern.service/memory.max", "max\n"),
            ("/sys/fs/cgroup/system.slice/memory.max", "1073741824\n"),
        ];
        assert_eq!(house(&outside), Some(1024 * MIB));
        let version_1 = [
            ("/proc/self/cgroup", "9:cpu:/docker/1\n7:memory:/docker/1\n"),
            ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n"),
            ("/sys/fs/cgroup/memory/docker/1/memory.limit_in_bytes", "268435456\n"),
        ];
        assert_eq!(house(&version_1), Some(256 * MIB));
        assert_eq!(house(&[("/proc/self/cgroup", "0::/\n")]), None);
    }
}
