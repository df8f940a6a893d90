//! What the person at the terminal reads: doors, logins, four lines to try, and that the house is ready.

use std::{fmt::Write as _, path::Path};

use postern_mesh::house::SERVICES;

use super::{
    demo,
    settings::{DOORS, HEALTH_SETTING, Profile},
};

/// The whole text; its last line is `postern is ready`.
pub(super) fn text(profile: &Profile, home: &Path, demo: bool) -> anyhow::Result<String> {
    let mut text = String::from("\nDoors\n");
    for door in DOORS {
        let address = profile.address(door.setting)?;
        let shown = match door.setting {
            "POSTERN_PANEL_LISTEN" => format!("http://{address}/controlpanel"),
            "POSTERN_PANEL_TLS_LISTEN" => format!("https://{address}/controlpanel"),
            _ => address.to_string(),
        };
        writeln!(text, "  {:<20}{shown}", door.name)?;
    }
    let health = match profile.chosen(HEALTH_SETTING) {
        Some(address) => address,
        None => {
            let first = profile.local(SERVICES[0].1)?;
            let last = profile.local(SERVICES[SERVICES.len() - 1].1)?;
            format!("{first} to {}", last.port())
        }
    };
    writeln!(text, "  {:<20}{health}", "health, metrics")?;
    writeln!(text, "\nData in {}", home.display())?;
    if demo {
        text.push_str(&demo_text(profile, home)?);
    }
    text.push_str("\npostern is ready\n");
    Ok(text)
}

fn demo_text(profile: &Profile, home: &Path) -> anyhow::Result<String> {
    let pop3 = profile.address("POSTERN_POP3_LISTEN")?;
    let smtp = profile.address("POSTERN_SMTP_LISTEN")?;
    let (mailbox, customer, password) = (demo::MAILBOX, demo::CUSTOMER, demo::PASSWORD);
    let outside = home.join("outside");
    let outside = outside.display();
    let send = |from: &str, to: &str, subject: &str| {
        format!(
            "printf 'From: {from}\\nTo: {to}\\nSubject: {subject}\\n\\nhello\\n' | \
             curl -sS --crlf smtp://{smtp} --mail-from {from} --mail-rcpt {to} -T -"
        )
    };
    let from_outside = send("friend@outside.test", mailbox, "did this arrive?");
    let to_outside = send(mailbox, "friend@outside.test", "here I am");
    let mut text = String::new();
    writeln!(text, "\nLogins\n  {mailbox:<20}{password}    its box")?;
    writeln!(text, "  {customer:<20}{password}    all other names of {}", demo::DOMAIN)?;
    let panel = profile.address("POSTERN_PANEL_LISTEN")?;
    writeln!(text, "  both open the control panel, too: http://{panel}/controlpanel")?;
    for (address, target) in demo::FORWARDS {
        writeln!(text, "  {address} leads to {target}")?;
    }
    let (list, members) = demo::LIST;
    writeln!(text, "  {list} is a mailing list of {}", members.join(" and "))?;
    writeln!(text, "  {} answers by itself and keeps nothing", demo::AUTORESPONDER)?;
    writeln!(text, "\nTry\n# somebody outside writes to you")?;
    writeln!(text, "{from_outside}")?;
    writeln!(text, "# you send before you have checked your mail, and are told what to do")?;
    writeln!(text, "{} -v 2>&1 | grep '^< 550'", to_outside)?;
    writeln!(text, "# you check your mail")?;
    writeln!(text, "curl -sS pop3://{pop3}/1 --user {mailbox}:{password}")?;
    writeln!(text, "# you send again: it leaves, and what left is kept")?;
    writeln!(text, "{to_outside} && sleep 1 && tail -n +1 '{outside}'/*.eml")?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::home::Home;

    #[test]
    fn the_last_line_is_the_one_to_wait_for() {
        let home = Path::new("/nowhere");
        let profile = Profile::new(BTreeMap::new(), &Home::at(home), 10_000).expect("a profile");
        let text = text(&profile, home, true).expect("text");
        assert_eq!(text.lines().last(), Some("postern is ready"));
        assert!(text.contains("127.0.0.1:11110") && text.contains("curl -sS pop3://127.0.0.1:11110/1"));
    }
}
