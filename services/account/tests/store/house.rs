//! A private Postgres on a unix socket, shared by the tests that run at the same time, and replicas of the service on it.

use std::{
    os::unix::fs::chown,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex, Weak},
    time::{Duration, Instant},
};

use postern_account::{DelegationSettings, Settings};
use postern_mesh::{
    client::MeshChannel,
    identity::{Caller, MeshKey, Role},
    settings::MeshSettings,
    shutdown::Shutdown,
};
use postern_proto::account::v1::{
    CreateCustomerRequest, CreateDomainRequest, Customer, Domain, NewPassword,
    audit_service_client::AuditServiceClient, autoresponder_service_client::AutoresponderServiceClient,
    customer_service_client::CustomerServiceClient,
    default_address_service_client::DefaultAddressServiceClient,
    directory_service_client::DirectoryServiceClient, domain_service_client::DomainServiceClient,
    forward_service_client::ForwardServiceClient, mail_key_service_client::MailKeyServiceClient,
    mailbox_service_client::MailboxServiceClient, mailing_list_service_client::MailingListServiceClient,
    new_password::Secret, storage_service_client::StorageServiceClient,
};
use tempfile::TempDir;

use crate::dns::World;

/// A ready hash of "postern-demo", so that the tests do not spend their time on hashing.
pub(crate) const PHC: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHRzYWx0c2FsdA$aGFzaGhhc2hoYXNoaGFzaGhhc2hoYXNoaGFzaGhhc2g";

/// A Postgres of our own.
pub(crate) struct Postgres {
    server: Child,
    folder: TempDir,
}

static RUNNING: Mutex<Weak<Postgres>> = Mutex::new(Weak::new());

impl Postgres {
    /// The one that runs already, or a new one.
    pub(crate) fn start() -> Arc<Self> {
        let mut running = RUNNING.lock().unwrap();
        if let Some(postgres) = running.upgrade() {
            return postgres;
        }
        let postgres = Arc::new(Self::launch(&[]));
        *running = Arc::downgrade(&postgres);
        postgres
    }

    /// A new one with more settings.
    pub(crate) fn launch(settings: &[&str]) -> Self {
        let folder = tempfile::Builder::new().prefix("pa").tempdir_in(base_folder()).unwrap();
        give_to_postgres(folder.path());
        let data = folder.path().join("data");
        let made = as_postgres("initdb")
            .args([
                "--no-sync",
                "--auth=trust",
                "--username=postern",
                "--encoding=UTF8",
                "--locale=C.UTF-8",
                "-D",
            ])
            .arg(&data)
            .stdout(Stdio::null())
            .status()
            .unwrap();
        assert!(made.success(), "initdb");
        let mut server = as_postgres("postgres");
        server.arg("-D").arg(&data).arg("-k").arg(folder.path()).args(["-c", "listen_addresses="]);
        for setting in settings {
            server.args(["-c", setting]);
        }
        let log = std::fs::File::create(folder.path().join("log")).unwrap();
        let server = server.stdout(Stdio::null()).stderr(log).spawn().unwrap();
        let postgres = Self { server, folder };
        postgres.wait();
        postgres
    }

    /// A database of this name, made when it is missing.
    pub(crate) fn database(&self, name: &str) -> String {
        let made = self.tool("createdb").arg(name).status().unwrap();
        assert!(made.success(), "createdb {name}");
        format!("postgres:///{name}?host={}&user=postern", self.folder.path().display())
    }

