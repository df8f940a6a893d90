//! Why something happens: the code that decides logins, grants and recipients, run dry, and its answer in plain words.
//!
//! `grpc/explain -> explain/{login, send, recipient, domain} -> authenticate, relay, directory, account, delivery`. Nothing is
//! counted, granted, locked or sent. What the person who asks may not see is explained as if it were not there ([`sight`]).

mod account_of;
mod domain;
mod login;
mod recipient;
mod send;
pub(crate) mod sight;
mod way;

use std::sync::Arc;

use postern_mail::EmailAddress;
use postern_mesh::{client::MeshChannel, directory::Directory, settings::PlaintextLogin};
use postern_proto::account::v1::{RemoteOutcome, Resolution, resolution::Outcome};
use tonic::Status;

use self::sight::Sight;
use crate::{authenticate::Authenticator, redis_store::RedisStore, relay::RelayDesk};

pub(crate) use self::{account_of::TypedLogin, send::SendQuestion};

/// Explains. One for the whole process.
pub(crate) struct Explainer {
    pub(crate) directory: Directory,
    pub(crate) store: RedisStore,
    pub(crate) logins: Arc<Authenticator>,
    pub(crate) desk: Arc<RelayDesk>,
    pub(crate) account: MeshChannel,
    /// Who knows the locks; `None`: they are left out.
    pub(crate) delivery: Option<MeshChannel>,
    /// The platform's own mail host.
    pub(crate) mail_host: String,
    /// As the gateways have it.
    pub(crate) plaintext_login: PlaintextLogin,
}

impl Explainer {
    /// Where an address leads, as far as this person may see: what is somebody else's looks as if it were outside.
    async fn resolve(&self, sight: &Sight, address: &EmailAddress) -> Result<Arc<Resolution>, Status> {
        let found = self.directory.resolve(address).await?;
        if sight.sees_all() {
            return Ok(found);
        }
        let owner = self.directory.domain(address.domain()).await?;
        let visible = owner.is_some_and(|domain| match &found.outcome {
            Some(Outcome::Local(local)) => sight
                .sees_box(&domain.customer, local.mailbox.as_ref().map_or(0, |mailbox| mailbox.mailbox_id)),
            _ => sight.sees_customer(&domain.customer),
        });
        if visible {
            return Ok(found);
        }
        Ok(Arc::new(Resolution {
            address: found.address.clone(),
            domain: found.domain.clone(),
            outcome: Some(Outcome::Remote(RemoteOutcome {})),
            ..Resolution::default()
        }))
    }
}
