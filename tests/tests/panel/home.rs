//! Home: what needs somebody, with the way to where it is mended, and how mail goes, as pictures with their figures.

use std::{sync::Arc, time::Duration};

use postern::sink::{Answer, Moment, Sink, SinkSettings};
use postern_mesh::identity::{Caller, Role};
use postern_proto::account::v1::{
    GetMailingListRequest, MailingList, ReportListCopiesRequest,
    mailing_list_service_client::MailingListServiceClient,
};
use postern_tests::{
    admin::PASSWORD,
    browser::Looks,
    dns::{World, address, mx, txt},
    eventually,
    platform::Blueprint,
    pop3::Pop3,
    smtp::{self, message},
    web::Web,
};

use crate::house::House;

const HOME: &str = "/controlpanel/homepage.test/home";
const DOMAIN: &str = "/controlpanel/homepage.test/domain";
const WAIT: Duration = Duration::from_secs(30);
const MEMBER: &str = "gone@outside.test";

/// Takes everything but mail to this member.
async fn outside() -> anyhow::Result<Sink> {
    let script = |moment: &Moment<'_>| match moment {
        Moment::Recipient { recipient, .. } if *recipient == MEMBER => {
            Answer::Reply("550 5.1.1 nobody of that name".to_owned())
        }
        _ => Answer::Accept,
    };
    Ok(Sink::start(SinkSettings { script: Some(Arc::new(script)), ..SinkSettings::default() }).await?)
}

