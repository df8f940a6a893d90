//! A tool for Postern in Rust: makes a mailbox, watches changes, reads the audit (docs/TOOLS.md).
//!
//! `POSTERN_TOKEN=... postern-example-tool http://127.0.0.1:7102 http://127.0.0.1:7101 anna@homepage.test`: auth, account, address.
//! With `--ca FILE` before them the doors are spoken to over TLS, and their URLs begin with `https`.

use std::time::Duration;

use anyhow::{Context as _, bail};
use postern_proto::{
    account::v1::{
        CreateMailboxRequest, ListAuditEntriesRequest, ListMailboxesRequest, NewPassword,
        WatchChangesRequest, WatchChangesResponse, audit_service_client::AuditServiceClient,
        directory_service_client::DirectoryServiceClient, mailbox_service_client::MailboxServiceClient,
        new_password::Secret, watch_changes_response::Event,
    },
    auth::v1::{ExchangeTokenRequest, login_service_client::LoginServiceClient},
};
use tonic::{
    Request, Status, Streaming,
    metadata::AsciiMetadataValue,
    transport::{Certificate, Channel, ClientTlsConfig},
};
use tonic_types::StatusExt as _;

/// Each call ends by then.
const DEADLINE: Duration = Duration::from_secs(10);

/// The token turned into an assertion. It is good for 60 seconds: a tool that runs longer asks for a new one in time.
#[derive(Clone)]
struct Identity(AsciiMetadataValue);

impl Identity {
    async fn from_token(auth: Channel, token: String) -> anyhow::Result<Self> {
        let answer = LoginServiceClient::new(auth).exchange_token(ExchangeTokenRequest { token }).await;
        let answer = answer.map_err(|status| told(&status)).context("the token is not taken")?;
        Ok(Self(answer.into_inner().assertion.parse()?))
    }

    /// A call in this name, with a deadline.
    fn call<T>(&self, message: T) -> Request<T> {
        let mut request = self.watch(message);
        request.set_timeout(DEADLINE);
        request
    }

    /// A stream that has no end.
    fn watch<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        request.metadata_mut().insert("postern-assertion", self.0.clone());
        request
    }
}

/// The reason of the failure table: stable, unlike the text, which is for people. What nobody of ours said is temporary.
fn reason(status: &Status) -> String {
    match status.get_details_error_info() {
        Some(info) if info.domain == "postern" => info.reason,
        _ => "UNAVAILABLE".to_owned(),
    }
}

fn told(status: &Status) -> anyhow::Error {
    anyhow::anyhow!("{}: {}", reason(status), status.message())
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (authority, rest) = match arguments.as_slice() {
        [option, file, rest @ ..] if option == "--ca" => {
            (Some(std::fs::read(file).with_context(|| file.clone())?), rest)
        }
        rest => (None, rest),
    };
    let [auth, account, address] = rest else {
        bail!("usage: postern-example-tool [--ca FILE] AUTH_URL ACCOUNT_URL ADDRESS");
    };
    let token = std::env::var("POSTERN_TOKEN").context("POSTERN_TOKEN is not set")?;
    let auth = door(auth, "auth", authority.as_deref()).await?;
    let account = door(account, "account", authority.as_deref()).await?;
    let identity = Identity::from_token(auth, token).await?;
    let (_, domain) = address.rsplit_once('@').context("an address has an @")?;

    let mut directory = DirectoryServiceClient::new(account.clone());
    let watching = identity.watch(WatchChangesRequest {});
    let mut changes = directory.watch_changes(watching).await.map_err(|s| told(&s))?.into_inner();
    // The first event is a reset: from then on nothing is missed.
    changes.message().await.map_err(|s| told(&s))?;

    create(&account, &identity, address).await?;
    let version = tokio::time::timeout(DEADLINE, change_of(&mut changes, domain)).await??;
    println!("change {domain} version {version}");
    println!("listed {} mailboxes", count(&account, &identity, domain).await?);
    audit(&account, &identity, address).await
}

/// A channel to a door. Over TLS a service is who its certificate says, wherever it stands.
async fn door(url: &str, service: &str, authority: Option<&[u8]>) -> anyhow::Result<Channel> {
    let endpoint = Channel::from_shared(url.to_owned())?;
    let endpoint = match authority {
        None => endpoint,
        Some(pem) => {
            let tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(pem));
            endpoint.tls_config(tls.domain_name(format!("{service}.postern.internal")))?
        }
    };
    endpoint.connect().await.with_context(|| format!("{url} does not answer"))
}

async fn create(account: &Channel, identity: &Identity, address: &str) -> anyhow::Result<()> {
    let mut client = MailboxServiceClient::new(account.clone());
    let request = |password: String| CreateMailboxRequest {
        address: address.to_owned(),
        password: Some(NewPassword { secret: Some(Secret::Plain(password)) }),
        // The same id again is answered, not done again: a call that timed out can be repeated.
        request_id: uuid::Uuid::new_v4().to_string(),
        ..CreateMailboxRequest::default()
    };
    let secret = || format!("{:032x}", rand::random::<u128>());
    let answer = client.create_mailbox(identity.call(request(secret()))).await.map_err(|s| told(&s))?;
    println!("created {}", answer.into_inner().mailbox.unwrap_or_default().address);
    if let Err(status) = client.create_mailbox(identity.call(request(secret()))).await {
        println!("refused {}: {}", reason(&status), status.message());
    }
    Ok(())
}

async fn change_of(changes: &mut Streaming<WatchChangesResponse>, domain: &str) -> anyhow::Result<i64> {
    while let Some(answer) = changes.message().await.map_err(|s| told(&s))? {
        match answer.event {
            Some(Event::Change(change)) if change.domain == domain => return Ok(change.version),
            _ => {}
        }
    }
    bail!("the stream ended: begin anew, and take whatever was kept as outdated")
}

/// All pages of a list.
async fn count(account: &Channel, identity: &Identity, domain: &str) -> anyhow::Result<usize> {
    let mut client = MailboxServiceClient::new(account.clone());
    let (mut found, mut page_token) = (0, String::new());
    loop {
        let request = ListMailboxesRequest {
            domain: domain.to_owned(),
            page_size: 2,
            page_token,
            ..Default::default()
        };
        let page = client.list_mailboxes(identity.call(request)).await.map_err(|s| told(&s))?.into_inner();
        found += page.mailboxes.len();
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return Ok(found);
        }
    }
}

async fn audit(account: &Channel, identity: &Identity, address: &str) -> anyhow::Result<()> {
    let mut client = AuditServiceClient::new(account.clone());
    let request = ListAuditEntriesRequest {
        kind: "mailbox".to_owned(),
        name: address.to_owned(),
        ..ListAuditEntriesRequest::default()
    };
    let answer = client.list_audit_entries(identity.call(request)).await.map_err(|s| told(&s))?;
    for entry in answer.into_inner().entries {
        let (action, kind, name) = (entry.action, entry.kind, entry.name);
        println!("audit {action} {kind} {name} by {} {}", entry.actor_role, entry.actor);
    }
    Ok(())
}
