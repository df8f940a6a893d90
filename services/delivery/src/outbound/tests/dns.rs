//! A real DNS server on loopback with a zone that is given.

use std::{
    collections::{HashMap, HashSet},
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use hickory_server::{
    Server,
    net::runtime::Time,
    proto::{
        op::{Metadata, ResponseCode},
        rr::{
            Name, RData, Record, RecordType,
            rdata::{A, MX},
        },
    },
    server::{Request, RequestHandler, ResponseHandler, ResponseInfo},
    zone_handler::MessageResponseBuilder,
};
use tokio::net::{TcpListener, UdpSocket};

/// What the server knows.
#[derive(Clone, Default)]
pub(crate) struct Zone {
    records: HashMap<String, Vec<RData>>,
    failing: HashSet<String>,
    silent: HashSet<String>,
}

pub(crate) fn a(octets: [u8; 4]) -> RData {
    RData::A(A(Ipv4Addr::from(octets)))
}

pub(crate) fn mx(preference: u16, exchange: &str) -> RData {
    let mut name = Name::from_ascii(exchange).expect("name");
    name.set_fqdn(true);
    RData::MX(MX::new(preference, name))
}

impl Zone {
    pub(crate) fn with(mut self, name: &str, record: RData) -> Self {
        self.records.entry(name.to_owned()).or_default().push(record);
        self
    }

    /// Every question about this name is answered SERVFAIL.
    pub(crate) fn failing(mut self, name: &str) -> Self {
        self.failing.insert(name.to_owned());
        self
    }

    /// No question about this name is answered.
    pub(crate) fn silent(mut self, name: &str) -> Self {
        self.silent.insert(name.to_owned());
        self
    }

    pub(crate) async fn start(self) -> SocketAddr {
        let socket = UdpSocket::bind("127.0.0.1:0").await.expect("udp");
        let address = socket.local_addr().expect("address");
        let mut server = Server::new(self);
        server.register_socket(socket);
        if let Ok(listener) = TcpListener::bind(address).await {
            server.register_listener(listener, Duration::from_secs(5), 4096);
        }
        tokio::spawn(async move { server.block_until_done().await });
        address
    }

    fn answer(&self, name: &str, kind: RecordType) -> (ResponseCode, Vec<RData>) {
        if self.failing.contains(name) {
            return (ResponseCode::ServFail, Vec::new());
        }
        match self.records.get(name) {
            None => (ResponseCode::NXDomain, Vec::new()),
            Some(records) => {
                let found = records.iter().filter(|record| record.record_type() == kind).cloned().collect();
                (ResponseCode::NoError, found)
            }
        }
    }
}

#[tonic::async_trait]
impl RequestHandler for Zone {
    async fn handle_request<R: ResponseHandler, T: Time>(
        &self,
        request: &Request,
        mut responder: R,
    ) -> ResponseInfo {
        let info = request.request_info().expect("one question");
        let name = info.query.name().to_string();
        if self.silent.contains(name.trim_end_matches('.')) {
            std::future::pending::<()>().await;
        }
        let (code, found) = self.answer(name.trim_end_matches('.'), info.query.query_type());
        let owner = Name::from_ascii(&name).expect("name");
        let records: Vec<Record> =
            found.into_iter().map(|data| Record::from_rdata(owner.clone(), 60, data)).collect();
        let mut metadata = Metadata::response_from_request(&request.metadata);
        metadata.response_code = code;
        let nothing: [&Record; 0] = [];
        let response = MessageResponseBuilder::from_message_request(request)
            .build(metadata, &records, nothing, nothing, nothing);
        responder.send_response(response).await.expect("sent")
    }
}