/// A member whose copies came back five times, and the probe too.
async fn suspend_member(house: &House, list: &str) -> anyhow::Result<()> {
    let list = MailingList { address: list.to_owned(), ..Default::default() };
    let address = list.address.clone();
    house.admin.mailing_list(list, &[MEMBER.to_owned()]).await?;
    let found = house.admin.mailing_lists().get_mailing_list(GetMailingListRequest { address }).await?;
    let list_id = found.into_inner().list.unwrap_or_default().list_id;
    let delivery = Caller::new("delivery", Role::Service);
    let mut lists =
        MailingListServiceClient::new(house.admin.channel_as("/postern.account.", Some(&delivery)));
    for _ in 0..5 {
        let bounced = vec![MEMBER.to_owned()];
        let request = ReportListCopiesRequest { list_id, bounced, ..Default::default() };
        for probe in lists.report_list_copies(request).await?.into_inner().probes {
            let request =
                ReportListCopiesRequest { list_id, bounced_probes: vec![probe.token], ..Default::default() };
            lists.report_list_copies(request).await?;
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn home_names_what_needs_somebody_until_it_is_mended() -> anyhow::Result<()> {
    let sink = outside().await?;
    let platform = Blueprint::new().set("POSTERN_SMARTHOST", &sink.address().to_string()).start().await?;
    let admin = platform.admin()?;
    admin.domain("homepage", "homepage.test").await?;
    for address in
        ["user@homepage.test", "full@homepage.test", "nearly@homepage.test", "stopped@homepage.test"]
    {
        admin.mailbox(address).await?;
    }
    let house = House { platform, admin };
    let mut web = Web::new(house.platform.panel());
    web.sign_in("homepage", PASSWORD).await?;
    assert!(web.get(HOME).await?.body.contains("All is well"));

    house.admin.quota("full@homepage.test", 50_000).await?;
    house.admin.quota("nearly@homepage.test", 100_000).await?;
    house.admin.suspend("stopped@homepage.test", true).await?;
    for (to, size) in [("full@homepage.test", 60_000), ("nearly@homepage.test", 93_000)] {
        let reply =
            smtp::send(house.platform.smtp(0), "friend@outside.test", &[to], &message("big", size)).await?;
        assert!(reply.starts_with("250 "), "{reply}");
    }
    suspend_member(&house, "staff@homepage.test").await?;
    Pop3::login(house.platform.pop3(0), "user@homepage.test", PASSWORD).await?.quit().await?;
    let to = [MEMBER, "you@outside.test"];
    let reply = smtp::send(house.platform.smtp(0), "user@homepage.test", &to, &message("out", 700)).await?;
    let id = reply.rsplit(' ').next().unwrap_or_default().to_owned();

    let told = [
        "The mailbox full@homepage.test is full".to_owned(),
        "pop-accounts/box/full@homepage.test\"".to_owned(),
        "The mailbox nearly@homepage.test is nearly full: 9".to_owned(),
        "stopped@homepage.test is suspended".to_owned(),
        format!("Mail from user@homepage.test to {MEMBER} was refused (today"),
        "550 5.1.1 nobody of that name".to_owned(),
        format!("mail/story/{id}\""),
        format!("{MEMBER} gets nothing from the list staff@homepage.test since today"),
        "mailing-lists/of/staff@homepage.test\"".to_owned(),
    ];
    let all = eventually(WAIT, async || {
        let page = web.clone().get(HOME).await.map(|answer| answer.body).unwrap_or_default();
        told.iter().all(|text| page.contains(text))
    });
    let all = all.await;
    let page = web.get(HOME).await?.body;
    assert!(all, "{:?}: {page}", told.iter().filter(|text| !page.contains(*text)).collect::<Vec<_>>());
    assert!(!page.contains("All is well"));
    // What became of the mail, with the way to the messages.
    assert!(page.contains("mail?direction=sent&amp;state=failed\">failed</a> <strong>1</strong>"), "{page}");
    assert!(page.contains("state=sent\">handed over</a> <strong>1</strong>"), "{page}");

    // Mended one by one, from the pages where the ways lead.
    let list = "/controlpanel/homepage.test/mailing-lists/of/staff@homepage.test";
    let members = web.get(list).await?.body;
    assert!(members.contains("gets none") && members.contains("Send again"), "{members}");
    let answer = web.submit(&format!("{list}/members/resume"), &[("resumed", MEMBER)]).await?;
    assert_eq!(answer.status, 303, "{}", answer.body);
    assert!(web.get(list).await?.body.contains(&format!("{MEMBER} gets posts of this list again.")));
    house.admin.quota("full@homepage.test", -1).await?;
    house.admin.quota("nearly@homepage.test", -1).await?;
    house.admin.suspend("stopped@homepage.test", false).await?;
    let page = web.get(HOME).await?.body;
    for gone in ["is full", "nearly full", "is suspended", "gets nothing"] {
        assert!(!page.contains(gone), "{gone}: {page}");
    }

    // The user of a box sees none of the domain's.
    let mut user = Web::new(house.platform.panel());
    user.sign_in("user@homepage.test", PASSWORD).await?;
    let own = user.get(HOME).await?.body;
    assert!(!own.contains("nearly@homepage.test") && !own.contains("staff@homepage.test"), "{own}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn home_tells_which_record_is_missing_and_asks_nobody_for_that() -> anyhow::Result<()> {
    let world = World::start().await;
    let platform = Blueprint::new()
        .set("POSTERN_RESOLVER", &world.address.to_string())
        .set("POSTERN_MAIL_HOST_ADDRESSES", "192.0.2.1")
        .set("POSTERN_DOMAIN_CHECK_SECONDS", "0")
        .start()
        .await?;
    let admin = platform.admin()?;
    admin.domain("homepage", "homepage.test").await?;
    let house = House { platform, admin };
    world.add("homepage.test", mx("mail.postern.test"));
    for host in ["mail.homepage.test", "mail.postern.test"] {
        world.add(host, address("192.0.2.1"));
    }
    let browser = house.browser(Looks::default()).await?;
    browser.open(HOME).await?;
    assert!(!browser.text("main").await?.contains("What the world sees"), "never checked");

    browser.open(DOMAIN).await?;
    browser.press_text("Check DNS now").await?;
    browser.open(HOME).await?;
    let needs = browser.text(".needs").await?;
    let told = "In the DNS of homepage.test these records are missing or differ: Permission to send (SPF), \
                Signature key (DKIM), What to do with forgeries (DMARC).";
    assert!(needs.contains(told), "{needs}");
    let main = browser.text("main").await?;
    assert!(main.contains("What the world sees") && main.contains("Mail exchanger"), "{main}");
    // The way to where it is mended has each record with what it should be, again without a question.
    browser.press(".needs a[href$='#dns']").await?;
    let page = browser.text("main").await?;
    assert!(page.contains("_dmarc.homepage.test") && page.contains("v=DMARC1; p=none"), "{page}");

    // DNS is mended, and then gone: both pages stand on the last check until somebody asks again.
    world.add("_dmarc.homepage.test", txt("v=DMARC1; p=none"));
    world.add("homepage.test", txt("v=spf1 a:mail.postern.test -all"));
    browser.open(HOME).await?;
    assert!(browser.text(".needs").await?.contains("(DMARC)"));
    browser.open(DOMAIN).await?;
    browser.press_text("Check DNS now").await?;
    for name in ["homepage.test", "_dmarc.homepage.test"] {
        world.silence(name, true);
    }
    browser.open(HOME).await?;
    let needs = browser.text(".needs").await?;
    assert!(needs.contains("differ: Signature key (DKIM)."), "{needs}");
    browser.close().await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn mail_is_drawn_by_the_day_and_by_the_hour_with_its_figures() -> anyhow::Result<()> {
    let house = House::start().await?;
    let mut web = Web::new(house.platform.panel());
    web.sign_in("homepage", PASSWORD).await?;
    assert!(web.get(HOME).await?.body.contains("No mail came or went in this time."));
    for _ in 0..3 {
        assert!(house.send("user@homepage.test", "in").await?.starts_with("250 "));
    }
    assert!(house.send("user@rival.test", "not theirs").await?.starts_with("250 "));
    // Counted within seconds.
    let counted = eventually(WAIT, async || {
        web.clone().get(HOME).await.is_ok_and(|page| page.body.contains("received <strong>3</strong>"))
    });
    assert!(counted.await, "{}", web.get(HOME).await?.body);
    for (query, columns) in [("", 7), ("?span=week", 7), ("?span=day", 24), ("?span=%22%3E", 7)] {
        let page = web.get(&format!("{HOME}{query}")).await?.body;
        let picture =
            page.split("<figure").nth(1).and_then(|rest| rest.split("</figure>").next()).unwrap_or("");
        assert!(
            picture.contains("<title id=\"traffic-title\">Mail in and out</title>"),
            "{query}: {picture}"
        );
        assert_eq!(picture.matches("<th scope=\"row\">").count(), columns, "{query}: {picture}");
        assert_eq!(picture.matches("<rect class=\"above\"").count(), 1, "{query}: {picture}");
        assert!(picture.contains("<td>3</td><td>0</td>"), "{query}: {picture}");
    }
    // A box is drawn as it filled, once there are two days of it.
    let page = "/controlpanel/homepage.test/pop-accounts/box/user@homepage.test";
    assert!(!web.get(page).await?.body.contains("Storage over time"));
    let mailbox_id = house.admin.get_mailbox("user@homepage.test").await?.mailbox_id;
    let pool = sqlx::PgPool::connect(&house.platform.stores.database_url()).await?;
    let days = "insert into account.box_usage_days select $1, current_date - back, 1000 * back, back \
                from unnest(array[9, 4, 2]) as back";
    sqlx::query(days).bind(mailbox_id).execute(&pool).await?;
    pool.close().await;
    let body = web.get(page).await?.body;
    assert!(body.contains("Storage over time") && body.contains("From 9.0\u{a0}kB on "), "{body}");
    assert!(
        body.contains("<path class=\"line\" d=\"M0,") && body.contains("<td>4.0\u{a0}kB</td><td>4</td>"),
        "{body}"
    );
    // Sent & received has the same picture of all domains, and keeps what was filtered.
    let page = web.get("/controlpanel/homepage.test/mail?address=friend%40outside.test&span=day").await?.body;
    assert!(page.contains("mail?address=friend@outside.test&amp;span=week\""), "{page}");
    assert!(page.contains("name=\"span\" value=\"day\""), "{page}");
    Ok(())
}
