//! A real browser: Debian's chromium without a window, led by chromedriver. Everything ends with it.

use std::{
    net::SocketAddr,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use fantoccini::{Client, ClientBuilder, Locator, wd::WebDriverCompatibleCommand};
use http::Method;
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpStream;
use url::{ParseError, Url};

use crate::{eventually, platform::free_ports, process::end_with_all, usage::tree_pids};

/// How long a page may take to show what is waited for: the machine may be busy.
const PATIENCE: Duration = Duration::from_secs(30);

/// The window, and each surface of a page: what is in it must not reach over its edge. A pixel is what rounding may take.
const STICKS_OUT: &str = "
    for (const place of document.querySelectorAll('html, main, .top, .foot, .card, .guide, .notice, .empty, .events')) {
        if (place.scrollWidth > place.clientWidth + 1) {
            const name = place.localName + (place.className ? '.' + place.className.replaceAll(' ', '.') : '');
            return `${name} is ${place.clientWidth} pixels wide and holds ${place.scrollWidth}`;
        }
    }
    return null;";

/// How a browser shall be.
#[derive(Clone, Copy, Debug)]
pub struct Looks {
    /// Width of the window, CSS pixels.
    pub width: u32,
    /// Height of the window, CSS pixels.
    pub height: u32,
    /// Scripts may run.
    pub scripts: bool,
    /// Prefers dark pages.
    pub dark: bool,
    /// What it asks for, as in `de`.
    pub language: &'static str,
}

impl Default for Looks {
    fn default() -> Self {
        Self { width: 1280, height: 900, scripts: true, dark: false, language: "en" }
    }
}

/// A browser with one window.
pub struct Browser {
    /// What leads it.
    pub client: Client,
    driver: Driver,
    /// Of the panel, as in `http://127.0.0.1:8080`.
    base: String,
}

/// The process that leads browsers; its browsers end with it.
struct Driver {
    child: Child,
    _profile: TempDir,
}

impl Drop for Driver {
    fn drop(&mut self) {
        end_with_all(&mut self.child);
    }
}

impl Browser {
    /// Starts one that looks at the panel behind this door.
    pub async fn start(panel: SocketAddr, looks: Looks) -> anyhow::Result<Self> {
        let port = free_ports(1)?[0];
        let profile = tempfile::Builder::new().prefix("postern-browser-").tempdir()?;
        // It ends with us, too, when nobody comes to drop it.
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "chromedriver"])
            .arg(format!("--port={}", port.port()))
            .env("HOME", profile.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("chromedriver (Debian: chromium-driver) is needed")?;
        let driver = Driver { child, _profile: profile };
        let ready = eventually(PATIENCE, async || TcpStream::connect(port).await.is_ok()).await;
        if !ready {
            bail!("chromedriver does not answer");
        }
        let client = connect(port, driver._profile.path(), looks).await?;
        Ok(Self { client, driver, base: format!("http://{panel}") })
    }

    /// Opens a page of the panel.
    pub async fn open(&self, path: &str) -> anyhow::Result<()> {
        self.client.goto(&format!("{}{path}", self.base)).await.with_context(|| format!("open {path}"))
    }

    /// Signs in and waits for the page where one arrives.
    pub async fn sign_in(&self, login: &str, password: &str) -> anyhow::Result<()> {
        self.open("/controlpanel").await?;
        self.fill("login", login).await?;
        self.fill("password", password).await?;
        self.press(".sign-in button.primary").await?;
        self.wait_for("details.person").await
    }

    /// Types into the field of this name, in place of what is there.
    pub async fn fill(&self, name: &str, text: &str) -> anyhow::Result<()> {
        let field = self.find(&format!("main [name='{name}']")).await?;
        field.clear().await?;
        field.send_keys(text).await.with_context(|| format!("type into {name}"))
    }

    /// Chooses a value of the field of this name.
    pub async fn choose(&self, name: &str, value: &str) -> anyhow::Result<()> {
        let field = self.find(&format!("main select[name='{name}']")).await?;
        field.select_by_value(value).await.with_context(|| format!("choose {value} of {name}"))
    }

    /// Presses what this CSS selector finds first, and waits until the next page is there.
    pub async fn press(&self, selector: &str) -> anyhow::Result<()> {
        let element = self.find(selector).await?;
        let before = self.find("html").await?;
        element.click().await.with_context(|| format!("press {selector}"))?;
        // The next page is another document: what belonged to the one before is stale.
        let gone = eventually(PATIENCE, async || before.tag_name().await.is_err()).await;
        if !gone {
            bail!("{selector} was pressed and no page came");
        }
        self.wait_for("body").await
    }

    /// Presses the button or link that says this.
    pub async fn press_text(&self, text: &str) -> anyhow::Result<()> {
        let path = format!("//main//*[self::button or self::a][normalize-space()='{text}']");
        let element = self.client.wait().at_most(PATIENCE).for_element(Locator::XPath(&path)).await;
        let element = element.with_context(|| format!("a button or link that says {text}"))?;
        let before = self.find("html").await?;
        element.click().await.with_context(|| format!("press {text}"))?;
        if !eventually(PATIENCE, async || before.tag_name().await.is_err()).await {
            bail!("{text} was pressed and no page came");
        }
        self.wait_for("body").await
    }

    /// Waits until the page has what this CSS selector finds.
    pub async fn wait_for(&self, selector: &str) -> anyhow::Result<()> {
        self.find(selector).await.map(drop)
    }

    /// What this CSS selector finds first.
    pub async fn find(&self, selector: &str) -> anyhow::Result<fantoccini::elements::Element> {
        let found = self.client.wait().at_most(PATIENCE).for_element(Locator::Css(selector)).await;
        match found {
            Ok(element) => Ok(element),
            Err(error) => {
                let page = self.text("body").await.unwrap_or_default();
                Err(error).with_context(|| format!("{selector} on a page that says: {page}"))
            }
        }
    }

    /// The text that is seen in what this CSS selector finds first.
    pub async fn text(&self, selector: &str) -> anyhow::Result<String> {
        let found = self.client.find(Locator::Css(selector)).await?;
        Ok(found.text().await?)
    }

    /// The value of the field of this name.
    pub async fn value(&self, name: &str) -> anyhow::Result<String> {
        let field = self.find(&format!("main [name='{name}']")).await?;
        Ok(field.prop("value").await?.unwrap_or_default())
    }

    /// What the page before has done, as this one says it.
    pub async fn said(&self) -> anyhow::Result<String> {
        self.wait_for(".notice").await?;
        self.text(".notice").await
    }

    /// A command of the browser's developer tools.
    pub async fn devtools(&self, command: &str, parameters: Value) -> anyhow::Result<Value> {
        let command = DevTools { command: command.to_owned(), parameters };
        Ok(self.client.issue_cmd(command).await?)
    }

    /// Takes the width and the light of these looks, whatever the window has.
    pub async fn look(&self, looks: Looks) -> anyhow::Result<()> {
        let light = if looks.dark { "dark" } else { "light" };
        self.devtools(
            "Emulation.setEmulatedMedia",
            json!({
                "features": [{"name": "prefers-color-scheme", "value": light}],
            }),
        )
        .await?;
        self.devtools(
            "Emulation.setDeviceMetricsOverride",
            json!({
                "width": looks.width, "height": looks.height, "deviceScaleFactor": 1, "mobile": false,
            }),
        )
        .await?;
        Ok(())
    }

    /// What is wider than its place on the page, and by how much; `None` where all is as wide as it may be.
    pub async fn sticks_out(&self) -> anyhow::Result<Option<String>> {
        let told = self.client.execute(STICKS_OUT, vec![]).await?;
        Ok(told.as_str().map(str::to_owned))
    }

    /// Ids of what leads it, and of all its own processes.
    pub fn processes(&self) -> Vec<u32> {
        tree_pids(self.driver.child.id())
    }

    /// Ends it.
    pub async fn close(self) -> anyhow::Result<()> {
        let Self { client, driver, .. } = self;
        let closed = client.close().await;
        drop(driver);
        Ok(closed?)
    }
}

