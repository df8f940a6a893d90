//! Many mailboxes, put into account's tables at once, and how long the mail path's questions take with them.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use postern_proto::account::v1::{
    ListDomainsRequest, ListMailboxesRequest, LookupLoginRequest, ResolveRecipientRequest,
    domain_service_client::DomainServiceClient, resolution::Outcome,
};
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use sqlx::PgPool;

use crate::{admin::Admin, platform::Platform};

/// Mailboxes of each domain.
pub const PER_DOMAIN: i64 = 10;
/// Domains of each customer.
const PER_CUSTOMER: i64 = 100;
/// A PHC string for all: nobody logs in here.
const PHC: &str = "$argon2id$v=19$m=19456,t=2,p=1$MDEyMzQ1Njc4OWFiY2RlZg$\
                   6vYqmRMqaKR2k9zbTvJ3DyMyeZqD5BVGqUIm3lA0v0s";

/// A house with a growing number of domains, `d0.scale.test`, `d1.scale.test`, ...
pub struct Crowd {
    pool: PgPool,
    admin: Admin,
    domains: i64,
}

/// How long a question took, milliseconds.
#[derive(Clone, Copy, Debug)]
pub struct Figures {
    /// Half of them took no longer.
    pub p50: f64,
    /// 99 of 100 took no longer.
    pub p99: f64,
}

impl Crowd {
    /// An empty one.
    pub async fn new(platform: &Platform) -> anyhow::Result<Self> {
        let pool = PgPool::connect(&platform.stores.database_url()).await?;
        Ok(Self { pool, admin: platform.admin()?, domains: 0 })
    }

    /// Adds domains and their mailboxes until there are so many mailboxes (default boxes not counted).
    pub async fn grow_to(&mut self, mailboxes: i64) -> anyhow::Result<Duration> {
        let begin = Instant::now();
        let domains = mailboxes / PER_DOMAIN;
        while self.domains < domains {
            // In steps, so that no transaction grows without bound.
            let until = domains.min(self.domains + 10_000);
            self.add(self.domains, until).await.context("put domains into the tables")?;
            self.domains = until;
        }
        sqlx::query("vacuum analyze account.mailboxes, account.domains, account.logins, account.versions")
            .execute(&self.pool)
            .await?;
        Ok(begin.elapsed())
    }

    async fn add(&self, from: i64, until: i64) -> anyhow::Result<()> {
        let mut transaction = self.pool.begin().await?;
        sqlx::query("set local search_path to account").execute(&mut *transaction).await?;
        for (statement, text) in [
            (
                "insert into customers (login, display_name, password_phc, state, revision) \
                 select distinct 'c' || lpad(to_hex(n / $3), 7, '0'), '', $4, 1, 1 \
                 from generate_series($1, $2 - 1) n on conflict (login) do nothing",
                true,
            ),
            (
                "insert into logins (login, customer_id, domain) \
                 select 'd' || lpad(to_hex(n), 7, '0'), c.customer_id, 'd' || n || '.scale.test' \
                 from generate_series($1, $2 - 1) n \
                 join customers c on c.login = 'c' || lpad(to_hex(n / $3), 7, '0') where $4 <> ''",
                true,
            ),
            (
                "insert into versions (domain, version) \
                 select 'd' || n || '.scale.test', nextval('change_number') from generate_series($1, $2 - 1) n",
                false,
            ),
            (
                "insert into mailboxes (login, address, domain, customer_id, default_box, state, revision) \
                 select l.login, '', l.domain, l.customer_id, true, 1, 1 from generate_series($1, $2 - 1) n \
                 join logins l on l.login = 'd' || lpad(to_hex(n), 7, '0')",
                false,
            ),
            (
                "insert into domains (domain, customer_id, state, login, default_mailbox_id, default_action, revision) \
                 select m.domain, m.customer_id, 2, m.login, m.mailbox_id, 2, 1 from generate_series($1, $2 - 1) n \
                 join mailboxes m on m.login = 'd' || lpad(to_hex(n), 7, '0') and m.removed_time is null",
                false,
            ),
        ] {
            let query = sqlx::query(statement).bind(from).bind(until);
            let query = if text { query.bind(PER_CUSTOMER).bind(PHC) } else { query };
            query.execute(&mut *transaction).await?;
        }
        sqlx::query(
            "insert into mailboxes (login, address, domain, customer_id, default_box, password_phc, state, revision) \
             select a.address, a.address, d.domain, d.customer_id, false, $4, 1, 1 \
             from generate_series($1, $2 - 1) n join domains d on d.domain = 'd' || n || '.scale.test', \
             generate_series(0, $3 - 1) u, lateral (select 'user' || u || '@' || d.domain as address) a",
        )
        .bind(from)
        .bind(until)
        .bind(PER_DOMAIN)
        .bind(PHC)
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(())
    }

