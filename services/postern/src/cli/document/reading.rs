//! The settings as they are now, read over gRPC into a document.

use std::collections::BTreeSet;

use postern_mail::Reason;
use postern_mesh::failure::typed_reason;
use postern_proto::{
    account::v1::{
        Autoresponder, Domain, GetDefaultAddressRequest, GetDomainRequest, ListAutorespondersRequest,
        ListForwardsRequest, ListListMembersRequest, ListMailboxesRequest, ListMailingListsRequest,
        MailingList, autoresponder_service_client::AutoresponderServiceClient,
        default_address_service_client::DefaultAddressServiceClient,
        domain_service_client::DomainServiceClient, forward_service_client::ForwardServiceClient,
        mailbox_service_client::MailboxServiceClient, mailing_list_service_client::MailingListServiceClient,
    },
    google::Timestamp,
};
use tonic::Status;

use super::{
    AutoresponderSettings, Dmarc, Document, DomainSettings, ForwardSettings, ListSettings, MailboxSettings,
    Posting, Replies, Senders, Spam, default_word,
};
use crate::cli::{
    Failure,
    operator::{Operator, PAGE_SIZE, all_pages},
};

/// What there is of these domains; those that do not exist are left out.
pub(crate) async fn read(
    operator: &Operator,
    customer: &str,
    names: impl IntoIterator<Item = String>,
) -> Result<Document, Failure> {
    let mut document = Document { customer: customer.to_owned(), domains: Vec::new() };
    let mut client = DomainServiceClient::new(operator.account.clone());
    for name in names.into_iter().collect::<BTreeSet<_>>() {
        let answer = client.get_domain(GetDomainRequest { name }).await.map(|a| a.into_inner().domain);
        let Some(domain) = unless_missing(answer)?.flatten() else { continue };
        if document.customer.is_empty() {
            document.customer.clone_from(&domain.customer);
        }
        if domain.customer != document.customer {
            let text = format!("{} belongs to customer {}", domain.name, domain.customer);
            return Err(Failure::Refused(text));
        }
        document.domains.push(one(operator, domain).await?);
    }
    Ok(document)
}

async fn one(operator: &Operator, domain: Domain) -> Result<DomainSettings, Failure> {
    let senders = Some(Senders::of(domain.sender_policy()));
    // Of a second name it is that of the domain it stands for.
    let dmarc = domain.alias_of.is_empty().then(|| Dmarc::of(domain.dmarc_handling()));
    let spam = domain.alias_of.is_empty().then(|| Spam::of(domain.spam_handling()));
    let spam_mailbox = domain.alias_of.is_empty().then(|| domain.spam_mailbox.clone());
    let mut settings = DomainSettings {
        spam,
        spam_mailbox: spam_mailbox.filter(|address| !address.is_empty()),
        alias_of: Some(domain.alias_of).filter(|name| !name.is_empty()),
        grant_seconds: Some(domain.grant_ttl_seconds.unwrap_or(0)),
        auth_only: Some(domain.auth_only),
        plaintext_login: Some(domain.plaintext_login),
        dmarc,
        senders,
        allowed_senders: Some(domain.allowed_senders),
        name: domain.name,
        ..DomainSettings::default()
    };
    if settings.alias_of.is_some() {
        return Ok(settings);
    }
    let request = GetDefaultAddressRequest { domain: settings.name.clone() };
    let mut client = DefaultAddressServiceClient::new(operator.account.clone());
    let rule = client.get_default_address(request).await?.into_inner().default_address.unwrap_or_default();
    settings.default_address = Some(default_word(rule.action(), &rule.target));
    settings.mailboxes = mailboxes(operator, &settings.name).await?;
    settings.forwards = forwards(operator, &settings.name).await?;
    settings.lists = lists(operator, &settings.name).await?;
    settings.autoresponders = autoresponders(operator, &settings.name).await?;
    Ok(settings)
}

