//! What the servers themselves use: CPU time and memory of process trees, from the kernel's own accounts.

use std::{
    collections::{BTreeMap, HashMap},
    fs,
};

/// CPU seconds of each named process tree, reaped children included.
#[derive(Clone, Debug, Default)]
pub struct CpuSeconds(pub BTreeMap<String, f64>);

struct Stat {
    parent: u32,
    ticks: u64,
    resident_bytes: u64,
}

impl CpuSeconds {
    /// Reads the accounts now.
    pub fn read(processes: &[(String, u32)]) -> Self {
        let mut seconds = BTreeMap::new();
        for (name, pid) in processes {
            let ticks: u64 = tree(*pid).iter().map(|stat| stat.ticks).sum();
            // USER_HZ is 100 on every Linux that this runs on.
            *seconds.entry(name.clone()).or_insert(0.0) += ticks as f64 / 100.0;
        }
        Self(seconds)
    }

    /// What was used since `before`.
    pub fn since(&self, before: &Self) -> Self {
        let used =
            |(name, now): (&String, &f64)| (name.clone(), now - before.0.get(name).copied().unwrap_or(0.0));
        Self(self.0.iter().map(used).collect())
    }

    /// All trees together.
    pub fn total(&self) -> f64 {
        self.0.values().sum()
    }
}

/// Proportional memory of each named process tree, MiB (shared pages are divided among who shares them).
pub fn memory_mib(processes: &[(String, u32)]) -> BTreeMap<String, f64> {
    let mut memory = BTreeMap::new();
    for (name, pid) in processes {
        let octets: u64 = tree_pids(*pid).iter().map(|pid| proportional_bytes(*pid)).sum();
        *memory.entry(name.clone()).or_insert(0.0) += octets as f64 / 1_048_576.0;
    }
    memory
}

fn proportional_bytes(pid: u32) -> u64 {
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    let line = rollup.lines().find_map(|l| l.strip_prefix("Pss:"));
    let kibibytes = line.and_then(|l| l.trim().trim_end_matches(" kB").parse::<u64>().ok());
    kibibytes.map_or_else(|| stat(pid).map_or(0, |s| s.resident_bytes), |k| k * 1024)
}

fn tree(root: u32) -> Vec<Stat> {
    tree_pids(root).into_iter().filter_map(stat).collect()
}

/// Ids of a process, which is the first of them, and of all that it and they started.
pub fn tree_pids(root: u32) -> Vec<u32> {
    let mut children: HashMap<u32, Vec<u32>> = HashMap::new();
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    for pid in entries.filter_map(|e| e.file_name().to_str()?.parse::<u32>().ok()) {
        if let Some(stat) = stat(pid) {
            children.entry(stat.parent).or_default().push(pid);
        }
    }
    let mut found = vec![root];
    let mut next = 0;
    while next < found.len() {
        found.extend(children.get(&found[next]).into_iter().flatten().copied());
        next += 1;
    }
    found
}

/// proc(5), /proc/pid/stat: the fields after the command's closing parenthesis.
fn stat(pid: u32) -> Option<Stat> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
    let number = |index: usize| fields.get(index)?.parse::<u64>().ok();
    Some(Stat {
        parent: u32::try_from(number(1)?).ok()?,
        // utime, stime, cutime, cstime
        ticks: number(11)? + number(12)? + number(13)? + number(14)?,
        resident_bytes: number(21)? * 4096,
    })
}
