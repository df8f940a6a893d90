//! Pictures of every page of the control panel, at three widths, light and dark, in `target/screenshots/`: to be looked at
//! before a change of the look is done (`make screenshots`). With `--axe` each page is also read by axe-core, and the run ends
//! with 1 when that finds a serious or critical fault (`make accessibility`).

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context as _, ensure};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use clap::Parser;
use postern::sink::{Answer, Moment, Sink, SinkSettings};
use postern_proto::account::v1::{DefaultAction, MailingList};
use postern_tests::{
    admin::PASSWORD,
    browser::{Browser, Looks},
    dns::{World, address, mx, txt},
    platform::{Blueprint, Platform},
    pop3::Pop3,
    process::binary_folder,
    smtp::{self, message},
};
use serde_json::json;

/// CSS pixels.
const WIDTHS: [u32; 3] = [360, 768, 1280];
const BASE: &str = "/controlpanel/homepage.test";

/// Name of the picture and address of the page; those with a slash in front are not below the domain.
const PAGES: [(&str, &str); 37] = [
    ("home", "home"),
    ("home-day", "home?span=day"),
    ("pop-accounts", "pop-accounts"),
    ("pop-account", "pop-accounts/box/anna@homepage.test"),
    ("app-passwords", "pop-accounts/box/anna@homepage.test/app-passwords"),
    ("security", "/controlpanel/security"),
    ("pop-account-new", "pop-accounts/new"),
    ("pop-account-remove", "pop-accounts/box/anna@homepage.test/remove"),
    ("pop-account-import", "pop-accounts/box/office@homepage.test/import"),
    ("pop-account-clear", "pop-accounts/box/anna@homepage.test/clear"),
    ("forwards", "forwards"),
    ("forward", "forwards/of/sales@homepage.test"),
    ("forward-new", "forwards/new"),
    ("mailing-lists", "mailing-lists"),
    ("mailing-list", "mailing-lists/of/staff@homepage.test"),
    ("mailing-list-settings", "mailing-lists/of/staff@homepage.test/settings"),
    ("mailing-list-new", "mailing-lists/new"),
    ("autoresponders", "autoresponders"),
    ("autoresponder", "autoresponders/of/anna@homepage.test"),
    ("default-address", "default-address"),
    ("domain", "domain"),
    ("domain-new", "domain/new"),
    ("domain-remove", "domain/remove"),
    ("mail", "mail"),
    ("set-up", "set-up"),
    ("set-up-box", "set-up/box/anna@homepage.test"),
    ("trouble", "trouble"),
    ("trouble-send", "trouble/send?mailbox=anna@homepage.test&client=203.0.113.9&recipient=you@outside.test"),
    ("trouble-lock", "trouble/lock?mailbox=anna@homepage.test"),
    ("trouble-login", "trouble/login?mailbox=nobody@homepage.test"),
    ("trouble-host", "trouble/host"),
    ("activity", "activity"),
    ("empty-list", "/controlpanel/second.test/forwards"),
    ("domains", "/controlpanel"),
    ("preferences", "/controlpanel/preferences"),
    ("not-found", "/controlpanel/homepage.test/nothing"),
    ("pending", "/controlpanel/waiting.test/home"),
];

/// The same for staff.
const OPERATOR_PAGES: [(&str, &str); 10] = [
    ("operator-customers", "customers"),
    ("operator-customer", "customers/of/homepage"),
    ("operator-customer-new", "customers/new"),
    ("operator-domains", "domains"),
    ("operator-queue", "queue"),
    ("operator-locks", "locks"),
    ("operator-grants", "grants"),
    ("operator-audit", "audit"),
    ("operator-health", "health"),
    ("operator-at-a-domain", "/controlpanel/homepage.test/home"),
];

