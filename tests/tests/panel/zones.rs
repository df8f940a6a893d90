//! Times are told where the reader is: the browser says where that is, a reader may choose any place, and the operator says what
//! holds for browsers that tell nothing.

use postern_tests::{
    admin::PASSWORD,
    browser::{Browser, Looks},
    platform::Blueprint,
    web::Web,
};
use serde_json::json;

use crate::house::House;

const PREFERENCES: &str = "/controlpanel/preferences";

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_in_another_country_sees_its_own_time() -> anyhow::Result<()> {
    let house = House::start().await?;
    let browser = Browser::start(house.platform.panel(), Looks::default()).await?;
    // A place that no short list had.
    browser.devtools("Emulation.setTimezoneOverride", json!({"timezoneId": "Asia/Karachi"})).await?;
    browser.sign_in("homepage", PASSWORD).await?;
    browser.open("/controlpanel/homepage.test/pop-accounts/box/user@homepage.test").await?;
    assert!(browser.text(".foot").await?.contains("Asia/Karachi"));
    // What the page tells is what the browser itself would tell.
    let told = "
        const time = [...document.querySelectorAll('main time')].at(-1);
        const clock = new Date(time.dateTime).toLocaleTimeString('en-GB', { hour: '2-digit', minute: '2-digit' });
        return [time.textContent, clock];";
    let told = browser.client.execute(told, vec![]).await?;
    let (page, clock) = (told[0].as_str().unwrap_or_default(), told[1].as_str().unwrap_or_default());
    assert!(clock.len() == 5 && page.ends_with(clock), "{page} is not {clock}");

    // What somebody chooses stays, whatever the browser says.
    browser.open(PREFERENCES).await?;
    assert_eq!(browser.value("zone").await?, "Asia/Karachi");
    browser.choose("zone", "America/Argentina/Buenos_Aires").await?;
    browser.press("main button.primary").await?;
    browser.open("/controlpanel/homepage.test/home").await?;
    assert!(browser.text(".foot").await?.contains("America/Argentina/Buenos_Aires"));
    browser.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn without_scripts_the_zone_of_the_operator_holds() -> anyhow::Result<()> {
    let platform = Blueprint::new().set("POSTERN_PANEL_TIME_ZONE", "Europe/Berlin").start().await?;
    let mut web = Web::new(platform.panel());
    let front = web.get("/controlpanel").await?;
    assert!(
        front.body.contains("Times are in Europe/Berlin.") && front.body.contains("data-zone=\"unknown\"")
    );
    // Any place that is known is taken, and nothing else.
    for (zone, taken) in [("Asia/Dhaka", true), ("Nowhere/Atall", false), ("../../etc/passwd", false)] {
        let answer = web.post(PREFERENCES, &[("zone", zone), ("back", PREFERENCES)]).await?;
        assert_eq!(answer.status, 303);
        let page = web.get(PREFERENCES).await?;
        assert_eq!(page.body.contains(&format!("Times are in {zone}.")), taken, "{zone}");
        assert!(page.body.contains("Times are in Asia/Dhaka.") && !page.body.contains("data-zone"), "{zone}");
    }
    Ok(())
}
