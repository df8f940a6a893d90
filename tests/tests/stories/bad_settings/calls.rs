//! A request as JSON, with another text in one of its places, and the call that takes it.

use anyhow::Context as _;
use bytes::Bytes;
use postern_mesh::{
    access,
    identity::{Caller, Role},
};
use postern_tests::{admin::Admin, raw::Octets};
use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor};
use serde_json::Value;
use tonic::{Request, Status};

/// Puts a text into the place of each text in turn: path of names, text that was there.
pub(super) fn leaves(value: &Value, path: &mut Vec<String>, found: &mut Vec<(Vec<String>, String)>) {
    match value {
        Value::String(text) => found.push((path.clone(), text.clone())),
        Value::Object(fields) => {
            for (name, value) in fields {
                path.push(name.clone());
                leaves(value, path, found);
                path.pop();
            }
        }
        Value::Array(items) => {
            for (index, value) in items.iter().enumerate() {
                path.push(index.to_string());
                leaves(value, path, found);
                path.pop();
            }
        }
        _ => {}
    }
}

pub(super) fn with(value: &Value, path: &[String], text: &str) -> Value {
    let pointer = format!("/{}", path.join("/"));
    let mut changed = value.clone();
    if let Some(place) = changed.pointer_mut(&pointer) {
        *place = Value::String(text.to_owned());
    }
    changed
}

pub(super) struct Call {
    path: String,
    input: MessageDescriptor,
    caller: Caller,
}

/// As it stands in the path of a call.
pub(super) fn path_of(method: &str) -> String {
    let package = if method.contains(".v1.") { "" } else { "account.v1." };
    format!("/postern.{package}{method}")
}

impl Call {
    pub(super) fn new(pool: &DescriptorPool, method: &str) -> anyhow::Result<Self> {
        let path = path_of(method);
        let (service, name) = path[1..].split_once('/').context("Service/Method")?;
        let service = pool.get_service_by_name(service).with_context(|| path.clone())?;
        let method = service.methods().find(|m| m.name() == name).with_context(|| path.clone())?;
        let row = access::method(&path).with_context(|| path.clone())?;
        // What only people themselves may set is asked by one.
        let by_operator = row.callers.admit(Role::Operator);
        let caller = if by_operator {
            Caller::new("tests", Role::Operator)
        } else {
            Caller::customer("homepage", "homepage")
        };
        Ok(Self { path, input: method.input(), caller })
    }

    /// `None`: the JSON is no such message, so that no client of ours could send it.
    pub(super) async fn ask(&self, admin: &Admin, request: &Value) -> Option<Result<(), Status>> {
        use prost_reflect::prost::Message as _;
        let message = DynamicMessage::deserialize(self.input.clone(), request).ok()?;
        let octets = Bytes::from(message.encode_to_vec());
        let mut client = tonic::client::Grpc::new(admin.channel_as(&self.path, Some(&self.caller)));
        client.ready().await.ok()?;
        let mut request = Request::new(octets);
        request.set_timeout(std::time::Duration::from_secs(30));
        let path = self.path.parse().ok()?;
        Some(client.unary(request, path, Octets).await.map(|_| ()))
    }
}
