//! What is made of files and made anew when they change: certificates are renewed while a service runs.

use std::{
    fmt, fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use crate::StartError;

/// How often the files are looked at, at most.
pub(crate) const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How a file looked: another inode (it was replaced, or a mounted secret now leads elsewhere), another time or size.
pub(crate) type Look = Option<(u64, i64, i64, u64)>;
type Make<T> = Box<dyn Fn() -> Result<T, StartError> + Send + Sync>;

/// The thing that the files make.
pub(crate) struct Reload<T> {
    files: Vec<PathBuf>,
    make: Make<T>,
    state: Mutex<State<T>>,
}

struct State<T> {
    made: Arc<T>,
    looks: Vec<Look>,
    looked: Instant,
}

impl<T> Reload<T> {
    /// Makes it for the first time.
    ///
    /// # Errors
    /// What `make` says.
    pub(crate) fn new(
        files: Vec<PathBuf>,
        make: impl Fn() -> Result<T, StartError> + Send + Sync + 'static,
    ) -> Result<Self, StartError> {
        let looks = looks_of(&files);
        let state = State { made: Arc::new(make()?), looks, looked: Instant::now() };
        Ok(Self { files, make: Box::new(make), state: Mutex::new(state) })
    }

    /// What the files make now. While they make nothing good, the last good one goes on.
    pub(crate) fn current(&self) -> Arc<T> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.looked.elapsed() < LOOK_EVERY {
            return Arc::clone(&state.made);
        }
        state.looked = Instant::now();
        let looks = looks_of(&self.files);
        if looks != state.looks {
            match (self.make)() {
                Ok(made) => {
                    tracing::info!(files = ?self.files, "read anew");
                    state.made = Arc::new(made);
                    state.looks = looks;
                }
                // A writer may be half way: asked again a second later.
                Err(error) => tracing::warn!(%error, "changed files are no good, the old ones are used on"),
            }
        }
        Arc::clone(&state.made)
    }
}

impl<T> fmt::Debug for Reload<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Reload").field(&self.files).finish()
    }
}

fn looks_of(files: &[PathBuf]) -> Vec<Look> {
    files.iter().map(|file| look_of(file)).collect()
}

/// How a file looks now; `None`: there is none, or it cannot be looked at.
pub(crate) fn look_of(file: &Path) -> Look {
    fs::metadata(file).ok().map(|about| (about.ino(), about.mtime(), about.mtime_nsec(), about.size()))
}
