//! The whole house as separate processes: private Postgres and Redis, an outside world, and replicas of each service.

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    sync::{
        LazyLock,
        atomic::{AtomicU16, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, bail};
use postern::{
    sink::{Sink, SinkSettings},
    stores::{Stores, Wanted},
};
use postern_mesh::{identity::MeshKey, mesh_tls::MeshTlsSettings, settings::MeshSettings};
use tempfile::TempDir;

use crate::{
    admin::Admin,
    network::{self, Machine, Network},
    open_stores::OpenStores,
    process::Process,
};

/// How long a service may take to be ready.
const READY_LIMIT: Duration = Duration::from_secs(60);

/// The services that run as processes, in the order they are started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Service {
    /// account
    Account,
    /// auth
    Auth,
    /// delivery
    Delivery,
    /// pop3-gateway
    Pop3,
    /// smtp-gateway
    Smtp,
    /// control-panel
    Panel,
}

impl Service {
    /// All of them, in starting order.
    pub const ALL: [Self; 6] =
        [Self::Account, Self::Auth, Self::Delivery, Self::Pop3, Self::Smtp, Self::Panel];

    /// Name of its binary.
    pub fn binary(self) -> &'static str {
        match self {
            Self::Account => "postern-account",
            Self::Auth => "postern-auth",
            Self::Delivery => "postern-delivery",
            Self::Pop3 => "postern-pop3-gateway",
            Self::Smtp => "postern-smtp-gateway",
            Self::Panel => "postern-control-panel",
        }
    }

    /// Settings that name its doors.
    fn doors(self) -> &'static [&'static str] {
        match self {
            Self::Account => &["POSTERN_ACCOUNT_LISTEN"],
            Self::Auth => &["POSTERN_AUTH_LISTEN"],
            Self::Delivery => &["POSTERN_DELIVERY_LISTEN"],
            Self::Pop3 => &["POSTERN_POP3_LISTEN", "POSTERN_POP3S_LISTEN"],
            Self::Smtp => &["POSTERN_SMTP_LISTEN", "POSTERN_SUBMISSION_LISTEN", "POSTERN_SMTPS_LISTEN"],
            Self::Panel => &["POSTERN_PANEL_LISTEN", "POSTERN_PANEL_TLS_LISTEN"],
        }
    }
}

/// One replica: its process and where its doors are.
pub struct Replica {
    /// The process.
    pub process: Process,
    /// Doors by the name of their setting.
    pub doors: BTreeMap<&'static str, SocketAddr>,
    /// Health door.
    pub health: SocketAddr,
}

/// What to start.
#[derive(Default)]
pub struct Blueprint {
    replicas: BTreeMap<Service, usize>,
    environment: BTreeMap<String, String>,
    one_process: bool,
    secrets_in_files: bool,
    secrets_from: Option<PathBuf>,
    stores: Option<Stores>,
    stores_elsewhere: bool,
    /// Where the first replica of each service is, the second, and so on; none: here.
    machines: Vec<Machine>,
    /// Where the outside world is.
    outside: Option<Ipv4Addr>,
}

impl Blueprint {
    /// One replica of each service.
    pub fn new() -> Self {
        Self::default()
    }

    /// So many replicas of a service.
    #[must_use]
    pub fn replicas(mut self, service: Service, count: usize) -> Self {
        self.replicas.insert(service, count);
        self
    }

    /// A setting for every service.
    #[must_use]
    pub fn set(mut self, name: &str, value: &str) -> Self {
        self.environment.insert(name.to_owned(), value.to_owned());
        self
    }

    /// The house of `postern up`: all services in one process.
    #[must_use]
    pub fn one_process(mut self) -> Self {
        self.one_process = true;
        self
    }

    /// Secrets as scripts/make-secrets lays them down, and TLS between the services.
    #[must_use]
    pub fn secrets_in_files(mut self) -> Self {
        self.secrets_in_files = true;
        self
    }

