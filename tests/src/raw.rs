//! Calls by name: messages go and come as octets, so that a test can walk every RPC of the descriptors.

use bytes::{Buf as _, BufMut as _, Bytes};
use postern_mesh::{access, access::Shape, client::MeshChannel};
use tonic::{
    Request, Status,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
};

/// How long one call may take.
const CALL_LIMIT: std::time::Duration = std::time::Duration::from_secs(30);

/// Encoded messages as they are: the test makes them by descriptor.
#[derive(Clone, Copy, Default)]
pub struct Octets;

impl Codec for Octets {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Octets {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put(item);
        Ok(())
    }
}

impl Decoder for Octets {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(buffer.copy_to_bytes(buffer.remaining())))
    }
}

/// Calls the RPC of this HTTP/2 path. An upload is this one message; of a download the first message is the answer, of a
/// watch that it began.
pub async fn call(channel: MeshChannel, path: &str, message: Bytes) -> Result<Bytes, Status> {
    let shape = access::method(path).map_or(Shape::Write, |method| method.shape);
    let to = path.parse().map_err(|_| Status::internal(format!("no path: {path}")))?;
    let mut client = tonic::client::Grpc::new(channel);
    client.ready().await.map_err(|status| Status::unavailable(status.to_string()))?;
    match shape {
        Shape::Read | Shape::Write => {
            let mut request = Request::new(message);
            request.set_timeout(CALL_LIMIT);
            Ok(client.unary(request, to, Octets).await?.into_inner())
        }
        Shape::Upload => {
            let request = Request::new(tokio_stream::once(message));
            Ok(client.client_streaming(request, to, Octets).await?.into_inner())
        }
        Shape::Download => {
            let request = Request::new(message);
            let mut stream = client.server_streaming(request, to, Octets).await?.into_inner();
            Ok(stream.message().await?.unwrap_or_default())
        }
        Shape::Watch => {
            client.server_streaming(Request::new(message), to, Octets).await?;
            Ok(Bytes::new())
        }
    }
}
