//! How many messages of strangers a recipient here has got within this hour.

use std::sync::LazyLock;

use redis::{AsyncCommands as _, Script};

use super::{Doing as _, RedisStore, StoreError};

/// Life of an hour's count, seconds: no clock needs to be exact.
const COUNT_LIFE_SECONDS: u32 = 7200;

static COUNT_INBOUND: LazyLock<Script> =
    LazyLock::new(|| Script::new(include_str!("scripts/count_inbound.lua")));

impl RedisStore {
    /// Counts messages for recipients, in this hour of `now` (milliseconds since 1970). The places of those for whom that is over
    /// the limit: nothing is counted for them.
    pub(crate) async fn count_inbound(
        &self,
        counts: &[(String, u32)],
        limit: u32,
        now: i64,
    ) -> Result<Vec<i32>, StoreError> {
        let mut invocation = COUNT_INBOUND.prepare_invoke();
        for (recipient, _) in counts {
            invocation.key(key(recipient, now));
        }
        invocation.arg(limit).arg(COUNT_LIFE_SECONDS);
        for (_, messages) in counts {
            invocation.arg(*messages);
        }
        invocation.invoke_async(&mut self.connection.clone()).await.doing("counting received mail")
    }

    /// How many were counted in this hour.
    pub(crate) async fn inbound_of(&self, recipient: &str, now: i64) -> Result<u32, StoreError> {
        let count: Option<u32> =
            self.connection.clone().get(key(recipient, now)).await.doing("reading received mail")?;
        Ok(count.unwrap_or(0))
    }
}

fn key(recipient: &str, now: i64) -> String {
    format!("inbound:{recipient}:{}", now.div_euclid(3_600_000))
}
