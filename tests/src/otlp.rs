//! A receiver of traces as a collector is one (OTLP over gRPC): keeps what the services export.

use std::{
    collections::BTreeSet,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};

use opentelemetry_proto::tonic::{
    collector::trace::v1::{
        ExportTraceServiceRequest, ExportTraceServiceResponse,
        trace_service_server::{TraceService, TraceServiceServer},
    },
    common::v1::{KeyValue, any_value::Value},
    trace::v1::Span,
};
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status, transport::Server};

/// A span, and who exported it.
#[derive(Clone, Debug)]
pub struct Exported {
    /// `service.name` of its resource.
    pub service: String,
    /// The span.
    pub span: Span,
}

impl Exported {
    /// Id of its trace, 32 hex digits.
    pub fn trace_id(&self) -> String {
        self.span.trace_id.iter().map(|octet| format!("{octet:02x}")).collect()
    }

    /// An attribute as text; empty when it has none of that name.
    pub fn attribute(&self, name: &str) -> String {
        text_of(&self.span.attributes, name)
    }
}

fn text_of(attributes: &[KeyValue], name: &str) -> String {
    let value = attributes.iter().find(|pair| pair.key == name).and_then(|pair| pair.value.as_ref());
    match value.and_then(|value| value.value.as_ref()) {
        Some(Value::StringValue(text)) => text.clone(),
        Some(Value::IntValue(number)) => number.to_string(),
        other => other.map(|other| format!("{other:?}")).unwrap_or_default(),
    }
}

/// A running receiver; ends when dropped.
pub struct Receiver {
    address: SocketAddr,
    kept: Arc<Mutex<Vec<ExportTraceServiceRequest>>>,
    task: JoinHandle<()>,
}

impl Receiver {
    /// Listens at a free loopback port.
    pub async fn start() -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let kept = Arc::new(Mutex::default());
        let door = TraceServiceServer::new(Door(Arc::clone(&kept)));
        let task = tokio::spawn(async move {
            let serving =
                Server::builder().add_service(door).serve_with_incoming(TcpListenerStream::new(listener));
            if let Err(error) = serving.await {
                eprintln!("the receiver of traces ended: {error}");
            }
        });
        Ok(Self { address, kept, task })
    }

    /// `OTEL_EXPORTER_OTLP_ENDPOINT`.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// All that came in, as it came.
    pub fn requests(&self) -> Vec<ExportTraceServiceRequest> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// All spans so far.
    pub fn spans(&self) -> Vec<Exported> {
        let mut spans = Vec::new();
        for of_service in self.requests().into_iter().flat_map(|request| request.resource_spans) {
            let resource = of_service.resource.unwrap_or_default();
            let service = text_of(&resource.attributes, "service.name");
            let all = of_service.scope_spans.into_iter().flat_map(|scope| scope.spans);
            spans.extend(all.map(|span| Exported { service: service.clone(), span }));
        }
        spans
    }

    /// The spans of one trace.
    pub fn trace(&self, id: &str) -> Vec<Exported> {
        self.spans().into_iter().filter(|exported| exported.trace_id() == id).collect()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Services among some spans.
pub fn services(spans: &[Exported]) -> BTreeSet<&str> {
    spans.iter().map(|exported| exported.service.as_str()).collect()
}

struct Door(Arc<Mutex<Vec<ExportTraceServiceRequest>>>);

#[tonic::async_trait]
impl TraceService for Door {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(request.into_inner());
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}
