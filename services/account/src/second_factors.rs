//! Second factors: begun with a secret, on once a code has come back, asked for by auth at each sign-in to the panel.

use postern_mesh::{
    audit::{Action, Thing},
    identity::{Caller, Role, Scopes},
};
use postern_proto::account::v1::{CodeVerdict, SecondFactor};
use ring::digest;

use crate::{
    Account, base32,
    error::{AccountError, Doing as _},
    store::{
        Tx,
        audit::Deed,
        second_factors::{self, Factor, Owner, Taken},
    },
    totp,
};

/// Wrong codes until none is taken.
const WRONG_MAX: i32 = 5;
/// For so long, minutes.
const WRONG_MINUTES: i32 = 15;
/// Recovery codes of one second factor.
const RECOVERY_CODES: usize = 10;
/// Random octets of a recovery code: 16 letters of base32.
const RECOVERY_BYTES: usize = 10;
/// Letters of a recovery code that are shown together.
const GROUP: usize = 4;

impl Account {
    pub(crate) async fn second_factor(
        &self,
        caller: &Caller,
        login: &str,
    ) -> Result<SecondFactor, AccountError> {
        let owner = self.owner_of_second_factor(caller, login).await?;
        let found = second_factors::get(self.store.pool(), &owner).await?;
        Ok(found.unwrap_or_else(|| SecondFactor { login: owner.login, ..SecondFactor::default() }))
    }

    /// Makes a secret that a code must confirm; the secret is in no later answer.
    pub(crate) async fn begin_second_factor(
        &self,
        caller: &Caller,
        login: &str,
    ) -> Result<String, AccountError> {
        let (mut tx, owner) = self.enter_second_factor(caller, login).await?;
        only_oneself(caller, &owner)?;
        if second_factors::lock(&mut tx, &owner, WRONG_MINUTES).await?.is_some_and(|factor| factor.is_on) {
            return Err(already_on(&owner));
        }
        let secret = rand::random::<[u8; totp::SECRET_BYTES]>();
        second_factors::begin(&mut tx, &owner, &secret).await?;
        tx.commit().await.doing("commit a new second factor")?;
        Ok(base32::encode(&secret).to_ascii_uppercase())
    }

    /// Turns it on by its first code, and gives the recovery codes.
    pub(crate) async fn confirm_second_factor(
        &self,
        caller: &Caller,
        login: &str,
        code: &str,
    ) -> Result<(SecondFactor, Vec<String>), AccountError> {
        let (mut tx, owner) = self.enter_second_factor(caller, login).await?;
        only_oneself(caller, &owner)?;
        let Some(factor) = second_factors::lock(&mut tx, &owner, WRONG_MINUTES).await? else {
            return Err(AccountError::Precondition(format!("{} has begun no second factor", owner.login)));
        };
        if factor.is_on {
            return Err(already_on(&owner));
        }
        let verdict = take(&mut tx, &owner, &factor, code).await?;
        if verdict != CodeVerdict::Right {
            tx.commit().await.doing("commit a wrong code")?;
            return Err(not_right(verdict));
        }
        let codes: Vec<String> =
            std::iter::repeat_with(|| base32::encode(&rand::random::<[u8; RECOVERY_BYTES]>()))
                .take(RECOVERY_CODES)
                .collect();
        let hashes: Vec<Vec<u8>> = codes.iter().map(|code| hash_of(code)).collect();
        // The step that was just taken is noted already: its code does not open a session.
        second_factors::confirm(&mut tx, &factor, &hashes).await?;
        let after = second_factors::lock(&mut tx, &owner, WRONG_MINUTES).await?.map(|factor| factor.shown);
        let after = after.unwrap_or_default();
        deed(&owner, Action::Create).created(&mut tx, &after).await?;
        tx.commit().await.doing("commit a second factor that is on")?;
        let shown = codes.iter().map(|code| base32::in_groups(code, GROUP)).collect();
        Ok((after, shown))
    }

    /// Takes it away. Whose it is shows a code, so that a browser that was left alone is not enough.
    pub(crate) async fn delete_second_factor(
        &self,
        caller: &Caller,
        login: &str,
        code: &str,
    ) -> Result<(), AccountError> {
        let (mut tx, owner) = self.enter_second_factor(caller, login).await?;
        let Some(factor) = second_factors::lock(&mut tx, &owner, WRONG_MINUTES).await? else {
            return Err(AccountError::NotFound(format!("{} has no second factor", owner.login)));
        };
        if factor.is_on && is_oneself(caller, &owner) {
            let verdict = take(&mut tx, &owner, &factor, code).await?;
            if verdict != CodeVerdict::Right {
                tx.commit().await.doing("commit a wrong code")?;
                return Err(not_right(verdict));
            }
        }
        second_factors::remove(&mut tx, &owner).await?;
        if factor.is_on {
            deed(&owner, Action::Delete).removed(&mut tx, &factor.shown).await?;
        }
        tx.commit().await.doing("commit the end of a second factor")
    }

