//! Who calls: a short signed sentence (assertion) that travels with each call, made by the caller's own process or by
//! auth for a person, and verified by every service by itself.

mod assertion;
mod mesh_key;
mod scopes;

use std::net::IpAddr;

pub(crate) use self::assertion::Verified;
pub use self::{
    assertion::{ASSERTION_METADATA, ASSERTION_SECONDS, AssertionError},
    mesh_key::{MeshKey, MeshKeyError},
    scopes::{ScopeError, Scopes},
};

/// What a caller may do, by the access table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Role {
    /// A part of the house: only what gateways and workers need.
    Service,
    /// A person or tool that may everything but read a gateway's secrets.
    Operator,
    /// A person who helps customers: looks at everything but mail, releases locks, clears boxes.
    Support,
    /// The owner of domains: what is its own.
    Customer,
    /// The user of one mailbox: what belongs to it.
    Mailbox,
}

impl Role {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Service, Self::Operator, Self::Support, Self::Customer, Self::Mailbox];

    /// As assertions and the audit name it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Service => "service",
            Self::Operator => "operator",
            Self::Support => "support",
            Self::Customer => "customer",
            Self::Mailbox => "mailbox",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.as_str() == text)
    }
}

/// Who calls; handlers find it in `request.extensions()`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Caller {
    /// Name of the service, person or token.
    pub subject: String,
    /// What they may do.
    pub role: Role,
    /// Login of the customer, for [`Role::Customer`] and [`Role::Mailbox`]; else empty.
    pub customer: String,
    /// For [`Role::Mailbox`]; else 0.
    pub mailbox_id: i64,
    /// Address of the client that they came from, when it is known.
    pub peer: Option<IpAddr>,
    /// What a token is bound to.
    pub scopes: Scopes,
}

impl Caller {
    /// A part of the house, or a member of its staff.
    #[must_use]
    pub fn new(subject: impl Into<String>, role: Role) -> Self {
        let subject = subject.into();
        Self { subject, role, customer: String::new(), mailbox_id: 0, peer: None, scopes: Scopes::unbound() }
    }

    /// Somebody who acts for a customer.
    #[must_use]
    pub fn customer(subject: impl Into<String>, customer: impl Into<String>) -> Self {
        Self { customer: customer.into(), ..Self::new(subject, Role::Customer) }
    }

    /// The user of one mailbox of a customer.
    #[must_use]
    pub fn mailbox(subject: impl Into<String>, customer: impl Into<String>, mailbox_id: i64) -> Self {
        Self { customer: customer.into(), mailbox_id, ..Self::new(subject, Role::Mailbox) }
    }

    /// True for parts of the house and staff, who are bound to no customer.
    #[must_use]
    pub fn is_staff(&self) -> bool {
        matches!(self.role, Role::Service | Role::Operator | Role::Support)
    }

    /// True when what belongs to this customer as a whole is this caller's business.
    #[must_use]
    pub fn may_act_for(&self, customer: &str) -> bool {
        self.is_staff() || (self.role == Role::Customer && self.customer == customer)
    }

    /// True when what belongs to this mailbox of this customer is this caller's business.
    #[must_use]
    pub fn may_act_for_mailbox(&self, customer: &str, mailbox_id: i64) -> bool {
        self.may_act_for(customer)
            || (self.role == Role::Mailbox
                && self.mailbox_id == mailbox_id
                && self.customer == customer
                && mailbox_id != 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_may_act_for_whom() {
        let owner = Caller::customer("homepage", "homepage");
        let user = Caller::mailbox("a@homepage.test", "homepage", 7);
        for staff in [Role::Service, Role::Operator, Role::Support] {
            assert!(Caller::new("x", staff).may_act_for("homepage"));
        }
        assert!(owner.may_act_for("homepage") && !owner.may_act_for("other") && !owner.may_act_for(""));
        assert!(!user.may_act_for("homepage") && user.may_act_for_mailbox("homepage", 7));
        assert!(!user.may_act_for_mailbox("homepage", 8) && !user.may_act_for_mailbox("other", 7));
        assert!(owner.may_act_for_mailbox("homepage", 8) && !owner.may_act_for_mailbox("other", 8));
    }
}
