//! PROMISES.md, promise 1: what is confirmed is on disk, and on the synchronous standby where there is one.

use sqlx::{PgPool, Row as _};

/// Settings of the server that decide whether what we call durable is.
pub(crate) struct Durability {
    fsync: String,
    full_page_writes: String,
    synchronous_commit: String,
    standby: bool,
}

/// Asks the server.
pub(crate) async fn of(pool: &PgPool) -> Result<Durability, sqlx::Error> {
    let row = sqlx::query(
        "select current_setting('fsync'), current_setting('full_page_writes'), current_setting('synchronous_commit'), \
         pg_is_in_recovery()",
    )
    .fetch_one(pool)
    .await?;
    Ok(Durability {
        fsync: row.try_get(0)?,
        full_page_writes: row.try_get(1)?,
        synchronous_commit: row.try_get(2)?,
        standby: row.try_get(3)?,
    })
}

impl Durability {
    /// Why a server with these settings is not used, in words for its operator.
    pub(crate) fn refusal(&self) -> Option<String> {
        let must = |name, is: &str, risk| {
            format!("this database has {name} = {is}, so {risk}; set {name} = on and start again")
        };
        if self.fsync != "on" {
            return Some(must("fsync", &self.fsync, "a power cut can destroy it"));
        }
        if self.full_page_writes != "on" {
            return Some(must("full_page_writes", &self.full_page_writes, "a power cut can destroy it"));
        }
        if !matches!(self.synchronous_commit.as_str(), "on" | "remote_apply") {
            return Some(must(
                "synchronous_commit",
                &self.synchronous_commit,
                "it confirms what a crash can still take back",
            ));
        }
        self.standby.then(|| "this database is a read-only standby; name the primary".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_can_lose_what_it_confirmed_is_refused() {
        for (fsync, pages, commit, standby, word) in [
            ("on", "on", "on", false, None),
            ("on", "on", "remote_apply", false, None),
            ("off", "on", "on", false, Some("fsync = off")),
            ("on", "off", "on", false, Some("full_page_writes = off")),
            ("on", "on", "off", false, Some("synchronous_commit = off")),
            ("on", "on", "local", false, Some("synchronous_commit = local")),
            ("on", "on", "remote_write", false, Some("synchronous_commit = remote_write")),
            ("on", "on", "on", true, Some("standby")),
        ] {
            let durability = Durability {
                fsync: fsync.into(),
                full_page_writes: pages.into(),
                synchronous_commit: commit.into(),
                standby,
            };
            match (durability.refusal(), word) {
                (None, None) => {}
                (Some(why), Some(word)) => assert!(why.contains(word), "{why}"),
                (got, wanted) => panic!("{got:?} instead of {wanted:?}"),
            }
        }
    }
}
