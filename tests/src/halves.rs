//! A house of two halves, two replicas of everything, and what people at the first half notice when the second one is gone. A ledger
//! says in the end whether anything that was accepted is lost, or there twice.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::ensure;

use crate::{
    admin::PASSWORD,
    eventually,
    journal::{Fact, Journal},
    metrics,
    platform::{Blueprint, Platform, Service},
    pop3::{Pop3, read_all},
    smtp::{self, Smtp, message},
};

/// The services that each half has one of.
pub const HALF: [Service; 5] =
    [Service::Account, Service::Auth, Service::Delivery, Service::Pop3, Service::Smtp];
const CALLED: [Service; 3] = [Service::Account, Service::Auth, Service::Delivery];
/// From the cut until new sessions work.
pub const WITHIN: Duration = Duration::from_secs(5);
/// How long a session may take that nobody should notice anything in. The machine may be slow.
const UNNOTICED: Duration = Duration::from_millis(1500);
/// So long after the cut is looked whether anybody notices anything.
const WATCHED: Duration = Duration::from_secs(9);
const LIMIT: Duration = Duration::from_secs(30);

const READER: &str = "reader@homepage.test";
const MATE: &str = "mate@homepage.test";
const STRANGER: &str = "friend@outside.test";
/// Those who send and those who poll all the time while the half is cut off.
const BUSY: usize = 3;
const PAUSE: Duration = Duration::from_millis(30);

/// Both halves, and what was promised to senders.
pub struct Halves {
    /// The house.
    pub platform: Platform,
    ledger: Arc<Ledger>,
}

#[derive(Default)]
struct Ledger {
    journal: Mutex<Journal>,
    number: AtomicUsize,
}

/// One session of somebody busy.
struct Visit {
    begun: Instant,
    took: Duration,
    good: bool,
}

/// What people at the first half noticed.
#[derive(Debug, Default)]
struct Noticed {
    /// From the cut until everybody who sends had a good new session, and everybody who polls.
    new_smtp: Duration,
    new_pop3: Duration,
    failed: usize,
    visits: usize,
    /// The slowest session that began after the time in which all must be well again.
    slowest: Duration,
    failed_later: usize,
}

impl Halves {
    /// Starts two replicas of everything that this blueprint does not say, and their boxes.
    pub async fn start(blueprint: Blueprint) -> anyhow::Result<Self> {
        let blueprint = HALF.into_iter().fold(blueprint, |all, service| all.replicas(service, 2));
        let platform = blueprint.start().await?;
        let admin = platform.admin()?;
        admin.domain("homepage", "homepage.test").await?;
        for address in [READER.to_owned(), MATE.to_owned()].into_iter().chain((0..BUSY).map(polled)) {
            admin.mailbox(&address).await?;
        }
        let content = message("first", 20_000);
        let reply = smtp::send(platform.smtp(0), STRANGER, &[READER], &content).await?;
        ensure!(reply.starts_with("250 "), "{reply}");
        Ok(Self { platform, ledger: Arc::default() })
    }

    /// One login and one message at a half.
    pub async fn round(&self, half: usize) -> anyhow::Result<()> {
        Pop3::login(self.platform.pop3(half), MATE, PASSWORD).await?.quit().await?;
        let accepted = self.ledger.send(self.platform.smtp(half)).await;
        ensure!(accepted, "a message was not accepted");
        Ok(())
    }

    /// Calls that a replica of the second half was asked so far.
    async fn asked(&mut self, service: Service) -> f64 {
        let health = self.platform.replica(service, 1).health;
        metrics::sum(health, "postern_rpc_total", &[]).await.unwrap_or_default()
    }

    /// Until the second half has its share of the work of the first gateways.
    pub async fn shared(&mut self) -> anyhow::Result<()> {
        for service in CALLED {
            let before = self.asked(service).await;
            let begin = Instant::now();
            while self.asked(service).await < before + 3.0 {
                ensure!(begin.elapsed() < LIMIT, "{service:?} of the second half is not asked");
                self.round(0).await?;
            }
        }
        Ok(())
    }

