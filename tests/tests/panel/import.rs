//! A file of mail comes into a box from the panel, while it is sent, with a page that tells how it went whoever looks.

use std::{process::Command, time::Duration};

use postern_tests::{
    admin::PASSWORD,
    browser::Looks,
    eventually,
    pop3::read_all,
    web::{Answer, Web},
};

use crate::house::House;

const WAIT: Duration = Duration::from_secs(30);
const BOX: &str = "user@homepage.test";
const IMPORT: &str = "/controlpanel/homepage.test/pop-accounts/box/user@homepage.test/import";

fn letter(number: usize, text: &str) -> String {
    format!("From friend@outside.test Thu Jan  1 00:01:40 1970\nSubject: letter {number}\n\n{text}\n\n")
}

async fn owner(house: &House) -> anyhow::Result<Web> {
    let mut web = Web::new(house.platform.panel());
    web.sign_in("homepage", PASSWORD).await?;
    Ok(web)
}

/// Sends a whole file; the page where one is led.
async fn send(web: &mut Web, name: &str, file: &str) -> anyhow::Result<Answer> {
    send_to(web, IMPORT, name, file).await
}

async fn send_to(web: &mut Web, path: &str, name: &str, file: &str) -> anyhow::Result<Answer> {
    let mut sending = web.send_file(path, name, file.len()).await?;
    sending.piece(file.as_bytes()).await?;
    sending.finish().await
}

