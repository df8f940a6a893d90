//! What an operator does through the gRPC face, in short words for tests.

use postern_mesh::{
    client::MeshChannel,
    identity::{Caller, MeshKey, Role},
    settings::MeshSettings,
};
use postern_proto::{
    account::v1::{
        ActivityState, AddListMembersRequest, Autoresponder, CreateCustomerRequest, CreateDomainRequest,
        CreateForwardRequest, CreateMailboxRequest, CreateMailingListRequest, DefaultAction, DefaultAddress,
        DeleteForwardRequest, DeleteMailboxRequest, Domain, DomainState, Forward, GetMailboxRequest, Mailbox,
        MailingList, NewPassword, SetCustomerPasswordRequest, SetMailboxPasswordRequest,
        UpdateAutoresponderRequest, UpdateDefaultAddressRequest, UpdateDomainRequest, UpdateMailboxRequest,
        autoresponder_service_client::AutoresponderServiceClient,
        customer_service_client::CustomerServiceClient,
        default_address_service_client::DefaultAddressServiceClient,
        directory_service_client::DirectoryServiceClient, domain_service_client::DomainServiceClient,
        forward_service_client::ForwardServiceClient, mailbox_service_client::MailboxServiceClient,
        mailing_list_service_client::MailingListServiceClient, new_password::Secret,
    },
    auth::v1::{explain_service_client::ExplainServiceClient, relay_service_client::RelayServiceClient},
    delivery::v1::{
        GetBoxRequest, box_service_client::BoxServiceClient, lock_service_client::LockServiceClient,
        queue_service_client::QueueServiceClient, trace_service_client::TraceServiceClient,
    },
    google::FieldMask,
};

/// Password that all test accounts have.
pub const PASSWORD: &str = "correct horse";

/// The operator.
#[derive(Clone)]
pub struct Admin {
    account: MeshChannel,
    auth: MeshChannel,
    delivery: MeshChannel,
    mesh_key: MeshKey,
}

impl Admin {
    /// Connects to the three services as an operator.
    pub fn connect(account: &str, auth: &str, delivery: &str, mesh_key: &str) -> anyhow::Result<Self> {
        let mesh = MeshSettings::with_key(MeshKey::from_hex(mesh_key)?);
        Self::connect_with(account, auth, delivery, &mesh)
    }

    /// The same with settings of the mesh, such as certificates.
    pub fn connect_with(
        account: &str,
        auth: &str,
        delivery: &str,
        mesh: &MeshSettings,
    ) -> anyhow::Result<Self> {
        let connect = |url: &str| -> anyhow::Result<MeshChannel> {
            let channel = MeshChannel::connect(url, "tests", mesh)?;
            Ok(channel.with_caller(Caller::new("tests", Role::Operator)))
        };
        let (account, auth, delivery) = (connect(account)?, connect(auth)?, connect(delivery)?);
        Ok(Self { account, auth, delivery, mesh_key: mesh.mesh_key.clone() })
    }

    /// customer and domain of the same name, live.
    pub async fn domain(&self, customer: &str, domain: &str) -> anyhow::Result<()> {
        let request = CreateCustomerRequest {
            login: customer.to_owned(),
            password: Some(password(PASSWORD)),
            ..Default::default()
        };
        CustomerServiceClient::new(self.account.clone()).create_customer(request).await?;
        let request = CreateDomainRequest {
            name: domain.to_owned(),
            customer: customer.to_owned(),
            live: true,
            ..Default::default()
        };
        DomainServiceClient::new(self.account.clone()).create_domain(request).await?;
        Ok(())
    }

    /// Sets the password of a customer.
    pub async fn customer_password(&self, login: &str, secret: &str) -> anyhow::Result<()> {
        let request =
            SetCustomerPasswordRequest { login: login.to_owned(), password: Some(password(secret)) };
        CustomerServiceClient::new(self.account.clone()).set_customer_password(request).await?;
        Ok(())
    }

    /// One more domain of a customer.
    pub async fn another_domain(&self, customer: &str, domain: &str, live: bool) -> anyhow::Result<()> {
        let request = CreateDomainRequest {
            name: domain.to_owned(),
            customer: customer.to_owned(),
            live,
            ..Default::default()
        };
        DomainServiceClient::new(self.account.clone()).create_domain(request).await?;
        if !live {
            self.domain_state(domain, DomainState::Pending).await?;
        }
        Ok(())
    }

    /// Changes how a mailbox is called.
    pub async fn display_name(&self, address: &str, name: &str) -> anyhow::Result<()> {
        let mailbox =
            Mailbox { address: address.to_owned(), display_name: name.to_owned(), ..Default::default() };
        self.change_mailbox(mailbox, "display_name").await
    }

    /// Changes what a mailbox may hold, octets.
    pub async fn quota(&self, address: &str, bytes: i64) -> anyhow::Result<()> {
        let mailbox = Mailbox { address: address.to_owned(), quota_bytes: Some(bytes), ..Default::default() };
        self.change_mailbox(mailbox, "quota_bytes").await
    }

