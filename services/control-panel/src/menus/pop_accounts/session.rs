//! Who has a box open, which computers may send because they checked it, and emptying it.

use axum::response::Response;
use maud::{Markup, html};
use postern_proto::{
    auth::v1::{Grant, RevokeGrantRequest},
    delivery::v1::{ClearBoxRequest, ClearScope, Lock, ReleaseLockRequest, RestoreBoxRequest},
};

use super::{
    MENU,
    account::{self, Known},
    box_path,
};
use crate::{
    call::Failure,
    layout::{self, button, said::Said},
    place::Place,
};

/// Who uses it now, and who may send.
pub(super) fn cards(place: &Place, known: &Known) -> Markup {
    html! {
        section.card {
            h2 { (place.say("pop-lock")) }
            @match &known.lock {
                Ok(Some(lock)) => (holder(place, &known.mailbox.login, lock)),
                Ok(None) => p { (place.say("pop-lock-free")) },
                Err(_) => p { (place.say("pop-unknown-now")) },
            }
        }
        section.card {
            h2 { (place.say("pop-grants")) }
            @match &known.grants {
                Ok(grants) if grants.is_empty() => p { (place.say("pop-grants-none")) },
                Ok(grants) => ul.plain {
                    @for grant in grants { (granted(place, &known.mailbox.login, grant)) }
                },
                Err(_) => p { (place.say("pop-unknown-now")) },
            }
        }
    }
}

fn holder(place: &Place, login: &str, lock: &Lock) -> Markup {
    let reader = &place.visit.reader;
    html! {
        p { (place.say("pop-lock-held")) }
        dl.facts {
            dt { (place.say("pop-lock-from")) } dd { code { (lock.peer_ip) } }
            dt { (place.say("pop-lock-since")) } dd { (reader.moment_or(lock.since_time.as_ref(), "–")) }
        }
        div.actions {
            (button(&place.visit, &format!("{}/release", box_path(place, login)), &place.say("pop-release"), "", &[]))
        }
    }
}

fn granted(place: &Place, login: &str, grant: &Grant) -> Markup {
    let until =
        grant.expire_time.as_ref().map(|time| place.visit.reader.moment_text(time)).unwrap_or_default();
    let values = [("client", grant.client.as_str().into()), ("time", until.into())];
    html! {
        li.row {
            span { (place.visit.texts().fill("pop-grant", &values)) }
            (button(&place.visit, &format!("{}/revoke", box_path(place, login)), &place.say("pop-revoke"), "",
                &[("client", &grant.client)]))
        }
    }
}

pub(super) async fn release(place: Place) -> Result<Response, Failure> {
    let mailbox = account::mailbox(&place).await?;
    let request = ReleaseLockRequest { mailbox_id: mailbox.mailbox_id };
    let released = place.calls().locks().release_lock(request).await.map_err(Failure::from);
    let said = match released {
        // Whoever had it has gone meanwhile: it is as was wanted.
        Ok(_) | Err(Failure::NotFound) => Said::new("pop-released").with("name", &mailbox.login),
        Err(failure) => return Err(failure),
    };
    Ok(place.visit.done(&box_path(&place, &mailbox.login), &said))
}

pub(super) async fn revoke(place: Place) -> Result<Response, Failure> {
    let mailbox = account::mailbox(&place).await?;
    let client = place.visit.form.get("client").to_owned();
    // An IPv6 grant is that of a /64; the call takes an address of it.
    let peer_ip = client.split('/').next().unwrap_or_default().to_owned();
    let request = RevokeGrantRequest { login: mailbox.login.clone(), peer_ip };
    place.calls().relay().revoke_grant(request).await?;
    let said = Said::new("pop-revoked").with("name", &client);
    Ok(place.visit.done(&box_path(&place, &mailbox.login), &said))
}

/// Emptying the box, and what was taken out of it before.
pub(super) fn clearing_card(place: &Place, known: &Known) -> Markup {
    let reader = &place.visit.reader;
    let path = box_path(place, &known.mailbox.login);
    html! {
        section.card {
            h2 { (place.say("pop-clear")) }
            p { (place.say("pop-clear-hint")) }
            @if !known.clearings.is_empty() {
                ul.plain {
                    @for clearing in &known.clearings {
                        @let id = clearing.clearing_id.to_string();
                        li.row {
                            span {
                                (reader.count("pop-message-count", clearing.message_count)) ", "
                                (reader.size(clearing.bytes)) ", "
                                (reader.moment_or(clearing.clear_time.as_ref(), "–"))
                            }
                            (button(&place.visit, &format!("{path}/bring-back"), &place.say("pop-bring-back"), "",
                                &[("clearing-id", &id)]))
                        }
                    }
                }
            }
            div.actions { a.button href={ (path) "/clear" } { (place.say("pop-clear-this")) } }
        }
    }
}

pub(super) async fn clear_page(place: Place) -> Result<Response, Failure> {
    let mailbox = account::mailbox(&place).await?;
    let path = box_path(&place, &mailbox.login);
    let body = html! {
        div.card.danger {
            p { (place.visit.name("pop-clear-ask", &mailbox.login)) }
            p { (place.say("pop-clear-hint")) }
            form method="post" action={ (path) "/clear" } {
                (layout::form_token(&place.visit))
                div.actions {
                    button.danger type="submit" name="scope" value="all" { (place.say("pop-clear-all")) }
                    button type="submit" name="scope" value="damaged" { (place.say("pop-clear-damaged")) }
                    a.button href=(path) { (place.say("form-cancel")) }
                }
            }
        }
    };
    let crumbs = vec![(mailbox.login.clone(), path.clone())];
    Ok(place.page_below(&MENU, crumbs, place.say("pop-clear"), body))
}

pub(super) async fn clear(place: Place) -> Result<Response, Failure> {
    let mailbox = account::mailbox(&place).await?;
    let scope = match place.visit.form.get("scope") {
        "all" => ClearScope::All,
        "damaged" => ClearScope::Damaged,
        _ => return Err(Failure::BadForm),
    };
    let request =
        ClearBoxRequest { mailbox_id: mailbox.mailbox_id, scope: scope.into(), validate_only: false };
    let cleared = place.calls().boxes().clear_box(request).await?.into_inner();
    let path = box_path(&place, &mailbox.login);
    let count = place.visit.reader.count("pop-message-count", cleared.cleared_count);
    let said = Said::new("pop-cleared").with("count", &count);
    let id = cleared.clearing_id.to_string();
    let said = match cleared.clearing_id {
        0 => said,
        _ => said.undo(format!("{path}/bring-back"), &[("clearing-id", &id)]),
    };
    Ok(place.visit.done(&path, &said))
}

pub(super) async fn bring_back(place: Place) -> Result<Response, Failure> {
    let mailbox = account::mailbox(&place).await?;
    let clearing_id = place.visit.form.get("clearing-id").parse::<i64>().ok().filter(|id| *id > 0);
    let clearing_id = clearing_id.ok_or(Failure::BadForm)?;
    let request = RestoreBoxRequest { mailbox_id: mailbox.mailbox_id, clearing_id };
    let restored = place.calls().boxes().restore_box(request).await?.into_inner();
    let count = place.visit.reader.count("pop-message-count", restored.restored_count);
    let said = Said::new("pop-brought-back").with("count", &count);
    Ok(place.visit.done(&box_path(&place, &mailbox.login), &said))
}
