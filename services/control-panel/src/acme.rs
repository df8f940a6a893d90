//! Proof that a host name leads here, for whoever issues certificates (RFC 8555 section 8.3): a program such as certbot writes
//! a file into a folder, and the authority asks for it at any name whose address is ours.

use std::{path::Path, sync::Arc};

use axum::{
    Router,
    extract::{self, State},
    response::{IntoResponse as _, Response},
    routing::get,
};
use http::{HeaderName, header};
use tokio::io::AsyncReadExt as _;

use crate::{Panel, call::Failure};

/// Where the files lie in the folder, and where they are asked for.
const WELL_KNOWN: &str = ".well-known/acme-challenge";
/// Octets of a file: a token, a dot, and a digest are fewer.
const FILE_MAX_BYTES: u64 = 1024;
/// Octets of a token; those of RFC 8555 have some forty.
const TOKEN_MAX_BYTES: usize = 256;

const TEXT: [(HeaderName, &str); 2] =
    [(header::CONTENT_TYPE, "text/plain; charset=utf-8"), (header::CACHE_CONTROL, "no-store")];

pub(crate) fn routes() -> Router<Arc<Panel>> {
    Router::new().route("/.well-known/acme-challenge/{token}", get(file))
}

async fn file(
    State(panel): State<Arc<Panel>>,
    extract::Path(token): extract::Path<String>,
) -> Result<Response, Failure> {
    let folder = panel.settings.acme_webroot.as_deref().ok_or(Failure::NotFound)?;
    let proof = read(folder, &token).await.ok_or(Failure::NotFound)?;
    Ok((TEXT, proof).into_response())
}

/// `None`: there is no such file. A token is letters, digits, `-` and `_` (RFC 8555 section 8.1), so none leads out of the folder.
async fn read(folder: &Path, token: &str) -> Option<String> {
    let is_token = !token.is_empty()
        && token.len() <= TOKEN_MAX_BYTES
        && token.bytes().all(|octet| octet.is_ascii_alphanumeric() || b"-_".contains(&octet));
    if !is_token {
        return None;
    }
    let file = tokio::fs::File::open(folder.join(WELL_KNOWN).join(token)).await.ok()?;
    let mut proof = String::new();
    file.take(FILE_MAX_BYTES).read_to_string(&mut proof).await.ok()?;
    Some(proof)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_tokens_are_read_and_only_in_the_folder() {
        let folder = tempfile::tempdir().expect("a folder");
        let inside = folder.path().join(WELL_KNOWN);
        std::fs::create_dir_all(&inside).expect("made");
        std::fs::write(inside.join("to-ken_1"), "to-ken_1.digest").expect("written");
        std::fs::write(folder.path().join("secret"), "secret").expect("written");
        assert_eq!(read(folder.path(), "to-ken_1").await.as_deref(), Some("to-ken_1.digest"));
        for token in ["", "other", "../../secret", "..", "to-ken_1/", "to\0ken", &"a".repeat(5000)] {
            assert_eq!(read(folder.path(), token).await, None, "{token:?}");
        }
    }
}
