//! A form changes what was touched and nothing else: what a page shows less exactly than it is stored stays as it is, and what
//! somebody else has changed meanwhile is told at its field before it is saved over.

use anyhow::Context as _;
use postern_proto::{
    account::v1::{
        Autoresponder, CustomerLimits, DefaultAction, Domain, GetAutoresponderRequest, GetDomainRequest,
        GetLimitsRequest, GetMailingListRequest, Limits, MailingList, UpdateAutoresponderRequest,
        UpdateDomainRequest, UpdateLimitsRequest, autoresponder_service_client::AutoresponderServiceClient,
        domain_service_client::DomainServiceClient, limits_service_client::LimitsServiceClient,
    },
    google::{FieldMask, Timestamp},
};
use postern_tests::{
    admin::PASSWORD,
    web::{Answer, Web},
};

use crate::house::House;

const BASE: &str = "/controlpanel/homepage.test";
const LIMITS: &str = "/controlpanel/operator/customers/of/homepage/limits";

/// Saves the form of a page with these fields changed; the form goes to `action`.
async fn save(
    web: &mut Web,
    page: &Answer,
    action: &str,
    changed: &[(&str, &str)],
) -> anyhow::Result<Answer> {
    let form = page.form(action, changed);
    anyhow::ensure!(!form.is_empty(), "no form to {action}: {} {}", page.status, page.body);
    web.send_form(action, &form).await
}

fn mask(paths: &[&str]) -> Option<FieldMask> {
    Some(FieldMask { paths: paths.iter().map(|path| (*path).to_owned()).collect() })
}

/// What pages round: a quota, the largest post, how long one may send, when an answer ends, room.
async fn fine_values(house: &House) -> anyhow::Result<()> {
    let admin = &house.admin;
    admin.quota("user@homepage.test", 2_147_483_648).await?;
    let list = MailingList {
        address: "news@homepage.test".to_owned(),
        message_max_bytes: 2048,
        ..MailingList::default()
    };
    admin.mailing_list(list, &[]).await?;
    let domain =
        Domain { name: "homepage.test".to_owned(), grant_ttl_seconds: Some(330), ..Domain::default() };
    let request = UpdateDomainRequest { domain: Some(domain), update_mask: mask(&["grant_ttl_seconds"]) };
    DomainServiceClient::new(admin.account_channel()).update_domain(request).await?;
    let answer = Autoresponder {
        address: "hours@homepage.test".to_owned(),
        subject: "Our hours".to_owned(),
        text: "Nine\r\nto five.\r\n".to_owned(),
        end_time: Some(Timestamp { seconds: 4_000_000_031, nanos: 0 }),
        ..Autoresponder::default()
    };
    let request = UpdateAutoresponderRequest {
        autoresponder: Some(answer),
        update_mask: mask(&["subject", "text", "end_time"]),
        allow_missing: true,
    };
    AutoresponderServiceClient::new(admin.account_channel()).update_autoresponder(request).await?;
    Ok(())
}

