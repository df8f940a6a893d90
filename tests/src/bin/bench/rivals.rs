//! The same loads against Postfix and Dovecot.

use std::fs;

use postern_tests::{
    rivals::{RivalSettings, Rivals},
    usage::memory_mib,
};

use crate::{
    BOXES, Settings, box_login, figure,
    load::{Operation, Target},
    operations,
    report::Report,
};

const SHAPE: &str = "Postfix + Dovecot";

/// Measures them, or says why not.
pub(crate) async fn measure(settings: &Settings, report: &mut Report) -> anyhow::Result<()> {
    if let Some(why) = Rivals::forbidden() {
        eprintln!("{why}: not measured");
        return Ok(());
    }
    let rivals = Rivals::start(RivalSettings { boxes: BOXES, relay: true }).await?;
    report.memory(SHAPE, "idle", memory_mib(&rivals.processes));
    let target = Target {
        smtp: rivals.smtp,
        pop3: rivals.pop3,
        login: box_login,
        sender: "user0@homepage.test",
        outside: "outside.test",
    };
    for (name, operation) in operations() {
        for sessions in &settings.sessions {
            prepare(&rivals, &operation)?;
            report
                .row(figure(settings, SHAPE, name, &operation, *sessions, &target, &rivals.processes).await);
        }
    }
    let many = Operation::DeliverMany { bytes: 10 * 1024, recipients: 50 };
    report.row(
        figure(settings, SHAPE, "deliver 10 KiB to 50 boxes", &many, 10, &target, &rivals.processes).await,
    );
    Ok(())
}

/// Readers find at most 20 messages, as in the other shapes.
fn prepare(rivals: &Rivals, operation: &Operation) -> anyhow::Result<()> {
    if !matches!(operation, Operation::Read | Operation::Poll) {
        return Ok(());
    }
    for number in 0..BOXES {
        let home = rivals.mail().join(format!("user{number}"));
        let mut kept = 0;
        for part in ["cur", "new"] {
            for entry in fs::read_dir(home.join(part)).into_iter().flatten().flatten() {
                kept += 1;
                if kept > 20 {
                    fs::remove_file(entry.path())?;
                }
            }
        }
    }
    Ok(())
}
