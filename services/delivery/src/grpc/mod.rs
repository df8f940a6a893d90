//! The doors of the service: each file translates one gRPC service into calls of one use-case module.

pub(crate) mod r#box;
pub(crate) mod lock;
pub(crate) mod maildrop;
pub(crate) mod queue;
pub(crate) mod rights;
pub(crate) mod submission;
pub(crate) mod trace;

use postern_mail::{Reason, customer_login};
use postern_mesh::failure;
use tonic::Status;

/// The login of a customer that a question names, case folded; empty: none.
///
/// # Errors
/// INVALID_ARGUMENT when no customer can have it.
fn customer(text: &str) -> Result<Option<String>, Status> {
    if text.is_empty() {
        return Ok(None);
    }
    let no_login = "customer: a customer login has 1 to 8 characters of a-z and 0-9";
    let login = customer_login(text);
    login.map(Some).ok_or_else(|| failure::status_with(Reason::InvalidArgument, no_login))
}