    /// Cuts the second half off under load, and looks at the first.
    pub async fn without_the_other_half(
        &mut self,
        how: &str,
        cut: impl FnOnce(&mut Platform) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let mut reader = Pop3::login(self.platform.pop3(0), READER, PASSWORD).await?;
        let mut sender = Smtp::hello(self.platform.submission(0)).await?;
        sender.expect(&format!("MAIL FROM:<{READER}>"), 250).await?;
        // Large enough to be on its way to a replica before it is complete, which may be that of the other half.
        let tag = self.ledger.tag();
        let wire = smtp::stuffed(&message(&tag, 300_000));
        let mut writer = Smtp::hello(self.platform.smtp(0)).await?;
        writer.expect(&format!("MAIL FROM:<{STRANGER}>"), 250).await?;
        writer.expect(&format!("RCPT TO:<{MATE}>"), 250).await?;
        writer.expect("DATA", 354).await?;
        writer.send(&wire[..150_000]).await?;
        let busy = Busy::begin(&self.platform, &self.ledger);
        ensure!(eventually(LIMIT, async || busy.is_going()).await, "{how}: the load does not flow");

        cut(&mut self.platform)?;
        let begin = Instant::now();
        let left = || WITHIN.saturating_sub(begin.elapsed());
        // Sessions that are open go on: what cannot be done at once is temporary, and the session stays.
        let goes_on = eventually(left(), async || reader.retr(1).await.is_ok());
        assert!(goes_on.await, "{how}: the open POP3 session reads on");
        let goes_on = eventually(left(), async || {
            let reply = sender.command(&format!("RCPT TO:<{MATE}>")).await.unwrap_or_default();
            assert!(reply.starts_with("250") || reply.starts_with("451"), "{how}: {reply}");
            reply.starts_with("250")
        });
        assert!(goes_on.await, "{how}: the open SMTP session goes on");
        sender.expect("DATA", 354).await?;
        let own = self.ledger.tag();
        sender.send(&smtp::stuffed(&message(&own, 300))).await?;
        self.ledger.heard(&own, sender.reply().await);
        writer.send(&wire[150_000..]).await?;
        self.ledger.heard(&tag, writer.reply().await);
        // Whatever became of that one, the next one of the same session is taken.
        let next = self.ledger.tag();
        let reply = writer.transaction(STRANGER, &[MATE], &message(&next, 300)).await?;
        assert!(self.ledger.heard(&next, Ok(reply)), "{how}: the session takes the next message");
        let sessions = begin.elapsed();
        assert!(sessions < WITHIN, "{how}: {sessions:?}");

        tokio::time::sleep(WATCHED.saturating_sub(begin.elapsed())).await;
        reader.retr(1).await?;
        reader.quit().await?;
        let noticed = busy.end(begin).await?;
        println!(
            "{how}: open sessions went on after {sessions:.1?}, new ones worked after {:.1?} (SMTP) and {:.1?} (POP3), {} of {} \
             failed until then, slowest later {:.1?}",
            noticed.new_smtp, noticed.new_pop3, noticed.failed, noticed.visits, noticed.slowest
        );
        assert!(noticed.new_smtp.max(noticed.new_pop3) < WITHIN, "{how}: {noticed:?}");
        // From then on nobody notices anything, also not of the attempts to find it again.
        assert!(noticed.failed_later == 0 && noticed.slowest < UNNOTICED, "{how}: {noticed:?}");
        Ok(())
    }

    /// Both halves see the same, and nothing that was accepted is lost, or there twice.
    pub async fn all_is_there(&self) -> anyhow::Result<()> {
        let mut seen = Vec::new();
        for half in [0, 1] {
            let mut all = None;
            let read = eventually(LIMIT, async || {
                all = read_all(self.platform.pop3(half), MATE, PASSWORD).await.ok();
                all.is_some()
            });
            ensure!(read.await, "the box cannot be read at half {half}");
            seen.push(all.unwrap_or_default());
        }
        assert_eq!(seen[0].len(), seen[1].len());
        let mut journal = self.ledger.journal();
        for content in &seen[0] {
            journal.found(&tag_of(content), MATE);
        }
        let (findings, accepted) = (journal.verify(), journal.accepted_count());
        println!("{accepted} accepted, {} in doubt, {} in the box", journal.ambiguous_count(), seen[0].len());
        assert!(findings.is_clean(), "{findings:?}");
        Ok(())
    }
}

impl Ledger {
    fn journal(&self) -> MutexGuard<'_, Journal> {
        self.journal.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tag(&self) -> String {
        format!("m-{}", self.number.fetch_add(1, Ordering::Relaxed))
    }

