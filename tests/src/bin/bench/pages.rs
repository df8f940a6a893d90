//! The control panel with ten people at once in a domain with a thousand boxes: how long each page takes, beside an empty one in
//! the same moments, and which servers work for it.

use std::collections::BTreeMap;

use postern_tests::{
    crowd::{Crowd, EMPTY, PAGES, address},
    platform::Blueprint,
    usage::CpuSeconds,
};
use serde::Serialize;

use crate::Settings;

/// Looks of each person that count for nothing: connections open, plans are made.
const WARMING: usize = 5;

/// One page.
#[derive(Serialize)]
pub(crate) struct Page {
    page: String,
    kib: f64,
    p50_ms: f64,
    p95_ms: f64,
    /// Of p95, to that of an empty page in the same moments.
    times_an_empty_page: f64,
    /// Of all servers, for one look.
    cpu_ms: f64,
    by_service: BTreeMap<String, f64>,
}

/// Looks at all of them, each service a process of its own.
pub(crate) async fn measure(settings: &Settings) -> anyhow::Result<Vec<Page>> {
    eprintln!("starting the house: panel");
    let platform = Blueprint::new().set("POSTERN_LOG", "warn").start().await?;
    let admin = platform.admin()?;
    admin.domain("homepage", "homepage.test").await?;
    let crowd = Crowd::come(&platform, &admin).await?;
    // What a database does by itself after a while.
    let pool = sqlx::PgPool::connect(&platform.stores.database_url()).await?;
    sqlx::query("VACUUM ANALYZE").execute(&pool).await?;
    pool.close().await;
    let processes = platform.processes();
    let mut pages = Vec::new();
    let addresses = PAGES.map(|page| (page, address(page)));
    let empty = ("an empty page", EMPTY.to_owned());
    for (name, address) in std::iter::once(&empty).chain(&addresses) {
        crowd.look([address], WARMING).await?;
        let [plain, looks] = crowd.look([EMPTY, address], settings.looks).await?;
        let before = CpuSeconds::read(&processes);
        crowd.look([address], settings.looks).await?;
        let used = CpuSeconds::read(&processes).since(&before);
        let for_one = 1000.0 / (settings.looks * crowd.size()) as f64;
        let milliseconds = |percent| looks.percentile(percent).as_secs_f64() * 1000.0;
        let page = Page {
            page: (*name).to_owned(),
            kib: looks.bytes as f64 / 1024.0,
            p50_ms: milliseconds(50),
            p95_ms: milliseconds(95),
            times_an_empty_page: looks.percentile(95).as_secs_f64() / plain.percentile(95).as_secs_f64(),
            cpu_ms: used.total() * for_one,
            by_service: used.0.iter().map(|(name, seconds)| (name.clone(), seconds * for_one)).collect(),
        };
        eprintln!("{}", line(&page));
        pages.push(page);
    }
    Ok(pages)
}

/// As people read them.
pub(crate) fn print(pages: &[Page]) {
    println!(
        "| page, 10 people at once | KiB | p50 ms | p95 ms | times an empty page | CPU ms a look | CPU ms by service |"
    );
    println!("|---|---:|---:|---:|---:|---:|---|");
    for page in pages {
        println!("{}", line(page));
    }
}

fn line(page: &Page) -> String {
    let used = page.by_service.iter().filter(|(_, milliseconds)| **milliseconds >= 0.05);
    let services: Vec<_> = used.map(|(name, milliseconds)| format!("{name} {milliseconds:.1}")).collect();
    format!(
        "| {} | {:.0} | {:.1} | {:.1} | {:.1} | {:.1} | {} |",
        page.page,
        page.kib,
        page.p50_ms,
        page.p95_ms,
        page.times_an_empty_page,
        page.cpu_ms,
        services.join(", ")
    )
}
