//! The doors of the service: each file translates one gRPC service into calls of one use-case module.

pub(crate) mod r#box;
pub(crate) mod lock;
pub(crate) mod maildrop;
pub(crate) mod queue;
pub(crate) mod rights;
pub(crate) mod submission;
pub(crate) mod trace;
