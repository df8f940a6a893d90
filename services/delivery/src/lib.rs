//! The delivery service: what happens to a message, from acceptance to the last copy read, sent on or bounced.
//!
//! A message: `grpc/submission` -> `content` (scan, spill) -> `route` (where to) -> `accept` (the one commit)
//! -> `queue` -> `outbound` or `bounce`, or `errands` (`lists`, `autoreply`) -> `answer`. A mail client: `grpc/maildrop` -> `lock` -> `maildrop`.

pub mod accept;
mod answer;
pub mod authenticity;
mod autoreply;
pub mod bounce;
pub mod content;
pub mod departure;
mod errands;
mod grpc;
mod lists;
pub mod lock;
pub mod maildrop;
pub mod outbound;
pub mod queue;
mod references;
pub mod route;
pub mod settings;
pub mod store;
pub mod sweep;
pub mod transfer;
pub mod usage;
pub mod vault;

use std::{sync::Arc, time::Duration};

use postern_mesh::{
    StartError, client::MeshChannel, directory::Directory, health::Readiness, shutdown::Shutdown,
};
use postern_proto::{
    account::v1::autoresponder_service_client::AutoresponderServiceClient,
    delivery::v1::{
        box_service_server::BoxServiceServer, lock_service_server::LockServiceServer,
        maildrop_service_server::MaildropServiceServer, queue_service_server::QueueServiceServer,
        submission_service_server::SubmissionServiceServer,
    },
};
use tonic::service::Routes;
use uuid::Uuid;

pub use settings::Settings;

use accept::Acceptor;
use answer::Answers;
use authenticity::Checks;
use autoreply::Autoreply;
use content::{Blobs, Budget, IngestLimits};
use departure::Departures;
use errands::Errands;
use lists::{CopyFates, ListDirectory, Lists, Probes};
use lock::Locks;
use maildrop::Maildrops;
use queue::{ContentSource, QueueParts, QueueStore, StoredContents};
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
    let blobs = Blobs::open(&settings.blob_url)?;
    let store = Store::open(&settings.database_url, settings.database_connections).await?;
    let locks = Locks::open(&settings.redis_url).await?;
    let directory = Directory::new(account.clone(), shutdown);
    let rights = grpc::rights::Rights::new(directory.clone(), account.clone());
    // Who holds the leases of the rows that are accepted here.
    let replica = Uuid::new_v4();
    let acceptor = Acceptor::start(&store, replica);
    let rows = QueueStore::new(store.pool().clone(), replica, settings.queue.lifetime());
    let budget = Budget::new(settings.content_memory_bytes);
    let contents: Arc<dyn ContentSource> = Arc::new(StoredContents::new(blobs.clone()));
    let lists = ListDirectory::new(account.clone());
    let answers = Answers {
        store: rows.clone(),
        directory: directory.clone(),
        mail_host: settings.mail_host.as_str().into(),
    };
    let departures = Departures::new(&account, directory.clone(), &settings.unsubscribe_url);
    let (fates, fates_waiting) = CopyFates::new();
    let errands = Errands {
        autoreply: Autoreply {
            account: AutoresponderServiceClient::new(account.clone()),
            answers: answers.clone(),
        },
        lists: Lists {
            directory: lists.clone(),
            answers,
            contents: Arc::clone(&contents),
            blobs: blobs.clone(),
            budget: budget.clone(),
            checks: checks.clone(),
            departures: departures.clone(),
            unsubscribe_url: settings.unsubscribe_url.as_str().into(),
            inline_max_bytes: settings.inline_max_bytes,
            shutdown: shutdown.clone(),
        },
        contents: Arc::clone(&contents),
    };
    let parts = QueueParts {
        store: rows,
        acceptor: acceptor.clone(),
        directory: directory.clone(),
        contents: Arc::clone(&contents),
        errands: Arc::new(errands),
        departures,
        fates: fates.clone(),
    };
    let queue = Arc::new(queue::start(parts, &settings.queue, outbound, shutdown)?);
    let probes = Probes {
        lists: lists.clone(),
        directory: directory.clone(),
        acceptor: acceptor.clone(),
        queue: queue.handle.clone(),
        mail_host: settings.mail_host.as_str().into(),
    };
    shutdown.spawn(lists::tell_fates(fates_waiting, lists.clone(), probes, shutdown.clone()));
    if settings.sweep_seconds > 0 {
        let every = Duration::from_secs(settings.sweep_seconds);
        shutdown.spawn(sweep::run(store.clone(), blobs.clone(), every, shutdown.clone()));
    }
    let limits = IngestLimits {
        inline_max_bytes: settings.inline_max_bytes,
        message_max_bytes: Some(settings.message_max_bytes).filter(|max| *max > 0),
    };
    let submission = grpc::submission::SubmissionDoor {
        acceptor,
        directory: directory.clone(),
        blobs: blobs.clone(),
        lists,
        budget: budget.clone(),
        limits,
        queue: queue.handle.clone(),
        mail_host: settings.mail_host.as_str().into(),
        checks,
        fates,
        contents,
    };
    let maildrops = Maildrops::new(store.clone(), locks.clone(), blobs.clone(), directory.clone());
    let vault = Vault::new(store.clone(), blobs.clone(), maildrops.clone(), settings.vault_days);
    shutdown.spawn(usage::run(store.clone(), account.clone(), shutdown.clone()));
    if settings.sweep_seconds > 0 {
        let every = Duration::from_secs(settings.sweep_seconds);
        let destroyer = Destroyer::new(vault.clone(), directory.clone(), account);
        shutdown.spawn(vault::destroy::run(destroyer, every, shutdown.clone()));
    }
    let boxes = grpc::r#box::BoxDoor {
        store: store.clone(),
        maildrops: maildrops.clone(),
        vault,
        importer: Importer::new(store.clone(), blobs, budget, limits),
        directory,
        rights: rights.clone(),
    };
    let ready = readiness(&store, &locks);
    let routes = Routes::new(SubmissionServiceServer::new(submission))
        .add_service(
            MaildropServiceServer::new(grpc::maildrop::MaildropDoor::new(maildrops))
                .max_decoding_message_size(CLOSE_MAX_BYTES),
        )
        .add_service(BoxServiceServer::new(boxes))
        .add_service(LockServiceServer::new(grpc::lock::LockDoor::new(locks, rights)))
        .add_service(QueueServiceServer::new(grpc::queue::QueueDoor::new(queue)));
    Ok((routes, ready))
}

/// Redis is not among the checks: without it mail is still accepted, delivered and sent.
fn readiness(store: &Store, locks: &Locks) -> Readiness {
    let (store, locks) = (store.clone(), locks.clone());
    Readiness::new().check("postgres", move || {
        let (store, locks) = (store.clone(), locks.clone());
        async move {
            metrics::gauge!("postern_delivery_redis_up").set(if locks.is_ready().await { 1.0 } else { 0.0 });
            if store.is_ready().await { Ok(()) } else { Err("the database does not answer") }
        }
    })
}
