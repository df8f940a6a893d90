//! Spares repeat polls the argon2 check: for a while after its last use it is remembered that this password was right.
//!
//! Redis keeps it, so that all replicas know, and a restart forgets nothing. What is kept is an HMAC under a key that is made of
//! the mesh's and is not in Redis. The credential's version and its hash are part of it, so that a password that was changed is
//! remembered under a name that nobody asks for any more, whoever heard of the change; and only right passwords are kept: a
//! hit says nothing to somebody who does not have the password already. Whether the account is in service is the directory's to say,
//! each time; app passwords are compared with the directory's and never kept.

use std::time::Duration;

use postern_mesh::identity::MeshKey;
use postern_proto::account::v1::LoginIdentity;
use ring::hmac;

/// What the key is made for.
const PURPOSE: &str = "auth: right passwords";
/// Octets of the HMAC that name a password: nobody finds another one of the same name.
const NAME_BYTES: usize = 16;

/// Right passwords that were used lately.
pub(crate) struct PasswordMemory {
    key: hmac::Key,
    life: Duration,
}

/// A password of a credential as Redis knows it, and for how long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Remembered {
    /// Its key in Redis.
    pub(crate) name: Vec<u8>,
    /// Seconds after its last use.
    pub(crate) life: u64,
}

impl PasswordMemory {
    /// A life of 0 remembers nothing.
    pub(crate) fn new(mesh: &MeshKey, life: Duration) -> Self {
        Self { key: mesh.derive(PURPOSE), life }
    }

    /// What to ask for, or to keep; `None`: nothing is remembered.
    pub(crate) fn of(&self, identity: &LoginIdentity, password: &[u8]) -> Option<Remembered> {
        if self.life.is_zero() {
            return None;
        }
        let mut context = hmac::Context::with_key(&self.key);
        // Numbers of fixed length come first and each text's length is told, so that no two questions are one text.
        context.update(&identity.mailbox_id.to_be_bytes());
        context.update(&identity.credential_version.to_be_bytes());
        for text in [&identity.login, &identity.password_phc] {
            context.update(&text.len().to_be_bytes());
            context.update(text.as_bytes());
        }
        context.update(password);
        let mut name = b"pw:".to_vec();
        name.extend(context.sign().as_ref().iter().take(NAME_BYTES));
        Some(Remembered { name, life: self.life.as_secs() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn identity(mailbox_id: i64, login: &str, credential_version: i64, phc: &str) -> LoginIdentity {
        let (login, password_phc) = (login.to_owned(), phc.to_owned());
        LoginIdentity { mailbox_id, login, credential_version, password_phc, ..Default::default() }
    }

    #[test]
    fn only_the_same_password_of_the_same_credential_has_the_same_name() {
        let mesh = MeshKey::random();
        let memory = PasswordMemory::new(&mesh, HOUR);
        let known = memory.of(&identity(1, "user@x.test", 1, "$a"), b"sesame");
        // Another replica of the same house.
        assert_eq!(
            PasswordMemory::new(&mesh, HOUR).of(&identity(1, "user@x.test", 1, "$a"), b"sesame"),
            known
        );
        for (other, password) in [
            (identity(1, "user@x.test", 1, "$a"), &b"sesam"[..]),
            (identity(1, "user@x.test", 2, "$a"), b"sesame"),
            (identity(2, "user@x.test", 1, "$a"), b"sesame"),
            // A customer's login that was given to somebody else begins with version 1 again.
            (identity(1, "user@x.test", 1, "$b"), b"sesame"),
            (identity(1, "user@x.tes", 1, "t$a"), b"sesame"),
            (identity(1, "user@x.test", 1, "$"), b"asesame"),
        ] {
            assert_ne!(memory.of(&other, password), known, "{other:?}");
        }
        assert_ne!(
            PasswordMemory::new(&MeshKey::random(), HOUR).of(&identity(1, "user@x.test", 1, "$a"), b"sesame"),
            known
        );
    }

    #[test]
    fn a_memory_without_a_life_keeps_nothing() {
        let memory = PasswordMemory::new(&MeshKey::random(), Duration::ZERO);
        assert_eq!(memory.of(&identity(1, "user@x.test", 1, "$a"), b"sesame"), None);
    }
}
