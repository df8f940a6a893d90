//! Pictures of every page of the control panel, at three widths, light and dark, in `target/screenshots/`: to be looked at
//! before a change of the look is done (`make screenshots`). With `--axe` each page is also read by axe-core, and the run ends
//! with 1 when that finds a serious or critical fault (`make accessibility`).

use std::{
    fmt,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, ensure};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use clap::{Parser, ValueEnum};
use postern_tests::{
    browser::{Browser, Looks},
    gallery::{Gallery, WIDTHS},
    process::binary_folder,
};
use serde_json::json;

/// Takes pictures of every page of the control panel.
#[derive(Parser)]
struct Settings {
    /// The script of axe-core
    #[arg(long, value_name = "FILE")]
    axe: Option<PathBuf>,
    /// Only these widths, CSS pixels
    #[arg(long, value_delimiter = ',', default_values_t = WIDTHS)]
    widths: Vec<u32>,
    /// Only these lights
    #[arg(long, value_delimiter = ',', default_values_t = [Light::Light, Light::Dark])]
    lights: Vec<Light>,
    /// What the browser asks for; pages that only a filled in form shows are seen in English only
    #[arg(long, default_value_t = Tongue::En)]
    language: Tongue,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Light {
    Light,
    Dark,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Tongue {
    En,
    De,
}

impl fmt::Display for Light {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if *self == Self::Dark { "dark" } else { "light" })
    }
}

impl fmt::Display for Tongue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.tag())
    }
}

impl Tongue {
    fn tag(self) -> &'static str {
        match self {
            Self::En => "en",
            Self::De => "de",
        }
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let Settings { axe, widths, lights, language } = Settings::parse();
    let axe = axe.map(std::fs::read_to_string).transpose().context("the script of axe-core")?;
    let folder = binary_folder()?.parent().context("the target folder")?.join("screenshots");
    std::fs::create_dir_all(&folder)?;
    let gallery = Gallery::open().await?;
    let mut faults = 0;
    for light in lights {
        for width in widths.iter().copied() {
            let dark = light == Light::Dark;
            let looks = Looks { width, height: 900, dark, language: language.tag(), ..Looks::default() };
            let browser = gallery.browser(looks).await?;
            let mut camera =
                Camera { browser: &browser, looks, folder: &folder, axe: axe.as_deref(), faults: 0 };
            gallery.walk(&browser, async |name| camera.picture(name).await).await?;
            if language == Tongue::En {
                gallery.after_forms(&browser, async |name| camera.picture(name).await).await?;
            }
            faults += camera.faults;
            browser.close().await?;
        }
    }
    println!("{}", folder.display());
    ensure!(faults == 0, "{faults} faults");
    Ok(())
}

/// One browser at one width, in one light.
struct Camera<'c> {
    browser: &'c Browser,
    looks: Looks,
    folder: &'c Path,
    axe: Option<&'c str>,
    faults: usize,
}

impl Camera<'_> {
    /// The whole page, however long it is.
    async fn picture(&mut self, name: &str) -> anyhow::Result<()> {
        self.browser.look(self.looks).await?;
        let height = self.browser.client.execute("return document.documentElement.scrollHeight", vec![]);
        let height = height.await?.as_u64().unwrap_or(0).clamp(400, 6000);
        let shot = self.browser.devtools(
            "Page.captureScreenshot",
            json!({
                "captureBeyondViewport": true,
                "clip": {"x": 0, "y": 0, "width": self.looks.width, "height": height, "scale": 1},
            }),
        );
        let shot = shot.await?;
        let picture = shot.get("data").and_then(|data| data.as_str()).context("a picture")?;
        let light = if self.looks.dark { "dark" } else { "light" };
        let tongue =
            if self.looks.language == "en" { String::new() } else { format!("-{}", self.looks.language) };
        let file = format!("{name}-{}-{light}{tongue}", self.looks.width);
        std::fs::write(self.folder.join(format!("{file}.png")), STANDARD.decode(picture)?)?;
        if let Some(what) = self.browser.sticks_out().await? {
            self.fault(&file, &what);
        }
        self.read_by_axe(&file).await
    }

    fn fault(&mut self, file: &str, what: &str) {
        println!("{file}: {what}");
        self.faults += 1;
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
            self.fault(file, fault.as_str().unwrap_or_default());
        }
        Ok(())
    }
}
