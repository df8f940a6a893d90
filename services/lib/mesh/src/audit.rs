//! The way of auth and delivery into account's audit, and the words of everybody who writes into it.

mod deed;

use postern_proto::account::v1::{
    AuditEntry, RecordAuditEntryRequest, audit_service_client::AuditServiceClient,
};
use tonic::Status;

pub use self::deed::{Action, Thing};
use crate::{client::MeshChannel, identity::Caller};

/// Writes into the audit. Cheap to clone.
#[derive(Clone, Debug)]
pub struct AuditTrail(AuditServiceClient<MeshChannel>);

impl AuditTrail {
    /// Over the channel to account.
    #[must_use]
    pub fn new(account: MeshChannel) -> Self {
        Self(AuditServiceClient::new(account))
    }

    /// Writes a deed in its doer's name: who, and from where, is taken from the caller, kind and action from `deed`. It is done
    /// already: when the audit is away, the log has it. `mailbox_id` is that of the box it was done to; 0: none.
    pub async fn record(&self, caller: &Caller, deed: (Thing, Action), entry: AuditEntry, mailbox_id: i64) {
        let entry = AuditEntry {
            actor_role: caller.role.as_str().to_owned(),
            actor: caller.subject.clone(),
            peer_ip: caller.peer.map(|peer| peer.to_string()).unwrap_or_default(),
            ..entry
        };
        if let Err(status) = self.write(deed, entry.clone(), mailbox_id).await {
            let (AuditEntry { actor, name, .. }, error) = (entry, status.message());
            let (kind, action) = (deed.0.as_str(), deed.1.as_str());
            tracing::error!(actor, mailbox_id, kind, action, name, error, "a deed is not in the audit");
        }
    }

    /// Writes an entry as it is, with kind and action of `deed`.
    ///
    /// # Errors
    /// When account does not take it.
    pub async fn write(
        &self,
        (thing, action): (Thing, Action),
        entry: AuditEntry,
        mailbox_id: i64,
    ) -> Result<(), Status> {
        let (kind, action) = (thing.as_str().to_owned(), action.as_str().to_owned());
        let entry = AuditEntry { kind, action, ..entry };
        let request = RecordAuditEntryRequest { entry: Some(entry), mailbox_id };
        self.0.clone().record_audit_entry(request).await.map(drop)
    }
}
