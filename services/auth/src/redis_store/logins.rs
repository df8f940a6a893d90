//! Logins: the throttle's questions, what a good one writes, and when each box was logged in to last.

use std::sync::LazyLock;

use postern_proto::account::v1::LoginIdentity;
use redis::{AsyncCommands as _, Script};

use super::{Doing as _, RedisStore, StoreError, crowds, grants::grant_key};
use crate::{
    grant::GrantPolicy,
    password_memory::Remembered,
    throttle::{Attempt, Failures, GOOD_NAME_SECONDS, ThrottleLimits, WINDOW_SECONDS, Wait},
};

macro_rules! throttle_script {
    ($($file:literal),+) => {
        LazyLock::new(|| {
            Script::new(concat!(include_str!("scripts/throttle.lua"), $("\n", include_str!($file)),+))
        })
    };
}

static ADMIT: LazyLock<Script> = throttle_script!("scripts/admit.lua");
static FAILED_LOGIN: LazyLock<Script> = throttle_script!("scripts/failed_login.lua");
static GOOD_LOGIN: LazyLock<Script> = throttle_script!("scripts/crowd.lua", "scripts/good_login.lua");

/// What is known of the password of a login.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Password<'a> {
    /// It was checked, and the throttle was asked; it is remembered where that is named.
    Right(Option<&'a Remembered>),
    /// It is right if it is remembered, and nobody asked the throttle for this attempt yet.
    IfRemembered(&'a Remembered),
}

/// What became of a password that is right, or may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Noted {
    /// It was right and has to wait all the same.
    Throttled,
    /// Nobody knows whether it is right; nothing was noted.
    NotRemembered,
    /// Let in.
    In {
        /// A grant of this client and mailbox lives now.
        granted: bool,
        /// With this login it showed that the client's address is nobody's own.
        new_crowd: bool,
    },
}

/// What a good login asks for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WantedGrant<'a> {
    pub(crate) identity: &'a LoginIdentity,
    /// Seconds; `None`: no grant.
    pub(crate) life: Option<u32>,
    /// Mailboxes that may hold a grant of one client; 0 = off.
    pub(crate) per_client_max: u32,
    /// Mailboxes of several customers that make one client address a crowd; 0 = off.
    pub(crate) crowd_boxes: u32,
}

impl RedisStore {
    /// May this client try a password now? Asked before the expensive check.
    pub(crate) async fn admit(
        &self,
        attempt: &Attempt,
        limits: ThrottleLimits,
        now: i64,
    ) -> Result<bool, StoreError> {
        let invocation = throttle_call(&ADMIT, attempt, limits, now);
        invocation.invoke_async(&mut self.connection.clone()).await.doing("asking the throttle")
    }

    /// The counts of failures that an attempt is judged by.
    pub(crate) async fn failures(&self, attempt: &Attempt) -> Result<Wait, StoreError> {
        let mut pipe = redis::pipe();
        for key in [attempt.account_key(), attempt.client_key(), attempt.pair_key()] {
            pipe.get(&key).ttl(&key);
        }
        type Count = Option<u32>;
        let (account, account_ttl, client, client_ttl, pair, pair_ttl): (Count, i64, Count, i64, Count, i64) =
            pipe.query_async(&mut self.connection.clone()).await.doing("reading failed logins")?;
        let longest = account_ttl.max(client_ttl).max(pair_ttl);
        Ok(Wait {
            account_failures: account.unwrap_or(0),
            client_failures: client.unwrap_or(0),
            pair_failures: pair.unwrap_or(0),
            seconds: u32::try_from(longest).unwrap_or(0),
        })
    }

    /// Counts a wrong password; how often it was wrong until now, this time included.
    pub(crate) async fn failed_login(
        &self,
        attempt: &Attempt,
        limits: ThrottleLimits,
        now: i64,
    ) -> Result<Failures, StoreError> {
        let invocation = throttle_call(&FAILED_LOGIN, attempt, limits, now);
        let (account, client) =
            invocation.invoke_async(&mut self.connection.clone()).await.doing("counting a failed login")?;
        Ok(Failures { account, client })
    }

    /// Notes a right password and writes or renews the grant that it wins.
    pub(crate) async fn good_login(
        &self,
        attempt: &Attempt,
        limits: ThrottleLimits,
        now: i64,
        password: Password<'_>,
        wanted: WantedGrant<'_>,
    ) -> Result<Noted, StoreError> {
        let WantedGrant { identity, life, per_client_max, crowd_boxes } = wanted;
        let mut invocation = throttle_call(&GOOD_LOGIN, attempt, limits, now);
        let life = life.unwrap_or(0);
        invocation.key(grant_key(&attempt.client));
        for key in crowds::crowd_keys(&attempt.client, now) {
            invocation.key(key);
        }
        let (is_asked, remembered) = match password {
            Password::Right(remembered) => (false, remembered),
            Password::IfRemembered(remembered) => (true, Some(remembered)),
        };
        // Without a life nothing is kept under this name.
        invocation.key(remembered.map_or(&b"pw:"[..], |remembered| &remembered.name));
        invocation
            .arg(u8::from(is_asked))
            .arg(identity.mailbox_id)
            .arg(life)
            .arg(identity.credential_version)
            .arg(&identity.domain)
            .arg(&identity.login)
            .arg(GrantPolicy::renew_after(life))
            .arg(per_client_max)
            .arg(crowd_boxes)
            .arg(&identity.customer)
            .arg(crowds::CUSTOMERS_MIN)
            .arg(crowds::SHARE_PERCENT)
            .arg(crowds::VERDICT_SECONDS)
            .arg(crowds::COUNT_SECONDS)
            .arg(remembered.map_or(0, |remembered| remembered.life));
        let answer: i64 =
            invocation.invoke_async(&mut self.connection.clone()).await.doing("noting a login")?;
        Ok(match answer {
            -1 => Noted::Throttled,
            -2 => Noted::NotRemembered,
            other => Noted::In { granted: other == 1, new_crowd: other == 2 },
        })
    }

    /// Notes logins: of each mailbox what stands under which name of its hash.
    pub(crate) async fn note_logins(
        &self,
        logins: &[(i64, String, String)],
        life_seconds: i64,
    ) -> Result<(), StoreError> {
        let mut pipe = redis::pipe();
        for (mailbox_id, name, value) in logins {
            let key = format!("logins:{mailbox_id}");
            pipe.hset(&key, name, value).ignore();
            pipe.expire(&key, life_seconds).ignore();
        }
        pipe.query_async(&mut self.connection.clone()).await.doing("noting logins")
    }

    /// What was noted of the logins of a mailbox.
    pub(crate) async fn logins_of(&self, mailbox_id: i64) -> Result<Vec<(String, String)>, StoreError> {
        self.connection.clone().hgetall(format!("logins:{mailbox_id}")).await.doing("reading logins")
    }
}

fn throttle_call<'a>(
    script: &'a Script,
    attempt: &Attempt,
    limits: ThrottleLimits,
    now: i64,
) -> redis::ScriptInvocation<'a> {
    let mut invocation = script.prepare_invoke();
    invocation
        .key(attempt.clients_key())
        .key(attempt.account_key())
        .key(attempt.client_key())
        .key(attempt.pair_key())
        .arg(&attempt.client)
        .arg(now)
        .arg(limits.account)
        .arg(limits.client)
        .arg(WINDOW_SECONDS)
        .arg(GOOD_NAME_SECONDS);
    invocation
}
