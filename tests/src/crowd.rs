//! Ten people who look at the control panel at once, in a domain with a thousand boxes and as much else as fills every page: how long
//! pages take.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use futures_util::future::try_join_all;
use postern_proto::account::v1::{CreateMailboxRequest, MailingList, NewPassword, new_password::Secret};

use crate::{
    admin::{Admin, PASSWORD},
    platform::Platform,
    smtp::{Smtp, message, stuffed},
    web::Web,
};

/// Boxes of the domain.
const BOXES: usize = 1000;
/// Forwards, lists, autoresponders and messages: more than a page shows of each.
const OTHERS: usize = 120;
/// Targets of each forward.
const TARGETS: usize = 10;
/// Members of the list that is looked at.
const MEMBERS: usize = 1000;
/// Of those who look.
const PEOPLE: usize = 10;
/// A ready hash, so that a thousand boxes cost no thousand hashes. Nobody knows its password.
const PHC: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// A page that asks for nothing but the session: what the others are compared with.
pub const EMPTY: &str = "/controlpanel/password";
/// The first page, the lists, and the page of one thing; below `/controlpanel/homepage.test/`.
pub const PAGES: [&str; 16] = [
    "home",
    "pop-accounts",
    "pop-accounts/box/box0500@homepage.test",
    "forwards",
    "forwards/of/to005@homepage.test",
    "mailing-lists",
    "mailing-lists/of/list000@homepage.test",
    "autoresponders",
    "autoresponders/of/away005@homepage.test",
    "default-address",
    "domain",
    "set-up",
    "mail",
    "mail?direction=received",
    "trouble",
    "activity",
];

/// Address of one of [`PAGES`].
pub fn address(page: &str) -> String {
    format!("/controlpanel/homepage.test/{page}")
}

/// The people, each signed in.
pub struct Crowd(Vec<Web>);

/// What looks at one page showed.
#[derive(Clone, Debug, Default)]
pub struct Looks {
    /// How long each took, the shortest first.
    pub took: Vec<Duration>,
    /// Octets of the largest answer.
    pub bytes: usize,
}

impl Looks {
    /// What so many percent of the looks take at most.
    pub fn percentile(&self, percent: usize) -> Duration {
        let last = self.took.len().saturating_sub(1);
        self.took.get((self.took.len() * percent / 100).min(last)).copied().unwrap_or_default()
    }
}

async fn furnish(admin: &Admin) -> anyhow::Result<()> {
    let targets: Vec<_> = (0..TARGETS).map(|n| format!("a.somewhat.long.name.{n}@outside.test")).collect();
    let targets: Vec<_> = targets.iter().map(String::as_str).collect();
    let text = "I am away until Monday and read your message then.\n".repeat(40);
    for number in 0..OTHERS {
        admin.forward(&format!("to{number:03}@homepage.test"), &targets, false).await?;
        admin.autoresponder(&format!("away{number:03}@homepage.test"), "Away until Monday", &text).await?;
        let list = MailingList {
            address: format!("list{number:03}@homepage.test"),
            description: format!("What there is to say about the matter of number {number}"),
            ..MailingList::default()
        };
        let members = if number == 0 { MEMBERS } else { 0 };
        let members: Vec<_> = (0..members).map(|n| format!("member{n:04}@outside.test")).collect();
        admin.mailing_list(list, &members).await?;
    }
    Ok(())
}

/// Mail for the boxes, from one client.
async fn mail(door: SocketAddr) -> anyhow::Result<()> {
    let mut client = Smtp::hello(door).await?;
    for number in 0..OTHERS {
        client.expect("MAIL FROM:<friend.of.everybody@outside.test>", 250).await?;
        client.expect(&format!("RCPT TO:<box{number:04}@homepage.test>"), 250).await?;
        client.expect("DATA", 354).await?;
        client.send(&stuffed(&message("to one of the crowd", 700))).await?;
        let reply = client.reply().await?;
        anyhow::ensure!(reply.starts_with("250 "), "{reply}");
    }
    Ok(())
}

impl Crowd {
    /// Makes the boxes and all the rest in `homepage.test`, which is there already, and signs everybody in as its customer `homepage`.
    pub async fn come(platform: &Platform, admin: &Admin) -> anyhow::Result<Self> {
        for number in 0..BOXES {
            let request = CreateMailboxRequest {
                address: format!("box{number:04}@homepage.test"),
                password: Some(NewPassword { secret: Some(Secret::Phc(PHC.to_owned())) }),
                display_name: format!("Box number {number}"),
                ..Default::default()
            };
            admin.mailboxes().create_mailbox(request).await?;
        }
        furnish(admin).await?;
        mail(platform.smtp(0)).await?;
        let mut people = Vec::new();
        for _ in 0..PEOPLE {
            let mut web = Web::new(platform.panel());
            web.sign_in("homepage", PASSWORD).await?;
            people.push(web);
        }
        Ok(Self(people))
    }

    /// Everybody looks so many times at each of these addresses, in turns, so that whatever else the machine does falls on all
    /// of them.
    pub async fn look<const N: usize>(
        &self,
        addresses: [&str; N],
        times: usize,
    ) -> anyhow::Result<[Looks; N]> {
        let of_one = self.0.iter().map(async |web| {
            let mut web = web.clone();
            let mut seen = [const { Looks { took: Vec::new(), bytes: 0 } }; N];
            for _ in 0..times {
                for (address, seen) in addresses.iter().zip(&mut seen) {
                    let begin = Instant::now();
                    let answer = web.get(address).await?;
                    seen.took.push(begin.elapsed());
                    seen.bytes = seen.bytes.max(answer.body.len());
                    anyhow::ensure!(answer.status == 200, "{address}: {}", answer.status);
                }
            }
            anyhow::Ok(seen)
        });
        let all = try_join_all(of_one).await?;
        Ok(std::array::from_fn(|page| {
            let mut took: Vec<Duration> = all.iter().flat_map(|seen| &seen[page].took).copied().collect();
            took.sort_unstable();
            let bytes = all.iter().map(|seen| seen[page].bytes).max().unwrap_or_default();
            Looks { took, bytes }
        }))
    }

    /// How many they are.
    pub fn size(&self) -> usize {
        self.0.len()
    }
}
