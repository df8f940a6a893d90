//! No page is wider than its window, nor anything on it than its place, on a telephone, a tablet and a desk, in either language.

use postern_tests::{
    browser::{Browser, Looks},
    gallery::{Gallery, WIDTHS},
};

/// What sticks out of the page that is open, at each width.
async fn wide(browser: &Browser, page: &str) -> anyhow::Result<Vec<String>> {
    let mut found = Vec::new();
    for width in WIDTHS {
        browser.look(Looks { width, ..Looks::default() }).await?;
        found.extend(browser.sticks_out().await?.map(|what| format!("{page} at {width}: {what}")));
    }
    Ok(found)
}

#[tokio::test(flavor = "multi_thread")]
async fn no_page_is_wider_than_its_window_in_either_language() -> anyhow::Result<()> {
    let gallery = Gallery::open().await?;
    let mut found = Vec::new();
    for language in ["en", "de"] {
        let browser = gallery.browser(Looks { language, ..Looks::default() }).await?;
        let mut look = async |page: &str| {
            found.extend(wide(&browser, &format!("{language} {page}")).await?);
            anyhow::Ok(())
        };
        gallery.walk(&browser, &mut look).await?;
        if language == "en" {
            gallery.after_forms(&browser, &mut look).await?;
        }
        browser.close().await?;
    }
    assert!(found.is_empty(), "{found:#?}");
    Ok(())
}

/// The measure itself: what is too wide is seen.
#[tokio::test(flavor = "multi_thread")]
async fn what_sticks_out_is_seen() -> anyhow::Result<()> {
    let house = crate::house::House::start().await?;
    let browser = house.browser(Looks::default()).await?;
    assert_eq!(browser.sticks_out().await?, None);
    let widen = "document.querySelector('main h1').style.width = (document.querySelector('main').clientWidth + 20) + 'px'";
    browser.client.execute(widen, vec![]).await?;
    let told = browser.sticks_out().await?.unwrap_or_default();
    assert!(told.starts_with("main is "), "{told}");
    browser.close().await
}
