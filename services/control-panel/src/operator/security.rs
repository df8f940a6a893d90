//! How a customer signs in: its second factor and its sessions, and the end of both for who lost something.

use axum::{extract::Path, response::Response};
use maud::{Markup, html};
use postern_proto::{
    account::v1::{DeleteSecondFactorRequest, GetSecondFactorRequest},
    auth::v1::{EndPanelSessionsRequest, ListPanelSessionsRequest},
};

use super::{Staff, customers::DESK, path};
use crate::{
    call::Failure,
    layout::{button, said::Said},
};

/// What is known of it; a part that is away leaves its line empty.
pub(super) async fn card(staff: &Staff, login: &str) -> Markup {
    let (mut factors, mut sessions) = (staff.calls().second_factors(), staff.calls().sessions());
    let (factor, sessions) = tokio::join!(
        factors.get_second_factor(GetSecondFactorRequest { login: login.to_owned() }),
        sessions.list_panel_sessions(ListPanelSessionsRequest { login: login.to_owned() }),
    );
    let factor = factor.ok().and_then(|answer| answer.into_inner().second_factor);
    let sessions = sessions.ok().map(|answer| answer.into_inner().sessions.len());
    let since = factor.as_ref().and_then(|factor| factor.confirm_time.as_ref());
    let open = sessions.unwrap_or(0);
    html! {
        section.card {
            h2 { (staff.say("security-title")) }
            dl.facts {
                dt { (staff.say("factor-title")) }
                dd {
                    @match (&factor, since) {
                        (None, _) => (staff.say("pop-unknown-now")),
                        (Some(_), None) => (staff.say("factor-off")),
                        (Some(_), Some(since)) => {
                            span.badge.good { (staff.say("factor-on")) } " " (staff.visit.reader.moment(since))
                        }
                    }
                }
                dt { (staff.say("security-open")) }
                dd {
                    @match sessions {
                        Some(0) => (staff.say("security-open-none")),
                        Some(count) => (count),
                        None => (staff.say("pop-unknown-now")),
                    }
                }
            }
            @if staff.may_change() && (since.is_some() || open > 0) {
                div.actions {
                    @if since.is_some() {
                        (button(&staff.visit, &path(&DESK, &["of", login, "second-factor"]), &staff.say("factor-reset"), "danger", &[]))
                    }
                    @if open > 0 {
                        (button(&staff.visit, &path(&DESK, &["of", login, "sessions"]), &staff.say("security-end-all"), "", &[]))
                    }
                }
            }
        }
    }
}

/// Takes the second factor away, for a customer who lost it.
pub(super) async fn reset(Path(login): Path<String>, staff: Staff) -> Result<Response, Failure> {
    let request = DeleteSecondFactorRequest { login: login.clone(), ..DeleteSecondFactorRequest::default() };
    staff.calls().second_factors().delete_second_factor(request).await?;
    let said = Said::new("factor-reset-said").with("name", &login);
    Ok(staff.visit.done(&path(&DESK, &["of", &login]), &said))
}

/// Signs a customer out everywhere.
pub(super) async fn end_sessions(Path(login): Path<String>, staff: Staff) -> Result<Response, Failure> {
    let request = EndPanelSessionsRequest { login: login.clone(), ..EndPanelSessionsRequest::default() };
    staff.calls().sessions().end_panel_sessions(request).await?;
    let said = Said::new("security-ended-of").with("name", &login);
    Ok(staff.visit.done(&path(&DESK, &["of", &login]), &said))
}
