//! The whole house as separate processes: private Postgres and Redis, an outside world, and replicas of each service.

mod blueprint;
mod ports;
mod service;
mod start;

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context as _;
use postern::{sink::Sink, stores::Stores};
use postern_mesh::{identity::MeshKey, mesh_tls::MeshTlsSettings, settings::MeshSettings};
use tempfile::TempDir;

pub use self::{blueprint::Blueprint, ports::free_ports, service::Service};
use crate::{admin::Admin, process::Process};

/// How long a service may take to be ready.
const READY_LIMIT: Duration = Duration::from_secs(60);

/// One replica: its process and where its doors are.
pub struct Replica {
    /// The process.
    pub process: Process,
    /// Doors by the name of their setting.
    pub doors: BTreeMap<&'static str, SocketAddr>,
    /// Health door.
    pub health: SocketAddr,
}

/// A running house. Everything ends with it.
pub struct Platform {
    replicas: BTreeMap<Service, Vec<Replica>>,
    environment: BTreeMap<String, String>,
    mesh_key: String,
    operator_token: String,
    /// The outside world: the smarthost that everything leaves through.
    pub sink: Sink,
    /// Postgres and Redis.
    pub stores: Stores,
    one_process: bool,
    /// Folder of scripts/make-secrets, when secrets are in files.
    secrets: Option<PathBuf>,
    folder: TempDir,
}

impl Platform {
    /// Waits until all replicas of a service are ready.
    pub async fn wait_ready(&mut self, service: Service) -> anyhow::Result<()> {
        for replica in self.replicas.entry(service).or_default() {
            replica.process.wait_ready(READY_LIMIT).await?;
        }
        Ok(())
    }

    /// All processes of the house with a name each.
    pub fn processes(&self) -> Vec<(String, u32)> {
        let mut list = Vec::new();
        for (service, replicas) in &self.replicas {
            for replica in replicas {
                let name = if self.one_process { "postern up" } else { service.binary() };
                if let Some(pid) = replica.process.pid() {
                    list.push((name.trim_start_matches("postern-").to_owned(), pid));
                }
            }
        }
        list.push(("postgres".to_owned(), self.stores.postgres_pid()));
        list.push(("redis".to_owned(), self.stores.redis_pid()));
        list
    }

    /// One replica of a service.
    pub fn replica(&mut self, service: Service, number: usize) -> &mut Replica {
        self.replicas.get_mut(&service).and_then(|r| r.get_mut(number)).expect("this replica was started")
    }

    fn door(&self, setting: &str, number: usize) -> SocketAddr {
        let doors = self.replicas.values().filter_map(|replicas| replicas.get(number)?.doors.get(setting));
        *doors.into_iter().next().expect("this door was opened")
    }

    /// POP3 door of a replica.
    pub fn pop3(&self, number: usize) -> SocketAddr {
        self.door("POSTERN_POP3_LISTEN", number)
    }

    /// POP3S door of a replica.
    pub fn pop3s(&self, number: usize) -> SocketAddr {
        self.door("POSTERN_POP3S_LISTEN", number)
    }

    /// MX door of a replica.
    pub fn smtp(&self, number: usize) -> SocketAddr {
        self.door("POSTERN_SMTP_LISTEN", number)
    }

    /// Submission door of a replica.
    pub fn submission(&self, number: usize) -> SocketAddr {
        self.door("POSTERN_SUBMISSION_LISTEN", number)
    }

    /// SMTPS door of a replica.
    pub fn smtps(&self, number: usize) -> SocketAddr {
        self.door("POSTERN_SMTPS_LISTEN", number)
    }

    /// Door of the control panel, plain HTTP.
    pub fn panel(&self) -> SocketAddr {
        self.door("POSTERN_PANEL_LISTEN", 0)
    }

    /// Door of the control panel, HTTPS.
    pub fn panel_tls(&self) -> SocketAddr {
        self.door("POSTERN_PANEL_TLS_LISTEN", 0)
    }