    /// Notes the answer to a final dot, which may never be a refusal for good; true when the message was taken.
    fn heard(&self, tag: &str, reply: anyhow::Result<String>) -> bool {
        let reply = reply.unwrap_or_default();
        assert!(!reply.starts_with('5'), "refused for good: {reply}");
        let accepted = reply.starts_with("250 ");
        self.journal().sent(tag, if accepted { Fact::Accepted } else { Fact::Ambiguous }, &[MATE]);
        accepted
    }

    /// Sends one message to the mate; true when it was taken.
    async fn send(&self, door: SocketAddr) -> bool {
        let tag = self.tag();
        let reply = smtp::send(door, STRANGER, &[MATE], &message(&tag, 400)).await;
        self.heard(&tag, reply)
    }
}

fn polled(number: usize) -> String {
    format!("poll{number}@homepage.test")
}

fn tag_of(content: &[u8]) -> String {
    let head = String::from_utf8_lossy(&content[..content.len().min(4000)]).into_owned();
    head.lines().find_map(|line| line.strip_prefix("Subject: ")).unwrap_or_default().to_owned()
}

/// People who come to the first half all the time, each session after the other.
struct Busy {
    going: Arc<AtomicBool>,
    good: Arc<AtomicUsize>,
    senders: Vec<tokio::task::JoinHandle<Vec<Visit>>>,
    pollers: Vec<tokio::task::JoinHandle<Vec<Visit>>>,
}

impl Busy {
    fn begin(platform: &Platform, ledger: &Arc<Ledger>) -> Self {
        let (going, good) = (Arc::new(AtomicBool::new(true)), Arc::new(AtomicUsize::new(0)));
        let (smtp, pop3) = (platform.smtp(0), platform.pop3(0));
        let senders = (0..BUSY).map(|_| {
            let (ledger, going, good) = (Arc::clone(ledger), Arc::clone(&going), Arc::clone(&good));
            tokio::spawn(visits(going, good, async move || ledger.send(smtp).await))
        });
        let pollers = (0..BUSY).map(|number| {
            let (going, good) = (Arc::clone(&going), Arc::clone(&good));
            tokio::spawn(visits(going, good, async move || {
                let poll = async {
                    let mut session = Pop3::login(pop3, &polled(number), PASSWORD).await?;
                    session.stat().await?;
                    session.quit().await
                };
                poll.await.is_ok_and(|reply| reply.starts_with("+OK"))
            }))
        });
        let (senders, pollers) = (senders.collect(), pollers.collect());
        Self { going, good, senders, pollers }
    }

    fn is_going(&self) -> bool {
        self.good.load(Ordering::Relaxed) > 20 * BUSY
    }

    async fn end(self, cut: Instant) -> anyhow::Result<Noticed> {
        self.going.store(false, Ordering::Relaxed);
        let mut noticed = Noticed::default();
        for sender in self.senders {
            let new = noticed.take(cut, &sender.await?)?;
            noticed.new_smtp = noticed.new_smtp.max(new);
        }
        for poller in self.pollers {
            let new = noticed.take(cut, &poller.await?)?;
            noticed.new_pop3 = noticed.new_pop3.max(new);
        }
        Ok(noticed)
    }
}

impl Noticed {
    /// Adds what one of them met; from the cut to the end of the first good session that began after it.
    fn take(&mut self, cut: Instant, visits: &[Visit]) -> anyhow::Result<Duration> {
        let after: Vec<_> = visits.iter().filter(|visit| visit.begun >= cut).collect();
        let first = after.iter().find(|visit| visit.good);
        let Some(first) = first else { anyhow::bail!("no new session ever worked") };
        self.visits += visits.len();
        self.failed += visits.iter().filter(|visit| !visit.good).count();
        for visit in after.iter().filter(|visit| visit.begun >= cut + WITHIN) {
            self.slowest = self.slowest.max(visit.took);
            self.failed_later += usize::from(!visit.good);
        }
        Ok(first.begun + first.took - cut)
    }
}

async fn visits(
    going: Arc<AtomicBool>,
    good: Arc<AtomicUsize>,
    mut visit: impl AsyncFnMut() -> bool,
) -> Vec<Visit> {
    let mut visits = Vec::new();
    while going.load(Ordering::Relaxed) {
        let begun = Instant::now();
        let is_good = visit().await;
        good.fetch_add(usize::from(is_good), Ordering::Relaxed);
        visits.push(Visit { begun, took: begun.elapsed(), good: is_good });
        tokio::time::sleep(PAUSE).await;
    }
    visits
}
