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
    lanes::{GivenBack, Lane, Lanes, Limits, fits},
    leases::JobControl,
    overdue,
    poll::Poll,
    store::{Unworked, Wanted},
    upkeep::{self, Found},
    worker::{Job, JobReport, Worker},
};
use crate::accept::QueueClass;

/// Rows of one poll.
const POLL_ROWS_MAX: usize = 200;
/// Offers that are taken up together.
const OFFERS_AT_ONCE: usize = 256;
const CLOSE_IDLE_EVERY: Duration = Duration::from_secs(2);
/// Rows behind destinations that fail grow old slowly.
const LOOK_AT_OVERDUE_EVERY: Duration = Duration::from_secs(5);
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
    /// Rows whose time is over, and when their leases were asked for.
    Overdue(Vec<LeasedRow>, Instant),
    Nothing,
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
    /// Rows that end with what a task tells their sender.
    telling: HashMap<Id, Vec<i64>>,
    open: HashMap<MessageId, OpenMessage>,
    poll: Poll,
    /// To be given back, with the next statement that does that.
    unworked: Vec<Unworked>,
    giving_back: Option<Id>,
    looking_at_overdue: Option<Id>,
}

impl Dispatcher {
    /// Runs until shutdown, then lets jobs that are under way end and gives the others back.
    pub(super) async fn run(self, mut offered: mpsc::Receiver<Vec<LeasedRow>>, shutdown: Shutdown) {
        let wake = Arc::clone(&self.wake);
        let mut state = Loop {
            lanes: Lanes::new(self.limits),
            parts: self,
            tasks: JoinSet::new(),
            jobs: HashMap::new(),
            telling: HashMap::new(),
            open: HashMap::new(),
            poll: Poll::first(Instant::now()),
            unworked: Vec::new(),
            giving_back: None,
            looking_at_overdue: None,
        };
        let mut offers = Vec::with_capacity(OFFERS_AT_ONCE);
        let mut renewal = ticks(upkeep::RENEW_EVERY);
        let mut closing = ticks(CLOSE_IDLE_EVERY);
        let mut overdue = ticks(LOOK_AT_OVERDUE_EVERY);
        loop {
            state.start_jobs();
            state.start_poll();
            state.start_giving_back();
            let may_poll = state.may_poll();
            let now = Instant::now();
            let next_poll = state.poll.next(|| state.lanes.copies_room(now) > 0);
            let release = state.lanes.next_release(now, may_poll);
            tokio::select! {
                () = shutdown.triggered() => break,
                1.. = offered.recv_many(&mut offers, OFFERS_AT_ONCE) => {
                    state.take_up(offers.drain(..).flatten().collect(), Instant::now());
                }
                Some(ended) = state.tasks.join_next_with_id() => state.task_ended(ended),
                () = wake.notified() => state.poll.at_once(Instant::now()),
                () = sleep_until(next_poll), if may_poll => {}
                () = sleep_until(release.unwrap_or_else(Instant::now)), if release.is_some() => {}
                _ = renewal.tick() => state.renew(),
                _ = closing.tick() => state.close_idle(),
                _ = overdue.tick() => state.look_at_overdue(),
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
        let errands = self.lanes.errands_room() > 0 || self.lanes.posts_room() > 0;
        self.poll.under_way.is_none() && (self.lanes.room() > 0 || errands)
    }

    /// Joins rows into jobs: one message, one destination, one kind of copy. Those that have no place here are given back.
    fn take_up(&mut self, rows: Vec<LeasedRow>, leased: Instant) {
        let now = Instant::now();
        let mut jobs: Vec<Job> = Vec::new();
        for mut row in rows {
            let Some(ticket) =
                self.parts.worker.leases.begin(row.id, row.class == QueueClass::ListCopy, leased)
            else {
                continue;
            };
            row.ticket = ticket;
            let lane = self.parts.worker.lane_of(&row);
            let message = row.message.take();
            match jobs.iter_mut().rev().find(|job| fits(job, &row, &lane)) {
                Some(job) => job.rows.push(row),
                None => jobs.push(Job {
                    lane,
                    customer: row.customer.clone().unwrap_or_default(),
                    message_id: row.message_id,
                    message: message.filter(|_| self.lanes.keeps_messages()),
                    via: row.via.clone(),
                    rows: vec![row],
                }),
            }
        }
        for job in jobs {
            if !job.lane.is_errand() {
                self.open.entry(job.message_id).or_default().jobs += 1;
            }
            let given_back = self.lanes.enter(job, now);
            self.give_back(given_back);
        }
    }

    /// Jobs that did not begin go back to Postgres, where others find them.
    fn give_back(&mut self, jobs: impl IntoIterator<Item = GivenBack>) {
        for GivenBack { mut job, pause } in jobs {
            self.parts.worker.leases.give_up(&mut job.rows);
            self.unworked.extend(job.rows.iter().map(|row| Unworked { id: row.id, pause }));
            if !job.lane.is_errand() {
                self.job_closed(job.message_id, None, Vec::new());
            }
        }
    }

    fn start_giving_back(&mut self) {
        if self.giving_back.is_some() || self.unworked.is_empty() {
            return;
        }
        let rows = std::mem::take(&mut self.unworked);
        metrics::counter!("postern_queue_rows_given_back_total").increment(rows.len() as u64);
        let worker = Arc::clone(&self.parts.worker);
        let task = self.tasks.spawn(async move {
            upkeep::give_back(&worker, &rows).await;
            Happened::Nothing
        });
        self.giving_back = Some(task.id());
    }

    /// Starts what the limits allow.
    fn start_jobs(&mut self) {
        while let Some(job) = self.lanes.next(Instant::now()) {
            self.start_job(job);
        }
    }

    fn start_job(&mut self, mut job: Job) {
        let control = Arc::new(JobControl::default());
        let worker = Arc::clone(&self.parts.worker);
        worker.leases.start(&mut job.rows, &control);
        let task = Task {
            lane: job.lane.clone(),
            customer: job.customer.clone(),
            message_id: job.message_id,
            row_ids: job.rows.iter().map(|row| row.id).collect(),
        };
        // All of it was held, removed or lost while it waited.
        if task.row_ids.is_empty() {
            return self.job_ended(&task, JobReport::default());
        }
        let handle = self.tasks.spawn(async move { Happened::Worked(worker.work(job, &control).await) });
        self.jobs.insert(handle.id(), task);
    }

    fn start_poll(&mut self) {
        if !self.may_poll() {
            return;
        }
        let now = Instant::now();
        let more = self.poll.more_mail && self.lanes.room() > 0
            || self.poll.wants_copies(now) && self.lanes.copies_room(now) > 0
            || self.lanes.wants_left(now);
        if !more && !self.poll.is_due(now) {
            return;
        }
        let wanted = Wanted {
            rows: self.lanes.room().min(POLL_ROWS_MAX),
            copies: self.lanes.copies_room(now).min(POLL_ROWS_MAX),
            posts: self.lanes.posts_room(),
            errands: self.lanes.errands_room(),
            domains: self.lanes.wanted_of_domains(now),
            copies_domains: self.lanes.wanted_copies_of_domains(now),
            of_each_domain: if self.parts.worker.outbound.has_smarthost() {
                usize::MAX
            } else {
                self.lanes.places_of_new()
            },
            busy_customers: self.lanes.busy_customers(),
            busy_with_copies: self.lanes.busy_with_copies(),
            posting_customers: self.lanes.posting_customers(),
        };
        let held_too = self.poll.begins(&wanted, now);
        let worker = Arc::clone(&self.parts.worker);
        let task =
            self.tasks.spawn(async move { Happened::Polled(upkeep::poll(&worker, wanted, held_too).await) });
        self.poll.under_way = Some(task.id());
    }

    fn task_ended(&mut self, ended: Result<(Id, Happened), JoinError>) {
        let (id, happened) = match ended {
            Ok(ended) => ended,
            Err(error) => {
                tracing::error!(%error, "a task of the queue died");
                // As those of a job: due again when their leases end.
                self.parts.worker.leases.end(self.telling.remove(&error.id()).into_iter().flatten());
                (error.id(), Happened::Nothing)
            }
        };
        self.telling.remove(&id);
        for beside in [&mut self.giving_back, &mut self.looking_at_overdue] {
            if *beside == Some(id) {
                *beside = None;
            }
        }
        match (self.jobs.remove(&id), happened) {
            (Some(task), Happened::Worked(report)) => self.job_ended(&task, report),
            (Some(task), _) => {
                // Its rows are due again when their lease ends.
                self.parts.worker.leases.end(task.row_ids.iter().copied());
                self.job_ended(&task, JobReport::default());
            }
            (None, Happened::Polled(found)) => self.polled(found),
            (None, Happened::Overdue(rows, leased)) => self.take_up(rows, leased),
            (None, _) if self.poll.under_way == Some(id) => self.polled(Found::nothing()),
            (None, _) => {}
        }
    }

    fn polled(&mut self, found: Found) {
        let exhausted = self.exhausted(&found);
        let no_posts = found.rows.iter().all(|row| row.class != QueueClass::ListPost);
        let now = Instant::now();
        if found.wanted.posts > 0 && no_posts && self.lanes.begin_turns() {
            self.poll.at_once(now);
        }
        self.poll.ended(&found, now);
        self.take_up(found.rows, found.leased);
        exhausted.into_iter().for_each(|lane| self.lanes.leave(lane));
    }

    /// Lanes of which a poll brought as much as there was room for.
    fn exhausted(&self, found: &Found) -> Vec<Lane> {
        let mut taken: HashMap<Lane, usize> = HashMap::new();
        for row in &found.rows {
            *taken.entry(self.parts.worker.lane_of(row)).or_default() += 1;
        }
        taken.retain(|lane, count| *count >= found.wanted.room_of(lane));
        taken.into_keys().collect()
    }

    fn job_ended(&mut self, task: &Task, mut report: JobReport) {
        if task.lane == Lane::Post {
            // Posts of its customer, and what is left of this one, stand in Postgres.
            self.poll.at_once(Instant::now());
        }
        let given_back = self.lanes.ended(&task.lane, &task.customer, report.manners, Instant::now());
        self.give_back(given_back);
        self.tell_of(&mut report);
        if task.lane.is_errand() {
            self.tell(report.message, report.failed);
        } else {
            self.job_closed(task.message_id, report.message, report.failed);
        }
    }

    /// Nothing more becomes of a job here. With the last one of a message its sender hears of all failures at once.
    fn job_closed(&mut self, id: MessageId, message: Option<Arc<QueuedMessage>>, failed: Vec<FatedRow>) {
        let Some(open) = self.open.get_mut(&id) else { return };
        open.jobs = open.jobs.saturating_sub(1);
        open.failed.extend(failed);
        open.message = message.or(open.message.take());
        if open.jobs > 0 {
            return;
        }
        if let Some(OpenMessage { message, failed, .. }) = self.open.remove(&id) {
            self.tell(message, failed);
        }
    }

    fn tell(&mut self, message: Option<Arc<QueuedMessage>>, failed: Vec<FatedRow>) {
        let Some(message) = message.filter(|_| !failed.is_empty()) else { return };
        let bounces = Arc::clone(&self.parts.bounces);
        let trace = report_trace(&message);
        let ids = failed.iter().map(|row| row.id).collect();
        let telling = async move {
            bounces.end(&message, failed).await;
            Happened::Nothing
        };
        let task = self.tasks.spawn(telling.instrument(trace));
        self.telling.insert(task.id(), ids);
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
            upkeep::renew(&worker).await;
            Happened::Nothing
        });
    }

