//! The one loop that decides which rows are worked on: joins rows into jobs, keeps the limits, polls for what is due
//! when there is room, renews leases, and waits for the other jobs of a message before its sender is told.

use std::{collections::HashMap, sync::Arc, time::Duration};

use postern_mail::MessageId;
use postern_mesh::{shutdown::Shutdown, trace_context};
use tokio::{
    sync::{Notify, mpsc},
    task::{Id, JoinError, JoinSet},
    time::{Instant, MissedTickBehavior, interval, sleep_until},
};
use tracing::{Instrument as _, Span};

use super::{
    Bounces, LeasedRow, QueuedMessage,
    bounces::FatedRow,
    lanes::{Lane, Lanes, Limits, fits},
    leases::JobControl,
    store::Wanted,
    worker::{Job, JobReport, Worker},
};
use crate::store::in_time;

/// Pause between polls that find nothing: from the first to the last, doubled each time.
const POLL_PAUSE_MIN: Duration = Duration::from_millis(250);
const POLL_PAUSE_MAX: Duration = Duration::from_secs(5);
/// Rows of one poll.
const POLL_ROWS_MAX: usize = 200;
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
    pub(super) limits: Limits,
    pub(super) wake: Arc<Notify>,
}

/// What a task of the loop came to.
enum Happened {
    Worked(JobReport),
    Polled(Found),
    Nothing,
}

/// What a poll came to.
#[derive(Default)]
struct Found {
    rows: Vec<LeasedRow>,
    /// There may be more of what there was room for.
    full: bool,
    /// There may be more copies of lists.
    more_copies: bool,
}

/// What is known of a task from outside, should it die.
struct Task {
    lane: Lane,
    customer: String,
    message_id: MessageId,
    row_ids: Vec<i64>,
}

/// A message with jobs that are not over.
#[derive(Default)]
struct OpenMessage {
    jobs: usize,
    message: Option<Arc<QueuedMessage>>,
    failed: Vec<FatedRow>,
}

struct Loop {
    parts: Dispatcher,
    lanes: Lanes,
    tasks: JoinSet<Happened>,
    jobs: HashMap<Id, Task>,
    open: HashMap<MessageId, OpenMessage>,
    poll: Poll,
}