    /// Takes a code at sign-in; whoever has none is let through, since auth asked because there was one.
    pub(crate) async fn check_second_factor(
        &self,
        caller: &Caller,
        login: &str,
        code: &str,
    ) -> Result<CodeVerdict, AccountError> {
        let (mut tx, owner) = self.enter_second_factor(caller, login).await?;
        let found = second_factors::lock(&mut tx, &owner, WRONG_MINUTES).await?;
        let Some(factor) = found.filter(|factor| factor.is_on) else { return Ok(CodeVerdict::Right) };
        let verdict = take(&mut tx, &owner, &factor, code).await?;
        tx.commit().await.doing("commit a code")?;
        Ok(verdict)
    }

    /// A write in the name of the caller, and whose login it is.
    async fn enter_second_factor(&self, caller: &Caller, login: &str) -> Result<(Tx, Owner), AccountError> {
        let owner = self.owner_of_second_factor(caller, login).await?;
        Ok((self.store.begin(caller).await?, owner))
    }

    /// Whose login it is, in its canonical form. What is another customer's is nobody's.
    async fn owner_of_second_factor(&self, caller: &Caller, login: &str) -> Result<Owner, AccountError> {
        second_factors::owner(self.store.pool(), login)
            .await?
            .filter(|owner| may_see(caller, owner))
            .ok_or_else(|| AccountError::NotFound(format!("there is no login {login}")))
    }
}

fn may_see(caller: &Caller, owner: &Owner) -> bool {
    match caller.role {
        Role::Operator | Role::Support | Role::Service => true,
        Role::Customer => caller.may_act_for(&owner.customer),
        Role::Mailbox => is_oneself(caller, owner),
    }
}

/// True for the person whose second factor it is.
fn is_oneself(caller: &Caller, owner: &Owner) -> bool {
    match caller.role {
        Role::Customer => owner.mailbox_id.is_none() && caller.customer == owner.customer,
        Role::Mailbox => owner.mailbox_id == Some(caller.mailbox_id),
        Role::Operator | Role::Support | Role::Service => false,
    }
}

/// Nobody sets a second factor for somebody else, and no token for the one who made it.
fn only_oneself(caller: &Caller, owner: &Owner) -> Result<(), AccountError> {
    if is_oneself(caller, owner) && caller.scopes == Scopes::unbound() {
        return Ok(());
    }
    Err(AccountError::NotPermitted(format!("only {} can set up this second factor", owner.login)))
}

fn already_on(owner: &Owner) -> AccountError {
    AccountError::Precondition(format!("{} has a second factor: remove it first", owner.login))
}

fn not_right(verdict: CodeVerdict) -> AccountError {
    match verdict {
        CodeVerdict::TooMany => AccountError::TooManyCodes(WRONG_MINUTES),
        _ => AccountError::Invalid("code: is wrong, too old, or was used before".to_owned()),
    }
}

/// Looks at a code and notes what became of it. The row is locked, so that a code is taken once.
async fn take(tx: &mut Tx, owner: &Owner, factor: &Factor, code: &str) -> Result<CodeVerdict, AccountError> {
    if factor.wrong_count >= WRONG_MAX {
        return Ok(CodeVerdict::TooMany);
    }
    let now = jiff::Timestamp::now().as_second();
    if let Some(step) = totp::step_of(&factor.secret, code, now, factor.last_step) {
        let taken = Taken { last_step: step, wrong_count: 0, recovery_sha256: &factor.recovery_sha256 };
        second_factors::note(tx, factor, &taken).await?;
        return Ok(CodeVerdict::Right);
    }
    let hash = hash_of(&plain(code));
    let left: Vec<Vec<u8>> = factor.recovery_sha256.iter().filter(|one| **one != hash).cloned().collect();
    if left.len() < factor.recovery_sha256.len() {
        let taken = Taken { last_step: factor.last_step, wrong_count: 0, recovery_sha256: &left };
        second_factors::note(tx, factor, &taken).await?;
        deed(owner, Action::RecoveryCode).done(tx).await?;
        return Ok(CodeVerdict::Right);
    }
    let wrong_count = factor.wrong_count + 1;
    let taken = Taken { last_step: factor.last_step, wrong_count, recovery_sha256: &factor.recovery_sha256 };
    second_factors::note(tx, factor, &taken).await?;
    if wrong_count == WRONG_MAX {
        // Whoever types codes knows the password: the owner is to see it.
        deed(owner, Action::Refused).done(tx).await?;
    }
    Ok(CodeVerdict::Wrong)
}

fn deed<'d>(owner: &'d Owner, action: Action) -> Deed<'d> {
    Deed { customer: &owner.customer, kind: Thing::SecondFactor, name: &owner.login, action }
}

/// A recovery code as it was made, however it is typed.
fn plain(code: &str) -> String {
    code.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect()
}

fn hash_of(code: &str) -> Vec<u8> {
    digest::digest(&digest::SHA256, code.as_bytes()).as_ref().to_vec()
}
