//! `postern up`: the whole house on one machine, in this order: data folder, settings, stores, services, demo; and down in
//! the opposite order.

mod announcement;
mod demo;
mod house;
mod settings;

use std::{collections::BTreeMap, io::Write as _, path::Path, time::Duration};

use anyhow::{Context as _, bail};
use clap::{ArgMatches, Args, Command};
use postern_mesh::{failure, secret, shutdown::Shutdown, telemetry};
use tokio::{
    signal::unix::{SignalKind, signal},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

use self::{
    house::{House, Settings},
    settings::Profile,
};
use crate::{
    cli::Reach,
    home::{Doors, Home},
    sink::{Sink, SinkSettings},
    stores::{Stores, Wanted},
};

/// How often private stores are looked at.
const WATCH_PAUSE: Duration = Duration::from_millis(500);

/// Options of `postern up`; every setting of every service is one, too.
#[derive(Args, Clone, Debug)]
pub struct Up {
    /// Create the demo customer, and an outside world that keeps what leaves
    #[arg(long)]
    demo: bool,

    /// Added to every local port, so that two houses can stand side by side
    #[arg(long, env = "POSTERN_PORT_OFFSET", value_name = "N", default_value_t = 0)]
    port_offset: u16,

    /// Flags that are settings of services.
    #[arg(skip)]
    given: BTreeMap<String, String>,
}

impl Up {
    /// Adds the settings of all services to the subcommand.
    #[must_use]
    pub fn with_setting_flags(command: Command) -> Command {
        settings::with_flags(command)
    }

    /// Takes the values of those flags, and what is both a setting and an option of every command.
    pub fn take_setting_flags(&mut self, matches: &ArgMatches, reach: &Reach) {
        self.given = settings::given_flags(matches);
        if let Some(file) = &reach.operator_token_file {
            self.given.insert("POSTERN_OPERATOR_TOKEN_FILE".to_owned(), file.display().to_string());
        }
        if let Some(file) = &reach.mesh_tls_ca {
            self.given.insert("POSTERN_MESH_TLS_CA".to_owned(), file.display().to_string());
        }
    }

    /// Runs the house until SIGINT or SIGTERM.
    ///
    /// # Errors
    /// One clear line: what is missing, taken or wrong.
    pub async fn run(self, home: &Path) -> anyhow::Result<()> {
        let ending = Shutdown::new();
        ending.on_signals();
        end_with_terminal(&ending)?;

        let home = Home::create(home).with_context(|| format!("POSTERN_HOME {}", home.display()))?;
        let Some(_lock) = home.lock().context("lock of the data folder")? else {
            bail!(
                "another house runs in {}: stop it, or choose another POSTERN_HOME (and POSTERN_PORT_OFFSET)",
                home.path().display()
            );
        };
        home.make_secrets().with_context(|| format!("secrets in {}", home.path().display()))?;
        let profile = Profile::new(self.given.clone(), &home, self.port_offset)?;
        // Everything is read once before anything is started, so that a bad setting costs nothing.
        let early = Settings::read(&profile)?;
        let _telemetry = telemetry::init("postern", &early.mesh().log, early.mesh().log_format)?;
        house::check_doors(&profile)?;
        self.live(&home, profile, &ending).await
    }

    /// Stores up, house up, wait, house down, stores down.
    async fn live(&self, home: &Home, mut profile: Profile, ending: &Shutdown) -> anyhow::Result<()> {
        let stores = tokio::select! {
            stores = start_stores(home, &mut profile) => stores?,
            () = ending.triggered() => return Ok(()),
        };
        let stores = stores.map(Watch::begin);
        let lived = self.live_in(home, profile, ending).await;
        home.forget_doors();
        if let Some(stores) = stores {
            stores.end().await;
        }
        lived
    }

    async fn live_in(&self, home: &Home, mut profile: Profile, ending: &Shutdown) -> anyhow::Result<()> {
        let _outside = if self.demo { open_outside(home, &mut profile).await? } else { None };
        if self.demo {
            profile.default("POSTERN_POSTMASTER", format!("postmaster@{}", demo::DOMAIN));
        }
        let settings = Settings::read(&profile)?;
        let house = tokio::select! {
            house = House::open(&settings, &profile) => house?,
            () = ending.triggered() => return Ok(()),
        };
        let shown = self.settle(home, &profile, &house).await;
        if shown.is_ok() {
            ending.triggered().await;
            say("going down\n");
        }
        house.close().await;
        shown
    }

    /// What comes after the doors are open.
    async fn settle(&self, home: &Home, profile: &Profile, house: &House) -> anyhow::Result<()> {
        if self.demo {
            demo::create(&house.operator())
                .await
                .map_err(|status| anyhow::anyhow!("the demo customer: {}", failure::detail_of(&status)))?;
        }
        let scheme = if house.is_tls() { "https" } else { "http" };
        let url = |setting: &str| Ok::<_, anyhow::Error>(format!("{scheme}://{}", profile.address(setting)?));
        let doors = Doors {
            account: url("POSTERN_ACCOUNT_LISTEN")?,
            auth: url("POSTERN_AUTH_LISTEN")?,
            delivery: url("POSTERN_DELIVERY_LISTEN")?,
        };
        home.write_doors(&doors).context("doors.json")?;
        say(&announcement::text(profile, home.path(), self.demo)?);
        Ok(())
    }
}

/// Private stores, as far as no others are named.
async fn start_stores(home: &Home, profile: &mut Profile) -> anyhow::Result<Option<Stores>> {
    let wanted = Wanted {
        postgres: !profile.is_chosen(secret::DATABASE_URL),
        redis: !profile.is_chosen(secret::REDIS_URL),
    };
    if !wanted.postgres && !wanted.redis {
        return Ok(None);
    }
    let stores = Stores::start_some(home.path(), wanted).await?;
    if wanted.postgres {
        profile.default("POSTERN_DATABASE_URL", stores.database_url());
    }
    if wanted.redis {
        profile.default("POSTERN_REDIS_URL", stores.redis_url());
    }
    Ok(Some(stores))
}

/// The outside world of the demo, unless mail has another way to leave.
async fn open_outside(home: &Home, profile: &mut Profile) -> anyhow::Result<Option<Sink>> {
    if profile.chosen("POSTERN_SMARTHOST").is_some() {
        return Ok(None);
    }
    let folder = Some(home.outside_folder());
    let settings = SinkSettings { folder, journal: false, ..SinkSettings::default() };
    let sink = Sink::start(settings).await.context("the outside world")?;
    profile.default("POSTERN_SMARTHOST", sink.address().to_string());
    Ok(Some(sink))
}

/// Stores under watch: what ends by itself (or by somebody's kill) is started again.
struct Watch {
    task: JoinHandle<()>,
    stop: CancellationToken,
}

impl Watch {
    fn begin(stores: Stores) -> Self {
        let stop = CancellationToken::new();
        let task = tokio::spawn(watch(stores, stop.clone()));
        Self { task, stop }
    }

    async fn end(self) {
        self.stop.cancel();
        if let Err(error) = self.task.await {
            tracing::error!(%error, "the watch over the stores has failed");
        }
    }
}

async fn watch(mut stores: Stores, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            () = tokio::time::sleep(WATCH_PAUSE) => match stores.revive().await {
                Ok(revived) if revived.is_empty() => {}
                Ok(revived) => tracing::warn!("{} had ended and was started again", revived.join(", ")),
                Err(error) => tracing::error!(%error, "a store has ended and does not come up"),
            },
        }
    }
    stores.stop().await;
}

/// A terminal that is closed ends the house as Ctrl-C does.
fn end_with_terminal(ending: &Shutdown) -> anyhow::Result<()> {
    let mut hangup = signal(SignalKind::hangup()).context("signals")?;
    let ending = ending.clone();
    tokio::spawn(async move {
        if hangup.recv().await.is_some() {
            ending.trigger();
        }
    });
    Ok(())
}

/// Prints; a terminal that is gone is no reason to end.
fn say(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}
