//! The operator token: its bearer gets an assertion of 60 s in the operator's name.

use std::{net::IpAddr, time::Duration};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use postern_mesh::identity::{Caller, MeshKey, Role};
use ring::{digest, hmac};
use thiserror::Error;
use tokio::sync::{Mutex, Semaphore};

/// Wrong tokens are answered one in this time.
const WRONG_TOKEN_PAUSE: Duration = Duration::from_secs(1);
/// More than so many wrong ones at once are turned away at once.
const WRONG_TOKENS_WAITING_MAX: usize = 2;

/// Why no assertion was given.
#[derive(Debug, Error, PartialEq, Eq)]
pub(crate) enum TokenError {
    #[error("the token is wrong, or has ended")]
    Wrong,
    #[error("too many wrong tokens")]
    TooManyWrong,
}

/// Knows the token by its digest.
pub(crate) struct OperatorTokens {
    secret: hmac::Key,
    /// `None`: no token was set, nobody is an operator.
    expected: Option<hmac::Tag>,
    /// Its SHA-256, the same in all replicas: sessions that it opened end with it.
    fingerprint: Option<String>,
    mesh_key: MeshKey,
    waiting: Semaphore,
    one_by_one: Mutex<()>,
    wrong_token_pause: Duration,
}

impl OperatorTokens {
    pub(crate) fn new(token: Option<&str>, mesh_key: MeshKey) -> Self {
        // Tags under a key that nobody knows are compared, in constant time, not the tokens.
        let secret = hmac::Key::new(hmac::HMAC_SHA256, &rand::random::<[u8; 32]>());
        let expected = token.map(|token| hmac::sign(&secret, token.as_bytes()));
        let fingerprint =
            token.map(|token| URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, token.as_bytes())));
        Self {
            secret,
            expected,
            fingerprint,
            mesh_key,
            waiting: Semaphore::new(WRONG_TOKENS_WAITING_MAX),
            one_by_one: Mutex::new(()),
            wrong_token_pause: WRONG_TOKEN_PAUSE,
        }
    }

    /// True for the right token.
    pub(crate) fn knows(&self, token: &str) -> bool {
        self.expected
            .as_ref()
            .is_some_and(|expected| hmac::verify(&self.secret, token.as_bytes(), expected.as_ref()).is_ok())
    }

    /// SHA-256 of the right token, if there is one.
    pub(crate) fn fingerprint(&self) -> Option<&str> {
        self.fingerprint.as_deref()
    }

    /// An assertion for the bearer of the right token. The right one is never held up by the wrong ones of others: it
    /// is too long to be guessed, what is bounded is the work.
    pub(crate) async fn exchange(&self, token: &str, peer: Option<IpAddr>) -> Result<String, TokenError> {
        if self.knows(token) {
            return Ok(self.mesh_key.assertion(&Caller { peer, ..Caller::new("operator", Role::Operator) }));
        }
        Err(self.refuse().await)
    }

    /// How a wrong token of any kind is answered: one in a second, and many at once not at all.
    pub(crate) async fn refuse(&self) -> TokenError {
        let Ok(_place) = self.waiting.try_acquire() else { return TokenError::TooManyWrong };
        let _turn = self.one_by_one.lock().await;
        tokio::time::sleep(self.wrong_token_pause).await;
        TokenError::Wrong
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAUSE: Duration = Duration::from_millis(200);

    fn knowing(token: Option<&str>, key: MeshKey) -> OperatorTokens {
        OperatorTokens { wrong_token_pause: PAUSE, ..OperatorTokens::new(token, key) }
    }

    #[tokio::test]
    async fn the_right_token_makes_an_operator() {
        let key = MeshKey::random();
        let tokens = knowing(Some("0123456789abcdef"), key.clone());
        let caller = key.verify(&tokens.exchange("0123456789abcdef", None).await.unwrap()).unwrap();
        assert_eq!(caller.role, Role::Operator);
        for wrong in ["", "0123456789abcde", "0123456789abcdef0", "0123456789abcdeF"] {
            assert_eq!(tokens.exchange(wrong, None).await, Err(TokenError::Wrong), "{wrong}");
        }
        assert_eq!(knowing(None, key).exchange("", None).await, Err(TokenError::Wrong));
    }

    #[tokio::test]
    async fn a_flood_of_wrong_tokens_does_not_hold_up_the_right_one() {
        let tokens = knowing(Some("0123456789abcdef"), MeshKey::random());
        let flood = futures_util::future::join_all((0..10).map(|_| tokens.exchange("wrong", None)));
        let begun = tokio::time::Instant::now();
        let (answers, right) = tokio::join!(flood, async {
            let right = tokens.exchange("0123456789abcdef", None).await.is_ok();
            (right, begun.elapsed())
        });
        assert!(right.0 && right.1 < PAUSE, "{right:?}");
        assert_eq!(answers.iter().filter(|a| **a == Err(TokenError::TooManyWrong)).count(), 8);
    }
}