struct Poll {
    under_way: Option<Id>,
    /// Copies of lists wait for room here, as the last poll that asked for some found.
    more_copies: bool,
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
            lanes: Lanes::new(self.limits),
            parts: self,
            tasks: JoinSet::new(),
            jobs: HashMap::new(),
            open: HashMap::new(),
            poll: Poll {
                under_way: None,
                more_copies: false,
                again: false,
                next: now,
                pause: POLL_PAUSE_MIN,
                held_next: now,
            },
        };
        let mut renewal = ticks(RENEW_EVERY);
        let mut closing = ticks(CLOSE_IDLE_EVERY);
        loop {
            state.start_jobs();
            state.start_poll();
            let release = state.lanes.next_release(Instant::now());
            tokio::select! {
                () = shutdown.triggered() => break,
                Some(rows) = offered.recv() => state.take_up(rows),
                Some(ended) = state.tasks.join_next_with_id() => state.task_ended(ended),
                () = wake.notified() => state.poll_now(),
                () = sleep_until(state.poll.next), if state.may_poll() => {}
                () = sleep_until(release.unwrap_or_else(Instant::now)), if release.is_some() => {}
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
    fn may_poll(&self) -> bool {
        self.poll.under_way.is_none() && (self.lanes.room() > 0 || self.lanes.errands_room() > 0)
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
            let customer = row.customer.clone().unwrap_or_default();
            if self.lanes.is_full_for(&customer) || !self.parts.worker.leases.begin(row.id) {
                continue;
            }
            let outbound = &self.parts.worker.outbound;
            let lane = Lane::of(row.class, || outbound.destination(row.recipient.domain()));
            let message = row.message.take();
            match jobs.iter_mut().rev().find(|job| fits(job, &row, &lane)) {
                Some(job) => job.rows.push(row),
                None => jobs.push(Job {
                    lane,
                    customer,
                    message_id: row.message_id,
                    message: message.filter(|_| self.lanes.keeps_messages()),
                    via: row.via.clone(),
                    held: row.held,
                    rows: vec![row],
                }),
            }
        }
        for job in jobs {
            // An errand may take long; whoever failed meanwhile is told without it.
            if job.lane != Lane::Errand {
                self.open.entry(job.message_id).or_default().jobs += 1;
            }
            self.lanes.push(job);
        }
    }

    /// Starts what the limits allow.
    fn start_jobs(&mut self) {
        while let Some(job) = self.lanes.next(Instant::now()) {
            self.start_job(job);
        }
    }

    fn start_job(&mut self, job: Job) {
        let control = Arc::new(JobControl::default());
        let worker = Arc::clone(&self.parts.worker);
        let row_ids: Vec<i64> = job.rows.iter().map(|row| row.id).collect();
        worker.leases.set_control(row_ids.iter().copied(), &control);
        let task = Task {
            lane: job.lane.clone(),
            customer: job.customer.clone(),
            message_id: job.message_id,
            row_ids,
        };
        let handle = self.tasks.spawn(async move { Happened::Worked(worker.work(job, &control).await) });
        self.jobs.insert(handle.id(), task);
    }

    fn start_poll(&mut self) {
        let copies_due = self.poll.more_copies && self.lanes.copies_room() > 0;
        if !self.may_poll() || !copies_due && Instant::now() < self.poll.next {
            return;
        }
        self.poll.again = false;
        let wanted = Wanted {
            rows: self.lanes.room().min(POLL_ROWS_MAX),
            copies: self.lanes.copies_room().min(POLL_ROWS_MAX),
            errands: self.lanes.errands_room(),
            busy_domains: self.lanes.busy_domains(Instant::now()),
            busy_customers: self.lanes.busy_customers(),
        };
        self.poll.more_copies &= wanted.copies == 0;
        let held_too = Instant::now() >= self.poll.held_next;
        if held_too {
            self.poll.held_next = Instant::now() + LOOK_AT_HELD_EVERY;
        }
        let worker = Arc::clone(&self.parts.worker);
        let task = self.tasks.spawn(async move { poll(&worker, &wanted, held_too).await });
        self.poll.under_way = Some(task.id());
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
            (None, Happened::Polled(found)) => self.polled(found),
            (None, _) if self.poll.under_way == Some(id) => self.polled(Found::default()),
            (None, _) => {}
        }
    }

    fn polled(&mut self, found: Found) {
        self.poll.under_way = None;
        self.poll.more_copies |= found.more_copies;
        let found_some = !found.rows.is_empty();
        self.take_up(found.rows);
        if found.full || self.poll.again {
            self.poll.next = Instant::now();
            self.poll.pause = POLL_PAUSE_MIN;
            return;
        }
        self.poll.pause = if found_some { POLL_PAUSE_MIN } else { (self.poll.pause * 2).min(POLL_PAUSE_MAX) };
        self.poll.next = Instant::now() + self.poll.pause;
    }

    fn job_ended(&mut self, task: &Task, mut report: JobReport) {
        self.lanes.ended(&task.lane, &task.customer, report.manners, Instant::now());
        self.tell_of(&mut report);
        if task.lane == Lane::Errand {
            return self.tell(report.message, report.failed);
        }
        let Some(open) = self.open.get_mut(&task.message_id) else { return };
        open.jobs = open.jobs.saturating_sub(1);
        open.failed.extend(report.failed);
        open.message = report.message.or(open.message.take());
        if open.jobs > 0 {
            return;
        }
        // The last job of this message: its sender hears of all failures at once.
        if let Some(OpenMessage { message, failed, .. }) = self.open.remove(&task.message_id) {
            self.tell(message, failed);
        }
    }

    fn tell(&mut self, message: Option<Arc<QueuedMessage>>, failed: Vec<FatedRow>) {
        let Some(message) = message.filter(|_| !failed.is_empty()) else { return };
        let bounces = Arc::clone(&self.parts.bounces);
        let trace = report_trace(&message);
        let telling = async move {
            bounces.end(&message, failed).await;
            Happened::Nothing
        };
        self.tasks.spawn(telling.instrument(trace));
    }

    /// What is told at once: of successes and delays a sender need not hear together with failures.
    fn tell_of(&mut self, report: &mut JobReport) {
        let (handed_on, delayed) =
            (std::mem::take(&mut report.handed_on), std::mem::take(&mut report.delayed));
        let Some(message) = &report.message else { return };
        if handed_on.is_empty() && delayed.is_empty() {
            return;
        }
        let (bounces, message) = (Arc::clone(&self.parts.bounces), Arc::clone(message));
        let trace = report_trace(&message);
        let telling = async move {
            bounces.tell_success(&message, handed_on).await;
            bounces.tell_delay(&message, delayed).await;
            Happened::Nothing
        };
        self.tasks.spawn(telling.instrument(trace));
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
        let waiting: Vec<i64> =
            self.lanes.drain().into_iter().flat_map(|job| job.rows).map(|row| row.id).collect();
        self.give_back(&waiting).await;
        let deadline = Instant::now() + LAST_GRACE;
        while let Ok(Some(ended)) = tokio::time::timeout_at(deadline, self.tasks.join_next_with_id()).await {
            if let Ok((_, Happened::Polled(found))) = &ended {
                let taken: Vec<i64> = found.rows.iter().map(|row| row.id).collect();
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

/// A report is part of the story of what it is about.
fn report_trace(message: &QueuedMessage) -> Span {
    trace_context::resume(
        message.traceparent.as_deref(),
        || tracing::info_span!(parent: None, "report", otel.name = "report to the sender", queue_id = %message.id),
    )
}

async fn poll(worker: &Worker, wanted: &Wanted, held_too: bool) -> Happened {
    let take = async {
        worker.store.reap().await?;
        let mut rows = worker.store.take_due(wanted).await?;
        let mail = rows.iter().filter(|row| !row.class.is_errand()).count();
        let full = wanted.rows > 0 && mail >= wanted.rows;
        let mut more_copies = false;
        // Copies of lists have what mail left over.
        let copies = wanted.copies.min(wanted.rows.saturating_sub(mail));
        if copies > 0 {
            let due = worker.store.take_due_copies(copies, wanted).await?;
            more_copies = due.len() >= copies;
            rows.extend(due);
        }
        if held_too {
            rows.extend(worker.store.take_expired_held().await?);
        }
        Ok::<_, sqlx::Error>(Found { rows, full, more_copies })
    };
    match in_time(take).await {
        Ok(found) => Happened::Polled(found),
        Err(error) => {
            tracing::warn!(%error, "the queue cannot be polled");
            Happened::Polled(Found::default())
        }
    }
}

/// Renews all leases; work on rows that are not ours any more is stopped.
async fn renew(worker: &Worker) {
    let ids = worker.leases.ids();
    if ids.is_empty() {
        return;
    }
    match in_time(worker.store.renew(&ids)).await {
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
