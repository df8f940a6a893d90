//! The authority that issues (RFC 8555): an account there, and orders of one host each, from the order to the chain.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use instant_acme::{
    Account, AccountCredentials, AuthorizationStatus, ChallengeType, Error, ExternalAccountKey, Identifier,
    NewAccount, NewOrder, Order, OrderStatus, Problem, RetryPolicy,
};
use jiff::Timestamp;
use thiserror::Error;

use super::{door::Door, proofs::Proofs};
use crate::whole_file;

/// The account's key is nobody else's.
const ACCOUNT_MODE: u32 = 0o600;
/// How long the authority may take to look at a proof, and to issue; it is asked again and again meanwhile.
const STEP: RetryPolicy = RetryPolicy::new().timeout(Duration::from_secs(90));
/// A whole order.
const ORDER_TIMEOUT: Duration = Duration::from_secs(300);
/// What begins the type of each problem (section 6.7).
const PROBLEM: &str = "urn:ietf:params:acme:error:";

/// What is told of us to an authority.
#[derive(Debug)]
pub(super) struct Terms {
    /// Where its directory is.
    pub(super) directory: String,
    /// Where it may write to, as `mailto:` URL.
    pub(super) contact: Option<String>,
    /// Key id and MAC key of the account there that ours is bound to (section 7.3.4).
    pub(super) binding: Option<(String, Vec<u8>)>,
}

/// One authority, and our account there in a file.
pub(super) struct Authority {
    terms: Terms,
    door: Door,
    file: PathBuf,
}

/// A chain with its key, PEM.
pub(super) struct Issued {
    pub(super) chain: String,
    pub(super) key: String,
}

/// Why there is no certificate.
#[derive(Debug, Error)]
#[error("{why}")]
pub(super) struct Failed {
    pub(super) whose: Whose,
    pub(super) why: String,
    /// When the authority wants to be asked again, if it said so.
    pub(super) again: Option<Timestamp>,
}

/// Whom a failure concerns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Whose {
    /// This host alone.
    Host,
    /// This host, or all of us: a limit was reached, and the authority does not say in a form for programs which one.
    Limit,
    /// Everybody: the authority is away, or wants no order from us.
    Authority,
}

impl Authority {
    pub(super) fn new(terms: Terms, door: Door, folder: &Path) -> Self {
        // One account for each authority, so that going back to one finds the account there.
        let name: String = terms
            .directory
            .trim_start_matches("https://")
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' })
            .take(200)
            .collect();
        Self { terms, door, file: folder.join(format!("account-{name}.json")) }
    }

