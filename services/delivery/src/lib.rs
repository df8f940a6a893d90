//! The delivery service: what happens to a message, from acceptance to the last copy read, sent on or bounced.
//!
//! A message: `grpc/submission` -> `content` (scan, spill) -> `route` (where to) -> `accept` (the one commit)
//! -> `queue` -> `outbound` or `bounce`, or `errands` (`lists`, `autoreply`) -> `answer`. A mail client: `grpc/maildrop` -> `lock` -> `maildrop`.

pub mod accept;
mod answer;
pub mod authenticity;
mod autoreply;
pub mod bounce;
mod census;
pub mod content;
pub mod departure;
mod errands;
mod grpc;
mod lists;
pub mod lock;
pub mod maildrop;
pub mod outbound;
mod owners;
pub mod queue;
mod references;
pub mod route;
pub mod settings;
pub mod spam;
pub mod store;
pub mod sweep;
pub mod trace;
pub mod transfer;
pub mod usage;
pub mod vault;

use std::{sync::Arc, time::Duration};

use postern_mesh::{
    StartError, client::MeshChannel, directory::Directory, health::Readiness, memory::MemoryBudget,
    shutdown::Shutdown,
};
use postern_proto::{
    account::v1::autoresponder_service_client::AutoresponderServiceClient,
    delivery::v1::{
        box_service_server::BoxServiceServer, lock_service_server::LockServiceServer,
        maildrop_service_server::MaildropServiceServer, queue_service_server::QueueServiceServer,
        submission_service_server::SubmissionServiceServer, trace_service_server::TraceServiceServer,
    },
};
use tokio::sync::mpsc;
use tonic::service::Routes;
use uuid::Uuid;

pub use settings::Settings;

use accept::Acceptor;
use answer::Answers;
use authenticity::Checks;
use autoreply::Autoreply;
use content::{Blobs, IngestLimits};
use departure::Departures;
use errands::Errands;
use lists::{CopyFate, CopyFates, ListDirectory, Lists, Probes};
use lock::Locks;
use maildrop::Maildrops;
use outbound::OutboundSettings;
use queue::{ContentSource, Queue, QueueParts, QueueStore, StoredContents};
use spam::Scanner;
use store::Store;
use transfer::Importer;
use vault::{Vault, destroy::Destroyer};

/// A request of a million uids to delete, octets.
const CLOSE_MAX_BYTES: usize = 16 * 1024 * 1024;

/// Connects the stores, migrates, starts the workers and the sweep, and returns the gRPC services.
///
/// # Errors
/// A setting makes no sense, Postgres is away or would forget what it confirms, Redis evicts, the blob store is none.
pub async fn open(
    settings: &Settings,
    account: MeshChannel,
    shutdown: &Shutdown,
) -> Result<Routes, StartError> {
    Ok(open_with_readiness(settings, account, shutdown).await?.0)
}

/// The same, and the checks that tell whether this replica can work.
///
/// # Errors
/// As [`open`].
pub async fn open_with_readiness(
    settings: &Settings,
    account: MeshChannel,
    shutdown: &Shutdown,
) -> Result<(Routes, Readiness), StartError> {
    settings.check()?;
    let outbound = settings.queue.outbound(settings.smarthost.as_deref(), &settings.mail_host)?;
    let checks = Checks::new(&settings.authenticity, &settings.queue.resolver, &settings.mail_host)?;
    let scanner = Scanner::new(&settings.spam)?;
    let stores = Stores::open(settings).await?;
    let directory = Directory::new(account.clone(), shutdown);
    let lists = ListDirectory::new(account.clone());
    let (fates, fates_waiting) = CopyFates::new();
    let house = House { settings, stores, directory, account, lists, checks, scanner, fates, shutdown };
    let (acceptor, queue) = house.start_queue(outbound)?;
    house.start_probes(fates_waiting, &acceptor, &queue);
    let ready = readiness(&house.stores.store, &house.stores.locks);
    let rights = grpc::rights::Rights::new(house.directory.clone(), house.account.clone());
    let submission = house.submission(acceptor, &queue);
    let (maildrops, vault) = house.boxes();
    house.start_chores(&vault);
    let boxes = grpc::r#box::BoxDoor {
        store: house.stores.store.clone(),
        maildrops: maildrops.clone(),
        vault,
        importer: house.importer(),
        directory: house.directory.clone(),
        rights: rights.clone(),
    };
    let traces = trace::Traces::new(house.stores.store.clone());
    let queue_door = grpc::queue::QueueDoor::new(Arc::new(queue), rights.clone());
    let routes = Routes::new(SubmissionServiceServer::new(submission))
        .add_service(
            MaildropServiceServer::new(grpc::maildrop::MaildropDoor::new(maildrops))
                .max_decoding_message_size(CLOSE_MAX_BYTES),
        )
        .add_service(BoxServiceServer::new(boxes))
        .add_service(LockServiceServer::new(grpc::lock::LockDoor::new(house.stores.locks, rights)))
        .add_service(QueueServiceServer::new(queue_door))
        .add_service(TraceServiceServer::new(grpc::trace::TraceDoor::new(traces)));
    Ok((routes, ready))
}

