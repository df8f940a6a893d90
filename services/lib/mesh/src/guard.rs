//! The server's stack around the handlers, the same for both shapes: a call limit, who calls and may they, trace
//! context, metrics, a bound on how long a question may take to come, and an end for endless streams when the server goes down.

mod question;

use std::{
    convert::Infallible,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use futures_util::future::BoxFuture;
use http::{HeaderMap, Request, Response, header::CONTENT_TYPE};
use http_body::Frame;
use postern_mail::Reason;
use tokio::sync::Semaphore;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tonic::{Status, body::Body};
use tower::{Layer, Service};
use tracing::Instrument as _;

use crate::{
    access::{self, Callers, Method, Shape},
    assertion_cache::AssertionCache,
    failure,
    identity::{ASSERTION_METADATA, Caller, Role},
    incoming::Arrival,
    mesh_tls::Peer,
    settings::MeshSettings,
    trace_context,
};

/// Who calls a handler, and with what.
///
/// # Errors
/// [`Reason::CallerUnknown`] for a request that came past the guard.
pub fn opened<T>(request: tonic::Request<T>) -> Result<(Caller, T), Status> {
    let (_, mut extensions, message) = request.into_parts();
    let caller = extensions.remove::<Caller>().ok_or_else(|| failure::status(Reason::CallerUnknown))?;
    Ok((caller, message))
}

/// Puts a [`Guard`] around the routes of a server.
#[derive(Clone)]
pub(crate) struct GuardLayer(Arc<State>);

struct State {
    service: &'static str,
    assertions: AssertionCache,
    permits: Arc<Semaphore>,
    /// How long the question of a call may take to come.
    question_timeout: Duration,
    /// Ends watch streams.
    going_down: CancellationToken,
}

/// The guarded routes.
#[derive(Clone)]
pub(crate) struct Guard<S> {
    inner: S,
    state: Arc<State>,
}

impl GuardLayer {
    pub(crate) fn new(service: &'static str, settings: &MeshSettings, going_down: CancellationToken) -> Self {
        let calls_max = match settings.concurrency_max {
            0 => Semaphore::MAX_PERMITS,
            max => max.min(Semaphore::MAX_PERMITS),
        };
        Self(Arc::new(State {
            service,
            assertions: AssertionCache::new(settings.mesh_key.clone()),
            permits: Arc::new(Semaphore::new(calls_max)),
            question_timeout: question::TIMEOUT,
            going_down,
        }))
    }
}

impl<S> Layer<S> for GuardLayer {
    type Service = Guard<S>;

    fn layer(&self, inner: S) -> Guard<S> {
        Guard { inner, state: Arc::clone(&self.0) }
    }
}

impl State {
    /// The row of the method and the caller, or why not.
    fn admit(
        &self,
        path: &str,
        headers: &HeaderMap,
        peer: Option<Peer>,
    ) -> Result<(&'static Method, Option<Caller>), Status> {
        let Some(method) = access::method(path) else {
            return Err(Status::unimplemented(format!("no method {path} in this version")));
        };
        let caller = match headers.get(ASSERTION_METADATA) {
            None => Err("the call carries no assertion".to_owned()),
            Some(value) => match value.to_str() {
                Ok(text) => self.assertions.caller(text).map_err(|error| error.to_string()),
                Err(_) => Err("malformed assertion".to_owned()),
            },
        };
        match caller {
            Ok(caller) if method.admits(&caller) => {
                if caller.role == Role::Service {
                    check_certificate(method, &caller, peer)?;
                }
                Ok((method, Some(caller)))
            }
            Ok(caller) => {
                let detail = format!("{} ({:?}) may not call {path}", caller.subject, caller.role);
                Err(failure::status_with(Reason::CallerNotPermitted, detail))
            }
            Err(_) if method.callers == Callers::ANYBODY => Ok((method, None)),
            Err(why) => Err(failure::status_with(Reason::CallerUnknown, why)),
        }
    }

    /// Counts the call and how long its answer took to begin; never the caller's data.
    fn measure(&self, method: &'static str, started: Instant, response: &Response<Body>) {
        let code =
            Status::from_header_map(response.headers()).map_or(tonic::Code::Ok, |status| status.code());
        metrics::counter!("postern_rpc_total", "service" => self.service, "method" => method, "code" => code_name(code))
            .increment(1);
        metrics::histogram!("postern_rpc_seconds", "service" => self.service, "method" => method)
            .record(started.elapsed().as_secs_f64());
    }
}

/// Over TLS a service is who its certificate says, and calls what its part of the work needs.
fn check_certificate(method: &Method, caller: &Caller, peer: Option<Peer>) -> Result<(), Status> {
    let refused = |detail| Err(failure::status_with(Reason::CallerNotPermitted, detail));
    match peer {
        // In this process, or a house without certificates: its key alone tells who belongs to it.
        None | Some(Peer::Plain) => Ok(()),
        Some(Peer::Unnamed) => {
            Err(failure::status_with(Reason::CallerUnknown, "a service shows its own certificate"))
        }
        Some(Peer::Service(service)) if service != caller.subject => {
            refused(format!("the certificate is that of {service}, the assertion that of {}", caller.subject))
        }
        Some(Peer::Service(service)) if !method.admits_service(service) => {
            refused(format!("{service} may not call {}", method.path))
        }
        Some(Peer::Service(_)) => Ok(()),
    }
}

impl<S> Service<Request<Body>> for Guard<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let started = Instant::now();
        let state = Arc::clone(&self.state);
        // Full means "try later" at once: a queue here would only make everybody late.
        let Ok(permit) = Arc::clone(&state.permits).try_acquire_owned() else {
            metrics::counter!("postern_rpc_shed_total", "service" => state.service).increment(1);
            return refuse(failure::status(Reason::Overloaded));
        };
        let arrival = request.extensions_mut().remove::<Arrival>();
        let peer = arrival.as_ref().map(|arrival| arrival.peer);
        if let Some(arrival) = arrival {
            // Where `Request::remote_addr` looks.
            request.extensions_mut().insert(arrival.tcp);
        }
        let (method, caller) = match state.admit(request.uri().path(), request.headers(), peer) {
            Ok(admitted) => admitted,
            Err(status) => {
                tracing::warn!(service = state.service, code = ?status.code(), "call refused: {}", status.message());
                return refuse(status);
            }
        };
        if let Some(caller) = caller {
            request.extensions_mut().insert(caller);
        }
        if method.shape != Shape::Upload {
            request = request.map(|body| question::in_time(body, state.question_timeout));
        }
        let span = trace_context::span_of(request.headers(), method.path);
        let answer = self.inner.call(request);
        let guarded = async move {
            let mut response = match answer.await {
                Ok(response) => response,
                Err(never) => match never {},
            };
            // The permit counts work until the answer begins; a stream under way is bounded by its reader.
            drop(permit);
            state.measure(method.path, started, &response);
            if method.shape == Shape::Watch {
                response = response.map(|body| end_when_going_down(body, state.going_down.clone()));
            }
            Ok(response)
        };
        if span.is_none() { Box::pin(guarded) } else { Box::pin(guarded.instrument(span)) }
    }
}

