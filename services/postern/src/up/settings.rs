//! The local profile: what the settings of all services are on one machine, unless the environment or a flag says
//! otherwise.
//!
//! The services read their settings as they do on their own; the profile only answers where nobody else does. So a
//! setting has one name and one meaning in both shapes.

use std::{collections::BTreeMap, net::SocketAddr};

use anyhow::anyhow;
use clap::{
    Arg, ArgAction, ArgMatches, Args, Command,
    builder::{Resettable, ValueParser},
};
use postern_mesh::{process, secret::SecretNames, settings::MeshSettings};

use crate::home::Home;

/// One door: its setting, its port in the local profile, what people call it.
pub(super) struct Door {
    pub(super) setting: &'static str,
    pub(super) port: u16,
    pub(super) name: &'static str,
}

/// The doors of a house on one machine.
pub(super) const DOORS: [Door; 10] = [
    Door { setting: "POSTERN_POP3_LISTEN", port: 1110, name: "POP3 (STLS)" },
    Door { setting: "POSTERN_POP3S_LISTEN", port: 1995, name: "POP3S" },
    Door { setting: "POSTERN_SMTP_LISTEN", port: 2525, name: "SMTP MX (STARTTLS)" },
    Door { setting: "POSTERN_SUBMISSION_LISTEN", port: 2587, name: "submission" },
    Door { setting: "POSTERN_SMTPS_LISTEN", port: 2465, name: "SMTPS" },
    Door { setting: "POSTERN_PANEL_LISTEN", port: 8080, name: "control panel" },
    Door { setting: "POSTERN_PANEL_TLS_LISTEN", port: 8443, name: "control panel, TLS" },
    Door { setting: "POSTERN_ACCOUNT_LISTEN", port: 7101, name: "account gRPC" },
    Door { setting: "POSTERN_AUTH_LISTEN", port: 7102, name: "auth gRPC" },
    Door { setting: "POSTERN_DELIVERY_LISTEN", port: 7103, name: "delivery gRPC" },
];

/// Each service has a health door of its own (`house::SERVICES` of the mesh); with this setting there is one for all.
pub(super) const HEALTH_SETTING: &str = "POSTERN_HEALTH_LISTEN";

/// Whose addresses cannot be the client's own (as auth's default), loopback let through: on one machine it is the client.
const REFUSED_NETWORKS: &str = "0.0.0.0/8,10.0.0.0/8,100.64.0.0/10,169.254.0.0/16,172.16.0.0/12,192.168.0.0/16,\
                                224.0.0.0/3,::/128,64:ff9b:1::/48,2001::/32,fc00::/7,fe80::/10,ff00::/8";
const LOOPBACK: &str = "127.0.0.0/8,::1/128";
const MAIL_HOST: &str = "mail.postern.test";
/// Notices of migrations that have nothing to do are of no use at a terminal.
const LOG: &str = "info,sqlx=warn";
/// Stands in for private stores while settings are checked, before anything is started.
const STORE_TO_COME: &str = "postgres:///postern";
const REDIS_TO_COME: &str = "redis://localhost";

/// Values by the name of their setting.
#[derive(Clone, Debug)]
pub(super) struct Profile {
    /// Flags of `postern up`.
    given: BTreeMap<String, String>,
    defaults: BTreeMap<&'static str, String>,
    pub(super) port_offset: u16,
}

