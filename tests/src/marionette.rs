//! Mozilla's programs led from outside: the remote protocol that Thunderbird speaks when it is started with `--marionette`. Each packet
//! is its length in decimal, a colon, and JSON: `[0, id, command, parameters]` one way, `[1, id, error, result]` back.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::TcpStream,
};

/// How long a program may take to show what is waited for: the machine may be busy.
pub const PATIENCE: Duration = Duration::from_secs(60);
const RETRY: Duration = Duration::from_millis(100);
/// Under which a found element is named (WebDriver, section 12).
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// A program that is led. It ends by whoever started it.
pub struct Marionette {
    stream: BufReader<TcpStream>,
    commands: u64,
}

impl Marionette {
    /// Waits until the program listens, and asks for its windows rather than for pages in them.
    pub async fn lead(door: SocketAddr) -> anyhow::Result<Self> {
        let until = Instant::now() + PATIENCE;
        loop {
            match Self::begin(door).await {
                Ok(led) => return Ok(led),
                Err(error) if Instant::now() > until => return Err(error),
                Err(_) => tokio::time::sleep(RETRY).await,
            }
        }
    }

    async fn begin(door: SocketAddr) -> anyhow::Result<Self> {
        let mut led = Self { stream: BufReader::new(TcpStream::connect(door).await?), commands: 0 };
        let hello = led.packet().await?;
        anyhow::ensure!(hello["marionetteProtocol"] == 3, "another protocol: {hello}");
        led.command("WebDriver:NewSession", json!({})).await?;
        led.command("Marionette:SetContext", json!({ "value": "chrome" })).await?;
        Ok(led)
    }

    /// Sends a command; its result, or what the program says against it.
    pub async fn command(&mut self, name: &str, parameters: Value) -> anyhow::Result<Value> {
        self.commands += 1;
        let id = self.commands;
        let text = json!([0, id, name, parameters]).to_string();
        self.stream.get_mut().write_all(format!("{}:{text}", text.len()).as_bytes()).await?;
        loop {
            let answer = self.packet().await?;
            if answer[1] != id {
                continue;
            }
            if !answer[2].is_null() {
                bail!("{name}: {}: {}", answer[2]["error"], answer[2]["message"]);
            }
            return Ok(answer[3].clone());
        }
    }

    async fn packet(&mut self) -> anyhow::Result<Value> {
        let mut length = 0_usize;
        loop {
            match self.stream.read_u8().await? {
                b':' => break,
                digit @ b'0'..=b'9' => length = length * 10 + usize::from(digit - b'0'),
                other => bail!("octet {other} in a length"),
            }
        }
        let mut text = vec![0; length];
        self.stream.read_exact(&mut text).await?;
        Ok(serde_json::from_slice(&text)?)
    }

    /// What a script says within the window that is being looked at.
    pub async fn script(&mut self, script: &str, arguments: Value) -> anyhow::Result<Value> {
        let parameters = json!({ "script": script, "args": arguments });
        Ok(self.command("WebDriver:ExecuteScript", parameters).await?["value"].clone())
    }

    /// Waits until a script says something else than nothing or no.
    pub async fn until(&mut self, what: &str, script: &str, arguments: Value) -> anyhow::Result<Value> {
        let until = Instant::now() + PATIENCE;
        loop {
            let said = self.script(script, arguments.clone()).await?;
            if !said.is_null() && said != false {
                return Ok(said);
            }
            anyhow::ensure!(Instant::now() < until, "waited in vain: {what}");
            tokio::time::sleep(RETRY).await;
        }
    }

    /// All windows.
    pub async fn windows(&mut self) -> anyhow::Result<Vec<String>> {
        let windows = self.command("WebDriver:GetWindowHandles", json!({})).await?;
        Ok(serde_json::from_value(windows)?)
    }

    /// Looks at another window.
    pub async fn look_at(&mut self, window: &str) -> anyhow::Result<()> {
        let parameters = json!({ "handle": window, "focus": true });
        self.command("WebDriver:SwitchToWindow", parameters).await.map(drop)
    }

    /// Presses what has this id.
    pub async fn press(&mut self, id: &str) -> anyhow::Result<()> {
        let element = self.find(id).await?;
        self.command("WebDriver:ElementClick", json!({ "id": element })).await.map(drop)
    }

    /// Types into the field that has this id.
    pub async fn fill(&mut self, id: &str, text: &str) -> anyhow::Result<()> {
        let element = self.find(id).await?;
        self.command("WebDriver:ElementClick", json!({ "id": element })).await?;
        let parameters = json!({ "id": element, "text": text });
        self.command("WebDriver:ElementSendKeys", parameters).await.map(drop)
    }

    async fn find(&mut self, id: &str) -> anyhow::Result<String> {
        let found = self.command("WebDriver:FindElement", json!({ "using": "id", "value": id })).await?;
        let element = found["value"][ELEMENT].as_str().with_context(|| format!("no element: {found}"))?;
        Ok(element.to_owned())
    }

    /// Waits for a message box, closes it, and tells what it said.
    pub async fn message_box(&mut self) -> anyhow::Result<String> {
        let until = Instant::now() + PATIENCE;
        let said = loop {
            match self.command("WebDriver:GetAlertText", json!({})).await {
                Ok(said) => break said,
                Err(error) if Instant::now() > until => return Err(error),
                Err(_) => tokio::time::sleep(RETRY).await,
            }
        };
        self.command("WebDriver:AcceptAlert", json!({})).await?;
        Ok(said["value"].as_str().unwrap_or_default().to_owned())
    }
}
