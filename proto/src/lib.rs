//! The gRPC face of Postern: messages, clients and servers generated from `postern/*/v1/*.proto`.

#![allow(
    clippy::all,
    unreachable_pub,
    missing_docs,
    reason = "generated code; its documentation is the comments in the .proto files"
)]

/// Compiled descriptors of all services, for reflection and for the check against breaking changes.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

/// What exists: customers, domains, mailboxes, forwards, default addresses; and the directory that the mail path asks.
pub mod account {
    pub mod v1 {
        include!(concat!(env!("OUT_DIR"), "/postern.account.v1.rs"));
        include!(concat!(env!("OUT_DIR"), "/postern.account.v1.serde.rs"));
    }
}

/// Who is it, and may this client relay.
pub mod auth {
    pub mod v1 {
        include!(concat!(env!("OUT_DIR"), "/postern.auth.v1.rs"));
        include!(concat!(env!("OUT_DIR"), "/postern.auth.v1.serde.rs"));
    }
}

/// What happens to a message.
pub mod delivery {
    pub mod v1 {
        include!(concat!(env!("OUT_DIR"), "/postern.delivery.v1.rs"));
        include!(concat!(env!("OUT_DIR"), "/postern.delivery.v1.serde.rs"));
    }
}

/// The well-known types as the generated code uses them.
pub use pbjson_types as google;
