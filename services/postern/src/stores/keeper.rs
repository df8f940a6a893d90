//! Children that cannot outlive us.
//!
//! Each child has its own process group (a Ctrl-C at the terminal is for us alone, who stop them in order), and is told by
//! the kernel when its parent dies (`setpriv --pdeathsig`, PR_SET_PDEATHSIG). The parent in that sense is the *thread* that
//! started it, and threads of an async runtime come and go; so one thread that never ends starts them all.

use std::{
    fs::{self, File},
    io,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child as StdChild, Command, Stdio},
    sync::{Mutex, OnceLock, PoisonError, mpsc},
    time::{Duration, Instant},
};

use nix::{errno::Errno, sys::signal::Signal, unistd::Pid};

use super::{binaries, owner::Owner};

/// How often a child is looked at while we wait for it.
const LOOK_PAUSE: Duration = Duration::from_millis(10);
/// A log that grew beyond this is begun anew at the next start, octets.
const LOG_MAX_BYTES: u64 = 16 * 1024 * 1024;

/// A process of ours.
#[derive(Debug)]
pub(super) struct Child {
    inner: StdChild,
}

impl Child {
    /// Starts `program`; it runs as `owner`, writes to `log`, and gets `farewell` when we die.
    pub(super) fn spawn(
        program: &Path,
        arguments: &[String],
        owner: &Owner,
        log: &Path,
        farewell: Signal,
    ) -> io::Result<Self> {
        let mut command = match setpriv() {
            Some(setpriv) => {
                let mut command = Command::new(setpriv);
                command.args(["--pdeathsig", farewell.as_str().trim_start_matches("SIG"), "--"]).arg(program);
                command
            }
            None => Command::new(program),
        };
        let log = open_log(log)?;
        command
            .args(arguments)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("LC_ALL", "C")
            .env("TZ", "UTC")
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .process_group(0);
        owner.dress(&mut command);
        Ok(Self { inner: spawn_from_keeper(command)? })
    }

    pub(super) fn pid(&self) -> u32 {
        self.inner.id()
    }

    /// True once it has ended; it is reaped then.
    pub(super) fn has_ended(&mut self) -> bool {
        !matches!(self.inner.try_wait(), Ok(None))
    }

    /// Sends a signal, unless it has ended (its number may be another process by then).
    pub(super) fn signal(&mut self, kind: Signal) {
        if !self.has_ended() {
            let _ = signal(self.pid(), kind);
        }
    }

    /// Waits for the end, at most `limit`. True when it ended.
    pub(super) async fn ended_within(&mut self, limit: Duration) -> bool {
        let begin = Instant::now();
        while !self.has_ended() {
            if begin.elapsed() > limit {
                return false;
            }
            tokio::time::sleep(LOOK_PAUSE).await;
        }
        true
    }

    /// Each signal in turn, with the time it is given to work; the last resort is SIGKILL.
    pub(super) async fn end(&mut self, steps: &[(Signal, Duration)]) {
        for (kind, limit) in steps {
            self.signal(*kind);
            if self.ended_within(*limit).await {
                return;
            }
        }
        self.signal(Signal::SIGKILL);
        self.ended_within(Duration::from_secs(2)).await;
    }

    /// The same where nobody can await, for `Drop`.
    pub(super) fn end_in_haste(&mut self, kind: Signal, limit: Duration) {
        self.signal(kind);
        let begin = Instant::now();
        while !self.has_ended() {
            if begin.elapsed() > limit {
                let _ = self.inner.kill();
                let _ = self.inner.wait();
                return;
            }
            std::thread::sleep(LOOK_PAUSE);
        }
    }
}

/// Sends a signal to a process.
pub(super) fn signal(pid: u32, kind: Signal) -> Result<(), Errno> {
    let pid = i32::try_from(pid).map_err(|_| Errno::EINVAL)?;
    nix::sys::signal::kill(Pid::from_raw(pid), kind)
}

/// True while a process of this number exists.
pub(super) fn is_alive(pid: u32) -> bool {
    let Ok(pid) = i32::try_from(pid) else { return false };
    !matches!(nix::sys::signal::kill(Pid::from_raw(pid), None), Err(Errno::ESRCH))
}

/// Ends a process that is not our child (one that a killed house left behind), by its number.
pub(super) async fn end_stranger(pid: u32, steps: &[(Signal, Duration)]) {
    for (kind, limit) in steps {
        let _ = signal(pid, *kind);
        let begin = Instant::now();
        while begin.elapsed() < *limit {
            if !is_alive(pid) {
                return;
            }
            tokio::time::sleep(LOOK_PAUSE).await;
        }
    }
}

fn open_log(path: &Path) -> io::Result<File> {
    let too_long = fs::metadata(path).is_ok_and(|m| m.len() > LOG_MAX_BYTES);
    if too_long {
        fs::remove_file(path)?;
    }
    File::options().create(true).append(true).open(path)
}

struct Request {
    command: Command,
    answer: mpsc::Sender<io::Result<StdChild>>,
}

/// Hands the command to the thread that never ends.
fn spawn_from_keeper(command: Command) -> io::Result<StdChild> {
    static KEEPER: Mutex<Option<mpsc::Sender<Request>>> = Mutex::new(None);
    let gone = || io::Error::other("the thread that starts children is gone");
    let (answer, answered) = mpsc::channel();
    {
        let mut keeper = KEEPER.lock().unwrap_or_else(PoisonError::into_inner);
        let requests = match &mut *keeper {
            Some(requests) => requests,
            empty => empty.insert(start_keeper()?),
        };
        requests.send(Request { command, answer }).map_err(|_| gone())?;
    }
    answered.recv().map_err(|_| gone())?
}

fn start_keeper() -> io::Result<mpsc::Sender<Request>> {
    let (requests, inbox) = mpsc::channel::<Request>();
    std::thread::Builder::new().name("keeper".to_owned()).spawn(move || {
        for mut request in inbox {
            // Nobody waits for the answer any more: nothing to be done about it here.
            let _ = request.answer.send(request.command.spawn());
        }
    })?;
    Ok(requests)
}

/// `setpriv` of util-linux, when it knows `--pdeathsig` (that of BusyBox does not).
fn setpriv() -> Option<&'static Path> {
    static FOUND: OnceLock<Option<PathBuf>> = OnceLock::new();
    let found = FOUND.get_or_init(|| {
        let path = binaries::in_path("setpriv")?;
        let mut probe = Command::new(&path);
        probe.args(["--pdeathsig", "INT", "--", "true"]).stdin(Stdio::null());
        let works = probe.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|s| s.success());
        works.then_some(path)
    });
    found.as_deref()
}
