//! The demo customer, made with the same calls that an operator uses. What is there already is left as it is.

use postern_mail::Reason;
use postern_mesh::{client::MeshChannel, failure::typed_reason};
use postern_proto::account::v1::{
    AddListMembersRequest, Autoresponder, CreateCustomerRequest, CreateDomainRequest, CreateForwardRequest,
    CreateMailboxRequest, CreateMailingListRequest, Forward, GetAutoresponderRequest, MailingList,
    NewPassword, UpdateAutoresponderRequest, autoresponder_service_client::AutoresponderServiceClient,
    customer_service_client::CustomerServiceClient, domain_service_client::DomainServiceClient,
    forward_service_client::ForwardServiceClient, mailbox_service_client::MailboxServiceClient,
    mailing_list_service_client::MailingListServiceClient, new_password::Secret,
};
use tonic::{Response, Status};

pub(super) const CUSTOMER: &str = "homepage";
pub(super) const DOMAIN: &str = "homepage.test";
pub(super) const MAILBOX: &str = "user@homepage.test";
pub(super) const PASSWORD: &str = "postern-demo";
/// Address and target: an alias inside, a forward to the outside.
pub(super) const FORWARDS: [(&str, &str); 2] =
    [("sales@homepage.test", MAILBOX), ("friend@homepage.test", "someone@outside.test")];

/// A mailing list, and who gets its posts.
pub(super) const LIST: (&str, [&str; 2]) = ("news@homepage.test", [MAILBOX, "someone@outside.test"]);
/// An address that answers and keeps nothing.
pub(super) const AUTORESPONDER: &str = "info@homepage.test";

/// Creates what is missing.
pub(super) async fn create(account: &MeshChannel) -> Result<(), Status> {
    let password = || Some(NewPassword { secret: Some(Secret::Plain(PASSWORD.to_owned())) });
    let request = CreateCustomerRequest {
        login: CUSTOMER.to_owned(),
        display_name: "Demo".to_owned(),
        password: password(),
        request_id: String::new(),
    };
    unless_there(CustomerServiceClient::new(account.clone()).create_customer(request).await)?;
    let request = CreateDomainRequest {
        name: DOMAIN.to_owned(),
        customer: CUSTOMER.to_owned(),
        live: true,
        ..CreateDomainRequest::default()
    };
    unless_there(DomainServiceClient::new(account.clone()).create_domain(request).await)?;
    let request = CreateMailboxRequest {
        address: MAILBOX.to_owned(),
        password: password(),
        display_name: "Demo user".to_owned(),
        ..CreateMailboxRequest::default()
    };
    unless_there(MailboxServiceClient::new(account.clone()).create_mailbox(request).await)?;
    for (address, target) in FORWARDS {
        let forward =
            Forward { address: address.to_owned(), targets: vec![target.to_owned()], ..Forward::default() };
        let request = CreateForwardRequest { forward: Some(forward), request_id: String::new() };
        unless_there(ForwardServiceClient::new(account.clone()).create_forward(request).await)?;
    }
    create_list(account).await?;
    create_autoresponder(account).await
}

async fn create_list(account: &MeshChannel) -> Result<(), Status> {
    let (address, members) = LIST;
    let mut lists = MailingListServiceClient::new(account.clone());
    let list = MailingList {
        address: address.to_owned(),
        subject_prefix: "[news]".to_owned(),
        owner: MAILBOX.to_owned(),
        ..MailingList::default()
    };
    let request = CreateMailingListRequest { list: Some(list), request_id: String::new() };
    match lists.create_mailing_list(request).await {
        Ok(_) => {
            let addresses = members.map(str::to_owned).to_vec();
            let request = AddListMembersRequest { list: address.to_owned(), addresses, ..Default::default() };
            lists.add_list_members(request).await.map(drop)
        }
        Err(status) => unless_there::<()>(Err(status)),
    }
}

async fn create_autoresponder(account: &MeshChannel) -> Result<(), Status> {
    let mut autoresponders = AutoresponderServiceClient::new(account.clone());
    let address = AUTORESPONDER.to_owned();
    match autoresponders.get_autoresponder(GetAutoresponderRequest { address: address.clone() }).await {
        Ok(_) => return Ok(()),
        Err(status) if typed_reason(&status) == Some(Reason::NotFound) => {}
        Err(status) => return Err(status),
    }
    let autoresponder = Autoresponder {
        address,
        subject: "Re: {subject}".to_owned(),
        text:
            "Thank you for your message of {date}. This is the demo of Postern; nobody reads this address.\n"
                .to_owned(),
        ..Autoresponder::default()
    };
    let request = UpdateAutoresponderRequest {
        autoresponder: Some(autoresponder),
        update_mask: None,
        allow_missing: true,
    };
    unless_there(autoresponders.update_autoresponder(request).await)
}

fn unless_there<T>(answer: Result<Response<T>, Status>) -> Result<(), Status> {
    match answer {
        Ok(_) => Ok(()),
        Err(status) if typed_reason(&status) == Some(Reason::AlreadyExists) => Ok(()),
        Err(status) => Err(status),
    }
}
