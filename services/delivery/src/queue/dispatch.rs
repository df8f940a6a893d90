//! The one loop that decides which rows are worked on: joins rows into jobs, keeps the limits, polls for what is due
//! when there is room, renews leases, and waits for the other jobs of a message before its sender is told.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use postern_mail::MessageId;
use postern_mesh::shutdown::Shutdown;
use tokio::{
    sync::{Notify, mpsc},
    task::{Id, JoinError, JoinSet},
    time::{Instant, MissedTickBehavior, interval, sleep_until},
};

use super::{
    Bounces, LeasedRow, QueuedMessage,
    bounces::FailedRow,
    leases::JobControl,
    worker::{Job, JobReport, Worker},
};
use crate::outbound::{Destination, RECIPIENTS_MAX};

/// Pause between polls that find nothing: from the first to the last, doubled each time.
const POLL_PAUSE_MIN: Duration = Duration::from_millis(250);
const POLL_PAUSE_MAX: Duration = Duration::from_secs(5);
/// Rows of one poll.
const POLL_ROWS_MAX: usize = 200;
/// Jobs that wait for a free connection. Further offers are left to the poll.
const PENDING_MAX: usize = 2000;
/// Waiting jobs that keep their message in memory; later ones read it again.
const PENDING_WITH_MESSAGE_MAX: usize = 200;
/// A third of a lease's life.
const RENEW_EVERY: Duration = Duration::from_secs(20);
const CLOSE_IDLE_EVERY: Duration = Duration::from_secs(2);
/// Rows that are held grow old slowly.
const LOOK_AT_HELD_EVERY: Duration = Duration::from_secs(60);
/// At the end, writing down what was done may take so long.
const FLUSH_GRACE: Duration = Duration::from_secs(3);
/// At the end, jobs that are under way may take so long.
const LAST_GRACE: Duration = Duration::from_secs(10);

pub(super) struct Dispatcher {
    pub(super) worker: Arc<Worker>,
    pub(super) bounces: Arc<Bounces>,
    /// Jobs at once: in all, and to one domain.
    pub(super) limits: (usize, usize),
    pub(super) wake: Arc<Notify>,
}

/// What a task of the loop came to.
enum Happened {
    Worked(JobReport),
    Polled { rows: Vec<LeasedRow>, full: bool },
    Nothing,
}

/// What is known of a task from outside, should it die.
struct Task {
    destination: Destination,
    message_id: MessageId,
    row_ids: Vec<i64>,
}

/// A message with jobs that are not over.
#[derive(Default)]
struct OpenMessage {
    jobs: usize,
    message: Option<Arc<QueuedMessage>>,
    failed: Vec<FailedRow>,
}

struct Loop {
    parts: Dispatcher,
    pending: VecDeque<Job>,
    tasks: JoinSet<Happened>,
    jobs: HashMap<Id, Task>,
    per_destination: HashMap<Destination, usize>,
    open: HashMap<MessageId, OpenMessage>,
    poll: Poll,
}

struct Poll {
    under_way: Option<Id>,
    again: bool,
    next: Instant,
    pause: Duration,
    held_next: Instant,
}

impl Dispatcher {
    /// Runs until shutdown, then lets jobs that are under way end and gives the others back.
    pub(super) async fn run(self, mut offered: mpsc::Receiver<Vec<LeasedRow>>, shutdown: Shutdown) {
        let now = Instant::now();
        let wake = Arc::clone(&self.wake);
        let mut state = Loop {
            parts: self,
            pending: VecDeque::new(),
            tasks: JoinSet::new(),
            jobs: HashMap::new(),
            per_destination: HashMap::new(),
            open: HashMap::new(),
            poll: Poll { under_way: None, again: false, next: now, pause: POLL_PAUSE_MIN, held_next: now },
        };
        let mut renewal = ticks(RENEW_EVERY);
        let mut closing = ticks(CLOSE_IDLE_EVERY);
        loop {
            state.start_jobs();
            state.start_poll();
            tokio::select! {
                () = shutdown.triggered() => break,
                Some(rows) = offered.recv() => state.take_up(rows),
                Some(ended) = state.tasks.join_next_with_id() => state.task_ended(ended),
                () = wake.notified() => state.poll_now(),
                () = sleep_until(state.poll.next), if state.may_poll() => {}
                _ = renewal.tick() => state.renew(),
                _ = closing.tick() => state.close_idle(),
            }
        }
        state.wind_up().await;
    }
}