    async fn change_mailbox(&self, mailbox: Mailbox, path: &str) -> anyhow::Result<()> {
        let update_mask = Some(FieldMask { paths: vec![path.to_owned()] });
        let request = UpdateMailboxRequest { mailbox: Some(mailbox), update_mask };
        self.mailboxes().update_mailbox(request).await?;
        Ok(())
    }

    /// A mailbox with [`PASSWORD`].
    pub async fn mailbox(&self, address: &str) -> anyhow::Result<Mailbox> {
        self.mailbox_with(address, PASSWORD).await
    }

    /// A mailbox with a password of its own.
    pub async fn mailbox_with(&self, address: &str, secret: &str) -> anyhow::Result<Mailbox> {
        let request = CreateMailboxRequest {
            address: address.to_owned(),
            password: Some(password(secret)),
            ..Default::default()
        };
        let answer = self.mailboxes().create_mailbox(request).await?.into_inner();
        answer.mailbox.ok_or_else(|| anyhow::anyhow!("no mailbox in the answer"))
    }

    /// Removes a mailbox.
    pub async fn remove_mailbox(&self, address: &str) -> anyhow::Result<i64> {
        let request = DeleteMailboxRequest { address: address.to_owned() };
        Ok(self.mailboxes().delete_mailbox(request).await?.into_inner().mailbox_id)
    }

    /// Reads a mailbox.
    pub async fn get_mailbox(&self, address: &str) -> anyhow::Result<Mailbox> {
        let request = GetMailboxRequest { address: address.to_owned() };
        let answer = self.mailboxes().get_mailbox(request).await?.into_inner();
        answer.mailbox.ok_or_else(|| anyhow::anyhow!("no mailbox in the answer"))
    }

    /// Sets a password.
    pub async fn set_password(&self, address: &str, secret: &str) -> anyhow::Result<()> {
        let request =
            SetMailboxPasswordRequest { address: address.to_owned(), password: Some(password(secret)) };
        self.mailboxes().set_mailbox_password(request).await?;
        Ok(())
    }

    /// A forward.
    pub async fn forward(&self, address: &str, targets: &[&str], keep_copy: bool) -> anyhow::Result<()> {
        let forward = Forward {
            address: address.to_owned(),
            targets: targets.iter().map(|s| (*s).to_owned()).collect(),
            keep_copy,
            ..Default::default()
        };
        let request = CreateForwardRequest { forward: Some(forward), ..Default::default() };
        self.forwards().create_forward(request).await?;
        Ok(())
    }

    /// Removes a forward.
    pub async fn remove_forward(&self, address: &str) -> anyhow::Result<()> {
        self.forwards().delete_forward(DeleteForwardRequest { address: address.to_owned() }).await?;
        Ok(())
    }

    /// A mailing list with its members.
    pub async fn mailing_list(&self, list: MailingList, members: &[String]) -> anyhow::Result<()> {
        let address = list.address.clone();
        let request = CreateMailingListRequest { list: Some(list), ..Default::default() };
        self.mailing_lists().create_mailing_list(request).await?;
        for addresses in members.chunks(10_000) {
            let request = AddListMembersRequest {
                list: address.clone(),
                addresses: addresses.to_vec(),
                ..Default::default()
            };
            let added = self.mailing_lists().add_list_members(request).await?.into_inner().added_count;
            anyhow::ensure!(usize::try_from(added)? == addresses.len(), "{added} members were added");
        }
        Ok(())
    }

    /// An autoresponder that answers from now on.
    pub async fn autoresponder(&self, address: &str, subject: &str, text: &str) -> anyhow::Result<()> {
        let autoresponder = Autoresponder {
            address: address.to_owned(),
            subject: subject.to_owned(),
            text: text.to_owned(),
            ..Default::default()
        };
        let request = UpdateAutoresponderRequest {
            autoresponder: Some(autoresponder),
            allow_missing: true,
            ..Default::default()
        };
        AutoresponderServiceClient::new(self.account.clone()).update_autoresponder(request).await?;
        Ok(())
    }

    /// Sets the default address of a domain.
    pub async fn default_address(
        &self,
        domain: &str,
        action: DefaultAction,
        target: &str,
    ) -> anyhow::Result<()> {
        let rule = DefaultAddress {
            domain: domain.to_owned(),
            action: action.into(),
            target: target.to_owned(),
            ..DefaultAddress::default()
        };
        let request = UpdateDefaultAddressRequest { default_address: Some(rule) };
        DefaultAddressServiceClient::new(self.account.clone()).update_default_address(request).await?;
        Ok(())
    }

