//! `make differential`: the same octets to Postern and to Postfix and Dovecot in the same run. Classes of replies and what is in the box
//! afterwards are compared; each difference is listed with its case, with who is right and by which section of which RFC.

mod cases;
mod playing;

use std::{net::SocketAddr, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use postern_proto::account::v1::DefaultAction;
use postern_tests::{
    admin::PASSWORD,
    eventually,
    platform::Blueprint,
    rivals::{RivalSettings, Rivals},
    smtp::{self, message},
};

use crate::{
    cases::{Case, Place},
    playing::{Heard, Language, empty, play},
};

/// Both have it.
const BOX: &str = "user0@homepage.test";
/// Looks into the box from here, so that its login lets nobody relay.
const CHECKER: &str = "127.0.0.9:0";

/// The two doors of a side.
#[derive(Clone, Copy)]
struct Side {
    smtp: SocketAddr,
    pop3: SocketAddr,
}

#[tokio::test(flavor = "multi_thread")]
async fn postern_answers_as_postfix_and_dovecot_or_says_why_not() -> anyhow::Result<()> {
    if let Some(why) = Rivals::forbidden() {
        eprintln!("{why}: not compared");
        return Ok(());
    }
    let rivals = Rivals::start(RivalSettings { boxes: 1, relay: false }).await?;
    let platform = Blueprint::new().set("POSTERN_POSTMASTER", BOX).start().await?;
    let admin = platform.admin()?;
    admin.domain("homepage", "homepage.test").await?;
    admin.mailbox(BOX).await?;
    // As there: nobody else is taken in.
    admin.default_address("homepage.test", DefaultAction::Reject, "").await?;
    let ours = Side { smtp: platform.smtp(0), pop3: platform.pop3(0) };
    let theirs = Side { smtp: rivals.smtp, pop3: rivals.pop3 };

    let plain = STANDARD.encode(format!("\0{BOX}\0{PASSWORD}"));
    let names = [("LOGIN", BOX), ("PASSWORD", PASSWORD), ("{plain}", plain.as_str())];
    let mut surprises = Vec::new();
    let (mut cases, mut replies, mut explained) = (0, 0, 0);
    for (language, text, rival) in [
        (Language::Smtp, include_str!("../../differential/smtp.txt"), "Postfix"),
        (Language::Pop3, include_str!("../../differential/pop3.txt"), "Dovecot"),
    ] {
        // AUTH LOGIN is a mechanism there, and no name.
        let names = if language == Language::Smtp { &names[..0] } else { &names };
        for case in cases::read(text, names)? {
            let (heard, differences) = compare(&rivals, ours, theirs, language, &case).await?;
            (cases, replies) = (cases + 1, replies + heard);
            for (place, what) in &differences {
                let explanation = case.differences.get(place);
                explained += usize::from(explanation.is_some());
                println!("{}\n  {place}: {rival}: {}\n  {place}: Postern: {}", case.name, what.1, what.0);
                match explanation {
                    Some(why) => println!("     right: {why}"),
                    None => surprises
                        .push(format!("{}: {place}: Postern: {}; {rival}: {}", case.name, what.0, what.1)),
                }
            }
            let stale =
                case.differences.keys().filter(|place| !differences.iter().any(|(at, _)| at == *place));
            surprises.extend(stale.map(|place| format!("{}: {place}: does not differ any more", case.name)));
        }
    }
    println!("{cases} cases, {replies} replies, {explained} differences that are explained");
    assert!(surprises.is_empty(), "{}", surprises.join("\n"));
    Ok(())
}

type Difference = (Place, (String, String));

/// Plays one case on both sides; how many replies there were, and what differs.
async fn compare(
    rivals: &Rivals,
    ours: Side,
    theirs: Side,
    language: Language,
    case: &Case,
) -> anyhow::Result<(usize, Vec<Difference>)> {
    for side in [ours, theirs] {
        for number in 0..case.messages {
            let content = message(&format!("message-{number}"), 500 * (number + 1));
            let reply = smtp::send(side.smtp, "a@outside.test", &[BOX], &content).await?;
            anyhow::ensure!(reply.starts_with("250"), "{reply}");
        }
    }
    settled(rivals).await?;
    let door = |side: Side| if language == Language::Smtp { side.smtp } else { side.pop3 };
    let (a, b) = tokio::try_join!(play(door(ours), language, case), play(door(theirs), language, case))?;
    settled(rivals).await?;
    let mut differences = Vec::new();
    for (number, (a, b)) in a.iter().zip(&b).enumerate() {
        if a.class(language) != b.class(language) {
            differences.push((Place::Reply(number), (shown(a, language), shown(b, language))));
        }
    }
    let (left, right) = tokio::try_join!(empty(ours.pop3), empty(theirs.pop3))?;
    if left != right {
        let shown = |messages: &[Vec<u8>]| {
            let texts = messages.iter().map(|message| message.escape_ascii().to_string());
            format!("{} messages {:?}", messages.len(), texts.collect::<Vec<_>>())
        };
        differences.push((Place::Box, (shown(&left), shown(&right))));
    }
    Ok((a.len(), differences))
}

fn shown(heard: &Heard, language: Language) -> String {
    match heard {
        Heard::Reply { lines: Some(_), .. } => heard.class(language).escape_debug().to_string(),
        _ => heard.to_string(),
    }
}

/// Postfix accepts first and delivers then.
async fn settled(rivals: &Rivals) -> anyhow::Result<()> {
    let empty = eventually(Duration::from_secs(20), async || rivals.queue_is_empty().unwrap_or(false)).await;
    anyhow::ensure!(empty, "Postfix delivers nothing");
    Ok(())
}
