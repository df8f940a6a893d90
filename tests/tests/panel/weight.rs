//! Pages stay light and quick in a domain with a thousand boxes and ten people looking at it. What they take in a release build
//! `make bench ARGS='--shapes panel'` shows.

use postern_tests::crowd::{Crowd, EMPTY, PAGES, address};

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