/// The figures of a course: new, there already, not taken.
fn figures(page: &str) -> Vec<String> {
    let figure = |name: &str| {
        let rest = page.split(&format!("<dt>{name}</dt><dd>")).nth(1).unwrap_or("? ");
        rest.split('<').next().unwrap_or("?").to_owned()
    };
    ["New messages", "Already there", "Not taken"].map(figure).to_vec()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_of_mail_comes_into_the_box_while_it_is_sent() -> anyhow::Result<()> {
    let house = House::start().await?;
    let mut web = owner(&house).await?;
    let bad = "From x\nSubject: bad\n\na\0b\n\n";
    let first = letter(1, "Hello\nFrom here\n>From there");
    let file = [first.as_str(), bad, &letter(2, "second"), first.as_str()].concat();
    let (begin, rest) = file.split_at(100);

    let mut sending = web.send_file(IMPORT, "<old> mail.mbox", file.len()).await?;
    sending.piece(begin.as_bytes()).await?;
    let runs = eventually(WAIT, async || {
        web.clone().get(IMPORT).await.is_ok_and(|page| page.body.contains(">running</span>"))
    });
    assert!(runs.await, "{}", web.get(IMPORT).await?.body);
    let list = web.get(IMPORT).await?.body;
    assert!(list.contains("&lt;old&gt; mail.mbox") && !list.contains("<old>"), "{list}");
    let course =
        list.split(&format!("{IMPORT}/")).nth(1).and_then(|rest| rest.split('"').next()).unwrap_or("");
    let course = format!("{IMPORT}/{course}");
    let page = web.get(&course).await?;
    assert_eq!(page.header("refresh"), Some("2"), "it looks anew by itself");
    assert!(
        page.body.contains("<progress id=\"progress\"") && page.body.contains("It is under way."),
        "{}",
        page.body
    );
    sending.piece(rest.as_bytes()).await?;
    let answer = sending.finish().await?;
    assert_eq!((answer.status, answer.location.as_str()), (303, course.as_str()), "{}", answer.body);

    // What became of it is told as often as somebody looks, also to the user of the box.
    let mut user = Web::new(house.platform.panel());
    user.sign_in(BOX, PASSWORD).await?;
    for web in [&mut web, &mut user] {
        let page = web.get(&course).await?;
        assert_eq!(figures(&page.body), ["2", "1", "1"], "{}", page.body);
        assert!(
            page.header("refresh").is_none() && page.body.contains("Message 2 of the file"),
            "{}",
            page.body
        );
    }
    let messages = read_all(house.platform.pop3(0), BOX, PASSWORD).await?;
    let texts: Vec<_> = messages.iter().map(|message| String::from_utf8_lossy(message)).collect();
    assert_eq!(
        texts,
        [
            "Subject: letter 1\r\n\r\nHello\r\nFrom here\r\nFrom there\r\n",
            "Subject: letter 2\r\n\r\nsecond\r\n"
        ]
    );
    let again = send(&mut web, "again.mbox", &file).await?;
    assert_eq!(figures(&web.get(&again.location).await?.body), ["0", "3", "1"]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_mail_breaks_off_or_does_not_fit_is_told() -> anyhow::Result<()> {
    let house = House::start().await?;
    let mut web = owner(&house).await?;
    for (file, told) in [
        ("", "Please choose a file"),
        ("%PDF-1.7 no mail", "This is neither an mbox file"),
        ("PK\u{3}\u{4} cut off", "No mail was found in this archive"),
    ] {
        let answer = send(&mut web, "x", file).await?;
        assert!(answer.status == 422 && answer.body.contains(told), "{} {}", answer.status, answer.body);
        assert!(answer.body.contains("file-problem"));
    }
    assert!(!web.get(IMPORT).await?.body.contains("Imports of the last 30 days"), "nothing was begun");

    // The browser goes away within the second letter: the first one stays, and the same file goes on from there.
    let file = [letter(1, "first"), letter(2, "second")].concat();
    let mut sending = web.send_file(IMPORT, "broken.mbox", file.len()).await?;
    sending.piece(&file.as_bytes()[..file.len() - 9]).await?;
    let runs = eventually(WAIT, async || {
        web.clone().get(IMPORT).await.is_ok_and(|page| page.body.contains(">running</span>"))
    });
    assert!(runs.await);
    drop(sending);
    let stopped = eventually(WAIT, async || {
        web.clone().get(IMPORT).await.is_ok_and(|page| page.body.contains(">stopped</span>"))
    });
    assert!(stopped.await, "{}", web.get(IMPORT).await?.body);
    let answer = send(&mut web, "whole.mbox", &file).await?;
    assert_eq!(figures(&web.get(&answer.location).await?.body), ["1", "1", "0"]);

    // A box that is full takes what fits.
    house.admin.mailbox("small@homepage.test").await?;
    house.admin.quota("small@homepage.test", 2000).await?;
    let large: String = (10..20).map(|number| letter(number, &"x".repeat(700))).collect();
    let path = IMPORT.replace(BOX, "small@homepage.test");
    let answer = send_to(&mut web, &path, "large.mbox", &large).await?;
    let page = web.get(&answer.location).await?.body;
    assert!(page.contains("small@homepage.test is full. What was imported stays."), "{page}");
    assert!(figures(&page)[0].parse::<u32>().is_ok_and(|new| (1..10).contains(&new)), "{page}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_imports_two_files_waits_with_the_third_and_keeps_nobody_else_out() -> anyhow::Result<()> {
    let house = House::start().await?;
    let mut web = owner(&house).await?;
    let file = letter(1, &"x".repeat(5000));
    let mut under_way = Vec::new();
    for name in ["one.mbox", "two.mbox"] {
        let mut sending = web.send_file(IMPORT, name, file.len()).await?;
        sending.piece(&file.as_bytes()[..100]).await?;
        let runs = eventually(WAIT, async || {
            web.clone().get(IMPORT).await.is_ok_and(|page| page.body.contains(name))
        });
        assert!(runs.await, "{name}");
        under_way.push(sending);
    }
    // However large it is: the answer comes when it was read.
    let large = letter(3, &"y".repeat(3_000_000));
    let answer = send(&mut web, "three.mbox", &large).await?;
    assert_eq!(answer.status, 429, "{}", answer.body);
    assert!(answer.body.contains("You are importing two files already"), "{}", answer.body);
    let mut user = Web::new(house.platform.panel());
    user.sign_in(BOX, PASSWORD).await?;
    assert_eq!(send(&mut user, "other.mbox", &large).await?.status, 303, "somebody else imports");
    // When one has ended there is room again.
    let mut one = under_way.remove(0);
    one.piece(&file.as_bytes()[100..]).await?;
    assert_eq!(one.finish().await?.status, 303);
    assert_eq!(send(&mut web, "three.mbox", &large).await?.status, 303);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_imports_into_what_is_not_theirs() -> anyhow::Result<()> {
    let house = House::start().await?;
    let file = letter(1, "not yours");
    let mut web = owner(&house).await?;
    let foreign = IMPORT.replace("homepage.test", "rival.test");
    let own_name = IMPORT.replace(BOX, "user@rival.test");
    for path in [&foreign, &own_name] {
        assert_eq!(send_to(&mut web, path, "x.mbox", &file).await?.status, 404, "{path}");
        assert_eq!(web.get(path).await?.status, 404, "{path}");
    }
    // Without a session, with the token of another one, from another page, and where no file is taken.
    let mut rival = Web::new(house.platform.panel());
    rival.sign_in("rival", PASSWORD).await?;
    let theirs = rival.form_token().await?;
    let own = web.form_token().await?;
    let mut nobody = Web::new(house.platform.panel());
    let mut led = web.clone().with_header("Origin", "http://evil.test");
    let password = IMPORT.replace("/import", "/password");
    for (who, token, path, status) in [
        (&mut nobody, own.as_str(), IMPORT, 401),
        (&mut web.clone(), theirs.as_str(), IMPORT, 403),
        (&mut web.clone(), "", IMPORT, 403),
        (&mut led, own.as_str(), IMPORT, 403),
        (&mut web.clone(), own.as_str(), password.as_str(), 403),
    ] {
        let mut sending = who.send_file_with(path, token, "x.mbox", file.len()).await?;
        sending.piece(file.as_bytes()).await?;
        assert_eq!(sending.finish().await?.status, status, "{path} {token}");
    }
    let answer = web.submit(IMPORT, &[("file", &file)]).await?;
    assert_eq!(answer.status, 403, "a form that is no upload");
    for domain in ["homepage.test", "rival.test"] {
        let mailbox_id = house.admin.get_mailbox(&format!("user@{domain}")).await?.mailbox_id;
        assert_eq!(house.admin.message_count(mailbox_id).await?, 0, "{domain}");
    }
    assert_eq!(web.get(&format!("{IMPORT}/0193c2a1-b4c9-7f3e-8d4a-5b6c7d8e9f00")).await?.status, 404);
    Ok(())
}

/// A maildir as people pack it, with one message that is damaged, and a name that leads out of the archive.
const PACK: &str = r#"
import io, sys, tarfile, zipfile
folder = sys.argv[1]
members = [("Maildir/dovecot-uidlist", b"3 V1"), ("Maildir/new/1000000001.a.host", b"Subject: first\n\nOne\n"),
    ("Maildir/cur/1000000002.b.host:2,S", b"Subject: second\n\nDAMAGED\n"),
    ("../../../../etc/cur/1000000003.c", b"Subject: third\n\nThree\n"), ("letter.eml", b"Subject: fourth\n\nFour\n")]
with tarfile.open(folder + "/mail.tar.gz", "w:gz") as packed:
    for name, text in members:
        member = tarfile.TarInfo(name)
        member.size, member.mtime = len(text), 1000000009
        packed.addfile(member, io.BytesIO(text))
into = io.BytesIO()
with zipfile.ZipFile(into, "w", zipfile.ZIP_STORED) as packed:
    for name, text in members: packed.writestr(name, text)
open(folder + "/mail.zip", "wb").write(into.getvalue().replace(b"DAMAGED", b"damaged", 1))
"#;

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_of_a_maildir_comes_in_and_what_is_damaged_in_it_is_named() -> anyhow::Result<()> {
    let house = House::start().await?;
    house.admin.mailbox("second@homepage.test").await?;
    let folder = tempfile::tempdir()?;
    let packed = Command::new("python3").args(["-c", PACK]).arg(folder.path()).status()?;
    anyhow::ensure!(packed.success());
    let browser = house.browser(Looks::default()).await?;
    for (address, file, taken, damaged) in
        [(BOX, "mail.tar.gz", 4, false), ("second@homepage.test", "mail.zip", 3, true)]
    {
        browser.open(&IMPORT.replace(BOX, address)).await?;
        let path = folder.path().join(file).display().to_string();
        browser.find("#file").await?.send_keys(&path).await?;
        browser.press("form.upload button").await?;
        // What was left out is said in another colour.
        browser.wait_for(if damaged { "main .notice.warn" } else { "main .notice.good" }).await?;
        browser.client.refresh().await?;
        let page = browser.text("main").await?;
        assert!(page.contains(file), "{page}");
        let refused = if damaged { "1" } else { "0" };
        assert_eq!(figures(&browser.client.source().await?), [&taken.to_string(), "0", refused]);
        assert_eq!(
            page.contains("Maildir/cur/1000000002.b.host:2,S\ndamaged in the archive"),
            damaged,
            "{page}"
        );
        let messages = read_all(house.platform.pop3(0), address, PASSWORD).await?;
        let texts: Vec<_> = messages.iter().map(|message| String::from_utf8_lossy(message)).collect();
        assert_eq!(texts.len(), taken);
        assert_eq!(texts[0], "Subject: first\r\n\r\nOne\r\n");
        assert!(texts.iter().any(|text| text.contains("Subject: third")), "a name leads nowhere: {texts:?}");
    }
    browser.close().await?;
    Ok(())
}

/// In a browser, with scripts and without.
#[tokio::test(flavor = "multi_thread")]
async fn a_browser_sends_the_file_and_arrives_at_its_course() -> anyhow::Result<()> {
    let house = House::start().await?;
    let folder = tempfile::tempdir()?;
    let (file, archive) = (folder.path().join("old.mbox"), folder.path().join("old.zip"));
    std::fs::write(&file, (1..200).map(|number| letter(number, "text")).collect::<String>())?;
    std::fs::write(&archive, "PK\u{5}\u{6}")?;
    for (scripts, first) in [(true, "199"), (false, "0")] {
        let browser = house.browser(Looks { scripts, ..Looks::default() }).await?;
        browser.open(IMPORT).await?;
        browser.find("#file").await?.send_keys(&archive.display().to_string()).await?;
        browser.find("form.upload button").await?.click().await?;
        browser.wait_for("#file-problem").await?;
        browser.open(IMPORT).await?;
        browser.find("#file").await?.send_keys(&file.display().to_string()).await?;
        browser.press("form.upload button").await?;
        browser.wait_for("main .notice.good").await?;
        let page = browser.text("main").await?;
        assert!(page.contains("All messages of the file were looked at"), "{page}");
        assert_eq!(figures(&browser.client.source().await?)[0], first);
        browser.client.refresh().await?;
        assert!(browser.text("main").await?.contains("old.mbox"));
        browser.close().await?;
    }
    let mailbox_id = house.admin.get_mailbox(BOX).await?.mailbox_id;
    assert_eq!(house.admin.message_count(mailbox_id).await?, 199);
    Ok(())
}

/// Who somebody is, is known to the services for a minute; a file may take longer.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_takes_longer_than_a_minute_leads_to_its_course() -> anyhow::Result<()> {
    /// Twice this is longer than an assertion is good for; once is less than a piece may take.
    const LONG: Duration = Duration::from_secs(35);
    let house = House::start().await?;
    let mut web = owner(&house).await?;
    // Large enough that nobody is taken for one who drips.
    let text = "A line of a long letter.\n".repeat(40_000);
    let file = [letter(1, &text), letter(2, &text)].concat();
    let (begin, rest) = file.split_at(file.len() / 3);
    let (rest, last) = rest.split_at(rest.len() / 2);
    let picture = "\u{7f}".repeat(1_500_000);
    let (start, more) = picture.split_at(500_000);
    let (more, end) = more.split_at(500_000);
    let mut good = web.send_file(IMPORT, "mail.mbox", file.len()).await?;
    good.piece(begin.as_bytes()).await?;
    let mut bad = web.send_file(IMPORT, "picture.png", picture.len()).await?;
    bad.piece(start.as_bytes()).await?;
    tokio::time::sleep(LONG).await;
    good.piece(rest.as_bytes()).await?;
    bad.piece(more.as_bytes()).await?;
    tokio::time::sleep(LONG).await;
    good.piece(last.as_bytes()).await?;
    let answer = good.finish().await?;
    assert_eq!(answer.status, 303, "{}", answer.body);
    let course = web.get(&answer.location).await?;
    assert_eq!(figures(&course.body), ["2", "0", "0"], "{}", course.body);
    bad.piece(end.as_bytes()).await?;
    let answer = bad.finish().await?;
    assert_eq!(answer.status, 422, "{}", answer.body);
    Ok(())
}
