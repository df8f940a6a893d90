//! API tokens: who has one acts in its role, within its scopes, until it ends. Shown once, kept as a hash.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jiff::Timestamp;
use postern_mesh::{
    audit::{Action, Thing},
    identity::{Caller, Role, Scopes},
};
use postern_proto::account::v1::{ApiToken, LookupApiTokenResponse, TokenRole};
use ring::digest;

use crate::{
    Account,
    error::{AccountError, Doing as _},
    paging::Page,
    store::{api_tokens, audit::Deed, customers},
};

/// Random octets of a secret.
const SECRET_BYTES: usize = 32;

/// A token that is to be made; every field is checked.
pub(crate) struct NewToken {
    pub(crate) role: TokenRole,
    /// Empty for staff.
    pub(crate) customer: String,
    pub(crate) display_name: String,
    pub(crate) scopes: Vec<String>,
    pub(crate) expires: Timestamp,
}

impl Account {
    /// Makes one; its secret is in no later answer.
    pub(crate) async fn create_api_token(
        &self,
        caller: &Caller,
        new: NewToken,
    ) -> Result<(ApiToken, String), AccountError> {
        may_make(caller, &new)?;
        let secret = URL_SAFE_NO_PAD.encode(rand::random::<[u8; SECRET_BYTES]>());
        let hash = digest::digest(&digest::SHA256, secret.as_bytes());
        let mut tx = self.store.begin(caller).await?;
        let customer_id = match new.role {
            TokenRole::Customer => Some(customers::lock(&mut tx, &new.customer).await?.customer_id),
            _ => None,
        };
        let token = api_tokens::insert(&mut tx, &new, customer_id, hash.as_ref()).await?;
        let name = token.token_id.to_string();
        deed(&token, &name, Action::Create).created(&mut tx, &token).await?;
        tx.commit().await.doing("commit an API token")?;
        let secret = format!("pst_{}_{secret}", token.token_id);
        Ok((token, secret))
    }

    /// A page, and the token of the next one.
    pub(crate) async fn api_tokens(
        &self,
        caller: &Caller,
        customer: Option<&str>,
        page: &Page,
    ) -> Result<(Vec<ApiToken>, String), AccountError> {
        let customer = match customer {
            None if !caller.is_staff() => Some(caller.customer.as_str()),
            Some(login) if !caller.may_act_for(login) => return Ok((Vec::new(), String::new())),
            customer => customer,
        };
        let mut rows = api_tokens::list(self.store.pool(), customer, page).await?;
        let next = page.finish_below(&mut rows, |token| token.token_id);
        Ok((rows, next))
    }

    pub(crate) async fn delete_api_token(&self, caller: &Caller, token_id: i64) -> Result<(), AccountError> {
        let mut tx = self.store.begin(caller).await?;
        let owner = if caller.is_staff() { None } else { Some(caller.customer.as_str()) };
        let Some(token) = api_tokens::remove(&mut tx, token_id, owner).await? else {
            return Err(AccountError::NotFound(format!("there is no API token {token_id}")));
        };
        let name = token_id.to_string();
        deed(&token, &name, Action::Delete).removed(&mut tx, &token).await?;
        tx.commit().await.doing("commit the end of an API token")
    }

    /// What a token stands for, while it lives; notes its use when the right secret was shown.
    pub(crate) async fn look_up_api_token(
        &self,
        token_id: i64,
        shown: &[u8],
    ) -> Result<LookupApiTokenResponse, AccountError> {
        let found = api_tokens::live(self.store.pool(), token_id).await?;
        let Some((token, secret_sha256)) = found else { return Ok(LookupApiTokenResponse::default()) };
        if secret_sha256 == shown {
            api_tokens::note_use(self.store.pool(), token_id).await?;
        }
        Ok(LookupApiTokenResponse { token: Some(token), secret_sha256: secret_sha256.into() })
    }
}

/// Nobody makes a token that may more than its maker.
fn may_make(caller: &Caller, new: &NewToken) -> Result<(), AccountError> {
    let scopes =
        Scopes::parse(&new.scopes).map_err(|e| AccountError::Invalid(format!("token.scopes: {e}")))?;
    let role_is_theirs = match new.role {
        TokenRole::Customer => true,
        _ => caller.role == Role::Operator,
    };
    if !role_is_theirs {
        return Err(AccountError::OperatorsOnly("token.role"));
    }
    if !caller.scopes.hold_all(&scopes) {
        return Err(AccountError::NotPermitted(
            "token.scopes: a token may not hold more than the one that makes it".to_owned(),
        ));
    }
    Ok(())
}

fn deed<'d>(token: &'d ApiToken, name: &'d str, action: Action) -> Deed<'d> {
    Deed { customer: &token.customer, kind: Thing::ApiToken, name, action }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn new(role: TokenRole, scopes: &[&str]) -> NewToken {
        let scopes = scopes.iter().map(|scope| (*scope).to_owned()).collect();
        let (customer, display_name) = ("homepage".to_owned(), "x".to_owned());
        NewToken { role, customer, display_name, scopes, expires: Timestamp::MAX }
    }

    #[test]
    fn nobody_makes_a_token_that_may_more_than_its_maker() {
        let owner = Caller::customer("homepage", "homepage");
        let scopes = Scopes::parse(&["tokens:write", "mailboxes:read"]).expect("scopes");
        let bound = Caller { scopes, ..owner.clone() };
        let operator = Caller::new("operator", Role::Operator);
        for (caller, token, may) in [
            (&owner, new(TokenRole::Customer, &["*:write"]), true),
            (&owner, new(TokenRole::Support, &["*:read"]), false),
            (&owner, new(TokenRole::Operator, &["domains:read"]), false),
            (&bound, new(TokenRole::Customer, &["mailboxes:read"]), true),
            (&bound, new(TokenRole::Customer, &["mailboxes:write"]), false),
            (&bound, new(TokenRole::Customer, &["*:read"]), false),
            (&operator, new(TokenRole::Operator, &["*:write"]), true),
            (&operator, new(TokenRole::Support, &["bad"]), false),
        ] {
            assert_eq!(may_make(caller, &token).is_ok(), may, "{:?} {:?}", token.role, token.scopes);
        }
    }
}