    /// The same with a copy of the secrets of another house.
    #[must_use]
    pub fn secrets_from(mut self, folder: &Path) -> Self {
        self.secrets_from = Some(folder.to_owned());
        self.secrets_in_files()
    }

    /// On stores that run already, with what is in them.
    #[must_use]
    pub fn on_stores(mut self, stores: Stores) -> Self {
        self.stores = Some(stores);
        self
    }

    /// On stores with doors of TCP.
    #[must_use]
    pub fn on_open_stores(mut self, stores: &OpenStores) -> Self {
        self.stores_elsewhere = true;
        self.set("POSTERN_DATABASE_URL", &stores.database_url()).set("POSTERN_REDIS_URL", &stores.redis_url())
    }

    /// On the machines of a network: the first replica of each service on the first one, and so on. The outside world is in the
    /// middle.
    #[must_use]
    pub fn across(mut self, network: &Network) -> Self {
        self.machines.clone_from(&network.around);
        self.outside = Some(network.middle.address);
        self.set("POSTERN_LIMITS_EXEMPT_NETWORKS", network::EVERYBODY)
    }

    fn machine(&self, number: usize) -> Option<&Machine> {
        self.machines.get(number % self.machines.len().max(1))
    }

    /// Starts everything and waits until it is ready.
    pub async fn start(mut self) -> anyhow::Result<Platform> {
        let folder = tempfile::Builder::new().prefix("postern-test-").tempdir()?;
        let stores = match self.stores.take() {
            Some(stores) => stores,
            None => {
                let own = !self.stores_elsewhere;
                let wanted = Wanted { postgres: own, redis: own };
                let starting = Stores::start_some(&folder.path().join("stores"), wanted).await;
                starting.context("start Postgres and Redis")?
            }
        };
        let mut world = SinkSettings::default();
        if let Some(address) = self.outside {
            world.listen.set_ip(address.into());
        }
        let sink = Sink::start(world).await.context("start the outside world")?;
        let mut platform = Platform {
            replicas: BTreeMap::new(),
            environment: BTreeMap::new(),
            mesh_key: random_hex(32),
            operator_token: random_hex(16),
            sink,
            stores,
            one_process: self.one_process,
            secrets: None,
            folder,
        };
        platform.common_environment(&self);
        if self.secrets_in_files {
            platform.put_secrets_in_files(self.secrets_from.as_deref())?;
        }
        if self.one_process {
            platform.start_one_process().await?;
        } else {
            platform.start_separate(&self).await?;
        }
        Ok(platform)
    }
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
    fn common_environment(&mut self, blueprint: &Blueprint) {
        let blobs = self.folder.path().join("blobs");
        let tls = self.folder.path().join("tls");
        let settings: [(&str, String); 16] = [
            ("POSTERN_DATABASE_URL", self.stores.database_url()),
            ("POSTERN_REDIS_URL", self.stores.redis_url()),
            ("POSTERN_BLOB_URL", format!("file://{}", blobs.display())),
            ("POSTERN_TLS_SELF_SIGNED", tls.display().to_string()),
            ("POSTERN_MESH_KEY", self.mesh_key.clone()),
            ("POSTERN_OPERATOR_TOKEN", self.operator_token.clone()),
            ("POSTERN_SMARTHOST", self.sink.address().to_string()),
            ("POSTERN_MAIL_HOST", "mail.postern.test".to_owned()),
            ("POSTERN_GRANT_REFUSED_NETWORKS", "none".to_owned()),
            ("POSTERN_NEW_DOMAINS_LIVE", "true".to_owned()),
            ("POSTERN_PLAINTEXT_LOGIN", "true".to_owned()),
            ("POSTERN_LIMITS_EXEMPT_NETWORKS", "127.0.0.0/8,::1/128".to_owned()),
            ("POSTERN_LIMIT_RECIPIENTS_PER_HOUR_MAILBOX", "0".to_owned()),
            ("POSTERN_LIMIT_RECIPIENTS_PER_HOUR_CLIENT", "0".to_owned()),
            // Who tests wrong passwords does not wait for the answers, save in the story of the waiting.
            ("POSTERN_LOGIN_HOLD_BACK_SECONDS", "0".to_owned()),
            ("POSTERN_LOG", "info".to_owned()),
        ];
        self.environment.extend(settings.into_iter().map(|(name, value)| (name.to_owned(), value)));
        self.environment.extend(blueprint.environment.clone());
    }