/// Takes pictures of every page of the control panel.
#[derive(Parser)]
struct Settings {
    /// The script of axe-core
    #[arg(long, value_name = "FILE")]
    axe: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let axe =
        Settings::parse().axe.map(std::fs::read_to_string).transpose().context("the script of axe-core")?;
    let folder = binary_folder()?.parent().context("the target folder")?.join("screenshots");
    std::fs::create_dir_all(&folder)?;
    let outside = outside().await?;
    let world = world().await;
    let platform = Blueprint::new()
        .set("POSTERN_SMARTHOST", &outside.address().to_string())
        .set("POSTERN_RESOLVER", &world.address.to_string())
        .set("POSTERN_MAIL_HOST_ADDRESSES", "192.0.2.1")
        .start()
        .await?;
    furnish(&platform).await?;
    platform.postern(&["domain", "verify", "homepage.test"], "").await?;
    age(&platform).await?;
    let _session = Pop3::login(platform.pop3(0), "anna@homepage.test", PASSWORD).await?;
    // She may send now: something that leaves, or waits for it.
    for to in ["you@outside.test", "office@homepage.test", "gone@outside.test", "later@outside.test"] {
        smtp::send(platform.smtp(0), "anna@homepage.test", &[to], &message("a letter", 3_000)).await?;
    }
    let mut faults = Vec::new();
    for dark in [false, true] {
        for width in WIDTHS {
            let looks = Looks { width, height: 900, dark, ..Looks::default() };
            let browser = Browser::start(platform.panel(), looks).await?;
            let mut camera =
                Camera { browser, looks, folder: &folder, axe: axe.as_deref(), faults: Vec::new() };
            camera.every_page().await?;
            camera.every_page_of_staff(platform.operator_token()).await?;
            faults.append(&mut camera.faults);
            camera.browser.close().await?;
        }
    }
    println!("{}", folder.display());
    for fault in &faults {
        println!("{fault}");
    }
    ensure!(faults.is_empty(), "{} faults", faults.len());
    Ok(())
}

/// One browser at one width, in one light.
struct Camera<'c> {
    browser: Browser,
    looks: Looks,
    folder: &'c Path,
    axe: Option<&'c str>,
    faults: Vec<String>,
}

