//! Customers: who pays, and the password of their default boxes.

use postern_mesh::{
    audit::{Action, Thing},
    identity::Caller,
};
use postern_proto::account::v1::{ActivityState, Customer};
use prost::Message as _;

use crate::{
    Account,
    error::{AccountError, Doing as _},
    paging::Page,
    passwords::NewPassword,
    store::{Tx, audit::Deed, claims, customers, logins, mailboxes, requests, versions},
};

const KIND: &str = "customer";

/// A customer that is to be created; every field is checked.
pub(crate) struct NewCustomer {
    pub(crate) login: String,
    pub(crate) display_name: String,
    pub(crate) password: NewPassword,
    pub(crate) request_id: Option<String>,
}

/// What is to be changed; `None` leaves it.
pub(crate) struct CustomerUpdate {
    pub(crate) login: String,
    /// Empty: whatever is there.
    pub(crate) etag: String,
    pub(crate) display_name: Option<String>,
    pub(crate) state: Option<ActivityState>,
}

impl Account {
    pub(crate) async fn customer(&self, caller: &Caller, login: &str) -> Result<Customer, AccountError> {
        if !caller.may_act_for(login) {
            return Err(customers::not_found(login));
        }
        customers::get(self.store.pool(), login).await
    }

    /// A page, and the token of the next one.
    pub(crate) async fn customers(
        &self,
        _caller: &Caller,
        page: &Page,
    ) -> Result<(Vec<Customer>, String), AccountError> {
        let mut rows = customers::list(self.store.pool(), page).await?;
        let next = page.finish(&mut rows, |customer| &customer.login);
        Ok((rows, next))
    }

    pub(crate) async fn create_customer(
        &self,
        caller: &Caller,
        new: NewCustomer,
    ) -> Result<Customer, AccountError> {
        // Hashed first: a transaction must not wait for it.
        let phc = self.passwords.hash(new.password).await?;
        let request_id = new.request_id.as_deref();
        let mut tx = self.store.begin(caller).await?;
        if let Some(answer) = requests::claim(&mut tx, KIND, request_id, &new.login).await? {
            return answered(&answer);
        }
        let state = ActivityState::Active.into();
        let added = customers::insert(&mut tx, &new.login, &new.display_name, &phc, state).await?;
        let given = match added {
            Some(customer_id) => logins::give_to_customer(&mut tx, &new.login, customer_id).await?,
            None => false,
        };
        if !given {
            return Err(AccountError::AlreadyExists(format!(
                "login {} belongs to a customer, or did once; a login is never given again",
                new.login
            )));
        }
        let customer = customers::get_in(&mut tx, &new.login).await?;
        deed(&new.login, Action::Create).created(&mut tx, &customer).await?;
        requests::answer(&mut tx, KIND, request_id, &customer.encode_to_vec()).await?;
        tx.commit().await.doing("commit a new customer")?;
        Ok(customer)
    }

    pub(crate) async fn update_customer(
        &self,
        caller: &Caller,
        update: CustomerUpdate,
    ) -> Result<Customer, AccountError> {
        let mut tx = self.store.begin(caller).await?;
        let found = customers::lock(&mut tx, &update.login).await?;
        check_etag(&update.etag, found.revision, || format!("customer {}", update.login))?;
        let before = customers::get_in(&mut tx, &update.login).await?;
        let state = update.state.map(i32::from);
        customers::update(&mut tx, found.customer_id, update.display_name.as_deref(), state).await?;
        if let Some(new) = state
            && new != found.state
        {
            let reach =
                if new == i32::from(ActivityState::Active) { Reach::Nobody } else { Reach::AllMailboxes };
            touch_domains(&mut tx, found.customer_id, reach).await?;
        }
        let customer = customers::get_in(&mut tx, &update.login).await?;
        deed(&update.login, Action::Update).changed(&mut tx, &before, &customer).await?;
        tx.commit().await.doing("commit a change of a customer")?;
        Ok(customer)
    }

    pub(crate) async fn set_customer_password(
        &self,
        caller: &Caller,
        login: &str,
        password: NewPassword,
    ) -> Result<Customer, AccountError> {
        let phc = self.passwords.hash(password).await?;
        let mut tx = self.store.begin(caller).await?;
        let found = customers::lock(&mut tx, login).await?;
        customers::set_password(&mut tx, found.customer_id, &phc).await?;
        touch_domains(&mut tx, found.customer_id, Reach::DefaultBoxes).await?;
        let customer = customers::get_in(&mut tx, login).await?;
        deed(login, Action::SetPassword).done(&mut tx).await?;
        tx.commit().await.doing("commit the password of a customer")?;
        Ok(customer)
    }

    pub(crate) async fn delete_customer(&self, caller: &Caller, login: &str) -> Result<(), AccountError> {
        let mut tx = self.store.begin(caller).await?;
        let found = customers::lock(&mut tx, login).await?;
        if let Some(domain) = customers::domains(&mut tx, found.customer_id).await?.first() {
            return Err(AccountError::Precondition(format!(
                "customer {} still owns {domain}: remove its domains first",
                found.login
            )));
        }
        let before = customers::get_in(&mut tx, login).await?;
        claims::withdraw_all(&mut tx, &found).await?;
        customers::remove(&mut tx, found.customer_id).await?;
        deed(login, Action::Delete).removed(&mut tx, &before).await?;
        tx.commit().await.doing("commit the removal of a customer")
    }
}

fn deed<'d>(login: &'d str, action: Action) -> Deed<'d> {
    Deed { customer: login, kind: Thing::Customer, name: login, action }
}

/// Whose credentials die with a change of a customer.
enum Reach {
    Nobody,
    DefaultBoxes,
    AllMailboxes,
}

/// Makes every domain of a locked customer change, so that nobody goes on with what is cached of it.
async fn touch_domains(tx: &mut Tx, customer_id: i64, reach: Reach) -> Result<(), AccountError> {
    for domain in customers::domains(tx, customer_id).await? {
        // A domain that was removed since it was listed has announced that by itself.
        let Some(change) = versions::try_enter(tx, &domain).await? else { continue };
        let revoked = match reach {
            Reach::Nobody => Vec::new(),
            Reach::DefaultBoxes => mailboxes::revoke(tx, &domain, true, change.version).await?,
            Reach::AllMailboxes => mailboxes::revoke(tx, &domain, false, change.version).await?,
        };
        change.announce(tx, &revoked).await?;
    }
    Ok(())
}

/// Refuses a write by somebody who has not seen the newest state.
pub(crate) fn check_etag(given: &str, revision: i64, what: impl Fn() -> String) -> Result<(), AccountError> {
    if given.is_empty() || given == crate::store::etag(revision) {
        Ok(())
    } else {
        Err(AccountError::EtagMismatch(what()))
    }
}

/// The first answer of a create that is asked for again.
pub(crate) fn answered<M: prost::Message + Default>(answer: &[u8]) -> Result<M, AccountError> {
    M::decode(answer).map_err(|_| AccountError::Stored("the kept answer of a request cannot be read"))
}
