//! Who may call what: one row for each RPC of the platform, what area it belongs to, and what kind of call it is.
//!
//! The server's guard asks it before a handler runs; the client's channel takes deadline and retry from it. A test
//! walks the compiled descriptors, so that no RPC can be without a row. A row says which roles may call at all; whether a
//! customer or mailbox user may touch the very thing that is named is decided by its service, with the thing in hand.

mod services;

use std::{collections::HashMap, sync::LazyLock};

use crate::identity::{Caller, Role};

/// The roles that may call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Callers(u8);

impl Callers {
    const fn of(roles: &[Role]) -> Self {
        let mut bits = 0;
        let mut at = 0;
        while at < roles.len() {
            bits |= 1 << roles[at] as u8;
            at += 1;
        }
        Self(bits)
    }

    /// Also without an assertion.
    pub const ANYBODY: Self = Self(u8::MAX);

    /// True when a caller in this role is one of them.
    #[must_use]
    pub fn admit(self, role: Role) -> bool {
        self.0 & (1 << role as u8) != 0
    }
}

/// What a call is about; the first word of an API token's scope.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Area {
    /// Customers.
    Customers,
    /// Domains.
    Domains,
    /// Mailboxes and their passwords.
    Mailboxes,
    /// Forwards and default addresses.
    Forwards,
    /// Mailing lists.
    Lists,
    /// Autoresponders.
    Autoresponders,
    /// Limits.
    Limits,
    /// What lets people and tools in besides a password: API tokens, panel sessions, second factors.
    Tokens,
    /// The audit.
    Audit,
    /// What boxes hold.
    Boxes,
    /// Who holds a box.
    Locks,
    /// Who may send because they checked their mail.
    Grants,
    /// What still has to leave.
    Queue,
    /// What became of mail.
    Traces,
    /// Where addresses lead, and what changes.
    Directory,
    /// Why something happens.
    Explain,
    /// What only parts of the house ask each other, or what gives an assertion in the first place: no scope opens it.
    Mesh,
}

impl Area {
    /// All that a scope can name.
    pub const SCOPED: [Self; 16] = [
        Self::Customers,
        Self::Domains,
        Self::Mailboxes,
        Self::Forwards,
        Self::Lists,
        Self::Autoresponders,
        Self::Limits,
        Self::Tokens,
        Self::Audit,
        Self::Boxes,
        Self::Locks,
        Self::Grants,
        Self::Queue,
        Self::Traces,
        Self::Directory,
        Self::Explain,
    ];

    /// As scopes name it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Customers => "customers",
            Self::Domains => "domains",
            Self::Mailboxes => "mailboxes",
            Self::Forwards => "forwards",
            Self::Lists => "lists",
            Self::Autoresponders => "autoresponders",
            Self::Limits => "limits",
            Self::Tokens => "tokens",
            Self::Audit => "audit",
            Self::Boxes => "boxes",
            Self::Locks => "locks",
            Self::Grants => "grants",
            Self::Queue => "queue",
            Self::Traces => "traces",
            Self::Directory => "directory",
            Self::Explain => "explain",
            Self::Mesh => "mesh",
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
    /// What it is about.
    pub area: Area,
    /// Whether it changes something: what a scope calls `write`.
    pub changes: bool,
    /// What kind of call it is.
    pub shape: Shape,
}

impl Method {
    /// True when this caller's role may call it and its scopes, if it is bound to some, hold it.
    #[must_use]
    pub fn admits(&self, caller: &Caller) -> bool {
        self.callers == Callers::ANYBODY
            || (self.callers.admit(caller.role) && caller.scopes.hold(self.area, self.changes))
    }

    /// True when this service, known by its certificate, may call it in its own name.
    #[must_use]
    pub fn admits_service(&self, service: &str) -> bool {
        self.callers == Callers::ANYBODY || services::callers_of(self.path).contains(&service)
    }
}

