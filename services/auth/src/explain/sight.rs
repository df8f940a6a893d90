//! What somebody who asks for an explanation may see.

use postern_mesh::identity::Caller;

/// The eyes of a caller.
#[derive(Clone, Debug)]
pub(crate) struct Sight(Caller);

impl Sight {
    pub(crate) fn new(caller: Caller) -> Self {
        Self(caller)
    }

    /// Who it is, for questions to other services in their name.
    pub(crate) fn caller(&self) -> &Caller {
        &self.0
    }

    /// Staff.
    pub(crate) fn sees_all(&self) -> bool {
        self.0.is_staff()
    }

    /// What belongs to this customer as a whole.
    pub(crate) fn sees_customer(&self, customer: &str) -> bool {
        self.0.may_act_for(customer)
    }

    /// What belongs to this mailbox.
    pub(crate) fn sees_box(&self, customer: &str, mailbox_id: i64) -> bool {
        self.0.may_act_for_mailbox(customer, mailbox_id)
    }

    /// True for the client that this very call came from.
    pub(crate) fn is_from(&self, peer: postern_mail::PeerIp) -> bool {
        self.0.peer.is_some_and(|own| postern_mail::PeerIp::new(own).client_key() == peer.client_key())
    }
}
