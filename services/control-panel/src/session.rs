//! Who is signed in: the token of the cookie becomes an assertion at auth, for each page anew, so that an ended session ends
//! at once everywhere. What a form carries against forgery is made of the token, so nothing has to be kept.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use postern_mail::Reason;
use postern_mesh::{
    access,
    client::MeshChannel,
    failure,
    identity::{Caller, Role},
};
use postern_proto::auth::v1::{
    CreatePanelSessionRequest, CreatePanelSessionResponse, DeletePanelSessionRequest, ExchangeTokenRequest,
    login_service_client::LoginServiceClient, panel_session_service_client::PanelSessionServiceClient,
};
use ring::{
    aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    digest, hmac,
    rand::{SecureRandom as _, SystemRandom},
};
use tonic::Status;

use crate::{
    Panel,
    call::{Calls, Failure},
};

/// What the token of a form is made for, so that it can stand for nothing else.
const FORM_PURPOSE: &[u8] = b"form of the control panel";
const SAID_PURPOSE: &[u8] = b"said by the control panel: ";
const ONCE_PURPOSE: &[u8] = b"shown once by the control panel";

/// The token of a panel session (`pss_...`). Never shown: not on a page, not in a log.
#[derive(Clone)]
pub(crate) struct SessionToken(String);

impl std::fmt::Debug for SessionToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SessionToken")
    }
}

impl SessionToken {
    pub(crate) fn new(token: String) -> Self {
        Self(token)
    }

    /// For the cookie only.
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }

    /// As auth names the session in lists.
    pub(crate) fn session_id(&self) -> String {
        URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, self.0.as_bytes()))
    }

    /// What each form of this session carries: nobody can make it who does not know the token.
    pub(crate) fn form_token(&self) -> String {
        self.tag(&[FORM_PURPOSE])
    }

    /// True for what [`Self::form_token`] gave.
    pub(crate) fn knows_form(&self, form_token: &str) -> bool {
        self.fits(&[FORM_PURPOSE], form_token)
    }

    /// A seal under something that the browser keeps for us.
    pub(crate) fn seal(&self, text: &str) -> String {
        self.tag(&[SAID_PURPOSE, text.as_bytes()])
    }

    /// True for what [`Self::seal`] gave for this text.
    pub(crate) fn sealed(&self, text: &str, seal: &str) -> bool {
        self.fits(&[SAID_PURPOSE, text.as_bytes()], seal)
    }

    /// A secret that the browser keeps for us until that page, and that only this session reads there. `None`: there is no
    /// randomness to be had.
    pub(crate) fn lock(&self, page: &str, secret: &str) -> Option<String> {
        let mut nonce = [0; NONCE_LEN];
        SystemRandom::new().fill(&mut nonce).ok()?;
        let mut sealed = secret.as_bytes().to_vec();
        let (at, place) = (Nonce::assume_unique_for_key(nonce), Aad::from(page.as_bytes()));
        self.key()?.seal_in_place_append_tag(at, place, &mut sealed).ok()?;
        Some(URL_SAFE_NO_PAD.encode([&nonce[..], &sealed].concat()))
    }

    /// What [`Self::lock`] was given for this page; `None` for anything else.
    pub(crate) fn unlock(&self, page: &str, locked: &str) -> Option<String> {
        let locked = URL_SAFE_NO_PAD.decode(locked).ok()?;
        let (nonce, sealed) = locked.split_first_chunk::<NONCE_LEN>()?;
        let mut sealed = sealed.to_vec();
        let (at, place) = (Nonce::assume_unique_for_key(*nonce), Aad::from(page.as_bytes()));
        let secret = self.key()?.open_in_place(at, place, &mut sealed).ok()?;
        String::from_utf8(secret.to_vec()).ok()
    }

    fn key(&self) -> Option<LessSafeKey> {
        let token = hmac::Key::new(hmac::HMAC_SHA256, self.0.as_bytes());
        let key = hmac::sign(&token, ONCE_PURPOSE);
        Some(LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key.as_ref()).ok()?))
    }

    fn tag(&self, parts: &[&[u8]]) -> String {
        let key = hmac::Key::new(hmac::HMAC_SHA256, self.0.as_bytes());
        URL_SAFE_NO_PAD.encode(hmac::sign(&key, &parts.concat()).as_ref())
    }

    fn fits(&self, parts: &[&[u8]], tag: &str) -> bool {
        let key = hmac::Key::new(hmac::HMAC_SHA256, self.0.as_bytes());
        // ring compares in constant time.
        URL_SAFE_NO_PAD.decode(tag).is_ok_and(|tag| hmac::verify(&key, &parts.concat(), &tag).is_ok())
    }
}

