//! Machines of a house that can be cut off from each other: network namespaces, each with one cable to a bridge in a namespace of
//! its own, where the stores and the clients are. Nothing of this machine's own network is touched. Only root can make them.

use std::{
    fs::File,
    net::Ipv4Addr,
    process::{Command, Stdio},
    sync::atomic::{AtomicUsize, Ordering},
};

use anyhow::{Context as _, bail, ensure};
use nix::sched::{CloneFlags, setns};

/// The documentation network (RFC 5737): it leads nowhere, and is as public as a client's address.
const NETWORK: &str = "198.51.100";
/// All of it, as settings write it.
pub const EVERYBODY: &str = "198.51.100.0/24";

/// How machines lose each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// What is sent is thrown away on the way, as by a broken switch: nobody is told anything.
    Dropped,
    /// The cable is pulled: neighbours are not found any more.
    Pulled,
}

/// One machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine {
    /// Name of its namespace.
    pub namespace: String,
    /// Its address.
    pub address: Ipv4Addr,
}

/// A machine in the middle, where the test is, and others around it.
#[derive(Debug)]
pub struct Network {
    /// Where the test, the stores and the clients are.
    pub middle: Machine,
    /// The others.
    pub around: Vec<Machine>,
}

impl Network {
    /// The middle, and so many others.
    pub fn build(count: u8) -> anyhow::Result<Self> {
        static BUILT: AtomicUsize = AtomicUsize::new(0);
        ensure!(nix::unistd::geteuid().is_root(), "network namespaces can only be made by root");
        let name = format!("postern-{}-{}", std::process::id(), BUILT.fetch_add(1, Ordering::Relaxed));
        let machine = |number: u8| -> anyhow::Result<Machine> {
            let address = format!("{NETWORK}.{}", number + 1).parse()?;
            Ok(Machine { namespace: format!("{name}-{number}"), address })
        };
        let around = (1..=count).map(machine).collect::<anyhow::Result<_>>()?;
        // From here on what is made is taken away again, also when the rest fails.
        let network = Self { middle: machine(0)?, around };
        let middle = &network.middle;
        for machine in network.machines() {
            ip(&["netns", "add", &machine.namespace])?;
            machine.ip(&["link", "set", "lo", "up"])?;
        }
        middle.ip(&["link", "add", "bridge", "type", "bridge"])?;
        middle.ip(&["address", "add", &format!("{}/24", middle.address), "dev", "bridge"])?;
        middle.ip(&["link", "set", "bridge", "up"])?;
        for machine in &network.around {
            let (port, namespace) = (machine.port(), &machine.namespace);
            middle
                .ip(&["link", "add", &port, "type", "veth", "peer", "name", "cable", "netns", namespace])?;
            middle.ip(&["link", "set", &port, "master", "bridge", "up"])?;
            machine.ip(&["address", "add", &format!("{}/24", machine.address), "dev", "cable"])?;
            machine.ip(&["link", "set", "cable", "up"])?;
        }
        Ok(network)
    }

    fn machines(&self) -> impl Iterator<Item = &Machine> {
        std::iter::once(&self.middle).chain(&self.around)
    }

    /// Runs a test in the middle: all its sockets, and the programs that it starts there, are in that namespace.
    pub fn run<F: Future<Output = anyhow::Result<()>>>(
        &self,
        test: impl FnOnce() -> F + Send,
    ) -> anyhow::Result<()> {
        let namespace = File::open(format!("/run/netns/{}", self.middle.namespace))?;
        std::thread::scope(|scope| {
            let running = scope.spawn(|| {
                setns(&namespace, CloneFlags::CLONE_NEWNET)?;
                // A thread is where the thread is that makes it.
                let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
                runtime.block_on(test())
            });
            running.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// Cuts one machine off from all others.
    pub fn cut(&self, machine: &Machine, how: Cut) -> anyhow::Result<()> {
        let address = machine.address;
        match how {
            Cut::Dropped => self.middle.nft(&format!(
                "table bridge cut {{
                    chain through {{
                        type filter hook prerouting priority -300;
                        ip saddr {address} drop
                        ip daddr {address} drop
                    }}
                    chain out {{
                        type filter hook output priority -300;
                        ip daddr {address} drop
                    }}
                }}"
            )),
            Cut::Pulled => self.middle.ip(&["link", "set", &machine.port(), "down"]),
        }
    }

    /// All find each other again.
    pub fn mend(&self) -> anyhow::Result<()> {
        self.middle.nft("flush ruleset")?;
        self.around.iter().try_for_each(|machine| self.middle.ip(&["link", "set", &machine.port(), "up"]))
    }

    /// How often the middle sends again what nobody confirms, before it gives a connection up: a few seconds, instead of a quarter of an
    /// hour, so that it can be seen what becomes of connections that one end has given up.
    pub fn give_up_soon(&self) -> anyhow::Result<()> {
        for setting in ["tcp_retries2", "tcp_orphan_retries"] {
            self.middle.run("sh", &["-c", &format!("echo 3 > /proc/sys/net/ipv4/{setting}")])?;
        }
        Ok(())
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for machine in self.machines() {
            // What was not made yet cannot be taken away.
            let _ = ip(&["netns", "delete", &machine.namespace]);
        }
    }
}

impl Machine {
    /// Its end of the cable at the bridge.
    fn port(&self) -> String {
        format!("port{}", self.address.octets()[3])
    }

    /// `ip` in this machine.
    fn ip(&self, arguments: &[&str]) -> anyhow::Result<()> {
        ip(&[&["-n", &self.namespace], arguments].concat())
    }

    fn run(&self, program: &str, arguments: &[&str]) -> anyhow::Result<()> {
        ip(&[&["netns", "exec", &self.namespace, program], arguments].concat())
    }

    fn nft(&self, rules: &str) -> anyhow::Result<()> {
        self.run("nft", &[rules])
    }
}

fn ip(arguments: &[&str]) -> anyhow::Result<()> {
    let output = Command::new("ip").args(arguments).stdin(Stdio::null()).output().context("ip")?;
    if !output.status.success() {
        bail!("ip {}: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr));
    }
    Ok(())
}
