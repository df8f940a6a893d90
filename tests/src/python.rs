//! Pythons with packages from outside, each made once beside what is built.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use crate::{platform::run, process::binary_folder};

/// A Python of this name that has these packages.
pub async fn with_packages(name: &str, packages: &[&str]) -> anyhow::Result<PathBuf> {
    let folder = binary_folder()?.join(format!("python-for-{name}"));
    let python = folder.join("bin").join("python");
    if folder.join("made").exists() {
        return Ok(python);
    }
    // Several tests begin at once: each makes its own, one stays.
    let own = tempfile::Builder::new().prefix(name).tempdir_in(binary_folder()?)?.keep();
    let none = BTreeMap::new();
    let place = own.display().to_string();
    let (code, out, error) = run(Path::new("python3"), &["-m", "venv", &place], &none, "").await?;
    anyhow::ensure!(code == 0, "python3 -m venv: {out}{error}");
    let mut arguments = vec!["-m", "pip", "install", "--quiet", "--disable-pip-version-check"];
    arguments.extend(packages);
    let (code, out, error) = run(&own.join("bin/python"), &arguments, &none, "").await?;
    anyhow::ensure!(code == 0, "pip install {packages:?}: {out}{error}");
    std::fs::write(own.join("made"), packages.join(" "))?;
    if std::fs::rename(&own, &folder).is_err() {
        std::fs::remove_dir_all(&own)?;
    }
    Ok(python)
}
