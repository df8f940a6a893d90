//! Who may call what: one row for each RPC of the platform, and what kind of call it is.
//!
//! The server's guard asks it before a handler runs; the client's channel takes deadline and retry from it. A test
//! walks the compiled descriptors, so that no RPC can be without a row.

use std::{collections::HashMap, sync::LazyLock};

use crate::identity::Role;

/// Who may call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Callers {
    /// Also without an assertion.
    Anybody,
    /// Gateways and workers.
    Service,
    /// People and tools with the operator token.
    Operator,
    /// Both.
    ServiceOrOperator,
}

impl Callers {
    /// True when a caller in this role is one of them.
    #[must_use]
    pub fn admit(self, role: Role) -> bool {
        match self {
            Self::Anybody | Self::ServiceOrOperator => true,
            Self::Service => role == Role::Service,
            Self::Operator => role == Role::Operator,
        }
    }
}

/// What kind of call it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// One question, one answer, nothing changed: may be asked twice.
    Read,
    /// One question, one answer, something changed or counted: never sent twice.
    Write,
    /// The answer is a stream that ends by itself.
    Download,
    /// The question is a stream: no default deadline, the caller knows how long it sends.
    Upload,
    /// The answer is a stream without an end; the server ends it when it goes down.
    Watch,
}

/// A row of the table.
#[derive(Clone, Copy, Debug)]
pub struct Method {
    /// `/package.Service/Method` as in the HTTP/2 path.
    pub path: &'static str,
    /// Who may call.
    pub callers: Callers,
    /// What kind of call it is.
    pub shape: Shape,
}

const ANYBODY: Callers = Callers::Anybody;
const SERVICE: Callers = Callers::Service;
const OPERATOR: Callers = Callers::Operator;
const SERVICE_OR_OPERATOR: Callers = Callers::ServiceOrOperator;

const fn row(path: &'static str, callers: Callers, shape: Shape) -> Method {
    Method { path, callers, shape }
}

use Shape::{Download, Read, Upload, Watch, Write};

#[rustfmt::skip]
const TABLE: &[Method] = &[
    row("/postern.account.v1.CustomerService/GetCustomer", OPERATOR, Read),
    row("/postern.account.v1.CustomerService/ListCustomers", OPERATOR, Read),
    row("/postern.account.v1.CustomerService/CreateCustomer", OPERATOR, Write),
    row("/postern.account.v1.CustomerService/UpdateCustomer", OPERATOR, Write),
    row("/postern.account.v1.CustomerService/SetCustomerPassword", OPERATOR, Write),
    row("/postern.account.v1.CustomerService/DeleteCustomer", OPERATOR, Write),

    row("/postern.account.v1.DefaultAddressService/GetDefaultAddress", OPERATOR, Read),
    row("/postern.account.v1.DefaultAddressService/UpdateDefaultAddress", OPERATOR, Write),

    row("/postern.account.v1.DirectoryService/ResolveRecipient", SERVICE_OR_OPERATOR, Read),
    row("/postern.account.v1.DirectoryService/BatchResolveRecipients", SERVICE_OR_OPERATOR, Read),
    row("/postern.account.v1.DirectoryService/LookupLogin", SERVICE_OR_OPERATOR, Read),
    row("/postern.account.v1.DirectoryService/LookupMailbox", SERVICE_OR_OPERATOR, Read),
    row("/postern.account.v1.DirectoryService/LookupDomain", SERVICE_OR_OPERATOR, Read),
    row("/postern.account.v1.DirectoryService/WatchChanges", SERVICE_OR_OPERATOR, Watch),

    row("/postern.account.v1.DomainService/GetDomain", OPERATOR, Read),
    row("/postern.account.v1.DomainService/ListDomains", OPERATOR, Read),
    row("/postern.account.v1.DomainService/CreateDomain", OPERATOR, Write),
    row("/postern.account.v1.DomainService/UpdateDomain", OPERATOR, Write),
    row("/postern.account.v1.DomainService/DeleteDomain", OPERATOR, Write),

    row("/postern.account.v1.ForwardService/GetForward", OPERATOR, Read),
    row("/postern.account.v1.ForwardService/ListForwards", OPERATOR, Read),
    row("/postern.account.v1.ForwardService/CreateForward", OPERATOR, Write),
    row("/postern.account.v1.ForwardService/UpdateForward", OPERATOR, Write),
    row("/postern.account.v1.ForwardService/DeleteForward", OPERATOR, Write),

    row("/postern.account.v1.MailboxService/GetMailbox", OPERATOR, Read),
    row("/postern.account.v1.MailboxService/ListMailboxes", OPERATOR, Read),
    row("/postern.account.v1.MailboxService/CreateMailbox", OPERATOR, Write),
    row("/postern.account.v1.MailboxService/UpdateMailbox", OPERATOR, Write),
    row("/postern.account.v1.MailboxService/SetMailboxPassword", OPERATOR, Write),
    row("/postern.account.v1.MailboxService/DeleteMailbox", OPERATOR, Write),

    row("/postern.auth.v1.LoginService/Authenticate", SERVICE, Write),
    row("/postern.auth.v1.LoginService/ExchangeToken", ANYBODY, Write),

    row("/postern.auth.v1.RelayService/CheckRelay", SERVICE, Write),
    row("/postern.auth.v1.RelayService/ListGrants", OPERATOR, Read),
    row("/postern.auth.v1.RelayService/RevokeGrant", OPERATOR, Write),
    row("/postern.auth.v1.RelayService/WatchRevocations", SERVICE, Watch),

    row("/postern.delivery.v1.BoxService/GetBox", OPERATOR, Read),

    row("/postern.delivery.v1.LockService/GetLock", OPERATOR, Read),
    row("/postern.delivery.v1.LockService/ListLocks", OPERATOR, Read),
    row("/postern.delivery.v1.LockService/ReleaseLock", OPERATOR, Write),

    row("/postern.delivery.v1.MaildropService/OpenMaildrop", SERVICE, Download),
    row("/postern.delivery.v1.MaildropService/RenewMaildrops", SERVICE, Write),
    row("/postern.delivery.v1.MaildropService/ReadMessages", SERVICE, Download),
    row("/postern.delivery.v1.MaildropService/CloseMaildrop", SERVICE, Write),

    row("/postern.delivery.v1.QueueService/GetQueueEntry", OPERATOR, Read),
    row("/postern.delivery.v1.QueueService/ListQueueEntries", OPERATOR, Read),
    row("/postern.delivery.v1.QueueService/RetryQueueEntries", OPERATOR, Write),
    row("/postern.delivery.v1.QueueService/HoldQueueEntries", OPERATOR, Write),
    row("/postern.delivery.v1.QueueService/RemoveQueueEntries", OPERATOR, Write),

    row("/postern.delivery.v1.SubmissionService/SubmitMessage", SERVICE, Upload),

    row("/grpc.health.v1.Health/Check", ANYBODY, Read),
    row("/grpc.health.v1.Health/List", ANYBODY, Read),
    row("/grpc.health.v1.Health/Watch", ANYBODY, Watch),
    row("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", ANYBODY, Watch),
];