    /// Messages in a box, by id.
    pub async fn message_count(&self, mailbox_id: i64) -> anyhow::Result<i64> {
        let answer =
            BoxServiceClient::new(self.delivery.clone()).get_box(GetBoxRequest { mailbox_id }).await?;
        Ok(answer.into_inner().r#box.map_or(0, |b| b.message_count))
    }

    /// MailboxService.
    pub fn mailboxes(&self) -> MailboxServiceClient<MeshChannel> {
        MailboxServiceClient::new(self.account.clone())
    }

    /// ForwardService.
    pub fn forwards(&self) -> ForwardServiceClient<MeshChannel> {
        ForwardServiceClient::new(self.account.clone())
    }

    /// Puts a domain into a state, whatever DNS says.
    pub async fn domain_state(&self, name: &str, state: DomainState) -> anyhow::Result<()> {
        let domain = Domain { name: name.to_owned(), state: state.into(), ..Default::default() };
        let update_mask = Some(FieldMask { paths: vec!["state".to_owned()] });
        let request = UpdateDomainRequest { domain: Some(domain), update_mask };
        DomainServiceClient::new(self.account.clone()).update_domain(request).await?;
        Ok(())
    }

    /// Suspends a mailbox, or ends its suspension.
    pub async fn suspend(&self, address: &str, suspended: bool) -> anyhow::Result<()> {
        let state = if suspended { ActivityState::Suspended } else { ActivityState::Active };
        let mailbox = Mailbox { address: address.to_owned(), state: state.into(), ..Default::default() };
        let update_mask = Some(FieldMask { paths: vec!["state".to_owned()] });
        let request = UpdateMailboxRequest { mailbox: Some(mailbox), update_mask };
        self.mailboxes().update_mailbox(request).await?;
        Ok(())
    }

    /// DirectoryService, asked by a part of the house.
    pub fn directory(&self) -> DirectoryServiceClient<MeshChannel> {
        let caller = Caller::new("tests", Role::Service);
        DirectoryServiceClient::new(self.account.with_assertion(self.mesh_key.assertion(&caller)))
    }

    /// The way to account, as an operator.
    pub fn account_channel(&self) -> MeshChannel {
        self.account.clone()
    }

    /// The way to the service of this RPC as somebody; `None`: without an assertion.
    pub fn channel_as(&self, path: &str, caller: Option<&Caller>) -> MeshChannel {
        // A line end cannot be in a header: such an assertion is not sent.
        let assertion = caller.map_or_else(|| "\n".to_owned(), |caller| self.mesh_key.assertion(caller));
        self.channel_with(path, assertion)
    }

    /// The way to the service of this RPC with an assertion of the test's own.
    pub fn channel_with(&self, path: &str, assertion: String) -> MeshChannel {
        let channel = match path {
            path if path.starts_with("/postern.auth.") => &self.auth,
            path if path.starts_with("/postern.delivery.") => &self.delivery,
            _ => &self.account,
        };
        channel.with_assertion(assertion)
    }

    /// ExplainService.
    pub fn explain(&self) -> ExplainServiceClient<MeshChannel> {
        ExplainServiceClient::new(self.auth.clone())
    }

    /// ExplainService, asked by a customer.
    pub fn explain_as_customer(&self, customer: &str) -> ExplainServiceClient<MeshChannel> {
        let caller = Caller::customer(customer, customer);
        ExplainServiceClient::new(self.auth.with_assertion(self.mesh_key.assertion(&caller)))
    }

    /// ExplainService, asked by the user of a mailbox.
    pub fn explain_as_mailbox(
        &self,
        address: &str,
        customer: &str,
        mailbox_id: i64,
    ) -> ExplainServiceClient<MeshChannel> {
        let caller = Caller::mailbox(address, customer, mailbox_id);
        ExplainServiceClient::new(self.auth.with_assertion(self.mesh_key.assertion(&caller)))
    }

    /// MailingListService.
    pub fn mailing_lists(&self) -> MailingListServiceClient<MeshChannel> {
        MailingListServiceClient::new(self.account.clone())
    }

    /// RelayService.
    pub fn relay(&self) -> RelayServiceClient<MeshChannel> {
        RelayServiceClient::new(self.auth.clone())
    }

    /// LockService.
    pub fn locks(&self) -> LockServiceClient<MeshChannel> {
        LockServiceClient::new(self.delivery.clone())
    }

    /// BoxService.
    pub fn boxes(&self) -> BoxServiceClient<MeshChannel> {
        BoxServiceClient::new(self.delivery.clone())
    }

    /// TraceService.
    pub fn traces(&self) -> TraceServiceClient<MeshChannel> {
        TraceServiceClient::new(self.delivery.clone())
    }

    /// TraceService, asked by a customer.
    pub fn traces_as_customer(&self, customer: &str) -> TraceServiceClient<MeshChannel> {
        let caller = Caller::customer(customer, customer);
        TraceServiceClient::new(self.delivery.with_assertion(self.mesh_key.assertion(&caller)))
    }

    /// TraceService, asked by the user of a mailbox.
    pub fn traces_as_mailbox(
        &self,
        address: &str,
        customer: &str,
        mailbox_id: i64,
    ) -> TraceServiceClient<MeshChannel> {
        let caller = Caller::mailbox(address, customer, mailbox_id);
        TraceServiceClient::new(self.delivery.with_assertion(self.mesh_key.assertion(&caller)))
    }

    /// QueueService.
    pub fn queue(&self) -> QueueServiceClient<MeshChannel> {
        QueueServiceClient::new(self.delivery.clone())
    }
}

fn password(secret: &str) -> NewPassword {
    NewPassword { secret: Some(Secret::Plain(secret.to_owned())) }
}
