//! Pictures of every page of the control panel, at three widths, light and dark, in `target/screenshots/`: to be looked at
//! before a change of the look is done (`make screenshots`).

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use postern_proto::account::v1::{DefaultAction, MailingList};
use postern_tests::{
    admin::PASSWORD,
    browser::{Browser, Looks},
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
const PAGES: [(&str, &str); 25] = [
    ("home", "home"),
    ("pop-accounts", "pop-accounts"),
    ("pop-account", "pop-accounts/box/anna@homepage.test"),
    ("pop-account-new", "pop-accounts/new"),
    ("pop-account-remove", "pop-accounts/box/anna@homepage.test/remove"),
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
    ("activity", "activity"),
    ("empty-list", "/controlpanel/second.test/forwards"),
    ("domains", "/controlpanel"),
    ("preferences", "/controlpanel/preferences"),
    ("not-found", "/controlpanel/homepage.test/nothing"),
    ("pending", "/controlpanel/waiting.test/home"),
];

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let folder = binary_folder()?.parent().context("the target folder")?.join("screenshots");
    std::fs::create_dir_all(&folder)?;
    let platform = Blueprint::new().start().await?;
    furnish(&platform).await?;
    let _session = Pop3::login(platform.pop3(0), "anna@homepage.test", PASSWORD).await?;
    for dark in [false, true] {
        for width in WIDTHS {
            let looks = Looks { width, height: 900, dark, ..Looks::default() };
            let browser = Browser::start(platform.panel(), looks).await?;
            let path = |name: &str| {
                folder.join(format!("{name}-{width}-{}.png", if dark { "dark" } else { "light" }))
            };
            shoot(&browser, looks, "/controlpanel", &path("front")).await?;
            browser.sign_in("homepage", PASSWORD).await?;
            for (name, page) in PAGES {
                let address = if page.starts_with('/') { page.to_owned() } else { format!("{BASE}/{page}") };
                shoot(&browser, looks, &address, &path(name)).await?;
            }
            after_forms(&browser, looks, &path).await?;
            browser.close().await?;
        }
    }
    println!("{}", folder.display());
    Ok(())
}

/// Pages that only a form shows.
async fn after_forms(browser: &Browser, looks: Looks, path: &impl Fn(&str) -> PathBuf) -> anyhow::Result<()> {
    browser.open(&format!("{BASE}/pop-accounts/new")).await?;
    browser.fill("local", "anna").await?;
    browser.fill("password", "short").await?;
    browser.fill("password-again", "short").await?;
    browser.press_text("Create POP account").await?;
    picture(browser, looks, &path("form-with-problem")).await?;
    browser.open(&format!("{BASE}/mailing-lists/of/staff@homepage.test")).await?;
    browser.fill("addresses", "anna@homepage.test\nno address").await?;
    browser.press_text("Add members").await?;
    picture(browser, looks, &path("members-report")).await?;
    browser.open(&format!("{BASE}/forwards/of/info@homepage.test")).await?;
    browser.press_text("Remove forward").await?;
    picture(browser, looks, &path("said-with-undo")).await?;
    browser.press_text("Undo").await?;
    browser.open(&format!("{BASE}/domain")).await?;
    browser.press_text("Check DNS now").await?;
    picture(browser, looks, &path("dns")).await
}

async fn shoot(browser: &Browser, looks: Looks, address: &str, file: &Path) -> anyhow::Result<()> {
    browser.open(address).await?;
    picture(browser, looks, file).await
}

/// The whole page, however long it is.
async fn picture(browser: &Browser, looks: Looks, file: &Path) -> anyhow::Result<()> {
    browser.look(looks).await?;
    let script = "return Math.ceil(document.documentElement.scrollHeight)";
    let height = browser.client.execute(script, vec![]).await?.as_u64().unwrap_or(900).clamp(400, 6000);
    let shot = browser.devtools(
        "Page.captureScreenshot",
        json!({
            "captureBeyondViewport": true,
            "clip": {"x": 0, "y": 0, "width": looks.width, "height": height, "scale": 1},
        }),
    );
    let shot = shot.await?;
    let data = shot.get("data").and_then(|data| data.as_str()).context("a picture")?;
    std::fs::write(file, STANDARD.decode(data)?)?;
    // A page that is wider than the window is cut on a telephone.
    let script = "return document.documentElement.scrollWidth";
    let wide = browser.client.execute(script, vec![]).await?.as_u64().unwrap_or(0);
    if wide > u64::from(looks.width) {
        println!("{}: {wide} pixels wide", file.display());
    }
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
