//! Assertions that were believed a moment ago: a caller sends the same one for 30 s, so its HMAC is checked once.

use std::{
    collections::HashMap,
    sync::{PoisonError, RwLock},
};

use crate::{
    clock::unix_seconds,
    identity::{AssertionError, Caller, MeshKey, Verified},
};

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
        self.caller_at(assertion, unix_seconds())
    }

    fn caller_at(&self, assertion: &str, now: u64) -> Result<Caller, AssertionError> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::Role;

    #[test]
    fn a_believed_assertion_still_ends() {
        let key = MeshKey::random();
        let cache = AssertionCache::new(key.clone());
        let text = key.assertion(&Caller::new("x", Role::Service));
        let now = unix_seconds();
        assert!(cache.caller_at(&text, now).is_ok());
        assert!(cache.caller_at(&text, now + 50).is_ok());
        assert_eq!(cache.caller_at(&text, now + 120), Err(AssertionError::Expired));
    }

    #[test]
    fn it_stays_small_and_keeps_strangers_out() {
        let key = MeshKey::random();
        let cache = AssertionCache::new(key.clone());
        assert!(cache.caller(&MeshKey::random().assertion(&Caller::new("x", Role::Service))).is_err());
        assert_eq!(cache.believed.read().expect("lock").len(), 0);
        for n in 0..1000 {
            let caller =
                cache.caller(&key.assertion(&Caller::new(format!("s{n}"), Role::Service))).expect("believed");
            assert_eq!(caller.subject, format!("s{n}"));
        }
        assert!(cache.believed.read().expect("lock").len() <= KEPT_MAX);
    }
}
