//! Is this a message in wire form, and is it one that we know? Pure: octets go in, a verdict and a digest come out.
//!
//! Wire form: CRLF line ends, no NUL, not dot-stuffed (RFC 5322 section 2.1 and 2.3). A message that does not end with CRLF is
//! the same as one that does, as it is stored with it.

use postern_mail::{Reason, limits::CONTENT_LINE_MAX_BYTES};
use ring::digest::{Context, SHA256};
use uuid::{Builder, Uuid};

/// Judges one message.
pub(super) struct WireForm {
    digest: Context,
    /// The last octet seen.
    last: u8,
    line_bytes: usize,
    bytes: u64,
}

impl WireForm {
    /// For a message that goes to this box.
    pub(super) fn new(mailbox_id: i64) -> Self {
        let mut digest = Context::new(&SHA256);
        digest.update(&mailbox_id.to_be_bytes());
        Self { digest, last: 0, line_bytes: 0, bytes: 0 }
    }

    /// Looks at the next octets.
    pub(super) fn push(&mut self, octets: &[u8]) -> Result<(), Reason> {
        for octet in octets.iter().copied() {
            let bare = (octet == b'\n') != (self.last == b'\r');
            if bare || octet == 0 {
                return Err(Reason::BadContent);
            }
            self.line_bytes += 1;
            if self.line_bytes > CONTENT_LINE_MAX_BYTES {
                return Err(Reason::ContentLineTooLong);
            }
            if octet == b'\n' {
                self.line_bytes = 0;
            }
            self.last = octet;
        }
        self.bytes += octets.len() as u64;
        self.digest.update(octets);
        Ok(())
    }

    /// The id that this message has in this box, whenever it comes: the database takes it once.
    pub(super) fn finish(mut self) -> Result<Uuid, Reason> {
        match (self.bytes, self.last) {
            // Nothing is no message.
            (0, _) => return Err(Reason::InvalidArgument),
            (_, b'\r') => return Err(Reason::BadContent),
            (_, b'\n') => {}
            _ => self.digest.update(b"\r\n"),
        }
        let mut id = [0; 16];
        id.copy_from_slice(&self.digest.finish().as_ref()[..16]);
        // UUID version 8 (RFC 9562 section 5.8): ids of received messages are version 7, the two never meet.
        Ok(Builder::from_custom_bytes(id).into_uuid())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn judged(mailbox_id: i64, pieces: &[&[u8]]) -> Result<Uuid, Reason> {
        let mut form = WireForm::new(mailbox_id);
        for piece in pieces {
            form.push(piece)?;
        }
        form.finish()
    }

    #[test]
    fn only_wire_form_is_taken() {
        for bad in
            [&b"A: b\n"[..], b"A: b\r", b"A: b\rx\r\n", b"\n", b"A\0: b\r\n", b"A: b\r\r\n", b"a\r\n\n"]
        {
            assert_eq!(judged(1, &[bad]), Err(Reason::BadContent), "{bad:?}");
        }
        assert_eq!(judged(1, &[]), Err(Reason::InvalidArgument));
        assert_eq!(judged(1, &[&vec![b'x'; CONTENT_LINE_MAX_BYTES + 1]]), Err(Reason::ContentLineTooLong));
        let good = judged(1, &[b"A: b\r\n\r\n.\r\nx\r\n"]).expect("good");
        assert_eq!(good.get_version_num(), 8);
    }

    #[test]
    fn one_message_has_one_id_in_each_box() {
        let id = judged(1, &[b"A: b\r\n"]).expect("good");
        assert_eq!(judged(1, &[b"A: b"]), Ok(id), "the line end that is added when it is stored");
        assert_ne!(judged(2, &[b"A: b\r\n"]), Ok(id), "another box");
        assert_ne!(judged(1, &[b"A: c\r\n"]), Ok(id), "another message");
    }

    proptest! {
        #[test]
        fn cuts_change_nothing(text in "(([a.:]{0,3})(\r\n|\r|\n|\0)?){0,8}", cut in 0usize..40) {
            let octets = text.as_bytes();
            let cut = cut.min(octets.len());
            prop_assert_eq!(judged(1, &[&octets[..cut], &octets[cut..]]), judged(1, &[octets]));
        }
    }
}