impl Camera<'_> {
    async fn every_page(&mut self) -> anyhow::Result<()> {
        self.shoot("front", "/controlpanel").await?;
        self.browser.sign_in("homepage", PASSWORD).await?;
        for (name, page) in PAGES {
            let address = if page.starts_with('/') { page.to_owned() } else { format!("{BASE}/{page}") };
            self.shoot(name, &address).await?;
        }
        self.after_forms().await
    }

    /// Those of the operator view, by somebody who showed the token.
    async fn every_page_of_staff(&mut self, token: &str) -> anyhow::Result<()> {
        self.browser.find("details.person summary").await?.click().await?;
        self.browser.press("form[action='/controlpanel/sign-out'] button").await?;
        self.browser.find("details.operator summary").await?.click().await?;
        self.browser.fill("token", token).await?;
        self.browser.press("details.operator button").await?;
        for (name, page) in OPERATOR_PAGES {
            let address = if page.starts_with('/') {
                page.to_owned()
            } else {
                format!("/controlpanel/operator/{page}")
            };
            self.shoot(name, &address).await?;
        }
        Ok(())
    }

    /// Pages that only a form shows.
    async fn after_forms(&mut self) -> anyhow::Result<()> {
        self.browser.open(&format!("{BASE}/pop-accounts/new")).await?;
        self.browser.fill("local", "anna").await?;
        self.browser.fill("password", "short").await?;
        self.browser.fill("password-again", "short").await?;
        self.browser.press_text("Create POP account").await?;
        self.picture("form-with-problem").await?;
        self.browser.open(&format!("{BASE}/mailing-lists/of/staff@homepage.test")).await?;
        self.browser.fill("addresses", "anna@homepage.test\nno address").await?;
        self.browser.press_text("Add members").await?;
        self.picture("members-report").await?;
        self.browser.open(&format!("{BASE}/forwards/of/info@homepage.test")).await?;
        self.browser.press_text("Remove forward").await?;
        self.picture("said-with-undo").await?;
        self.browser.press_text("Undo").await?;
        self.browser.open(&format!("{BASE}/pop-accounts/box/anna@homepage.test/import")).await?;
        let file = self.folder.join("letters.mbox");
        std::fs::write(
            &file,
            "From a@b.test\nSubject: one\n\nFirst\n\nFrom a@b.test\nSubject: two\n\nSec\0ond\n",
        )?;
        self.browser.find("#file").await?.send_keys(&file.canonicalize()?.display().to_string()).await?;
        self.browser.press("form.upload button").await?;
        self.picture("import-course").await?;
        std::fs::remove_file(&file)?;
        self.browser.open(&format!("{BASE}/pop-accounts/box/office@homepage.test/clear")).await?;
        self.browser.press_text("Take out all messages").await?;
        self.picture("clearing-course").await?;
        self.browser.press_text("Bring back").await?;
        self.browser.open(&format!("{BASE}/pop-accounts/box/anna@homepage.test/app-passwords")).await?;
        self.browser.find("#name").await?.send_keys("Thunderbird at home").await?;
        self.browser.press_text("Make app password").await?;
        self.picture("app-password-new").await?;
        self.browser.open(&format!("{BASE}/domain")).await?;
        self.browser.press_text("Check DNS now").await?;
        self.picture("dns").await?;
        self.browser.open(&format!("{BASE}/mail")).await?;
        self.browser.press("table.list tbody a").await?;
        self.picture("mail-story").await
    }

    async fn shoot(&mut self, name: &str, address: &str) -> anyhow::Result<()> {
        self.browser.open(address).await?;
        self.picture(name).await
    }

    /// The whole page, however long it is.
    async fn picture(&mut self, name: &str) -> anyhow::Result<()> {
        self.browser.look(self.looks).await?;
        let width = u64::from(self.looks.width);
        let height = self.number("document.documentElement.scrollHeight").await?.clamp(400, 6000);
        let shot = self.browser.devtools(
            "Page.captureScreenshot",
            json!({
                "captureBeyondViewport": true,
                "clip": {"x": 0, "y": 0, "width": width, "height": height, "scale": 1},
            }),
        );
        let shot = shot.await?;
        let picture = shot.get("data").and_then(|data| data.as_str()).context("a picture")?;
        let light = if self.looks.dark { "dark" } else { "light" };
        let file = format!("{name}-{width}-{light}");
        std::fs::write(self.folder.join(format!("{file}.png")), STANDARD.decode(picture)?)?;
        // A page that is wider than the window is cut on a telephone.
        let wide = self.number("document.documentElement.scrollWidth").await?;
        if wide > width {
            self.faults.push(format!("{file}: {wide} pixels wide"));
        }
        self.read_by_axe(&file).await
    }

    async fn number(&self, expression: &str) -> anyhow::Result<u64> {
        let script = format!("return Math.ceil({expression})");
        Ok(self.browser.client.execute(&script, vec![]).await?.as_u64().unwrap_or(0))
    }

    async fn read_by_axe(&mut self, file: &str) -> anyhow::Result<()> {
        let Some(axe) = self.axe else { return Ok(()) };
        let script = format!(
            "const done = arguments[arguments.length - 1]; {axe}; axe.run().then(found => done(found.violations\
             .filter(fault => ['serious', 'critical'].includes(fault.impact))\
             .map(fault => fault.id + ': ' + fault.nodes.map(node => node.html).join(' | ').slice(0, 300))))"
        );
        let found = self.browser.client.execute_async(&script, vec![]).await?;
        for fault in found.as_array().into_iter().flatten() {
            self.faults.push(format!("{file}: {}", fault.as_str().unwrap_or_default()));
        }
        Ok(())
    }
}

/// DNS in which some records are as they should be.
async fn world() -> World {
    let world = World::start().await;
    world.add("homepage.test", mx("mail.postern.test"));
    world.add("homepage.test", txt("v=spf1 ip4:198.51.100.0/24 -all"));
    world.add("mail.homepage.test", address("192.0.2.1"));
    world
}