    /// Our account there; made the first time.
    ///
    /// # Errors
    /// All of them concern everybody.
    pub(super) async fn account(&self) -> Result<Account, Failed> {
        let ours = |what: &str, error: &dyn std::fmt::Display| Failed {
            whose: Whose::Authority,
            why: format!("{what} {}: {error}", self.file.display()),
            again: None,
        };
        let builder = Account::builder_with_http(Box::new(self.door.clone()));
        match fs::read_to_string(&self.file) {
            Ok(text) => {
                let known: AccountCredentials =
                    serde_json::from_str(&text).map_err(|e| ours("the account cannot be read from", &e))?;
                return builder
                    .from_credentials(known)
                    .await
                    .map_err(|e| self.everybody("its directory", &e));
            }
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(ours("the account cannot be read from", &error));
            }
            Err(_) => {}
        }
        let contact: Vec<&str> = self.terms.contact.as_deref().into_iter().collect();
        let new =
            NewAccount { contact: &contact, terms_of_service_agreed: true, only_return_existing: false };
        let binding = self.terms.binding.as_ref().map(|(id, key)| ExternalAccountKey::new(id.clone(), key));
        let made = builder.create(&new, self.terms.directory.clone(), binding.as_ref()).await;
        let (account, credentials) = made.map_err(|e| self.everybody("an account there", &e))?;
        let text =
            serde_json::to_string(&credentials).map_err(|e| ours("the account cannot be kept in", &e))?;
        whole_file::write(&self.file, &text, ACCOUNT_MODE)
            .map_err(|e| ours("the account cannot be kept in", &e))?;
        tracing::info!(
            directory = self.terms.directory,
            account = account.id(),
            "an account at the authority"
        );
        Ok(account)
    }

    /// One certificate for one host, with a new key.
    ///
    /// # Errors
    /// Says whom it concerns.
    pub(super) async fn order(
        &self,
        account: &Account,
        host: &str,
        proofs: &Proofs,
    ) -> Result<Issued, Failed> {
        self.door.take_come_again();
        let ordered = tokio::time::timeout(ORDER_TIMEOUT, self.order_from(account, host, proofs)).await;
        let late = format!("no certificate within {} seconds", ORDER_TIMEOUT.as_secs());
        ordered.unwrap_or(Err(of_host(late)))
    }

    async fn order_from(&self, account: &Account, host: &str, proofs: &Proofs) -> Result<Issued, Failed> {
        let failed = |what: &str, error: Error| self.failed(what, &error);
        let hosts = [Identifier::Dns(host.to_owned())];
        let mut order =
            account.new_order(&NewOrder::new(&hosts)).await.map_err(|e| failed("the order", e))?;
        let shown = self.prove(&mut order, proofs).await?;
        if order.state().status != OrderStatus::Ready {
            match order.poll_ready(&STEP).await {
                Ok(OrderStatus::Ready) => {}
                Ok(_) => return Err(why_unproven(&mut order).await),
                Err(error) => {
                    // Some say it in the order, some only in the proof.
                    let seen = order.state().error.as_ref().map(unproven);
                    return Err(seen.unwrap_or_else(|| failed("the proof", error)));
                }
            }
        }
        drop(shown);
        let key = order.finalize().await.map_err(|e| failed("the request", e))?;
        let chain = order.poll_certificate(&STEP).await.map_err(|e| failed("the certificate", e))?;
        Ok(Issued { chain, key })
    }

    /// Shows what the authority wants to see; keep the answer while it looks.
    async fn prove(&self, order: &mut Order, proofs: &Proofs) -> Result<Vec<super::proofs::Shown>, Failed> {
        let mut shown = Vec::new();
        let mut authorizations = order.authorizations();
        while let Some(authorization) = authorizations.next().await {
            let mut authorization = authorization.map_err(|e| self.failed("the proof", &e))?;
            match authorization.status {
                AuthorizationStatus::Valid => continue,
                AuthorizationStatus::Pending => {}
                ref other => return Err(of_host(format!("the authority calls the proof {other:?} at once"))),
            }
            let Some(mut challenge) = authorization.challenge(ChallengeType::Http01) else {
                return Err(of_host("the authority offers no proof by HTTP (http-01)".to_owned()));
            };
            let key = challenge.key_authorization();
            let proof = proofs
                .show(&challenge.token, key.as_str())
                .map_err(|e| everybody(format!("the proof cannot be shown: {e}")))?;
            shown.push(proof);
            challenge.set_ready().await.map_err(|e| self.failed("the proof", &e))?;
        }
        Ok(shown)
    }

    /// A failure of an order.
    fn failed(&self, what: &str, error: &Error) -> Failed {
        let again = self.door.take_come_again();
        match error {
            Error::Api(problem) => {
                let kind = problem.r#type.as_deref().unwrap_or_default();
                let whose = match kind.strip_prefix(PROBLEM).unwrap_or(kind) {
                    "rateLimited" => Whose::Limit,
                    "accountDoesNotExist" => {
                        self.forget_account();
                        Whose::Authority
                    }
                    "badNonce"
                    | "serverInternal"
                    | "unauthorized"
                    | "userActionRequired"
                    | "externalAccountRequired" => Whose::Authority,
                    _ => Whose::Host,
                };
                Failed { whose, why: format!("{what} was refused: {}", words(problem)), again }
            }
            Error::Timeout(_) => of_host(format!("{what} takes the authority too long")),
            error => Failed { whose: Whose::Authority, why: format!("{what}: {error}"), again },
        }
    }

    /// A failure before there is an order.
    fn everybody(&self, what: &str, error: &Error) -> Failed {
        Failed { whose: Whose::Authority, ..self.failed(what, error) }
    }

    /// The authority does not know the account any more: the next round makes another one.
    fn forget_account(&self) {
        let gone = self.file.with_extension("gone");
        match fs::rename(&self.file, &gone) {
            Ok(()) => {
                tracing::warn!(file = %gone.display(), "the authority does not know our account any more")
            }
            Err(error) => {
                tracing::warn!(%error, "the account that the authority does not know cannot be put away")
            }
        }
    }
}

/// What the authority saw instead of the proof.
async fn why_unproven(order: &mut Order) -> Failed {
    let mut authorizations = order.authorizations();
    while let Some(Ok(mut authorization)) = authorizations.next().await {
        let Ok(state) = authorization.refresh().await else { continue };
        if let Some(problem) = state.challenges.iter().find_map(|challenge| challenge.error.as_ref()) {
            return unproven(problem);
        }
    }
    of_host("the authority could not prove it, and does not say why".to_owned())
}

fn unproven(problem: &Problem) -> Failed {
    of_host(format!("the authority could not prove it: {}", words(problem)))
}

fn of_host(why: String) -> Failed {
    Failed { whose: Whose::Host, why, again: None }
}

fn everybody(why: String) -> Failed {
    Failed { whose: Whose::Authority, why, again: None }
}

/// A problem for people: what happened, and the last word of its type.
fn words(problem: &Problem) -> String {
    let kind = problem.r#type.as_deref().unwrap_or_default();
    let kind = kind.strip_prefix(PROBLEM).unwrap_or(kind);
    let parts = problem.subproblems.iter().filter_map(|sub| sub.detail.as_deref());
    let parts: Vec<&str> = problem.detail.as_deref().into_iter().chain(parts).collect();
    match (parts.is_empty(), kind) {
        (true, kind) => kind.to_owned(),
        (false, "") => parts.join("; "),
        (false, kind) => format!("{} ({kind})", parts.join("; ")),
    }
}