fn ticks(every: Duration) -> tokio::time::Interval {
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

impl Loop {
    fn limit(&self, destination: &Destination) -> usize {
        let (total, per_domain) = self.parts.limits;
        // All outside mail goes to the smarthost: its own limit is the total.
        if *destination == Destination::Smarthost { total } else { per_domain }
    }

    /// Jobs that could start now. What is pending while there is room waits for a busy domain, and the poll leaves
    /// busy domains out: a slow one cannot keep the others' rows from being looked at.
    fn room(&self) -> usize {
        self.parts.limits.0.saturating_sub(self.jobs.len())
    }

    fn may_poll(&self) -> bool {
        self.poll.under_way.is_none() && self.room() > 0
    }

    fn poll_now(&mut self) {
        self.poll.again = true;
        self.poll.pause = POLL_PAUSE_MIN;
        self.poll.next = Instant::now();
    }

    /// Joins rows into jobs: one message, one destination, one kind of copy.
    fn take_up(&mut self, rows: Vec<LeasedRow>) {
        let mut jobs: Vec<Job> = Vec::new();
        for mut row in rows {
            if self.pending.len() >= PENDING_MAX || !self.parts.worker.leases.begin(row.id) {
                continue;
            }
            let destination = self.parts.worker.outbound.destination(row.recipient.domain());
            let message = row.message.take();
            let fits = |job: &&mut Job| {
                job.message_id == row.message_id
                    && job.destination == destination
                    && job.via == row.via
                    && job.held == row.held
                    && job.rows.len() < RECIPIENTS_MAX
            };
            match jobs.iter_mut().rev().find(fits) {
                Some(job) => job.rows.push(row),
                None => jobs.push(Job {
                    destination,
                    message_id: row.message_id,
                    message: message.filter(|_| self.pending.len() < PENDING_WITH_MESSAGE_MAX),
                    via: row.via.clone(),
                    held: row.held,
                    rows: vec![row],
                }),
            }
        }
        for job in jobs {
            self.open.entry(job.message_id).or_default().jobs += 1;
            self.pending.push_back(job);
        }
    }

    /// Starts what the limits allow, oldest first.
    fn start_jobs(&mut self) {
        let mut index = 0;
        while self.jobs.len() < self.parts.limits.0 {
            let Some(job) = self.pending.get(index) else { break };
            let running = self.per_destination.get(&job.destination).copied().unwrap_or_default();
            if running >= self.limit(&job.destination) {
                index += 1;
                continue;
            }
            if let Some(job) = self.pending.remove(index) {
                self.start_job(job);
            }
        }
    }

    fn start_job(&mut self, job: Job) {
        *self.per_destination.entry(job.destination.clone()).or_default() += 1;
        let control = Arc::new(JobControl::default());
        let worker = Arc::clone(&self.parts.worker);
        let row_ids: Vec<i64> = job.rows.iter().map(|row| row.id).collect();
        worker.leases.set_control(row_ids.iter().copied(), &control);
        let task = Task { destination: job.destination.clone(), message_id: job.message_id, row_ids };
        let handle = self.tasks.spawn(async move { Happened::Worked(worker.work(job, &control).await) });
        self.jobs.insert(handle.id(), task);
    }

    fn start_poll(&mut self) {
        if !self.may_poll() || Instant::now() < self.poll.next {
            return;
        }
        self.poll.again = false;
        let count = self.room().min(POLL_ROWS_MAX);
        let held_too = Instant::now() >= self.poll.held_next;
        if held_too {
            self.poll.held_next = Instant::now() + LOOK_AT_HELD_EVERY;
        }
        let worker = Arc::clone(&self.parts.worker);
        let busy = self.busy_domains();
        let task = self.tasks.spawn(async move { poll(&worker, count, &busy, held_too).await });
        self.poll.under_way = Some(task.id());
    }

    /// Domains with as many jobs as they may have: their rows are left to whoever has room.
    fn busy_domains(&self) -> Vec<String> {
        let mut load: HashMap<&Destination, usize> = HashMap::new();
        for (destination, running) in &self.per_destination {
            *load.entry(destination).or_default() += running;
        }
        for job in &self.pending {
            *load.entry(&job.destination).or_default() += 1;
        }
        let is_busy = |(destination, load): (&Destination, usize)| match destination {
            Destination::Domain(domain) if load >= self.limit(destination) => Some(domain.to_string()),
            _ => None,
        };
        load.into_iter().filter_map(is_busy).collect()
    }

    fn task_ended(&mut self, ended: Result<(Id, Happened), JoinError>) {
        let (id, happened) = match ended {
            Ok(ended) => ended,
            Err(error) => {
                tracing::error!(%error, "a task of the queue died");
                (error.id(), Happened::Nothing)
            }
        };
        match (self.jobs.remove(&id), happened) {
            (Some(task), Happened::Worked(report)) => self.job_ended(&task, report),
            (Some(task), _) => {
                // Its rows are due again when their lease ends.
                self.parts.worker.leases.end(task.row_ids.iter().copied());
                self.job_ended(&task, JobReport::default());
            }
            (None, Happened::Polled { rows, full }) => self.polled(rows, full),
            (None, _) if self.poll.under_way == Some(id) => self.polled(Vec::new(), false),
            (None, _) => {}
        }
    }

    fn polled(&mut self, rows: Vec<LeasedRow>, full: bool) {
        self.poll.under_way = None;
        let found = !rows.is_empty();
        self.take_up(rows);
        if full || self.poll.again {
            self.poll.next = Instant::now();
            self.poll.pause = POLL_PAUSE_MIN;
            return;
        }
        self.poll.pause = if found { POLL_PAUSE_MIN } else { (self.poll.pause * 2).min(POLL_PAUSE_MAX) };
        self.poll.next = Instant::now() + self.poll.pause;
    }

    fn job_ended(&mut self, task: &Task, report: JobReport) {
        if let Some(running) = self.per_destination.get_mut(&task.destination) {
            *running = running.saturating_sub(1);
            if *running == 0 {
                self.per_destination.remove(&task.destination);
            }
        }
        let Some(open) = self.open.get_mut(&task.message_id) else { return };
        open.jobs = open.jobs.saturating_sub(1);
        open.failed.extend(report.failed);
        open.message = report.message.or(open.message.take());
        if open.jobs > 0 {
            return;
        }
        // The last job of this message: its sender hears of all failures at once.
        if let Some(OpenMessage { message: Some(message), failed, .. }) = self.open.remove(&task.message_id)
            && !failed.is_empty()
        {
            let bounces = Arc::clone(&self.parts.bounces);
            self.tasks.spawn(async move {
                bounces.end(&message, failed).await;
                Happened::Nothing
            });
        }
    }

    fn renew(&mut self) {
        let worker = Arc::clone(&self.parts.worker);
        self.tasks.spawn(async move {
            renew(&worker).await;
            Happened::Nothing
        });
    }

    fn close_idle(&mut self) {
        let worker = Arc::clone(&self.parts.worker);
        self.tasks.spawn(async move {
            worker.outbound.close_idle().await;
            Happened::Nothing
        });
    }

    /// Shut-down: nothing new, what is under way may end, the rest is given back.
    async fn wind_up(mut self) {
        let waiting: Vec<i64> = self.pending.drain(..).flat_map(|job| job.rows).map(|row| row.id).collect();
        self.give_back(&waiting).await;
        let deadline = Instant::now() + LAST_GRACE;
        while let Ok(Some(ended)) = tokio::time::timeout_at(deadline, self.tasks.join_next_with_id()).await {
            if let Ok((_, Happened::Polled { rows, .. })) = &ended {
                let taken: Vec<i64> = rows.iter().map(|row| row.id).collect();
                self.give_back(&taken).await;
            } else {
                self.task_ended(ended);
            }
        }
        let unfinished: Vec<i64> = self.jobs.values().flat_map(|task| task.row_ids.iter().copied()).collect();
        // Those whose end of data was sent stay leased: their fate is open until the lease ends.
        let in_doubt = self.parts.worker.leases.stop(&unfinished);
        let free: Vec<i64> = unfinished.into_iter().filter(|id| !in_doubt.contains(id)).collect();
        self.give_back(&free).await;
        // What hosts took must be known before this process is gone, else it would be sent again.
        if !self.parts.worker.recorder.flush(FLUSH_GRACE).await {
            tracing::warn!("going down with attempts that are not written down; some mail may be sent twice");
        }
    }

    async fn give_back(&self, ids: &[i64]) {
        if ids.is_empty() {
            return;
        }
        self.parts.worker.leases.end(ids.iter().copied());
        if let Err(error) = self.parts.worker.store.release(ids).await {
            tracing::warn!(%error, "leases cannot be given back; they run out by themselves");
        }
    }
}

async fn poll(worker: &Worker, count: usize, busy: &[String], held_too: bool) -> Happened {
    let take = async {
        worker.store.reap().await?;
        let mut rows = worker.store.take_due(i64::try_from(count).unwrap_or(i64::MAX), busy).await?;
        let full = rows.len() >= count;
        if held_too {
            rows.extend(worker.store.take_expired_held().await?);
        }
        Ok::<_, sqlx::Error>((rows, full))
    };
    match take.await {
        Ok((rows, full)) => Happened::Polled { rows, full },
        Err(error) => {
            tracing::warn!(%error, "the queue cannot be polled");
            Happened::Polled { rows: Vec::new(), full: false }
        }
    }
}

/// Renews all leases; work on rows that are not ours any more is stopped.
async fn renew(worker: &Worker) {
    let ids = worker.leases.ids();
    if ids.is_empty() {
        return;
    }
    match worker.store.renew(&ids).await {
        Ok(renewed) => {
            let renewed: std::collections::HashSet<i64> = renewed.into_iter().collect();
            let lost: Vec<i64> =
                ids.into_iter().filter(|id| !renewed.contains(id) && worker.leases.contains(*id)).collect();
            if !lost.is_empty() {
                let in_doubt = worker.leases.stop(&lost);
                tracing::warn!(lost = lost.len(), in_doubt = in_doubt.len(), "leases were lost");
            }
        }
        // Nobody else can take them either while the database is away.
        Err(error) => tracing::warn!(%error, "leases cannot be renewed"),
    }
}
