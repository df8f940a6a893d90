//! What a house is to be like.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use postern::{
    sink::{Sink, SinkSettings},
    stores::Stores,
};

use super::{Platform, Service};

/// What to start.
#[derive(Default)]
pub struct Blueprint {
    pub(super) replicas: BTreeMap<Service, usize>,
    pub(super) environment: BTreeMap<String, String>,
    one_process: bool,
    secrets_in_files: bool,
    secrets_from: Option<PathBuf>,
    stores: Option<Stores>,
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

    /// Starts everything and waits until it is ready.
    pub async fn start(mut self) -> anyhow::Result<Platform> {
        let folder = tempfile::Builder::new().prefix("postern-test-").tempdir()?;
        let stores = match self.stores.take() {
            Some(stores) => stores,
            None => Stores::start(&folder.path().join("stores")).await.context("start Postgres and Redis")?,
        };
        let sink = Sink::start(SinkSettings::default()).await.context("start the outside world")?;
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