/// Takes everything but what `gone@` and `later@` get.
async fn outside() -> anyhow::Result<Sink> {
    let script = |moment: &Moment<'_>| match moment {
        Moment::Recipient { recipient, .. } if recipient.starts_with("gone@") => {
            Answer::Reply("550 5.1.1 nobody of that name here".to_owned())
        }
        Moment::Recipient { recipient, .. } if recipient.starts_with("later@") => {
            Answer::Reply("450 4.2.1 come back later".to_owned())
        }
        _ => Answer::Accept,
    };
    Ok(Sink::start(SinkSettings { script: Some(Arc::new(script)), ..SinkSettings::default() }).await?)
}

/// What only time brings: the mail of a week, a box that filled over a month, and a member whose copies came back.
async fn age(platform: &Platform) -> anyhow::Result<()> {
    let mailbox_id = platform.admin()?.get_mailbox("anna@homepage.test").await?.mailbox_id;
    let pool = sqlx::PgPool::connect(&platform.stores.database_url()).await?;
    sqlx::query(
        "insert into account.box_usage_days (mailbox_id, day, used_bytes, message_count)
        select $1, current_date - back, (40 - back) * 2500 + (back * 7 % 5) * 4000, 40 - back
        from generate_series(1, 34) as back on conflict do nothing",
    )
    .bind(mailbox_id)
    .execute(&pool)
    .await?;
    sqlx::query(
        "insert into mail.traffic (customer, domain, hour, received_count, sent_count)
        select 'homepage', 'homepage.test', date_trunc('hour', now()) - back * interval '1 hour',
            back * 7 % 13 + back % 3, back * 5 % 7 from generate_series(1, 160) as back on conflict do nothing",
    )
    .execute(&pool)
    .await?;
    sqlx::query(
        "update account.list_members set suspend_time = now() - interval '2 days' where member = 'member3@outside.test'",
    )
    .execute(&pool)
    .await?;
    pool.close().await;
    Ok(())
}

/// Something to see on every page.
async fn furnish(platform: &Platform) -> anyhow::Result<()> {
    let admin = platform.admin()?;
    admin.domain("homepage", "homepage.test").await?;
    admin.another_domain("homepage", "second.test", true).await?;
    admin.another_domain("homepage", "waiting.test", false).await?;
    for (address, name) in [
        ("anna@homepage.test", "Anna Jensen"),
        ("office@homepage.test", "Front office"),
        ("karl.friedrich.von.und.zu.lange-strasse@homepage.test", "Karl Friedrich, accounting and archive"),
        ("old@homepage.test", ""),
    ] {
        admin.mailbox(address).await?;
        admin.display_name(address, name).await?;
    }
    admin.remove_mailbox("old@homepage.test").await?;
    admin.quota("office@homepage.test", 200_000).await?;
    admin.suspend("karl.friedrich.von.und.zu.lange-strasse@homepage.test", true).await?;
    for to in ["anna@homepage.test", "office@homepage.test", "office@homepage.test", "office@homepage.test"] {
        smtp::send(platform.smtp(0), "friend@outside.test", &[to], &message("a picture", 70_000)).await?;
    }
    admin.forward("sales@homepage.test", &["anna@homepage.test", "office@homepage.test"], false).await?;
    admin
        .forward(
            "info@homepage.test",
            &["anna@homepage.test", "a@outside.test", "b@outside.test", "c@outside.test"],
            false,
        )
        .await?;
    admin.forward("anna@homepage.test", &["anna@elsewhere.test"], true).await?;
    let list = MailingList {
        address: "staff@homepage.test".to_owned(),
        description: "Everybody who works here".to_owned(),
        subject_prefix: "[staff]".to_owned(),
        ..Default::default()
    };
    let members: Vec<_> = (1..=12).map(|n| format!("member{n}@outside.test")).collect();
    admin.mailing_list(list, &members).await?;
    let text = "I am away until Monday.\n\nYou wrote: {subject}\nIn urgent cases: office@homepage.test";
    admin.autoresponder("anna@homepage.test", "Away until Monday", text).await?;
    admin.autoresponder("hours@homepage.test", "Our hours", "Nine to five, Monday to Friday.").await?;
    admin.default_address("homepage.test", DefaultAction::Reject, "").await
}
