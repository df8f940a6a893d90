//! A removal has a way back, however large it was and whoever did it.

use anyhow::Context as _;
use postern_proto::account::v1::{
    CustomerLimits, GetForwardRequest, Limits, ListListMembersRequest, MailingList, UpdateLimitsRequest,
    limits_service_client::LimitsServiceClient,
};
use postern_tests::{
    admin::PASSWORD,
    web::{Answer, Web},
};

use crate::house::House;

const BASE: &str = "/controlpanel/homepage.test";
const LIST: &str = "news@homepage.test";
/// A whole page of members; their addresses are as long as addresses may be, so that no cookie holds them.
const MEMBERS: usize = 100;

async fn member_count(house: &House) -> anyhow::Result<usize> {
    let request = ListListMembersRequest { list: LIST.to_owned(), page_size: 1000, ..Default::default() };
    Ok(house.admin.mailing_lists().list_list_members(request).await?.into_inner().members.len())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_whole_page_of_members_comes_back_at_one_press() -> anyhow::Result<()> {
    let house = House::start().await?;
    let members: Vec<_> = (0..MEMBERS).map(|n| format!("{}{n:03}@outside.test", "x".repeat(61))).collect();
    let list = MailingList { address: LIST.to_owned(), ..MailingList::default() };
    house.admin.mailing_list(list, &members).await?;
    let mut web = Web::new(house.platform.panel());
    web.sign_in("homepage", PASSWORD).await?;
    let page = format!("{BASE}/mailing-lists/of/{LIST}");
    let ticked: Vec<_> = members.iter().map(|member| ("member", member.as_str())).collect();

    let answer = web.submit(&format!("{page}/members/remove"), &ticked).await?;
    assert_eq!((answer.status, member_count(&house).await?), (303, 0));
    let cookie = answer.headers.iter().find(|(name, value)| name == "set-cookie" && value.contains("said"));
    let (_, cookie) = cookie.context("what was done is said")?;
    assert!(cookie.len() < 4096, "a browser drops a longer cookie: {}", cookie.len());
    let (to, undo) = web.get(&answer.location).await?.undo().context("a way back")?;
    let answer = web.send_form(&to, &undo).await?;
    assert_eq!((answer.status, member_count(&house).await?), (303, MEMBERS), "{}", answer.body);
    let said = web.get(&answer.location).await?;
    assert!(said.body.contains("Back on the list: 100"), "{}", said.body);
    // Pressed once more, there is nothing left to do.
    let again = web.send_form(&to, &undo).await?;
    assert!(again.status == 422 && again.body.contains("All of them are members"), "{}", again.body);

    // Later, from what was done.
    web.submit(&format!("{page}/members/remove"), &ticked[..30]).await?;
    assert_eq!(member_count(&house).await?, MEMBERS - 30);
    let activity = web.get(&format!("{BASE}/activity?kind=list-member&action=delete")).await?;
    let undo = activity.form(&format!("{BASE}/activity/undo"), &[]);
    // The form of the oldest entry is the last one: the newest is the first after it.
    let ids: Vec<i64> = activity
        .body
        .split("name=\"audit-id\" value=\"")
        .skip(1)
        .filter_map(|rest| rest.split('"').next()?.parse().ok())
        .collect();
    let newest = ids.iter().max().context("an entry")?.to_string();
    let undo: Vec<_> = undo
        .into_iter()
        .map(|(name, value)| if name == "audit-id" { (name, newest.clone()) } else { (name, value) })
        .collect();
    let answer = web.send_form(&format!("{BASE}/activity/undo"), &undo).await?;
    assert_eq!((answer.status, member_count(&house).await?), (303, MEMBERS), "{}", answer.body);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_user_of_one_box_has_a_way_back_too() -> anyhow::Result<()> {
    let house = House::start().await?;
    house.admin.forward("user@homepage.test", &["out@outside.test"], true).await?;
    house.admin.autoresponder("user@homepage.test", "Away", "Back on Monday").await?;
    let mut web = Web::new(house.platform.panel());
    web.sign_in("user@homepage.test", PASSWORD).await?;
    for (menu, kept) in [("forwards", "out@outside.test"), ("autoresponders", "Back on Monday")] {
        let page = format!("{BASE}/{menu}/of/user@homepage.test");
        assert!(web.get(&page).await?.body.contains(kept));
        let answer = web.submit(&format!("{page}/remove"), &[]).await?;
        assert_eq!(answer.status, 303, "{menu}: {}", answer.body);
        let gone = web.get(&answer.location).await?;
        assert!(!gone.body.contains(kept), "{menu}: it is removed");
        let (to, undo) = gone.undo().context("a way back")?;
        let answer = web.send_form(&to, &undo).await?;
        assert_eq!(answer.status, 303, "{menu}: {}", answer.body);
        assert!(web.get(&answer.location).await?.body.contains(kept), "{menu}: it is back");
    }
    // What its owner removed is none of the user's.
    house.admin.forward("sales@homepage.test", &["user@homepage.test"], false).await?;
    let mut owner = Web::new(house.platform.panel());
    owner.sign_in("homepage", PASSWORD).await?;
    let removed = owner.submit(&format!("{BASE}/forwards/of/sales@homepage.test/remove"), &[]).await?;
    let (to, undo) = owner.get(&removed.location).await?.undo().context("a way back")?;
    let fields: Vec<_> =
        undo.iter().filter(|(name, _)| name == "audit-id").map(|(n, v)| (n.as_str(), v.as_str())).collect();
    assert_eq!(web.submit(&to, &fields).await?.status, 404);
    let request = GetForwardRequest { address: "sales@homepage.test".to_owned() };
    assert!(house.admin.forwards().get_forward(request).await.is_err());
    Ok(())
}

/// Presses the button of the oldest removal of a box.
async fn undo_the_oldest(web: &mut Web) -> anyhow::Result<Answer> {
    let activity = web.get(&format!("{BASE}/activity?kind=mailbox&action=delete")).await?;
    let ids = activity.body.split("name=\"mailbox-id\" value=\"").skip(1);
    let ids: Vec<i64> = ids.filter_map(|rest| rest.split('"').next()?.parse().ok()).collect();
    let oldest = ids.last().context("a removal")?.to_string();
    web.submit(&format!("{BASE}/pop-accounts/restore"), &[("address", ANNA), ("mailbox-id", &oldest)]).await
}

const ANNA: &str = "anna@homepage.test";

#[tokio::test(flavor = "multi_thread")]
async fn the_undo_of_a_removal_brings_back_the_box_of_its_line() -> anyhow::Result<()> {
    let house = House::start().await?;
    let first = house.admin.mailbox(ANNA).await?.mailbox_id;
    house.admin.remove_mailbox(ANNA).await?;
    let second = house.admin.mailbox(ANNA).await?.mailbox_id;
    house.admin.remove_mailbox(ANNA).await?;
    assert_ne!(first, second);
    let mut web = Web::new(house.platform.panel());
    web.sign_in("homepage", PASSWORD).await?;
    let answer = undo_the_oldest(&mut web).await?;
    assert_eq!(answer.status, 303, "{}", answer.body);
    assert_eq!(house.admin.get_mailbox(ANNA).await?.mailbox_id, first);
    // Pressed once more, it is no page that does not exist.
    let answer = undo_the_oldest(&mut web).await?;
    assert_eq!(answer.status, 303, "{}", answer.body);
    let said = web.get(&answer.location).await?;
    assert!(said.status == 200 && said.body.contains("did not come back"), "{}", said.body);
    assert_eq!(house.admin.get_mailbox(ANNA).await?.mailbox_id, first);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_come_back_with_a_box_is_named() -> anyhow::Result<()> {
    let house = House::start().await?;
    house.admin.mailbox(ANNA).await?;
    house.admin.forward(ANNA, &["out@outside.test"], true).await?;
    house.admin.remove_mailbox(ANNA).await?;
    house.admin.forward("other@homepage.test", &["out@outside.test"], false).await?;
    let limits = Limits { forwards: Some(1), ..Limits::default() };
    let limits =
        CustomerLimits { customer: "homepage".to_owned(), limits: Some(limits), ..CustomerLimits::default() };
    let request = UpdateLimitsRequest { limits: Some(limits) };
    LimitsServiceClient::new(house.admin.account_channel()).update_limits(request).await?;
    let mut web = Web::new(house.platform.panel());
    web.sign_in("homepage", PASSWORD).await?;
    let answer = undo_the_oldest(&mut web).await?;
    assert_eq!(answer.status, 303, "{}", answer.body);
    let said = web.get(&answer.location).await?;
    assert!(said.body.contains("but without: forward"), "{}", said.body);
    Ok(())
}
