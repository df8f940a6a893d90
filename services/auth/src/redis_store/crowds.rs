//! Client addresses that stand for many customers' mail programs: what was counted of them (`scripts/crowd.lua`), and which
//! they are now.

use redis::Cmd;

use super::{Doing as _, RedisStore, StoreError};

/// Sorted set: client -> until when it is nobody's own, milliseconds of Redis' clock.
pub(super) const CROWDS_KEY: &str = "crowds";
/// Customers at one address that are several, not a company with a second name.
pub(super) const CUSTOMERS_MIN: u32 = 3;
/// Percent of all boxes that checked their mail in this hour and the one before: nearly all.
pub(super) const SHARE_PERCENT: u32 = 80;
/// Life of the verdict after the last login that speaks for it, seconds.
pub(super) const VERDICT_SECONDS: u32 = 2 * 3600;
/// Life of a count after the last one in it, seconds: those of an hour are read in the hour behind it, too.
pub(super) const COUNT_SECONDS: u32 = 2 * 3600;

/// The counts and the verdicts: keys 6 to 10 of `good_login.lua`.
pub(super) fn crowd_keys(client: &str, now_millis: i64) -> [String; 5] {
    let hour = now_millis.div_euclid(3_600_000);
    [
        format!("boxes_at:{client}"),
        format!("customers_at:{client}"),
        format!("boxes:{hour}"),
        format!("boxes:{}", hour - 1),
        CROWDS_KEY.to_owned(),
    ]
}

/// Asks until when this client is a crowd.
pub(super) fn verdict_of(client: &str) -> Cmd {
    let mut question = redis::cmd("ZSCORE");
    question.arg(CROWDS_KEY).arg(client);
    question
}

impl RedisStore {
    /// Clients that are crowds now, in the form of `ClientKey`.
    pub(crate) async fn crowds(&self) -> Result<Vec<String>, StoreError> {
        let mut pipe = redis::pipe();
        pipe.cmd("TIME").cmd("ZRANGE").arg(CROWDS_KEY).arg(0).arg(-1).arg("WITHSCORES");
        let ((seconds, _), listed): ((i64, i64), Vec<(String, f64)>) =
            pipe.query_async(&mut self.connection.clone()).await.doing("listing crowds")?;
        // Milliseconds of this century are exact in a score.
        #[expect(clippy::cast_precision_loss, reason = "2^53 milliseconds are 285,000 years")]
        let now = (seconds * 1000) as f64;
        Ok(listed.into_iter().filter(|(_, until)| *until > now).map(|(client, _)| client).collect())
    }
}
