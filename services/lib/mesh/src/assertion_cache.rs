//! Assertions that were believed a moment ago: a caller sends the same one for 30 s, so its HMAC is checked once.

use std::{
    collections::HashMap,
    sync::{PoisonError, RwLock},
};

use crate::identity::{AssertionError, Caller, MeshKey, Verified, unix_seconds};

/// Assertions kept at once; only good ones get in, so strangers cannot fill it.
const KEPT_MAX: usize = 256;

#[derive(Debug)]
pub(crate) struct AssertionCache {
    key: MeshKey,
    believed: RwLock<HashMap<Box<str>, Verified>>,
}

impl AssertionCache {
    pub(crate) fn new(key: MeshKey) -> Self {
        Self { key, believed: RwLock::default() }
    }

    /// Who the bearer is.
    pub(crate) fn caller(&self, assertion: &str) -> Result<Caller, AssertionError> {
        let now = unix_seconds();
        {
            let believed = self.believed.read().unwrap_or_else(PoisonError::into_inner);
            if let Some(verified) = believed.get(assertion).filter(|verified| verified.expires > now) {
                return Ok(verified.caller.clone());
            }
        }
        let verified = self.key.verify_at(assertion, now)?;
        let caller = verified.caller.clone();
        let mut believed = self.believed.write().unwrap_or_else(PoisonError::into_inner);
        if believed.len() >= KEPT_MAX {
            believed.retain(|_, verified| verified.expires > now);
        }
        if believed.len() >= KEPT_MAX {
            believed.clear();
        }
        believed.insert(assertion.into(), verified);
        Ok(caller)
    }
}
