//! `postern import`: mail of another house into a box, from an mbox file, a maildir or an archive of one.
//!
//! A thread reads ([`source`], [`postern_mesh::mail_file`]) and makes frames; they travel as fast as delivery takes them. Twice the same is harmless.

mod source;

use std::path::PathBuf;

use clap::Args;
use postern_proto::delivery::v1::{
    ImportMessagesRequest, ImportMessagesResponse, box_service_client::BoxServiceClient,
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::{Failure, mailbox, operator::Operator, table::counted};
use source::Source;

/// Frames that wait for delivery.
const FRAMES_AHEAD: usize = 16;

/// What is imported, and where to.
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  postern import anna@homepage.test old-mail.mbox\n  postern import anna@homepage.test ~/Maildir\n  \
                  postern import anna@homepage.test maildir.tar.gz\n  \
                  postern import anna@homepage.test - < old-mail.mbox\n\n\
                  The same messages again are left out. Exit code 1 when messages were refused."
)]
pub struct ImportArgs {
    /// Address of the box, or the login of a default box
    address: String,
    /// An mbox file, a maildir (a folder with new and cur), or an archive of a maildir or of .eml files (zip, tar, tar.gz); `-`: one of
    /// these files from standard input
    #[arg(value_name = "FILE|FOLDER|-")]
    path: PathBuf,
}

impl ImportArgs {
    pub(super) async fn run(self, operator: &Operator) -> Result<(), Failure> {
        let source = Source::open(&self.path).map_err(|e| unreadable(&self.path, &e))?;
        let mailbox_id = mailbox::get(operator, self.address).await?.mailbox_id;
        let (frames, given) = mpsc::channel(FRAMES_AHEAD);
        let reading = tokio::task::spawn_blocking(move || {
            // Delivery wants the box first; when it stops taking frames, its answer says why.
            let first = ImportMessagesRequest { mailbox_id, ..ImportMessagesRequest::default() };
            source.send_all(frames, first)
        });
        let mut client = BoxServiceClient::new(operator.delivery.clone());
        let answer = client.import_messages(ReceiverStream::new(given)).await;
        let read = reading.await.map_err(|e| Failure::Refused(format!("reading stopped: {e}")))?;
        read.map_err(|e| unreadable(&self.path, &e))?;
        let report = answer?.into_inner();
        for refusal in &report.refusals {
            let name = match refusal.name.as_str() {
                "" => format!("message {}", refusal.index + 1),
                name => name.to_owned(),
            };
            eprintln!("refused: {name}: {}", refusal.reason);
        }
        operator.show(&report, said)?;
        match report.refused_count {
            0 => Ok(()),
            count => {
                Err(Failure::Refused(format!("{} refused", counted(count, "message was", "messages were"))))
            }
        }
    }
}

fn said(report: &ImportMessagesResponse) -> String {
    format!(
        "{} imported, {} there already, {} refused",
        counted(report.imported_count, "message", "messages"),
        report.duplicate_count,
        report.refused_count
    )
}

fn unreadable(path: &std::path::Path, error: &std::io::Error) -> Failure {
    Failure::Usage(format!("{}: {error}", path.display()))
}
