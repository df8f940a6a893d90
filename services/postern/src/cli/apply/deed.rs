//! One step of a plan as the call that does it.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use postern_mail::Reason;
use postern_mesh::failure;
use postern_proto::{
    account::v1::{
        AddListMembersRequest, Autoresponder, CreateDomainRequest, CreateForwardRequest,
        CreateMailboxRequest, CreateMailingListRequest, DefaultAddress, DeleteAutoresponderRequest,
        DeleteForwardRequest, DeleteMailboxRequest, DeleteMailingListRequest, Domain, Forward, Mailbox,
        MailingList, MemberLineOutcome, NewPassword as Password, RemoveListMembersRequest,
        UpdateAutoresponderRequest, UpdateDefaultAddressRequest, UpdateDomainRequest, UpdateForwardRequest,
        UpdateMailboxRequest, UpdateMailingListRequest,
        autoresponder_service_client::AutoresponderServiceClient,
        default_address_service_client::DefaultAddressServiceClient,
        domain_service_client::DomainServiceClient, forward_service_client::ForwardServiceClient,
        mailbox_service_client::MailboxServiceClient, mailing_list_service_client::MailingListServiceClient,
        new_password::Secret,
    },
    google::FieldMask,
};
use tonic::Status;

use super::NewPassword;
use crate::cli::{
    list_member::LINES_AT_ONCE,
    operator::{Operator, request_id},
};

/// Random octets of a password that nobody chose.
const PASSWORD_BYTES: usize = 15;

