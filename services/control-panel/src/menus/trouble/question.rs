//! What is asked under each heading: its form, and the call.

use maud::{Markup, html};
use postern_proto::{
    account::v1::ListMailboxesRequest,
    auth::v1::{ExplainDomainRequest, ExplainLoginRequest, ExplainSendRequest, Explanation},
};

use super::MENU;
use crate::{
    call::Failure,
    form::{Field, Form, Problems},
    layout,
    place::{Place, segment},
};

/// So many boxes can be chosen from; of more the login is typed.
const CHOICE_MAX: i32 = 100;
/// Stands for anybody outside (RFC 2606 section 3).
const OUTSIDE: &str = "somebody@example.com";

/// A heading of the help page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Heading {
    Send,
    Lock,
    Login,
    Host,
}

impl Heading {
    pub(super) const ALL: [Self; 4] = [Self::Send, Self::Lock, Self::Login, Self::Host];

    /// In addresses.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Send => "send",
            Self::Lock => "lock",
            Self::Login => "login",
            Self::Host => "host",
        }
    }

    pub(super) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|heading| heading.name() == name)
    }

    /// Key of the complaint, as people say it.
    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Send => "trouble-send",
            Self::Lock => "trouble-lock",
            Self::Login => "trouble-login",
            Self::Host => "trouble-host",
        }
    }

    /// Key of what it is about.
    pub(super) fn lead(self) -> &'static str {
        match self {
            Self::Send => "trouble-send-lead",
            Self::Lock => "trouble-lock-lead",
            Self::Login => "trouble-login-lead",
            Self::Host => "trouble-host-lead",
        }
    }
}

/// A question as the form has it.
#[derive(Clone, Debug)]
pub(super) struct Question {
    pub(super) heading: Heading,
    /// Login of the box, as typed.
    pub(super) mailbox: String,
    /// Address of the computer that has the trouble.
    pub(super) client: String,
    pub(super) recipient: String,
    /// The mail program logs in for sending.
    pub(super) logs_in: bool,
}

impl Question {
    /// What was asked; where nothing was, what most likely will be.
    pub(super) fn read(heading: Heading, form: &Form, place: &Place) -> Self {
        let own = if place.person.is_mailbox_user() { place.person.caller.subject.as_str() } else { "" };
        let or = |name: &str, else_this: &str| {
            let typed = form.trimmed(name);
            if form.has(name) { typed.to_owned() } else { else_this.to_owned() }
        };
        Self {
            heading,
            mailbox: or("mailbox", own),
            client: or("client", &place.visit.peer.to_string()),
            recipient: or("recipient", ""),
            logs_in: form.has("logs-in"),
        }
    }

    /// As hidden fields of another form, or as a query.
    pub(super) fn fields(&self) -> Vec<(&'static str, &str)> {
        let mut fields = vec![
            ("heading", self.heading.name()),
            ("mailbox", self.mailbox.as_str()),
            ("client", self.client.as_str()),
            ("recipient", self.recipient.as_str()),
        ];
        if self.logs_in {
            fields.push(("logs-in", "yes"));
        }
        fields
    }

    /// Address of the page that asks it again.
    pub(super) fn path(&self, place: &Place) -> String {
        let query: Vec<_> =
            self.fields().iter().map(|(name, value)| format!("{name}={}", segment(value))).collect();
        format!("{}?{}", place.path(&MENU, &[self.heading.name()]), query.join("&"))
    }

