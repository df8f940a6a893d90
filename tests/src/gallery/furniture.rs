//! Something to see on every page.

use std::sync::Arc;

use postern::sink::{Answer, Moment, Sink, SinkSettings};
use postern_proto::account::v1::{DefaultAction, MailingList};

use crate::{
    dns::{World, address, mx, txt},
    platform::{Blueprint, Platform},
    smtp::{self, message},
};

/// The whole house, furnished, in this world.
pub(super) async fn house(outside: &Sink, world: &World) -> anyhow::Result<Platform> {
    let platform = Blueprint::new()
        .set("POSTERN_SMARTHOST", &outside.address().to_string())
        .set("POSTERN_RESOLVER", &world.address.to_string())
        .set("POSTERN_MAIL_HOST_ADDRESSES", "192.0.2.1")
        .start()
        .await?;
    furnish(&platform).await?;
    platform.postern(&["domain", "verify", "homepage.test"], "").await?;
    age(&platform).await?;
    Ok(platform)
}

/// DNS in which some records are as they should be.
pub(super) async fn world() -> World {
    let world = World::start().await;
    world.add("homepage.test", mx("mail.postern.test"));
    world.add("homepage.test", txt("v=spf1 ip4:198.51.100.0/24 -all"));
    world.add("mail.homepage.test", address("192.0.2.1"));
    world
}

/// Takes everything but what `gone@` and `later@` get.
pub(super) async fn outside() -> anyhow::Result<Sink> {
    let script = |moment: &Moment<'_>| match moment {
        Moment::Recipient { recipient, .. } if recipient.starts_with("gone@") => {
            Answer::Reply("550 5.1.1 nobody of that name here".to_owned())
        }
        Moment::Recipient { recipient, .. } if recipient.starts_with("later@") => {
            Answer::Reply("450 4.2.1 come back later".to_owned())
        }
        _ => Answer::Accept,
    };
    Ok(Sink::start(SinkSettings { script: Some(Arc::new(script)), ..SinkSettings::default() }).await?)
}

/// What only time brings: the mail of a week, a box that filled over a month, and a member whose copies came back.
async fn age(platform: &Platform) -> anyhow::Result<()> {
    let mailbox_id = platform.admin()?.get_mailbox("anna@homepage.test").await?.mailbox_id;
    let pool = sqlx::PgPool::connect(&platform.stores.database_url()).await?;
    sqlx::query(
        "insert into account.box_usage_days (mailbox_id, day, used_bytes, message_count)
        select $1, current_date - back, (40 - back) * 2500 + (back * 7 % 5) * 4000, 40 - back
        from generate_series(1, 34) as back on conflict do nothing",
    )
    .bind(mailbox_id)
    .execute(&pool)
    .await?;
    sqlx::query(
        "insert into mail.traffic (customer, domain, hour, received_count, sent_count)
        select 'homepage', 'homepage.test', date_trunc('hour', now()) - back * interval '1 hour',
            back * 7 % 13 + back % 3, back * 5 % 7 from generate_series(1, 160) as back on conflict do nothing",
    )
    .execute(&pool)
    .await?;
    sqlx::query(
        "update account.list_members set suspend_time = now() - interval '2 days' where member = 'member3@outside.test'",
    )
    .execute(&pool)
    .await?;
    pool.close().await;
    Ok(())
}

/// Something to see on every page.
async fn furnish(platform: &Platform) -> anyhow::Result<()> {
    let admin = platform.admin()?;
    admin.domain("homepage", "homepage.test").await?;
    admin.another_domain("homepage", "second.test", true).await?;
    admin.another_domain("homepage", "waiting.test", false).await?;
    for (address, name) in [
        ("anna@homepage.test", "Anna Jensen"),
        ("office@homepage.test", "Front office"),
        ("karl.friedrich.von.und.zu.lange-strasse@homepage.test", "Karl Friedrich, accounting and archive"),
        ("old@homepage.test", ""),
    ] {
        admin.mailbox(address).await?;
        admin.display_name(address, name).await?;
    }
    admin.remove_mailbox("old@homepage.test").await?;
    admin.quota("office@homepage.test", 200_000).await?;
    admin.suspend("karl.friedrich.von.und.zu.lange-strasse@homepage.test", true).await?;
    for to in ["anna@homepage.test", "office@homepage.test", "office@homepage.test", "office@homepage.test"] {
        smtp::send(platform.smtp(0), "friend@outside.test", &[to], &message("a picture", 70_000)).await?;
    }
    admin.forward("sales@homepage.test", &["anna@homepage.test", "office@homepage.test"], false).await?;
    admin
        .forward(
            "info@homepage.test",
            &["anna@homepage.test", "a@outside.test", "b@outside.test", "c@outside.test"],
            false,
        )
        .await?;
    admin.forward("anna@homepage.test", &["anna@elsewhere.test"], true).await?;
    let list = MailingList {
        address: "staff@homepage.test".to_owned(),
        description: "Everybody who works here".to_owned(),
        subject_prefix: "[staff]".to_owned(),
        ..Default::default()
    };
    let members: Vec<_> = (1..=12).map(|n| format!("member{n}@outside.test")).collect();
    admin.mailing_list(list, &members).await?;
    let text = "I am away until Monday.\n\nYou wrote: {subject}\nIn urgent cases: office@homepage.test";
    admin.autoresponder("anna@homepage.test", "Away until Monday", text).await?;
    admin.autoresponder("hours@homepage.test", "Our hours", "Nine to five, Monday to Friday.").await?;
    admin.default_address("homepage.test", DefaultAction::Reject, "").await
}
