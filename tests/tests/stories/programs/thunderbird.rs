//! Thunderbird with its windows, on a screen that nobody sees: write, hear why it cannot be sent, check mail, send.

use std::{
    fs::{self, File},
    io::{BufRead as _, BufReader},
    net::SocketAddr,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use anyhow::Context as _;
use postern_tests::{
    admin::PASSWORD,
    marionette::{Marionette, PATIENCE},
    platform::free_ports,
};
use serde_json::{Value, json};

use super::{BOX, Setup, Tls};

const MAIN_WINDOW: &str = "document.getElementById('tabmail')?.currentAbout3Pane?.document";
/// As [`super::TEXT`]; typed, so with what typing makes of it.
const TYPED: &str = "first\n.dot line\nhello\n";

/// What is on the screen ends with it.
pub(super) struct Thunderbird {
    _program: Ended,
    _screen: Ended,
    led: Marionette,
    main: String,
    writing: Option<String>,
    said: PathBuf,
}

/// A process that is ended when dropped, with all that it started.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let group = nix::unistd::Pid::from_raw(-i32::try_from(self.0.id()).unwrap_or(i32::MAX));
        let _ = nix::sys::signal::kill(group, nix::sys::signal::Signal::SIGKILL);
        let _ = self.0.wait();
    }
}

impl Thunderbird {
    /// Set up as a person would do it by hand, with the password remembered.
    pub(super) async fn start(setup: &Setup<'_>) -> anyhow::Result<Self> {
        let profile = Path::new(&setup.path("thunderbird")).to_path_buf();
        fs::create_dir_all(&profile)?;
        let door = free_ports(1)?[0];
        fs::write(profile.join("user.js"), preferences(setup, door))?;
        let (screen, display) = screen()?;
        let path = profile.join("said.txt");
        let said = File::create(&path)?;
        let child = Command::new("thunderbird")
            .args(["--marionette", "-remote-allow-system-access", "--no-remote", "--profile"])
            .arg(&profile)
            .env("DISPLAY", display)
            .env("HOME", &profile)
            // What is to be sent lies there under one name for all.
            .env("TMPDIR", &profile)
            .env("MOZ_CRASHREPORTER_DISABLE", "1")
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(said.try_clone()?)
            .stderr(said)
            .spawn()
            .context("thunderbird is needed")?;
        let program = Ended(child);
        let mut led = Marionette::lead(door).await?;
        let shown = format!("return !!{MAIN_WINDOW}?.getElementById('folderPaneWriteMessage')");
        led.until("the main window", &shown, json!([])).await?;
        led.script(TRUST, json!([pem_body(&setup.authority())?])).await?;
        let added = led.script(REMEMBER, json!([BOX, PASSWORD])).await?;
        anyhow::ensure!(added == "added", "the password was not remembered: {added}");
        let main = led.windows().await?.into_iter().next().context("a window")?;
        Ok(Self { _program: program, _screen: screen, led, main, writing: None, said: path })
    }

