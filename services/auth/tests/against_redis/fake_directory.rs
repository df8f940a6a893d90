//! A directory in memory that answers and tells changes as account does, and can be away.

use std::{
    collections::HashMap,
    pin::Pin,
    sync::{Arc, Mutex},
    time::Duration,
};

use argon2::{
    Algorithm, Argon2, Params, Version,
    password_hash::{PasswordHasher, SaltString},
};
use futures_util::Stream;
use postern_mail::Reason;
use postern_mesh::failure;
use postern_proto::account::v1::{
    ActivityState, BatchResolveRecipientsRequest, BatchResolveRecipientsResponse, Beat, Change,
    DomainIdentity, DomainState, LoginIdentity, LookupDomainRequest, LookupDomainResponse,
    LookupLoginRequest, LookupLoginResponse, LookupMailboxRequest, LookupMailboxResponse, MailboxIdentity,
    Reset, ResolveRecipientRequest, ResolveRecipientResponse, WatchChangesRequest, WatchChangesResponse,
    directory_service_server::DirectoryService, watch_changes_response::Event,
};
use tokio::sync::broadcast;
use tonic::{Request, Response, Status};

/// A mailbox and all that decides about it.
#[derive(Clone)]
pub(crate) struct Entry {
    pub(crate) login: LoginIdentity,
    pub(crate) removed: bool,
}

#[derive(Clone)]
pub(crate) struct FakeDirectory {
    state: Arc<Mutex<State>>,
    changes: broadcast::Sender<Change>,
}

#[derive(Default)]
struct State {
    version: i64,
    boxes: HashMap<i64, Entry>,
    domains: HashMap<String, DomainIdentity>,
    is_away: bool,
}

impl FakeDirectory {
    pub(crate) fn new() -> Self {
        Self { state: Arc::default(), changes: broadcast::channel(64).0 }
    }

    pub(crate) fn add_domain(&self, name: &str, customer: &str) {
        self.change(name, &[], |state| {
            let domain = DomainIdentity {
                name: name.to_owned(),
                customer: customer.to_owned(),
                state: DomainState::Live.into(),
                ..Default::default()
            };
            state.domains.insert(name.to_owned(), domain);
        });
    }

    pub(crate) fn add_box(&self, mailbox_id: i64, login: &str, customer: &str, password: &str) {
        let domain = login.split_once('@').map_or("homepage.test", |(_, domain)| domain).to_owned();
        let identity = LoginIdentity {
            login: login.to_owned(),
            mailbox_id,
            address: login.to_owned(),
            domain: domain.clone(),
            customer: customer.to_owned(),
            password_phc: phc(password),
            credential_version: 1,
            state: ActivityState::Active.into(),
            domain_state: DomainState::Live.into(),
            ..Default::default()
        };
        self.change(&domain, &[], |state| {
            state.boxes.insert(mailbox_id, Entry { login: identity, removed: false });
        });
    }

    /// Changes a box without saying that its credential died.
    pub(crate) fn edit_box(&self, mailbox_id: i64, edit: impl FnOnce(&mut Entry)) {
        let domain = self.state.lock().unwrap().boxes[&mailbox_id].login.domain.clone();
        self.change(&domain, &[], |state| edit(state.boxes.get_mut(&mailbox_id).unwrap()));
    }

    pub(crate) fn edit_domain(&self, name: &str, edit: impl FnOnce(&mut DomainIdentity)) {
        self.change(name, &[], |state| edit(state.domains.get_mut(name).unwrap()));
    }

    /// As account does when a password is set.
    pub(crate) fn set_password(&self, mailbox_id: i64, password: &str) {
        let domain = self.state.lock().unwrap().boxes[&mailbox_id].login.domain.clone();
        self.change(&domain, &[mailbox_id], |state| {
            let login = &mut state.boxes.get_mut(&mailbox_id).unwrap().login;
            login.password_phc = phc(password);
            login.credential_version += 1;
        });
    }

    pub(crate) fn set_away(&self, is_away: bool) {
        self.state.lock().unwrap().is_away = is_away;
    }