/// Somebody who is signed in.
#[derive(Clone, Debug)]
pub(crate) struct Person {
    /// Name, role, and for whom they act: as auth signed it.
    pub(crate) caller: Caller,
    /// The calls that can be made in their name.
    pub(crate) calls: Calls,
    pub(crate) token: SessionToken,
}

impl Person {
    /// True for staff, who see every customer's things.
    pub(crate) fn is_staff(&self) -> bool {
        matches!(self.caller.role, Role::Operator | Role::Support)
    }

    /// Whether this person may make a call of a service, as `account.v1.ForwardService/CreateForward`: by role, and by scopes
    /// where a token is bound to some. The service decides anew; a page offers nothing that is refused.
    pub(crate) fn may(&self, call: &str) -> bool {
        access::method(&format!("/postern.{call}")).is_some_and(|method| method.admits(&self.caller))
    }

    /// True for the user of one mailbox.
    pub(crate) fn is_mailbox_user(&self) -> bool {
        self.caller.role == Role::Mailbox
    }
}

/// Who the bearer of this token is; `None`: nobody (any more).
pub(crate) async fn person(panel: &Panel, token: SessionToken) -> Result<Option<Person>, Failure> {
    // Of all tokens that auth takes, the cookie may hold that of a session only.
    if !token.reveal().starts_with("pss_") {
        return Ok(None);
    }
    let request = ExchangeTokenRequest { token: token.reveal().to_owned() };
    let answer = match logins(panel).exchange_token(request).await {
        Ok(answer) => answer.into_inner(),
        Err(status) => {
            return match Failure::from(status) {
                Failure::SessionEnded => Ok(None),
                failure => Err(failure),
            };
        }
    };
    let caller = panel.mesh.mesh_key.verify(&answer.assertion).map_err(|error| {
        tracing::error!(%error, "an assertion of auth is not believed: another key, or another time?");
        Failure::Away
    })?;
    let calls = Calls::new(&panel.upstreams, &answer.assertion);
    Ok(Some(Person { caller, calls, token }))
}

/// Ends a session; one that has ended already is no failure.
pub(crate) async fn end(panel: &Panel, token: &SessionToken) -> Result<(), Failure> {
    let request = DeletePanelSessionRequest { token: token.reveal().to_owned() };
    match sessions(panel).delete_panel_session(request).await {
        Err(status) if failure::typed_reason(&status) != Some(Reason::NotFound) => Err(status.into()),
        _ => Ok(()),
    }
}

/// Opens a session for who shows a password or token. The answer to a wrong one is held back as auth says.
pub(crate) async fn open(
    panel: &Panel,
    request: CreatePanelSessionRequest,
) -> Result<CreatePanelSessionResponse, Status> {
    match sessions(panel).create_panel_session(request).await {
        Ok(opened) => Ok(opened.into_inner()),
        Err(status) => match panel.held_back.reason_of(&status).await {
            Reason::Overloaded => Err(failure::status(Reason::Overloaded)),
            _ => Err(status),
        },
    }
}

pub(crate) fn sessions(panel: &Panel) -> PanelSessionServiceClient<MeshChannel> {
    PanelSessionServiceClient::new(panel.upstreams.auth.clone())
}

fn logins(panel: &Panel) -> LoginServiceClient<MeshChannel> {
    LoginServiceClient::new(panel.upstreams.auth.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_belongs_to_its_session_and_to_nothing_else() {
        let token = |text: &str| SessionToken::new(text.to_owned());
        let form = token("pss_a").form_token();
        assert!(token("pss_a").knows_form(&form));
        for foreign in ["", "x", &token("pss_b").form_token(), &token("pss_a").seal("")] {
            assert!(!token("pss_a").knows_form(foreign), "{foreign}");
        }
        assert!(!form.contains("pss_a") && !format!("{:?}", token("pss_a")).contains("pss_a"));
        let seal = token("pss_a").seal("x");
        assert!(token("pss_a").sealed("x", &seal) && !token("pss_a").sealed("y", &seal));
    }

    #[test]
    fn what_is_shown_once_is_read_by_its_session_on_its_page_only() {
        let token = |text: &str| SessionToken::new(text.to_owned());
        let locked = token("pss_a").lock("/page", "a secret").expect("randomness");
        assert!(
            !locked.contains("secret") && locked != token("pss_a").lock("/page", "a secret").expect("more")
        );
        assert_eq!(token("pss_a").unlock("/page", &locked).as_deref(), Some("a secret"));
        assert_eq!(token("pss_a").unlock("/other", &locked), None);
        assert_eq!(token("pss_b").unlock("/page", &locked), None);
        for broken in ["", "x", "AAAA", &locked[1..], &locked[..locked.len() - 1]] {
            assert_eq!(token("pss_a").unlock("/page", broken), None, "{broken}");
        }
    }
}
