//! The house that these stories are told in: two customers who are nothing to each other.

use std::time::Duration;

use postern_tests::{
    admin::{Admin, PASSWORD},
    browser::{Browser, Looks},
    eventually,
    platform::{Blueprint, Platform},
    pop3::{Pop3, read_all},
    smtp::{self, message},
};

/// What is set up holds within this time.
pub const LIVE: Duration = Duration::from_secs(1);
/// A new box gets this.
pub const NEW_PASSWORD: &str = "three or four words";

/// The house, its operator, and a browser of the first customer.
pub struct House {
    pub platform: Platform,
    pub admin: Admin,
}

impl House {
    /// `homepage` with `homepage.test` and `user@`, `rival` with `rival.test` and `user@`.
    pub async fn start() -> anyhow::Result<Self> {
        let platform = Blueprint::new().start().await?;
        let admin = platform.admin()?;
        for (customer, domain) in [("homepage", "homepage.test"), ("rival", "rival.test")] {
            admin.domain(customer, domain).await?;
            admin.mailbox(&format!("user@{domain}")).await?;
        }
        Ok(Self { platform, admin })
    }

    /// A browser in which the first customer is signed in.
    pub async fn browser(&self, looks: Looks) -> anyhow::Result<Browser> {
        let browser = Browser::start(self.platform.panel(), looks).await?;
        browser.sign_in("homepage", PASSWORD).await?;
        Ok(browser)
    }

    /// Mail from outside; the reply to it.
    pub async fn send(&self, to: &str, tag: &str) -> anyhow::Result<String> {
        smtp::send(self.platform.smtp(0), "friend@outside.test", &[to], &message(tag, 700)).await
    }

    /// Whether mail to an address is taken within the second, or refused within it.
    pub async fn is_taken(&self, to: &str, taken: bool) -> bool {
        eventually(LIVE, async || {
            let reply = self.send(to, "is it taken").await.unwrap_or_default();
            reply.starts_with(if taken { "250 " } else { "550 5.1.1" })
        })
        .await
    }

    /// Whether a login works within the second, or is refused within it.
    pub async fn opens(&self, login: &str, password: &str, opens: bool) -> bool {
        eventually(LIVE, async || match Pop3::login(self.platform.pop3(0), login, password).await {
            Ok(session) => {
                let _ = session.quit().await;
                opens
            }
            Err(_) => !opens,
        })
        .await
    }

    /// Whether a box holds a message of this tag soon.
    pub async fn has_mail(&self, login: &str, password: &str, tag: &str) -> bool {
        eventually(Duration::from_secs(10), async || {
            let messages = read_all(self.platform.pop3(0), login, password).await.unwrap_or_default();
            messages.iter().any(|message| String::from_utf8_lossy(message).contains(tag))
        })
        .await
    }
}