    fn change(&self, domain: &str, revoked: &[i64], edit: impl FnOnce(&mut State)) {
        let mut state = self.state.lock().unwrap();
        state.version += 1;
        edit(&mut state);
        let version = state.version;
        if let Some(domain) = state.domains.get_mut(domain) {
            domain.domain_version = version;
        }
        state
            .boxes
            .values_mut()
            .filter(|b| b.login.domain == domain)
            .for_each(|b| b.login.domain_version = version);
        let change = Change { domain: domain.to_owned(), version, revoked_mailbox_ids: revoked.to_vec() };
        let _ = self.changes.send(change);
    }

    fn read<T>(&self, read: impl FnOnce(&State) -> T) -> Result<T, Status> {
        let state = self.state.lock().unwrap();
        if state.is_away { Err(failure::status(Reason::Unavailable)) } else { Ok(read(&state)) }
    }
}

/// At the platform's own cost, so that the tests see what it costs.
fn phc(password: &str) -> String {
    let salt = SaltString::encode_b64(b"0123456789abcdef").unwrap();
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, Params::DEFAULT);
    argon2.hash_password(password.as_bytes(), &salt).unwrap().to_string()
}

#[tonic::async_trait]
impl DirectoryService for FakeDirectory {
    async fn resolve_recipient(
        &self,
        _: Request<ResolveRecipientRequest>,
    ) -> Result<Response<ResolveRecipientResponse>, Status> {
        Err(Status::unimplemented("auth resolves no recipients"))
    }

    async fn batch_resolve_recipients(
        &self,
        _: Request<BatchResolveRecipientsRequest>,
    ) -> Result<Response<BatchResolveRecipientsResponse>, Status> {
        Err(Status::unimplemented("auth resolves no recipients"))
    }

    async fn lookup_login(
        &self,
        request: Request<LookupLoginRequest>,
    ) -> Result<Response<LookupLoginResponse>, Status> {
        let login = request.into_inner().login;
        let identity = self.read(|state| {
            let found = state.boxes.values().find(|b| b.login.login == login && !b.removed);
            found.map(|b| b.login.clone())
        })?;
        Ok(Response::new(LookupLoginResponse { identity }))
    }

    async fn lookup_mailbox(
        &self,
        request: Request<LookupMailboxRequest>,
    ) -> Result<Response<LookupMailboxResponse>, Status> {
        let id = request.into_inner().mailbox_id;
        let mailbox = self.read(|state| {
            state.boxes.get(&id).map(|b| MailboxIdentity {
                mailbox_id: id,
                address: b.login.address.clone(),
                domain: b.login.domain.clone(),
                domain_version: b.login.domain_version,
                customer: b.login.customer.clone(),
                credential_version: b.login.credential_version,
                state: b.login.state,
                removed: b.removed,
                auth_only: b.login.auth_only,
                ..MailboxIdentity::default()
            })
        })?;
        Ok(Response::new(LookupMailboxResponse { mailbox }))
    }

    async fn lookup_domain(
        &self,
        request: Request<LookupDomainRequest>,
    ) -> Result<Response<LookupDomainResponse>, Status> {
        let domain = self.read(|state| state.domains.get(&request.into_inner().name).cloned())?;
        Ok(Response::new(LookupDomainResponse { domain }))
    }

    type WatchChangesStream = Pin<Box<dyn Stream<Item = Result<WatchChangesResponse, Status>> + Send>>;

    async fn watch_changes(
        &self,
        _: Request<WatchChangesRequest>,
    ) -> Result<Response<Self::WatchChangesStream>, Status> {
        let first = Event::Reset(Reset {});
        let told = (self.changes.subscribe(), Some(first), self.clone());
        let events = futures_util::stream::unfold(told, |(mut changes, first, this)| async move {
            let event = match first {
                Some(first) => first,
                None => tokio::select! {
                    change = changes.recv() => Event::Change(change.ok()?),
                    () = tokio::time::sleep(Duration::from_millis(50)) => {
                        Event::Beat(Beat { version: this.state.lock().unwrap().version })
                    }
                },
            };
            Some((Ok(WatchChangesResponse { event: Some(event) }), (changes, None, this)))
        });
        Ok(Response::new(Box::pin(events)))
    }
}