fn refuse(status: Status) -> BoxFuture<'static, Result<Response<Body>, Infallible>> {
    Box::pin(std::future::ready(Ok(status.into_http())))
}

fn code_name(code: tonic::Code) -> &'static str {
    match code {
        tonic::Code::Ok => "OK",
        tonic::Code::Cancelled => "CANCELLED",
        tonic::Code::Unknown => "UNKNOWN",
        tonic::Code::InvalidArgument => "INVALID_ARGUMENT",
        tonic::Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        tonic::Code::NotFound => "NOT_FOUND",
        tonic::Code::AlreadyExists => "ALREADY_EXISTS",
        tonic::Code::PermissionDenied => "PERMISSION_DENIED",
        tonic::Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        tonic::Code::FailedPrecondition => "FAILED_PRECONDITION",
        tonic::Code::Aborted => "ABORTED",
        tonic::Code::OutOfRange => "OUT_OF_RANGE",
        tonic::Code::Unimplemented => "UNIMPLEMENTED",
        tonic::Code::Internal => "INTERNAL",
        tonic::Code::Unavailable => "UNAVAILABLE",
        tonic::Code::DataLoss => "DATA_LOSS",
        tonic::Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

fn end_when_going_down(body: Body, going_down: CancellationToken) -> Body {
    Body::new(UntilGoingDown { body, going_down: Some(Box::pin(going_down.cancelled_owned())) })
}

/// A response body that ends with `SHUTTING_DOWN` when the server goes down.
struct UntilGoingDown {
    body: Body,
    /// Gone once the end was sent.
    going_down: Option<Pin<Box<WaitForCancellationFutureOwned>>>,
}

impl http_body::Body for UntilGoingDown {
    type Data = bytes::Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Status>>> {
        let Some(going_down) = self.going_down.as_mut() else { return Poll::Ready(None) };
        if going_down.as_mut().poll(cx).is_ready() {
            self.going_down = None;
            self.body = Body::empty();
            let mut trailers =
                failure::status(Reason::ShuttingDown).into_http::<Body>().into_parts().0.headers;
            trailers.remove(CONTENT_TYPE);
            return Poll::Ready(Some(Ok(Frame::trailers(trailers))));
        }
        Pin::new(&mut self.body).poll_frame(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::MeshKey;

    const PATH: &str = "/postern.auth.v1.LoginService/ExchangeToken";

    /// Reads the question to its end, as handlers do.
    #[derive(Clone)]
    struct Reader;

    impl Service<Request<Body>> for Reader {
        type Response = Response<Body>;
        type Error = Infallible;
        type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
            Poll::Ready(Ok(()))
        }

        fn call(&mut self, request: Request<Body>) -> Self::Future {
            Box::pin(async move {
                let mut body = request.into_body();
                loop {
                    match std::future::poll_fn(|cx| http_body::Body::poll_frame(Pin::new(&mut body), cx))
                        .await
                    {
                        Some(Ok(_)) => {}
                        Some(Err(status)) => return Ok(status.into_http()),
                        None => return Ok(Status::new(tonic::Code::Ok, "").into_http()),
                    }
                }
            })
        }
    }

    /// A body of one octet in each so many seconds, for ever.
    struct Dripping(Duration, Pin<Box<tokio::time::Sleep>>);

    impl http_body::Body for Dripping {
        type Data = bytes::Bytes;
        type Error = Status;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Self::Data>, Status>>> {
            std::task::ready!(self.1.as_mut().poll(cx));
            self.1 = Box::pin(tokio::time::sleep(self.0));
            Poll::Ready(Some(Ok(Frame::data(bytes::Bytes::from_static(b"x")))))
        }
    }

    #[tokio::test]
    async fn who_drips_a_question_holds_no_place_for_ever() {
        let settings = MeshSettings { concurrency_max: 1, ..MeshSettings::with_key(MeshKey::random()) };
        let mut layer = GuardLayer::new("test", &settings, CancellationToken::new());
        Arc::get_mut(&mut layer.0).expect("nobody else's").question_timeout = Duration::from_millis(300);
        let permits = Arc::clone(&layer.0.permits);
        let mut guard = layer.layer(Reader);
        for every in [Duration::from_millis(20), Duration::from_secs(3600)] {
            let body = Body::new(Dripping(every, Box::pin(tokio::time::sleep(every))));
            let call = Request::post(PATH).body(body).expect("a request");
            let slow = guard.call(call);
            let other = guard.call(Request::post(PATH).body(Body::empty()).expect("a request"));
            let refused =
                Status::from_header_map(other.await.expect("an answer").headers()).expect("a status");
            assert_eq!(failure::reason_of(&refused), Reason::Overloaded, "it holds the one place");
            let ended =
                tokio::time::timeout(Duration::from_secs(20), slow).await.expect("it is held for ever");
            let ended = Status::from_header_map(ended.expect("an answer").headers()).expect("a status");
            assert_eq!(ended.code(), tonic::Code::DeadlineExceeded, "{every:?}");
            assert_eq!(permits.available_permits(), 1, "given back, once");
        }
        let quick = guard.call(Request::post(PATH).body(Body::empty()).expect("a request")).await;
        let answer = quick.expect("an answer");
        assert_eq!(Status::from_header_map(answer.headers()).expect("a status").code(), tonic::Code::Ok);
        // Who hangs up before the answer gives its place back, too.
        let body = Body::new(Dripping(Duration::from_secs(1), Box::pin(tokio::time::sleep(Duration::ZERO))));
        drop(guard.call(Request::post(PATH).body(body).expect("a request")));
        assert_eq!(permits.available_permits(), 1);
    }
}
