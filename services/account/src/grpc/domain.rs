//! `postern.account.v1.DomainService`.

use std::sync::Arc;

use postern_mesh::identity::Caller;
use postern_proto::account::v1::{
    CreateDomainRequest, CreateDomainResponse, DeleteDomainRequest, DeleteDomainResponse, DmarcHandling,
    Domain, DomainState, GetDomainOverviewRequest, GetDomainOverviewResponse, GetDomainRequest,
    GetDomainResponse, ListDomainsRequest, ListDomainsResponse, SenderPolicy, SpamHandling,
    UpdateDomainRequest, UpdateDomainResponse, VerifyDomainRequest, VerifyDomainResponse,
    domain_service_server::DomainService,
};
use tonic::{Request, Response, Status};

use super::{mask, opened, operators_only, present};
use crate::{
    Account,
    domains::NewDomain,
    error::AccountError,
    fields::{self, ALLOWED_SENDERS_MAX, GRANT_TTL_SECONDS, invalid},
    paging::Page,
    store::domains::DomainUpdate,
};

/// What UpdateDomain can change.
const PATHS: [&str; 9] = [
    "state",
    "grant_ttl_seconds",
    "auth_only",
    "sender_policy",
    "allowed_senders",
    "plaintext_login",
    "dmarc_handling",
    "spam_handling",
    "spam_mailbox",
];

pub(super) struct Domains(pub(super) Arc<Account>);

#[tonic::async_trait]
impl DomainService for Domains {
    async fn get_domain(
        &self,
        request: Request<GetDomainRequest>,
    ) -> Result<Response<GetDomainResponse>, Status> {
        let (caller, request) = opened(request)?;
        let name = fields::domain("name", &request.name)?;
        let domain = self.0.domain(&caller, &name).await?;
        let findings = self.0.dns_findings(&domain).await?;
        Ok(Response::new(GetDomainResponse { domain: Some(domain), findings }))
    }

    async fn list_domains(
        &self,
        request: Request<ListDomainsRequest>,
    ) -> Result<Response<ListDomainsResponse>, Status> {
        let (caller, request) = opened(request)?;
        let prefix = fields::prefix("prefix", &request.prefix)?;
        let page = Page::new(request.page_size, &request.page_token)?.beginning_with(prefix);
        let customer = match request.customer.as_str() {
            "" => None,
            login => Some(fields::login("customer", login)?),
        };
        let (domains, next_page_token) = self.0.domains(&caller, customer.as_deref(), &page).await?;
        Ok(Response::new(ListDomainsResponse { domains, next_page_token }))
    }

    async fn create_domain(
        &self,
        request: Request<CreateDomainRequest>,
    ) -> Result<Response<CreateDomainResponse>, Status> {
        let (caller, request) = opened(request)?;
        if request.live {
            operators_only(&caller, "live")?;
        }
        let new = NewDomain {
            name: fields::domain("name", &request.name)?,
            customer: fields::login("customer", &request.customer)?,
            live: request.live,
            alias_of: match request.alias_of.as_str() {
                "" => None,
                target => Some(fields::domain("alias_of", target)?),
            },
            request_id: fields::request_id(&request.request_id)?,
        };
        let domain = Some(self.0.create_domain(&caller, new).await?);
        Ok(Response::new(CreateDomainResponse { domain }))
    }

    async fn update_domain(
        &self,
        request: Request<UpdateDomainRequest>,
    ) -> Result<Response<UpdateDomainResponse>, Status> {
        let (caller, request) = opened(request)?;
        let domain = present("domain", request.domain)?;
        let name = fields::domain("domain.name", &domain.name)?;
        let etag = domain.etag.clone();
        let update = update(&caller, domain, &mask(request.update_mask.as_ref(), &PATHS)?)?;
        let domain = Some(self.0.update_domain(&caller, &name, &etag, &update).await?);
        Ok(Response::new(UpdateDomainResponse { domain }))
    }

    async fn delete_domain(
        &self,
        request: Request<DeleteDomainRequest>,
    ) -> Result<Response<DeleteDomainResponse>, Status> {
        let (caller, request) = opened(request)?;
        let name = fields::domain("name", &request.name)?;
        match request.claim_of.as_str() {
            "" => self.0.delete_domain(&caller, &name).await?,
            customer => {
                operators_only(&caller, "claim_of")?;
                let customer = fields::login("claim_of", customer)?;
                self.0.withdraw_claim(&caller, &name, &customer).await?;
            }
        }
        Ok(Response::new(DeleteDomainResponse {}))
    }

