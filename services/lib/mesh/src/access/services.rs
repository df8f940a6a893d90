//! Which service may call which RPC in its own name: what gateways and workers need, and nothing more. Asked where
//! certificates tell who calls; a test demands an entry for each RPC that the role `service` may call at all. The control
//! panel acts for people, with their assertions, save where a link in a mail is all that a person has.

const POP3: &str = "pop3-gateway";
const SMTP: &str = "smtp-gateway";
const PANEL: &str = "control-panel";
const AUTH: &str = "auth";
const DELIVERY: &str = "delivery";

#[rustfmt::skip]
const TABLE: &[(&str, &[&str])] = &[
    ("/postern.account.v1.DirectoryService/ResolveRecipient", &[SMTP, AUTH, DELIVERY]),
    ("/postern.account.v1.DirectoryService/BatchResolveRecipients", &[SMTP, AUTH, DELIVERY]),
    ("/postern.account.v1.DirectoryService/LookupLogin", &[AUTH]),
    ("/postern.account.v1.DirectoryService/LookupMailbox", &[AUTH, DELIVERY]),
    ("/postern.account.v1.DirectoryService/LookupDomain", &[SMTP, AUTH, DELIVERY]),
    ("/postern.account.v1.DirectoryService/WatchChanges", &[SMTP, AUTH, DELIVERY]),
    ("/postern.account.v1.MailingListService/ListListMembers", &[DELIVERY]),
    ("/postern.account.v1.MailingListService/LookupMailingList", &[AUTH, DELIVERY]),
    ("/postern.account.v1.MailingListService/RequestListChange", &[DELIVERY]),
    ("/postern.account.v1.MailingListService/ConfirmListChange", &[DELIVERY]),
    ("/postern.account.v1.MailingListService/ReportListCopies", &[DELIVERY]),
    ("/postern.account.v1.MailingListService/LookupListSubscription", &[PANEL]),
    ("/postern.account.v1.MailingListService/EndListSubscription", &[PANEL]),
    ("/postern.account.v1.MailKeyService/LookupSigningKey", &[DELIVERY]),
    ("/postern.account.v1.MailKeyService/ListSenderKeys", &[DELIVERY]),
    ("/postern.account.v1.AutoresponderService/LookupAutoresponder", &[DELIVERY]),
    ("/postern.account.v1.ApiTokenService/LookupApiToken", &[AUTH]),
    ("/postern.account.v1.SecondFactorService/CheckSecondFactor", &[AUTH]),
    ("/postern.account.v1.AuditService/RecordAuditEntry", &[AUTH, DELIVERY]),
    ("/postern.account.v1.StorageService/ReportBoxUsage", &[DELIVERY]),
    ("/postern.account.v1.StorageService/ListExpiredMailboxes", &[DELIVERY]),
    ("/postern.account.v1.StorageService/ConfirmDestroyedMailboxes", &[DELIVERY]),

    ("/postern.auth.v1.LoginService/Authenticate", &[POP3, SMTP]),
    ("/postern.auth.v1.RelayService/CheckRelay", &[SMTP]),
    ("/postern.auth.v1.RelayService/CountInbound", &[SMTP]),
    ("/postern.auth.v1.RelayService/WatchRevocations", &[SMTP]),
    ("/postern.auth.v1.SightingService/NoteSightings", &[POP3, SMTP]),

    ("/postern.delivery.v1.LockService/GetLock", &[AUTH]),
    ("/postern.delivery.v1.MaildropService/OpenMaildrop", &[POP3]),
    ("/postern.delivery.v1.MaildropService/RenewMaildrops", &[POP3]),
    ("/postern.delivery.v1.MaildropService/ReadMessages", &[POP3]),
    ("/postern.delivery.v1.MaildropService/CloseMaildrop", &[POP3]),
    ("/postern.delivery.v1.SubmissionService/SubmitMessage", &[SMTP]),
];

/// The services that may call this RPC in their own name.
pub(super) fn callers_of(path: &str) -> &'static [&'static str] {
    TABLE.iter().find(|(of, _)| *of == path).map_or(&[], |(_, services)| services)
}

#[cfg(test)]
mod tests {
    use super::{super::table, *};
    use crate::{access::Callers, house::NAMES, identity::Role};

    #[test]
    fn each_rpc_that_services_call_names_them() {
        for row in table().iter().filter(|row| row.callers != Callers::ANYBODY) {
            let named = !callers_of(row.path).is_empty();
            assert_eq!(named, row.callers.admit(Role::Service), "{}", row.path);
        }
        for (path, services) in TABLE {
            assert!(table().iter().any(|row| row.path == *path), "no such RPC: {path}");
            assert!(services.iter().all(|service| NAMES.contains(service)), "{path}");
        }
    }
}
