//! Ports for the servers of tests.

use std::{
    net::{SocketAddr, TcpListener},
    sync::{
        LazyLock,
        atomic::{AtomicU16, Ordering},
    },
};

use anyhow::bail;

/// Below the range that outgoing connections take their ports from (ip_local_port_range begins at 32768).
const PORTS: std::ops::Range<u16> = 10_000..32_000;

/// Free loopback ports, all different, never the same twice in one test program.
pub fn free_ports(count: usize) -> anyhow::Result<Vec<SocketAddr>> {
    static BEGIN: LazyLock<u16> = LazyLock::new(rand::random);
    static TAKEN: AtomicU16 = AtomicU16::new(0);
    let span = PORTS.end - PORTS.start;
    let mut ports = Vec::with_capacity(count);
    for _ in 0..span {
        let number = BEGIN.wrapping_add(TAKEN.fetch_add(1, Ordering::Relaxed));
        let address = SocketAddr::from(([127, 0, 0, 1], PORTS.start + number % span));
        if TcpListener::bind(address).is_ok() {
            ports.push(address);
        }
        if ports.len() == count {
            return Ok(ports);
        }
    }
    bail!("no {count} free ports in {PORTS:?}")
}
