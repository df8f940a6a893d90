//! The errands of a list's command addresses: subscribe, unsubscribe, and the token that comes back (L-06).
//!
//! Nobody becomes a member, and nobody ceases to be one, without having read mail at that address. Whoever cannot be
//! answered (machines, lists, the null sender) is not obeyed either, else an autoresponder could agree for its owner.

use std::time::Duration;

use postern_mail::{EmailAddress, MessageId, Reason};
use postern_mesh::failure;
use postern_proto::account::v1::{ConfirmListChangeRequest, ListChange, RequestListChangeRequest};

use super::{
    FoundList, Lists,
    names::{command_address, token_address},
};
use crate::{
    accept::QueueClass,
    answer::{AnswerKind, Claim, Letter, answerable},
    content::Header,
    queue::{ErrandOutcome, LeasedRow, QueueHandle, QueuedMessage},
};

/// Characters of a token (proto `RequestListChangeResponse.token`).
const TOKEN_CHARS: usize = 26;
/// Pause between two words to one address that it did not get by a token.
const WORD_PAUSE: Duration = Duration::from_secs(3600);

/// What is said, and where an answer to it goes.
struct Word {
    subject: String,
    text: String,
    reply_to: Option<EmailAddress>,
    /// Not more often than once in a while.
    is_rare: bool,
}

impl Word {
    fn rare(subject: &str, text: String) -> Self {
        Self { subject: subject.to_owned(), text, reply_to: None, is_rare: true }
    }
}

impl Lists {
    /// Does one command.
    pub(crate) async fn command(
        &self,
        row: &LeasedRow,
        message: &QueuedMessage,
        header: &Header,
        queue: &QueueHandle,
    ) -> ErrandOutcome {
        let sender = match answerable(&message.sender, false, header) {
            Ok(sender) => sender,
            Err(why) => return ErrandOutcome::Finished(why),
        };
        let list_id = row.subject_id.unwrap_or_default();
        let found = match self.directory.look_up(list_id, None).await {
            Ok(Some(found)) => found,
            Ok(None) => return ErrandOutcome::Finished("the list was removed"),
            Err(status) => return ErrandOutcome::Deferred(status.message().to_owned()),
        };
        let said = match row.class {
            QueueClass::ListSubscribe => self.request(&found, sender, ListChange::Subscribe).await,
            QueueClass::ListUnsubscribe => self.request(&found, sender, ListChange::Unsubscribe).await,
            _ => match token(row, header) {
                Some(token) => self.confirm(&found, &token).await,
                None => Ok(help(&found.address)),
            },
        };
        let word = match said {
            Ok(word) => word,
            Err(outcome) => return outcome,
        };
        // Whoever asks to join or to leave is asked back, a few times a day at most, and a good token is proof of itself. All else would
        // only come to whoever was named as its sender.
        if message.flags.unproven && word.is_rare {
            return ErrandOutcome::Finished("nothing proves its sender");
        }
        let from = command_address(&found.address, "request");
        let letter = Letter {
            id: MessageId::new(),
            from: &from,
            reply_to: word.reply_to.as_ref(),
            to: sender,
            subject: &word.subject,
            text: &word.text,
            answered: header,
        };
        let claim =
            Claim { kind: AnswerKind::ListWord, subject_id: list_id, version: 0, interval: WORD_PAUSE };
        self.answers.give(row, &letter, &found.customer, word.is_rare.then_some(claim), queue).await
    }

    async fn request(
        &self,
        found: &FoundList,
        sender: &EmailAddress,
        change: ListChange,
    ) -> Result<Word, ErrandOutcome> {
        let request = RequestListChangeRequest {
            list_id: found.list.list_id,
            address: sender.to_string(),
            change: change.into(),
        };
        let answer = self.directory.account.clone().request_list_change(request).await;
        let token = match answer {
            Ok(answer) => answer.into_inner().token,
            Err(status) => {
                return Err(match failure::reason_of(&status) {
                    Reason::LimitReached => ErrandOutcome::Finished("too many requests for this address"),
                    Reason::NotFound => ErrandOutcome::Finished("the list was removed"),
                    Reason::InvalidArgument => ErrandOutcome::Finished("the address cannot be a member"),
                    _ => ErrandOutcome::Deferred(status.message().to_owned()),
                });
            }
        };
        if token.is_empty() {
            return Ok(unchanged(&found.address, sender, change));
        }
        Ok(confirmation(&found.address, sender, change, &token))
    }