const ANYBODY: Callers = Callers::ANYBODY;
const SERVICE: Callers = Callers::of(&[Role::Service]);
const OPERATOR: Callers = Callers::of(&[Role::Operator]);
/// Gateways and workers; tools of the operator may look too.
const MAIL_PATH: Callers = Callers::of(&[Role::Service, Role::Operator]);
const STAFF: Callers = Callers::of(&[Role::Operator, Role::Support]);
/// What a customer sets for itself.
const OWNER: Callers = Callers::of(&[Role::Operator, Role::Customer]);
/// What a customer sees of itself.
const OWN_READ: Callers = Callers::of(&[Role::Operator, Role::Support, Role::Customer]);
/// What a customer does for itself, and support for it.
const OWN_HELP: Callers = OWN_READ;
/// What a mailbox user sets for the own mailbox too.
const USER: Callers = Callers::of(&[Role::Operator, Role::Customer, Role::Mailbox]);
/// What a mailbox user sees of the own mailbox too.
const USER_READ: Callers = Callers::of(&[Role::Operator, Role::Support, Role::Customer, Role::Mailbox]);
/// What a mailbox user does for the own mailbox, and support for it.
const USER_HELP: Callers = USER_READ;
/// What people set for themselves, and nobody for them.
const SELF: Callers = Callers::of(&[Role::Customer, Role::Mailbox]);
const LIST_READ: Callers = Callers::of(&[Role::Service, Role::Operator, Role::Support, Role::Customer]);
/// auth asks it when it explains a login.
const LOCK_READ: Callers =
    Callers::of(&[Role::Service, Role::Operator, Role::Support, Role::Customer, Role::Mailbox]);

const fn row(path: &'static str, callers: Callers, area: Area, shape: Shape) -> Method {
    let changes = matches!(shape, Write | Upload);
    Method { path, callers, area, changes, shape }
}

use Area::{
    Audit, Autoresponders, Boxes, Customers, Directory, Domains, Explain, Forwards, Grants, Limits, Lists,
    Locks, Mailboxes, Mesh, Queue, Tokens, Traces,
};
use Shape::{Download, Read, Upload, Watch, Write};

