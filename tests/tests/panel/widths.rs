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

/// Where there is room, cards stand beside each other; where there is none, each has the whole line.
#[tokio::test(flavor = "multi_thread")]
async fn cards_stand_side_by_side_where_there_is_room() -> anyhow::Result<()> {
    const COLUMNS: &str = "
        const lists = [...document.querySelectorAll('main .cards.wide')];
        return lists.map(list => new Set([...list.children].map(card => Math.round(card.getBoundingClientRect().left))).size);";
    let house = crate::house::House::start().await?;
    let browser = house.browser(Looks::default()).await?;
    for page in ["home", "pop-accounts/box/user@homepage.test", "mail", "set-up"] {
        browser.open(&format!("/controlpanel/homepage.test/{page}")).await?;
        for (width, columns) in [(360, 1), (1280, 2), (1920, 2)] {
            browser.look(Looks { width, ..Looks::default() }).await?;
            let found = browser.client.execute(COLUMNS, vec![]).await?;
            let found: Vec<u64> = found.as_array().into_iter().flatten().filter_map(|n| n.as_u64()).collect();
            assert!(!found.is_empty(), "{page} has cards");
            let fits = |n: &u64| if columns == 1 { *n == 1 } else { *n >= columns };
            assert!(found.iter().all(fits), "{page} at {width}: {found:?} columns");
        }
    }
    browser.close().await
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
