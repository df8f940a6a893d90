//! A Redis with TLS: met with the authority that is named, and with no other.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::{
    net::{TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use postern_redis::{Connection, RedisSettings};

/// A Redis behind TLS, ended with its test.
struct TlsRedis {
    child: Child,
    port: u16,
}

impl TlsRedis {
    fn start(folder: &Path) -> Self {
        let pair = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        std::fs::write(folder.join("redis.pem"), pair.cert.pem()).unwrap();
        std::fs::write(folder.join("redis.key"), pair.signing_key.serialize_pem()).unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let child = Command::new("redis-server")
            .args(["--bind", "127.0.0.1", "--port", "0", "--tls-auth-clients", "no", "--save", ""])
            .args([
                "--maxmemory-policy",
                "noeviction",
                "--tls-cert-file",
                "redis.pem",
                "--tls-key-file",
                "redis.key",
            ])
            .args(["--tls-ca-cert-file", "redis.pem", "--tls-port", &port.to_string()])
            .current_dir(folder)
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server is installed");
        let begun = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(begun.elapsed() < Duration::from_secs(10), "Redis did not start");
            std::thread::sleep(Duration::from_millis(10));
        }
        Self { child, port }
    }
}

impl Drop for TlsRedis {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test]
async fn a_redis_behind_tls_is_met_with_its_authority_only() {
    let folder = tempfile::tempdir().unwrap();
    let redis = TlsRedis::start(folder.path());
    let url = format!("rediss://localhost:{}", redis.port);
    let settings =
        RedisSettings { redis_ca_file: Some(folder.path().join("redis.pem")), ..RedisSettings::at(&url) };
    let connection = Connection::new(&settings).unwrap();
    connection.wait_until_fit().await.unwrap();
    let answer: String = redis::cmd("PING").query_async(&mut connection.clone()).await.unwrap();
    assert_eq!(answer, "PONG");
    // The authorities of the system did not sign it.
    assert!(Connection::new(&RedisSettings::at(&url)).unwrap().probe().await.is_err());
    // And nobody who speaks in clear text is heard.
    let clear = RedisSettings::at(format!("redis://localhost:{}", redis.port));
    assert!(Connection::new(&clear).unwrap().probe().await.is_err());
}