    /// What a database says to a question, as text.
    pub(crate) fn ask(&self, database: &str, sql: &str) -> String {
        let output = self.tool("psql").args(["-qAt", "-d", database, "-c", sql]).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// Ends every connection to this database; the server is other tests' too.
    pub(crate) fn cut_connections(&self, database: &str) {
        let sql = "select pg_terminate_backend(pid) from pg_stat_activity \
            where backend_type = 'client backend' and datname = current_database() and pid <> pg_backend_pid()";
        let done = self
            .tool("psql")
            .args(["-qAt", "-d", database, "-c", sql])
            .stdout(Stdio::null())
            .status()
            .unwrap();
        assert!(done.success());
    }

    /// What a statement answers, as psql shows it.
    pub(crate) fn query(&self, database: &str, sql: &str) -> String {
        let output = self.tool("psql").args(["-qAt", "-d", database, "-c", sql]).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// Runs a statement.
    pub(crate) fn run(&self, database: &str, sql: &str) {
        let done = self.tool("psql").args(["-qAt", "-d", database, "-c", sql]).status().unwrap();
        assert!(done.success(), "{sql}");
    }

    fn tool(&self, name: &str) -> Command {
        let mut tool = as_postgres(name);
        tool.arg("-h").arg(self.folder.path()).args(["-U", "postern"]);
        tool
    }

    fn wait(&self) {
        let until = Instant::now() + Duration::from_secs(20);
        while !self.tool("pg_isready").stdout(Stdio::null()).status().unwrap().success() {
            let log = self.folder.path().join("log");
            assert!(Instant::now() < until, "{}", std::fs::read_to_string(log).unwrap_or_default());
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // SIGINT: fast shutdown.
        let _ = Command::new("kill").args(["-INT", &self.server.id().to_string()]).status();
        let _ = self.server.wait();
    }
}

/// One replica of the account service, with an operator at its door.
pub(crate) struct Replica {
    pub(crate) shutdown: Shutdown,
    operator: MeshChannel,
    service: MeshChannel,
}

impl Replica {
    pub(crate) async fn open(database_url: &str) -> Self {
        Self::open_with(database_url, true, DelegationSettings::default()).await
    }

    /// The same with a way into service of its own.
    pub(crate) async fn open_with(
        database_url: &str,
        new_domains_live: bool,
        delegation: DelegationSettings,
    ) -> Self {
        let settings = Settings {
            database_url: Some(database_url.to_owned()),
            database_url_file: None,
            database_connections: 8,
            new_domains_live,
            delegation,
            vault_days: 30,
            limits: postern_account::LimitDefaults::off(),
            audit_days: 400,
            argon2_workers: 0,
            account_listen: "127.0.0.1:0".parse().unwrap(),
        };
        let shutdown = Shutdown::new();
        let routes = postern_account::open(&settings, &shutdown).await.unwrap();
        let mesh = MeshSettings::with_key(MeshKey::random());
        let service = MeshChannel::local(routes, "test", &mesh);
        let operator = service.with_caller(Caller::new("test", Role::Operator));
        Self { shutdown, operator, service }
    }

    /// Domains as a customer sees them.
    pub(crate) fn domains_of(&self, customer: &str) -> DomainServiceClient<MeshChannel> {
        DomainServiceClient::new(self.service.with_caller(Caller::customer(customer, customer)))
    }

    /// Mailboxes as a customer sees them.
    pub(crate) fn mailboxes_of(&self, customer: &str) -> MailboxServiceClient<MeshChannel> {
        MailboxServiceClient::new(self.service.with_caller(Caller::customer(customer, customer)))
    }

    pub(crate) fn customers(&self) -> CustomerServiceClient<MeshChannel> {
        CustomerServiceClient::new(self.operator.clone())
    }
    pub(crate) fn domains(&self) -> DomainServiceClient<MeshChannel> {
        DomainServiceClient::new(self.operator.clone())
    }
    pub(crate) fn mailboxes(&self) -> MailboxServiceClient<MeshChannel> {
        MailboxServiceClient::new(self.operator.clone())
    }
    pub(crate) fn forwards(&self) -> ForwardServiceClient<MeshChannel> {
        ForwardServiceClient::new(self.operator.clone())
    }
    pub(crate) fn defaults(&self) -> DefaultAddressServiceClient<MeshChannel> {
        DefaultAddressServiceClient::new(self.operator.clone())
    }
    pub(crate) fn lists(&self) -> MailingListServiceClient<MeshChannel> {
        MailingListServiceClient::new(self.operator.clone())
    }
    /// As delivery calls.
    pub(crate) fn lists_of_mesh(&self) -> MailingListServiceClient<MeshChannel> {
        MailingListServiceClient::new(self.service.clone())
    }
    pub(crate) fn autoresponders(&self) -> AutoresponderServiceClient<MeshChannel> {
        AutoresponderServiceClient::new(self.operator.clone())
    }
    /// As delivery calls.
    pub(crate) fn autoresponders_of_mesh(&self) -> AutoresponderServiceClient<MeshChannel> {
        AutoresponderServiceClient::new(self.service.clone())
    }
    pub(crate) fn audit(&self) -> AuditServiceClient<MeshChannel> {
        AuditServiceClient::new(self.operator.clone())
    }
    /// The way of somebody else.
    pub(crate) fn channel_of(&self, caller: Caller) -> MeshChannel {
        self.service.with_caller(caller)
    }
    pub(crate) fn storage(&self) -> StorageServiceClient<MeshChannel> {
        StorageServiceClient::new(self.service.clone())
    }
    /// As delivery calls.
    pub(crate) fn mail_keys(&self) -> MailKeyServiceClient<MeshChannel> {
        MailKeyServiceClient::new(self.service.clone())
    }
    pub(crate) fn directory(&self) -> DirectoryServiceClient<MeshChannel> {
        DirectoryServiceClient::new(self.service.clone())
    }

    pub(crate) async fn customer(&self, login: &str) -> Customer {
        let request = CreateCustomerRequest { login: login.into(), password: ready(), ..Default::default() };
        self.customers().create_customer(request).await.unwrap().into_inner().customer.unwrap()
    }

    pub(crate) async fn domain(&self, name: &str, customer: &str) -> Domain {
        let request =
            CreateDomainRequest { name: name.into(), customer: customer.into(), ..Default::default() };
        self.domains().create_domain(request).await.unwrap().into_inner().domain.unwrap()
    }
}

impl Drop for Replica {
    fn drop(&mut self) {
        self.shutdown.trigger();
    }
}

/// A platform that asks this world: name servers `ns1` and `ns2.postern.test`, mail host `mail.postern.test`.
pub(crate) fn asking(world: &World) -> DelegationSettings {
    DelegationSettings {
        resolver: vec![world.address],
        name_servers: vec!["ns1.postern.test".into(), "NS2.postern.test.".into()],
        mail_host_addresses: vec!["192.0.2.1".parse().unwrap()],
        ..Default::default()
    }
}

/// A password that needs no hashing.
pub(crate) fn ready() -> Option<NewPassword> {
    Some(NewPassword { secret: Some(Secret::Phc(PHC.into())) })
}

/// Memory where there is enough of it: these tests are about what Postgres promises, not about the disk.
fn base_folder() -> &'static str {
    let free = Command::new("df").args(["--output=avail", "-k", "/dev/shm"]).stderr(Stdio::null()).output();
    let free = free.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    let free_kib: u64 = free.lines().last().and_then(|line| line.trim().parse().ok()).unwrap_or_default();
    if free_kib > 1024 * 1024 { "/dev/shm" } else { "/tmp" }
}

/// Postgres does not run as root.
fn as_postgres(program: &str) -> Command {
    let program = binary(program);
    if !is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command
        .args(["--reuid=postgres", "--regid=postgres", "--init-groups", "--"])
        .arg(program)
        .current_dir("/");
    command
}

fn binary(program: &str) -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut found: Vec<_> =
        versions.map(|v| v.path().join("bin").join(program)).filter(|path| path.exists()).collect();
    found.sort();
    found.pop().unwrap_or_else(|| PathBuf::from(program))
}

fn is_root() -> bool {
    number_of(&["-u"]) == 0
}

fn number_of(args: &[&str]) -> u32 {
    let output = Command::new("id").args(args).output().unwrap().stdout;
    String::from_utf8(output).unwrap().trim().parse().unwrap()
}

fn give_to_postgres(folder: &Path) {
    if is_root() {
        chown(folder, Some(number_of(&["-u", "postgres"])), Some(number_of(&["-g", "postgres"]))).unwrap();
    }
}