    /// As docker-compose.yml: each secret by its file, and a certificate for each service.
    fn put_secrets_in_files(&mut self, from: Option<&Path>) -> anyhow::Result<()> {
        let secrets = self.folder.path().join("secrets");
        if let Some(from) = from {
            // What is there the script leaves as it is.
            let copied = std::process::Command::new("cp").arg("-a").arg(from).arg(&secrets).status()?;
            anyhow::ensure!(copied.success(), "copy {}", from.display());
        }
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/make-secrets");
        let made =
            std::process::Command::new(script).arg(&secrets).output().context("scripts/make-secrets")?;
        if !made.status.success() {
            bail!("scripts/make-secrets: {}", String::from_utf8_lossy(&made.stderr));
        }
        self.mesh_key = std::fs::read_to_string(secrets.join("mesh-key"))?;
        self.operator_token = std::fs::read_to_string(secrets.join("operator-token"))?.trim().to_owned();
        // The stores are those of the test.
        for (file, url) in
            [("database-url", self.stores.database_url()), ("redis-url", self.stores.redis_url())]
        {
            std::fs::remove_file(secrets.join(file))?;
            std::fs::write(secrets.join(file), url)?;
        }
        for (setting, file) in [
            ("POSTERN_DATABASE_URL", "database-url"),
            ("POSTERN_REDIS_URL", "redis-url"),
            ("POSTERN_MESH_KEY", "mesh-key"),
            ("POSTERN_OPERATOR_TOKEN", "operator-token"),
        ] {
            self.environment.remove(setting);
            let path = secrets.join(file).display().to_string();
            self.environment.insert(format!("{setting}_FILE"), path);
        }
        let authority = secrets.join("authority/ca.pem").display().to_string();
        self.environment.insert("POSTERN_MESH_TLS_CA".to_owned(), authority);
        self.secrets = Some(secrets);
        Ok(())
    }

    /// Certificate and key of a service.
    fn certificate_of(&self, service: &str) -> Option<(PathBuf, PathBuf)> {
        let mine = self.secrets.as_ref()?.join("mesh").join(service);
        Some((mine.join("certificate.pem"), mine.join("key.pem")))
    }