/// Where this service keeps what it has.
struct Stores {
    store: Store,
    locks: Locks,
    blobs: Blobs,
    budget: MemoryBudget,
}

impl Stores {
    async fn open(settings: &Settings) -> Result<Self, StartError> {
        let blobs = Blobs::open(&settings.blob_url)?;
        let store = Store::open(&settings.database_url()?, settings.database_connections).await?;
        let locks = Locks::open(&settings.redis).await?;
        let least_bytes = 2 * (settings.inline_max_bytes + blobs.upload_memory_bytes());
        let budget = MemoryBudget::new(settings.content_memory_bytes, least_bytes);
        Ok(Self { store, locks, blobs, budget })
    }
}

/// What the parts are made of.
struct House<'a> {
    settings: &'a Settings,
    stores: Stores,
    directory: Directory,
    account: MeshChannel,
    lists: ListDirectory,
    checks: Checks,
    scanner: Option<Scanner>,
    fates: CopyFates,
    shutdown: &'a Shutdown,
}

impl House<'_> {
    /// The accept path, and the workers for what it leaves to be done.
    fn start_queue(&self, outbound: OutboundSettings) -> Result<(Acceptor, Queue), StartError> {
        let (settings, stores) = (self.settings, &self.stores);
        // Who holds the leases of the rows that are accepted here.
        let replica = Uuid::new_v4();
        let acceptor = Acceptor::start(&stores.store, replica);
        let rows = QueueStore::new(stores.store.pool().clone(), replica, settings.queue.lifetime())
            .telling_delays(settings.queue.delay_notice());
        let contents = self.contents();
        let departures = Departures::new(&self.account, self.directory.clone(), &settings.unsubscribe_url)
            .map_err(StartError::Thread)?;
        let answers = Answers {
            store: rows.clone(),
            directory: self.directory.clone(),
            mail_host: settings.mail_host.as_str().into(),
        };
        let errands = Errands {
            autoreply: Autoreply {
                account: AutoresponderServiceClient::new(self.account.clone()),
                answers: answers.clone(),
            },
            lists: Lists {
                directory: self.lists.clone(),
                answers,
                contents: Arc::clone(&contents),
                blobs: stores.blobs.clone(),
                budget: stores.budget.clone(),
                checks: self.checks.clone(),
                departures: departures.clone(),
                unsubscribe_url: settings.unsubscribe_url.as_str().into(),
                copies_per_second: settings.queue.limit_list_copies_per_second,
                inline_max_bytes: settings.inline_max_bytes,
                shutdown: self.shutdown.clone(),
            },
            contents: Arc::clone(&contents),
        };
        let parts = QueueParts {
            store: rows,
            acceptor: acceptor.clone(),
            directory: self.directory.clone(),
            contents,
            errands: Arc::new(errands),
            departures,
            fates: self.fates.clone(),
        };
        let queue = queue::start(parts, &settings.queue, outbound, self.shutdown)?;
        Ok((acceptor, queue))
    }

    fn contents(&self) -> Arc<dyn ContentSource> {
        Arc::new(StoredContents::new(self.stores.blobs.clone()))
    }

    /// What became of copies of lists is told to account, and who must be probed is.
    fn start_probes(&self, waiting: mpsc::Receiver<(i64, CopyFate)>, acceptor: &Acceptor, queue: &Queue) {
        let probes = Probes {
            lists: self.lists.clone(),
            directory: self.directory.clone(),
            acceptor: acceptor.clone(),
            queue: queue.handle.clone(),
            mail_host: self.settings.mail_host.as_str().into(),
        };
        let (lists, shutdown) = (self.lists.clone(), self.shutdown);
        shutdown.spawn(lists::tell_fates(waiting, lists, probes, shutdown.clone()));
    }

    fn limits(&self) -> IngestLimits {
        IngestLimits {
            inline_max_bytes: self.settings.inline_max_bytes,
            message_max_bytes: Some(self.settings.message_max_bytes).filter(|max| *max > 0),
        }
    }

    fn submission(&self, acceptor: Acceptor, queue: &Queue) -> grpc::submission::SubmissionDoor {
        grpc::submission::SubmissionDoor {
            acceptor,
            directory: self.directory.clone(),
            blobs: self.stores.blobs.clone(),
            lists: self.lists.clone(),
            budget: self.stores.budget.clone(),
            limits: self.limits(),
            queue: queue.handle.clone(),
            mail_host: self.settings.mail_host.as_str().into(),
            checks: self.checks.clone(),
            scanner: self.scanner.clone(),
            fates: self.fates.clone(),
            contents: self.contents(),
        }
    }

    fn boxes(&self) -> (Maildrops, Vault) {
        let Stores { store, locks, blobs, .. } = &self.stores;
        let maildrops = Maildrops::new(store.clone(), locks.clone(), blobs.clone(), self.directory.clone());
        let vault = Vault::new(store.clone(), blobs.clone(), maildrops.clone(), self.settings.vault_days);
        (maildrops, vault)
    }

    fn importer(&self) -> Importer {
        let Stores { store, blobs, budget, .. } = &self.stores;
        Importer::new(store.clone(), blobs.clone(), budget.clone(), self.limits())
    }

    /// What is done beside the calls: telling what boxes hold, noting stories, taking away what nobody needs.
    fn start_chores(&self, vault: &Vault) {
        let (store, shutdown) = (&self.stores.store, self.shutdown);
        shutdown.spawn(usage::run(store.clone(), self.account.clone(), shutdown.clone()));
        shutdown.spawn(trace::run_notes(store.clone(), shutdown.clone()));
        shutdown.spawn(census::run(store.clone(), shutdown.clone()));
        shutdown.spawn(content::watch::run(self.stores.blobs.clone(), shutdown.clone()));
        let (locks, directory) = (self.stores.locks.clone(), self.directory.clone());
        shutdown.spawn(lock::endings::run(locks, directory, shutdown.clone()));
        if self.settings.sweep_seconds == 0 {
            return;
        }
        let every = Duration::from_secs(self.settings.sweep_seconds);
        shutdown.spawn(sweep::run(store.clone(), self.stores.blobs.clone(), every, shutdown.clone()));
        shutdown.spawn(trace::run_sweep(store.clone(), self.settings.trace_days, shutdown.clone()));
        let destroyer = Destroyer::new(vault.clone(), self.directory.clone(), self.account.clone());
        shutdown.spawn(vault::destroy::run(destroyer, every, shutdown.clone()));
    }
}

/// Redis is not among the checks: without it mail is still accepted, delivered and sent. It is told, and gauged.
fn readiness(store: &Store, locks: &Locks) -> Readiness {
    let (store, locks) = (store.clone(), locks.clone());
    let ready = Readiness::new().check("postgres", move || {
        let store = store.clone();
        async move { if store.is_ready().await { Ok(()) } else { Err("the database does not answer") } }
    });
    ready.notice("redis", move || {
        let locks = locks.clone();
        async move {
            let found = locks.probe().await;
            metrics::gauge!("postern_delivery_redis_up").set(if found.is_ok() { 1.0 } else { 0.0 });
            found.map_err(|error| format!("no box can be opened: {error}"))
        }
    })
}
