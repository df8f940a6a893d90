//! Sessions of the control panel, each under the hash of its token; what is kept in them is the matter of
//! [`crate::panel_session`].

use redis::{AsyncCommands as _, RedisResult};

use super::{Doing as _, RedisStore, StoreError};

impl RedisStore {
    /// Keeps a panel session of a person under the hash of its token, for so many seconds; the list of that person's sessions for
    /// so many.
    pub(crate) async fn keep_session(
        &self,
        (person, hash): (&str, &str),
        session: &str,
        (seconds, list_seconds): (i64, i64),
        now_seconds: i64,
    ) -> Result<(), StoreError> {
        let list = sessions_key(person);
        let mut pipe = redis::pipe();
        pipe.set_ex(format!("panel:{hash}"), session, seconds.unsigned_abs()).ignore();
        pipe.zadd(&list, hash, now_seconds).ignore();
        // Those that nobody used for so long have ended by themselves.
        pipe.zrembyscore(&list, "-inf", now_seconds - seconds).ignore();
        pipe.expire(&list, list_seconds).ignore();
        pipe.query_async(&mut self.connection.clone()).await.doing("keeping a panel session")
    }

    /// The sessions of a person, the last used first: hash, second of the last use, and what was kept.
    pub(crate) async fn sessions_of(&self, person: &str) -> Result<Vec<(String, i64, String)>, StoreError> {
        const DOING: &str = "listing panel sessions";
        let listed: Vec<(String, i64)> =
            self.connection.clone().zrevrange_withscores(sessions_key(person), 0, -1).await.doing(DOING)?;
        if listed.is_empty() {
            return Ok(Vec::new());
        }
        let mut pipe = redis::pipe();
        for (hash, _) in &listed {
            pipe.get(format!("panel:{hash}"));
        }
        let kept: Vec<Option<String>> = pipe.query_async(&mut self.connection.clone()).await.doing(DOING)?;
        let found = listed.into_iter().zip(kept);
        Ok(found.filter_map(|((hash, used), kept)| Some((hash, used, kept?))).collect())
    }

    /// Keeps what waits for the code of a second factor.
    pub(crate) async fn keep_waiting(
        &self,
        hash: &str,
        session: &str,
        seconds: u64,
    ) -> Result<(), StoreError> {
        let key = format!("panel_code:{hash}");
        self.connection
            .clone()
            .set_ex(key, session, seconds)
            .await
            .doing("keeping a panel session that waits")
    }

    pub(crate) async fn waiting_session(&self, hash: &str) -> Result<Option<String>, StoreError> {
        let key = format!("panel_code:{hash}");
        self.connection.clone().get(key).await.doing("reading a panel session that waits")
    }

    pub(crate) async fn end_waiting(&self, hash: &str) -> Result<(), StoreError> {
        let ended: RedisResult<i64> = self.connection.clone().del(format!("panel_code:{hash}")).await;
        ended.map(drop).doing("ending a panel session that waits")
    }

    pub(crate) async fn session(&self, hash: &str) -> Result<Option<String>, StoreError> {
        self.connection.clone().get(format!("panel:{hash}")).await.doing("reading a panel session")
    }

    /// A session was used. One that ended meanwhile does not come back.
    pub(crate) async fn renew_session(
        &self,
        (person, hash): (&str, &str),
        seconds: i64,
        now_seconds: i64,
    ) -> Result<(), StoreError> {
        let mut pipe = redis::pipe();
        pipe.expire(format!("panel:{hash}"), seconds).ignore();
        pipe.cmd("ZADD").arg(sessions_key(person)).arg("XX").arg(now_seconds).arg(hash).ignore();
        pipe.query_async(&mut self.connection.clone()).await.doing("renewing a panel session")
    }

    /// Ends sessions of a person; how many there were.
    pub(crate) async fn end_sessions(&self, person: &str, hashes: &[&str]) -> Result<usize, StoreError> {
        if hashes.is_empty() {
            return Ok(0);
        }
        let mut pipe = redis::pipe();
        for hash in hashes {
            pipe.del(format!("panel:{hash}"));
            pipe.zrem(sessions_key(person), hash).ignore();
        }
        let ended: Vec<i64> =
            pipe.query_async(&mut self.connection.clone()).await.doing("ending panel sessions")?;
        Ok(ended.into_iter().filter(|count| *count > 0).count())
    }
}

fn sessions_key(person: &str) -> String {
    format!("panel_of:{person}")
}
