//! Settings of the checks of mail from strangers.

use clap::Args;
use ipnet::IpNet;
use postern_mesh::StartError;

/// How mail from strangers is looked at.
#[derive(Args, Clone, Debug)]
pub struct AuthenticitySettings {
    /// How long SPF, DKIM, ARC and DMARC of a message may take, milliseconds, at most 20000; then it is taken unchecked. 0 = they
    /// are not checked
    #[arg(
        long,
        env = "POSTERN_MAIL_CHECK_MILLIS",
        value_name = "MILLISECONDS",
        default_value_t = 5000,
        value_parser = clap::value_parser!(u64).range(0..=20_000)
    )]
    pub mail_check_millis: u64,

    /// Networks whose mail is not checked, for spam neither, and who may hold the memory of many clients, separated by commas, or
    /// `none`
    #[arg(
        long,
        env = "POSTERN_MAIL_CHECK_EXEMPT_NETWORKS",
        value_name = "NETWORK,...",
        default_value = "127.0.0.0/8,::1/128"
    )]
    pub mail_check_exempt_networks: String,
}

impl AuthenticitySettings {
    /// # Errors
    /// Names the setting that holds no networks.
    pub(super) fn exempt_networks(&self) -> Result<Vec<IpNet>, StartError> {
        let text = self.mail_check_exempt_networks.trim();
        if text.is_empty() || text == "none" {
            return Ok(Vec::new());
        }
        let network = |text: &str| {
            let wrong = |error| format!("{text:?} is no network: {error}");
            text.trim().parse::<IpNet>().map_err(wrong)
        };
        let networks: Result<_, _> = text.split(',').map(network).collect();
        networks.map_err(|why| StartError::setting("POSTERN_MAIL_CHECK_EXEMPT_NETWORKS", why))
    }
}
