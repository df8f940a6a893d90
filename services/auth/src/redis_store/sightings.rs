//! Which clients came through which door lately.

use redis::AsyncCommands as _;

use super::{Doing as _, RedisStore, StoreError};

/// How long it is known that a client came, seconds.
const SEEN_LIFE_SECONDS: i64 = 24 * 3600;

impl RedisStore {
    /// Notes when clients came through doors, seconds since 1970.
    pub(crate) async fn note_sightings(
        &self,
        sightings: &[(String, &'static str)],
        now_seconds: i64,
    ) -> Result<(), StoreError> {
        let mut pipe = redis::pipe();
        for (client, door) in sightings {
            let key = seen_key(client);
            pipe.hset(&key, door, now_seconds).ignore();
            pipe.expire(&key, SEEN_LIFE_SECONDS).ignore();
        }
        pipe.query_async(&mut self.connection.clone()).await.doing("noting sightings")
    }

    /// When a client came through each door last, seconds since 1970.
    pub(crate) async fn sightings_of(&self, client: &str) -> Result<Vec<(String, i64)>, StoreError> {
        self.connection.clone().hgetall(seen_key(client)).await.doing("reading sightings")
    }
}

fn seen_key(client: &str) -> String {
    format!("seen:{client}")
}
