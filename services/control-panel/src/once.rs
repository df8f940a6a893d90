//! A secret that was just made and is shown once. The page that made it answers by leading to another one, so that a reload makes
//! no second one; on the way the browser keeps the secret in a cookie that only this session opens, on that page only, and
//! the page that shows it takes it away.

use axum::response::{IntoResponse as _, Redirect, Response};
use http::header;

use crate::{call::Failure, cookie::Cookie, session::Person, visit::Visit};

/// Leads to a page of the panel that shows this.
///
/// # Errors
/// When it cannot be locked; then it is not shown at all.
pub(crate) fn lead_to(visit: &Visit, person: &Person, page: &str, secret: &str) -> Result<Response, Failure> {
    let locked = person.token.lock(page, secret).ok_or(Failure::Away)?;
    let cookie = Cookie::Once.set(&locked, visit.secure).ok_or(Failure::Away)?;
    let mut response = Redirect::to(page).into_response();
    response.headers_mut().append(header::SET_COOKIE, cookie);
    Ok(response)
}