impl Profile {
    /// The local profile of this home.
    pub(super) fn new(
        given: BTreeMap<String, String>,
        home: &Home,
        port_offset: u16,
    ) -> anyhow::Result<Self> {
        let mut profile = Self { given, defaults: BTreeMap::new(), port_offset };
        for Door { setting, port, .. } in DOORS {
            profile.default(setting, profile.local(port)?.to_string());
        }
        profile.default("POSTERN_BLOB_URL", format!("file://{}", home.blob_folder().display()));
        // A site that gives one of a pair of settings does not get the other one from us.
        for (other, setting, value) in [
            ("POSTERN_DATABASE_URL_FILE", "POSTERN_DATABASE_URL", STORE_TO_COME),
            ("POSTERN_REDIS_URL_FILE", "POSTERN_REDIS_URL", REDIS_TO_COME),
        ] {
            if profile.chosen(other).is_none() {
                profile.default(setting, value.to_owned());
            }
        }
        for (other, setting, path) in [
            ("POSTERN_MESH_KEY", "POSTERN_MESH_KEY_FILE", home.mesh_key_file()),
            ("POSTERN_OPERATOR_TOKEN", "POSTERN_OPERATOR_TOKEN_FILE", home.operator_token_file()),
            ("POSTERN_TLS_CERTIFICATE", "POSTERN_TLS_SELF_SIGNED", home.tls_folder()),
        ] {
            if profile.chosen(other).is_none() {
                profile.default(setting, path.display().to_string());
            }
        }
        profile.default("POSTERN_MAIL_HOST", MAIL_HOST.to_owned());
        profile.default("POSTERN_LOG", LOG.to_owned());
        profile.default("POSTERN_LOG_FORMAT", "text".to_owned());
        profile.default("POSTERN_NEW_DOMAINS_LIVE", "true".to_owned());
        // Names of a house that is not in the world's DNS are nobody's business there.
        profile.default("POSTERN_DOMAIN_CHECK_SECONDS", "0".to_owned());
        profile.default("POSTERN_PLAINTEXT_LOGIN", "true".to_owned());
        profile.default("POSTERN_GRANT_REFUSED_NETWORKS", REFUSED_NETWORKS.to_owned());
        profile.default("POSTERN_LIMITS_EXEMPT_NETWORKS", LOOPBACK.to_owned());
        Ok(profile)
    }

    /// What holds if nobody says otherwise.
    pub(super) fn default(&mut self, setting: &'static str, value: String) {
        self.defaults.insert(setting, value);
    }

    /// What somebody chose, by flag or environment.
    pub(super) fn chosen(&self, setting: &str) -> Option<String> {
        self.given.get(setting).cloned().or_else(|| std::env::var(setting).ok())
    }

    /// True when somebody chose a secret, itself or by its file.
    pub(super) fn is_chosen(&self, secret: SecretNames) -> bool {
        self.chosen(secret.value).or_else(|| self.chosen(secret.file)).is_some()
    }

    /// Where a door is.
    pub(super) fn address(&self, setting: &str) -> anyhow::Result<SocketAddr> {
        let text = self.chosen(setting).or_else(|| self.defaults.get(setting).cloned());
        let text = text.ok_or_else(|| anyhow!("{setting} has no value"))?;
        text.parse().map_err(|e| anyhow!("{setting}: {text:?}: {e}"))
    }

    /// A port of the local profile, moved by the offset.
    pub(super) fn local(&self, port: u16) -> anyhow::Result<SocketAddr> {
        let offset = self.port_offset;
        let moved = port.checked_add(offset);
        let moved = moved.ok_or_else(|| anyhow!("POSTERN_PORT_OFFSET: {port} + {offset} is no port"))?;
        Ok(SocketAddr::from(([127, 0, 0, 1], moved)))
    }

    /// The settings of one service, as it reads them by itself, on top of the profile.
    pub(super) fn parse<A: Args>(&self) -> anyhow::Result<A> {
        let command = A::augment_args(Command::new("postern up").no_binary_name(true));
        let mut words = Vec::new();
        for arg in command.get_arguments() {
            let (Some(flag), Some(setting)) = (arg.get_long(), setting_of(arg)) else { continue };
            let Some(value) = self.word(&setting) else { continue };
            if arg.get_action().takes_values() {
                words.push(format!("--{flag}={value}"));
            } else if value == "true" {
                words.push(format!("--{flag}"));
            }
        }
        let parsed =
            command.clone().try_get_matches_from(words).and_then(|matches| A::from_arg_matches(&matches));
        parsed.map_err(|error| anyhow!(process::one_line_of_usage(&error, &command)))
    }

    /// The value that clap does not find by itself.
    fn word(&self, setting: &str) -> Option<String> {
        if let Some(value) = self.given.get(setting) {
            return Some(value.clone());
        }
        if std::env::var_os(setting).is_some() {
            return None;
        }
        self.defaults.get(setting).cloned()
    }
}

