//! Whose boxes a caller may touch, and the word to the audit of what was done to them. Every door that names a box asks here
//! before it does anything; what is another customer's is answered exactly as what does not exist.

use postern_mail::Reason;
use postern_mesh::{
    audit::{Action, AuditTrail, Thing},
    client::MeshChannel,
    directory::Directory,
    failure,
    identity::{Caller, Role},
};
use postern_proto::account::v1::AuditEntry;
use tonic::Status;

/// Asks the directory whose a box is. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Rights {
    directory: Directory,
    audit: AuditTrail,
}

/// What was done to a box, for the audit.
#[derive(Debug)]
pub(crate) struct Deed {
    pub(crate) mailbox_id: i64,
    pub(crate) kind: Thing,
    pub(crate) action: Action,
    /// protobuf JSON of the thing before and after; never mail, empty where there is none.
    pub(crate) before_json: String,
    pub(crate) after_json: String,
}

impl Rights {
    pub(crate) fn new(directory: Directory, account: MeshChannel) -> Self {
        Self { directory, audit: AuditTrail::new(account) }
    }

    /// Refuses a caller whose box this is not, with the words for a box that does not exist. Staff is not asked.
    pub(crate) async fn may_touch_box(
        &self,
        caller: &Caller,
        mailbox_id: i64,
        not_found: impl FnOnce() -> Status,
    ) -> Result<(), Status> {
        if self.is_own(caller, mailbox_id).await? { Ok(()) } else { Err(not_found()) }
    }

    /// True when this box is the caller's business; a removed one is only its customer's.
    pub(crate) async fn is_own(&self, caller: &Caller, mailbox_id: i64) -> Result<bool, Status> {
        if caller.is_staff() {
            return Ok(true);
        }
        let mailbox = self.directory.mailbox(mailbox_id).await.map_err(|status| {
            tracing::warn!(mailbox_id, error = status.message(), "whose box it is cannot be asked now");
            failure::status(Reason::Unavailable)
        })?;
        Ok(mailbox.is_some_and(|mailbox| {
            caller.may_act_for_mailbox(&mailbox.customer, mailbox_id)
                && !(mailbox.removed && caller.role == Role::Mailbox)
        }))
    }

    /// Writes a deed into the audit in its doer's name.
    pub(crate) async fn record(&self, caller: &Caller, deed: Deed) {
        let Deed { mailbox_id, kind, action, before_json, after_json } = deed;
        let entry = AuditEntry { before_json, after_json, ..AuditEntry::default() };
        self.audit.record(caller, (kind, action), entry, mailbox_id).await;
    }

    /// The same for what is no box: on behalf of a customer (empty: nobody's) and under a name.
    pub(crate) async fn record_for(
        &self,
        caller: &Caller,
        deed: (Thing, Action),
        customer: &str,
        name: &str,
        before_json: String,
    ) {
        let [customer, name] = [customer, name].map(str::to_owned);
        let entry = AuditEntry { customer, name, before_json, ..AuditEntry::default() };
        self.audit.record(caller, deed, entry, 0).await;
    }
}