    async fn start_separate(&mut self, blueprint: &Blueprint) -> anyhow::Result<()> {
        // Every door gets its port before anything starts, so that replicas can be told of each other.
        let mut plan = Vec::new();
        for service in Service::ALL {
            let count = blueprint.replicas.get(&service).copied().unwrap_or(1);
            let doors = |number: usize| {
                let mut doors = free_ports(service.doors().len() + 1)?;
                if let Some(machine) = blueprint.machine(number) {
                    doors.iter_mut().for_each(|door| door.set_ip(machine.address.into()));
                }
                anyhow::Ok(doors)
            };
            plan.push((service, (0..count).map(doors).collect::<Result<Vec<_>, _>>()?));
        }
        for (service, setting) in [
            (Service::Account, "POSTERN_ACCOUNT_URL"),
            (Service::Auth, "POSTERN_AUTH_URL"),
            (Service::Delivery, "POSTERN_DELIVERY_URL"),
        ] {
            let urls = plan.iter().filter(|(s, _)| *s == service).flat_map(|(_, r)| r);
            let scheme = if self.secrets.is_some() { "https" } else { "http" };
            let urls: Vec<_> = urls.map(|ports| format!("{scheme}://{}", ports[0])).collect();
            self.environment.insert(setting.to_owned(), urls.join(","));
        }
        // What the panel tells people of the doors that they use.
        let first = |service| plan.iter().find(|(s, _)| *s == service).and_then(|(_, r)| r.first());
        if let (Some(pop3), Some(smtp)) = (first(Service::Pop3), first(Service::Smtp)) {
            let ports = [("pop3", pop3[0]), ("pop3s", pop3[1]), ("submission", smtp[1]), ("smtps", smtp[2])];
            let ports = ports.map(|(name, address)| format!("{name}={}", address.port()));
            self.environment.insert("POSTERN_PUBLIC_PORTS".to_owned(), ports.join(","));
        }
        for (service, replicas) in plan {
            for (number, ports) in replicas.into_iter().enumerate() {
                let replica = self.describe(service, number, &ports, blueprint.machine(number))?;
                self.replicas.entry(service).or_default().push(replica);
            }
        }
        for service in Service::ALL {
            for replica in self.replicas.entry(service).or_default() {
                replica.process.spawn()?;
            }
        }
        for service in Service::ALL {
            self.wait_ready(service).await?;
        }
        Ok(())
    }

    fn describe(
        &self,
        service: Service,
        number: usize,
        ports: &[SocketAddr],
        machine: Option<&Machine>,
    ) -> anyhow::Result<Replica> {
        let mut environment = self.environment.clone();
        let mut doors = BTreeMap::new();
        for (name, address) in service.doors().iter().zip(ports) {
            environment.insert((*name).to_owned(), address.to_string());
            doors.insert(*name, *address);
        }
        if let Some((certificate, key)) = self.certificate_of(service.binary().trim_start_matches("postern-"))
        {
            for (setting, file) in
                [("POSTERN_MESH_TLS_CERTIFICATE", certificate), ("POSTERN_MESH_TLS_KEY", key)]
            {
                environment.insert(setting.to_owned(), file.display().to_string());
            }
        }
        let health = *ports.last().context("a health port")?;
        environment.insert("POSTERN_HEALTH_LISTEN".to_owned(), health.to_string());
        let log = self.folder.path().join(format!("{}-{number}.log", service.binary()));
        let mut process = Process::new(service.binary(), &[], environment, &log, Some(health))?;
        if let Some(machine) = machine {
            process = process.inside(&machine.namespace);
        }
        Ok(Replica { process, doors, health })
    }

    async fn start_one_process(&mut self) -> anyhow::Result<()> {
        let mut doors = BTreeMap::new();
        let names: Vec<_> = Service::ALL.iter().flat_map(|s| s.doors()).copied().collect();
        let more = ["POSTERN_HEALTH_LISTEN"];
        let ports = free_ports(names.len() + more.len())?;
        for (name, address) in names.iter().chain(&more).zip(&ports) {
            self.environment.insert((*name).to_owned(), address.to_string());
            doors.insert(*name, *address);
        }
        for (door, url) in [("ACCOUNT", 0), ("AUTH", 1), ("DELIVERY", 2)] {
            self.environment.insert(format!("POSTERN_{door}_URL"), format!("http://{}", ports[url]));
        }
        let home = self.folder.path().join("home");
        self.environment.insert("POSTERN_HOME".to_owned(), home.display().to_string());
        let health = *ports.last().context("a health port")?;
        let log = self.folder.path().join("postern-up.log");
        let mut process = Process::new("postern", &["up"], self.environment.clone(), &log, Some(health))?;
        process.spawn()?;
        process.wait_ready(READY_LIMIT).await?;
        // In this shape every service is the same process; it is kept under the first one's name.
        self.replicas.insert(Service::Account, vec![Replica { process, doors, health }]);
        Ok(())
    }

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

fn random_hex(octets: usize) -> String {
    (0..octets).map(|_| format!("{:02x}", rand::random::<u8>())).collect()
}
