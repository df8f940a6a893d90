//! Removing a box, with what still points at it, and bringing it back.

use axum::response::Response;
use http::StatusCode;
use maud::html;
use postern_proto::{
    account::v1::{
        DeleteMailboxRequest, Mailbox, Reference, ReferenceKind, RestoreMailboxRequest, WentAlong,
    },
    delivery::v1::MoveMessagesRequest,
};

use super::{MENU, account, box_path};
use crate::{
    call::Failure,
    layout::{self, said::Said},
    place::Place,
};

/// Things that still point at a removed address, named on the next page.
const NAMED_MAX: usize = 6;

pub(super) async fn page(place: Place) -> Result<Response, Failure> {
    place.must("account.v1.MailboxService/DeleteMailbox")?;
    let mailbox = account::mailbox(&place).await?;
    let visit = &place.visit;
    let body = html! {
        div.card.danger {
            p { (visit.name("pop-remove-ask", &mailbox.login)) }
            dl.facts {
                dt { (place.say("pop-column-use")) }
                dd { (layout::meter(visit, mailbox.used_bytes, mailbox.effective_quota_bytes)) }
            }
            p { (place.say("pop-remove-hint")) }
            form method="post" action={ (box_path(&place, &mailbox.login)) "/remove" } {
                (layout::form_token(visit))
                div.actions {
                    button.danger type="submit" { (place.say("pop-remove-this")) }
                    a.button href=(box_path(&place, &mailbox.login)) { (place.say("form-cancel")) }
                }
            }
        }
    };
    let crumbs = vec![(mailbox.login.clone(), box_path(&place, &mailbox.login))];
    Ok(place.page_below(&MENU, crumbs, place.say("pop-remove"), body))
}

pub(super) async fn remove(place: Place) -> Result<Response, Failure> {
    let mailbox = account::mailbox(&place).await?;
    let address = mailbox.address.clone();
    let request = DeleteMailboxRequest { address: address.clone() };
    let answer = place.calls().mailboxes().delete_mailbox(request).await?.into_inner();
    let id = answer.mailbox_id.to_string();
    let said = if answer.references.is_empty() {
        Said::new("pop-removed-said").with("name", &address)
    } else {
        let named: Vec<String> =
            answer.references.iter().take(NAMED_MAX).map(|reference| named(&place, reference)).collect();
        let more = if answer.references.len() > NAMED_MAX { " …" } else { "" };
        let names = format!("{}{more}", named.join(", "));
        Said::new("pop-removed-said-referred").with("name", &address).with("names", &names)
    };
    let fields = [("address", address.as_str()), ("mailbox-id", id.as_str())];
    let said = said.undo(place.path(&MENU, &["restore"]), &fields);
    Ok(place.visit.done(&place.path(&MENU, &[]), &said))
}

fn named(place: &Place, reference: &Reference) -> String {
    let key = match reference.kind() {
        ReferenceKind::Forward => "reference-forward",
        ReferenceKind::ListMember => "reference-list-member",
        ReferenceKind::ListOwner => "reference-list-owner",
        ReferenceKind::DefaultAddress => "reference-default-address",
        ReferenceKind::Autoresponder => "reference-autoresponder",
        ReferenceKind::Unspecified => "reference-other",
    };
    place.visit.name(key, &reference.name)
}

/// Brings a removed box back. Where its address has a new box, nothing is done before somebody has said that whoever has the new
/// one may read the old mail: it cannot be taken out again.
pub(super) async fn restore(place: Place) -> Result<Response, Failure> {
    let form = &place.visit.form;
    let address = form.get("address").to_owned();
    // Only what was at this domain comes back from its page.
    if !address.ends_with(&format!("@{}", place.name())) {
        return Err(Failure::NotFound);
    }
    let mailbox_id = form.get("mailbox-id").parse().unwrap_or(0);
    let request = RestoreMailboxRequest { address: address.clone(), mailbox_id };
    let answer = match place.calls().mailboxes().restore_mailbox(request).await.map_err(Failure::from) {
        // Pressed twice, or too late: nothing is wrong with the page.
        Err(Failure::NotFound) => {
            let said = Said::new("pop-restored-not").with("name", &address);
            return Ok(place.visit.done(&place.path(&MENU, &[]), &said));
        }
        answer => answer?.into_inner(),
    };
    let from_mailbox_id = answer.merge_from_mailbox_id;
    if from_mailbox_id == 0 {
        let said = restored_said(&place, &address, &answer.went_along);
        return Ok(place.visit.done(&box_path(&place, &address), &said));
    }
    let new = answer.mailbox.ok_or(Failure::Away)?;
    // Meant was the box that the question named, not one that came after it.
    if form.get("into") != new.mailbox_id.to_string() {
        return Ok(ask_to_merge(&place, &new, from_mailbox_id));
    }
    let request = MoveMessagesRequest { from_mailbox_id, to_mailbox_id: new.mailbox_id };
    place.calls().boxes().move_messages(request).await?;
    Ok(place.visit.done(&box_path(&place, &address), &Said::new("pop-merged").with("name", &address)))
}

/// Says that a box is back, and names what was removed with it and could not come along; it waits in the activity.
fn restored_said(place: &Place, address: &str, went_along: &[WentAlong]) -> Said {
    let left: Vec<_> = went_along
        .iter()
        .filter(|along| !along.refused.is_empty())
        .map(|along| match along.kind.as_str() {
            "autoresponder" => place.say("activity-kind-autoresponder"),
            _ => place.say("activity-kind-forward"),
        })
        .collect();
    if left.is_empty() {
        return Said::new("pop-restored").with("name", address);
    }
    Said::new("pop-restored-without").with("name", address).with("names", &left.join(", "))
}

fn ask_to_merge(place: &Place, new: &Mailbox, from_mailbox_id: i64) -> Response {
    let visit = &place.visit;
    let (from, into) = (from_mailbox_id.to_string(), new.mailbox_id.to_string());
    let body = html! {
        div.card.danger {
            p { (visit.name("pop-merge-ask", &new.address)) }
            dl.facts {
                dt { (place.say("pop-merge-new-since")) }
                dd { (visit.reader.moment_or(new.create_time.as_ref(), "–")) }
                dt { (place.say("pop-column-name")) } dd { (new.display_name) }
                dt { (place.say("pop-column-use")) }
                dd { (layout::meter(visit, new.used_bytes, new.effective_quota_bytes)) }
            }
            p { (place.say("pop-merge-hint")) }
            form method="post" action=(place.path(&MENU, &["restore"])) {
                (layout::form_token(visit))
                input type="hidden" name="address" value=(new.address);
                input type="hidden" name="mailbox-id" value=(from);
                input type="hidden" name="into" value=(into);
                div.actions {
                    button.danger type="submit" { (place.say("pop-merge-this")) }
                    a.button href=(place.path(&MENU, &[])) { (place.say("form-cancel")) }
                }
            }
        }
    };
    let mut page = place.page_below(&MENU, Vec::new(), place.say("pop-merge"), body);
    *page.status_mut() = StatusCode::CONFLICT;
    page
}
