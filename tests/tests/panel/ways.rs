//! The ways that people go most: how many pages each takes from Home, and what is said when something is wrong on the way.

use postern_tests::{
    admin::PASSWORD,
    browser::{Browser, Looks},
};

use crate::house::{House, NEW_PASSWORD};

/// Somebody on the way, who counts the pages.
struct Way<'b> {
    browser: &'b Browser,
    pages: usize,
}

impl<'b> Way<'b> {
    /// Begins at Home.
    async fn from_home(browser: &'b Browser) -> anyhow::Result<Self> {
        browser.open("/controlpanel/homepage.test/home").await?;
        Ok(Self { browser, pages: 0 })
    }

    /// Presses a menu at the side.
    async fn menu(&mut self, name: &str) -> anyhow::Result<()> {
        self.press(&format!("nav.side a[href$='/{name}']")).await
    }

    /// Presses what this CSS selector finds.
    async fn press(&mut self, selector: &str) -> anyhow::Result<()> {
        self.pages += 1;
        self.browser.press(selector).await
    }

    /// Presses the button or link that says this.
    async fn press_text(&mut self, text: &str) -> anyhow::Result<()> {
        self.pages += 1;
        self.browser.press_text(text).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_made_most_takes_three_pages_and_no_more() -> anyhow::Result<()> {
    let house = House::start().await?;
    let browser = house.browser(Looks::default()).await?;

    let mut way = Way::from_home(&browser).await?;
    way.menu("pop-accounts").await?;
    way.press_text("New POP account").await?;
    browser.fill("local", "anna").await?;
    browser.fill("password", NEW_PASSWORD).await?;
    browser.fill("password-again", NEW_PASSWORD).await?;
    way.press_text("Create POP account").await?;
    assert!(browser.said().await?.contains("anna@homepage.test was created"));
    assert_eq!(way.pages, 3);
    assert!(house.opens("anna@homepage.test", NEW_PASSWORD, true).await);

    // Which of the lines is wrong is told as it was typed.
    let mut way = Way::from_home(&browser).await?;
    way.menu("forwards").await?;
    way.press_text("New forward").await?;
    browser.fill("local", "info").await?;
    browser.fill("targets", "anna@homepage.test\nno address\nfriend@outside.test").await?;
    way.press_text("Create forward").await?;
    let problem = browser.text("#targets-problem").await?;
    assert_eq!(problem, "“no address”: An address has the form name@domain.");
    browser.fill("targets", "anna@homepage.test\nanna@homepage.test").await?;
    way.press_text("Create forward").await?;
    assert_eq!(browser.text("#targets-problem").await?, "anna@homepage.test is there twice.");
    browser.fill("targets", "anna@homepage.test").await?;
    way.press_text("Create forward").await?;
    assert!(browser.said().await?.contains("info@homepage.test is forwarded"));
    assert_eq!(way.pages, 3 + 2, "two mistakes");
    assert!(house.is_taken("info@homepage.test", true).await);

    // A list comes with its members, and what became of each line is told at once.
    let mut way = Way::from_home(&browser).await?;
    way.menu("mailing-lists").await?;
    way.press_text("New mailing list").await?;
    browser.fill("local", "news").await?;
    browser.fill("addresses", "anna@homepage.test\nno address\nfriend@outside.test").await?;
    way.press_text("Create mailing list").await?;
    assert!(browser.said().await?.contains("The list news@homepage.test was created."));
    let page = browser.text("main").await?;
    assert!(page.contains("2 added, 0 already there, 1 not taken."), "{page}");
    assert_eq!(browser.value("addresses").await?, "no address", "what is to be mended stays");
    assert!(browser.text("table.list").await?.contains("friend@outside.test"));
    assert_eq!(way.pages, 3);

    let mut way = Way::from_home(&browser).await?;
    way.menu("autoresponders").await?;
    way.press_text("New autoresponder").await?;
    browser.fill("local", "hours").await?;
    browser.fill("subject", "Our hours").await?;
    browser.fill("text", "Nine to five.").await?;
    way.press_text("Create autoresponder").await?;
    assert!(browser.said().await?.contains("hours@homepage.test answers by itself now"));
    assert_eq!(way.pages, 3);
    browser.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trouble_with_nothing_to_choose_is_asked_by_its_button() -> anyhow::Result<()> {
    let house = House::start().await?;
    let browser = house.browser(Looks { scripts: false, ..Looks::default() }).await?;
    let mut way = Way::from_home(&browser).await?;
    way.menu("trouble").await?;
    way.press(".tiles form button").await?;
    assert_eq!(browser.text("h1").await?, "Problems resolving your mailhost");
    assert!(browser.text("main").await?.contains("What was looked at"));
    assert_eq!(way.pages, 2);
    browser.close().await?;

    // The user of one box has nothing to choose anywhere.
    let browser = Browser::start(house.platform.panel(), Looks::default()).await?;
    browser.sign_in("user@homepage.test", PASSWORD).await?;
    for trouble in ["send", "lock", "login", "host"] {
        let mut way = Way::from_home(&browser).await?;
        way.menu("trouble").await?;
        way.press(&format!(".tiles a[href*='/trouble/{trouble}']")).await?;
        let page = browser.text("main").await?;
        assert!(page.contains("What was looked at"), "{trouble}: {page}");
        assert_eq!(way.pages, 2);
    }
    browser.close().await
}

/// By keyboard alone: a menu of the header opens, and Escape leads back to its name; a wrong field has the keyboard at once.
#[tokio::test(flavor = "multi_thread")]
async fn the_keyboard_is_where_one_goes_on() -> anyhow::Result<()> {
    const ESCAPE: &str = "\u{e00c}";
    let house = House::start().await?;
    let browser = house.browser(Looks { width: 390, height: 800, ..Looks::default() }).await?;
    browser.look(Looks { width: 390, height: 800, ..Looks::default() }).await?;
    let summary = browser.find("details.phone-menu summary").await?;
    summary.send_keys(" ").await?;
    browser.wait_for("details.phone-menu[open] nav a").await?;
    browser.client.active_element().await?.send_keys(ESCAPE).await?;
    browser.wait_for("details.phone-menu:not([open]) summary:focus").await?;

    browser.open("/controlpanel/homepage.test/forwards/new").await?;
    browser.fill("local", "info").await?;
    browser.fill("targets", "no address").await?;
    browser.press_text("Create forward").await?;
    browser.wait_for("#targets:focus").await?;
    browser.close().await
}