/// A call.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Deed {
    CreateDomain(CreateDomainRequest),
    UpdateDomain(Domain, Vec<&'static str>),
    SetDefault(DefaultAddress),
    CreateMailbox(CreateMailboxRequest),
    UpdateMailbox(Mailbox, Vec<&'static str>),
    DeleteMailbox(String),
    CreateForward(Forward),
    UpdateForward(Forward, Vec<&'static str>),
    DeleteForward(String),
    CreateList(MailingList),
    UpdateList(MailingList, Vec<&'static str>),
    DeleteList(String),
    AddMembers(String, Vec<String>),
    RemoveMembers(String, Vec<String>),
    SetAutoresponder(Autoresponder),
    DeleteAutoresponder(String),
}

impl Deed {
    /// What it is about.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::CreateDomain(_) | Self::UpdateDomain(..) => "domain",
            Self::SetDefault(_) => "default-address",
            Self::CreateMailbox(_) | Self::UpdateMailbox(..) | Self::DeleteMailbox(_) => "mailbox",
            Self::CreateForward(_) | Self::UpdateForward(..) | Self::DeleteForward(_) => "forward",
            Self::CreateList(_) | Self::UpdateList(..) | Self::DeleteList(_) => "list",
            Self::AddMembers(..) | Self::RemoveMembers(..) => "list-members",
            Self::SetAutoresponder(_) | Self::DeleteAutoresponder(_) => "autoresponder",
        }
    }

    /// Which one.
    pub(super) fn name(&self) -> String {
        match self {
            Self::CreateDomain(request) => request.name.clone(),
            Self::UpdateDomain(domain, _) => domain.name.clone(),
            Self::SetDefault(rule) => rule.domain.clone(),
            Self::CreateMailbox(request) => request.address.clone(),
            Self::UpdateMailbox(mailbox, _) => mailbox.address.clone(),
            Self::CreateForward(forward) | Self::UpdateForward(forward, _) => forward.address.clone(),
            Self::CreateList(list) | Self::UpdateList(list, _) => list.address.clone(),
            Self::SetAutoresponder(autoresponder) => autoresponder.address.clone(),
            Self::DeleteMailbox(name)
            | Self::DeleteForward(name)
            | Self::DeleteList(name)
            | Self::AddMembers(name, _)
            | Self::RemoveMembers(name, _)
            | Self::DeleteAutoresponder(name) => name.clone(),
        }
    }

    /// Does it. A random password that was set is added to `passwords`.
    ///
    /// # Errors
    /// What the platform said.
    pub(super) async fn run(
        &mut self,
        operator: &Operator,
        passwords: &mut Vec<NewPassword>,
    ) -> Result<(), Status> {
        match self.clone() {
            Self::CreateDomain(_) | Self::UpdateDomain(..) | Self::SetDefault(_) => {
                self.domain(operator).await
            }
            Self::CreateMailbox(request) => create_mailbox(operator, request, passwords).await,
            Self::UpdateMailbox(..) | Self::DeleteMailbox(_) => self.mailbox(operator).await,
            Self::CreateForward(_) | Self::UpdateForward(..) | Self::DeleteForward(_) => {
                self.forward(operator).await
            }
            Self::SetAutoresponder(_) | Self::DeleteAutoresponder(_) => self.autoresponder(operator).await,
            _ => self.list(operator).await,
        }
    }

    async fn domain(&self, operator: &Operator) -> Result<(), Status> {
        let mut client = DomainServiceClient::new(operator.account.clone());
        match self.clone() {
            Self::CreateDomain(request) => client.create_domain(request).await.map(drop),
            Self::UpdateDomain(domain, paths) => {
                let request = UpdateDomainRequest { domain: Some(domain), update_mask: mask(&paths) };
                client.update_domain(request).await.map(drop)
            }
            Self::SetDefault(rule) => {
                let mut client = DefaultAddressServiceClient::new(operator.account.clone());
                let request = UpdateDefaultAddressRequest { default_address: Some(rule) };
                client.update_default_address(request).await.map(drop)
            }
            _ => Ok(()),
        }
    }

    async fn mailbox(&self, operator: &Operator) -> Result<(), Status> {
        let mut client = MailboxServiceClient::new(operator.account.clone());
        match self.clone() {
            Self::UpdateMailbox(mailbox, paths) => {
                let request = UpdateMailboxRequest { mailbox: Some(mailbox), update_mask: mask(&paths) };
                client.update_mailbox(request).await.map(drop)
            }
            Self::DeleteMailbox(address) => {
                client.delete_mailbox(DeleteMailboxRequest { address }).await.map(drop)
            }
            _ => Ok(()),
        }
    }

    async fn forward(&self, operator: &Operator) -> Result<(), Status> {
        let mut client = ForwardServiceClient::new(operator.account.clone());
        match self.clone() {
            Self::CreateForward(forward) => {
                let request = CreateForwardRequest { forward: Some(forward), request_id: request_id() };
                client.create_forward(request).await.map(drop)
            }
            Self::UpdateForward(forward, paths) => {
                let request = UpdateForwardRequest { forward: Some(forward), update_mask: mask(&paths) };
                client.update_forward(request).await.map(drop)
            }
            Self::DeleteForward(address) => {
                client.delete_forward(DeleteForwardRequest { address }).await.map(drop)
            }
            _ => Ok(()),
        }
    }

    async fn list(&self, operator: &Operator) -> Result<(), Status> {
        let mut client = MailingListServiceClient::new(operator.account.clone());
        match self.clone() {
            Self::CreateList(list) => {
                let request = CreateMailingListRequest { list: Some(list), request_id: request_id() };
                client.create_mailing_list(request).await.map(drop)
            }
            Self::UpdateList(list, paths) => {
                let request = UpdateMailingListRequest { list: Some(list), update_mask: mask(&paths) };
                client.update_mailing_list(request).await.map(drop)
            }
            Self::DeleteList(address) => {
                client.delete_mailing_list(DeleteMailingListRequest { address }).await.map(drop)
            }
            Self::AddMembers(list, addresses) => {
                let mut refused = Vec::new();
                for part in addresses.chunks(LINES_AT_ONCE) {
                    let request = AddListMembersRequest {
                        list: list.clone(),
                        addresses: part.to_vec(),
                        ..Default::default()
                    };
                    let lines = client.add_list_members(request).await?.into_inner().lines;
                    let wrong = |outcome| {
                        matches!(outcome, MemberLineOutcome::Invalid | MemberLineOutcome::OverLimit)
                    };
                    refused.extend(lines.into_iter().filter(|line| wrong(line.outcome())));
                }
                match refused.first() {
                    None => Ok(()),
                    Some(first) => {
                        let (count, line, reason) = (refused.len(), &first.line, &first.reason);
                        let text = format!("{count} not added, the first: {line}: {reason}");
                        Err(failure::status_with(Reason::InvalidArgument, text))
                    }
                }
            }
            Self::RemoveMembers(list, addresses) => {
                for part in addresses.chunks(LINES_AT_ONCE) {
                    let request = RemoveListMembersRequest { list: list.clone(), addresses: part.to_vec() };
                    client.remove_list_members(request).await?;
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    async fn autoresponder(&self, operator: &Operator) -> Result<(), Status> {
        let mut client = AutoresponderServiceClient::new(operator.account.clone());
        match self.clone() {
            Self::SetAutoresponder(autoresponder) => {
                let paths = ["subject", "text", "start_time", "end_time", "interval_seconds"];
                let request = UpdateAutoresponderRequest {
                    autoresponder: Some(autoresponder),
                    update_mask: mask(&paths),
                    allow_missing: true,
                };
                client.update_autoresponder(request).await.map(drop)
            }
            Self::DeleteAutoresponder(address) => {
                client.delete_autoresponder(DeleteAutoresponderRequest { address }).await.map(drop)
            }
            _ => Ok(()),
        }
    }
}

async fn create_mailbox(
    operator: &Operator,
    mut request: CreateMailboxRequest,
    passwords: &mut Vec<NewPassword>,
) -> Result<(), Status> {
    let mut made = None;
    if request.password.is_none() {
        let password = URL_SAFE_NO_PAD.encode(rand::random::<[u8; PASSWORD_BYTES]>());
        request.password = Some(Password { secret: Some(Secret::Plain(password.clone())) });
        made = Some(NewPassword { address: request.address.clone(), password });
    }
    MailboxServiceClient::new(operator.account.clone()).create_mailbox(request).await?;
    passwords.extend(made);
    Ok(())
}

fn mask(paths: &[&str]) -> Option<FieldMask> {
    Some(FieldMask { paths: paths.iter().map(|path| (*path).to_owned()).collect() })
}
