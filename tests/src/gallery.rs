//! Every page of the control panel in a house with something to see on each: for pictures, for readers of accessibility, and for
//! tests of what must hold on all of them.

mod furniture;

use anyhow::Context as _;
use postern::sink::Sink;
use postern_proto::account::v1::AddListMembersRequest;
use uuid::Uuid;

use crate::{
    admin::PASSWORD,
    browser::{Browser, Looks},
    dns::World,
    platform::Platform,
    pop3::Pop3,
    smtp::{self, message},
};

/// CSS pixels: a telephone, a tablet, a desk.
pub const WIDTHS: [u32; 3] = [360, 768, 1280];
const BASE: &str = "/controlpanel/homepage.test";

/// Name and address of each page of a customer; those with a slash in front are not below the domain.
const PAGES: [(&str, &str); 41] = [
    ("home", "home"),
    ("home-day", "home?span=day"),
    ("pop-accounts", "pop-accounts"),
    ("pop-account", "pop-accounts/box/anna@homepage.test"),
    ("app-passwords", "pop-accounts/box/anna@homepage.test/app-passwords"),
    ("security", "/controlpanel/security"),
    ("own-password", "/controlpanel/password"),
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
    ("mailing-list-remove", "mailing-lists/of/staff@homepage.test/remove"),
    ("autoresponders", "autoresponders"),
    ("autoresponder", "autoresponders/of/anna@homepage.test"),
    ("autoresponder-new", "autoresponders/new"),
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
    ("unsubscribe", "/unsubscribe/nothing"),
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

/// The house, and the world around it.
pub struct Gallery {
    platform: Platform,
    /// Somebody has a box open.
    _session: Pop3,
    _outside: Sink,
    _world: World,
}

impl Gallery {
    /// Opens it.
    pub async fn open() -> anyhow::Result<Self> {
        let (outside, world) = (furniture::outside().await?, furniture::world().await);
        let platform = furniture::house(&outside, &world).await?;
        let session = Pop3::login(platform.pop3(0), "anna@homepage.test", PASSWORD).await?;
        // She may send now: something that leaves, or waits for it.
        for to in ["you@outside.test", "office@homepage.test", "gone@outside.test", "later@outside.test"] {
            smtp::send(platform.smtp(0), "anna@homepage.test", &[to], &message("a letter", 3_000)).await?;
        }
        Ok(Self { platform, _session: session, _outside: outside, _world: world })
    }

    /// A browser that looks at it.
    pub async fn browser(&self, looks: Looks) -> anyhow::Result<Browser> {
        Browser::start(self.platform.panel(), looks).await
    }

    /// Leads a browser to every page that has an address: those of a customer, then those of staff. `look` gets the name of each.
    pub async fn walk(
        &self,
        browser: &Browser,
        mut look: impl AsyncFnMut(&str) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        browser.open("/controlpanel").await?;
        look("front").await?;
        browser.sign_in("homepage", PASSWORD).await?;
        visit(browser, &PAGES, BASE, &mut look).await?;
        sign_out(browser).await?;
        browser.find("details.operator summary").await?.click().await?;
        browser.fill("token", self.platform.operator_token()).await?;
        browser.press("details.operator button").await?;
        browser.wait_for("details.person").await?;
        visit(browser, &OPERATOR_PAGES, "/controlpanel/operator", &mut look).await?;
        sign_out(browser).await
    }

    /// Pages that only a form shows, in English.
    pub async fn after_forms(
        &self,
        browser: &Browser,
        mut look: impl AsyncFnMut(&str) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        browser.sign_in("homepage", PASSWORD).await?;
        browser.open(&format!("{BASE}/pop-accounts/new")).await?;
        browser.fill("local", "anna").await?;
        browser.fill("password", "short").await?;
        browser.fill("password-again", "short").await?;
        browser.press_text("Create POP account").await?;
        look("form-with-problem").await?;
        browser.open(&format!("{BASE}/forwards/new")).await?;
        browser.fill("local", "team").await?;
        browser.fill("targets", "anna@homepage.test\nno address").await?;
        browser.press_text("Create forward").await?;
        look("forward-with-problem").await?;
        browser.open(&format!("{BASE}/mailing-lists/of/staff@homepage.test")).await?;
        browser.fill("addresses", "anna@homepage.test\nno address").await?;
        browser.press_text("Add members").await?;
        look("members-report").await?;
        browser.open(&self.addition_under_way().await?).await?;
        look("members-adding").await?;
        browser.open(&format!("{BASE}/forwards/of/info@homepage.test")).await?;
        browser.press_text("Remove forward").await?;
        look("said-with-undo").await?;
        browser.press_text("Undo").await?;
        self.import(browser).await?;
        look("import-course").await?;
        browser.open(&format!("{BASE}/pop-accounts/box/office@homepage.test/clear")).await?;
        browser.press_text("Take out all messages").await?;
        look("clearing-course").await?;
        browser.press_text("Bring back").await?;
        browser.open(&format!("{BASE}/pop-accounts/box/anna@homepage.test/app-passwords")).await?;
        browser.find("#name").await?.send_keys("Thunderbird at home").await?;
        browser.press_text("Make app password").await?;
        look("app-password-new").await?;
        browser.open(&format!("{BASE}/trouble")).await?;
        browser.press(".tiles button").await?;
        look("trouble-host-asked").await?;
        browser.open(&format!("{BASE}/domain")).await?;
        browser.press_text("Check DNS now").await?;
        look("dns").await?;
        browser.open(&format!("{BASE}/mail")).await?;
        browser.press("table.list tbody a").await?;
        look("mail-story").await?;
        browser.open("/controlpanel/security").await?;
        browser.press_text("Set up a second factor").await?;
        look("second-factor").await?;
        sign_out(browser).await?;
        browser.sign_in("anna@homepage.test", PASSWORD).await?;
        look("own-home").await?;
        sign_out(browser).await
    }

    /// A file with one letter, and one that is none.
    async fn import(&self, browser: &Browser) -> anyhow::Result<()> {
        let file = self.platform.folder().join("letters.mbox");
        let letters = "From a@b.test\nSubject: one\n\nFirst\n\nFrom a@b.test\nSubject: two\n\nSec\0ond\n";
        std::fs::write(&file, letters).context("a file of mail")?;
        browser.open(&format!("{BASE}/pop-accounts/box/anna@homepage.test/import")).await?;
        browser.find("#file").await?.send_keys(&file.display().to_string()).await?;
        browser.press("form.upload button").await
    }

    /// Address of the page of an addition of members of which some are still to come.
    async fn addition_under_way(&self) -> anyhow::Result<String> {
        let addition_id = Uuid::new_v4().to_string();
        let request = AddListMembersRequest {
            list: "staff@homepage.test".to_owned(),
            total_count: 4000,
            addition_id: addition_id.clone(),
            addresses: (1..=12).map(|n| format!("member{n}@outside.test")).collect(),
        };
        self.platform.admin()?.mailing_lists().add_list_members(request).await?;
        Ok(format!("{BASE}/mailing-lists/of/staff@homepage.test/members/added/{addition_id}"))
    }
}

/// Those with a slash in front are not below `base`.
async fn visit(
    browser: &Browser,
    pages: &[(&str, &str)],
    base: &str,
    look: &mut impl AsyncFnMut(&str) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    for (name, page) in pages {
        let address = if page.starts_with('/') { (*page).to_owned() } else { format!("{base}/{page}") };
        browser.open(&address).await?;
        look(name).await?;
    }
    Ok(())
}

async fn sign_out(browser: &Browser) -> anyhow::Result<()> {
    browser.find("details.person summary").await?.click().await?;
    browser.press("form[action='/controlpanel/sign-out'] button").await
}
