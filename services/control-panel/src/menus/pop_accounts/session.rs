//! Who has a box open, and which computers may send because they checked it.

use axum::response::Response;
use maud::{Markup, html};
use postern_proto::{
    auth::v1::{Grant, RevokeGrantRequest},
    delivery::v1::{Lock, ReleaseLockRequest},
};

use super::{
    account::{self, Known},
    box_path,
};
use crate::{
    call::Failure,
    layout::{button, said::Said},
    mail_program::Sending,
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
                Ok(grants) if grants.is_empty() && Sending::at(place) == Sending::WithLogin => {
                    p { (place.say("pop-grants-login")) }
                }
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
