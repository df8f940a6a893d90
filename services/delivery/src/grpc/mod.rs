//! The doors of the service: each file translates one gRPC service into calls of one use-case module.

pub(crate) mod r#box;
pub(crate) mod lock;
pub(crate) mod maildrop;
pub(crate) mod queue;
pub(crate) mod rights;
pub(crate) mod submission;
pub(crate) mod trace;

use postern_mail::{Reason, is_customer_login};
use postern_mesh::failure;
use tonic::Status;

/// The login of a customer that a question names, case folded; empty: none.
///
/// # Errors
/// INVALID_ARGUMENT when no customer can have it.
fn customer(text: &str) -> Result<Option<String>, Status> {
    let login = text.to_ascii_lowercase();
    match login.as_str() {
        "" => Ok(None),
        named if is_customer_login(named) => Ok(Some(login)),
        _ => Err(failure::status_with(
            Reason::InvalidArgument,
            "customer: a customer login has 1 to 8 characters of a-z and 0-9",
        )),
    }
}