    /// ResolveRecipient and LookupLogin of random addresses, half of which exist.
    pub async fn ask(&self, questions: usize, seed: u64) -> anyhow::Result<(Figures, Figures)> {
        let mut random = StdRng::seed_from_u64(seed);
        let (mut resolved, mut looked_up) = (Vec::new(), Vec::new());
        let mut client = self.admin.directory();
        for _ in 0..questions {
            let (domain, user) =
                (random.random_range(0..self.domains), random.random_range(0..2 * PER_DOMAIN));
            let address = format!("user{user}@d{domain}.scale.test");
            let exists = user < PER_DOMAIN;
            let begin = Instant::now();
            let request = ResolveRecipientRequest { address: address.clone() };
            let answer = client.resolve_recipient(request).await?.into_inner();
            resolved.push(begin.elapsed());
            let outcome = answer.resolution.and_then(|resolution| resolution.outcome);
            anyhow::ensure!(
                matches!(outcome, Some(Outcome::Local(_))) == exists,
                "{address}: {outcome:?} is wrong"
            );
            let begin = Instant::now();
            let identity =
                client.lookup_login(LookupLoginRequest { login: address.clone(), for_panel: false }).await?;
            looked_up.push(begin.elapsed());
            let found = identity.into_inner().identity.map(|identity| identity.login);
            anyhow::ensure!(found == exists.then_some(address), "{found:?} is wrong");
        }
        Ok((figures(resolved), figures(looked_up)))
    }

    /// Pages through the mailboxes of one domain, and takes the first pages of all domains; how long the slowest page took.
    pub async fn list(&self) -> anyhow::Result<Duration> {
        let mut slowest = Duration::ZERO;
        let (mut found, mut page_token) = (0, String::new());
        loop {
            let domain = format!("d{}.scale.test", self.domains / 2);
            let request = ListMailboxesRequest { domain, page_size: 4, page_token, ..Default::default() };
            let begin = Instant::now();
            let page = self.admin.mailboxes().list_mailboxes(request).await?.into_inner();
            slowest = slowest.max(begin.elapsed());
            anyhow::ensure!(page.mailboxes.len() <= 4, "a page of {}", page.mailboxes.len());
            found += page.mailboxes.len();
            page_token = page.next_page_token;
            if page_token.is_empty() {
                break;
            }
        }
        anyhow::ensure!(i64::try_from(found)? == PER_DOMAIN + 1, "listed {found} mailboxes");
        let mut client = DomainServiceClient::new(self.admin.account_channel());
        let mut page_token = String::new();
        for _ in 0..5 {
            let request = ListDomainsRequest { page_size: 1000, page_token, ..Default::default() };
            let begin = Instant::now();
            let page = client.list_domains(request).await?.into_inner();
            slowest = slowest.max(begin.elapsed());
            anyhow::ensure!(page.domains.len() <= 1000, "a page of {}", page.domains.len());
            page_token = page.next_page_token;
            if page_token.is_empty() {
                break;
            }
        }
        Ok(slowest)
    }

    /// The middle of several rounds, so that one hiccup of the machine is not a figure.
    pub async fn measure(&self, rounds: usize, questions: usize) -> anyhow::Result<(Figures, Figures)> {
        self.ask(questions, 0).await?;
        let (mut resolve, mut login) = (Vec::new(), Vec::new());
        for round in 0..rounds {
            let (one, other) = self.ask(questions, u64::try_from(round)? + 1).await?;
            resolve.push(one);
            login.push(other);
        }
        Ok((middle(resolve), middle(login)))
    }
}

fn figures(mut took: Vec<Duration>) -> Figures {
    took.sort_unstable();
    let at = |share: usize| took[(took.len() - 1) * share / 100].as_secs_f64() * 1000.0;
    Figures { p50: at(50), p99: at(99) }
}

fn middle(rounds: Vec<Figures>) -> Figures {
    let of = |figure: fn(&Figures) -> f64| {
        let mut all: Vec<f64> = rounds.iter().map(figure).collect();
        all.sort_unstable_by(f64::total_cmp);
        all[all.len() / 2]
    };
    Figures { p50: of(|f| f.p50), p99: of(|f| f.p99) }
}
