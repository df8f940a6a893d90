//! The way to another service: over HTTP/2 to its replicas, or straight into its handlers in the same process. The
//! generated clients use it as their transport and do not know which.

use std::{
    fmt,
    future::Future,
    path::Path,
    sync::{Arc, PoisonError, RwLock},
    task::{Context, Poll},
    time::{Duration, Instant},
};

use futures_util::future::BoxFuture;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use tokio_util::sync::CancellationToken;
use tonic::{Status, body::Body, service::Routes};
use tower::{Layer as _, Service};

use crate::{
    StartError,
    access::{self, Shape},
    deadline,
    guard::{Guard, GuardLayer},
    identity::{ASSERTION_METADATA, Caller, MeshKey, Role},
    mesh_tls,
    pool::Pool,
    settings::MeshSettings,
    trace_context,
};

const ASSERTION: HeaderName = HeaderName::from_static(ASSERTION_METADATA);
/// An assertion lives 60 s; a call under way must not see it end.
const SIGN_AGAIN_AFTER: Duration = Duration::from_secs(30);

/// A transport for the generated clients: `DirectoryServiceClient::new(channel.clone())`. Cheap to clone.
///
/// Each call carries an assertion (who I am) and the trace context. A call without a deadline of its own
/// (`request.set_timeout`) must begin to answer within 3 s, save client streams, which have no default. What goes wrong
/// on the way is `UNAVAILABLE` or `DEADLINE_EXCEEDED`, never anything permanent. Reads are tried once more at another
/// replica, within a budget.
#[derive(Clone)]
pub struct MeshChannel {
    way: Way,
    signer: Arc<Signer>,
}

#[derive(Clone)]
enum Way {
    Remote(Arc<Pool>),
    Local(Guard<Routes>),
}

impl MeshChannel {
    /// Replicas at `http://host:port`, several separated by commas; nothing is connected before the first call. With
    /// certificates of the mesh it is `https://`, and a replica must be the service whose RPC is called.
    ///
    /// # Errors
    /// When the URL is none, or the certificates cannot be used.
    pub fn connect(url: &str, service: &'static str, settings: &MeshSettings) -> Result<Self, StartError> {
        let me = Caller::new(service, Role::Service);
        Ok(Self {
            way: Way::Remote(Pool::new(url, settings.tls.client()?)?),
            signer: Arc::new(Signer::new(settings.mesh_key.clone(), me)),
        })
    }

    /// The same for a tool that has no mesh key: calls carry no assertion until [`Self::with_assertion`].
    ///
    /// # Errors
    /// When the URL is none.
    pub fn connect_unsigned(url: &str) -> Result<Self, StartError> {
        Self::connect_tool(url, None)
    }

    /// The same to `https://` doors; their certificates must be signed by this authority, a PEM file.
    ///
    /// # Errors
    /// When the URL is none, or the file holds no authority.
    pub fn connect_tool(url: &str, authority: Option<&Path>) -> Result<Self, StartError> {
        let tls = authority.map(mesh_tls::tool).transpose()?;
        Ok(Self { way: Way::Remote(Pool::new(url, tls)?), signer: Arc::new(Signer::Fixed(None)) })
    }

    /// Handlers in this process, behind the same checks as over the network, without HTTP/2.
    #[must_use]
    pub fn local(routes: Routes, service: &'static str, settings: &MeshSettings) -> Self {
        let me = Caller::new(service, Role::Service);
        let guard = GuardLayer::new(service, settings, CancellationToken::new()).layer(routes.prepare());
        Self { way: Way::Local(guard), signer: Arc::new(Signer::new(settings.mesh_key.clone(), me)) }
    }

    /// The same way, with this assertion on each call (as `LoginService.ExchangeToken` gave it). One that cannot be a
    /// header value is not sent.
    #[must_use]
    pub fn with_assertion(&self, assertion: String) -> Self {
        let value = HeaderValue::try_from(assertion).ok();
        Self { way: self.way.clone(), signer: Arc::new(Signer::Fixed(value)) }
    }

    /// The same way, on behalf of somebody else, signed by this process's key.
    #[must_use]
    pub fn with_caller(&self, caller: Caller) -> Self {
        let signer = match &*self.signer {
            Signer::Renewed { key, .. } => Signer::new(key.clone(), caller),
            Signer::Fixed(value) => Signer::Fixed(value.clone()),
        };
        Self { way: self.way.clone(), signer: Arc::new(signer) }
    }
}

impl fmt::Debug for MeshChannel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.way {
            Way::Remote(pool) => f.debug_tuple("MeshChannel").field(pool).finish(),
            Way::Local(_) => f.write_str("MeshChannel(local)"),
        }
    }
}

/// Where the assertion of a call comes from.
enum Signer {
    Fixed(Option<HeaderValue>),
    Renewed { key: MeshKey, me: Caller, current: RwLock<Option<(HeaderValue, Instant)>> },
}

impl Signer {
    fn new(key: MeshKey, me: Caller) -> Self {
        Self::Renewed { key, me, current: RwLock::default() }
    }

    fn sign(&self, headers: &mut HeaderMap) {
        if headers.contains_key(ASSERTION) {
            return;
        }
        let value = match self {
            Self::Fixed(value) => value.clone(),
            Self::Renewed { key, me, current } => current_assertion(key, me, current),
        };
        if let Some(value) = value {
            headers.insert(ASSERTION, value);
        }
    }
}

fn current_assertion(
    key: &MeshKey,
    me: &Caller,
    current: &RwLock<Option<(HeaderValue, Instant)>>,
) -> Option<HeaderValue> {
    if let Some((value, signed)) = &*current.read().unwrap_or_else(PoisonError::into_inner)
        && signed.elapsed() < SIGN_AGAIN_AFTER
    {
        return Some(value.clone());
    }
    let value = HeaderValue::try_from(key.assertion(me)).ok()?;
    *current.write().unwrap_or_else(PoisonError::into_inner) = Some((value.clone(), Instant::now()));
    Some(value)
}

impl Service<Request<Body>> for MeshChannel {
    type Response = Response<Body>;
    type Error = Status;
    type Future = BoxFuture<'static, Result<Response<Body>, Status>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let method = access::method(request.uri().path());
        let deadline = deadline::settle(request.headers_mut(), method);
        self.signer.sign(request.headers_mut());
        trace_context::inject(request.headers_mut());
        match &mut self.way {
            Way::Local(guard) => {
                let answer = guard.call(request);
                Box::pin(within(deadline, async move { answer.await.map_err(|never| match never {}) }))
            }
            Way::Remote(pool) => {
                let pool = Arc::clone(pool);
                let may_ask_twice = method.is_some_and(|method| method.shape == Shape::Read);
                Box::pin(within(deadline, async move {
                    if may_ask_twice { pool.send_read(request).await } else { pool.send_once(request).await }
                }))
            }
        }
    }
}

/// The deadline ends with the response headers; a stream that began has no limit here.
async fn within<T>(
    deadline: Option<Duration>,
    answer: impl Future<Output = Result<T, Status>>,
) -> Result<T, Status> {
    match deadline {
        None => answer.await,
        Some(time) => tokio::time::timeout(time, answer)
            .await
            .unwrap_or_else(|_| Err(Status::deadline_exceeded(format!("no answer within {time:?}")))),
    }
}