static BY_PATH: LazyLock<HashMap<&'static str, &'static Method>> =
    LazyLock::new(|| TABLE.iter().map(|method| (method.path, method)).collect());

/// The row of an HTTP/2 path; `None` for what the platform does not have.
#[must_use]
pub fn method(path: &str) -> Option<&'static Method> {
    BY_PATH.get(path).copied()
}

/// All rows.
#[must_use]
pub fn table() -> &'static [Method] {
    TABLE
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use prost::Message as _;

    use super::*;

    fn described() -> Vec<(String, bool, bool)> {
        let set = prost_types::FileDescriptorSet::decode(postern_proto::DESCRIPTORS).expect("descriptors");
        let mut methods = Vec::new();
        for file in &set.file {
            for service in &file.service {
                for rpc in &service.method {
                    let path = format!("/{}.{}/{}", file.package(), service.name(), rpc.name());
                    methods.push((path, rpc.client_streaming(), rpc.server_streaming()));
                }
            }
        }
        methods
    }

    #[test]
    fn every_rpc_has_a_row_of_its_shape() {
        let methods = described();
        assert!(methods.len() > 40, "the descriptors hold the platform");
        for (path, uploads, downloads) in methods {
            let row = method(&path).unwrap_or_else(|| panic!("no row for {path}"));
            let (up, down) = match row.shape {
                Read | Write => (false, false),
                Download | Watch => (false, true),
                Upload => (true, false),
            };
            assert_eq!((uploads, downloads), (up, down), "shape of {path}");
        }
    }

    #[test]
    fn every_row_is_an_rpc_and_stands_once() {
        let known: HashSet<String> = described().into_iter().map(|(path, ..)| path).collect();
        let mut seen = HashSet::new();
        for row in table() {
            assert!(seen.insert(row.path), "twice: {}", row.path);
            assert!(row.path.starts_with("/grpc.") || known.contains(row.path), "no such RPC: {}", row.path);
        }
    }

    #[test]
    fn only_the_token_exchange_is_open_to_anybody() {
        for row in table().iter().filter(|row| row.callers == Callers::Anybody) {
            assert!(
                row.path.starts_with("/grpc.") || row.path.ends_with("LoginService/ExchangeToken"),
                "{}",
                row.path
            );
        }
    }

    #[test]
    fn what_may_be_asked_twice_only_reads() {
        for row in table().iter().filter(|row| row.shape == Read && !row.path.starts_with("/grpc.")) {
            let name = row.path.rsplit('/').next().unwrap_or_default();
            assert!(
                ["Get", "List", "Lookup", "Resolve", "BatchResolve"]
                    .iter()
                    .any(|verb| name.starts_with(verb)),
                "{}",
                row.path
            );
        }
    }

    #[test]
    fn a_service_administers_nothing() {
        for path in [
            "/postern.account.v1.CustomerService/CreateCustomer",
            "/postern.delivery.v1.LockService/ReleaseLock",
        ] {
            assert!(!method(path).expect("row").callers.admit(Role::Service));
        }
        assert!(
            !method("/postern.auth.v1.LoginService/Authenticate").expect("row").callers.admit(Role::Operator)
        );
    }
}
