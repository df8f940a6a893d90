//! Whether a mailing list takes a post.

use postern_mail::Reason;
use postern_mesh::directory::refusal_of_post;
use postern_proto::{
    account::v1::{
        ListPosting, LookupMailingListRequest, MailingList,
        mailing_list_service_client::MailingListServiceClient,
    },
    auth::v1::Verdict,
};

use super::SendQuestion;
use crate::{
    authenticate::temporary_reason,
    explain::{Explainer, way::Way},
};

impl Explainer {
    /// Whether a mailing list takes a post of this sender; it is answered after the mail itself.
    pub(super) async fn posting(&self, way: &mut Way, question: &SendQuestion, list_id: i64) {
        const RULE: &str = "may-post";
        let sender = question.sender.address();
        let member = sender.map(ToString::to_string).unwrap_or_default();
        let request = LookupMailingListRequest { list_id, member };
        let mut lists = MailingListServiceClient::new(self.account.clone());
        let found = match lists.lookup_mailing_list(request).await {
            Ok(answer) => answer.into_inner(),
            Err(status) => {
                way.away(RULE, "account");
                way.smtp("DATA", &temporary_reason(&status).into());
                return;
            }
        };
        let recipient = &question.recipient;
        let Some(list) = found.list else {
            let found = format!("the list {recipient} was removed just now");
            way.stopped(RULE, found, Verdict::Refused, "there is no such recipient", "Ask again.");
            way.smtp("DATA", &Reason::NoSuchMailbox.into());
            return;
        };
        let who = who_may_post(&list);
        match refusal_of_post(&list, found.is_member, sender, 0) {
            None if list.message_max_bytes > 0 => {
                way.passed(RULE, format!("{who} may post, up to {} octets", list.message_max_bytes));
            }
            None => way.passed(RULE, format!("{who} may post")),
            Some(reason) => {
                way.smtp("DATA", &reason.into());
                way.stopped(
                    RULE,
                    format!("{recipient} is a mailing list to which only {who} may post"),
                    Verdict::Refused,
                    "the mailing list does not take posts of this sender",
                    "Send from the address that is a member, or have the list's owner add this one or let more people post.",
                );
            }
        }
    }
}

fn who_may_post(list: &MailingList) -> &'static str {
    match list.posting() {
        ListPosting::Anyone => "anybody with an address",
        ListPosting::Members | ListPosting::Unspecified => "its members and its owner",
        ListPosting::Owner => "its owner",
    }
}