    async fn confirm(&self, found: &FoundList, token: &str) -> Result<Word, ErrandOutcome> {
        let request = ConfirmListChangeRequest { token: token.to_owned(), list_id: found.list.list_id };
        let answer = match self.directory.account.clone().confirm_list_change(request).await {
            Ok(answer) => answer.into_inner(),
            Err(status) if failure::reason_of(&status) == Reason::LimitReached => {
                let text = format!(
                    "The mailing list {} cannot have more members now. Please write to {}.\n",
                    found.address,
                    command_address(&found.address, "owner")
                );
                return Ok(Word::rare("No more members", text));
            }
            Err(status) => return Err(ErrandOutcome::Deferred(status.message().to_owned())),
        };
        if answer.address.is_empty() {
            return Ok(unknown_token(&found.address));
        }
        Ok(done(&found.address, &answer.address, answer.change()))
    }
}

/// The token that stands in the address, or in the subject of a reply (`Re: confirm <token>`).
fn token(row: &LeasedRow, header: &Header) -> Option<String> {
    let is_token = |word: &&str| {
        word.len() == TOKEN_CHARS && word.bytes().all(|c| matches!(c, b'a'..=b'z' | b'2'..=b'7'))
    };
    if let Some(tag) = &row.note {
        // Whatever it is: account says that it is none.
        return Some(tag.to_lowercase());
    }
    let subject = header.subject();
    let mut words = subject.split_whitespace();
    words.find(|word| word.eq_ignore_ascii_case("confirm"))?;
    words.next().filter(is_token).map(str::to_owned)
}

fn confirmation(list: &EmailAddress, sender: &EmailAddress, change: ListChange, token: &str) -> Word {
    let what = match change {
        ListChange::Unsubscribe => "be a member of it no longer",
        _ => "become a member of it",
    };
    let text = format!(
        "Somebody, hopefully you, wrote to the mailing list\n\n    {list}\n\nand asked that this address shall {what}:\n\n    \
         {sender}\n\nIf that is what you want, just reply to this message; leave its subject as it is.\nIf not, do \
         nothing: nothing will change. This request ends by itself after 3 days.\n"
    );
    Word {
        subject: format!("confirm {token}"),
        text,
        reply_to: Some(token_address(list, token).unwrap_or_else(|| command_address(list, "request"))),
        is_rare: false,
    }
}

fn unchanged(list: &EmailAddress, sender: &EmailAddress, change: ListChange) -> Word {
    let state = match change {
        ListChange::Unsubscribe => "is no member of",
        _ => "is a member already of",
    };
    Word::rare(
        "Nothing to change",
        format!("{sender} {state} the mailing list {list}. Nothing was changed.\n"),
    )
}

fn unknown_token(list: &EmailAddress) -> Word {
    let text = format!(
        "The mailing list {list} does not know this confirmation: it was used already, or it is older than 3 \
         days.\nNothing was changed. You can ask again at {} or {}.\n",
        command_address(list, "subscribe"),
        command_address(list, "unsubscribe")
    );
    Word::rare("Confirmation not known", text)
}

fn done(list: &EmailAddress, member: &str, change: ListChange) -> Word {
    let (subject, state) = match change {
        ListChange::Unsubscribe => ("Goodbye", "is a member of it no longer"),
        _ => ("Welcome", "is a member of it now"),
    };
    let mut text = format!("The mailing list {list}: {member} {state}.\n");
    if change == ListChange::Subscribe {
        text.push_str(&format!(
            "\nTo write to all members, send your message to {list}.\nTo leave it, send any message to {}.\n",
            command_address(list, "unsubscribe")
        ));
    }
    // A token works once, so this is said once.
    Word { subject: format!("{subject}: {list}"), text, reply_to: None, is_rare: false }
}

fn help(list: &EmailAddress) -> Word {
    let text = format!(
        "This is the mailing list {list}. What a message to it does:\n\n  {subscribe}\n    makes you a member, after you \
         have confirmed it\n  {unsubscribe}\n    ends that\n  {owner}\n    goes to the owner of the list\n",
        subscribe = command_address(list, "subscribe"),
        unsubscribe = command_address(list, "unsubscribe"),
        owner = command_address(list, "owner"),
    );
    Word::rare("How this mailing list works", text)
}