    fn look_at_overdue(&mut self) {
        let failing = self.lanes.failing_domains();
        if failing.is_empty() || self.looking_at_overdue.is_some() {
            return;
        }
        let (worker, bounces) = (Arc::clone(&self.parts.worker), Arc::clone(&self.parts.bounces));
        let task = self.tasks.spawn(async move {
            let (rows, leased) = overdue::look(&worker, &bounces, failing).await;
            Happened::Overdue(rows, leased)
        });
        self.looking_at_overdue = Some(task.id());
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
        let waiting = self.lanes.drain().into_iter().flat_map(|job| job.rows).collect();
        self.give_back_now(waiting).await;
        let deadline = Instant::now() + LAST_GRACE;
        while let Ok(Some(ended)) = tokio::time::timeout_at(deadline, self.tasks.join_next_with_id()).await {
            match ended {
                Ok((_, Happened::Polled(found))) => self.give_back_now(found.rows).await,
                Ok((_, Happened::Overdue(rows, _))) => self.give_back_now(rows).await,
                ended => self.task_ended(ended),
            }
        }
        let unfinished: Vec<i64> = self.jobs.values().flat_map(|task| task.row_ids.iter().copied()).collect();
        // Those whose end of data was sent stay leased: their fate is open until the lease ends.
        let in_doubt = self.parts.worker.leases.stop(&unfinished);
        let free = unfinished.into_iter().filter(|id| !in_doubt.contains(id));
        self.unworked.extend(free.map(|id| Unworked { id, pause: Duration::ZERO }));
        self.give_back_now(Vec::new()).await;
        // What hosts took must be known before this process is gone, else it would be sent again.
        if !self.parts.worker.recorder.flush(FLUSH_GRACE).await {
            tracing::warn!("going down with attempts that are not written down; some mail may be sent twice");
        }
    }

    async fn give_back_now(&mut self, rows: Vec<LeasedRow>) {
        let mut unworked = std::mem::take(&mut self.unworked);
        unworked.extend(rows.iter().map(|row| Unworked { id: row.id, pause: Duration::ZERO }));
        if unworked.is_empty() {
            return;
        }
        self.parts.worker.leases.end(unworked.iter().map(|row| row.id));
        upkeep::give_back(&self.parts.worker, &unworked).await;
    }
}

/// A report is part of the story of what it is about.
fn report_trace(message: &QueuedMessage) -> Span {
    trace_context::resume(
        message.traceparent.as_deref(),
        || tracing::info_span!(parent: None, "report", otel.name = "report to the sender", queue_id = %message.id),
    )
}