    pub(super) async fn ask(&self, place: &Place) -> Result<Explanation, Failure> {
        let mut explain = place.calls().explain();
        let explanation = match self.heading {
            Heading::Send => {
                let request = ExplainSendRequest {
                    sender: self.sender(place),
                    recipient: if self.recipient.is_empty() { OUTSIDE } else { &self.recipient }.to_owned(),
                    peer_ip: self.client.clone(),
                    login: if self.logs_in { self.mailbox.clone() } else { String::new() },
                    clear_text: false,
                };
                explain.explain_send(request).await?.into_inner().explanation
            }
            Heading::Host if !place.person.is_mailbox_user() => {
                let request = ExplainDomainRequest { name: place.name().to_owned() };
                explain.explain_domain(request).await?.into_inner().explanation
            }
            // What the user of one box may know of its domain stands in the explanation of the login.
            Heading::Lock | Heading::Login | Heading::Host => {
                let peer_ip =
                    if self.heading == Heading::Login { self.client.clone() } else { String::new() };
                let request = ExplainLoginRequest { login: self.mailbox.clone(), peer_ip, clear_text: false };
                explain.explain_login(request).await?.into_inner().explanation
            }
        };
        explanation.ok_or(Failure::Away)
    }

    /// The default box has a login without @ and any sender of its domain.
    fn sender(&self, place: &Place) -> String {
        if self.mailbox.contains('@') || self.mailbox.is_empty() {
            return self.mailbox.clone();
        }
        format!("{}@{}", self.mailbox, place.name())
    }
}

/// Logins to choose from; `None` where there are too many, or where there is only the own one.
pub(super) async fn boxes(place: &Place) -> Result<Option<Vec<String>>, Failure> {
    if place.person.is_mailbox_user() {
        return Ok(None);
    }
    let request = ListMailboxesRequest {
        domain: place.name().to_owned(),
        page_size: CHOICE_MAX,
        ..ListMailboxesRequest::default()
    };
    let page = place.calls().mailboxes().list_mailboxes(request).await?.into_inner();
    let all = page.next_page_token.is_empty();
    Ok(all.then(|| page.mailboxes.into_iter().map(|mailbox| mailbox.login).collect()))
}

pub(super) fn form(
    place: &Place,
    question: &Question,
    boxes: Option<&[String]>,
    problems: &Problems,
) -> Markup {
    let heading = question.heading;
    let address = place.path(&MENU, &[heading.name()]);
    let host = heading == Heading::Host;
    html! {
        @if host && !place.person.is_mailbox_user() {
            div.actions {
                (layout::button(&place.visit, &address, &place.say("trouble-ask-host"), "primary", &[("heading", "host")]))
            }
        } @else {
            form.card method="get" action=(address) {
                @if host { input type="hidden" name="mailbox" value=(question.mailbox); }
                @else { (mailbox_field(place, question, boxes, problems)) }
                @if heading == Heading::Send {
                    (Field::new("recipient", place.say("trouble-field-recipient"))
                        .hint(place.say("trouble-field-recipient-hint")).value(&question.recipient).problem(problems).text())
                }
                @if matches!(heading, Heading::Send | Heading::Login) {
                    (Field::new("client", place.say("trouble-field-client")).hint(place.say("trouble-field-client-hint"))
                        .value(&question.client).problem(problems).text())
                }
                @if heading == Heading::Send {
                    (Field::new("logs-in", place.say("trouble-field-logs-in"))
                        .hint(place.say("trouble-field-logs-in-hint")).tick(question.logs_in))
                }
                div.actions { button.primary type="submit" { (place.say("trouble-ask")) } }
            }
        }
    }
}

/// A login is typed where it may be the login that is wrong.
fn mailbox_field(
    place: &Place,
    question: &Question,
    boxes: Option<&[String]>,
    problems: &Problems,
) -> Markup {
    let field = |label: &str| {
        Field::new("mailbox", place.say(label)).value(&question.mailbox).problem(problems).required()
    };
    match boxes {
        Some(boxes) if question.heading != Heading::Login => {
            let choices: Vec<_> = boxes.iter().map(|login| (login.as_str(), login.clone())).collect();
            field("trouble-field-mailbox").select(&choices)
        }
        _ => field("trouble-field-login").hint(place.say("trouble-field-login-hint")).text(),
    }
}