    /// Writes a letter, or takes the one that could not be sent, and presses "Send". `None`: it was sent; otherwise what the
    /// message box said.
    pub(super) async fn send(&mut self) -> anyhow::Result<Option<String>> {
        let window = match self.writing.clone() {
            Some(window) => window,
            None => self.write().await?,
        };
        let failures = self.failures();
        self.led.look_at(&window).await?;
        self.led.press("button-send").await?;
        let until = std::time::Instant::now() + PATIENCE;
        loop {
            if !self.led.windows().await?.contains(&window) {
                self.writing = None;
                return Ok(None);
            }
            if self.led.command("WebDriver:GetAlertText", json!({})).await.is_ok() {
                let told = self.led.message_box().await?;
                // It may tell of one failure twice, the second time without the reason and late.
                if self.failures() > failures {
                    return Ok(Some(told));
                }
            }
            anyhow::ensure!(std::time::Instant::now() < until, "neither sent nor refused: {}", self.said());
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
    }

    /// What it has written down so far.
    pub(super) fn said(&self) -> String {
        fs::read_to_string(&self.said).unwrap_or_default()
    }

    fn failures(&self) -> usize {
        self.said().matches("Sending failed;").count()
    }

    async fn write(&mut self) -> anyhow::Result<String> {
        self.press_in_main("folderPaneWriteMessage").await?;
        let until = std::time::Instant::now() + PATIENCE;
        let window = loop {
            let other = self.led.windows().await?.into_iter().find(|window| *window != self.main);
            match other {
                Some(window) => break window,
                None => anyhow::ensure!(std::time::Instant::now() < until, "no window to write in"),
            }
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        };
        self.led.look_at(&window).await?;
        let ready = "return !!window.gMsgCompose && document.getElementById('toAddrInput')?.getClientRects().length > 0 \
                     && !!GetCurrentEditor?.()";
        self.led.until("the window to write in", ready, json!([])).await?;
        self.led.fill("toAddrInput", "you@outside.test\n").await?;
        self.led.fill("msgSubject", "hello").await?;
        let typed = "GetCurrentEditor().insertText(arguments[0]); return true";
        self.led.until("the text", typed, json!([TYPED])).await?;
        self.writing = Some(window.clone());
        Ok(window)
    }

    /// Presses "Get Messages", and waits until one with this subject is in the inbox.
    pub(super) async fn check(&mut self, subject: &str) -> anyhow::Result<()> {
        self.led.look_at(&self.main.clone()).await?;
        self.press_in_main("folderPaneGetMessages").await?;
        self.led.until("the message in the inbox", INBOX_HAS, json!([subject])).await?;
        Ok(())
    }

    async fn press_in_main(&mut self, button: &str) -> anyhow::Result<()> {
        self.led.look_at(&self.main.clone()).await?;
        let press = format!("{MAIN_WINDOW}.getElementById(arguments[0]).click(); return true");
        self.led.script(&press, json!([button])).await.map(drop)
    }
}

/// The authority of the house becomes one that it trusts.
const TRUST: &str = "Cc['@mozilla.org/security/x509certdb;1'].getService(Ci.nsIX509CertDB)\
    .addCertFromBase64(arguments[0], 'CT,,')";

const REMEMBER: &str = "const login = Cc['@mozilla.org/login-manager/loginInfo;1'].createInstance(Ci.nsILoginInfo); \
    const host = 'mailbox://localhost'; \
    login.init(host, null, host, arguments[0], arguments[1], '', ''); \
    return Services.logins.addLoginAsync(login).then(() => 'added')";

const INBOX_HAS: &str = "const server = MailServices.accounts.allServers.find(server => server.type == 'pop3'); \
    const inbox = server.rootFolder.getFolderWithFlags(Ci.nsMsgFolderFlags.Inbox); \
    if (!inbox) { return false; } \
    for (const header of inbox.messages) { if (header.mime2DecodedSubject == arguments[0]) { return true; } } \
    return false";

fn pem_body(path: &str) -> anyhow::Result<String> {
    let pem = fs::read_to_string(path)?;
    Ok(pem.lines().filter(|line| !line.starts_with("-----")).collect())
}

/// A screen without glass, and its name.
fn screen() -> anyhow::Result<(Ended, String)> {
    let mut child = Command::new("Xvfb")
        .args(["-displayfd", "1", "-screen", "0", "1280x900x24", "-nolisten", "tcp"])
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .context("Xvfb (Debian: xvfb) is needed")?;
    let said = child.stdout.take();
    let screen = Ended(child);
    let mut number = String::new();
    BufReader::new(said.context("its output")?).read_line(&mut number)?;
    Ok((screen, format!(":{}", number.trim())))
}

/// What the dialogues of an account write down.
fn preferences(setup: &Setup<'_>, door: SocketAddr) -> String {
    let security = match setup.tls {
        Tls::Off => 0,
        Tls::Start => 2,
        Tls::Implicit => 3,
    };
    let preferences: Vec<(&str, Value)> = vec![
        ("mail.accountmanager.accounts", json!("account1,account2")),
        ("mail.accountmanager.defaultaccount", json!("account1")),
        ("mail.account.account1.server", json!("server1")),
        ("mail.account.account1.identities", json!("id1")),
        ("mail.server.server1.type", json!("pop3")),
        ("mail.server.server1.hostname", json!("localhost")),
        ("mail.server.server1.port", json!(setup.pop3().port())),
        ("mail.server.server1.userName", json!(BOX)),
        ("mail.server.server1.name", json!(BOX)),
        ("mail.server.server1.socketType", json!(security)),
        // A normal password.
        ("mail.server.server1.authMethod", json!(3)),
        ("mail.server.server1.leave_on_server", json!(false)),
        // Only the button checks mail.
        ("mail.server.server1.check_new_mail", json!(false)),
        ("mail.server.server1.login_at_startup", json!(false)),
        ("mail.account.account2.server", json!("server2")),
        ("mail.server.server2.type", json!("none")),
        ("mail.server.server2.hostname", json!("Local Folders")),
        ("mail.server.server2.userName", json!("nobody")),
        ("mail.accountmanager.localfoldersserver", json!("server2")),
        ("mail.identity.id1.fullName", json!("User")),
        ("mail.identity.id1.useremail", json!(BOX)),
        ("mail.identity.id1.smtpServer", json!("smtp1")),
        ("mail.identity.id1.valid", json!(true)),
        ("mail.identity.id1.compose_html", json!(false)),
        ("mail.smtpservers", json!("smtp1")),
        ("mail.smtp.defaultserver", json!("smtp1")),
        ("mail.smtpserver.smtp1.hostname", json!("localhost")),
        ("mail.smtpserver.smtp1.port", json!(setup.smtp().port())),
        ("mail.smtpserver.smtp1.try_ssl", json!(security)),
        // No password: who checked mail may send.
        ("mail.smtpserver.smtp1.authMethod", json!(1)),
        // Nothing asks, tells or fetches by itself.
        ("app.update.enabled", json!(false)),
        ("mail.shell.checkDefaultClient", json!(false)),
        ("mail.rights.version", json!(1)),
        ("mail.spotlight.firstRunDone", json!(true)),
        // It writes down what it sends and why it could not.
        ("mailnews.send.loglevel", json!("Debug")),
        ("mailnews.smtp.loglevel", json!("Debug")),
        ("browser.dom.window.dump.enabled", json!(true)),
        ("devtools.console.stdout.chrome", json!(true)),
        ("mailnews.start_page.enabled", json!(false)),
        ("datareporting.policy.dataSubmissionEnabled", json!(false)),
        ("network.proxy.type", json!(0)),
        ("marionette.port", json!(door.port())),
    ];
    preferences.iter().map(|(name, value)| format!("user_pref({}, {value});\n", json!(name))).collect()
}
