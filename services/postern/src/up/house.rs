//! All services in one process: the same code as on their own, with calls that do not leave the process.
//!
//! Their gRPC and health doors are open as well, for tools.

use std::{collections::BTreeMap, net::TcpListener, time::Duration};

use anyhow::{Context as _, bail};
use postern_mesh::{
    StartError,
    client::MeshChannel,
    health::{self, Readiness},
    house::SERVICES,
    identity::{Caller, Role},
    server,
    settings::MeshSettings,
    shutdown::Shutdown,
};
use tonic::service::Routes;

use super::settings::{DOORS, HEALTH_SETTING, Profile};

/// What gateways get to finish what they are doing; then what the services behind them get.
const FRONT_GRACE: Duration = Duration::from_secs(5);
const BACK_GRACE: Duration = Duration::from_secs(3);

/// The settings of everybody, checked before any port opens.
pub(super) struct Settings {
    mesh: MeshSettings,
    account: postern_account::Settings,
    auth: postern_auth::Settings,
    delivery: postern_delivery::Settings,
    pop3: postern_pop3_gateway::Settings,
    smtp: postern_smtp_gateway::Settings,
    panel: postern_control_panel::Settings,
}

impl Settings {
    pub(super) fn read(profile: &Profile) -> anyhow::Result<Self> {
        Ok(Self {
            mesh: profile.parse()?,
            account: profile.parse()?,
            auth: profile.parse()?,
            delivery: profile.parse()?,
            pop3: profile.parse()?,
            smtp: profile.parse()?,
            panel: profile.parse()?,
        })
    }

    /// What every process has: log filter, key.
    pub(super) fn mesh(&self) -> &MeshSettings {
        &self.mesh
    }
}

/// Says which door is not free, before anything is started.
pub(super) fn check_doors(profile: &Profile) -> anyhow::Result<()> {
    for door in DOORS {
        let address = profile.address(door.setting)?;
        if let Err(error) = TcpListener::bind(address) {
            bail!(
                "the door `{}` cannot be opened at {address}: {error} ({} moves it, POSTERN_PORT_OFFSET=1000 moves all)",
                door.name,
                door.setting
            );
        }
    }
    Ok(())
}

/// The running services.
pub(super) struct House {
    /// Gateways and doors: down first.
    front: Shutdown,
    /// account, auth, delivery.
    back: Shutdown,
    mesh: MeshSettings,
    account: Routes,
}

impl House {
    /// Opens everything.
    pub(super) async fn open(settings: &Settings, profile: &Profile) -> anyhow::Result<Self> {
        let (front, back) = (Shutdown::new(), Shutdown::new());
        match Self::open_all(settings, profile, &front, &back).await {
            Ok(account) => Ok(Self { front, back, mesh: settings.mesh.clone(), account }),
            Err(error) => {
                front.finish(FRONT_GRACE).await;
                back.finish(BACK_GRACE).await;
                Err(error)
            }
        }
    }

    async fn open_all(
        settings: &Settings,
        profile: &Profile,
        front: &Shutdown,
        back: &Shutdown,
    ) -> anyhow::Result<Routes> {
        let mesh = &settings.mesh;
        let (account, account_ready) =
            postern_account::open_with_readiness(&settings.account, back).await.context("account")?;
        let to_account = |me| MeshChannel::local(account.clone(), me, mesh);
        let (delivery, delivery_ready) =
            postern_delivery::open_with_readiness(&settings.delivery, to_account("delivery"), back)
                .await
                .context("delivery")?;
        let to_delivery = |me| MeshChannel::local(delivery.clone(), me, mesh);
        let locks = Some(to_delivery("auth"));
        let auth = postern_auth::open(&settings.auth, mesh, to_account("auth"), locks, back)
            .await
            .context("auth")?;
        let to_auth = |me| MeshChannel::local(auth.clone(), me, mesh);

        let pop3 = postern_pop3_gateway::Upstreams {
            auth: to_auth("pop3-gateway"),
            delivery: to_delivery("pop3-gateway"),
        };
        let pop3 = postern_pop3_gateway::open(&settings.pop3, pop3, front).await.context("pop3-gateway")?;
        let smtp = postern_smtp_gateway::Upstreams {
            account: to_account("smtp-gateway"),
            auth: to_auth("smtp-gateway"),
            delivery: to_delivery("smtp-gateway"),
        };
        let smtp = postern_smtp_gateway::open(&settings.smtp, smtp, FRONT_GRACE, front)
            .await
            .context("smtp-gateway")?;
        let panel = postern_control_panel::Upstreams {
            account: to_account("control-panel"),
            auth: to_auth("control-panel"),
            delivery: to_delivery("control-panel"),
        };
        let panel = postern_control_panel::open(&settings.panel, mesh, panel, front)
            .await
            .context("control-panel")?;

        for (service, address, routes) in [
            ("account", settings.account.account_listen, account.clone()),
            ("auth", settings.auth.auth_listen, auth),
            ("delivery", settings.delivery.delivery_listen, delivery),
        ] {
            server::serve(address, routes, service, mesh, front).await?;
        }
        let auth_ready = postern_auth::readiness(&settings.auth)?;
        let all = [account_ready, auth_ready, delivery_ready, pop3, smtp, panel];
        open_health(all, profile, mesh, front).await?;
        Ok(account)
    }