/// The same of limits, which bind from then on.
async fn fine_limits(house: &House) -> anyhow::Result<()> {
    let limits = Limits {
        storage_bytes: Some(1_073_741_824),
        mailbox_storage_bytes: Some(500_000),
        ..Limits::default()
    };
    let limits =
        CustomerLimits { customer: "homepage".to_owned(), limits: Some(limits), ..CustomerLimits::default() };
    let request = UpdateLimitsRequest { limits: Some(limits) };
    LimitsServiceClient::new(house.admin.account_channel()).update_limits(request).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn saving_a_form_changes_only_what_was_touched() -> anyhow::Result<()> {
    let house = House::start().await?;
    let admin = &house.admin;
    fine_values(&house).await?;
    let mut web = Web::new(house.platform.panel());
    web.sign_in("homepage", PASSWORD).await?;
    let saved = async |web: &mut Web, page: &str, action: &str, changed: &[(&str, &str)]| {
        let shown = web.get(page).await?;
        let answer = save(web, &shown, action, changed).await?;
        anyhow::ensure!(answer.status == 303, "{action}: {} {}", answer.status, answer.body);
        anyhow::Ok(())
    };

    let page = format!("{BASE}/pop-accounts/box/user@homepage.test");
    saved(&mut web, &page, &format!("{page}/settings"), &[("display-name", "Anna")]).await?;
    let stored = admin.get_mailbox("user@homepage.test").await?;
    assert_eq!((stored.display_name.as_str(), stored.quota_bytes), ("Anna", Some(2_147_483_648)));
    saved(&mut web, &page, &format!("{page}/settings"), &[("quota", "50")]).await?;
    assert_eq!(admin.get_mailbox("user@homepage.test").await?.quota_bytes, Some(50_000_000));
    fine_limits(&house).await?;

    let page = format!("{BASE}/mailing-lists/of/news@homepage.test/settings");
    saved(&mut web, &page, &page, &[("description", "What is new")]).await?;
    let request = GetMailingListRequest { address: "news@homepage.test".to_owned() };
    let list = admin.mailing_lists().get_mailing_list(request).await?.into_inner().list.unwrap_or_default();
    assert_eq!((list.description.as_str(), list.message_max_bytes), ("What is new", 2048));

    saved(&mut web, &format!("{BASE}/domain"), &format!("{BASE}/domain/rules"), &[("auth-only", "yes")])
        .await?;
    let request = GetDomainRequest { name: "homepage.test".to_owned() };
    let mut domains = DomainServiceClient::new(admin.account_channel());
    let domain = domains.get_domain(request).await?.into_inner().domain.unwrap_or_default();
    assert_eq!((domain.auth_only, domain.grant_ttl_seconds), (true, Some(330)));

    let page = format!("{BASE}/autoresponders/of/hours@homepage.test");
    saved(&mut web, &page, &page, &[("subject", "Holidays")]).await?;
    let mut answers = AutoresponderServiceClient::new(admin.account_channel());
    let request = GetAutoresponderRequest { address: "hours@homepage.test".to_owned() };
    let answer = answers.get_autoresponder(request).await?.into_inner().autoresponder.unwrap_or_default();
    assert_eq!(answer.end_time, Some(Timestamp { seconds: 4_000_000_031, nanos: 0 }));
    assert_eq!((answer.subject.as_str(), answer.text.as_str()), ("Holidays", "Nine\r\nto five.\r\n"));

    let mut operator = Web::new(house.platform.panel());
    operator.sign_in_with_token(house.platform.operator_token()).await?;
    let page = "/controlpanel/operator/customers/of/homepage";
    saved(&mut operator, page, LIMITS, &[("mailboxes", "7")]).await?;
    let request = GetLimitsRequest { customer: "homepage".to_owned() };
    let mut limits = LimitsServiceClient::new(admin.account_channel());
    let set = limits.get_limits(request).await?.into_inner().limits.unwrap_or_default();
    let set = set.limits.unwrap_or_default();
    assert_eq!(
        (set.mailboxes, set.storage_bytes, set.mailbox_storage_bytes),
        (Some(7), Some(1_073_741_824), Some(500_000))
    );
    Ok(())
}

/// A form that two tabs change: its page, where it goes, a field, what each tab says in it, and what the other one is told.
struct Editor {
    page: String,
    action: String,
    field: &'static str,
    theirs: &'static str,
    mine: &'static str,
    told: &'static str,
}

fn editors() -> Vec<Editor> {
    let editor = |page: &str, below: &str, field, theirs, mine, told| {
        let page = format!("{BASE}/{page}");
        Editor { action: format!("{page}{below}"), page, field, theirs, mine, told }
    };
    let limits = Editor {
        page: "/controlpanel/operator/customers/of/homepage".to_owned(),
        action: LIMITS.to_owned(),
        field: "mailboxes",
        theirs: "7",
        mine: "8",
        told: "7",
    };
    vec![
        editor(
            "pop-accounts/box/user@homepage.test",
            "/settings",
            "display-name",
            "<T>",
            "Mine",
            "&lt;T&gt;",
        ),
        editor(
            "forwards/of/f@homepage.test",
            "",
            "targets",
            "t@outside.test",
            "m@outside.test",
            "t@outside.test",
        ),
        editor("mailing-lists/of/news@homepage.test/settings", "", "description", "Theirs", "Mine", "Theirs"),
        editor("mailing-lists/of/news@homepage.test/settings", "", "posting", "anyone", "owner", "Anybody"),
        editor("autoresponders/of/hours@homepage.test", "", "subject", "Theirs", "Mine", "Theirs"),
        editor("default-address", "", "target", "user@homepage.test", "m@outside.test", "user@homepage.test"),
        editor("domain", "/rules", "grant", "20", "30", "20"),
        editor("domain", "/incoming", "spam", "off", "follow", "Do not scan"),
        limits,
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_saves_second_is_shown_at_each_field_what_there_is_now() -> anyhow::Result<()> {
    let house = House::start().await?;
    let admin = &house.admin;
    admin.forward("f@homepage.test", &["old@outside.test"], false).await?;
    let list = MailingList { address: "news@homepage.test".to_owned(), ..MailingList::default() };
    admin.mailing_list(list, &[]).await?;
    admin.autoresponder("hours@homepage.test", "Our hours", "Nine to five.").await?;
    admin.default_address("homepage.test", DefaultAction::Address, "old@outside.test").await?;
    let mut web = Web::new(house.platform.panel());
    web.sign_in("homepage", PASSWORD).await?;
    let mut operator = Web::new(house.platform.panel());
    operator.sign_in_with_token(house.platform.operator_token()).await?;

    for editor in editors() {
        let Editor { page, action, field, theirs, mine, told } = editor;
        let web = if action == LIMITS { &mut operator } else { &mut web };
        let seen = web.get(&page).await?;
        let answer = save(web, &seen, &action, &[(field, theirs)]).await?;
        assert_eq!(answer.status, 303, "{action} {field}: {}", answer.body);
        // The other tab has the page of before.
        let late = save(web, &seen, &action, &[(field, mine)]).await?;
        assert_eq!(late.status, 422, "{action} {field}: it was not saved over");
        let note = late.body.split(&format!("id=\"{field}-now\">")).nth(1).unwrap_or_default();
        let note = note.split("</p>").next().unwrap_or_default();
        assert_eq!(note, format!("There is now: {told}"), "{action} {field}");
        assert_eq!(late.body.matches("There is now: ").count(), 1, "{action}: only what differs");
        // Whoever has seen it may save over it.
        let typed = late.form(&action, &[]).into_iter().find(|(name, _)| name == field);
        assert_eq!(typed.map(|(_, value)| value).as_deref(), Some(mine), "{action} {field}: it is kept");
        let answer = save(web, &late, &action, &[]).await?;
        assert_eq!(answer.status, 303, "{action} {field}: {}", answer.body);
        let stored = web.get(&page).await?.form(&action, &[]).into_iter().find(|(name, _)| name == field);
        assert_eq!(stored.map(|(_, value)| value).as_deref(), Some(mine), "{action} {field}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn undoing_a_default_address_does_not_undo_what_came_after_it() -> anyhow::Result<()> {
    let house = House::start().await?;
    let mut web = Web::new(house.platform.panel());
    web.sign_in("homepage", PASSWORD).await?;
    let page = format!("{BASE}/default-address");
    let shown = web.get(&page).await?;
    assert_eq!(save(&mut web, &shown, &page, &[("action", "reject")]).await?.status, 303);
    let said = web.get(&page).await?;
    let (to, undo) = said.undo().context("a way back")?;
    assert!(undo.contains(&("action".to_owned(), "box".to_owned())), "{undo:?}");
    // Somebody else has another rule by now.
    house.admin.default_address("homepage.test", DefaultAction::Discard, "").await?;
    let late = web.send_form(&to, &undo).await?;
    assert_eq!(late.status, 422, "{}", late.body);
    assert!(late.body.contains("There is now: "), "{}", late.body);
    Ok(())
}