async fn mailboxes(operator: &Operator, domain: &str) -> Result<Vec<MailboxSettings>, Failure> {
    let mut client = MailboxServiceClient::new(operator.account.clone());
    let mut all = Vec::new();
    all_pages(async |page_token| {
        let request = ListMailboxesRequest {
            domain: domain.to_owned(),
            page_size: PAGE_SIZE,
            page_token,
            ..Default::default()
        };
        let page = client.list_mailboxes(request).await?.into_inner();
        // The default box is made with its domain and has no settings of its own.
        all.extend(page.mailboxes.into_iter().filter(|mailbox| !mailbox.default_box).map(|mailbox| {
            MailboxSettings {
                address: mailbox.address,
                name: Some(mailbox.display_name),
                quota_bytes: mailbox.quota_bytes,
                password_phc: None,
            }
        }));
        Ok(page.next_page_token)
    })
    .await?;
    Ok(all)
}

async fn forwards(operator: &Operator, domain: &str) -> Result<Vec<ForwardSettings>, Failure> {
    let mut client = ForwardServiceClient::new(operator.account.clone());
    let mut all = Vec::new();
    all_pages(async |page_token| {
        let request = ListForwardsRequest {
            domain: domain.to_owned(),
            page_size: PAGE_SIZE,
            page_token,
            ..Default::default()
        };
        let page = client.list_forwards(request).await?.into_inner();
        all.extend(page.forwards.into_iter().map(|forward| ForwardSettings {
            address: forward.address,
            targets: forward.targets,
            keep_copy: forward.keep_copy,
        }));
        Ok(page.next_page_token)
    })
    .await?;
    Ok(all)
}

async fn lists(operator: &Operator, domain: &str) -> Result<Vec<ListSettings>, Failure> {
    let mut client = MailingListServiceClient::new(operator.account.clone());
    let mut all = Vec::new();
    all_pages(async |page_token| {
        let request = ListMailingListsRequest {
            domain: domain.to_owned(),
            page_size: PAGE_SIZE,
            page_token,
            ..Default::default()
        };
        let page = client.list_mailing_lists(request).await?.into_inner();
        all.extend(page.lists.into_iter().map(list));
        Ok(page.next_page_token)
    })
    .await?;
    for list in &mut all {
        list.members = members(operator, &list.address).await?;
    }
    Ok(all)
}

fn list(list: MailingList) -> ListSettings {
    ListSettings {
        posting: Some(Posting::of(list.posting())),
        replies: Some(Replies::of(list.replies())),
        address: list.address,
        subject_prefix: Some(list.subject_prefix),
        owner: Some(list.owner),
        description: Some(list.description),
        message_max_bytes: Some(list.message_max_bytes),
        listserv: Some(list.listserv),
        members: Vec::new(),
    }
}

async fn members(operator: &Operator, list: &str) -> Result<Vec<String>, Failure> {
    let mut client = MailingListServiceClient::new(operator.account.clone());
    let mut all = Vec::new();
    all_pages(async |page_token| {
        let request = ListListMembersRequest {
            list: list.to_owned(),
            page_size: 10_000,
            page_token,
            ..Default::default()
        };
        let page = client.list_list_members(request).await?.into_inner();
        all.extend(page.members.into_iter().map(|member| member.address));
        Ok(page.next_page_token)
    })
    .await?;
    Ok(all)
}

async fn autoresponders(operator: &Operator, domain: &str) -> Result<Vec<AutoresponderSettings>, Failure> {
    let mut client = AutoresponderServiceClient::new(operator.account.clone());
    let mut all = Vec::new();
    all_pages(async |page_token| {
        let request = ListAutorespondersRequest {
            domain: domain.to_owned(),
            page_size: PAGE_SIZE,
            page_token,
            ..Default::default()
        };
        let page = client.list_autoresponders(request).await?.into_inner();
        all.extend(page.autoresponders.into_iter().map(autoresponder));
        Ok(page.next_page_token)
    })
    .await?;
    Ok(all)
}

fn autoresponder(found: Autoresponder) -> AutoresponderSettings {
    let moment = |time: Option<Timestamp>| time.and_then(|t| jiff::Timestamp::new(t.seconds, t.nanos).ok());
    AutoresponderSettings {
        start: moment(found.start_time),
        end: moment(found.end_time),
        interval_seconds: Some(found.interval_seconds).filter(|seconds| *seconds != 0),
        address: found.address,
        subject: found.subject,
        text: found.text,
    }
}

fn unless_missing<T>(answer: Result<T, Status>) -> Result<Option<T>, Failure> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(status) if typed_reason(&status) == Some(Reason::NotFound) => Ok(None),
        Err(status) => Err(status.into()),
    }
}
