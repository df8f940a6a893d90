//! How a house comes up: its environment, its ports, its processes.

use std::{collections::BTreeMap, net::SocketAddr, path::Path};

use anyhow::{Context as _, bail};

use super::{Blueprint, Platform, READY_LIMIT, Replica, Service, free_ports};
use crate::{network::Machine, process::Process};

impl Platform {
    pub(super) fn common_environment(&mut self, blueprint: &Blueprint) {
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
    pub(super) fn put_secrets_in_files(&mut self, from: Option<&Path>) -> anyhow::Result<()> {
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

    pub(super) async fn start_separate(&mut self, blueprint: &Blueprint) -> anyhow::Result<()> {
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
        if let (Some(pop3), Some(smtp), Some(panel)) =
            (first(Service::Pop3), first(Service::Smtp), first(Service::Panel))
        {
            let ports = [
                ("pop3", pop3[0]),
                ("pop3s", pop3[1]),
                ("submission", smtp[1]),
                ("smtps", smtp[2]),
                ("https", panel[1]),
            ];
            let ports = ports.map(|(name, address)| format!("{name}={}", address.port()));
            self.environment.insert("POSTERN_PUBLIC_PORTS".to_owned(), ports.join(","));
        }
        // And what its operator view asks.
        let asked = plan.iter().filter(|(service, _)| *service != Service::Panel);
        let health = asked.flat_map(|(service, replicas)| {
            let name = service.binary().trim_start_matches("postern-");
            replicas.iter().filter_map(move |ports| Some(format!("{name}={}", ports.last()?)))
        });
        self.environment.insert("POSTERN_HEALTH_DOORS".to_owned(), health.collect::<Vec<_>>().join(","));
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

    pub(super) async fn start_one_process(&mut self) -> anyhow::Result<()> {
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
}