    /// True when the gRPC doors speak TLS.
    pub(super) fn is_tls(&self) -> bool {
        self.mesh.tls.is_on()
    }

    /// A way to account in the name of the operator who started this house.
    pub(super) fn operator(&self) -> MeshChannel {
        let caller = Caller::new("postern up", Role::Operator);
        MeshChannel::local(self.account.clone(), "postern", &self.mesh).with_caller(caller)
    }

    /// Gateways first, so that what they have taken is still done; then what they stand on. At most 8 s.
    pub(super) async fn close(self) {
        if !self.front.finish(FRONT_GRACE).await {
            tracing::warn!("gateways were cut after {FRONT_GRACE:?}");
        }
        if !self.back.finish(BACK_GRACE).await {
            tracing::warn!("services were cut after {BACK_GRACE:?}");
        }
    }
}

/// One health door a service, or one for all when its address was chosen.
async fn open_health(
    services: [Readiness; 6],
    profile: &Profile,
    mesh: &MeshSettings,
    shutdown: &Shutdown,
) -> anyhow::Result<()> {
    if profile.chosen(HEALTH_SETTING).is_some() {
        let told = services.clone();
        let [account, auth, delivery, ..] = services;
        let all = Readiness::new().notice("notices", move || told_by(told.clone()));
        let all = all.check("account", move || state_of(account.clone()));
        let all = all.check("auth", move || state_of(auth.clone()));
        let all = all.check("delivery", move || state_of(delivery.clone()));
        health::serve(mesh.health_listen, all, shutdown).await?;
        return Ok(());
    }
    for ((_, port), ready) in SERVICES.into_iter().zip(services) {
        open_one_health(profile, port, ready, shutdown).await?;
    }
    Ok(())
}

async fn open_one_health(
    profile: &Profile,
    port: u16,
    ready: Readiness,
    shutdown: &Shutdown,
) -> anyhow::Result<()> {
    let address = profile.local(port)?;
    match health::serve(address, ready, shutdown).await {
        // Health doors are for probes: a house stands without them, and the operator reads why.
        Err(StartError::Listen { source, .. }) => {
            tracing::warn!(%address, %source, "a health door stays closed")
        }
        other => {
            other?;
        }
    }
    Ok(())
}

async fn state_of(ready: Readiness) -> Result<(), String> {
    let results = ready.results().await;
    if ready.allows(&results) { Ok(()) } else { Err(in_words(results)) }
}

/// What parts that work have to say.
async fn told_by(parts: [Readiness; 6]) -> Result<(), String> {
    let mut said = Vec::new();
    for part in parts {
        let results = part.results().await;
        let words = in_words(results.clone());
        if !words.is_empty() && part.allows(&results) {
            said.push(words);
        }
    }
    if said.is_empty() { Ok(()) } else { Err(said.join("; ")) }
}

fn in_words(results: BTreeMap<&'static str, Option<String>>) -> String {
    let wrong = results.into_iter().filter_map(|(name, why)| Some(format!("{name}: {}", why?)));
    wrong.collect::<Vec<_>>().join("; ")
}
