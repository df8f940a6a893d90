//! What a process of the house counts, as Prometheus reads it.

use std::net::SocketAddr;

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

/// Everything that the health door of a process tells.
pub async fn all(health: SocketAddr) -> anyhow::Result<String> {
    let mut stream = TcpStream::connect(health).await?;
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n").await?;
    let mut text = String::new();
    stream.read_to_string(&mut text).await?;
    Ok(text)
}

/// The sum of a metric over those of its lines that have all of these labels, each as `name="value"`.
pub async fn sum(health: SocketAddr, name: &str, labels: &[&str]) -> anyhow::Result<f64> {
    let text = all(health).await?;
    let mine = text
        .lines()
        .filter_map(|line| line.strip_prefix(name))
        .filter(|rest| rest.starts_with(['{', ' ']) && labels.iter().all(|label| rest.contains(label)));
    Ok(mine.filter_map(|rest| rest.rsplit(' ').next()?.parse::<f64>().ok()).sum())
}
