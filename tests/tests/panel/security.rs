//! Who signs in to the panel, and how: sessions and their end, the second factor, app passwords, and what is told of log-ins.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use postern_tests::{admin::PASSWORD, eventually, web::Web};
use ring::hmac;

use crate::house::House;

const SECURITY: &str = "/controlpanel/security";
const HOME: &str = "/controlpanel/homepage.test/home";
const CODE: &str = "/controlpanel/sign-in/code";
const BOX: &str = "/controlpanel/homepage.test/pop-accounts/box/user@homepage.test";

/// What an authenticator with this key shows, so many steps of 30 s from now (RFC 6238).
fn code(key: &str, steps: u64) -> anyhow::Result<String> {
    let (mut octets, mut bits, mut held) = (Vec::new(), 0_u32, 0);
    for letter in key.bytes().filter(|c| *c != b' ') {
        let place = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567".iter().position(|known| *known == letter);
        bits = bits << 5 | u32::try_from(place.context("base32")?)?;
        held += 5;
        if held >= 8 {
            held -= 8;
            octets.push(u8::try_from(bits >> held & 255)?);
        }
    }
    let step = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs() / 30 + steps;
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &octets);
    let tag = hmac::sign(&key, &step.to_be_bytes());
    let at = usize::from(tag.as_ref()[19] & 15);
    let number = u32::from_be_bytes(tag.as_ref()[at..at + 4].try_into()?) & 0x7fff_ffff;
    Ok(format!("{:06}", number % 1_000_000))
}

/// What stands in `code` of a page, in order.
fn shown(page: &str) -> Vec<String> {
    let pieces = page.split("<code>").skip(1).filter_map(|piece| piece.split("</code>").next());
    pieces.map(str::to_owned).collect()
}

/// Turns it on for somebody who is signed in; its key and the recovery codes.
async fn turn_on(web: &mut Web) -> anyhow::Result<(String, Vec<String>)> {
    let begun = web.submit(&format!("{SECURITY}/second-factor"), &[]).await?;
    assert!(begun.status == 200 && begun.body.contains("<svg class=\"qr\""), "{}", begun.body);
    let key = shown(&begun.body).into_iter().next().context("a key")?;
    let confirm = format!("{SECURITY}/second-factor/confirm");
    let answer = web.submit(&confirm, &[("code", "12345")]).await?;
    assert!(answer.status == 422 && answer.body.contains("This code is wrong"), "{}", answer.body);
    assert!(!answer.body.contains(&key), "the key is shown once");
    let answer = web.submit(&confirm, &[("code", &code(&key, 0)?)]).await?;
    assert_eq!(answer.status, 303, "{}", answer.body);
    let codes = web.get(&answer.location).await?;
    assert_eq!(codes.status, 200, "{}", codes.body);
    assert_eq!(web.get(&answer.location).await?.location, SECURITY, "the codes are shown once");
    Ok((key, shown(&codes.body)))
}

