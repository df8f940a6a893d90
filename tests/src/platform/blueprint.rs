//! What a house is to be like.

use std::{
    collections::BTreeMap,
    net::Ipv4Addr,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use postern::{
    sink::{Sink, SinkSettings},
    stores::{Stores, Wanted},
};

use super::{Platform, Service};
use crate::{
    network::{self, Machine, Network},
    open_stores::OpenStores,
};

/// What to start.
#[derive(Default)]
pub struct Blueprint {
    pub(super) replicas: BTreeMap<Service, usize>,
    pub(super) environment: BTreeMap<String, String>,
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

    pub(super) fn machine(&self, number: usize) -> Option<&Machine> {
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

fn random_hex(octets: usize) -> String {
    (0..octets).map(|_| format!("{:02x}", rand::random::<u8>())).collect()
}