/// A command that chromedriver hands on to chromium.
#[derive(Debug)]
struct DevTools {
    command: String,
    parameters: Value,
}

impl WebDriverCompatibleCommand for DevTools {
    fn endpoint(&self, base: &Url, session: Option<&str>) -> Result<Url, ParseError> {
        base.join(&format!("session/{}/goog/cdp/execute", session.unwrap_or_default()))
    }

    fn method_and_body(&self, _url: &Url) -> (Method, Option<String>) {
        let body = json!({"cmd": self.command, "params": self.parameters});
        (Method::POST, Some(body.to_string()))
    }
}

async fn connect(driver: SocketAddr, profile: &Path, looks: Looks) -> anyhow::Result<Client> {
    let scripts = if looks.scripts { 1 } else { 2 };
    let arguments = vec![
        "--headless=new".to_owned(),
        "--no-sandbox".to_owned(),
        "--disable-gpu".to_owned(),
        "--disable-dev-shm-usage".to_owned(),
        "--hide-scrollbars".to_owned(),
        format!("--user-data-dir={}", profile.join("profile").display()),
        format!("--window-size={},{}", looks.width, looks.height),
        format!("--lang={}", looks.language),
        format!("--accept-lang={}", looks.language),
    ];
    let wanted = json!({
        "goog:chromeOptions": {
            "args": arguments,
            "prefs": {
                "intl.accept_languages": looks.language,
                "profile.managed_default_content_settings.javascript": scripts,
            },
        },
    });
    let wanted = wanted.as_object().cloned().context("capabilities")?;
    let begin = Instant::now();
    loop {
        let mut builder = ClientBuilder::new(HttpConnector::new());
        let connected = builder.capabilities(wanted.clone()).connect(&format!("http://{driver}")).await;
        match connected {
            Ok(client) => return Ok(client),
            Err(error) if begin.elapsed() > PATIENCE => return Err(error).context("start chromium"),
            Err(_) => tokio::time::sleep(Duration::from_millis(200)).await,
        }
    }
}
