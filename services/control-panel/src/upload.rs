//! A file that a browser sends with a form (`multipart/form-data`, RFC 7578), taken piece by piece: however large it is, no more
//! than a piece of it is held. It is sent by a form of this session: its token comes first, and nothing is taken without it.

use std::time::{Duration, Instant};

use axum::extract::{FromRequest, Request};
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Method, header};
use multer::{Constraints, Field, Multipart, SizeLimit};
use tokio::time::timeout;

use crate::{call::Failure, form::TOKEN_FIELD, place::Somebody};

/// Name of the field with the file.
pub(crate) const FILE_FIELD: &str = "file";
/// A browser that sends nothing for so long has gone.
const PIECE_TIMEOUT: Duration = Duration::from_secs(60);
/// One that is waited for so long, and sends less in all that time than the least, has gone, too: it keeps a place from others.
const PACE_TIME: Duration = Duration::from_secs(60);
/// Octets; 4 KiB a second.
const PACE_MIN_BYTES: usize = 240 * 1024;
/// Octets of the token.
const TOKEN_MAX_BYTES: u64 = 1024;
/// Characters of the name of a file that are kept.
const NAME_MAX_CHARS: usize = 200;
/// Of a file that is not wanted so much is still read, so that the browser comes to read the answer.
const DRAINED_MAX_BYTES: usize = 64 * 1024 * 1024;

/// A file on its way.
pub(crate) struct Upload {
    file: Field<'static>,
    pace: Pace,
    /// As the person knows it.
    pub(crate) name: String,
    /// Octets, about; 0: the browser does not say.
    pub(crate) total_bytes: i64,
}

/// The browser went away, or what it sends is no file of a form.
#[derive(Debug)]
pub(crate) struct BrokenOff;

/// How fast a browser sends while it is waited for; how long we take for what it sent does not count.
#[derive(Debug, Default)]
struct Pace {
    waited: Duration,
    octets: usize,
}

impl Pace {
    fn goes_on(&mut self, waited: Duration, octets: usize) -> Result<(), BrokenOff> {
        self.waited += waited;
        self.octets += octets;
        if self.waited < PACE_TIME {
            return Ok(());
        }
        let over = std::mem::take(self);
        if over.octets < PACE_MIN_BYTES { Err(BrokenOff) } else { Ok(()) }
    }
}

/// True for what only [`Upload`] may read.
pub(crate) fn is_upload(method: &Method, headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    *method == Method::POST && multer::parse_boundary(kind).is_ok()
}

impl<S: Send + Sync> FromRequest<S> for Upload {
    type Rejection = Failure;

    async fn from_request(request: Request, state: &S) -> Result<Self, Failure> {
        let (mut parts, body) = request.into_parts();
        let Somebody { person, .. } =
            <Somebody as axum::extract::FromRequestParts<S>>::from_request_parts(&mut parts, state).await?;
        let text = |name| parts.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let boundary =
            multer::parse_boundary(text(header::CONTENT_TYPE)).map_err(|_| Failure::ForeignForm)?;
        let limits = SizeLimit::new().for_field(TOKEN_FIELD, TOKEN_MAX_BYTES);
        let constraints = Constraints::new().size_limit(limits);
        let mut form = Multipart::with_constraints(body.into_data_stream(), boundary, constraints);
        let token = next(&mut form).await?;
        if token.name() != Some(TOKEN_FIELD) {
            return Err(Failure::ForeignForm);
        }
        let token = timeout(PIECE_TIMEOUT, token.text()).await;
        if !token.is_ok_and(|token| token.is_ok_and(|token| person.token.knows_form(&token))) {
            return Err(Failure::ForeignForm);
        }
        let file = next(&mut form).await?;
        if file.name() != Some(FILE_FIELD) {
            return Err(Failure::BadForm);
        }
        let name = file.file_name().unwrap_or_default();
        let name = name.chars().filter(|c| !c.is_control()).take(NAME_MAX_CHARS).collect();
        let total_bytes = text(header::CONTENT_LENGTH).parse().unwrap_or(0);
        Ok(Self { file, pace: Pace::default(), name, total_bytes })
    }
}

async fn next(form: &mut Multipart<'static>) -> Result<Field<'static>, Failure> {
    let field = timeout(PIECE_TIMEOUT, form.next_field()).await;
    field.ok().and_then(Result::ok).flatten().ok_or(Failure::BadForm)
}

impl Upload {
    /// The next piece; `None` at the end of the file.
    pub(crate) async fn piece(&mut self) -> Result<Option<Bytes>, BrokenOff> {
        let begin = Instant::now();
        match timeout(PIECE_TIMEOUT, self.file.chunk()).await {
            Ok(Ok(Some(piece))) => {
                self.pace.goes_on(begin.elapsed(), piece.len())?;
                Ok(Some(piece))
            }
            Ok(Ok(None)) => Ok(None),
            Ok(Err(_)) | Err(_) => Err(BrokenOff),
        }
    }

    /// The begin, until it is enough or so many octets long, or all there is: pieces come as the line has them.
    pub(crate) async fn begin(
        &mut self,
        octets: usize,
        is_enough: impl Fn(&[u8]) -> bool,
    ) -> Result<Bytes, BrokenOff> {
        let mut begin = BytesMut::new();
        while begin.len() < octets && !is_enough(&begin) {
            let Some(piece) = self.piece().await? else { break };
            begin.extend_from_slice(&piece);
        }
        Ok(begin.freeze())
    }

    /// Reads on, of what is not wanted.
    pub(crate) async fn drain(mut self) {
        let mut read = 0;
        while let Ok(Some(piece)) = self.piece().await {
            read += piece.len();
            if read > DRAINED_MAX_BYTES {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_drips_is_given_up_and_whoever_is_slow_is_not() {
        let second = Duration::from_secs(1);
        let mut pace = Pace::default();
        let dripped = (0..70).find(|_| pace.goes_on(second, 100).is_err());
        assert_eq!(dripped, Some(59), "after a minute");
        let mut pace = Pace::default();
        assert!((0..300).all(|_| pace.goes_on(second, 5000).is_ok()));
        // A few octets now and then, between them we were busy for long.
        let mut pace = Pace::default();
        assert!((0..1000).all(|_| pace.goes_on(Duration::from_millis(1), 10).is_ok()));
    }
}