/// `postern up` takes every setting of every service as a flag, too.
pub(super) fn with_flags(command: Command) -> Command {
    let mut command = command;
    for (heading, settings) in settings_of_services() {
        for arg in settings.get_arguments() {
            let (Some(flag), Some(setting)) = (arg.get_long(), setting_of(arg)) else { continue };
            let taken = command.get_arguments().any(|have| have.get_long() == Some(flag));
            if taken || is_reach(flag) {
                continue;
            }
            let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
            let default = arg.get_default_values().first().map(|v| format!(" [{}]", v.to_string_lossy()));
            // Only the words are taken here; the service itself reads and judges them.
            let flag = arg
                .clone()
                .env(Resettable::Reset)
                .default_value(Resettable::Reset)
                .default_missing_value(Resettable::Reset)
                .value_delimiter(Resettable::Reset)
                .value_parser(ValueParser::string())
                .action(ArgAction::Set)
                .num_args(1)
                .required(false)
                .help(format!("{help}{} [env: {setting}]", default.unwrap_or_default()))
                .help_heading(heading)
                .hide_short_help(true);
            command = command.arg(flag);
        }
    }
    command
}

/// What was given as a flag, by the name of the setting.
pub(super) fn given_flags(matches: &ArgMatches) -> BTreeMap<String, String> {
    let mut given = BTreeMap::new();
    for (_, settings) in settings_of_services() {
        for arg in settings.get_arguments() {
            // An option that every command has is no text here, and one that two services share is known by one id.
            if let Some(setting) = setting_of(arg)
                && let Ok(Some(value)) = matches.try_get_one::<String>(arg.get_id().as_str())
            {
                given.insert(setting, value.clone());
            }
        }
    }
    given
}

fn settings_of_services() -> Vec<(&'static str, Command)> {
    fn settings<A: Args>() -> Command {
        A::augment_args(Command::new("settings"))
    }
    vec![
        ("Every service", settings::<MeshSettings>()),
        ("account", settings::<postern_account::Settings>()),
        ("auth", settings::<postern_auth::Settings>()),
        ("delivery", settings::<postern_delivery::Settings>()),
        ("pop3-gateway", settings::<postern_pop3_gateway::Settings>()),
        ("smtp-gateway", settings::<postern_smtp_gateway::Settings>()),
        ("control-panel", settings::<postern_control_panel::Settings>()),
    ]
}

/// Options that every command has already.
fn is_reach(flag: &str) -> bool {
    [
        "json",
        "home",
        "account-url",
        "auth-url",
        "delivery-url",
        "operator-token-file",
        "api-token-file",
        "mesh-tls-ca",
    ]
    .contains(&flag)
}

fn setting_of(arg: &Arg) -> Option<String> {
    arg.get_env().map(|name| name.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use postern_mesh::settings::PlaintextLogin;

    use super::*;

    fn profile(given: &[(&str, &str)]) -> Profile {
        let given = given.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        Profile::new(given, &Home::at(Path::new("/nowhere")), 1000).expect("a profile")
    }

    #[test]
    fn services_get_the_local_profile_and_flags_win() {
        let profile = profile(&[("POSTERN_POP3_LISTEN", "127.0.0.1:7"), ("POSTERN_GRANT_SECONDS", "9")]);
        let pop3: postern_pop3_gateway::Settings = profile.parse().expect("settings");
        assert_eq!(pop3.pop3_listen.port(), 7, "the offset moves only what nobody chose");
        assert_eq!(pop3.pop3s_listen.port(), 2995);
        assert_eq!(pop3.plaintext_login, PlaintextLogin::Always);
        let auth: postern_auth::Settings = profile.parse().expect("settings");
        assert_eq!(auth.grant_seconds, 9);
        let account: postern_account::Settings = profile.parse().expect("settings");
        assert!(account.new_domains_live);
    }

    #[test]
    fn a_bad_setting_is_one_line() {
        let profile = profile(&[("POSTERN_GRANT_SECONDS", "soon")]);
        let error = profile.parse::<postern_auth::Settings>().map(|_| ()).expect_err("no number").to_string();
        assert!(error.contains("POSTERN_GRANT_SECONDS") && error.contains("soon"), "{error}");
        assert!(!error.contains('\n'));
    }

    #[test]
    fn every_setting_is_a_flag_of_up() {
        let command = with_flags(Command::new("up"));
        command.clone().debug_assert();
        let matches = command.try_get_matches_from(["up", "--smarthost", "127.0.0.1:25"]).expect("flags");
        assert_eq!(given_flags(&matches).get("POSTERN_SMARTHOST").map(String::as_str), Some("127.0.0.1:25"));
    }
}
