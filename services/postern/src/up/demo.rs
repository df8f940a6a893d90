//! The demo customer, made with the same calls that an operator uses. What is there already is left as it is.

use postern_mail::Reason;
use postern_mesh::{client::MeshChannel, failure::typed_reason};
use postern_proto::account::v1::{
    CreateCustomerRequest, CreateDomainRequest, CreateForwardRequest, CreateMailboxRequest, Forward,
    NewPassword, customer_service_client::CustomerServiceClient, domain_service_client::DomainServiceClient,
    forward_service_client::ForwardServiceClient, mailbox_service_client::MailboxServiceClient,
    new_password::Secret,
};
use tonic::{Response, Status};

pub(super) const CUSTOMER: &str = "homepage";
pub(super) const DOMAIN: &str = "homepage.test";
pub(super) const MAILBOX: &str = "user@homepage.test";
pub(super) const PASSWORD: &str = "postern-demo";
/// Address and target: an alias inside, a forward to the outside.
pub(super) const FORWARDS: [(&str, &str); 2] =
    [("sales@homepage.test", MAILBOX), ("friend@homepage.test", "someone@outside.test")];

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
    Ok(())
}

fn unless_there<T>(answer: Result<Response<T>, Status>) -> Result<(), Status> {
    match answer {
        Ok(_) => Ok(()),
        Err(status) if typed_reason(&status) == Some(Reason::AlreadyExists) => Ok(()),
        Err(status) => Err(status),
    }
}
