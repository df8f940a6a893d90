//! A password on its way from whoever typed it to whoever checks it.

use std::fmt;

use bytes::Bytes;

/// A password as typed, octets. Its debug form keeps it to itself.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(pub Bytes);

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(..)")
    }
}