    async fn verify_domain(
        &self,
        request: Request<VerifyDomainRequest>,
    ) -> Result<Response<VerifyDomainResponse>, Status> {
        let (caller, request) = opened(request)?;
        let name = fields::domain("name", &request.name)?;
        let (domain, findings) = self.0.verify_domain(&caller, &name).await?;
        Ok(Response::new(VerifyDomainResponse { domain: Some(domain), findings }))
    }

    async fn get_domain_overview(
        &self,
        request: Request<GetDomainOverviewRequest>,
    ) -> Result<Response<GetDomainOverviewResponse>, Status> {
        let (caller, request) = opened(request)?;
        let name = fields::domain("name", &request.name)?;
        let overview = Some(self.0.domain_overview(&caller, &name).await?);
        Ok(Response::new(GetDomainOverviewResponse { overview }))
    }
}

fn update(caller: &Caller, domain: Domain, paths: &[&str]) -> Result<DomainUpdate, AccountError> {
    let mut update = DomainUpdate::default();
    if paths.contains(&"state") {
        operators_only(caller, "domain.state")?;
        update.state = match DomainState::try_from(domain.state) {
            Ok(state @ (DomainState::Pending | DomainState::Live | DomainState::Lost)) => Some(state.into()),
            _ => return invalid("domain.state", "must be PENDING, LIVE or LOST"),
        };
    }
    if paths.contains(&"grant_ttl_seconds") {
        if let Some(seconds) = domain.grant_ttl_seconds
            && !GRANT_TTL_SECONDS.contains(&seconds)
        {
            let (from, to) = GRANT_TTL_SECONDS.into_inner();
            return invalid("domain.grant_ttl_seconds", format_args!("{from} to {to} seconds, or absent"));
        }
        update.grant_ttl_seconds = Some(domain.grant_ttl_seconds);
    }
    if paths.contains(&"auth_only") {
        update.auth_only = Some(domain.auth_only);
    }
    if paths.contains(&"sender_policy") {
        update.sender_policy = match SenderPolicy::try_from(domain.sender_policy) {
            Ok(policy) if policy != SenderPolicy::Unspecified => Some(policy.into()),
            _ => return invalid("domain.sender_policy", "must be OWNER, NAMED or ANYONE"),
        };
    }
    if paths.contains(&"plaintext_login") {
        update.plaintext_login = Some(domain.plaintext_login);
    }
    if paths.contains(&"dmarc_handling") {
        update.dmarc_handling = match DmarcHandling::try_from(domain.dmarc_handling) {
            Ok(handling) if handling != DmarcHandling::Unspecified => Some(handling.into()),
            _ => return invalid("domain.dmarc_handling", "must be NOTE or FOLLOW"),
        };
    }
    if paths.contains(&"spam_handling") {
        update.spam_handling = match SpamHandling::try_from(domain.spam_handling) {
            Ok(handling) if handling != SpamHandling::Unspecified => Some(handling.into()),
            _ => return invalid("domain.spam_handling", "must be OFF, MARK, FOLLOW or QUARANTINE"),
        };
    }
    if paths.contains(&"spam_mailbox") {
        update.spam_mailbox = match domain.spam_mailbox.as_str() {
            "" => Some(String::new()),
            text => Some(fields::local_address("domain.spam_mailbox", text)?.to_string()),
        };
    }
    if paths.contains(&"allowed_senders") {
        update.allowed_senders = Some(allowed_senders(&domain.allowed_senders)?);
    }
    Ok(update)
}

fn allowed_senders(texts: &[String]) -> Result<Vec<String>, AccountError> {
    const FIELD: &str = "domain.allowed_senders";
    if texts.len() > ALLOWED_SENDERS_MAX {
        return invalid(FIELD, format_args!("at most {ALLOWED_SENDERS_MAX} customers"));
    }
    let logins =
        texts.iter().enumerate().map(|(index, text)| fields::login(&format!("{FIELD}[{index}]"), text));
    let mut logins: Vec<_> = logins.collect::<Result<_, _>>()?;
    logins.sort();
    logins.dedup();
    Ok(logins)
}
