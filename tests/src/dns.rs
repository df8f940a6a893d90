//! A real DNS server on loopback, whose zone changes while it runs. The tests of account use this file too.

use std::{
    collections::{HashMap, HashSet},
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex},
    time::Duration,
};

use hickory_server::{
    Server,
    net::runtime::Time,
    proto::{
        op::{Metadata, ResponseCode},
        rr::{
            Name, RData, Record, RecordType,
            rdata::{A, AAAA, MX, NS, TXT},
        },
    },
    server::{Request, RequestHandler, ResponseHandler, ResponseInfo},
    zone_handler::MessageResponseBuilder,
};
use tokio::net::{TcpListener, UdpSocket};

/// How long its answers may be kept, seconds.
pub const TTL: u32 = 77;

/// The world's DNS.
#[derive(Clone)]
pub struct World {
    zone: Arc<Mutex<Zone>>,
    /// Where it is asked, over UDP and TCP.
    pub address: SocketAddr,
}

#[derive(Default)]
struct Zone {
    records: HashMap<String, Vec<RData>>,
    failing: HashSet<String>,
    silent: HashSet<String>,
}

#[derive(Clone)]
struct Answering(Arc<Mutex<Zone>>);

impl World {
    /// Starts it with an empty zone: no name exists.
    pub async fn start() -> Self {
        let zone = Arc::new(Mutex::new(Zone::default()));
        // The same port for UDP and TCP: one of them may be taken.
        let (socket, listener) = loop {
            let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
            if let Ok(listener) = TcpListener::bind(socket.local_addr().unwrap()).await {
                break (socket, listener);
            }
        };
        let address = socket.local_addr().unwrap();
        let mut server = Server::new(Answering(Arc::clone(&zone)));
        server.register_socket(socket);
        server.register_listener(listener, Duration::from_secs(5), 4096);
        tokio::spawn(async move { server.block_until_done().await });
        Self { zone, address }
    }

    /// Adds a record.
    pub fn add(&self, name: &str, record: RData) {
        self.zone.lock().unwrap().records.entry(name.to_owned()).or_default().push(record);
    }

    /// Removes all records of a name.
    pub fn clear(&self, name: &str) {
        self.zone.lock().unwrap().records.remove(name);
    }

    /// Questions about this name get no answer, or get one again.
    pub fn silence(&self, name: &str, is_silent: bool) {
        let mut zone = self.zone.lock().unwrap();
        if is_silent {
            zone.silent.insert(name.to_owned());
        } else {
            zone.silent.remove(name);
        }
    }

    /// Questions about this name are answered SERVFAIL, or not any more.
    pub fn fail(&self, name: &str, is_failing: bool) {
        let mut zone = self.zone.lock().unwrap();
        if is_failing {
            zone.failing.insert(name.to_owned());
        } else {
            zone.failing.remove(name);
        }
    }
}

/// MX with preference 10.
pub fn mx(exchange: &str) -> RData {
    RData::MX(MX::new(10, absolute(exchange)))
}

/// NS.
pub fn ns(server: &str) -> RData {
    RData::NS(NS(absolute(server)))
}

/// TXT, cut into strings as a long text must be.
pub fn txt(text: &str) -> RData {
    let strings = text.as_bytes().chunks(255).collect();
    RData::TXT(TXT::from_bytes(strings))
}

/// A or AAAA.
pub fn address(text: &str) -> RData {
    match text.parse().unwrap() {
        IpAddr::V4(ip) => RData::A(A(ip)),
        IpAddr::V6(ip) => RData::AAAA(AAAA(ip)),
    }
}

fn absolute(text: &str) -> Name {
    let mut name = Name::from_ascii(text).unwrap();
    name.set_fqdn(true);
    name
}

impl Zone {
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
impl RequestHandler for Answering {
    async fn handle_request<R: ResponseHandler, T: Time>(
        &self,
        request: &Request,
        mut responder: R,
    ) -> ResponseInfo {
        let info = request.request_info().unwrap();
        let name = info.query.name().to_string().to_ascii_lowercase();
        let is_silent = self.0.lock().unwrap().silent.contains(name.trim_end_matches('.'));
        if is_silent {
            // Longer than anybody waits.
            tokio::time::sleep(Duration::from_secs(120)).await;
        }
        let (code, found) =
            self.0.lock().unwrap().answer(name.trim_end_matches('.'), info.query.query_type());
        let owner = Name::from_ascii(&name).unwrap();
        let records: Vec<Record> =
            found.into_iter().map(|data| Record::from_rdata(owner.clone(), TTL, data)).collect();
        let mut metadata = Metadata::response_from_request(&request.metadata);
        metadata.response_code = code;
        let nothing: [&Record; 0] = [];
        let response = MessageResponseBuilder::from_message_request(request)
            .build(metadata, &records, nothing, nothing, nothing);
        responder.send_response(response).await.unwrap()
    }
}