#[rustfmt::skip]
const TABLE: &[Method] = &[
    row("/postern.account.v1.CustomerService/GetCustomer", OWN_READ, Customers, Read),
    row("/postern.account.v1.CustomerService/ListCustomers", STAFF, Customers, Read),
    row("/postern.account.v1.CustomerService/CreateCustomer", OPERATOR, Customers, Write),
    row("/postern.account.v1.CustomerService/UpdateCustomer", OPERATOR, Customers, Write),
    row("/postern.account.v1.CustomerService/SetCustomerPassword", OWNER, Customers, Write),
    row("/postern.account.v1.CustomerService/DeleteCustomer", OPERATOR, Customers, Write),

    row("/postern.account.v1.DefaultAddressService/GetDefaultAddress", OWN_READ, Forwards, Read),
    row("/postern.account.v1.DefaultAddressService/UpdateDefaultAddress", OWNER, Forwards, Write),

    row("/postern.account.v1.DirectoryService/ResolveRecipient", MAIL_PATH, Directory, Read),
    row("/postern.account.v1.DirectoryService/BatchResolveRecipients", MAIL_PATH, Directory, Read),
    row("/postern.account.v1.DirectoryService/LookupLogin", SERVICE, Mesh, Read),
    row("/postern.account.v1.DirectoryService/LookupMailbox", MAIL_PATH, Directory, Read),
    row("/postern.account.v1.DirectoryService/LookupDomain", MAIL_PATH, Directory, Read),
    row("/postern.account.v1.DirectoryService/WatchChanges", MAIL_PATH, Directory, Watch),

    row("/postern.account.v1.DomainService/GetDomain", OWN_READ, Domains, Read),
    row("/postern.account.v1.DomainService/ListDomains", OWN_READ, Domains, Read),
    row("/postern.account.v1.DomainService/CreateDomain", OWNER, Domains, Write),
    row("/postern.account.v1.DomainService/UpdateDomain", OWNER, Domains, Write),
    row("/postern.account.v1.DomainService/DeleteDomain", OWNER, Domains, Write),
    row("/postern.account.v1.DomainService/VerifyDomain", OWN_HELP, Domains, Write),
    row("/postern.account.v1.DomainService/GetDomainOverview", OWN_READ, Domains, Read),

    row("/postern.account.v1.ForwardService/GetForward", USER_READ, Forwards, Read),
    row("/postern.account.v1.ForwardService/ListForwards", OWN_READ, Forwards, Read),
    row("/postern.account.v1.ForwardService/CreateForward", USER, Forwards, Write),
    row("/postern.account.v1.ForwardService/UpdateForward", USER, Forwards, Write),
    row("/postern.account.v1.ForwardService/DeleteForward", USER, Forwards, Write),

    row("/postern.account.v1.MailboxService/GetMailbox", USER_READ, Mailboxes, Read),
    row("/postern.account.v1.MailboxService/ListMailboxes", OWN_READ, Mailboxes, Read),
    row("/postern.account.v1.MailboxService/CreateMailbox", OWNER, Mailboxes, Write),
    row("/postern.account.v1.MailboxService/UpdateMailbox", OWNER, Mailboxes, Write),
    row("/postern.account.v1.MailboxService/SetMailboxPassword", USER, Mailboxes, Write),
    row("/postern.account.v1.MailboxService/DeleteMailbox", OWNER, Mailboxes, Write),
    row("/postern.account.v1.MailboxService/ListRemovedMailboxes", OWN_READ, Mailboxes, Read),
    row("/postern.account.v1.MailboxService/RestoreMailbox", OWNER, Mailboxes, Write),
    row("/postern.account.v1.MailboxService/GetMailboxHistory", USER_READ, Mailboxes, Read),

    row("/postern.account.v1.AppPasswordService/CreateAppPassword", USER, Mailboxes, Write),
    row("/postern.account.v1.AppPasswordService/ListAppPasswords", USER_READ, Mailboxes, Read),
    row("/postern.account.v1.AppPasswordService/DeleteAppPassword", USER, Mailboxes, Write),

    row("/postern.account.v1.SecondFactorService/GetSecondFactor", USER_READ, Tokens, Read),
    row("/postern.account.v1.SecondFactorService/BeginSecondFactor", SELF, Tokens, Write),
    row("/postern.account.v1.SecondFactorService/ConfirmSecondFactor", SELF, Tokens, Write),
    row("/postern.account.v1.SecondFactorService/DeleteSecondFactor", USER, Tokens, Write),
    row("/postern.account.v1.SecondFactorService/CheckSecondFactor", SERVICE, Mesh, Write),

    row("/postern.account.v1.MailingListService/GetMailingList", OWN_READ, Lists, Read),
    row("/postern.account.v1.MailingListService/ListMailingLists", OWN_READ, Lists, Read),
    row("/postern.account.v1.MailingListService/CreateMailingList", OWNER, Lists, Write),
    row("/postern.account.v1.MailingListService/UpdateMailingList", OWNER, Lists, Write),
    row("/postern.account.v1.MailingListService/DeleteMailingList", OWNER, Lists, Write),
    row("/postern.account.v1.MailingListService/ListListMembers", LIST_READ, Lists, Read),
    row("/postern.account.v1.MailingListService/AddListMembers", OWNER, Lists, Write),
    row("/postern.account.v1.MailingListService/ListMemberAdditions", OWN_READ, Lists, Read),
    row("/postern.account.v1.MailingListService/RemoveListMembers", OWNER, Lists, Write),
    row("/postern.account.v1.MailingListService/LookupMailingList", SERVICE, Mesh, Read),
    row("/postern.account.v1.MailingListService/RequestListChange", SERVICE, Mesh, Write),
    row("/postern.account.v1.MailingListService/ConfirmListChange", SERVICE, Mesh, Write),
    row("/postern.account.v1.MailingListService/ReportListCopies", SERVICE, Mesh, Write),
    row("/postern.account.v1.MailingListService/LookupListSubscription", SERVICE, Mesh, Read),
    row("/postern.account.v1.MailingListService/EndListSubscription", SERVICE, Mesh, Write),

    row("/postern.account.v1.MailKeyService/LookupSigningKey", SERVICE, Mesh, Read),
    row("/postern.account.v1.MailKeyService/ListSenderKeys", SERVICE, Mesh, Read),

    row("/postern.account.v1.AutoresponderService/GetAutoresponder", USER_READ, Autoresponders, Read),
    row("/postern.account.v1.AutoresponderService/ListAutoresponders", OWN_READ, Autoresponders, Read),
    row("/postern.account.v1.AutoresponderService/UpdateAutoresponder", USER, Autoresponders, Write),
    row("/postern.account.v1.AutoresponderService/DeleteAutoresponder", USER, Autoresponders, Write),
    row("/postern.account.v1.AutoresponderService/LookupAutoresponder", SERVICE, Mesh, Read),

    row("/postern.account.v1.LimitsService/GetLimits", OWN_READ, Limits, Read),
    row("/postern.account.v1.LimitsService/UpdateLimits", OPERATOR, Limits, Write),

    row("/postern.account.v1.ApiTokenService/CreateApiToken", OWNER, Tokens, Write),
    row("/postern.account.v1.ApiTokenService/ListApiTokens", OWNER, Tokens, Read),
    row("/postern.account.v1.ApiTokenService/DeleteApiToken", OWNER, Tokens, Write),
    row("/postern.account.v1.ApiTokenService/LookupApiToken", SERVICE, Mesh, Read),

    row("/postern.account.v1.AuditService/ListAuditEntries", OWN_READ, Audit, Read),
    row("/postern.account.v1.AuditService/RestoreAuditEntry", USER, Audit, Write),
    row("/postern.account.v1.AuditService/RecordAuditEntry", SERVICE, Mesh, Write),

    row("/postern.account.v1.StorageService/ReportBoxUsage", SERVICE, Mesh, Write),
    row("/postern.account.v1.StorageService/ListExpiredMailboxes", SERVICE, Mesh, Read),
    row("/postern.account.v1.StorageService/ConfirmDestroyedMailboxes", SERVICE, Mesh, Write),

    row("/postern.auth.v1.LoginService/Authenticate", SERVICE, Mesh, Write),
    row("/postern.auth.v1.LoginService/ExchangeToken", ANYBODY, Mesh, Write),
    row("/postern.auth.v1.LoginService/GetLoginHistory", USER_READ, Mailboxes, Read),

    row("/postern.auth.v1.PanelSessionService/CreatePanelSession", ANYBODY, Mesh, Write),
    row("/postern.auth.v1.PanelSessionService/ConfirmPanelSession", ANYBODY, Mesh, Write),
    row("/postern.auth.v1.PanelSessionService/DeletePanelSession", ANYBODY, Mesh, Write),
    row("/postern.auth.v1.PanelSessionService/ListPanelSessions", USER_READ, Tokens, Read),
    row("/postern.auth.v1.PanelSessionService/EndPanelSessions", USER, Tokens, Write),

    row("/postern.auth.v1.RelayService/CheckRelay", SERVICE, Mesh, Write),
    row("/postern.auth.v1.RelayService/CountInbound", SERVICE, Mesh, Write),
    row("/postern.auth.v1.RelayService/ListGrants", USER_READ, Grants, Read),
    row("/postern.auth.v1.RelayService/RevokeGrant", USER_HELP, Grants, Write),
    row("/postern.auth.v1.RelayService/WatchRevocations", SERVICE, Mesh, Watch),

    row("/postern.auth.v1.SightingService/NoteSightings", SERVICE, Mesh, Write),

    row("/postern.auth.v1.ExplainService/ExplainLogin", USER_READ, Explain, Read),
    row("/postern.auth.v1.ExplainService/ExplainSend", USER_READ, Explain, Read),
    row("/postern.auth.v1.ExplainService/ExplainRecipient", USER_READ, Explain, Read),
    row("/postern.auth.v1.ExplainService/ExplainDomain", OWN_READ, Explain, Read),

    row("/postern.delivery.v1.BoxService/GetBox", USER_READ, Boxes, Read),
    row("/postern.delivery.v1.BoxService/ClearBox", USER_HELP, Boxes, Write),
    row("/postern.delivery.v1.BoxService/ListClearings", USER_READ, Boxes, Read),
    row("/postern.delivery.v1.BoxService/RestoreBox", USER_HELP, Boxes, Write),
    row("/postern.delivery.v1.BoxService/MoveMessages", OWNER, Boxes, Write),
    row("/postern.delivery.v1.BoxService/ImportMessages", USER, Boxes, Upload),
    row("/postern.delivery.v1.BoxService/ListImports", USER_READ, Boxes, Read),
    row("/postern.delivery.v1.BoxService/ExportMessages", USER, Boxes, Download),

    row("/postern.delivery.v1.LockService/GetLock", LOCK_READ, Locks, Read),
    row("/postern.delivery.v1.LockService/ListLocks", OWN_READ, Locks, Read),
    row("/postern.delivery.v1.LockService/ReleaseLock", USER_HELP, Locks, Write),

    row("/postern.delivery.v1.MaildropService/OpenMaildrop", SERVICE, Mesh, Download),
    row("/postern.delivery.v1.MaildropService/RenewMaildrops", SERVICE, Mesh, Write),
    row("/postern.delivery.v1.MaildropService/ReadMessages", SERVICE, Mesh, Download),
    row("/postern.delivery.v1.MaildropService/CloseMaildrop", SERVICE, Mesh, Write),

    row("/postern.delivery.v1.QueueService/GetQueueEntry", OWN_READ, Queue, Read),
    row("/postern.delivery.v1.QueueService/ListQueueEntries", OWN_READ, Queue, Read),
    row("/postern.delivery.v1.QueueService/RetryQueueEntries", OPERATOR, Queue, Write),
    row("/postern.delivery.v1.QueueService/HoldQueueEntries", OPERATOR, Queue, Write),
    row("/postern.delivery.v1.QueueService/RemoveQueueEntries", OPERATOR, Queue, Write),

    row("/postern.delivery.v1.SubmissionService/SubmitMessage", SERVICE, Mesh, Upload),

    row("/postern.delivery.v1.TraceService/GetTrace", USER_READ, Traces, Read),
    row("/postern.delivery.v1.TraceService/ListTraces", USER_READ, Traces, Read),
    row("/postern.delivery.v1.TraceService/GetTraffic", OWN_READ, Traces, Read),
    row("/postern.delivery.v1.TraceService/GetSendingSummary", USER_READ, Traces, Read),

    row("/grpc.health.v1.Health/Check", ANYBODY, Mesh, Read),
    row("/grpc.health.v1.Health/List", ANYBODY, Mesh, Read),
    row("/grpc.health.v1.Health/Watch", ANYBODY, Mesh, Watch),
    row("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", ANYBODY, Mesh, Watch),
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
    fn only_what_gives_an_assertion_is_open_to_anybody() {
        for row in table().iter().filter(|row| row.callers == ANYBODY) {
            let open = [
                "LoginService/ExchangeToken",
                "PanelSessionService/CreatePanelSession",
                "/ConfirmPanelSession",
                "/DeletePanelSession",
            ];
            assert!(
                row.path.starts_with("/grpc.") || open.iter().any(|end| row.path.ends_with(end)),
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
                ["Get", "List", "Lookup", "Resolve", "BatchResolve", "Explain"]
                    .iter()
                    .any(|verb| name.starts_with(verb)),
                "{}",
                row.path
            );
        }
    }

    #[test]
    fn roles_are_held_apart() {
        let admits = |path: &str, role| method(path).expect("row").callers.admit(role);
        for path in [
            "/postern.account.v1.CustomerService/CreateCustomer",
            "/postern.delivery.v1.LockService/ReleaseLock",
        ] {
            assert!(!admits(path, Role::Service), "a service administers nothing: {path}");
        }
        assert!(!admits("/postern.auth.v1.LoginService/Authenticate", Role::Operator));
        for row in table().iter().filter(|row| row.area == Mesh && row.callers != ANYBODY) {
            for role in [Role::Operator, Role::Support, Role::Customer, Role::Mailbox] {
                assert!(!row.callers.admit(role), "{}", row.path);
            }
        }
        // Support never reads mail, and sets nothing that a customer sets.
        assert!(!admits("/postern.delivery.v1.BoxService/ExportMessages", Role::Support));
        let helps = ["ReleaseLock", "ClearBox", "RestoreBox", "RevokeGrant", "VerifyDomain"];
        for row in
            table().iter().filter(|row| row.changes && row.callers.admit(Role::Support) && row.area != Mesh)
        {
            assert!(helps.iter().any(|name| row.path.ends_with(name)), "{}", row.path);
        }
    }

    #[test]
    fn areas_have_their_names() {
        let mut names = HashSet::new();
        for area in Area::SCOPED {
            assert!(area != Mesh && names.insert(area.name()), "{area:?}");
        }
        for row in table() {
            assert!(row.area == Mesh || Area::SCOPED.contains(&row.area), "{}", row.path);
        }
    }
}
