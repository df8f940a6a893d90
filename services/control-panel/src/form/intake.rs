//! The body of a form, taken within bounds: who is not signed in may send little, and who is may send much only where much is
//! typed, a few at a time. It must come in time. So however many send however much, little of it is held.

use std::{sync::Arc, time::Duration};

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, header};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};
use tokio_stream::StreamExt as _;

use crate::{
    call::Failure,
    router::{FRONT, SIGN_IN, SIGN_IN_CODE},
};

/// Octets of a form: a hundred addresses, or a hundred ticks, fit.
pub(crate) const FORM_MAX_BYTES: usize = 64 * 1024;
/// Octets of a form that signs in: it carries another one with it, whose names are longer there.
const SIGN_IN_MAX_BYTES: usize = 2 * FORM_MAX_BYTES;
/// Octets of a form where much is typed: ten thousand addresses of a list fit.
const LONG_FORM_MAX_BYTES: usize = 4 * 1024 * 1024;
/// Menus of a domain where much is typed: the members of a list, and an answer of 64 KiB, which a browser writes with `%XX`.
const LONG_FORM_MENUS: [&str; 2] = ["mailing-lists", "autoresponders"];
/// Long forms at once, with the pages that answer them; who comes later waits for a turn.
pub(crate) const LONG_FORMS_MAX: usize = 2;
/// A form that takes longer is given up; assertions live a minute, and the calls come after it.
const FORM_TIMEOUT: Duration = Duration::from_secs(25);

/// What a browser sent, and its turn, to be kept until the answer is made.
#[derive(Debug, Default)]
pub(crate) struct Taken {
    pub(crate) form: Bytes,
    pub(crate) turn: Option<OwnedSemaphorePermit>,
}

/// Octets that a form may have at this path.
pub(crate) fn most(path: &str, signed_in: bool) -> usize {
    if matches!(path, SIGN_IN | SIGN_IN_CODE) {
        return SIGN_IN_MAX_BYTES;
    }
    let mut below = path.strip_prefix(FRONT).unwrap_or_default().split('/').skip(2);
    let is_long = below.next().is_some_and(|menu| LONG_FORM_MENUS.contains(&menu));
    if signed_in && is_long { LONG_FORM_MAX_BYTES } else { FORM_MAX_BYTES }
}

/// Takes the body of a form of so many octets at most. What is more is read without being held, as far as a browser could have
/// meant it, so that the browser comes to read the answer.
///
/// # Errors
/// When it is larger, is not there in time, or has no turn in time.
pub(crate) async fn take(
    headers: &HeaderMap,
    body: Body,
    most: usize,
    turns: &Arc<Semaphore>,
) -> Result<Taken, Failure> {
    let announced = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    if announced.is_some_and(|length: usize| length > LONG_FORM_MAX_BYTES) {
        return Err(Failure::TooLarge);
    }
    let turn = match announced {
        Some(length) if length <= FORM_MAX_BYTES || length > most => None,
        // One that does not say how long it is may be long.
        _ if most <= SIGN_IN_MAX_BYTES => None,
        _ => {
            let turn = timeout(FORM_TIMEOUT, Arc::clone(turns).acquire_owned()).await;
            Some(turn.ok().and_then(Result::ok).ok_or(Failure::TooBusy)?)
        }
    };
    match timeout(FORM_TIMEOUT, read(body, most)).await {
        Ok(form) => Ok(Taken { form: form?, turn }),
        Err(_) => Err(Failure::BadForm),
    }
}

async fn read(body: Body, most: usize) -> Result<Bytes, Failure> {
    let mut pieces = body.into_data_stream();
    let (mut form, mut length) = (BytesMut::new(), 0);
    while let Some(piece) = pieces.next().await {
        let piece = piece.map_err(|_| Failure::BadForm)?;
        length += piece.len();
        if length > LONG_FORM_MAX_BYTES {
            return Err(Failure::TooLarge);
        }
        if length > most {
            form = BytesMut::new();
        } else {
            form.extend_from_slice(&piece);
        }
    }
    if length > most { Err(Failure::TooLarge) } else { Ok(form.freeze()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn much_is_taken_from_whoever_is_signed_in_where_much_is_typed() {
        let members = "/controlpanel/a.test/mailing-lists/of/x@a.test/members";
        assert_eq!(most(members, true), LONG_FORM_MAX_BYTES);
        assert_eq!(most("/controlpanel/a.test/autoresponders/new", true), LONG_FORM_MAX_BYTES);
        for (path, signed_in) in [
            (members, false),
            ("/controlpanel/a.test/forwards/new", true),
            ("/controlpanel/mailing-lists/x", true),
            ("/controlpanel/preferences", false),
        ] {
            assert_eq!(most(path, signed_in), FORM_MAX_BYTES, "{path}");
        }
        assert_eq!(most(SIGN_IN, false), SIGN_IN_MAX_BYTES);
    }

    #[tokio::test]
    async fn what_is_too_large_is_not_held_and_long_forms_take_turns() {
        let turns = Arc::new(Semaphore::new(1));
        let headers = |length: usize| {
            let mut headers = HeaderMap::new();
            headers.insert(header::CONTENT_LENGTH, length.into());
            headers
        };
        let sent = |length: usize| Body::from(vec![b'x'; length]);
        let small = take(&headers(10), sent(10), FORM_MAX_BYTES, &turns).await.expect("a form");
        assert!(small.form.len() == 10 && small.turn.is_none());
        let over = FORM_MAX_BYTES + 1;
        for headers in [headers(over), HeaderMap::new(), headers(LONG_FORM_MAX_BYTES + 1)] {
            let taken = take(&headers, sent(over), FORM_MAX_BYTES, &turns).await;
            assert_eq!(taken.err(), Some(Failure::TooLarge));
        }
        let long = take(&headers(over), sent(over), LONG_FORM_MAX_BYTES, &turns).await.expect("a form");
        assert!(long.form.len() == over && long.turn.is_some() && turns.available_permits() == 0);
        let small = take(&headers(10), sent(10), LONG_FORM_MAX_BYTES, &turns).await.expect("no turn needed");
        drop(long);
        assert!(small.turn.is_none() && turns.available_permits() == 1);
    }
}