/// Somebody whose password was right and who is asked for the code.
async fn asked(house: &House, login: &str) -> anyhow::Result<Web> {
    let mut web = Web::new(house.platform.panel());
    let answer = web.sign_in(login, PASSWORD).await?;
    assert!(answer.status == 200 && answer.body.contains("Your code"), "{} {}", answer.status, answer.body);
    assert!(web.cookie("postern-session").is_none() && web.cookie("postern-code").is_some());
    assert_eq!(web.get(HOME).await?.status, 303, "half a proof opens nothing");
    Ok(web)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_factor_is_asked_for_and_each_code_is_taken_once() -> anyhow::Result<()> {
    let house = House::start().await?;
    let (mut web, mut other) = (Web::new(house.platform.panel()), Web::new(house.platform.panel()));
    other.sign_in("homepage", PASSWORD).await?;
    web.sign_in("homepage", PASSWORD).await?;
    let (key, recovery) = turn_on(&mut web).await?;
    assert_eq!(recovery.len(), 10, "{recovery:?}");
    assert_eq!(web.get(HOME).await?.status, 200);
    assert_eq!(other.get(HOME).await?.status, 303, "opened without a code: it ended");

    let mut new = asked(&house, "homepage").await?;
    for wrong in ["", "000000x", "no code at all"] {
        let answer = new.post(CODE, &[("code", wrong)]).await?;
        assert!(answer.status == 401 && answer.body.contains("code-problem"), "{wrong}: {}", answer.body);
    }
    let next = code(&key, 1)?;
    assert_eq!(new.post(CODE, &[("code", &next)]).await?.status, 303);
    assert_eq!(new.get(HOME).await?.status, 200);
    let mut replay = asked(&house, "homepage").await?;
    assert_eq!(replay.post(CODE, &[("code", &next)]).await?.status, 401, "a code is taken once");
    assert_eq!(replay.post(CODE, &[("code", &recovery[0].to_uppercase())]).await?.status, 303);
    let mut replay = asked(&house, "homepage").await?;
    assert_eq!(replay.post(CODE, &[("code", &recovery[0])]).await?.status, 401, "so is a recovery code");
    // Mail programs are not asked.
    assert!(house.opens("homepage", PASSWORD, true).await);

    // Five wrong ones: none is taken for a while, also no right one.
    for _ in 0..4 {
        assert_eq!(replay.post(CODE, &[("code", "1")]).await?.status, 401);
    }
    assert_eq!(replay.post(CODE, &[("code", &recovery[1])]).await?.status, 429);
    let activity = web.get("/controlpanel/homepage.test/activity?kind=second-factor").await?.body;
    for told in ["was created", "used a recovery code", "had too many wrong codes"] {
        assert!(activity.contains(told), "{told}: {activity}");
    }
    assert!(!activity.contains(&recovery[1]) && !activity.contains(&key));

    // Who lost everything is helped by the operator.
    let mut operator = Web::new(house.platform.panel());
    operator.sign_in_with_token(house.platform.operator_token()).await?;
    let customer = "/controlpanel/operator/customers/of/homepage";
    assert!(operator.get(customer).await?.body.contains("Take the second factor away"));
    assert_eq!(operator.submit(&format!("{customer}/second-factor"), &[]).await?.status, 303);
    assert_eq!(Web::new(house.platform.panel()).sign_in("homepage", PASSWORD).await?.status, 303);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mailbox_user_turns_it_off_with_a_code_and_the_customer_without() -> anyhow::Result<()> {
    let house = House::start().await?;
    let login = "user@homepage.test";
    let (mut user, mut owner) = (Web::new(house.platform.panel()), Web::new(house.platform.panel()));
    user.sign_in(login, PASSWORD).await?;
    owner.sign_in("homepage", PASSWORD).await?;
    let (_, recovery) = turn_on(&mut user).await?;
    let remove = format!("{SECURITY}/second-factor/remove");
    let answer = user.submit(&remove, &[("code", "")]).await?;
    assert!(answer.status == 422 && answer.body.contains("code-problem"), "{}", answer.body);
    assert_eq!(user.submit(&format!("{BOX}/second-factor"), &[]).await?.status, 422, "not without a code");
    asked(&house, login).await?;
    assert_eq!(user.submit(&remove, &[("code", &recovery[3])]).await?.status, 303);
    assert_eq!(Web::new(house.platform.panel()).sign_in(login, PASSWORD).await?.status, 303);

    turn_on(&mut user).await?;
    assert!(owner.get(BOX).await?.body.contains("signs in here with a second factor"));
    assert_eq!(owner.submit(&format!("{BOX}/second-factor"), &[]).await?.status, 303);
    assert_eq!(Web::new(house.platform.panel()).sign_in(login, PASSWORD).await?.status, 303);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_are_listed_and_ended_one_by_one_and_all_at_once() -> anyhow::Result<()> {
    let house = House::start().await?;
    let mut webs = Vec::new();
    for _ in 0..3 {
        let mut web = Web::new(house.platform.panel());
        web.sign_in("homepage", PASSWORD).await?;
        webs.push(web);
    }
    let page = webs[0].get(SECURITY).await?.body;
    assert_eq!(page.matches("127.0.0.1").count(), 3, "{page}");
    assert_eq!(page.matches("this browser").count(), 1);
    for web in &webs {
        assert!(!page.contains(web.cookie("postern-session").unwrap_or("?")), "no token on a page");
    }
    // A rival cannot end what is not the rival's.
    let session = page.split("name=\"session-id\" value=\"").nth(1).and_then(|rest| rest.split('"').next());
    let session = session.context("a session")?.to_owned();
    let mut rival = Web::new(house.platform.panel());
    rival.sign_in("rival", PASSWORD).await?;
    let end = format!("{SECURITY}/sessions/end");
    rival.submit(&end, &[("session-id", &session)]).await?;
    for web in &mut webs {
        assert_eq!(web.get(HOME).await?.status, 200);
    }
    assert_eq!(webs[0].submit(&end, &[("session-id", &session)]).await?.status, 303);
    let mut alive = 0;
    for web in &mut webs {
        alive += u8::from(web.get(HOME).await?.status == 200);
    }
    assert_eq!(alive, 2, "one has ended");
    assert_eq!(webs[0].submit(&end, &[]).await?.status, 303);
    assert_eq!(webs[0].get(SECURITY).await?.body.matches("127.0.0.1").count(), 1);
    let mut last = webs[0].clone();
    let answer = webs[0].submit(&format!("{SECURITY}/sessions/end-all"), &[]).await?;
    assert!(answer.body.contains("signed out everywhere") && webs[0].cookie("postern-session").is_none());
    assert_eq!(last.get(HOME).await?.status, 303);

    // A suspended customer's session ends at its next use.
    let mut web = Web::new(house.platform.panel());
    web.sign_in("homepage", PASSWORD).await?;
    let mut operator = Web::new(house.platform.panel());
    operator.sign_in_with_token(house.platform.operator_token()).await?;
    let state = "/controlpanel/operator/customers/of/homepage/state";
    assert_eq!(operator.submit(state, &[("state", "suspended")]).await?.status, 303);
    assert_eq!(web.get(HOME).await?.status, 303);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn app_passwords_are_shown_once_and_log_ins_are_told() -> anyhow::Result<()> {
    let house = House::start().await?;
    let login = "user@homepage.test";
    let mut web = Web::new(house.platform.panel());
    web.sign_in(login, PASSWORD).await?;
    let page = format!("{BOX}/app-passwords");
    let answer = web.submit(&page, &[("name", ""), ("protocol", "pop3")]).await?;
    assert!(answer.status == 422 && answer.body.contains("name-problem"), "{}", answer.body);
    let made = web.submit(&page, &[("name", "The <b>laptop"), ("protocol", "pop3")]).await?;
    assert_eq!((made.status, made.location.as_str()), (303, page.as_str()), "{}", made.body);
    assert!(web.get(BOX).await?.status == 200, "another page on the way does not take it away");
    let locked = web.cookie("postern-once").context("on its way")?.to_owned();
    let one = web.get(&page).await?;
    let secret = shown(&one.body).into_iter().find(|text| text.len() == 27).context("an app password")?;
    assert!(!locked.contains(&secret) && web.cookie("postern-once").is_none());
    let again = web.get(&page).await?.body;
    assert!(!again.contains(&secret), "it is shown once");
    assert_eq!(again.matches("The &lt;b&gt;laptop</th>").count(), 1, "a reload makes no second one");
    assert!(house.opens(login, &secret, true).await);
    assert_eq!(Web::new(house.platform.panel()).sign_in(login, &secret).await?.status, 401);
    let used = eventually(Duration::from_secs(10), async || {
        let page = web.clone().get(&page).await.map(|answer| answer.body).unwrap_or_default();
        page.contains("The &lt;b&gt;laptop") && page.contains("<code>127.0.0.1</code>")
    });
    assert!(used.await, "when it was used last");

    assert!(house.opens(login, "not the password", false).await);
    let told = eventually(Duration::from_secs(10), async || {
        let page = web.clone().get(BOX).await.map(|answer| answer.body).unwrap_or_default();
        page.contains("Fetching mail (POP3)") && page.contains("The password was wrong.")
    });
    assert!(told.await, "the last good log-in and the last failure");

    let listed = web.get(&page).await?;
    let id = listed.hidden("id").context("its number")?;
    assert_eq!(web.submit(&format!("{page}/remove"), &[("id", &id), ("name", "x")]).await?.status, 303);
    assert!(house.opens(login, &secret, false).await, "taken back");
    Ok(())
}
