//! The authority's door: HTTPS with bounds on time and size, and its word about when to come again (Retry-After), which the ACME
//! client does not hand on.

use std::{
    error::Error as StdError,
    path::Path,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, Request, header::RETRY_AFTER};
use http_body_util::{BodyExt as _, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient, Problem};
use jiff::{Timestamp, fmt::rfc2822};
use postern_mesh::StartError;
use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, pem::PemObject as _},
};

/// One answer of the authority.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// Octets of an answer; the longest are chains of certificates.
const ANSWER_MAX_BYTES: usize = 256 * 1024;

type Answer = Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>>;

/// The way to one authority. Clones share what it said.
#[derive(Clone)]
pub(super) struct Door {
    client: Client<HttpsConnector<HttpConnector>, BodyWrapper<Bytes>>,
    come_again: Arc<Mutex<Option<Timestamp>>>,
}

impl Door {
    /// `authorities`: a file of certificates that are believed besides those of the public authorities.
    ///
    /// # Errors
    /// When the file cannot be read or holds no certificate.
    pub(super) fn new(authorities: Option<&Path>) -> Result<Self, StartError> {
        let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        if let Some(file) = authorities {
            let wrong =
                |why: String| StartError::setting("POSTERN_ACME_CA", format!("{}: {why}", file.display()));
            let found = CertificateDer::pem_file_iter(file).map_err(|e| wrong(e.to_string()))?;
            let before = roots.len();
            for certificate in found {
                let certificate = certificate.map_err(|e| wrong(e.to_string()))?;
                roots.add(certificate).map_err(|e| wrong(e.to_string()))?;
            }
            if roots.len() == before {
                return Err(wrong("it holds no certificate".to_owned()));
            }
        }
        let tls = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|e| StartError::tls("versions", e))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let connector = HttpsConnectorBuilder::new().with_tls_config(tls).https_only().enable_http1().build();
        let client = Client::builder(TokioExecutor::new()).build(connector);
        Ok(Self { client, come_again: Arc::default() })
    }

    /// When the authority wants to be asked again, as it said with its last refusal; forgotten by being asked.
    pub(super) fn take_come_again(&self) -> Option<Timestamp> {
        self.come_again.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    async fn ask(self, request: Request<BodyWrapper<Bytes>>) -> Result<BytesResponse, Error> {
        let (parts, body) =
            self.client.request(request).await.map_err(|e| other(with_causes(&e)))?.into_parts();
        let body = Limited::new(body, ANSWER_MAX_BYTES).collect().await.map_err(Error::Other)?.to_bytes();
        if parts.status.is_client_error() || parts.status.is_server_error() {
            let said = retry_after(&parts.headers, Timestamp::now());
            *self.come_again.lock().unwrap_or_else(PoisonError::into_inner) = said;
            // Without a problem document (RFC 7807) the client would only say that it is no JSON.
            let problem = serde_json::from_slice::<Problem>(&body).ok();
            match problem.filter(|problem| problem.r#type.is_some() || problem.detail.is_some()) {
                None => return Err(other(format!("it answers {}", parts.status))),
                Some(problem) if parts.status.is_server_error() => {
                    return Err(other(format!("it answers {}: {problem}", parts.status)));
                }
                Some(_) => {}
            }
        }
        Ok(BytesResponse { parts, body: Box::new(body) })
    }
}

impl HttpClient for Door {
    fn request(&self, request: Request<BodyWrapper<Bytes>>) -> Answer {
        let asking = self.clone().ask(request);
        Box::pin(async move {
            let silent = || other(format!("no answer within {} seconds", ANSWER_TIMEOUT.as_secs()));
            tokio::time::timeout(ANSWER_TIMEOUT, asking).await.map_err(|_| silent())?
        })
    }
}

fn other(why: String) -> Error {
    Error::Other(why.into())
}

/// An error with what lies below it: "client error (Connect)" alone helps nobody.
fn with_causes(error: &dyn StdError) -> String {
    let mut text = error.to_string();
    let mut below = error.source();
    while let Some(cause) = below {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        below = cause.source();
    }
    text
}

/// Seconds or a date (RFC 9110 section 10.2.3).
fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Timestamp> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse::<u32>() {
        return now.checked_add(jiff::SignedDuration::from_secs(seconds.into())).ok();
    }
    rfc2822::parse(text).ok().map(|date| date.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn when_to_come_again_is_seconds_or_a_date() {
        let now = Timestamp::from_second(1_800_000_000).expect("a time");
        let at = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, text.parse().expect("a value"));
            retry_after(&headers, now).map(Timestamp::as_second)
        };
        assert_eq!(at("120"), Some(1_800_000_120));
        assert_eq!(at("Fri, 15 Jan 2027 08:00:00 GMT"), Some(1_800_000_000));
        for nothing in ["", "soon", "-5", "99999999999999"] {
            assert_eq!(at(nothing), None, "{nothing:?}");
        }
    }
}
