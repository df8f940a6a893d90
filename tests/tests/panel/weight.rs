//! Pages stay light and quick in a domain with a thousand boxes and ten people looking at it. What they take in a release build
//! `make bench ARGS='--shapes panel'` shows.

use postern_proto::account::v1::MailingList;
use postern_tests::{
    admin::PASSWORD,
    crowd::{Crowd, EMPTY, PAGES, address},
    web::Web,
};

use crate::house::House;

const LOOKS: usize = 15;
/// Octets of a page at most.
const PAGE_MAX_BYTES: usize = 100 * 1024;
/// How much longer than an empty page one may take that asks all services.
const RATIO_MAX: f64 = 10.0;

#[tokio::test(flavor = "multi_thread")]
async fn pages_are_light_and_quick_with_a_thousand_boxes() -> anyhow::Result<()> {
    let house = House::start().await?;
    let crowd = Crowd::come(&house.platform, &house.admin).await?;
    for page in PAGES {
        let [empty, looks] = crowd.look([EMPTY, &address(page)], LOOKS).await?;
        let (took, plain) = (looks.percentile(95), empty.percentile(95));
        println!("{page}: p95 {took:?}, of an empty page {plain:?}");
        let ratio = took.as_secs_f64() / plain.as_secs_f64();
        assert!(ratio < RATIO_MAX, "{page}: {ratio:.1} times as long as an empty page");
        assert!(looks.bytes < PAGE_MAX_BYTES, "{page}: {} octets", looks.bytes);
    }
    Ok(())
}

/// Lines that are no addresses, as somebody has who took the wrong column: what was not taken is kept, and the page stays light.
#[tokio::test(flavor = "multi_thread")]
async fn a_report_of_a_thousand_refused_lines_is_light() -> anyhow::Result<()> {
    const LINES: usize = 1000;
    let house = House::start().await?;
    let list = MailingList { address: "news@homepage.test".to_owned(), ..MailingList::default() };
    house.admin.mailing_list(list, &[]).await?;
    let mut web = Web::new(house.platform.panel());
    web.sign_in("homepage", PASSWORD).await?;
    let lines: Vec<_> = (0..LINES).map(|n| format!("Somebody with a name and number {n:04}")).collect();
    let page = "/controlpanel/homepage.test/mailing-lists/of/news@homepage.test/members";
    let answer = web.submit(page, &[("addresses", &lines.join("\n"))]).await?;
    let report = web.get(&answer.location).await?;
    assert!(report.body.contains("0 added, 0 already there, 1,000 not taken."), "{}", report.body);
    assert!(report.body.contains("and 900 more"), "so many are told with why, the others are counted");
    for line in [&lines[0], &lines[LINES - 1]] {
        assert!(report.body.contains(line.as_str()), "{line} is kept, to be mended");
    }
    assert!(report.body.len() < PAGE_MAX_BYTES, "{} octets", report.body.len());
    Ok(())
}