    /// gRPC door of account, the first replica.
    pub fn account_door(&self) -> SocketAddr {
        self.door("POSTERN_ACCOUNT_LISTEN", 0)
    }

    /// gRPC door of auth, the first replica.
    pub fn auth_door(&self) -> SocketAddr {
        self.door("POSTERN_AUTH_LISTEN", 0)
    }

    /// gRPC door of delivery, the first replica.
    pub fn delivery_door(&self) -> SocketAddr {
        self.door("POSTERN_DELIVERY_LISTEN", 0)
    }

    /// What makes its bearer an operator.
    pub fn operator_token(&self) -> &str {
        &self.operator_token
    }

    /// The operator's calls.
    pub fn admin(&self) -> anyhow::Result<Admin> {
        let url = |name: &str| self.environment.get(name).cloned().context("a service URL");
        let mut mesh = MeshSettings::with_key(MeshKey::from_hex(&self.mesh_key)?);
        // Whoever has a certificate of the house may show people's assertions.
        if let Some((certificate, key)) = self.certificate_of("control-panel") {
            mesh.tls = MeshTlsSettings {
                mesh_tls_ca: self.environment.get("POSTERN_MESH_TLS_CA").map(PathBuf::from),
                mesh_tls_certificate: Some(certificate),
                mesh_tls_key: Some(key),
            };
        }
        Admin::connect_with(
            &url("POSTERN_ACCOUNT_URL")?,
            &url("POSTERN_AUTH_URL")?,
            &url("POSTERN_DELIVERY_URL")?,
            &mesh,
        )
    }

    /// Certificate and key of a service.
    fn certificate_of(&self, service: &str) -> Option<(PathBuf, PathBuf)> {
        let mine = self.secrets.as_ref()?.join("mesh").join(service);
        Some((mine.join("certificate.pem"), mine.join("key.pem")))
    }

    /// Runs the `postern` command as an operator would; returns exit code, stdout and stderr.
    pub async fn postern(&self, arguments: &[&str], stdin: &str) -> anyhow::Result<(i32, String, String)> {
        self.postern_with(&[], arguments, stdin).await
    }

    /// The same with more in its environment.
    pub async fn postern_with(
        &self,
        more: &[(&str, &str)],
        arguments: &[&str],
        stdin: &str,
    ) -> anyhow::Result<(i32, String, String)> {
        let mut environment = self.environment.clone();
        environment.extend(more.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        run(&crate::process::binary_folder()?.join("postern"), arguments, &environment, stdin).await
    }

    /// Settings that all services have in common; those of the operator's command, too.
    pub fn environment(&self) -> &BTreeMap<String, String> {
        &self.environment
    }

    /// A folder of the test's own.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The authority that signed the house's certificates (local profile).
    pub fn authority(&self) -> PathBuf {
        self.folder.path().join("tls").join("ca.pem")
    }
}

/// Runs a program with an environment of its own and some input; returns exit code, stdout and stderr.
pub async fn run(
    program: &Path,
    arguments: &[&str],
    environment: &BTreeMap<String, String>,
    stdin: &str,
) -> anyhow::Result<(i32, String, String)> {
    use tokio::io::AsyncWriteExt as _;
    let mut child = tokio::process::Command::new(program)
        .args(arguments)
        .envs(environment)
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("start {}", program.display()))?;
    if let Some(mut input) = child.stdin.take() {
        // A program that does not read its input is not an error of the test.
        let _ = input.write_all(stdin.as_bytes()).await;
    }
    let output = tokio::time::timeout(Duration::from_secs(60), child.wait_with_output()).await??;
    Ok((
        output.status.code().unwrap_or(-1),
        String::from_utf8_lossy(&output.stdout).into_owned(),
        String::from_utf8_lossy(&output.stderr).into_owned(),
    ))
}
